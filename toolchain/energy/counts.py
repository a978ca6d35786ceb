"""Exact counts of each layer and image, from spike counts or from hardware counters (energy model, section 1).

A residual identity is a synapse of its layer with one weight a channel: one addition for each spike that it injects, as the
model has it; the additions of the ANN's joins are not counted, in its favour. An average pooling whose output is kept has
no row: pooling is folded into the next synapse, where its operations are counted once. A spike behind max pooling is one
event, however many spikes of its window it stands for; what the windows read is charged, and ``ors`` counts their ORs.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from toolchain.connection import Connection, Shape
from toolchain.encoding import input_events
from toolchain.errors import InvalidValue
from toolchain.geometry import dense_synapses, fan_out
from toolchain.ir import INPUT, FixedPointLayer, FixedPointNetwork, Network
from toolchain.trace import Activity, SpikeTrace

__all__ = ["LayerCounts", "layer_counts", "observe", "reached"]

_EXACT = 2**53


def reached(active: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``Σ active·places`` of each image, int64 ``[N]``, for ``[N, C, H, W]`` and ``[C, H, W]``; exact below 2^53."""
    if int(active.max(initial=0)) * int(places.sum()) >= _EXACT:
        found: np.ndarray = (active.astype(np.int64) * places).sum(axis=(1, 2, 3))
        return found
    return (active.reshape(len(active), -1).astype(np.float64) @ places.ravel().astype(np.float64)).astype(np.int64)


def pooled_any(active: np.ndarray, connection: Connection, source: Shape) -> np.ndarray:
    """Whether any place of the poolings' windows is active, bool ``[N, C, H, W]`` of the pooled source."""
    _, height, width = connection.pooled(source)
    active = connection.peaks(active)
    (ky, kx), found = connection.pool, np.zeros((), bool)
    for dy in range(ky):
        for dx in range(kx):
            found = found | active[:, :, dy : height * ky : ky, dx : width * kx : kx]
    return found


def observe(network: FixedPointNetwork, frames: np.ndarray, trace: SpikeTrace) -> Activity:
    """The activity of a run with what only spike counts of each neuron can tell: ``effective`` and ``nonzero``.

    ``trace`` must hold spike counts (``record="counts"``) of ``frames``.

    Raises
    ------
    InvalidValue
        The trace belongs to another network or holds no counts.
    """
    if trace.fingerprint != network.fingerprint or trace.counts is None:
        raise InvalidValue("counting needs a trace of this network with record='counts' or 'spikes'")
    firing = [index for index, layer in enumerate(network.layers) if layer.threshold is not None]
    seen = dict(zip(firing, trace.counts, strict=True))
    arriving = input_events(network, frames)
    values = arriving if network.input in ("rate", "spikes") else frames  # what a network of activations reads
    effective, nonzero = (np.zeros((len(frames), len(network.layers)), np.int64) for _ in range(2))
    for index, layer in enumerate(network.layers):
        for c in layer.connections:
            source = network.source_shape(c)
            spikes, value = (arriving, values) if c.source == INPUT else (seen[c.source], seen[c.source])
            anew = network.time_steps if network.rescans(layer) else 1
            effective[:, index] += anew * reached(c.peaks(spikes), fan_out(c, source, effective=True))
            if c.kind == "identity":
                continue
            nonzero[:, index] += reached(pooled_any(value != 0, c, source), fan_out(c.unpooled(), c.pooled(source)))
    return replace(trace.activity, effective=effective, nonzero=nonzero)


