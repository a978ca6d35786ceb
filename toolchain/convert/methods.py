"""Conversion methods: from an activation of the source network to threshold, initial membrane and neuron."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.convert.graph import Activation, Block
from toolchain.errors import InvalidValue, UnsupportedModule

__all__ = ["METHODS", "Method", "check_activation"]

Thresholds = Callable[[Block, Activation, float, bool], tuple[np.ndarray, np.ndarray]]
"""(block, its activation, largest activation on the calibration set, shift) → (θ [C], V(0) [C])."""


@dataclass(frozen=True)
class Method:
    """One published conversion.

    Members
    -------
    thresholds : callable
    activations : kinds of activation it is made for
    schedules, negatives : neurons it is made for, the usual one first
    """

    thresholds: Thresholds
    activations: tuple[str, ...] = ("relu", "threshold", "qcfs")
    schedules: tuple[str, ...] = ("two_phase", "stream", "radix")
    negatives: tuple[str, ...] = ("none", "correcting")

    def choose(self, name: str, schedule: str | None, negative: str | None) -> tuple[str, str]:
        """Schedule and negative of the network, the usual ones for ``None``; refuses what the method is not made for."""
        chosen = (schedule or self.schedules[0], negative or self.negatives[0])
        for what, value, made_for in zip(
            ("schedule", "negative"), chosen, (self.schedules, self.negatives), strict=True
        ):
            if value not in made_for:
                raise InvalidValue(f"{what} is {value!r}, must be one of {', '.join(made_for)} with method {name}")
        return chosen


def qcfs(block: Block, activation: Activation, largest: float, shift: bool) -> tuple[np.ndarray, np.ndarray]:
    """θ = λ, V(0) = θ/2: with T = L and ``two_phase`` the spiking layer is the QCFS activation itself.

    Source: Bu et al., ICLR 2022, theorem 2.
    """
    if not shift:
        raise InvalidValue("method qcfs has its shift of θ/2 built in, it cannot be left out; use method optimal")
    assert activation.limit is not None
    threshold = np.full(block.bias.shape, activation.limit)
    return threshold, threshold / 2


def optimal(block: Block, activation: Activation, largest: float, shift: bool) -> tuple[np.ndarray, np.ndarray]:
    """Threshold balancing: θ = largest activation seen; with shift V(0) = θ/2, which equals b + θ/(2T).

    At T ≥ 200 the shift can hurt. Source: Deng & Gu, ICLR 2021, sections 4 and 5.
    """
    if not largest > 0:
        raise InvalidValue(
            f"layer {block.name!r} is silent on the whole calibration set, so its threshold would be {largest}; "
            "give more or other calibration images"
        )
    threshold = np.full(block.bias.shape, largest)
    return threshold, threshold / 2 if shift else np.zeros_like(threshold)


def strelu(block: Block, activation: Activation, largest: float, shift: bool) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds ±θ of the symmetric threshold ReLU, V(0) = 0: half a threshold would favour one sign.

    A reconstruction of the method of Machine Intelligence Research 20(3), 2023, from its description.
    """
    assert activation.limit is not None
    threshold = np.full(block.bias.shape, activation.limit)
    return threshold, np.zeros_like(threshold)


METHODS: dict[str, Method] = {
    "qcfs": Method(qcfs, activations=("qcfs",)),
    "optimal": Method(optimal),
    "strelu": Method(strelu, activations=("strelu",), negatives=("symmetric",)),
    # a reconstruction of SpikeConverter (AAAI 2022) from its abstract, with an inverse leak of 2
    "spike_converter": Method(optimal, schedules=("radix",), negatives=("none",)),
}
"""The registry: what stands here can be asked for by name."""


def check_activation(name: str, activation: Activation) -> None:
    """Refuse an activation that method ``name`` is not made for."""
    made_for = METHODS[name].activations
    if activation.kind not in made_for:
        others = [other for other, method in METHODS.items() if activation.kind in method.activations]
        raise UnsupportedModule(
            f"method {name} needs {' or '.join(made_for)} activations, {activation.name!r} is {activation.kind}; "
            f"use method {' or '.join(others)}"
        )
