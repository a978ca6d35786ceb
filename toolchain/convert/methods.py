"""Conversion methods: from an activation of the source network to threshold, initial membrane and neuron."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.statistics import Distribution
from toolchain.errors import InvalidValue, UnsupportedModule

__all__ = ["METHODS", "Method", "Options", "check_layer"]


@dataclass(frozen=True)
class Options:
    """What a user may choose: half a threshold as start (``shift``), and the percentile of the methods that take one."""

    shift: bool = True
    percentile: float = 99.9


Thresholds = Callable[[Activation, Distribution, Options], np.ndarray]
"""(activation, its values on the calibration set, options) → θ, float64 [C]."""


@dataclass(frozen=True)
class Method:
    """One published conversion.

    Members
    -------
    thresholds : callable
    activations : kinds of activation it is made for
    schedules, negatives, resets : neurons it is made for, the usual one first
    histograms : whether the thresholds need more than the largest values, and so a second pass
    shift : whether V(0) = θ/2: ``True``, ``False``, or ``None`` for the user's choice
    """

    thresholds: Thresholds
    activations: tuple[str, ...] = ("relu", "threshold", "qcfs")
    schedules: tuple[str, ...] = ("two_phase", "stream", "radix")
    negatives: tuple[str, ...] = ("none", "correcting")
    resets: tuple[str, ...] = ("subtract", "zero")
    histograms: bool = False
    shift: bool | None = None

    def choose(self, name: str, schedule: str | None, negative: str | None, reset: str | None) -> dict[str, str]:
        """The network's neuron, the usual one for ``None``; refuses what the method is not made for."""
        asked = {"schedule": schedule, "negative": negative, "reset": reset}
        made_for = {"schedule": self.schedules, "negative": self.negatives, "reset": self.resets}
        chosen = {what: value or made_for[what][0] for what, value in asked.items()}
        for what, value in chosen.items():
            if value not in made_for[what]:
                raise InvalidValue(
                    f"{what} is {value!r}, must be one of {', '.join(made_for[what])} with method {name}"
                )
        return chosen

    def start(self, name: str, threshold: np.ndarray, options: Options) -> np.ndarray:
        """V(0), float64 ``[C]``: θ/2 with shift, which equals b + θ/(2T), otherwise 0."""
        if self.shift and not options.shift:
            raise InvalidValue(
                f"method {name} has its shift of θ/2 built in, it cannot be left out; use method optimal"
            )
        shift = options.shift if self.shift is None else self.shift
        return threshold / 2 if shift else np.zeros_like(threshold)


def trained(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ = λ of the trained activation.

    QCFS: with T = L and ``two_phase`` the spiking layer is the activation itself (Bu et al., ICLR 2022,
    theorem 2). Symmetric threshold ReLU: thresholds ±θ, V(0) = 0, since half a threshold would favour one
    sign (a reconstruction of Machine Intelligence Research 20(3), 2023, from its description).
    """
    assert activation.limit is not None
    return np.full(values.largest.shape, activation.limit)


def largest(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """Threshold balancing: θ = largest activation seen in the layer.

    Sources: Diehl et al., IJCNN 2015 (reset to zero); Han et al., CVPR 2020 (RMP, reset by subtraction);
    Deng & Gu, ICLR 2021, sections 4 and 5 (with shift, which can hurt at T ≥ 200).
    """
    return np.full(values.largest.shape, values.largest.max())


def percentile(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ = 99.9th percentile of the layer's activations. Source: Rueckauer et al., Frontiers in Neuroscience 2017."""
    return values.percentile(options.percentile, per_channel=False)


def channel_percentile(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ_c = percentile of each channel's own activations. Source: Kim et al., AAAI 2020, channel-wise normalization.

    A channel that is silent on the calibration set takes the layer's percentile.
    """
    own = values.percentile(options.percentile, per_channel=True)
    return np.where(values.largest > 0, own, values.percentile(options.percentile, per_channel=False))


def expected_excess(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ_c ← θ_c + 2·mean((x − θ_c)+), from 0, ``MAX_ITERATIONS`` times or until it stands.

    Source: inference-scale complexity conversion, 2024/25, as conversion.md states it; a reconstruction.
    """
    threshold = np.zeros_like(values.largest)
    for _ in range(MAX_ITERATIONS):
        added = 2 * values.excess(threshold)
        threshold = np.minimum(threshold + added, values.largest)
        if (added <= 1e-4 * np.maximum(threshold, 1e-12)).all():
            break
    return np.where(values.largest > 0, threshold, values.largest.max())


MAX_ITERATIONS = 8
"""Of ``expected_excess``, which would creep on towards the largest value; our choice, the source's number is not known."""

METHODS: dict[str, Method] = {
    "qcfs": Method(trained, activations=("qcfs",), shift=True),
    "optimal": Method(largest),
    "max_norm": Method(largest, schedules=("stream",), negatives=("none",), resets=("zero", "subtract"), shift=False),
    "rmp": Method(largest, schedules=("stream",), negatives=("none",), resets=("subtract",), shift=False),
    "robust_norm": Method(percentile, histograms=True),
    "channel_norm": Method(channel_percentile, histograms=True),
    "training_free": Method(expected_excess, histograms=True),
    "strelu": Method(trained, activations=("strelu",), negatives=("symmetric",), resets=("subtract",), shift=False),
    # a reconstruction of SpikeConverter (AAAI 2022) from its abstract, with an inverse leak of 2
    "spike_converter": Method(largest, schedules=("radix",), negatives=("none",), resets=("subtract",)),
}
"""The registry: what stands here can be asked for by name."""


def check_layer(name: str, layer: str, activation: Activation, values: Distribution) -> None:
    """Refuse an activation that method ``name`` is not made for, and a layer without any activity."""
    _check_activation(name, activation)
    if not values.largest.max() > 0:
        raise InvalidValue(
            f"layer {layer!r} is silent on the whole calibration set, so its threshold would be 0; "
            "give more or other calibration images"
        )


def _check_activation(name: str, activation: Activation) -> None:
    """Refuse an activation that method ``name`` is not made for."""
    made_for = METHODS[name].activations
    if activation.kind not in made_for:
        others = [other for other, method in METHODS.items() if activation.kind in method.activations]
        raise UnsupportedModule(
            f"method {name} needs {' or '.join(made_for)} activations, {activation.name!r} is {activation.kind}; "
            f"use method {' or '.join(others)}"
        )
