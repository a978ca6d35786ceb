"""Check a NIR graph: every node."""

from dataclasses import replace
from pathlib import Path

from toolchain.checking.finding import Checked, Finding, finding_of
from toolchain.checking.network_file import integers
from toolchain.checking.options import USUAL_STEPS, CheckOptions
from toolchain.errors import SpikeloomError
from toolchain.interchange import Look, Options, current_text, import_graph, leak_text, load_graph, look_at_graph
from toolchain.leak import Decay

__all__ = ["check_nir"]

NOTES = {
    "Affine": "synapses from all to all", "Linear": "synapses from all to all",
    "Conv1d": "a convolution", "Conv2d": "a convolution",
    "SumPool2d": "folded into the weights", "AvgPool2d": "folded into the weights", "Scale": "folded into the weights",
    "Flatten": "costs nothing", "Input": "the frame", "Output": "the scores", "I": "the readout", "LI": "a leaky integrator",
    "CubaLI": "the readout",
}  # fmt: skip
"""What becomes of a node that converts, by kind; others are neurons."""


def check_nir(path: Path, options: CheckOptions) -> Checked:
    """Every node of a graph in a NIR file.

    Raises
    ------
    NetworkFileError
        The file is no NIR file.
    InvalidValue
        An unknown preset.
    """
    options.refuse(f"{path.name}, a NIR graph", "weights", "activation")
    found: list[tuple[str, SpikeloomError]] = []
    graph = load_graph(path, found)
    chosen = Options(preset=options.preset, time_steps=options.time_steps, input_shape=options.input_shape)
    wrong: dict[str, SpikeloomError] = {}
    for name, error in found:
        wrong.setdefault(name, error)
    # where edges and ends are sound there is an order
    look = Look([], [], USUAL_STEPS, True) if "" in wrong else look_at_graph(graph, chosen, USUAL_STEPS, wrong)
    for node, problem in look.nodes:
        if problem is not None:
            wrong.setdefault(node.name, problem)
    looked = {node.name for node, _ in look.nodes}
    findings = [finding_of(name, "graph", error) for name, error in found if not name]
    for node in graph.nodes.values():
        if node.name in wrong:
            findings.append(finding_of(node.name, node.kind, wrong[node.name]))
        elif node.name in look.leaks or node.name in look.currents:
            findings.append(_leaking(node.name, node.kind, look))
        elif node.name in looked:
            findings.append(Finding(node.name, node.kind, "exact", NOTES.get(node.kind, "a neuron")))
        else:
            findings.append(
                Finding(node.name, node.kind, "unknown", "what leads to it cannot be read", "mend that first")
            )
    kind = "NIR graph"
    assumed = list(look.warnings)
    if wrong:
        return Checked(path.name, kind, tuple(findings), None, tuple(assumed))
    network = import_graph(graph, replace(chosen, time_steps=look.time_steps), path.stem)
    fixed, problems = integers(network, options.bits)
    if not look.told:
        assumed.append(f"T = {look.time_steps} (-T)")
    if options.weight_bits is None:
        assumed.append(f"{options.bits}-bit weights (-b)")
    return Checked(path.name, kind, (*problems, *findings), fixed, tuple(assumed))


def _leaking(name: str, kind: str, look: Look) -> Finding:
    """A node whose membrane or synaptic current leaks: what shifts make of it."""
    kept = [
        (text, shares[name])
        for text, shares in ((current_text, look.currents), (leak_text, look.leaks))
        if name in shares
    ]
    exact = all(Decay.nearest(share).share == share for _, share in kept)
    return Finding(
        name, kind, "exact" if exact else "rounds", "; ".join(f"keeps {text(share)}" for text, share in kept)
    )
