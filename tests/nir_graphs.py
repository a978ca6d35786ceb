"""Hand-made NIR graphs for tests: a sound one to spoil, and random ones."""

import itertools
from dataclasses import replace

import nir
import numpy as np

from toolchain.connection import Connection
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork

__all__ = ["chain", "dense", "fires", "image", "random_lasting", "random_spiking"]


def dense(rng: np.random.Generator, outputs: int, inputs: int) -> nir.Affine:
    """Weights and biases that are multiples of 1/16."""
    return nir.Affine(weight=rng.integers(-16, 17, (outputs, inputs)) / 16, bias=rng.integers(-4, 5, outputs) / 16)


def chain(*nodes: nir.NIRNode, shape=(6,), out=(3,), **more: nir.NIRNode) -> nir.NIRGraph:
    """Input, nodes named 0, 1, … and Output in a row; ``more`` are nodes without edges."""
    names = ["input", *map(str, range(len(nodes))), "output"]
    whole = {
        "input": nir.Input(np.array(shape)),
        **dict(zip(names[1:-1], nodes, strict=True)),
        "output": nir.Output(np.array(out)),
    }
    return nir.NIRGraph({**whole, **more}, list(itertools.pairwise(names)), type_check=False)


def fires(*shape: int, r: float = 1.0, threshold: float = 1.0, **more) -> nir.IF:
    """IF neurons, all alike."""
    return nir.IF(r=np.full(shape, r), v_threshold=np.full(shape, threshold), **more)


def image(rng: np.random.Generator) -> nir.NIRGraph:
    """Conv2d, IF, AvgPool2d, Scale, Conv2d, IF, SumPool2d, Flatten, Affine on (2, 8, 8)."""
    first = nir.Conv2d(
        (8, 8), rng.integers(-8, 9, (3, 2, 3, 3)) / 16, (1, 1), (1, 1), (1, 1), 1, rng.integers(-4, 5, 3) / 16
    )
    second = nir.Conv2d((4, 4), rng.integers(-16, 17, (4, 3, 1, 3)) / 16, (1, 1), (0, 1), (1, 1), 1, np.zeros(4))
    pair = np.array([2, 2])
    zero = np.array([0, 0])
    return chain(
        first, fires(3, 8, 8), nir.AvgPool2d(pair, pair, zero), nir.Scale(np.full((3, 4, 4), 2.0)), second,
        fires(4, 4, 4, threshold=0.5), nir.SumPool2d(pair, pair, zero), nir.Flatten(np.array([4, 2, 2]), 0, -1), dense(rng, 5, 16),
        shape=(2, 8, 8), out=(5,),
    )  # fmt: skip


def random_spiking(seed: int) -> SpikingNetwork:
    """A network that NIR can say, of 1 to 4 layers and a readout, by seed.

    Images or vectors, joins, identities, groups, dilation, pooling, padding ``same``, thresholds that are no powers of two, leaks.
    """
    rng = np.random.default_rng(seed)
    vector = bool(rng.integers(2))
    shape = (
        (int(rng.integers(1, 5)), 1, 1)
        if vector
        else tuple(int(n) for n in (rng.integers(1, 4), rng.integers(4, 9), rng.integers(4, 9)))
    )
    layers: list[SpikingLayer] = []
    shapes: list[tuple[int, int, int]] = []
    for index in range(int(rng.integers(1, 5))):
        source = index - 1
        before = shape if source == INPUT else shapes[source]
        flat = vector or (layers[-1:] and layers[-1].connections[0].kind == "linear")
        connection = _connection(rng, source, before, bool(flat) or rng.random() < 0.3)
        connections = [connection]
        if index >= 2 and rng.random() < 0.5 and connection.kind == "linear":
            connections.append(_connection(rng, index - 2, shapes[index - 2], True, connection.weight.shape[0]))
        connections += _shortcuts(rng, [*shapes], connection.output(before)) if index else []
        channels = connection.weight.shape[0]
        layers.append(
            SpikingLayer(
                f"layer {index}",
                tuple(connections),
                _values(rng, channels),
                rng.normal(size=channels),
                np.zeros(channels),
            )
        )
        shapes.append(connection.output(before))
    last = _connection(rng, len(layers) - 1, shapes[-1], True)
    ends = (last, *_shortcuts(rng, shapes, last.output(shapes[-1])))
    layers.append(
        SpikingLayer("out", ends, None, rng.normal(size=last.weight.shape[0]), np.zeros(last.weight.shape[0]))
    )
    network = SpikingNetwork(
        "random", shape, "stream", int(rng.integers(1, 30)), tuple(layers), compare=str(rng.choice(["ge", "gt"])),
        reset=str(rng.choice(["subtract", "zero"])), pixel_scale=float(rng.choice([1 / 255, 1.0, 0.3])),
    )  # fmt: skip
    network = replace(network, input="rate", seed=int(rng.integers(1, 99))) if rng.random() < 0.3 else network
    if rng.random() < 0.5:
        return network
    shares = [float(rng.uniform(0.01, 0.999)) if rng.random() < 0.7 else None for _ in layers]
    order = str(rng.choice(["reset_first", "leak_first"])) if network.reset == "subtract" else "reset_first"
    whole = tuple(replace(layer, leak=share) for layer, share in zip(network.layers, shares, strict=True))
    return replace(network, layers=whole, leak_order=order)


