"""What a user may say about a model that is checked."""

from dataclasses import dataclass
from pathlib import Path

from toolchain.connection import Shape
from toolchain.errors import InvalidValue
from toolchain.ir import MAX_TIME_STEPS

__all__ = ["USUAL_BITS", "USUAL_STEPS", "CheckOptions"]

USUAL_STEPS = 4
"""T where neither the model nor the user says one."""
USUAL_BITS = 8
"""Weight bits, likewise."""


@dataclass(frozen=True)
class CheckOptions:
    """``None`` takes what the model says, otherwise the usual.

    Members
    -------
    time_steps, weight_bits : int or None
    input_shape : (C, H, W) or None
        Of the frames, where the model does not say it.
    weights : Path or None
        State dict for FILE.py:FUNCTION.
    activation : str or None
        Of an untrained architecture.
    preset : str or None
        Of a NIR graph.
    """

    time_steps: int | None = None
    weight_bits: int | None = None
    input_shape: Shape | None = None
    weights: Path | None = None
    activation: str | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.time_steps is not None and not 1 <= self.time_steps <= MAX_TIME_STEPS:
            raise InvalidValue(f"time steps is {self.time_steps}, must be 1 to {MAX_TIME_STEPS}")
        if self.weight_bits is not None and not 2 <= self.weight_bits <= 16:
            raise InvalidValue(f"weight bits is {self.weight_bits}, must be 2 to 16")

    @property
    def bits(self) -> int:
        """Weight bits that are asked for, or the usual."""
        return USUAL_BITS if self.weight_bits is None else self.weight_bits

    def refuse(self, model: str, *names: str) -> None:
        """Refuse those members among ``names`` that are given: they mean nothing for ``model``.

        Raises
        ------
        InvalidValue
            One of them is given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise InvalidValue(f"--{name.replace('_', '-')} means nothing for {model}; leave it out")
