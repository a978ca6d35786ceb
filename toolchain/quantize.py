"""Fold a spiking network into integers, and say what that costs, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.fixedpoint import round_half_up, weight_limit
from toolchain.ir import INPUT, SCHEDULES, FixedPointLayer, FixedPointNetwork, SpikingLayer, SpikingNetwork
from toolchain.leak import Decay, time_constant

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLIPPINGS",
    "LeakError",
    "current_leak_errors",
    "dequantize",
    "error_table",
    "leak_errors",
    "quantize",
    "quantize_layer",
    "score_scale",
]


def _max_scale(weights: np.ndarray, limit: int) -> np.ndarray:
    """Scale at which the largest weight of each row is just ``limit``; float64 [rows]."""
    scale: np.ndarray = np.abs(weights).max(axis=1) / limit
    return scale


def _mse_scale(weights: np.ndarray, limit: int) -> np.ndarray:
    """Of 64 scales from 0.25 to 1 times the largest weight's, the one of least squared error, each row."""
    widest = _max_scale(weights, limit)
    best, least = widest, np.full(widest.shape, np.inf)
    for factor in np.linspace(1.0, 0.25, 64):
        scale = np.where(widest > 0, widest * factor, 1.0)
        rounded = np.clip(round_half_up(weights / scale[:, None]), -limit, limit) * scale[:, None]
        error = ((weights - rounded) ** 2).sum(axis=1)
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return np.where(widest > 0, best, 0.0)


CLIPPINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"max": _max_scale, "mse": _mse_scale}
"""How the scale of a channel is chosen: no weight clipped, or least squared error."""


@dataclass(frozen=True, eq=False)
class _Charges:
    """What the integers of a layer stand for besides its weights, in units of membrane potential, ``[C]`` each."""

    threshold: np.ndarray | None
    negative_threshold: np.ndarray | None
    offset: np.ndarray
    bias: np.ndarray

    def named(self) -> dict[str, np.ndarray]:
        """Those there are."""
        return {f.name.replace("_", " "): v for f in fields(self) if (v := getattr(self, f.name)) is not None}


def _charges(network: SpikingNetwork, layer: SpikingLayer) -> _Charges:
    """For the network's schedule and T.

    ``two_phase`` and ``radix`` collect N presentations before they fire, T or 2^T − 1 ``levels``, so
    offset = V(0) + N·b; a frame arrives only once there, so thresholds and offset are 1/N of that.
    """
    if network.schedule == "stream":
        return _Charges(layer.threshold, layer.negative_threshold, layer.initial, layer.bias)
    levels = network.levels
    together = levels if network.reads_frame(layer) else 1  # presentations that one stands for
    return _Charges(
        None if layer.threshold is None else layer.threshold / together,
        None if layer.negative_threshold is None else layer.negative_threshold / together,
        layer.initial / together + levels // together * layer.bias,
        np.zeros_like(layer.bias),
    )


