"""What to do about the layer that costs most, and what a change of that kind gives on the same images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from sim import floating, golden
from toolchain.convert.methods import METHODS
from toolchain.convert.methods.method import changed
from toolchain.diagnose.account import Diagnosis, LayerAccount, diagnose
from toolchain.errors import InvalidValue
from toolchain.ir import COUNTING_NEGATIVES, MAX_RADIX_STEPS, MAX_TIME_STEPS, SCHEDULES, SpikingNetwork
from toolchain.quantize import quantize

__all__ = ["Deployment", "Diagnosed", "Remedy", "diagnose_and_try", "find_remedy", "try_remedy"]

FEW_LEVELS = 1 / 8
"""Thresholds are called high where active neurons use less than this share of the levels on average."""
MSE_BITS = 4
"""Widest weights for which clipped scales are proposed before wider weights."""
_OF_PERCENTILE = ("robust_norm", "channel_norm")
_OF_LARGEST = ("optimal", "max_norm", "rmp", "spike_converter", "weighted_spikes", "tsc", "leaky_relu")


@dataclass(frozen=True, eq=False)
class Deployment:
    """A spiking network and how it becomes integers, as of ``toolchain.quantize.quantize``."""

    network: SpikingNetwork
    weight_bits: int = 8
    clipping: str = "max"
    pow2: bool = False

    @property
    def method(self) -> str:
        """The conversion method, where the provenance tells."""
        return str(self.network.provenance.get("method", ""))

    @property
    def calibrated(self) -> bool:
        """Whether biases and potentials are made for this neuron and T, so that another one proves nothing."""
        return "calibrated_for" in self.network.provenance


@dataclass(frozen=True, eq=False)
class Remedy:
    """A piece of advice.

    Members
    -------
    advice : str
        What to do, with the options of the command line.
    tried : str
        What ``trial`` changes; empty where nothing can be tried without converting anew.
    trial : Deployment or None
    """

    advice: str
    tried: str = ""
    trial: Deployment | None = None


def _scaled(network: SpikingNetwork, index: int, factor: np.ndarray) -> SpikingNetwork:
    """Thresholds and start potentials of one layer times ``factor``, float64 ``[C]``."""
    layer = network.layers[index]
    assert layer.threshold is not None
    below = None if layer.negative_threshold is None else layer.negative_threshold * factor
    return changed(
        network, index, threshold=layer.threshold * factor, initial=layer.initial * factor, negative_threshold=below
    )


def _clipping(now: Deployment, index: int, account: LayerAccount) -> Remedy:
    threshold = now.network.layers[index].threshold
    assert threshold is not None
    percentile = float(now.network.provenance.get("percentile", 0))
    if now.method in _OF_LARGEST:
        advice = "convert with more calibration images (--split train --images 2000): theirs were too few to show them"
    elif now.method in _OF_PERCENTILE and percentile < 99.99:
        advice = f"convert with --percentile 99.99 instead of {percentile:g}, or with -m optimal"
    else:
        advice = "convert with -m robust_norm --percentile 99.99 or with -m optimal, whose θ is the largest activation"
    raised = _scaled(now.network, index, np.maximum(account.largest / threshold, 1))
    return Remedy(
        f"{account.clipped:.2g} % of its activations lie beyond θ; {advice}",
        "θ of this layer raised to its largest activation here",
        replace(now, network=raised),
    )


def _more_steps(now: Deployment) -> tuple[str, Deployment | None]:
    """The option for twice the levels, and a deployment with them where that can be tried."""
    network = now.network
    radix = network.schedule == "radix"
    steps = network.time_steps + 1 if radix else 2 * network.time_steps
    if steps > (MAX_RADIX_STEPS if radix else MAX_TIME_STEPS):
        return "", None
    return f"-T {steps}", None if now.calibrated else replace(now, network=network.with_time_steps(steps))


def _quantization(now: Deployment, index: int, account: LayerAccount) -> Remedy:
    network, layer = now.network, now.network.layers[index]
    if layer.threshold is None:
        return Remedy("its biases were corrected for other frames; convert with more calibration images")
    option, trial = _more_steps(now)
    used = f"its active neurons use {account.levels_used:.2g} of {network.levels} levels on average"
    unsigned = not network.signed_spikes or network.negative in COUNTING_NEGATIVES
    if unsigned and not layer.initial.any():
        started = network
        for number, each in enumerate(network.layers[:-1]):
            assert each.threshold is not None
            started = changed(started, number, initial=each.threshold / 2)
        return Remedy(
            f"{used} and values are rounded down; start membranes at θ/2: convert with --shift and a method that "
            f"takes it, such as optimal{f', or with more time steps: {option}' if option else ''}",
            "membranes of all layers started at θ/2",
            replace(now, network=started),
        )
    trained = now.method in METHODS and not set(METHODS[now.method].activations) & {"relu", "leaky"}
    if not trained and account.levels_used < FEW_LEVELS * network.levels:
        lower = {"robust_norm": "-m channel_norm", "channel_norm": "--percentile 99"}.get(
            now.method, "-m channel_norm or -m robust_norm"
        )
        halved = _scaled(network, index, np.full(layer.channels, 0.5))
        return Remedy(
            f"{used}, so θ is high for it; lower it: convert with {lower}"
            f"{'' if now.calibrated else ', or with -m calibration'}{f'; or more time steps: {option}' if option else ''}",
            "θ of this layer halved",
            replace(now, network=halved),
        )
    if not option:
        return Remedy(f"{used}, and T is {network.time_steps}, the most there are; convert with lower thresholds")
    return Remedy(f"{used}; take more time steps: convert with {option}", option, trial)


def _unevenness(now: Deployment, index: int, account: LayerAccount) -> Remedy:
    network = now.network
    if network.reset == "zero":
        return Remedy(
            "what lies above θ is lost with each spike; convert with --reset subtract",
            "--reset subtract",
            replace(now, network=replace(network, reset="subtract")),
        )
    possible = now.method in METHODS and "two_phase" in METHODS[now.method].schedules
    better = "--schedule two_phase" if possible else "-m optimal --schedule two_phase"
    others = "--negative correcting or more time steps" if network.negative == "none" else "more time steps"
    negative = "none" if network.negative in COUNTING_NEGATIVES else network.negative
    settled = replace(network, schedule="two_phase", negative=negative)
    return Remedy(
        f"spikes leave before the input that would hold them back has come; convert with {better}, which has no "
        f"unevenness, or with {others}",
        "--schedule two_phase",
        None if now.calibrated else replace(now, network=settled),
    )


def _fixed_point(now: Deployment, index: int, account: LayerAccount) -> Remedy:
    wider = min(16, 2 * now.weight_bits)
    if now.pow2:
        return Remedy(
            "scales grow so that θ becomes a power of two; quantize without --pow2",
            "no --pow2",
            replace(now, pow2=False),
        )
    if now.clipping == "max" and now.weight_bits <= MSE_BITS:
        return Remedy(
            f"{now.weight_bits}-bit weights are coarse at scales that clip none; quantize with --clipping mse, or with "
            f"more weight bits, such as -b {wider}",
            "--clipping mse",
            replace(now, clipping="mse"),
        )
    if now.weight_bits == 16:
        return Remedy("16-bit weights are the widest there are; retrain with weight decay, so that weights are alike")
    return Remedy(f"quantize with -b {wider}", f"-b {wider}", replace(now, weight_bits=wider))


def _input_code(now: Deployment, index: int, account: LayerAccount) -> Remedy:
    if now.network.input != "rate":
        return Remedy("source and spiking network round their first sums differently; nothing to remedy")
    return Remedy(
        "random input spikes stand for the frame; convert with --input direct or --input bitplane, or with more time steps",
        "--input direct",
        replace(now, network=replace(now.network, input="direct")),
    )


REMEDIES: dict[str, Callable[[Deployment, int, LayerAccount], Remedy]] = {
    "clipping": _clipping,
    "quantization": _quantization,
    "inherited": _input_code,
    "unevenness": _unevenness,
    "fixed_point": _fixed_point,
}
"""By the part that contributes most to the own error of the layer that costs most."""


def find_remedy(diagnosis: Diagnosis, deployment: Deployment) -> Remedy:
    """For the layer that costs most, ``diagnosis.worst``, and the largest part of its own error."""
    account = diagnosis.layers[diagnosis.worst]
    if not account.own > 0:
        return Remedy("no layer adds an error of its own; there is nothing to remedy")
    return REMEDIES[account.cause](deployment, diagnosis.worst, account)


def try_remedy(remedy: Remedy, frames: np.ndarray, labels: np.ndarray) -> float | None:
    """Accuracy in % of the trial, in integers where they exist; ``None`` without trial, or if it is no network."""
    trial = remedy.trial
    if trial is None:
        return None
    if trial.network.schedule not in SCHEDULES:
        return floating.accuracy(trial.network, frames, labels)
    try:
        fixed = quantize(trial.network, trial.weight_bits, clipping=trial.clipping, pow2=trial.pow2)
    except InvalidValue:  # such as a threshold that rounds to 0 with more time steps
        return None
    return 100 * float((golden.run(fixed, frames).predictions == labels).mean())


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """An account, the remedy for the layer that costs most, and the accuracy in % of its trial, ``None`` without one."""

    diagnosis: Diagnosis
    remedy: Remedy
    accuracy_tried: float | None


def diagnose_and_try(
    module: nn.Module,
    deployment: Deployment,
    frames: np.ndarray,
    labels: np.ndarray,
    progress: Callable[[int], None] = lambda images: None,
) -> Diagnosed:
    """``diagnose``, ``find_remedy`` and ``try_remedy`` on the same frames, uint8 ``[N, C, H, W]``."""
    diagnosis = diagnose(
        module,
        deployment.network,
        frames,
        labels,
        deployment.weight_bits,
        clipping=deployment.clipping,
        pow2=deployment.pow2,
        progress=progress,
    )
    remedy = find_remedy(diagnosis, deployment)
    return Diagnosed(diagnosis, remedy, try_remedy(remedy, frames, labels))
