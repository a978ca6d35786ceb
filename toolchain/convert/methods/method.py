"""What a conversion method is, and the thresholds that several of them share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.statistics import Distribution, Observed
from toolchain.errors import InvalidValue
from toolchain.ir import INPUTS, MAX_TIME_STEPS, SpikingNetwork

__all__ = ["Method", "Options", "changed", "largest", "trained"]

RELU_KINDS = ("relu", "threshold", "qcfs", "quantized")
"""Activations that are 0 below 0 and rise with slope 1 above, quantized or not."""


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    Members
    -------
    shift : half a threshold as start
    percentile : of the methods that take one, ``None`` for the others
    time_steps : T, for the methods whose result depends on it
    """

    shift: bool = True
    percentile: float | None = None
    time_steps: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.time_steps, int) or not 1 <= self.time_steps <= MAX_TIME_STEPS:
            raise InvalidValue(f"time steps is {self.time_steps}, must be 1 to {MAX_TIME_STEPS}")


Thresholds = Callable[[Activation, Distribution, Options], np.ndarray]
"""(activation, its values on the calibration set, options) → θ, float64 [C]."""
Refinement = Callable[[SpikingNetwork, Observed, Options], SpikingNetwork]
"""(network with thresholds, calibration set, options) → the network, set layer by layer while those before spike."""
Notes = Callable[[Sequence[Activation], Options], dict[str, Any]]
"""(all activations, options) → entries of the provenance, JSON values."""


@dataclass(frozen=True)
class Method:
    """One published conversion.

    Members
    -------
    thresholds : callable
    below : θ⁻ of negative ``asymmetric``, as ``thresholds``
    refine : the layer by layer pass over the spiking network, where the method needs one
    notes : what else the provenance says
    activations : kinds of activation it is made for
    schedules, negatives, resets, inputs : neurons and inputs it is made for, the usual one first
    time_steps : the usual T
    histograms : whether the thresholds need more than the largest values, and so a second pass
    percentile : the usual one, if the method takes one
    shift : whether V(0) = θ/2: ``True``, ``False``, or ``None`` for the user's choice
    for_one_t : whether the result holds for the T it was converted for only
    """

    thresholds: Thresholds
    below: Thresholds | None = None
    refine: Refinement | None = None
    notes: Notes = lambda activations, options: {}
    activations: tuple[str, ...] = RELU_KINDS
    schedules: tuple[str, ...] = ("two_phase", "stream", "radix")
    negatives: tuple[str, ...] = ("none", "correcting")
    resets: tuple[str, ...] = ("subtract", "zero")
    inputs: tuple[str, ...] = INPUTS
    time_steps: int = 4
    histograms: bool = False
    percentile: float | None = None
    shift: bool | None = None
    for_one_t: bool = False

    def choose(self, name: str, **asked: str | None) -> dict[str, str]:
        """The network's schedule, negative, reset and input, the usual one for ``None``.

        Raises
        ------
        InvalidValue
            One that the method is not made for.
        """
        made_for = {
            "schedule": self.schedules, "negative": self.negatives, "reset": self.resets, "input": self.inputs
        }  # fmt: skip
        chosen = {what: asked[what] or usual[0] for what, usual in made_for.items()}
        for what, value in chosen.items():
            if value not in made_for[what]:
                raise InvalidValue(
                    f"{what} is {value!r}, must be one of {', '.join(made_for[what])} with method {name}"
                )
        return chosen

    def percentile_of(self, name: str, asked: float | None) -> float | None:
        """The percentile asked for or the usual one; refused where the method takes none."""
        if asked is not None and self.percentile is None:
            raise InvalidValue(f"percentile {asked:g} is for methods robust_norm and channel_norm, {name} takes none")
        return self.percentile if asked is None else asked

    def shifts(self, name: str, options: Options) -> bool:
        """Whether V(0) = θ/2, which equals b + θ/(2T), and not 0."""
        if self.shift and not options.shift:
            raise InvalidValue(
                f"method {name} has its shift of θ/2 built in, it cannot be left out; use method optimal"
            )
        return options.shift if self.shift is None else self.shift


def trained(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ = λ, the limit of the trained activation."""
    assert activation.limit is not None
    return np.full(values.largest.shape, activation.limit)


def largest(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """Threshold balancing: θ = largest activation seen in the layer."""
    return np.full(values.largest.shape, values.largest.max())


def changed(network: SpikingNetwork, index: int, **arrays: Any) -> SpikingNetwork:
    """The same network with other arrays in one layer."""
    layers = list(network.layers)
    layers[index] = replace(layers[index], **arrays)
    return replace(network, layers=tuple(layers))