def _power_scale(layer: str, threshold: np.ndarray, scale: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Least scales at which all thresholds are one power of two, float64 ``[C]``.

    At least ``scale`` in the ``live`` channels, bool ``[C]``; the weights of the others are 0 at any scale.
    """
    power = np.floor(np.log2((threshold / scale)[live if live.any() else ...].min()))
    if power < 0:
        raise InvalidValue(
            f"layer {layer}: no power of two fits as threshold, its weights are larger than its threshold; use more "
            "weight bits, or thresholds that are not powers of two"
        )
    return threshold / 2.0**power


def quantize_layer(
    network: SpikingNetwork, layer: SpikingLayer, weight_bits: int, clipping: str = "max", pow2: bool = False
) -> tuple[FixedPointLayer, np.ndarray]:
    """The integer layer and its scales s_c, float64 [C]; options as in ``quantize``.

    Raises
    ------
    InvalidValue
        A threshold that rounds to 0, or a value beyond 31 bits.
    """
    limit = weight_limit(weight_bits)
    with np.errstate(over="ignore"):
        weights = [c.weight * network.worth(c) for c in layer.connections]
    if not all(np.isfinite(w).all() for w in weights):
        raise InvalidValue(
            f"layer {layer.name}: its weights, times what a spike of their source is worth, exceed floating point; repair its weights"
        )
    rows = np.concatenate([w.reshape(layer.channels, -1) for w in weights], axis=1)
    if layer.threshold is None:  # class scores compare, so they share one scale
        scale = np.repeat(CLIPPINGS[clipping](rows.reshape(1, -1), limit), len(rows))
    else:
        scale = CLIPPINGS[clipping](rows, limit)
    charges = _charges(network, layer)
    # a channel without weights, or with weights that vanish beside its threshold: they become 0, and any
    # scale that keeps the other values will do
    largest = np.max([np.abs(values) for values in charges.named().values()], axis=0)
    vanishing = (scale == 0) | (np.abs(rows).max(axis=1) < largest / 2**24)
    if layer.threshold is not None or vanishing.all():
        scale = np.where(vanishing, np.where(largest > 0, largest, 1.0) / limit, scale)
    if pow2 and charges.threshold is not None:
        scale = _power_scale(layer.name, charges.threshold, scale, ~vanishing)
    connections = tuple(
        replace(c, weight=np.clip(round_half_up(w / scale[:, None, None, None]), -limit, limit).astype(np.int32))
        for c, w in zip(layer.connections, weights, strict=True)
    )
    for kind, values in charges.named().items():
        if np.abs(values / scale).max() >= 2**31 - 1:
            raise InvalidValue(
                f"layer {layer.name}: {kind} {np.abs(values / scale).max():.3g} exceeds the limit of 31 bits: its weights "
                "are far smaller than its threshold or bias; retrain with weight decay on the bias"
            )
        if "threshold" in kind and not (round_half_up(values / scale) > 0).all():
            channel = int(np.argmin(values / scale))
            raise InvalidValue(
                f"layer {layer.name}: the {kind} of channel {channel} rounds to 0 (θ/s = "
                f"{float((values / scale)[channel]):.3g}, at least 0.5 needed); use more weight bits than "
                f"{weight_bits}, or fewer time steps than {network.time_steps}"
            )
    integers = {kind.replace(" ", "_"): round_half_up(values / scale) for kind, values in charges.named().items()}
    leak, current = (None if share is None else Decay.nearest(share) for share in (layer.leak, layer.current_leak))
    fixed = FixedPointLayer(
        layer.name, connections, integers.pop("threshold", None), leak=leak, current_leak=current, **integers
    )
    return fixed, scale


def quantize(
    network: SpikingNetwork, weight_bits: int = 8, *, clipping: str = "max", pow2: bool = False
) -> FixedPointNetwork:
    """Integers for every weight, threshold, offset and bias (design, section 3, Quantization); leaks become shifts.

    Parameters
    ----------
    weight_bits : int
        2 to 16, sign included.
    clipping : str
        A name of ``CLIPPINGS``; ``mse`` pays off at 2 to 4 bits.
    pow2 : bool
        Make the thresholds of a layer one power of two: scales grow by up to 2, and hardware keeps an
        exponent for each layer instead of a threshold for each neuron.

    Raises
    ------
    InvalidValue
        Bits out of range, a threshold that rounds to 0, a schedule that only exists in floating point, or
        a membrane beyond 32 bits; names the layer.
    """
    _check_options(weight_bits, clipping)
    if network.schedule not in SCHEDULES:
        raise InvalidValue(
            f"schedule {network.schedule} exists in floating point only: it needs a second integrator; convert with "
            "schedule two_phase, which gives the same scores"
        )
    layers = tuple(quantize_layer(network, layer, weight_bits, clipping, pow2)[0] for layer in network.layers)
    return FixedPointNetwork(
        network.name,
        network.input_shape,
        network.schedule,
        network.time_steps,
        layers,
        {
            **network.provenance,
            "source_fingerprint": network.fingerprint,
            "clipping": clipping,
            **({"pow2": True} if pow2 else {}),
        },
        negative=network.negative,
        reset=network.reset,
        compare=network.compare,
        leak_order=network.leak_order,
        input=network.input,
        seed=network.seed,
        weight_bits=weight_bits,
    )


def _check_options(weight_bits: int, clipping: str) -> None:
    if not isinstance(weight_bits, int) or not 2 <= weight_bits <= 16:
        raise InvalidValue(f"weight bits is {weight_bits}, must be 2 to 16")
    if clipping not in CLIPPINGS:
        raise InvalidValue(f"no clipping {clipping!r}; there are {', '.join(CLIPPINGS)}")


def dequantize(
    network: SpikingNetwork,
    weight_bits: int = 8,
    *,
    clipping: str = "max",
    pow2: bool = False,
    only: int | None = None,
) -> SpikingNetwork:
    """The floating-point network that means what the integers mean; ``only`` rounds a single layer.

    A rounded threshold changes when a neuron fires, not what its spike is worth, so the weights
    behind it are scaled back.
    """
    _check_options(weight_bits, clipping)
    layers: list[SpikingLayer] = []
    ratios: list[np.ndarray] = []  # λ / rounded λ of each layer so far
    for index, layer in enumerate(network.layers):
        new = layer
        if only is None or only == index:
            fixed, scale = quantize_layer(network, layer, weight_bits, clipping, pow2)
            unit = scale * (network.levels if network.schedule != "stream" and network.reads_frame(layer) else 1)
            connections = tuple(
                replace(c, weight=f.weight * scale[:, None, None, None] / network.worth(c))
                for c, f in zip(layer.connections, fixed.connections, strict=True)
            )
            threshold, below = (None if t is None else t * unit for t in (fixed.threshold, fixed.negative_threshold))
            new = SpikingLayer(
                layer.name,
                connections,
                threshold,
                fixed.bias * scale,
                fixed.offset * unit,
                negative_threshold=below,
                leak=None if fixed.leak is None else fixed.leak.share,
                current_leak=None if fixed.current_leak is None else fixed.current_leak.share,
            )
        rescaled = tuple(
            c if c.source == INPUT else replace(c, weight=c.weight * c.fed_by(ratios[c.source]))
            for c in new.connections
        )
        layers.append(replace(new, connections=rescaled))
        if layer.threshold is not None and new.threshold is not None:
            ratios.append(layer.threshold / new.threshold)
        else:
            ratios.append(np.ones(layer.channels))
    return replace(network, layers=tuple(layers))


@dataclass(frozen=True)
class LeakError:
    """What shifts and adders make of one layer's leak, of its membranes or of its currents.

    Members
    -------
    layer : name
    leak : β of the floating-point network, or α
    terms : signed shifts of the ``Decay`` nearest to it
    share : its β; ``error``: that less ``leak``
    time_constant, time_constant_kept : τ = −1/ln β of both, in steps
    rounding : mean of what rounding down adds to a membrane, or a current, each step, in its integer units
    """

    layer: str
    leak: float
    terms: tuple[int, ...]
    share: float
    error: float
    time_constant: float
    time_constant_kept: float
    rounding: float

    @staticmethod
    def of(layer: str, leak: float) -> "LeakError":
        """Of the decay nearest to ``leak``."""
        kept = Decay.nearest(leak)
        steps = time_constant(leak), time_constant(kept.share)
        return LeakError(layer, leak, kept.terms, kept.share, kept.share - leak, *steps, kept.bias)


def leak_errors(network: SpikingNetwork) -> tuple[LeakError, ...]:
    """Of each layer whose membranes leak."""
    return tuple(LeakError.of(layer.name, layer.leak) for layer in network.layers if layer.leak is not None)


def current_leak_errors(network: SpikingNetwork) -> tuple[LeakError, ...]:
    """Of each layer whose currents last."""
    shares = ((layer.name, layer.current_leak) for layer in network.layers)
    return tuple(LeakError.of(name, share) for name, share in shares if share is not None)


def score_scale(
    network: SpikingNetwork, weight_bits: int = 8, *, clipping: str = "max", pow2: bool = False
) -> np.ndarray:
    """What one unit of each integer score is worth on the scale of the source's, float64 ``[classes]``."""
    readout = network.layers[-1]
    scale = quantize_layer(network, readout, weight_bits, clipping, pow2)[1]
    once = network.schedule != "stream" and network.reads_frame(readout)
    return scale if once else scale / network.levels


def error_table(
    network: SpikingNetwork,
    frames: np.ndarray,
    labels: np.ndarray,
    weight_bits: int = 8,
    *,
    clipping: str = "max",
    pow2: bool = False,
    progress: Callable[[int], None] | None = None,
) -> "pd.DataFrame":
    """What quantization costs, a row for each layer.

    Columns: ``layer``; ``weight_sqnr_db`` (weight power over rounding error power); ``threshold_min``
    (smallest integer θ); ``threshold_error`` (largest relative rounding of θ); ``membrane_bits``
    (proven width of the layer); ``accuracy_cost`` (points lost on ``frames`` when only this layer is rounded).

    Parameters
    ----------
    frames, labels : uint8 [N, C, H, W], int64 [N]
        Calibration set.
    progress : callable
        Called with the number of images finished since the last call, N·(layers + 1) in all.
    """
    import pandas as pd  # only here: whoever wants integers need not load torch

    from sim import floating

    fixed = quantize(network, weight_bits, clipping=clipping, pow2=pow2)
    exact = floating.accuracy(network, frames, labels, progress=progress)
    rows = []
    for index, layer in enumerate(network.layers):
        integer, scale = quantize_layer(network, layer, weight_bits, clipping, pow2)
        signal = error = 0.0
        for c, f in zip(layer.connections, integer.connections, strict=True):
            weight = c.weight * network.worth(c)
            signal += float((weight**2).sum())
            error += float(((weight - f.weight * scale[:, None, None, None]) ** 2).sum())
        threshold = _charges(network, layer).threshold
        rounding = np.nan
        if threshold is not None and integer.threshold is not None:
            rounding = float(np.abs(integer.threshold * scale / threshold - 1).max())
        alone = dequantize(network, weight_bits, clipping=clipping, pow2=pow2, only=index)
        right = floating.accuracy(alone, frames, labels, progress=progress)
        rows.append(
            {
                "layer": layer.name,
                "weight_sqnr_db": 10 * np.log10(signal / error) if signal > 0 and error > 0 else np.inf,
                "threshold_min": np.nan if integer.threshold is None else int(integer.threshold.min()),
                "threshold_error": rounding,
                "membrane_bits": fixed.ranges[index].bits,
                "accuracy_cost": exact - right,
            }
        )
    return pd.DataFrame(rows)
