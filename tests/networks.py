"""Random small fixed-point networks for property tests, as hypothesis strategies and by seed."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, product

import numpy as np
from hypothesis import strategies as st

from sim import golden
from toolchain.connection import Connection, Shape
from toolchain.fixedpoint import weight_limit
from toolchain.ir import (
    COMPARES,
    COUNTING_NEGATIVES,
    INPUT,
    NEGATIVES,
    PIXEL_INPUTS,
    RESETS,
    SCHEDULES,
    FixedPointLayer,
    FixedPointNetwork,
)
from toolchain.leak import LEAK_ORDERS, Decay
from toolchain.lfsr import random_bytes

__all__ = [
    "LEAKY_NEURONS",
    "NEURONS",
    "fixed_point_networks",
    "frames_for",
    "lasting",
    "leaky",
    "lively_lasting_network",
    "lively_leaky_network",
    "lively_network",
    "random_decay",
    "random_network",
    "rate_spikes",
]


def _connection(
    rng: np.random.Generator,
    source: int,
    shape: Shape,
    outputs: int,
    limit: int,
    linear: bool,
    extreme: bool,
    more: np.random.Generator | None = None,
) -> Connection | None:
    """``more``, where it is given, chooses dilation, padding behind and groups, which are plain otherwise."""
    pool = (int(rng.integers(1, 4)),) * 2 if rng.random() < 0.5 else (1, int(rng.integers(1, 3)))
    size = (shape[1] // pool[0], shape[2] // pool[1])
    if min(size) < 1:
        pool, size = (1, 1), shape[1:]
    stride, padding = (1, 1), (0, 0)
    kernel = size
    if not linear:
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    unusual, groups = {}, 1
    if not linear and more is not None:
        divisors = [g for g in range(1, outputs + 1) if outputs % g == 0 and shape[0] % g == 0]
        groups = int(more.choice(divisors))
        unusual = {
            "dilation": (int(more.integers(1, 4)), int(more.integers(1, 4))),
            "padding_after": (int(more.integers(0, 3)), int(more.integers(0, 3))),
            "groups": groups,
        }
    behind, dilation = unusual.get("padding_after", padding), unusual.get("dilation", (1, 1))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(w > s + p + b for w, s, p, b in zip(spans, size, padding, behind, strict=True)):
        return None
    dims = (outputs, shape[0] // groups, *kernel)
    weight = rng.choice([-limit, limit], dims) if extreme else rng.integers(-limit, limit + 1, dims)
    return Connection(
        source, weight.astype(np.int32), stride, padding, pool, "linear" if linear else "conv2d", **unusual
    )


NEURONS = [
    {"schedule": schedule, "negative": negative, "reset": reset, "compare": compare}
    for schedule, negative, reset, compare in product(SCHEDULES, NEGATIVES, RESETS, COMPARES)
    if (schedule == "stream" or (negative not in COUNTING_NEGATIVES and reset == "subtract"))
    and (reset == "subtract" or negative == "none")
    and (schedule, negative) != ("radix", "floor")
]
"""Every neuron there is, whatever its input."""
LEAKY_NEURONS = [
    {"schedule": "stream", "reset": reset, "compare": compare, "leak_order": order}
    for order, reset, compare in product(LEAK_ORDERS, RESETS, COMPARES)
    if (order, reset) != ("leak_first", "zero")
]
"""Every neuron that may leak."""


def random_network(
    seed: int,
    *,
    schedule: str | None = None,
    time_steps: int | None = None,
    joins: bool = True,
    neuron: dict[str, str] | None = None,
    unusual: bool = False,
) -> FixedPointNetwork:
    """A valid network of 1 to 3 layers with random geometry; ``joins`` allows a second connection.

    ``unusual`` networks have groups, dilations and padding on one side, and more channels to share out.

    Of the plain IF neuron in either schedule, unless ``neuron``, one of ``NEURONS``, says otherwise; so it may
    of ``input``, which the seed chooses among pixels otherwise.
    """
    rng = np.random.default_rng(seed)
    neuron = dict(neuron or {})
    more = np.random.default_rng([seed, 1])
    schedule = neuron.pop("schedule", None) or schedule or str(rng.choice(["stream", "two_phase"]))
    given = neuron.setdefault("input", str(more.choice(PIXEL_INPUTS[:2] if schedule == "radix" else PIXEL_INPUTS)))
    steps = time_steps or int(rng.integers(1, 9))
    bits = int(rng.integers(2, 9))
    limit = weight_limit(bits)
    input_shape = (int(rng.integers(1, 4)) * (2 if unusual else 1), int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    shapes: list[Shape] = []
    layers: list[FixedPointLayer] = []
    depth = int(rng.integers(1, 4))
    for index in range(depth):
        readout = index == depth - 1
        source = index - 1
        shape = input_shape if source == INPUT else shapes[source]
        extreme = rng.random() < 0.25
        outputs = int(rng.integers(1, 10))
        if unusual and not readout:
            outputs = shape[0] * int(more.integers(1, 4))
        geometry = more if unusual else None
        connection = _connection(rng, source, shape, outputs, limit, readout, extreme, geometry)
        while connection is None:
            connection = _connection(rng, source, shape, outputs, limit, readout, extreme, geometry)
        connections = [connection]
        if joins and readout and index >= 2 and rng.random() < 0.5:
            extra = _connection(rng, index - 2, shapes[index - 2], outputs, limit, True, extreme)
            connections.append(extra)
        scale = max(1, limit * int(np.prod(connection.weight.shape[1:])) // 4)
        scale *= 255 if source == INPUT and rng.random() < 0.5 and given in ("direct", "bitplane") else 1
        threshold = None if readout else rng.integers(1, scale + 2, outputs)
        offset = rng.integers(-scale, scale + 1, outputs)
        bias = rng.integers(-scale // 2, scale // 2 + 1, outputs) if schedule == "stream" else np.zeros(outputs, int)
        below = None
        if neuron.get("negative") == "asymmetric" and not readout:
            below = more.integers(1, scale + 2, outputs)
        layers.append(
            FixedPointLayer(f"layer{index}", tuple(connections), threshold, bias, offset, negative_threshold=below)
        )
        shapes.append(connection.output(shape))
    chosen = int(more.integers(1, 2**32))
    return FixedPointNetwork(
        "random", input_shape, schedule, steps, tuple(layers), weight_bits=bits, seed=chosen, **neuron
    )


def random_decay(rng: np.random.Generator, most: int = 9) -> Decay:
    """One to three signed shifts of at most ``most``."""
    while True:
        shifts = sorted(rng.choice(most + 1, int(rng.integers(1, 4)), replace=False).tolist())
        terms = (shifts[0], *(int(rng.choice([-1, 1])) * shift for shift in shifts[1:]))
        if sum((1 if term >= 0 else -1) * 2.0 ** -abs(term) for term in terms) < 1:
            return Decay(terms)


def leaky(network: FixedPointNetwork, seed: int, share: float = 0.8) -> FixedPointNetwork:
    """The network with random leaks in that ``share`` of its layers, at least in the first."""
    rng = np.random.default_rng([seed, 2])
    layers = tuple(
        replace(layer, leak=random_decay(rng) if index == 0 or rng.random() < share else None)
        for index, layer in enumerate(network.layers)
    )
    return replace(network, layers=layers)


def lasting(network: FixedPointNetwork, seed: int, share: float = 0.8) -> FixedPointNetwork:
    """The network with random decays of synaptic currents in that ``share`` of its layers, at least in the first."""
    rng = np.random.default_rng([seed, 3])
    layers = tuple(
        replace(layer, current_leak=random_decay(rng) if index == 0 or rng.random() < share else None)
        for index, layer in enumerate(network.layers)
    )
    return replace(network, layers=layers)


def lively_lasting_network(neuron: dict[str, str], number: int, leaks: float = 0.6) -> FixedPointNetwork:
    """The ``number``-th random network of three layers whose currents last, in which all of that changes spikes and scores.

    Neither without it, nor with a current that stays whole or decays as the membrane does, does a layer fire the same.
    ``leaks`` of its membranes leak too.
    """

    def spikes_and_scores(network: FixedPointNetwork, seed: int) -> list[np.ndarray]:
        trace = golden.run(network, frames_for(network, seed, 2), "spikes")
        assert trace.spikes is not None
        return [*trace.spikes, trace.scores]

    def with_currents(network: FixedPointNetwork, leaks: Sequence[Decay | None]) -> FixedPointNetwork:
        layers = (replace(layer, current_leak=leak) for layer, leak in zip(network.layers, leaks, strict=True))
        return replace(network, layers=tuple(layers))

    for seed in count(100):
        plain = random_network(seed, neuron=neuron)
        if len(plain.layers) != 3 or plain.time_steps < 3:
            continue
        network = lasting(leaky(plain, seed, leaks) if leaks else plain, seed, 1.0)
        found = spikes_and_scores(network, seed)
        swapped = [layer.leak or Decay((15,)) for layer in network.layers]
        others = [spikes_and_scores(with_currents(network, leaks), seed) for leaks in ([None] * 3, swapped)]
        fires = all(train.any() and not train.all() for train in found[:-1])
        differs = all(any((a != b).any() for a, b in zip(found, other, strict=True)) for other in others)
        if fires and differs:
            number -= 1
            if number < 0:
                return replace(network, name=f"lasting{seed}")
    raise AssertionError("there is always another seed")


def lively_leaky_network(neuron: dict[str, str], number: int) -> FixedPointNetwork:
    """The ``number``-th random network of three leaky layers, in which leaks and their order change spikes and scores."""

    def spikes_and_scores(network: FixedPointNetwork, seed: int) -> list[np.ndarray]:
        trace = golden.run(network, frames_for(network, seed, 2), "spikes")
        assert trace.spikes is not None
        return [*trace.spikes, trace.scores]

    for seed in count(100):
        plain = random_network(seed, neuron=neuron)
        if len(plain.layers) != 3 or plain.time_steps < 3:
            continue
        network = leaky(plain, seed, 1.0)
        found, others = spikes_and_scores(network, seed), [spikes_and_scores(plain, seed)]
        if network.reset == "subtract":
            order = next(order for order in LEAK_ORDERS if order != network.leak_order)
            others.append(spikes_and_scores(replace(network, leak_order=order), seed))
        fires = all(train.any() and not train.all() for train in found[:-1])
        differs = all(any((a != b).any() for a, b in zip(found, other, strict=True)) for other in others)
        if fires and differs:
            number -= 1
            if number < 0:
                return replace(network, name=f"leaky{seed}")
    raise AssertionError("there is always another seed")


def lively_network(neuron: dict[str, str], number: int) -> FixedPointNetwork:
    """The ``number``-th random three-layer network in which each firing layer fires, and negative spikes too if it may."""
    for seed in count(100):
        network = random_network(seed, neuron=neuron)
        trace = golden.run(network, frames_for(network, seed, 2), "spikes")
        assert trace.spikes is not None
        wanted = (1, -1) if network.signed_spikes else (1,)
        if len(network.layers) == 3 and all((train == s).any() for train in trace.spikes for s in wanted):
            number -= 1
            if number < 0:
                return replace(network, name=f"lively{seed}")
    raise AssertionError("there is always another seed")


def frames_for(network: FixedPointNetwork, seed: int, images: int) -> np.ndarray:
    """Frames with many zeros and full-scale pixels, uint8 ``[images, C, H, W]``; of input ``spikes`` int8 ``[images, T, C, H, W]``."""
    rng = np.random.default_rng(seed)
    if network.input == "spikes":
        low = -1 if network.signed_spikes else 0
        dense = rng.random((images, *network.frame_shape)) < rng.random((images, 1, 1, 1, 1))
        return (dense * rng.choice([low, 1], dense.shape, p=[0.3, 0.7])).astype(np.int8)
    frames = rng.integers(0, 256, (images, *network.input_shape))
    kind = rng.random(frames.shape)
    return np.where(kind < 0.4, 0, np.where(kind < 0.6, 255, frames)).astype(np.uint8)


def fixed_point_networks(neurons: Sequence[dict[str, str]] = NEURONS) -> st.SearchStrategy[FixedPointNetwork]:
    """Strategy over ``random_network`` seeds and neurons."""
    return st.builds(
        lambda seed, neuron: random_network(seed, neuron=neuron), st.integers(0, 2**32 - 1), st.sampled_from(neurons)
    )


def rate_spikes(network, frames):
    """Input spikes of ``rate``, int64 [N, T, C, H, W]."""
    (channels, height, width), steps = network.input_shape, network.time_steps
    numbers = random_bytes(network.seed, steps * frames[0].size).astype(int)
    walk = (steps, height * width * channels) if network.schedule == "stream" else (height * width * channels, steps)
    by_step = numbers.reshape(walk) if network.schedule == "stream" else numbers.reshape(walk).T
    places = by_step.reshape(steps, height, width, channels).transpose(0, 3, 1, 2)
    return (frames[:, None] > places).astype(np.int64)