def random_lasting(seed: int) -> SpikingNetwork:
    """The same with synaptic currents that last, here and there."""
    rng, network = np.random.default_rng([seed, 1]), random_spiking(seed)
    shares = [float(rng.uniform(0.01, 0.999)) if rng.random() < 0.7 else None for _ in network.layers]
    whole = tuple(replace(layer, current_leak=share) for layer, share in zip(network.layers, shares, strict=True))
    return replace(network, layers=whole)


def _values(rng: np.random.Generator, channels: int) -> np.ndarray:
    """Thresholds: powers of two, or anything."""
    return 2.0 ** rng.integers(-3, 4, channels) if rng.random() < 0.4 else rng.uniform(0.1, 9, channels)


def _shortcuts(rng, shapes, after) -> list[Connection]:
    """Identities from earlier layers, with rows of zeros and as many groups as can be, where one gives the shape ``after``."""
    found = []
    for source, (channels, *size) in enumerate(shapes):
        ways = [
            (stride, pool)
            for pool, stride in itertools.product((1, 2), range(1, 9))
            if min(size) >= pool
            and all((n // pool - 1) // stride + 1 == m for n, m in zip(size, after[1:], strict=True))
        ]
        if not ways or rng.random() < 0.4:
            continue
        stride, pool = ways[0]
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0 and after[0] % g == 0]))
        weight = np.zeros((after[0], channels // groups, 1, 1))
        for row in weight:
            row[int(rng.integers(len(row)))] = rng.choice([0, 1 / pool**2, rng.normal()])
        found.append(Connection(source, weight, (stride,) * 2, pool=(pool,) * 2, kind="identity", groups=groups))
    return found


def _connection(rng, source, before, linear, outputs=None) -> Connection:
    channels, height, width = before
    pool = (1, 1)
    if rng.random() < 0.5:
        pool = (int(rng.integers(1, min(height, 3) + 1)), int(rng.integers(1, min(width, 3) + 1)))
    size = (height // pool[0], width // pool[1])
    outputs = outputs or int(rng.integers(1, 5))
    if linear:
        return Connection(source, rng.normal(size=(outputs, channels, *size)), pool=pool, kind="linear")
    groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    outputs = groups * int(rng.integers(1, 3)) if groups > 1 else outputs
    kernel = tuple(int(rng.integers(1, n + 1)) for n in size)
    dilation = tuple(
        int(rng.integers(1, (n - 1) // (k - 1) + 1)) if k > 1 else int(rng.integers(1, 4))
        for k, n in zip(kernel, size, strict=True)
    )
    weight = rng.normal(size=(outputs, channels // groups, *kernel))
    if rng.random() < 0.25:  # what padding="same" does
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding, behind = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
        return Connection(
            source, weight, padding=padding, pool=pool, padding_after=behind, dilation=dilation, groups=groups
        )
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    padding = (int(rng.integers(0, 2)), int(rng.integers(0, 2)))
    return Connection(source, weight, stride, padding, pool, dilation=dilation, groups=groups)
