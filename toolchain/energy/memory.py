"""Bits that move, under two policies for the spiking network and two for the ANN (energy model, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from toolchain.buffers import peak, with_input
from toolchain.connection import Connection
from toolchain.energy.baselines import Baseline
from toolchain.energy.counts import LayerCounts
from toolchain.energy.profiles import Profile
from toolchain.errors import InvalidValue
from toolchain.ir import COUNTING_NEGATIVES, INPUT, FixedPointNetwork
from toolchain.trace import Activity

__all__ = [
    "ANN_POLICIES",
    "EVENTS",
    "SNN_POLICIES",
    "STORES",
    "BitCosts",
    "Memory",
    "Traffic",
    "ann_capacities",
    "ann_traffic",
    "snn_capacities",
    "snn_traffic",
]

SNN_POLICIES = ("stationary", "event_driven")
"""``event_driven``: each operation reads and writes its membrane; ``stationary``: membranes move in the fire scan only,
which a readout that leaks has too. A current that lasts is a second word of state: operations are on it, the scan moves both."""
ANN_POLICIES = ("ideal_reuse", "no_reuse")
"""``no_reuse``: each MAC reads a weight and an activation; ``ideal_reuse``: each weight, input and output moves once."""
EVENTS = ("bitmap", "list")
"""Spikes kept as T·N bits, as the hardware here does, or as addresses of ⌈log2 N⌉ bits; a sign is one bit more."""
STORES = ("sram", "dram")
_PIXEL_BITS = 8


@dataclass(frozen=True)
class Memory:
    """What stands in the table and in the CSV; a report always holds both policies of either side.

    ``weights`` says where those of both networks lie; everything else is on the chip.
    """

    snn: str = "event_driven"
    ann: str = "no_reuse"
    events: str = "bitmap"
    weights: str = "sram"

    def __post_init__(self) -> None:
        allowed = {"snn": SNN_POLICIES, "ann": ANN_POLICIES, "events": EVENTS, "weights": STORES}
        for name, names in allowed.items():
            if getattr(self, name) not in names:
                raise InvalidValue(f"memory {name} is {getattr(self, name)!r}, must be one of {', '.join(names)}")


@dataclass(frozen=True, eq=False)
class Traffic:
    """Bits that one layer moves for each image, float64 ``[N]``: weights, membranes and sums of spikes (``state``), spikes or activations."""

    weights: np.ndarray
    state: np.ndarray
    events: np.ndarray


@dataclass(frozen=True)
class BitCosts:
    """pJ for one bit of each memory; the capacities, in bits, are those of the whole network."""

    weights: float
    state: float
    events: float
    capacities: tuple[int, int, int]

    @staticmethod
    def of(profile: Profile, capacities: tuple[int, int, int], store: str) -> "BitCosts":
        """Capacities of weights, membranes, and spikes or activations.

        Raises
        ------
        InvalidValue
            Weights in DRAM under a profile that has none.
        """
        weights, state, events = (profile.sram(capacity) for capacity in capacities)
        if store == "dram" and profile.has_memory:
            if "dram" not in profile.constants:
                raise InvalidValue(
                    f"energy profile {profile.name} has no constant dram; add it, or keep weights in sram"
                )
            weights = profile.value("dram")
        return BitCosts(weights, state, events, capacities)

    def energy(self, traffic: Traffic) -> np.ndarray:
        """pJ of each image, float64 ``[N]``."""
        return traffic.weights * self.weights + traffic.state * self.state + traffic.events * self.events


def _fired_bits(network: FixedPointNetwork) -> int:
    """Of the sum of its spikes that each neuron of ``correcting`` and ``memory`` keeps beside its membrane."""
    return network.time_steps.bit_length() if network.negative in COUNTING_NEGATIVES else 0


def _train_bits(network: FixedPointNetwork, index: int) -> int:
    """Bits of a layer's spikes over all steps, as bitmap; of the input's, if they are spikes."""
    shape = network.input_shape if index == INPUT else network.shapes[index]
    return network.time_steps * prod(shape) * (1 + network.signed_spikes)


def _presented_bits(network: FixedPointNetwork) -> int:
    """Bits of the frame as a layer reads it."""
    if network.input == "spikes":
        return _train_bits(network, INPUT)
    return _PIXEL_BITS * prod(network.input_shape) * (network.time_steps if network.input == "rate" else 1)


def _read_bits(network: FixedPointNetwork, connection: Connection) -> int:
    """Bits of a bitmap that a connection reads: all once, or every place of each window of its max pooling, padding included."""
    if connection.maximum is None:
        return _train_bits(network, connection.source)
    channels, *size = network.source_shape(connection)
    return network.time_steps * channels * connection.maximum.reads((size[0], size[1]))


def _address_bits(network: FixedPointNetwork, neurons: int, *, signed: bool) -> int:
    return (neurons - 1).bit_length() + (network.signed_spikes if signed else 0)


def snn_capacities(network: FixedPointNetwork) -> tuple[int, int, int]:
    """Bits of all weights, of the largest layer's state, and of the most spikes that are held at once.

    Input spikes are held with those of the layers, since they are what a layer would have fired.
    """
    layers = enumerate(network.layers)
    sizes = [0 if layer.threshold is None else _train_bits(network, index) for index, layer in layers]
    trains = peak(*with_input(network, _train_bits(network, INPUT), sizes))
    neurons = max(layer.states * prod(shape) for layer, shape in zip(network.layers, network.shapes, strict=True))
    return network.weights * network.weight_bits, neurons * (network.membrane_bits + _fired_bits(network)), trains


def snn_traffic(
    network: FixedPointNetwork, counts: Sequence[LayerCounts], activity: Activity, policy: str, events: str
) -> list[Traffic]:
    """Bits that each layer moves; biases, thresholds and the program are not counted, on neither side."""
    steps, pixels = network.time_steps, prod(network.input_shape)
    found = []
    for index, (layer, count) in enumerate(zip(network.layers, counts, strict=True)):
        synaptic = count.sop + count.mac_input + count.plane_sums
        swept = count.fires or layer.leak is not None or layer.current_leak is not None
        state = layer.states * (network.membrane_bits + _fired_bits(network))
        scan = 2 * state * steps * count.neurons if swept else 0
        moved = 2 * network.membrane_bits * synaptic if policy == "event_driven" else 0
        spikes = np.zeros(len(synaptic))
        if events == "bitmap":
            spikes += _train_bits(network, index) if count.fires else 0
            for c in layer.connections:
                spikes += _presented_bits(network) if c.source == INPUT else _read_bits(network, c)
        else:
            spikes += count.spikes_out * _address_bits(network, count.neurons, signed=True)
            for c in layer.connections:
                if c.source == INPUT:
                    amplitude = _PIXEL_BITS if network.input == "direct" else 0
                    signed = network.input == "spikes"
                    spikes += count.spikes_in * (_address_bits(network, pixels, signed=signed) + amplitude)
                else:
                    address = _address_bits(network, counts[c.source].neurons, signed=True)
                    spikes += activity.spikes[:, c.source] * address
        found.append(
            Traffic(synaptic * float(network.weight_bits), moved + np.full(len(synaptic), float(scan)), spikes)
        )
    return found


def ann_capacities(counts: Sequence[LayerCounts], baseline: Baseline) -> tuple[int, int, int]:
    """Bits of all weights, of nothing, and of the largest layer's activations."""
    largest = max(
        max(count.inputs * read, count.neurons * written)
        for count, read, written in zip(counts, baseline.activation_bits, baseline.output_bits, strict=True)
    )
    return sum(count.weights for count in counts) * baseline.weight_bits, 0, largest


def ann_traffic(count: LayerCounts, macs: np.ndarray, baseline: Baseline, index: int, policy: str) -> Traffic:
    """Bits that layer ``index`` moves for ``macs`` multiply-accumulates, float64 ``[N]``."""
    read, written = baseline.activation_bits[index], baseline.output_bits[index]
    zero = np.zeros(len(macs))
    if policy == "no_reuse":
        return Traffic(macs * baseline.weight_bits, zero, macs * read)
    values = float(count.inputs * read + count.neurons * written)
    return Traffic(zero + float(count.weights * baseline.weight_bits), zero, zero + values)
