"""Conversion methods: from an activation of the source network to threshold and initial membrane."""

from collections.abc import Callable

import numpy as np

from toolchain.convert.graph import Block
from toolchain.errors import InvalidValue, UnsupportedModule

__all__ = ["METHODS", "Method"]

Method = Callable[[Block, float, bool], tuple[np.ndarray, np.ndarray]]
"""(block, largest activation on the calibration set, shift) → (threshold [C], initial membrane [C])."""


def qcfs(block: Block, largest: float, shift: bool) -> tuple[np.ndarray, np.ndarray]:
    """θ = λ, V(0) = θ/2: with T = L and ``two_phase`` the spiking layer is the QCFS activation itself.

    Source: Bu et al., ICLR 2022, theorem 2.
    """
    activation = block.activation
    assert activation is not None
    if activation.kind != "qcfs" or activation.limit is None:
        raise UnsupportedModule(
            f"method qcfs needs QCFS activations, {activation.name!r} is {activation.kind}; "
            "train with toolchain.nn.QCFS or use method optimal"
        )
    if not shift:
        raise InvalidValue("method qcfs has its shift of θ/2 built in, it cannot be left out; use method optimal")
    threshold = np.full(block.bias.shape, activation.limit)
    return threshold, threshold / 2


def optimal(block: Block, largest: float, shift: bool) -> tuple[np.ndarray, np.ndarray]:
    """Threshold balancing: θ = largest activation seen; with shift V(0) = θ/2, which equals b + θ/(2T).

    At T ≥ 200 the shift can hurt. Source: Deng & Gu, ICLR 2021, sections 4 and 5.
    """
    activation = block.activation
    assert activation is not None
    if not largest > 0:
        raise InvalidValue(
            f"layer {block.name!r} is silent on the whole calibration set, so its threshold would be {largest}; "
            "give more or other calibration images"
        )
    threshold = np.full(block.bias.shape, largest)
    return threshold, threshold / 2 if shift else np.zeros_like(threshold)


METHODS: dict[str, Method] = {"qcfs": qcfs, "optimal": optimal}
