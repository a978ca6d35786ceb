"""From a NIR graph to a ``SpikingNetwork`` of schedule ``stream``, under a semantics contract."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.connection import Shape
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError, UnsupportedModule
from toolchain.interchange.graph import Graph, Node, graph_of
from toolchain.interchange.hdf5 import read_contents
from toolchain.interchange.identities import as_identity
from toolchain.interchange.metadata import own_metadata
from toolchain.interchange.neurons import NEURONS, Neuron, neuron_of, synapse_of
from toolchain.interchange.notes import input_note, leak_notes
from toolchain.interchange.semantics import DEFAULT_PRESET, Contract, guess, preset
from toolchain.interchange.signals import Signal, Term, added, connected, counted, fold, frame_of, scaled, through
from toolchain.interchange.values import extents, numbers
from toolchain.ir import DEFAULT_SEED, INPUT, PIXEL_MAX, SpikingLayer, SpikingNetwork

__all__ = [
    "READOUTS",
    "Look",
    "Options",
    "import_graph",
    "load_graph",
    "look_at_graph",
    "read_nir",
]

READOUTS = ("count", "membrane")
"""What the scores are where the graph ends in spikes: how often each neuron fired, or its membrane without firing."""
_LAST_BITS = 1e-12
"""How far β moves at most on its way through τ in float64."""
_ON_A_CURRENT = ("I", "IF", "LI", "LIF")
"""Neurons that may take their input from a LI: it is their synaptic current."""
MAX_COUNTED = 4096
"""Neurons whose spikes are counted by a square of weights."""


@dataclass(frozen=True)
class Options:
    """What the user chose; ``None`` takes the preset's, or what a file written by Spikeloom says.

    ``reset``, ``compare``, ``dt``, ``start``, ``clamp``, ``decay``, ``drive``, ``leak_order``, ``current_drive`` and ``tau_syn`` as in ``Contract``; ``time_steps`` is T, ``input`` and ``seed`` as in
    ``Network``, ``pixel_scale`` what a pixel step (1/255 by default), or a spike (1), adds to the graph's Input, ``input_shape`` (C, H, W) of the frames where
    the graph reads a vector, ``readout`` one of ``READOUTS``.
    """

    preset: str | None = None
    reset: str | None = None
    compare: str | None = None
    dt: float | None = None
    start: str | None = None
    clamp: str | None = None
    time_steps: int | None = None
    input: str | None = None
    seed: int | None = None
    pixel_scale: float | None = None
    input_shape: Shape | None = None
    readout: str | None = None
    name: str | None = None
    decay: str | None = None
    drive: str | None = None
    leak_order: str | None = None
    current_drive: str | None = None
    tau_syn: float | None = None


@dataclass
class _Import:
    """State of one import: the layers so far, and the signal at each node."""

    graph: Graph
    contract: Contract
    time_steps: int
    input_shape: Shape | None
    readout: str
    layers: list[SpikingLayer] = field(default_factory=list)
    leaks: dict[str, float] = field(default_factory=dict)
    currents: dict[str, float] = field(default_factory=dict)
    signals: dict[str, Signal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_step: bool = False
    frame: Shape = (1, 1, 1)

    def run(self) -> None:
        """Walk the nodes in order; afterwards ``layers`` is the network."""
        for node in self.graph.order():
            self.read(node)

    def read(self, node: Node) -> None:
        """One node, whose sources were read."""
        if node.kind == "Input":
            self.signals[node.name] = self.enter(node)
            return
        incoming = added(node, [self.signals[name] for name in self.graph.sources[node.name]])
        if node.kind == "Output":
            self.leave(node, incoming)
        elif node.kind in NEURONS:
            self.signals[node.name] = self.fire(node, incoming)
        else:
            self.signals[node.name] = through(node, incoming)

    def look(self, wrong: Collection[str]) -> Iterator[tuple[Node, SpikeloomError | None]]:
        """Walk all nodes, whatever is wrong with some: each with what is wrong with it, if that is not among ``wrong`` already.

        Behind a node that cannot be read goes on what a neuron there would give; nodes that read a signal whose shape is not known
        are left out, and so are those behind them.
        """
        for node in self.graph.order():
            sources = self.graph.sources[node.name]
            if any(name not in self.signals for name in sources):
                continue
            problem: SpikeloomError | None = None
            if node.name not in wrong:
                try:
                    self.read(node)
                except (UnsupportedModule, InvalidValue) as error:
                    problem = error
            yield node, problem
            if node.name not in self.signals and sources and node.kind != "Output":
                fallen = self.fallback(node, self.signals[sources[0]])
                if fallen is not None:
                    self.signals[node.name] = fallen

    def fallback(self, node: Node, incoming: Signal) -> Signal | None:
        """Something of the shape that a node which cannot be read would give; ``None`` where that is not known."""
        shape, frame = incoming.shape, incoming.frame
        weight = node.values.get("weight")
        if node.kind in ("Affine", "Linear") and isinstance(weight, np.ndarray) and weight.ndim == 2:
            shape = (int(weight.shape[0]),)
            frame = frame_of(shape)
        elif node.kind not in (*NEURONS, "Scale", "Delay"):
            return None
        ones = np.ones((frame[0], 1, 1))
        plain = Signal(shape, frame, (Term(INPUT, ones, (1, 1), ones),))
        return connected(node, plain) if node.kind in ("Affine", "Linear") else plain

    def enter(self, node: Node) -> Signal:
        """The input frame as a signal."""
        shape = extents(node)
        if len(shape) == 4:
            if shape[0] != 1:
                raise InvalidValue(f"{node}: shape {shape} has four sizes; export one example, without batch or time")
            shape = shape[1:]
        after = [self.graph.nodes[b] for a, b in self.graph.edges if a == node.name]
        if len(shape) > 1 and set(shape[:-1]) == {1} and {n.kind for n in after} <= {"Affine", "Linear", *NEURONS}:
            shape = shape[-1:]  # one example of one step that an exporter left in: (1, n), Rockpool's (1, 1, n)
        self.frame = frame_of(shape)
        if self.input_shape is not None and self.input_shape != self.frame:
            if np.prod(self.input_shape) != np.prod(shape) or {n.kind for n in after} - {"Flatten", "Affine", "Linear"}:
                raise InvalidValue(
                    f"{node} has shape {shape}, input shape {self.input_shape} does not fit: it must hold as many values, "
                    "and only Flatten, Affine or Linear may read it"
                )
            self.frame = self.input_shape
        ones = np.ones((self.frame[0], 1, 1))
        return Signal(shape, self.frame, (Term(INPUT, ones, (1, 1), ones),))

    def fire(self, node: Node, incoming: Signal) -> Signal:
        """A neuron as the next layer, and its spikes as a signal."""
        current = connected(node, incoming)
        after = {b for a, b in self.graph.edges if a == node.name}
        if node.kind == "LI" and all(self.is_fed_by(name, node) for name in after):
            return self.lasting(node, current)
        if node.kind == "LIF" and self.contract.tau_syn is not None:
            tau = np.array(self.contract.tau_syn, node.values["tau"].dtype)
            node = replace(node, kind="CubaLIF", values={**node.values, "tau_mem": node.values["tau"], "tau_syn": tau})
        neuron = neuron_of(node, self.contract, current.shape, self.time_steps, current.lasting)
        self.one_step |= neuron.one_step
        if neuron.leak is not None:
            self.leaks[node.name] = neuron.leak
        if neuron.current_leak is not None and current.lasting is None:
            self.currents[node.name] = neuron.current_leak
        if neuron.threshold is None and after != {self.graph.output.name}:
            raise UnsupportedModule(
                f"{node} hands its membrane on to {', '.join(sorted(after))[:120]}: layers here hand on spikes; only the "
                "Output may follow it, or as the synaptic current that it is a LI only neurons (IF, LIF, I, LI) that it alone feeds"
            )
        self.layers.append(self.layer(node, current, neuron))
        if neuron.threshold is None:
            return replace(current, bias=None)
        worth = neuron.threshold[:, None, None]
        ones = np.ones_like(worth)
        return Signal(current.shape, current.frame, (Term(len(self.layers) - 1, worth, (1, 1), ones),))

    def is_fed_by(self, name: str, node: Node) -> bool:
        """Whether the node of that name is a neuron which nothing but ``node`` feeds, and can have a synaptic current before it."""
        return self.graph.nodes[name].kind in _ON_A_CURRENT and self.graph.sources[name] == [node.name]

    def lasting(self, node: Node, current: Signal) -> Signal:
        """A LI between a synapse and neurons: the current that they take, which lasts."""
        if current.lasting is not None:
            raise UnsupportedModule(
                f"{node} takes its input from another LI: a neuron here has one synaptic current; leave one of them out"
            )
        synapse = synapse_of(node, self.contract, current.shape, self.time_steps)
        self.one_step |= synapse.one_step
        if synapse.share is not None:
            self.currents[node.name] = synapse.share
        return replace(scaled(current, synapse.gain), lasting=synapse.share)

    def layer(self, node: Node, current: Signal, neuron: Neuron) -> SpikingLayer:
        """A current and a neuron as one layer."""
        gain = neuron.gain[:, None, None, None]
        connections = []
        for term in current.terms:
            assert term.connection is not None
            weight = fold(term.connection, term.gain, term.worth)
            weight = weight if (gain == 1).all() else weight * gain
            connections.append(replace(term.connection, weight=weight))
        bias = np.zeros(current.frame[0]) if current.bias is None else current.bias
        bias = bias if (gain == 1).all() else bias * neuron.gain
        bias = bias + neuron.bias if neuron.bias.any() else bias
        for what, values in (("bias", bias), *(("weights", c.weight) for c in connections)):
            if not np.isfinite(values).all():
                raise InvalidValue(f"{node}: its {what} overflow once its gain and Scale nodes are folded in")
        return SpikingLayer(
            node.name,
            tuple(connections),
            neuron.threshold,
            bias,
            neuron.initial,
            leak=neuron.leak,
            current_leak=neuron.current_leak,
        )

    def leave(self, node: Node, incoming: Signal) -> None:
        """Make the last layer a readout."""
        shape = extents(node)
        ones = len(shape) - len(incoming.shape)
        if ones < 0 or shape != (1,) * ones + incoming.shape:
            raise InvalidValue(f"{node} has shape {shape}, what leads to it {incoming.shape}; export the graph again")
        channels = incoming.frame[0]
        sources = self.graph.sources[node.name]
        if self.layers and self.layers[-1].threshold is None and sources == [self.layers[-1].name]:
            self.vector(node, incoming)  # an I or LI is the readout
            return
        if any(layer.threshold is None for layer in self.layers):
            raise UnsupportedModule(f"{node} adds a membrane to other signals; let the last neuron add them")
        if incoming.current:
            self.vector(node, incoming)
            self.notes.append("scores: the currents that reach the Output, added up over all steps")
            self.layers.append(self.layer(node, incoming, _summing(channels)))
            return
        self.spikes(node, incoming)

    def vector(self, node: Node, incoming: Signal) -> None:
        """Refuse scores that are an image."""
        if incoming.frame[1:] != (1, 1):
            raise UnsupportedModule(
                f"{node} is an image, {incoming.frame}; scores must be a vector: end in Affine or Linear"
            )

    def spikes(self, node: Node, incoming: Signal) -> None:
        """Scores of spikes that reach the Output."""
        terms = incoming.terms
        if any(term.source == INPUT for term in terms):
            raise UnsupportedModule(f"{node} reads the Input with no layer between; there is nothing to run")
        last = len(self.layers) - 1
        whole = len(terms) == 1 and terms[0].source == last and terms[0].pool == (1, 1)
        if self.readout == "membrane":
            if not whole or incoming.frame[1:] != (1, 1) or not (terms[0].gain == 1).all():
                raise UnsupportedModule(
                    f"{node}: readout membrane needs the spikes of one neuron node alone; use count"
                )
            if any(c.source == last for layer in self.layers for c in layer.connections):
                raise UnsupportedModule(
                    f"{node}: other layers read the last spikes, which readout membrane does away with"
                )
            final = self.layers[-1]
            self.layers[-1] = replace(final, threshold=None)
            self.notes.append(f"scores: the membrane of {final.name!r}, which does not fire any more")
            return
        size = int(np.prod(incoming.shape))
        if size > MAX_COUNTED:
            raise UnsupportedModule(f"{node} has {size} neurons, at most {MAX_COUNTED} are counted; end in fewer")
        counts = counted(node, replace(incoming, shape=(size,)))
        self.notes.append("scores: how often each neuron before the Output fired, counted by a readout of weight 1")
        self.layers.append(self.layer(node, counts, _summing(size)))


def _summing(channels: int) -> Neuron:
    """A readout that adds up what it receives."""
    return Neuron(np.ones(channels), None, np.zeros(channels), np.zeros(channels))


def load_graph(path: Path, found: list[tuple[str, SpikeloomError]] | None = None) -> Graph:
    """The checked graph of a NIR file; ``found`` as in ``Graph``.

    Raises
    ------
    NetworkFileError
        The file cannot be read, is damaged, too large, or holds no graph.
    UnsupportedModule, InvalidValue
        As ``Graph``.
    """
    content = read_contents(path)
    if not isinstance(content.get("node"), dict):
        raise NetworkFileError(f"{path} holds no NIR graph; write one with nir.write or spikeloom export")
    return graph_of(content["node"], found)


@dataclass(frozen=True)
class Look:
    """A graph node by node.

    Members
    -------
    nodes : every node that can be looked at, in order, with what is wrong with it
    warnings : about the contract that was assumed
    time_steps : T that the options or the file say, or else the one assumed; ``told``: whether they do
    leaks : β of each node whose membrane leaks, by its name
    currents : α of each node whose synaptic current lasts, or that is one
    """

    nodes: list[tuple[Node, SpikeloomError | None]]
    warnings: list[str]
    time_steps: int
    told: bool
    leaks: Mapping[str, float] = field(default_factory=dict)
    currents: Mapping[str, float] = field(default_factory=dict)


def look_at_graph(graph: Graph, options: Options, time_steps: int, wrong: Collection[str] = ()) -> Look:
    """All that is wrong with a graph beyond the nodes that are known to be ``wrong``.

    ``time_steps`` is for a graph that does not say T, where the options do not either.
    """
    own = None if options.preset is not None else own_metadata(graph.metadata)
    contract, warnings = _agreed(graph, options, own)
    told = options.time_steps if options.time_steps is not None else (own or {}).get("time_steps")
    steps = time_steps if told is None else told
    state = _Import(graph, contract, steps, options.input_shape, options.readout or READOUTS[0])
    return Look(list(state.look(wrong)), warnings, steps, told is not None, state.leaks, state.currents)


def _agreed(graph: Graph, options: Options, own: Mapping[str, Any] | None) -> tuple[Contract, list[str]]:
    """The contract, and what the user should be warned of."""
    warnings: list[str] = []
    kinds = {node.kind for node in graph.nodes.values()}
    if options.preset is None and own is not None:
        contract = Contract("spikeloom", own["reset"], own["compare"], 1.0, leaky_dt=1.0, leak_order=own["leak_order"])
    else:
        chosen = preset(options.preset or DEFAULT_PRESET)
        contract = chosen.contract
    if options.preset is None and own is None:
        warnings.append(
            f"the file does not say which framework exported it (like {guess(graph)}): NIR's own equations are "
            "assumed; choose --preset"
        )
    if options.preset is not None or own is None:
        warnings += chosen.hidden
        warnings += chosen.hidden_leaks if kinds & {"LI", "LIF", "CubaLI", "CubaLIF"} else ()
        warnings += chosen.hidden_currents if kinds & {"CubaLI", "CubaLIF"} else ()
    contract = contract.changed(
        reset=options.reset, compare=options.compare, dt=options.dt, start=options.start, clamp=options.clamp,
        decay=options.decay, drive=options.drive, leak_order=options.leak_order, current_drive=options.current_drive,
        tau_syn=options.tau_syn,
    )  # fmt: skip
    integrators = [node for node in graph.nodes.values() if node.kind in ("I", "IF")]
    if contract.dt is None and integrators and all((numbers(node, "r") == 1).all() for node in integrators):
        contract = replace(contract, dt=1.0)
        warnings.append("the file does not say the time step; every r is 1, so that dt = 1 is assumed; choose --dt")
    return contract, warnings


def import_graph(graph: Graph, options: Options, name: str = "nir") -> SpikingNetwork:
    """A NIR graph as a spiking network in ``stream``; the contract, warnings and notes are in its provenance.

    ``name`` is for a graph that has none.

    Raises
    ------
    UnsupportedModule
        A construct that has no exact counterpart here, by node.
    InvalidValue
        Values, shapes or options that do not fit.
    """
    own = None if options.preset is not None else own_metadata(graph.metadata)
    contract, warnings = _agreed(graph, options, own)
    usual = own or {"input": "direct", "seed": DEFAULT_SEED, "pixel_scale": 1 / PIXEL_MAX, "name": name}
    time_steps = options.time_steps if options.time_steps is not None else usual.get("time_steps")
    if time_steps is None:
        raise InvalidValue("a NIR graph does not say for how many time steps it runs; choose -T")
    readout = options.readout or READOUTS[0]
    if readout not in READOUTS:
        raise InvalidValue(f"readout is {readout!r}, must be one of {', '.join(READOUTS)}")
    state = _Import(graph, contract, time_steps, options.input_shape, readout)
    state.run()
    layers = _restored(state.layers, own)
    code = options.input or usual["input"]
    if options.seed is not None and code != "rate":
        raise InvalidValue(f"seed {options.seed} is for input rate, the input is {code}")
    unsaid = 1.0 if code == "spikes" and own is None else usual["pixel_scale"]
    scale = unsaid if options.pixel_scale is None else options.pixel_scale
    provenance: dict[str, Any] = {
        "method": "nir",
        "nir": {
            "contract": contract.as_dict(),
            "warnings": warnings,
            "notes": [input_note(code, scale), *state.notes, *leak_notes(layers)],
        },
    }
    if state.one_step:
        provenance["fixed_time_steps"] = 1
    return SpikingNetwork(
        name=options.name or usual["name"],
        input_shape=state.frame,
        schedule="stream",
        time_steps=time_steps,
        layers=layers,
        provenance=provenance,
        reset="subtract" if contract.reset == "subtract" else "zero",
        compare=contract.compare,
        input=code,
        seed=usual["seed"] if options.seed is None else options.seed,
        pixel_scale=scale,
        leak_order="leak_first"
        if contract.leaks_first and any(layer.leak is not None for layer in layers)
        else "reset_first",
    )


def _restored(layers: list[SpikingLayer], own: Mapping[str, Any] | None) -> tuple[SpikingLayer, ...]:
    """Layers under the names that they had before they were exported, and their identities marked as such."""
    if own is None or len(own["layers"]) != len(layers):
        return tuple(layers)
    groups = {(layer, number): count for layer, number, count in own["identities"]}
    return tuple(
        replace(
            layer,
            name=name,
            leak=_told(layer.leak, own["leaks"][index]),
            current_leak=_told(layer.current_leak, own["current_leaks"][index]),
            connections=tuple(
                as_identity(c, groups[index, number]) if (index, number) in groups else c
                for number, c in enumerate(layer.connections)
            ),
        )
        for index, (layer, name) in enumerate(zip(layers, own["layers"], strict=True))
    )


def _told(leak: float | None, told: float | None) -> float | None:
    """β or α as it was before it was exported as τ = 1/(1 − β), which may have moved its last bits; of a node changed since, its own."""
    return told if leak is not None and told is not None and abs(leak - told) <= _LAST_BITS else leak


def read_nir(source: Any, options: Options | None = None) -> SpikingNetwork:
    """Import a file, or a ``nir.NIRGraph``.

    Parameters
    ----------
    source : Path, str or nir.NIRGraph
    options : Options

    Raises
    ------
    NetworkFileError, UnsupportedModule, InvalidValue
        As ``load_graph`` and ``import_graph``.
    """
    chosen = options or Options()
    if isinstance(source, (str, Path)):
        path = Path(source)
        return import_graph(load_graph(path), chosen, path.stem)
    return import_graph(graph_of(source), chosen)
