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


USUAL = {
    "dt": 1.0, "decay": "euler", "drive": "tau", "order": "reset_first", "start": "zero", "current_drive": "tau"
}  # fmt: skip
"""Of leaky neurons, where a test does not say; as in ``Contract``."""


def run_by_hand(graph, images, *, compare, reset, steps, charges=None, scale=SCALE, **rules):
    """A second reading of NIR: node by node and step by step in float64; values at every node, [T, N, …].

    ``images`` are frames, or spikes [N, T, …] with ``scale`` 1. ``charges``, if it is given, is filled with the membranes of
    each neuron that were compared with its threshold, [T, N, …].
    """
    order = [node.name for node in graph_of(graph).order()]
    rules = {**USUAL, **rules, "compare": compare, "reset": reset}
    state, seen = {}, {name: [] for name in order}
    x = torch.tensor(images).double() * scale
    compared = {}
    for step in range(steps):
        values = {}
        for name in order:
            node, into = graph.nodes[name], [values[a] for a, b in graph.edges if b == name]
            values[name] = _node(node, name, into, x if scale != 1 else x[:, step], state, rules)
            seen[name].append(values[name])
            if (name, "charge") in state:
                compared.setdefault(name, []).append(state[name, "charge"])
    if charges is not None:
        charges.update({name: torch.stack(each).numpy() for name, each in compared.items()})
    return {name: torch.stack(each).numpy() for name, each in seen.items()}


def _node(node, name, into, x, state, rules):
    kind = type(node).__name__
    if kind == "Input":
        return x.reshape(len(x), *node.input_type["input"])
    total = sum(into[1:], into[0])
    if kind in ("Affine", "Linear"):
        weight = torch.as_tensor(node.weight).double()
        return total @ weight.T + (torch.as_tensor(node.bias).double() if kind == "Affine" else 0)
    if kind in ("Conv1d", "Conv2d"):
        conv = F.conv1d if kind == "Conv1d" else F.conv2d
        padding = node.padding if not isinstance(node.padding, np.ndarray) else tuple(node.padding)
        more = {"stride": node.stride, "padding": padding, "dilation": node.dilation, "groups": node.groups}
        return conv(total, torch.as_tensor(node.weight).double(), torch.as_tensor(node.bias).double(), **more)
    if kind in ("AvgPool2d", "SumPool2d"):
        size = tuple(int(k) for k in np.broadcast_to(node.kernel_size, 2))
        return F.avg_pool2d(total, size, divisor_override=1 if kind == "SumPool2d" else None)
    if kind == "Flatten":
        return total.flatten(1)
    if kind == "Scale":
        return total * torch.as_tensor(node.scale)
    if kind == "Output":
        return total
    return _neuron(node, kind, name, total, state, rules)


def _neuron(node, kind, name, total, state, rules):
    """Leak towards v_leak, integrate, compare, reset; what leaks is the membrane after its reset or before it."""
    share, v_leak, rest = torch.tensor(1.0), torch.tensor(0.0), torch.tensor(0.0)
    r = torch.as_tensor(node.r).double()
    gain = r * rules["dt"]
    if kind in ("CubaLI", "CubaLIF"):
        total = _current(node, name, total, state, rules)
    if kind not in ("I", "IF"):
        tau = torch.as_tensor(node.tau_mem if kind in ("CubaLI", "CubaLIF") else node.tau).double()
        v_leak = torch.as_tensor(node.v_leak).double()
        share = _share(tau, rules)
        euler = r * rules["dt"] / tau
        gain = {"tau": euler, "share": r * (1 - share), "whole": r, "decayed": euler / share}[rules["drive"]]
    if kind not in ("I", "LI", "CubaLI"):
        theta, rest = torch.as_tensor(node.v_threshold).double(), torch.as_tensor(node.v_reset).double()
    begin = {"zero": torch.tensor(0.0), "reset": rest, "leak": v_leak}[rules["start"]].double()
    before, fired = state.get(name, (begin.expand_as(total), torch.zeros_like(total)))
    charge = share * before + (1 - share) * v_leak + gain * total
    if kind in ("I", "LI", "CubaLI"):
        state[name] = charge, fired
        return charge
    if rules["order"] == "leak_first":
        charge = charge - fired * theta
    state[name, "charge"] = charge
    z = (charge >= theta if rules["compare"] == "ge" else charge > theta).double()
    after = charge - z * theta if rules["reset"] == "subtract" else (1 - z) * charge + z * rest
    state[name] = (charge, z) if rules["order"] == "leak_first" else (after, z)
    return z


def _share(tau, rules):
    return torch.exp(-rules["dt"] / tau) if rules["decay"] == "exp" else 1 - rules["dt"] / tau


def _current(node, name, total, state, rules):
    """The synaptic current that the membrane takes in this step; with ``late`` that of the step before."""
    tau, w_in = (torch.as_tensor(value).double() for value in (node.tau_syn, node.w_in))
    kept = _share(tau, rules)
    gain = {"tau": w_in * rules["dt"] / tau, "share": w_in * (1 - kept), "whole": w_in, "kept": w_in * kept}
    before = state.get((name, "current"), torch.zeros_like(total))
    state[name, "current"] = kept * before + gain[rules["current_drive"]] * total
    return before if rules.get("late") else state[name, "current"]


def agree(graph, shape, **rules):
    """Our network against ``run_by_hand``: every spike of every neuron, and the scores."""
    images = frames(*shape)
    rules = {"compare": "ge", "reset": "subtract", "steps": 9, **rules}
    chosen = {key: rules.get(key, usual) for key, usual in USUAL.items()} | {k: rules[k] for k in ("compare", "reset")}
    network = read_nir(graph, options(time_steps=rules["steps"], leak_order=chosen.pop("order"), **chosen))
    seen = run_by_hand(graph, images, **rules)
    mine = spikes_of(network, images)
    names = [layer.name for layer in network.layers if layer.threshold is not None]
    for name, train in zip(names, mine, strict=True):
        expected = seen[name].reshape(train.shape)
        assert 0 < expected.mean() < 1
        assert np.array_equal(train, expected), name
    last = seen["output"]
    end = graph.nodes[{b: a for a, b in graph.edges}["output"]]
    total = last[-1] if isinstance(end, (nir.I, nir.LI, nir.CubaLI)) else last.sum(axis=0)
    assert np.array_equal(
        floating.run(network, images) * network.time_steps, total.reshape(len(images), -1).astype(np.float32)
    )
    return network
