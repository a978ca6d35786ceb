"""Check an ONNX model: every node that the scores depend on, by its own name."""

from pathlib import Path

import numpy as np
from torch import nn

from toolchain.checking.finding import Checked, Finding, finding_of
from toolchain.checking.options import CheckOptions
from toolchain.checking.torch_source import NOTES, check_module, neuron
from toolchain.connection import Shape
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.ir import FixedPointNetwork
from toolchain.onnx.builder import Builder, Flow
from toolchain.onnx.model import Model, Node, load_model
from toolchain.onnx.translate import assembled, translate

__all__ = ["check_onnx"]

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.LeakyReLU: "leaky"}
"""Kinds of those that have no limit."""
_ORDER = ("no", "change", "unknown", "rounds", "exact")
"""Verdicts, the worst first."""


def _frame(model: Model, options: CheckOptions) -> Shape:
    """(C, H, W) of the frames."""
    first, *places = model.shape
    shape = (first, *([1] * (2 - len(places))), *places)
    if options.input_shape not in (None, shape):
        raise InvalidValue(
            f"--input-shape is {options.input_shape}, the model says {shape}; leave it out, or export for such frames"
        )
    return (shape[0], shape[1], shape[2])


def _step_finding(node: Node, module: nn.Module) -> Finding:
    """What a step is, where what follows it could not be built."""
    kind = type(module).__name__
    if isinstance(module, nn.Hardtanh):
        return Finding(node.name, node.op, *neuron("strelu" if module.min_val else "threshold", None))
    if type(module) in _ACTIVATIONS:
        return Finding(node.name, node.op, *neuron(_ACTIVATIONS[type(module)], None))
    return Finding(node.name, node.op, "exact", NOTES.get(kind, "converts"))


def _joined(node: Node, found: list[Finding]) -> list[Finding]:
    """Findings of the steps that a node became: all problems, or one that says what becomes of it."""
    named = [Finding(node.name, node.op, f.verdict, f.reason, f.way_out) for f in found]
    problems = [finding for finding in named if not finding.fine]
    if problems:
        return problems
    verdict = min((f.verdict for f in named), key=_ORDER.index)
    return [Finding(node.name, node.op, verdict, "; ".join(dict.fromkeys(f.reason for f in named)))]


def _findings(builder: Builder, model: Model, looked: dict[Node | None, list[Finding]]) -> list[Finding]:
    """One or more of each node; constants, and what computes them, are no layers."""
    wrong: dict[Node | None, list[SpikeloomError]] = {}
    for node, error in zip(builder.wrong_at, builder.problems, strict=True):
        wrong.setdefault(node, []).append(error)
    own: dict[Node | None, list[nn.Module]] = {}
    for node, step in zip(builder.made_by, builder.steps, strict=True):
        own.setdefault(node, []).append(step.module)
    found = [finding_of("", "model", error) for error in wrong.get(None, [])]
    found += [finding for finding in looked.get(None, []) if not finding.layer]
    for node in model.nodes:
        value = builder.values.get(node.outputs[0])
        if node in wrong:
            found += [finding_of(node.name, node.op, error) for error in wrong[node]]
        elif node in looked:
            found += _joined(node, looked[node])
        elif isinstance(value, np.ndarray):
            continue
        elif node in own:
            found += _joined(node, [_step_finding(node, module) for module in own[node]])
        elif value is not None:
            found.append(Finding(node.name, node.op, "exact", "joins what stands before it"))
        else:
            found.append(Finding(node.name, node.op, "unknown", "what leads to it cannot be read", "mend that first"))
    return found


def check_onnx(path: Path, options: CheckOptions) -> Checked:
    """Every node of an ONNX model.

    What only the layers together show is told too, unless shapes are lost behind a node that cannot be read.

    Raises
    ------
    NetworkFileError, InvalidValue
        The file cannot be read, is damaged or too large; ``options`` contradict it.
    ToolMissing
        The package ``onnx`` is not installed.
    """
    try:
        model = load_model(path)
    except UnsupportedModule as error:  # not even its nodes can be told
        return Checked(path.name, "ONNX model", (finding_of("", "model", error),), None)
    kind = f"ONNX model of opset {model.opset}"
    shape = _frame(model, options)
    builder = translate(model)
    looked: dict[Node | None, list[Finding]] = {}
    network: FixedPointNetwork | None = None
    assumed: tuple[str, ...] = ()
    if isinstance(builder.values.get(model.output), Flow):
        checked = check_module(path.name, assembled(builder, model), shape, options)
        node_of = {step.name: node for step, node in zip(builder.steps, builder.made_by, strict=True)}
        for finding in checked.findings:
            looked.setdefault(node_of.get(finding.layer), []).append(finding)
        if not builder.problems:
            network, assumed = checked.network, checked.assumed
    return Checked(path.name, kind, tuple(_findings(builder, model, looked)), network, assumed)
