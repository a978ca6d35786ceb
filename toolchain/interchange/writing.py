"""From a ``SpikingNetwork`` to a NIR graph that reads back as the same arrays; what NIR cannot say is refused."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.interchange.identities import as_matrix
from toolchain.interchange.metadata import metadata_of
from toolchain.interchange.signals import fold, same_padding
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.netfile import replacing

if TYPE_CHECKING:
    import nir

__all__ = ["to_nir", "write_nir"]

_NETWORK = (
    "name", "input_shape", "schedule", "time_steps", "layers", "provenance", "negative", "reset", "compare", "input", "seed",
    "pixel_scale", "leak_order",
)  # fmt: skip
_LAYER = ("name", "connections", "threshold", "bias", "initial", "leak", "current_leak")
_CONVOLUTION = ("source", "weight", "stride", "padding", "pool", "kind", "padding_after", "dilation", "groups")
_MATRIX = ("source", "weight", "pool", "kind")
_IDENTITY_OF_A_VECTOR = ("source", "weight", "kind", "groups")
"""Members that the graph says, or ``_check`` refuses; all others must be as usual."""


def _all_said(where: str, thing: Any, said: tuple[str, ...]) -> None:
    """Nothing is left out: members that are not ``said`` have the values that an object has without naming them.

    Raises
    ------
    InvalidValue
        Names the member.
    """
    usual = type(thing)(**{name: getattr(thing, name) for name in said})
    for member in fields(thing):
        value, plain = getattr(thing, member.name), getattr(usual, member.name)
        if member.name not in said and not np.array_equal(value, plain):
            raise InvalidValue(
                f"{where}: {member.name} is {value}, which export does not write into NIR; make it {plain} in the network "
                "that this one was converted from"
            )


def _check(network: SpikingNetwork) -> None:
    """Refuse what NIR has no words for.

    Raises
    ------
    InvalidValue
        Names the property and the way out.
    """
    for layer in network.layers:
        if any(connection.maximum is not None for connection in layer.connections):
            raise InvalidValue(
                f"layer {layer.name} reads spikes through max pooling, which NIR has no words for; convert a copy with average "
                "pooling (toolchain.convert.replace_max_pooling), fine-tuned"
            )
    if network.schedule != "stream":
        raise InvalidValue(
            f"schedule {network.schedule} cannot be said in NIR, whose neurons fire in every step; convert with "
            "--schedule stream"
        )
    if network.negative != "none":
        raise InvalidValue(
            f"negative spikes ({network.negative}) cannot be said in NIR, whose neurons fire 1 or 0; convert with --negative none"
        )
    if network.input == "bitplane":
        raise InvalidValue(
            "input bitplane cannot be said in NIR; convert with --input direct, which gives the same sums"
        )
    if "fixed_time_steps" in network.provenance:
        raise InvalidValue(
            f"the network holds for T = {network.provenance['fixed_time_steps']} only, since its neurons leaked where it came "
            "from; keep the file that it was imported from"
        )
    _all_said("the network", network, _NETWORK)
    for layer in network.layers:
        _all_said(f"layer {layer.name}", layer, _LAYER)
        if layer.initial.any():
            start = layer.initial[layer.initial != 0][0]
            raise InvalidValue(
                f"layer {layer.name} starts at V(0) = {start:g}, NIR neurons have no start value; convert with -m optimal --no-shift"
            )


@dataclass
class _Export:
    """State of one export: nodes and edges so far."""

    network: SpikingNetwork
    folded: bool
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    vectors: list[bool] = field(default_factory=list)

    def run(self) -> "nir.NIRGraph":
        """The whole graph."""
        import nir

        network = self.network
        reading = [c for layer in network.layers for c in layer.connections if c.source == INPUT]
        vector = network.input_shape[1:] == (1, 1) and all(c.kind == "linear" for c in reading)
        shape = network.input_shape[:1] if vector else network.input_shape
        self.nodes["input"] = nir.Input(input_type=np.array(shape))
        for index, layer in enumerate(network.layers):
            self.layer(index, layer)
        self.nodes["output"] = nir.Output(output_type=np.array(network.shapes[-1][:1]))
        return nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=metadata_of(network), type_check=False)

    def name(self, index: int) -> str:
        """Node that gives a layer's spikes."""
        return "input" if index == INPUT else f"{index}_neuron"

    def is_vector(self, index: int) -> bool:
        """Whether NIR sees a source as (C,)."""
        if index == INPUT:
            return len(self.nodes["input"].input_type["input"]) == 1
        return self.vectors[index]

    def layer(self, index: int, layer: SpikingLayer) -> None:
        """Its synapses, and its neuron; a readout that only sums is none, its sums go to the Output.

        Where the current lasts and the membrane does not leak, a LI for the current stands before the neuron.
        """
        import nir

        vector = layer.threshold is None or any(
            c.kind == "linear" or self.is_vector(c.source) for c in layer.connections
        )
        self.vectors.append(vector)
        silent = layer.threshold is None
        plain = layer.leak is None and layer.current_leak is None
        target = "output" if silent and plain else self.name(index)
        synapse = layer.leak is None and layer.current_leak is not None
        entry = f"{index}_current" if synapse else target
        for number, connection in enumerate(layer.connections):
            bias = layer.bias if number == 0 else None
            last = self.synapse(f"{index}_{number}", layer, connection, bias)
            if vector and connection.kind != "linear" and not self.is_vector(connection.source):
                places = np.array(self.network.shapes[index])
                self.nodes[f"{index}_{number}_vector"] = nir.Flatten(input_type=places, start_dim=0, end_dim=-1)
                self.edges.append((last, f"{index}_{number}_vector"))
                last = f"{index}_{number}_vector"
            self.edges.append((last, entry))
        if target == "output":
            return
        said = np.ones(self.network.shapes[index][:1] if vector else self.network.shapes[index])
        if synapse:
            assert layer.current_leak is not None
            tau = said / (1 - layer.current_leak)
            self.nodes[entry] = nir.LI(tau=tau, r=tau, v_leak=np.zeros_like(said))
            self.edges.append((entry, target))
        self.nodes[target] = self.neuron(layer, said, vector)
        if silent:
            self.edges.append((target, "output"))

    def neuron(self, layer: SpikingLayer, said: np.ndarray, vector: bool) -> Any:
        """IF or I, or with a leak LIF or LI of dt = 1, share 1 − 1/τ, gain r/τ = 1; with a current beside it CubaLIF or CubaLI.

        ``said`` is 1 at each place.
        """
        import nir

        zeros = np.zeros_like(said)
        times: dict[str, Any] = {"r": said}
        if layer.leak is not None:
            tau = said / (1 - layer.leak)
            times = {"tau": tau, "r": tau, "v_leak": zeros}
            if layer.current_leak is not None:
                slow = said / (1 - layer.current_leak)
                times = {"tau_mem": tau, "tau_syn": slow, "w_in": slow, "r": tau, "v_leak": zeros}
        if layer.threshold is None:
            silent = nir.I if layer.leak is None else nir.LI if layer.current_leak is None else nir.CubaLI
            return silent(**times)
        threshold = said * (layer.threshold if vector else layer.threshold[:, None, None])
        fires = nir.IF if layer.leak is None else nir.LIF if layer.current_leak is None else nir.CubaLIF
        return fires(**times, v_threshold=threshold, v_reset=zeros)

    def synapse(self, key: str, layer: SpikingLayer, connection: Connection, bias: np.ndarray | None) -> str:
        """Nodes from the source to the sum, pooling and flattening included; the last one's name."""
        import nir

        source, weight = connection.source, connection.weight
        if connection.kind == "conv2d" and self.is_vector(source):
            raise InvalidValue(f"layer {layer.name} convolves a vector, which NIR cannot say; make it dense")
        pool = connection.pool
        worth = np.ones((connection.inputs, 1, 1)) if source == INPUT else self.worth(source)
        places = pool[0] * pool[1]
        average = np.array(1 / places if places > 1 else 1.0)
        plain = weight * connection.fed_by(worth[:, 0, 0] * places)
        back = fold(replace(connection, weight=plain), np.ones_like(worth) * average, worth)
        last, chain = self.name(source), []
        if self.folded or np.array_equal(back, weight):
            weight, mean = plain, True
        else:  # rounding would change the weights: a Scale says what a spike is worth, and windows are summed
            scale = np.broadcast_to(worth, self.network.shapes[source] if source != INPUT else self.network.input_shape)
            if source != INPUT:
                shape = scale[:, 0, 0] if self.is_vector(source) else scale
                chain.append(("scale", nir.Scale(scale=np.array(shape))))
            mean = False
        if pool != (1, 1):
            kind = nir.AvgPool2d if mean else nir.SumPool2d
            chain.append(("pool", kind(kernel_size=np.array(pool), stride=np.array(pool), padding=np.array((0, 0)))))
        if connection.kind == "linear" and not self.is_vector(source):
            pooled = np.array(connection.pooled(self.network.source_shape(connection)))
            chain.append(("flatten", nir.Flatten(input_type=pooled, start_dim=0, end_dim=-1)))
        chain.append(("weight", self.weighted(layer, connection, weight, bias)))
        for part, node in chain:
            self.nodes[f"{key}_{part}"] = node
            self.edges.append((last, f"{key}_{part}"))
            last = f"{key}_{part}"
        return last

    def worth(self, source: int) -> np.ndarray:
        """λ of a source layer, ``[C, 1, 1]``."""
        threshold = self.network.layers[source].threshold
        assert threshold is not None
        return threshold[:, None, None]

    def weighted(self, layer: SpikingLayer, connection: Connection, weight: np.ndarray, bias: np.ndarray | None) -> Any:
        """Affine, Linear or Conv2d; ``kind`` identity is in the metadata."""
        import nir

        vector = self.is_vector(connection.source)
        said = _MATRIX if connection.kind == "linear" else _IDENTITY_OF_A_VECTOR if vector else _CONVOLUTION
        _all_said(f"layer {layer.name}: connection", connection, said)
        if connection.kind == "linear" or vector:
            matrix = as_matrix(connection, weight) if vector else weight.reshape(weight.shape[0], -1)
            return nir.Linear(weight=matrix) if bias is None else nir.Affine(weight=matrix, bias=bias)
        source = self.network.source_shape(connection)
        return nir.Conv2d(
            input_shape=connection.pooled(source)[1:],
            weight=weight,
            stride=connection.stride,
            padding=_padding(layer, connection),
            dilation=connection.dilation,
            groups=connection.groups,
            bias=np.zeros(weight.shape[0]) if bias is None else bias,
        )


