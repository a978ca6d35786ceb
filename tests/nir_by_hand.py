"""A second reading of NIR graphs, node by node and step by step in float64, and our network held against it."""

import nir
import numpy as np
import torch
import torch.nn.functional as F

from sim import floating
from sim.passage import passages
from toolchain.interchange import Options, read_nir
from toolchain.interchange.graph import graph_of

__all__ = ["SCALE", "agree", "frames", "options", "run_by_hand", "spikes_of"]

SCALE = 1 / 256


def options(**chosen):
    return Options(**{"preset": "sinabs", "time_steps": 9, "pixel_scale": SCALE, **chosen})


def frames(*shape):
    return np.random.default_rng(3).integers(0, 256, (4, *shape)).astype(np.uint8)


def spikes_of(network, images):
    trains = {}
    for passage in passages(network, images):
        if passage.spikes is not None:
            trains.setdefault(passage.layer, []).append(passage.spikes.numpy())
    return [np.concatenate(parts) for _, parts in sorted(trains.items())]


def run_by_hand(graph, images, *, compare, reset, steps, dt=1.0):
    """A second reading of NIR: node by node and step by step in float64; values at every node, [T, N, …]."""
    order = [node.name for node in graph_of(graph).order()]
    state, seen = {}, {name: [] for name in order}
    x = torch.tensor(images).double() * SCALE
    for _ in range(steps):
        values = {}
        for name in order:
            node, into = graph.nodes[name], [values[a] for a, b in graph.edges if b == name]
            values[name] = _node(node, name, into, x, state, compare, reset, dt)
            seen[name].append(values[name])
    return {name: torch.stack(each).numpy() for name, each in seen.items()}


def _node(node, name, into, x, state, compare, reset, dt):
    kind = type(node).__name__
    if kind == "Input":
        return x.reshape(len(x), *node.input_type["input"])
    total = sum(into[1:], into[0])
    if kind in ("Affine", "Linear"):
        return total @ torch.tensor(node.weight).T + (torch.tensor(node.bias) if kind == "Affine" else 0)
    if kind in ("Conv1d", "Conv2d"):
        conv = F.conv1d if kind == "Conv1d" else F.conv2d
        padding = node.padding if not isinstance(node.padding, np.ndarray) else tuple(node.padding)
        more = {"stride": node.stride, "padding": padding, "dilation": node.dilation, "groups": node.groups}
        return conv(total, torch.tensor(node.weight), torch.tensor(node.bias), **more)
    if kind in ("AvgPool2d", "SumPool2d"):
        size = tuple(int(k) for k in np.broadcast_to(node.kernel_size, 2))
        return F.avg_pool2d(total, size, divisor_override=1 if kind == "SumPool2d" else None)
    if kind == "Flatten":
        return total.flatten(1)
    if kind == "Scale":
        return total * torch.tensor(node.scale)
    if kind == "Output":
        return total
    v = state.get(name, torch.zeros_like(total)) + torch.tensor(node.r) * dt * total
    if kind == "I":
        state[name] = v
        return v
    theta = torch.tensor(node.v_threshold)
    z = (v >= theta if compare == "ge" else v > theta).double()
    rest = torch.tensor(node.v_reset)
    state[name] = v - z * theta if reset == "subtract" else (1 - z) * v + z * rest
    return z


def agree(graph, shape, **rules):
    """Our network against ``run_by_hand``: every spike of every IF, and the scores."""
    images = frames(*shape)
    rules = {"compare": "ge", "reset": "subtract", "steps": 9, **rules}
    chosen = {key: rules[key] for key in ("compare", "reset")}
    network = read_nir(graph, options(time_steps=rules["steps"], dt=rules.get("dt"), **chosen))
    seen = run_by_hand(graph, images, **rules)
    mine = spikes_of(network, images)
    names = [layer.name for layer in network.layers if layer.threshold is not None]
    for name, train in zip(names, mine, strict=True):
        expected = seen[name].reshape(train.shape)
        assert 0 < expected.mean() < 1
        assert np.array_equal(train, expected), name
    last = seen["output"]
    total = last[-1] if isinstance(graph.nodes[{b: a for a, b in graph.edges}["output"]], nir.I) else last.sum(axis=0)
    assert np.array_equal(
        floating.run(network, images) * network.time_steps, total.reshape(len(images), -1).astype(np.float32)
    )
    return network
