"""Activations for training networks that convert without loss."""

from typing import Any

import torch
from torch import Tensor, nn

from toolchain.errors import InvalidValue

__all__ = ["ACTIVATIONS", "QCFS", "QuantizedReLU", "StReLU", "ThresholdLeakyReLU", "ThresholdReLU"]


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


class _LearnedStep(torch.autograd.Function):
    """s·clip(⌊x/s + ½⌋, 0, Q) forward, the gradients of LSQ backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.levels = levels
        return step * (x / step + 0.5).floor().clamp(0, levels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, step = ctx.saved_tensors
        quotient = x / step
        inside = (quotient > 0) & (quotient < ctx.levels)
        by_step = torch.where(inside, (quotient + 0.5).floor() - quotient, ctx.levels * (quotient >= ctx.levels))
        scale = (x[0].numel() * ctx.levels) ** -0.5
        return gradient * inside, (gradient * by_step).sum() * scale, None


class QuantizedReLU(nn.Module):
    """Quantized ReLU with a learned step size (LSQ), ``y = s·clip(⌊x/s + ½⌋, 0, 2^bits − 1)``, ``[N, ...]``.

    With ``Q = 2^bits − 1`` and ``q = x/s``: ``∂y/∂x`` is 1 for 0 < q < Q, else 0; ``∂y/∂s`` is ⌊q + ½⌋ − q
    for 0 < q < Q, 0 below and Q above, and the gradient of s is scaled by 1/√(F·Q), where F counts the
    features of one image.

    Source: Esser et al., "Learned step size quantization", ICLR 2020, equations 1 to 3 and section 2.2.

    Members
    -------
    step : s, one learned scalar for the layer
    levels : Q
    threshold : s·Q, the largest value

    Raises
    ------
    InvalidValue
        ``bits`` outside 1 to 10, or ``step <= 0``.
    """

    def __init__(self, bits: int = 2, step: float = 1.0):
        super().__init__()
        if not 1 <= bits <= 10:
            raise InvalidValue(f"QuantizedReLU bits is {bits}, must be 1 to 10")
        if not step > 0:
            raise InvalidValue(f"QuantizedReLU step is {step}, must be above 0")
        self.levels = 2**bits - 1
        self.step = nn.Parameter(torch.tensor(float(step)))

    @property
    def threshold(self) -> Tensor:
        return self.step * self.levels

    def forward(self, x: Tensor) -> Tensor:
        return _LearnedStep.apply(x, self.step, self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, step={self.step.item():.4g}"


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


class ThresholdLeakyReLU(_Clipped):
    """Leaky ReLU clipped on both sides, ``min(max(x, slope·x, −θ), θ)``, any shape, ``threshold`` = θ fixed.

    The asymmetric comparator of StReLU: its spiking counterpart has the thresholds θ and −θ/slope. Source: a
    reconstruction from the description in Machine Intelligence Research 20(3), 2023.

    Raises
    ------
    InvalidValue
        ``threshold <= 0``, or ``slope`` outside 0 (exclusive) to 1.
    """

    def __init__(self, threshold: float = 1.0, slope: float = 0.1):
        super().__init__(threshold)
        if not 0 < slope <= 1:
            raise InvalidValue(f"ThresholdLeakyReLU slope is {slope}, must be above 0 and at most 1")
        self.slope = float(slope)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(x, self.slope).clamp(-self.threshold, self.threshold)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, slope={self.slope:.4g}"


ACTIVATIONS = (QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU)
"""Every activation of this module."""
