"""The two networks that flow through Spikeloom: floating-point spiking and fixed-point integers."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from toolchain.connection import Connection, Shape
from toolchain.errors import InvalidValue
from toolchain.fixedpoint import MembraneRange, membrane_range, signed_width, weight_limit
from toolchain.layers import FixedPointLayer, Layer, SpikingLayer
from toolchain.leak import LEAK_ORDERS, Decay, check_current, check_leak
from toolchain.pooling import check_exact

__all__ = [
    "INPUT",
    "INPUTS",
    "PIXEL_INPUTS",
    "MAX_TIME_STEPS",
    "BELOW_ZERO",
    "COMPARES",
    "COUNTING_NEGATIVES",
    "DEFAULT_SEED",
    "FLOAT_SCHEDULES",
    "MAX_RADIX_STEPS",
    "MEMBRANE_LIMIT_BITS",
    "NEGATIVES",
    "PIXEL_MAX",
    "RATE_LEVELS",
    "RESETS",
    "SCHEDULES",
    "FixedPointLayer",
    "FixedPointNetwork",
    "Layer",
    "Network",
    "SpikingLayer",
    "SpikingNetwork",
    "content_digest",
]

INPUT = -1
"""Source index of a connection that reads the input frame."""
PIXEL_MAX = 255
"""Largest pixel; frames are unsigned 8-bit."""
SCHEDULES = ("stream", "two_phase", "radix")
FLOAT_SCHEDULES = (*SCHEDULES, "switched")
"""``switched`` (temporal switch coding) needs a second integrator: it exists in floating point only."""
NEGATIVES = ("none", "symmetric", "asymmetric", "floor", "correcting", "memory")
"""When a neuron fires a negative spike: never; at −θ; at −θ⁻, a threshold of its own; below 0, so that its spikes
sum to ⌊V/θ⌋ on both sides; below 0, or at −θ, if its spikes so far sum to more than 0, which takes back an early one."""
BELOW_ZERO = ("floor", "correcting")
"""Those that test for V < 0."""
COUNTING_NEGATIVES = ("correcting", "memory")
"""Those that remember the sum of the spikes so far."""
PIXEL_INPUTS = ("direct", "bitplane", "rate")
"""How a frame of pixels arrives: as amplitudes, as its bits (the same sums without a multiplier), or as random spikes."""
INPUTS = (*PIXEL_INPUTS, "spikes")
"""``spikes``: a frame is the spikes of each step, and drives the layers that read it as a hidden layer's would."""
RATE_LEVELS = 256
"""Random numbers of ``rate`` are bytes: a pixel p spikes in p of 256 steps on average."""
DEFAULT_SEED = 0x2545F491
RESETS = ("subtract", "zero")
COMPARES = ("ge", "gt")
"""Whether a neuron fires at V ≥ θ or at V > θ."""
MAX_TIME_STEPS = 1024
MAX_RADIX_STEPS = 10
"""A spike train of ``radix`` is a binary number: 2^10 − 1 levels are as many as other schedules have steps."""
MEMBRANE_LIMIT_BITS = 32
"""Widest membrane; scores travel as 32-bit words."""