@dataclass(frozen=True, eq=False)
class LayerCounts:
    """One layer; arrays are int64 ``[N]``, one value for each image, ``None`` where hardware counters cannot tell.

    Members
    -------
    name, kind : layer and ``conv2d``, ``linear`` or ``identity``, several joined by ``+``
    input_kind : ``direct``, ``bitplane`` or ``rate`` for a frame of pixels, otherwise ``spikes``
    neurons, fires : the readout does not fire
    synapses : S, of the dense network, padding and identities excluded, a pooled source counted once
    weights, inputs : stored weights; values of the pooled sources
    spikes_in : spikes (non-zero pixels) that reach a synapse
    sop, sop_effective : synaptic operations on spikes, executed, and those on a weight that is not 0
    mac_input : multiply-accumulates of non-zero pixels, once for each image, or in each step where the current lasts
    plane_sums : additions of pixel bits, ``bitplane``
    current_adds : additions of the input current to its neurons in each step of ``stream``, where it is integrated once
    random : random numbers of ``rate``, each with a comparison
    ac_bias : additions of biases that are not 0, each step of ``stream``, otherwise once
    comparisons : one a neuron and step, two where spikes may be negative, none in the readout
    spikes_out : fired, each of them a subtraction
    decay_adds : additions of the leaks of membranes and currents, one for each shift, neuron and step but the last; ``None`` in
        networks without any
    lasting_adds : additions of a current that lasts to its membrane, one for each neuron and step; ``None`` in networks without any
    ors : ORs of two bits, for the max pooling of the layer's sources, the padding's too; ``None`` in networks without any
    mac_nonzero : multiply-accumulates of the same values as activations, those that are 0 skipped
    """

    name: str
    kind: str
    input_kind: str
    neurons: int
    fires: bool
    synapses: int
    weights: int
    inputs: int
    spikes_in: np.ndarray
    sop: np.ndarray
    sop_effective: np.ndarray | None
    mac_input: np.ndarray
    plane_sums: np.ndarray
    current_adds: int
    random: int
    ac_bias: int
    comparisons: int
    spikes_out: np.ndarray
    mac_nonzero: np.ndarray | None
    ors: int | None
    decay_adds: int | None
    lasting_adds: int | None

    @property
    def neuron_ops(self) -> np.ndarray:
        """Updates of neurons beside their bias: comparisons, subtractions, leaks and lasting currents of each image, int64 ``[N]``."""
        return self.comparisons + self.spikes_out + (self.decay_adds or 0) + (self.lasting_adds or 0)

    @property
    def input_adds(self) -> np.ndarray:
        """Additions (random numbers, comparisons) that the input needs beside spikes and MACs, int64 ``[N]``."""
        return self.plane_sums + self.current_adds + 2 * self.random


def _input_kind(network: Network[Any], layer: FixedPointLayer) -> str:
    return network.input if layer.connections[0].source == INPUT else "spikes"


def _ors(network: FixedPointNetwork, connection: Connection) -> int:
    """For each window, channel and step one OR less than the window has places."""
    if connection.maximum is None:
        return 0
    channels, rows, columns = connection.reduced(network.source_shape(connection))
    return network.time_steps * channels * rows * columns * (connection.maximum.taps - 1)


def layer_counts(network: FixedPointNetwork, activity: Activity) -> tuple[LayerCounts, ...]:
    """Counts of each layer; what a network's geometry and schedule decide is worked out here, once.

    Raises
    ------
    InvalidValue
        ``activity`` has another number of layers than ``network``, or no image.
    """
    images, layers = activity.operations.shape
    if layers != len(network.layers) or images == 0:
        raise InvalidValue(
            f"activity is of {images} images and {layers} layers, must be of at least 1 image and the network's "
            f"{len(network.layers)} layers"
        )
    steps, stream = network.time_steps, network.schedule == "stream"
    none = np.zeros(images, np.int64)
    pooled = any(c.maximum is not None for layer in network.layers for c in layer.connections)
    counts = []
    for index, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=True)):
        places, neurons = shape[1] * shape[2], prod(shape)
        executed = activity.operations[:, index]
        kind = _input_kind(network, layer)
        fires = layer.threshold is not None
        on_spikes = kind in ("spikes", "rate")
        adds = (steps, layer.bias) if stream else (1, layer.offset)
        sources = [network.source_shape(c) for c in layer.connections]
        effective = None if activity.effective is None else activity.effective[:, index]
        adders = sum(leak.adders for leak in (layer.leak, layer.current_leak) if leak is not None)
        counts.append(
            LayerCounts(
                name=layer.name,
                kind="+".join(c.kind for c in layer.connections),
                input_kind=kind,
                neurons=neurons,
                fires=fires,
                synapses=sum(
                    dense_synapses(c, s)
                    for c, s in zip(layer.connections, sources, strict=True)
                    if c.kind != "identity"
                ),
                weights=sum(c.weight.size for c in layer.connections),
                inputs=sum(prod(c.pooled(s)) for c, s in zip(layer.connections, sources, strict=True)),
                spikes_in=activity.events[:, index],
                sop=executed if on_spikes else none,
                sop_effective=effective if on_spikes else none,
                mac_input=executed if kind == "direct" else none,
                plane_sums=executed if kind == "bitplane" else none,
                current_adds=steps * neurons if network.holds_current(layer) else 0,
                random=steps * prod(network.input_shape) if kind == "rate" else 0,
                ac_bias=adds[0] * places * int(np.count_nonzero(adds[1])),
                comparisons=steps * neurons * (1 + network.signed_spikes) if fires else 0,
                spikes_out=activity.spikes[:, index],
                mac_nonzero=None if activity.nonzero is None else activity.nonzero[:, index],
                ors=sum(_ors(network, c) for c in layer.connections) if pooled else None,
                decay_adds=(steps - 1) * neurons * adders if network.leaks or network.lasting else None,
                lasting_adds=steps * neurons * (layer.current_leak is not None) if network.lasting else None,
            )
        )
    return tuple(counts)
