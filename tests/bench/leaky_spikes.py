"""``python tests/bench/leaky_spikes.py REPORT.md``: how far the spikes of leaky networks are from those of floating point.

Networks that snnTorch, spikingjelly, sinabs and Norse export (``tests.leaky_exports``), imported under their presets. What
differs is told apart: β becomes shifts (the float network with the shifts' β), and then weights, biases, thresholds and every
decay become integers. Then the same of α where synaptic currents last, with a β that shifts are equal to.
"""

import sys
import warnings
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from sim import floating, golden
from sim.passage import passages
from tests.leaky_exports import EXPORTERS, INPUTS, exported
from toolchain.interchange import read_nir
from toolchain.ir import SpikingNetwork
from toolchain.leak import Decay, time_constant
from toolchain.quantize import quantize

STEPS, IMAGES = 32, 128
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
CURRENTS, BESIDE = (0.5, 0.6, 0.7, 0.8, 0.9), 0.75
HEAD = """# Spikes of leaky networks: integers against floating point

Measured: `python tests/bench/leaky_spikes.py reports/interchange/leaky-spikes.md`.

Networks of 20 inputs, 24 and 12 leaky neurons and a readout of 5, seeded and not trained, as the framework's own exporter wrote them,
imported under its preset. {images} random frames, T = {steps}. β is the share of a membrane that stays in a step. *Spikes that differ* are
neuron by neuron and step by step, in per cent of all neurons and steps of both layers, against the float network with the exact β; *β only*
is the float network with the shifts' β, and *16, 8, 4 bit* are integers with weights of so many. *Spikes* is how many of 100 there are; *count* is by how much the number of all spikes changes, 8-bit weights. *Same winner*: how often the largest
score is the same class, 8-bit weights.

A spike that comes a step later counts twice, and a membrane that fell on the other side of its threshold goes on otherwise until it has
leaked away. With 16-bit weights all that differs is β's, but for 0.03 %; with 8 bit weights count as much as β does, with 4 bit far
more. No network here was trained, so this is not accuracy: train with the shifts' β, which `import` prints, and β costs nothing.

| framework | β | shifts | β off by | τ off by | spikes | β only | 16 bit | 8 bit | 4 bit | count | same winner |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""

CURRENTS_HEAD = """
Synaptic currents that last: snnTorch's Synaptic, spikingjelly's CUBALIFNode, sinabs' LIF with `tau_syn`, Norse's LIFCell. The same networks with
weights 1 − α times as large, since currents add up; β is {beta:g}, which is 1 − 2^−2, so that of all shares only α is off.
At α = 0.95 16-bit weights on these pixels would need a membrane of 33 bits, which is one too many.

| framework | α | shifts | α off by | τ_syn off by | spikes | α only | 16 bit | 8 bit | 4 bit | count | same winner |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def spikes_of(network: SpikingNetwork, frames: np.ndarray) -> list[np.ndarray]:
    """Of each firing layer, [N, T, C, H, W]."""
    trains: dict[int, list[np.ndarray]] = {}
    for passage in passages(network, frames):
        if passage.spikes is not None:
            trains.setdefault(passage.layer, []).append(passage.spikes.transpose(0, 1).numpy())
    return [np.concatenate(parts) for _, parts in sorted(trains.items())]


def differing(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Per cent."""
    pairs = list(zip(first, second, strict=True))
    return 100 * sum(int((a != b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs)


def row(preset: str, beta: float, alpha: float | None, frames: np.ndarray) -> str:
    """One line of the table of β, or of that of α."""
    graph, options = exported(preset, beta, STEPS, alpha=alpha)
    network = read_nir(graph, options)
    share = network.layers[0].leak if alpha is None else network.layers[0].current_leak
    assert share is not None
    decay = Decay.nearest(share)
    exact, scores = spikes_of(network, frames), floating.run(network, frames)
    moved = tuple(
        replace(layer, leak=_moved(layer.leak), current_leak=_moved(layer.current_leak)) for layer in network.layers
    )
    shifted = differing(exact, spikes_of(replace(network, layers=moved), frames))
    found = {bits: golden.run(quantize(network, bits), frames, "spikes") for bits in (16, 8, 4)}
    off = [f"{differing(exact, list(trace.spikes)):.2f}" for trace in found.values()]
    total = sum(int(train.sum()) for train in exact)
    count = 100 * (sum(int(train.sum()) for train in found[8].spikes) / total - 1)
    winner = 100 * float((scores.argmax(axis=1) == found[8].scores.argmax(axis=1)).mean())
    rate = 100 * total / sum(train.size for train in exact)
    wrong = 100 * (time_constant(decay.share) / time_constant(share) - 1)
    cells = [
        preset, f"{beta if alpha is None else alpha:g}", decay.text(), f"{decay.share - share:+.1e}", f"{wrong:+.2f}%",
        f"{rate:.1f}%", f"{shifted:.2f}", *off, f"{count:+.2f}%", f"{winner:.1f}%",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _moved(share: float | None) -> float | None:
    return None if share is None else Decay.nearest(share).share


def main(report: Path) -> None:
    """Measure all and write both tables."""
    warnings.simplefilter("ignore")
    frames = np.random.default_rng(1).integers(0, 256, (IMAGES, INPUTS, 1, 1)).astype(np.uint8)
    text = ""
    for head, points in (
        (HEAD.format(images=IMAGES, steps=STEPS), [(beta, None) for beta in SHARES]),
        (CURRENTS_HEAD.format(beta=BESIDE), [(BESIDE, alpha) for alpha in CURRENTS]),
    ):
        lines = []
        for preset, (beta, alpha) in product(EXPORTERS, points):
            lines.append(row(preset, beta, alpha, frames))
            print(lines[-1], flush=True)
        text += head + "\n".join(lines) + "\n"
    tools = ", ".join(f"{name} {version(name)}" for name in (*EXPORTERS, "nir", "torch", "numpy"))
    report.write_text(f"{text}\n{tools}.\n", encoding="utf8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