def _padding(layer: SpikingLayer, connection: Connection) -> tuple[int, int] | str:
    """NIR's padding: the same on both sides, or ``same``.

    Raises
    ------
    InvalidValue
        Neither.
    """
    before, behind = connection.padding, connection.padding_after
    if before == behind:
        return before
    if connection.stride == (1, 1) and (before, behind) == same_padding(connection.kernel, connection.dilation):
        return "same"
    raise InvalidValue(
        f"layer {layer.name} pads {before} before and {behind} behind, NIR only alike on both sides, or 'same' at stride 1; "
        "pad alike in the source (a larger kernel with zeros at its edge does the same) and convert again"
    )


def to_nir(network: SpikingNetwork, *, folded: bool = False) -> "nir.NIRGraph":
    """A NIR graph of the same network, weights in float64.

    A spike of ours is worth its threshold, one of NIR's is 1; the difference goes into the weights where that is exact
    (thresholds that are powers of two), else a Scale node behind the neuron says it.

    Parameters
    ----------
    folded : bool
        Always into the weights, for readers that know no Scale; they may then differ in the last bit of a float64.

    Raises
    ------
    InvalidValue
        A property of the network that NIR cannot say: schedule, negative spikes, input, V(0), padding on one side; or one
        that this module does not know.
    """
    _check(network)
    return _Export(network, folded).run()


def write_nir(network: SpikingNetwork, path: Path, *, folded: bool = False) -> dict[str, int]:
    """Write ``to_nir`` to a file, replacing what was there in one step; how many nodes of each kind it has.

    Raises
    ------
    InvalidValue
        As ``to_nir``; or the path cannot be written.
    """
    import nir

    graph = to_nir(network, folded=folded)
    with replacing(path) as temporary:
        nir.write(temporary, graph)
    return dict(Counter(type(node).__name__ for node in graph.nodes.values()))
