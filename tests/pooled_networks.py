"""Random small fixed-point networks with max pooling, in ``two_phase`` with unsigned neurons, by seed; and their integers in torch."""

import numpy as np
import torch
import torch.nn.functional as F

from tests.networks import frames_for
from toolchain.connection import Connection
from toolchain.fixedpoint import weight_limit
from toolchain.ir import COMPARES, INPUT, INPUTS, FixedPointLayer, FixedPointNetwork
from toolchain.pooling import MaxPooling

__all__ = ["integer_ann", "of_torch", "pooled_case", "pooled_network", "random_pooling"]


def random_pooling(rng: np.random.Generator, size: tuple[int, int], *, padding: bool = True) -> MaxPooling:
    """Windows of 1 to 3 places (more than one place in all) side by side, overlapping or apart, that fit ``size``."""
    while True:
        window = tuple(int(rng.integers(1, 4)) for _ in range(2))
        stride = window if rng.random() < 0.4 else tuple(int(rng.integers(1, 4)) for _ in range(2))
        before, after = (
            tuple(int(rng.integers(0, w)) if padding and rng.random() < 0.5 else 0 for w in window) for _ in range(2)
        )
        pooling = MaxPooling(window, stride, before, after)
        if pooling.taps > 1 and min(pooling.output(size)) >= 1:
            return pooling


def _kernel(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
    return tuple(int(rng.integers(1, min(3, extent) + 1)) for extent in size)


def pooled_network(
    seed: int, *, padding: bool = True, groups: bool = False, input: str | None = None
) -> FixedPointNetwork:
    """Two convolutions and a readout; the second and the readout read through max pooling, of which some average too.

    The second layer joins the first one pooled with it unpooled, by a stride, where the seed says so. ``groups`` makes the
    second convolution depthwise.
    """
    rng = np.random.default_rng([seed, 7])
    bits = int(rng.integers(2, 9))
    limit = weight_limit(bits)
    steps = int(rng.integers(1, 7))
    shape = (int(rng.integers(1, 4)), int(rng.integers(4, 10)), int(rng.integers(4, 10)))
    given = input or str(rng.choice(INPUTS))

    def weights(*dims: int) -> np.ndarray:
        return rng.integers(-limit, limit + 1, dims).astype(np.int32)

    def layer(name: str, connections: list[Connection], worth: int, fires: bool = True) -> FixedPointLayer:
        outputs = connections[0].weight.shape[0]
        scale = max(2, limit * sum(int(np.prod(c.weight.shape[1:])) for c in connections) * worth // 8)
        threshold = rng.integers(1, scale // 2 + 2, outputs) if fires else None
        return FixedPointLayer(
            name, tuple(connections), threshold, np.zeros(outputs, int), rng.integers(-scale // 4, scale + 1, outputs)
        )

    first = Connection(INPUT, weights(int(rng.integers(1, 7)), shape[0], *_kernel(rng, shape[1:])), padding=(1, 1))
    middle = first.output(shape)
    pooling = random_pooling(rng, middle[1:], padding=padding)
    size = pooling.output(middle[1:])
    outputs = middle[0] * 2 if groups else int(rng.integers(1, 9))
    pool = (1, 1) if min(size) < 4 else (2, 1)
    kernel = _kernel(rng, (size[0] // pool[0], size[1] // pool[1]))
    second = Connection(
        0, weights(outputs, 1 if groups else middle[0], *kernel), pool=pool, maximum=pooling,
        groups=middle[0] if groups else 1,
    )  # fmt: skip
    connections, reached = [second], second.output(middle)
    stride = tuple(max(1, extent // to) for extent, to in zip(middle[1:], reached[1:], strict=True))
    around = Connection(0, weights(outputs, middle[0], 1, 1), stride)
    if around.output(middle) == reached:
        connections.append(around)
    last = random_pooling(rng, reached[1:], padding=padding) if max(reached[1:]) > 1 else None
    size = reached[1:] if last is None else last.output(reached[1:])
    readout = Connection(1, weights(int(rng.integers(2, 5)), outputs, *size), kind="linear", maximum=last)
    layers = (
        layer("first", [first], 255 if given == "direct" else 1),
        layer("second", connections, 1),
        layer("readout", [readout], 1, fires=False),
    )
    return FixedPointNetwork(
        f"pooled{seed}",
        shape,
        "two_phase",
        steps,
        layers,
        compare=str(rng.choice(COMPARES)),
        input=given,
        weight_bits=bits,
    )


def pooled_case(seed: int, images: int = 2, **options) -> tuple[FixedPointNetwork, np.ndarray]:
    """A network and frames for it."""
    network = pooled_network(seed, **options)
    return network, frames_for(network, seed, images)


def of_torch(x: torch.Tensor, pooling: MaxPooling) -> torch.Tensor:
    """torch's own max pooling of ``[N, C, H, W]``."""
    (top, left), (bottom, right) = pooling.padding, pooling.padding_after
    return F.max_pool2d(F.pad(x, (left, right, top, bottom)), pooling.window, pooling.stride)


def integer_ann(network: FixedPointNetwork, frames: np.ndarray) -> np.ndarray:
    """The same integers as an ordinary network: clip-floor-shift activations, and max pooling by torch, in float64."""
    values = {INPUT: torch.tensor(frames).double()}
    for index, layer in enumerate(network.layers):
        total = torch.tensor(layer.offset).double()[:, None, None]
        for c in layer.connections:
            x = values[c.source] if c.maximum is None else of_torch(values[c.source], c.maximum)
            x = F.avg_pool2d(x, c.pool, divisor_override=1)
            (top, bottom), (left, right) = c.pads
            weight = torch.tensor(c.weight).double()
            total = total + F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=c.stride, groups=c.groups)
        if layer.threshold is None:
            return total[:, :, 0, 0].numpy()
        theta = torch.tensor(layer.threshold)[:, None, None]
        values[index] = torch.floor(total / theta).clamp(0, network.time_steps)
    raise AssertionError("the last layer has no threshold")
