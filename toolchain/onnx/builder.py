"""What the nodes of an ONNX graph are built into: steps of a module, and the flows between them."""

import re
from collections import Counter
from dataclasses import dataclass, field
from keyword import iskeyword
from math import prod

import numpy as np
from torch import fx, nn

from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.onnx.model import Node
from toolchain.onnx.network import Step

__all__ = ["MAX_VALUES", "Builder", "Flow", "Value"]

MAX_VALUES = 1 << 24
"""Values of one frame or of what one layer gives for it."""
_NAME = 80
_RESERVED = {*dir(nn.Module()), *dir(fx.GraphModule)}
"""Attributes of modules, also of traced ones."""


@dataclass(frozen=True)
class Flow:
    """What flows behind a step: ``shape`` without the batch, (C, H, W), (C, L) or (F,).

    ``waits`` says that it is a weighted sum no activation has seen yet, so that a bias or a factor can join it.
    """

    step: int
    shape: tuple[int, ...]
    waits: bool = False


Value = Flow | np.ndarray | None
"""What a name stands for: a flow, a constant, or ``None`` for an input that is left out."""


@dataclass
class Builder:
    """Collects the steps of one model.

    Members
    -------
    opset, batch : of the model
    readers : how many nodes read a value, by name
    values : what is known of each name; broken ones are missing
    problems : what keeps the module from being built, in the order of the nodes
    made_by, wrong_at : the node that each step, and each problem, is of; None for the frame and for the whole model
    """

    opset: int
    batch: int | None
    readers: Counter[str]
    steps: list[Step] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    problems: list[SpikeloomError] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    made_by: list[Node | None] = field(default_factory=list)
    wrong_at: list[Node | None] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)

    def belongs(self, node: Node | None) -> None:
        """All steps and problems that have come since the last call are of this node."""
        self.made_by += [node] * (len(self.steps) - len(self.made_by))
        self.wrong_at += [node] * (len(self.problems) - len(self.wrong_at))

    def add(self, name: str, module: nn.Module, *sources: int) -> int:
        """A step, by a name that is safe in generated code and unique."""
        safe = re.sub(r"[^0-9A-Za-z_/]+", "_", name).strip("/_")[:_NAME] or "node"
        unique, number = safe, 1
        while unique in self._names or unique in _RESERVED or iskeyword(unique):
            number += 1
            unique = f"{safe}_{number}"
        self._names.add(unique)
        self.steps.append(Step(unique, module, sources))
        return len(self.steps) - 1

    def flow(
        self, node: Node, module: nn.Module, shape: tuple[int, ...], *sources: Flow, waits: bool = False, part: str = ""
    ) -> Flow:
        """Add what ``node``, or a ``part`` of it, does as a step.

        Raises
        ------
        InvalidValue
            A result without values, or with more than ``MAX_VALUES``.
        UnsupportedModule
            A weighted sum that is read a second time before its activation.
        """
        if min(shape) < 1 or prod(shape) > MAX_VALUES:
            raise InvalidValue(
                f"{node} gives {shape}, must be at least 1 along each axis and {MAX_VALUES:,} values in all"
            )
        for source in sources:
            if source.waits and source.step in self._taken:
                raise UnsupportedModule(
                    f"{node} and others read {self.steps[source.step].name!r} before its activation, so each would need a copy of "
                    "its weights; put the branching behind an activation"
                )
        self._taken.update(source.step for source in sources if source.waits)
        return Flow(self.add(node.name + part, module, *(source.step for source in sources)), shape, waits)

    def replace(self, flow: Flow, module: nn.Module) -> None:
        """Another module in the place of a step."""
        old = self.steps[flow.step]
        self.steps[flow.step] = Step(old.name, module, old.sources)
