"""Activations for training networks that convert without loss."""

import torch
from torch import Tensor, nn

from toolchain.errors import InvalidValue

__all__ = ["QCFS", "StReLU", "ThresholdReLU"]


class _FloorStraightThrough(torch.autograd.Function):
    """⌊x⌋ forward, identity backward."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class QCFS(nn.Module):
    """Quantization clip-floor-shift activation, ``λ·clip(⌊x·L/λ + ½⌋/L, 0, 1)``, any shape.

    ``λ`` (``threshold``) is learned, one scalar for the layer; the floor has a straight-through
    gradient. With ``L = T`` a ``two_phase`` spiking layer computes exactly this function.

    Source: Bu et al., "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking
    neural networks", ICLR 2022, equation 13.

    Raises
    ------
    InvalidValue
        ``levels < 1`` or ``threshold <= 0``.
    """

    def __init__(self, levels: int = 4, threshold: float = 8.0):
        super().__init__()
        if not 1 <= levels <= 1024:
            raise InvalidValue(f"QCFS levels is {levels}, must be 1 to 1024")
        if not threshold > 0:
            raise InvalidValue(f"QCFS threshold is {threshold}, must be above 0")
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, x: Tensor) -> Tensor:
        steps = _FloorStraightThrough.apply(x * (self.levels / self.threshold) + 0.5)
        return self.threshold * (steps / self.levels).clamp(0.0, 1.0)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, threshold={self.threshold.item():.4g}"


class _Clipped(nn.Module):
    """An activation with a fixed ``threshold``, above 0."""

    def __init__(self, threshold: float = 1.0):
        super().__init__()
        if not threshold > 0:
            raise InvalidValue(f"{type(self).__name__} threshold is {threshold}, must be above 0")
        self.threshold = float(threshold)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:.4g}"


class StReLU(_Clipped):
    """Symmetric threshold ReLU ``min(max(x, −θ), θ)``, any shape, ``threshold`` = θ fixed.

    Its spiking counterpart fires negative spikes too (``negative = symmetric``). Source: a
    reconstruction of the activation of Machine Intelligence Research 20(3), 2023, from its description.

    Raises
    ------
    InvalidValue
        ``threshold <= 0``.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-self.threshold, self.threshold)


class ThresholdReLU(_Clipped):
    """Clipped activation ``min(max(x, 0), y_th)``, any shape, ``threshold`` = y_th fixed.

    Source: Deng & Gu, "Optimal conversion of conventional artificial neural networks to spiking
    neural networks", ICLR 2021, section 4.

    Raises
    ------
    InvalidValue
        ``threshold <= 0``.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0.0, self.threshold)
