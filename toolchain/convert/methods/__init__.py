"""Conversion methods: from the activations of a source network to thresholds, start of membranes and neuron."""

from toolchain.convert.graph import Activation
from toolchain.convert.methods.calibration import CALIBRATION
from toolchain.convert.methods.channel_norm import CHANNEL_NORM
from toolchain.convert.methods.leaky_relu import LEAKY_RELU
from toolchain.convert.methods.max_norm import MAX_NORM
from toolchain.convert.methods.method import Method, Options
from toolchain.convert.methods.optimal import OPTIMAL
from toolchain.convert.methods.qcfs import QCFS
from toolchain.convert.methods.quantized_relu import CA_LIF, FAST_SNN, SNM
from toolchain.convert.methods.rmp import RMP
from toolchain.convert.methods.robust_norm import ROBUST_NORM
from toolchain.convert.methods.spike_converter import SPIKE_CONVERTER
from toolchain.convert.methods.spike_norm import SPIKE_NORM
from toolchain.convert.methods.strelu import STRELU, STRELU_FLOOR
from toolchain.convert.methods.training_free import TRAINING_FREE
from toolchain.convert.methods.tsc import TSC
from toolchain.convert.methods.weighted_spikes import WEIGHTED_SPIKES
from toolchain.convert.statistics import Distribution
from toolchain.errors import InvalidValue, UnsupportedModule

__all__ = ["METHODS", "Method", "Options", "check_layer"]

METHODS: dict[str, Method] = {
    "qcfs": QCFS,
    "optimal": OPTIMAL,
    "max_norm": MAX_NORM,
    "robust_norm": ROBUST_NORM,
    "channel_norm": CHANNEL_NORM,
    "spike_norm": SPIKE_NORM,
    "rmp": RMP,
    "calibration": CALIBRATION,
    "training_free": TRAINING_FREE,
    "fast_snn": FAST_SNN,
    "snm": SNM,
    "ca_lif": CA_LIF,
    "strelu": STRELU,
    "strelu_floor": STRELU_FLOOR,
    "leaky_relu": LEAKY_RELU,
    "spike_converter": SPIKE_CONVERTER,
    "weighted_spikes": WEIGHTED_SPIKES,
    "tsc": TSC,
}
"""The registry: what stands here can be asked for by name."""


def check_layer(name: str, layer: str, activation: Activation, values: Distribution) -> None:
    """Refuse an activation that method ``name`` is not made for, and a layer without any activity."""
    made_for = METHODS[name].activations
    if activation.kind not in made_for:
        others = [other for other, method in METHODS.items() if activation.kind in method.activations]
        raise UnsupportedModule(
            f"method {name} needs {' or '.join(made_for)} activations, {activation.name!r} is {activation.kind}; "
            f"use method {', '.join(others)}"
        )
    if not values.magnitude > 0:
        raise InvalidValue(
            f"layer {layer!r} is silent on the whole calibration set, so its threshold would be 0; "
            "give more or other calibration images"
        )