def content_digest(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a network's header and arrays, 64 hexadecimal digits; its own and its layers' names do not count."""
    meaning = {key: value for key, value in header.items() if key != "name"}
    meaning["layers"] = [{key: value for key, value in layer.items() if key != "name"} for layer in header["layers"]]
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name}:{little.dtype.str}:{array.shape}".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


L = TypeVar("L", bound=Layer)

_NEURON = {"negative": NEGATIVES, "reset": RESETS, "compare": COMPARES, "input": INPUTS}


def _leak_value(leak: float | Decay) -> float | list[int]:
    """As a header has it: β, or the signed shifts."""
    return list(leak.terms) if isinstance(leak, Decay) else leak


@dataclass(frozen=True, eq=False)
class Network(Generic[L]):
    """What both kinds of network share; validated as a whole on construction.

    Members
    -------
    input_shape : (C, H, W)
    schedule, negative, reset, compare : str
        The neuron (design, section 3): one of ``SCHEDULES``, ``NEGATIVES``, ``RESETS``, ``COMPARES``.
        ``correcting``, ``memory`` and ``zero`` exist in ``stream`` only: elsewhere no neuron has fired too
        early, and one reset would take all that is left.
    leak_order : str
        One of ``LEAK_ORDERS``; free of meaning where no layer leaks.
    input : str
        One of ``INPUTS``. ``rate``: pixel i spikes in step t if it exceeds byte n of the sequence that
        ``toolchain.lfsr`` makes of ``seed``, with n = t·pixels + i in ``stream`` and i·T + t in ``two_phase``,
        i in the order (y, x, channel); every frame starts the sequence anew. ``spikes``: a frame is
        ``[T, C, H, W]``, 1 where the input fires in a step (−1 too where spikes have a sign).
    time_steps : int
        ``T``, 1 to ``MAX_TIME_STEPS``, in ``radix`` to ``MAX_RADIX_STEPS``.
    layers : tuple
        The last is the readout: no threshold, ``1 × 1``.
    provenance : mapping of JSON values
        Where the network comes from; free of meaning for the integers, no part of the fingerprint.
        ``fixed_time_steps`` is the only T that an imported network may have.
    """

    name: str
    input_shape: Shape
    schedule: str
    time_steps: int
    layers: tuple[L, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    negative: str = "none"
    reset: str = "subtract"
    compare: str = "ge"
    input: str = "direct"
    seed: int = DEFAULT_SEED
    leak_order: str = "reset_first"
    schedules: ClassVar[tuple[str, ...]] = SCHEDULES

    def _validate_neuron(self) -> None:
        for name, allowed in {"schedule": self.schedules, **_NEURON, "leak_order": LEAK_ORDERS}.items():
            if getattr(self, name) not in allowed:
                raise InvalidValue(f"{name} is {getattr(self, name)!r}, must be one of {', '.join(allowed)}")
        for layer in (layer for layer in self.layers if layer.leak is not None):
            check_leak(
                f"layer {layer.name}",
                schedule=self.schedule,
                negative=self.negative,
                reset=self.reset,
                order=self.leak_order,
            )
        for layer in (layer for layer in self.layers if layer.current_leak is not None):
            check_current(f"layer {layer.name}", schedule=self.schedule, negative=self.negative)
        if self.schedule != "stream" and self.negative in COUNTING_NEGATIVES:
            raise InvalidValue(
                f"negative {self.negative} needs schedule stream: in {self.schedule} no spike comes too early"
            )
        if self.schedule == "switched" and (self.negative, self.input) != ("none", "direct"):
            raise InvalidValue(
                f"schedule switched needs negative none and input direct, not {self.negative} and {self.input}"
            )
        if self.schedule == "radix" and self.negative == "floor":
            raise InvalidValue("negative floor needs schedule stream or two_phase: in radix digits would mix signs")
        if self.schedule == "radix" and self.input == "rate":
            raise InvalidValue(
                "input rate needs schedule stream or two_phase: in radix spikes differ in worth; use bitplane"
            )
        if not isinstance(self.seed, int) or not 1 <= self.seed < 2**32:
            raise InvalidValue(f"seed is {self.seed}, must be 1 to {2**32 - 1}")
        if self.reset == "zero" and (self.schedule != "stream" or self.negative != "none"):
            raise InvalidValue(
                f"reset zero needs schedule stream and negative none, not {self.schedule} and {self.negative}"
            )
        most = MAX_RADIX_STEPS if self.schedule == "radix" else MAX_TIME_STEPS
        if not isinstance(self.time_steps, int) or not 1 <= self.time_steps <= most:
            where = " in radix" if self.schedule == "radix" else ""
            raise InvalidValue(f"time steps is {self.time_steps}, must be 1 to {most}{where}")
        if self.provenance.get("fixed_time_steps", self.time_steps) != self.time_steps:
            raise InvalidValue(
                f"time steps is {self.time_steps}, must be {self.provenance['fixed_time_steps']}: the network was imported "
                "for that many, and with more its neurons would leak"
            )

    def _validate(self) -> None:
        self._validate_neuron()
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise InvalidValue(f"input shape is {self.input_shape}, must be (C, H, W), each at least 1")
        if not self.layers:
            raise InvalidValue("the network has no layer")
        for index, layer in enumerate(self.layers):
            self._validate_sources(index, layer)
        self._validate_readout()

    def _validate_readout(self) -> None:
        if self.layers[-1].threshold is not None:
            raise InvalidValue(f"the last layer, {self.layers[-1].name}, must be a readout without threshold")
        if self.shapes[-1][1:] != (1, 1):
            raise InvalidValue(
                f"the last layer, {self.layers[-1].name}, gives {self.shapes[-1]}, must be a vector (C, 1, 1)"
            )

    def _reads_no_trains(self, sources: list[int]) -> bool:
        """Whether one of ``sources`` gives something else than the trains of a layer that fired."""
        return INPUT in sources

    def _validate_sources(self, index: int, layer: L) -> None:
        sources = [connection.source for connection in layer.connections]
        for source in sources:
            if not INPUT <= source < index:
                raise InvalidValue(f"layer {layer.name} reads layer {source}, must be an earlier one")
            if source != INPUT and self.layers[source].threshold is None:
                raise InvalidValue(f"layer {layer.name} reads layer {source}, which never fires")
        if INPUT in sources and len(sources) > 1 and self.input != "spikes":
            raise InvalidValue(f"layer {layer.name} mixes the input frame with spikes: not supported")
        if INPUT in sources and index and self.input == "rate":
            raise InvalidValue(f"layer {layer.name} reads the input frame; with input rate only the first layer may")
        needed = self.negative == "asymmetric" and layer.threshold is not None
        if (layer.negative_threshold is not None) != needed:
            raise InvalidValue(
                f"layer {layer.name} has {'no' if needed else 'a'} negative threshold; firing layers of negative "
                "asymmetric have one, no others"
            )
        if any(connection.maximum is not None for connection in layer.connections):
            check_exact(layer.name, self.schedule, self.negative, frame=self._reads_no_trains(sources))
        outputs = set()
        for connection in layer.connections:
            try:
                outputs.add(connection.output(self.source_shape(connection)))
            except InvalidValue as error:
                raise InvalidValue(f"layer {layer.name}: {error}") from error
        if len(outputs) != 1:
            raise InvalidValue(f"layer {layer.name}: its connections give different shapes {sorted(outputs)}")

    def source_shape(self, connection: Connection) -> Shape:
        """Shape of what a connection reads, before its pooling."""
        return self.input_shape if connection.source == INPUT else self.shapes[connection.source]

    def reads_frame(self, layer: L) -> bool:
        """Whether the layer integrates the amplitudes of the input frame, and not spikes."""
        return layer.connections[0].source == INPUT and self.input not in ("rate", "spikes")

    def holds_current(self, layer: L) -> bool:
        """Whether the layer integrates the frame once and adds what that gives in each step of ``stream``."""
        return self.schedule == "stream" and self.reads_frame(layer) and layer.current_leak is None

    def rescans(self, layer: L) -> bool:
        """Whether the layer integrates the frame anew in each step of ``stream``: into a current that lasts."""
        return self.reads_frame(layer) and layer.current_leak is not None

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of one frame: ``(C, H, W)`` pixels, or ``(T, C, H, W)`` spikes."""
        return (self.time_steps, *self.input_shape) if self.input == "spikes" else self.input_shape

    @property
    def leaks(self) -> bool:
        """Whether a membrane of any layer leaks."""
        return any(layer.leak is not None for layer in self.layers)

    @property
    def lasting(self) -> bool:
        """Whether the synaptic current of any layer lasts."""
        return any(layer.current_leak is not None for layer in self.layers)

    @property
    def levels(self) -> int:
        """Largest value of a spike train: T, or 2^T − 1 in ``radix``."""
        return 2**self.time_steps - 1 if self.schedule == "radix" else self.time_steps

    @property
    def signed_spikes(self) -> bool:
        """Whether spikes may be −1."""
        return self.negative != "none"

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Output shape of each layer."""
        shapes: list[Shape] = []
        for layer in self.layers:
            connection = layer.connections[0]
            source = self.input_shape if connection.source == INPUT else shapes[connection.source]
            shapes.append(connection.output(source))
        return tuple(shapes)

    @property
    def weights(self) -> int:
        """Stored weights; a convolution counts its kernel once."""
        return sum(c.weight.size for layer in self.layers for c in layer.connections)

    @property
    def neurons(self) -> int:
        """Neurons, the readout's included."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def header(self) -> dict[str, Any]:
        """Everything but the arrays and the provenance, as JSON values; the usual neuron goes without saying."""
        unusual = {name: getattr(self, name) for name, allowed in _NEURON.items() if getattr(self, name) != allowed[0]}
        if self.input == "rate":
            unusual["seed"] = self.seed
        if self.leaks and self.leak_order != LEAK_ORDERS[0]:
            unusual["leak_order"] = self.leak_order
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            **unusual,
            "schedule": self.schedule,
            "time_steps": self.time_steps,
            "layers": [
                {
                    "name": layer.name,
                    "fires": layer.threshold is not None,
                    **{
                        name: _leak_value(leak)
                        for name, leak in (("leak", layer.leak), ("current_leak", layer.current_leak))
                        if leak is not None
                    },
                    "connections": [
                        {
                            "source": c.source,
                            "stride": list(c.stride),
                            "padding": list(c.padding),
                            "pool": list(c.pool),
                            "kind": c.kind,
                            **c.unusual(),
                        }
                        for c in layer.connections
                    ],
                }
                for layer in self.layers
            ],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array under its name in a network file, ``LAYER.NAME`` and ``LAYER.weight.CONNECTION``."""
        return {
            f"{index}.{name}": array
            for index, layer in enumerate(self.layers)
            for name, array in layer.arrays().items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the network means, 64 hexadecimal digits: header and arrays, but no names."""
        return content_digest(self.header(), self.arrays())

    def with_provenance(self, **entries: Any) -> Self:
        """The same network with more provenance."""
        return replace(self, provenance={**self.provenance, **entries})


@dataclass(frozen=True, eq=False)
class SpikingNetwork(Network[SpikingLayer]):
    """Spiking network in floating point, the result of ``toolchain.convert``.

    ``pixel_scale`` is the activation that one pixel step stands for: input = pixel · pixel_scale. With input ``spikes`` it
    is the threshold of the input: a train of value ``n`` is worth ``n / levels · pixel_scale``.
    """

    pixel_scale: float = 1 / PIXEL_MAX
    schedules: ClassVar[tuple[str, ...]] = FLOAT_SCHEDULES

    def __post_init__(self) -> None:
        if not (np.isfinite(self.pixel_scale) and self.pixel_scale > 0):
            raise InvalidValue(f"pixel scale is {self.pixel_scale}, must be above 0")
        self._validate()

    def header(self) -> dict[str, Any]:
        return {**super().header(), "pixel_scale": self.pixel_scale}

    def worth(self, connection: Connection) -> np.ndarray:
        """λ_in: what one source spike or pixel step is worth, float64 ``[C_out, C_in / groups, 1, 1]``."""
        if connection.source == INPUT:
            levels = RATE_LEVELS if self.input == "rate" else 1
            return connection.fed_by(np.full(connection.inputs, levels * self.pixel_scale))
        threshold = self.layers[connection.source].threshold
        assert threshold is not None
        return connection.fed_by(threshold)

    def with_time_steps(self, time_steps: int) -> "SpikingNetwork":
        """The same network run for another number of steps."""
        return replace(self, time_steps=time_steps)


@dataclass(frozen=True, eq=False)
class FixedPointNetwork(Network[FixedPointLayer]):
    """Integers only: the single source of truth for golden model, oracle, hardware and reports.

    ``weight_bits`` is the width of the weight memory, 2 to 16. Constructing the network proves the
    membrane range of every layer (``ranges``).

    Raises
    ------
    InvalidValue
        A weight exceeds ``weight_bits``, a bias in ``two_phase``, or a membrane that would need
        more than ``MEMBRANE_LIMIT_BITS`` bits.
    """

    weight_bits: int = 8

    def __post_init__(self) -> None:
        if not isinstance(self.weight_bits, int) or not 2 <= self.weight_bits <= 16:
            raise InvalidValue(f"weight bits is {self.weight_bits}, must be 2 to 16")
        self._validate()
        problems = tuple(problem for index in range(len(self.layers)) for problem in self._layer_problems(index))
        if problems:
            first, *others = problems
            first.also = tuple(others)
            raise first

    def _layer_problems(self, index: int) -> Iterator[InvalidValue]:
        layer, limit = self.layers[index], weight_limit(self.weight_bits)
        for connection in layer.connections:
            largest = int(np.abs(connection.weight.astype(np.int64)).max())
            if largest > limit:
                yield InvalidValue(
                    f"layer {layer.name}: weight {largest} exceeds {limit}, the limit of {self.weight_bits} bits"
                )
        if self.schedule != "stream" and layer.bias.any():
            yield InvalidValue(
                f"layer {layer.name}: bias must be 0 in {self.schedule}; put it into offset, once a level"
            )
        bits = self._layer_bits(index)
        if bits > MEMBRANE_LIMIT_BITS:
            yield InvalidValue(
                f"layer {layer.name} needs a {bits}-bit membrane, the limit is {MEMBRANE_LIMIT_BITS}; "
                "use fewer weight bits or time steps"
            )

    def header(self) -> dict[str, Any]:
        return {**super().header(), "weight_bits": self.weight_bits}

    def presentations(self, layer: FixedPointLayer) -> int:
        """How often the layer's input arrives: ``levels`` times, or once for a frame outside ``stream``."""
        return 1 if self.schedule != "stream" and self.reads_frame(layer) else self.levels

    @cached_property
    def ranges(self) -> tuple[MembraneRange, ...]:
        """Proven range of each layer's membranes, and of its currents where they last."""
        ranges = []
        for layer in self.layers:
            excitation = np.zeros(layer.channels, np.int64)
            inhibition = np.zeros(layer.channels, np.int64)
            for connection in layer.connections:
                frame = connection.source == INPUT and self.input != "spikes"
                amplitude = PIXEL_MAX if frame and self.input != "rate" else 1
                positive, negative = connection.extremes(self.source_shape(connection))
                if not frame and self.signed_spikes:
                    positive = negative = connection.swing(self.source_shape(connection))
                excitation += amplitude * positive
                inhibition += amplitude * negative
            ranges.append(
                membrane_range(
                    excitation,
                    inhibition,
                    layer.threshold,
                    layer.offset,
                    layer.bias,
                    negative_threshold=layer.negative_threshold,
                    schedule=self.schedule,
                    negative=self.negative,
                    reset=self.reset,
                    compare=self.compare,
                    time_steps=self.time_steps,
                    presentations=self.presentations(layer),
                    constant_current=self.holds_current(layer),
                    leak=layer.leak,
                    leak_order=self.leak_order,
                    current_leak=layer.current_leak,
                )
            )
        return tuple(ranges)

    def _layer_bits(self, index: int) -> int:
        """Width that holds the range and, so that both compare in one word, the thresholds."""
        layer = self.layers[index]
        thresholds = [t for t in (layer.threshold, layer.negative_threshold) if t is not None]
        largest = max((int(t.max()) for t in thresholds), default=0)
        return max(self.ranges[index].bits, signed_width(0, largest))

    @cached_property
    def membrane_bits(self) -> int:
        """Width of the membrane word: the widest of all layers."""
        return max(self._layer_bits(index) for index in range(len(self.layers)))
