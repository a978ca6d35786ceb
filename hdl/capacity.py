"""What a core whose memories are loaded has room for, and what a network needs of it.

Plain Python: no signals here.
"""

import json
import zlib
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

from hdl.instruction import WINDOW_MEMBERS, WINDOW_PLACES, WINDOW_STEPS
from hdl.leak_word import LEAK_BITS
from hdl.program import Instruction, Program, WindowBits, check_lanes
from hdl.widths import width_for
from toolchain.errors import InvalidValue
from toolchain.ir import (
    COMPARES,
    DEFAULT_SEED,
    INPUTS,
    MAX_RADIX_STEPS,
    MAX_TIME_STEPS,
    MEMBRANE_LIMIT_BITS,
    NEGATIVES,
    RESETS,
    SCHEDULES,
    FixedPointNetwork,
)

__all__ = [
    "DIMENSIONS", "FORMAT", "HEADER", "LEAKS_FIRST", "NEURON", "Capacity", "Section", "needs", "read_capacity", "union",
]  # fmt: skip

DIMENSIONS = {
    "pixels": "pixels of a frame",
    "time_steps": "time steps",
    "layers": "layers",
    "classes": "classes",
    "instructions": "instructions, one for each connection",
    "rows": "entries of the row table, one for each source row of each connection",
    "columns": "entries of the column table, one for each source column of each connection",
    "channels": "entries of the channel table, one for each source channel of each connection unlike others",
    "parameter_words": "parameter words, one for each lane group of each layer",
    "weight_words": "weight words",
    "membrane_words": "membrane words, those of the largest layer",
    "spike_words": "spike words, those held at the same time",
    "groups": "words at one place of a layer, or channels of the frame",
    "taps": "taps of a source place along one axis",
    "weight_bits": "bits of a weight",
    "membrane_bits": "bits of a membrane",
    "window": "places along a side of a max pooling's window",
    "places": "rows or columns of a max pooling's source, padding on both sides included",
}
"""What can run short, in the order of a load packet's header, and what messages call it."""
FORMAT = 2
"""Of load packets."""
HEADER = (
    "version", "features", "capacity", "network_id", "seed", "frame_fields", "frame_packing", "frame_base", *DIMENSIONS
)  # fmt: skip
"""Words of a load packet behind its first. Of input ``spikes``, else 0: fields of a frame; lanes used, fields a word (bits 13…8), and
words a field less 1 (bits 17…16); first word of the spike memory that they go to."""
_MOST = {"time_steps": MAX_TIME_STEPS, "weight_bits": 16, "membrane_bits": MEMBRANE_LIMIT_BITS}
_MOST_OTHERWISE = 2**24 - 1
_LEAST = {"weight_bits": 2, "membrane_bits": 2, "channels": 0, "window": 0, "places": 0}
NEURON = {"schedule": SCHEDULES, "negative": NEGATIVES, "reset": RESETS, "compare": COMPARES, "input": INPUTS}
"""What of a capacity is the neuron, and its values."""
_ADDED = {"leaks", "currents"}
"""Abilities that a capacity without them does not mention, so that it is what it was before there were any."""
_LATER = {"banks", "spikes", "window", "places"} | _ADDED
"""Members that a capacity may leave out, as those of older versions do."""
_LEAKS = 25
LEAKS_FIRST = _LEAKS + 1
"""Bit of a load packet's features: membranes leak before a reset. The one below says that they leak, the one above that currents last."""


@dataclass(frozen=True)
class Section:
    """One memory that is loaded.

    Members
    -------
    name : str
    count : str
        The dimension that says how many entries it has.
    fields : tuple of (str, int)
        Name and bits of each member of an entry, lowest first.
    repeats : int
        How often the fields follow each other in an entry: 1, or once for each lane.
    """

    name: str
    count: str
    fields: tuple[tuple[str, int], ...]
    repeats: int = 1

    @property
    def bits(self) -> int:
        """Bits of an entry."""
        return self.repeats * sum(bits for _, bits in self.fields)

    @property
    def words(self) -> int:
        """32-bit words of an entry, in a packet and side by side in the memory."""
        return ceil(self.bits / 32)


@dataclass(frozen=True)
class Capacity:
    """Room of a core whose memories are loaded; it runs every network that needs no more.

    What is fixed in hardware: ``lanes``, the neuron (``schedule``, ``negative``, ``reset``, ``compare``,
    ``input``; a core of ``stream`` runs ``two_phase`` too), and whether there is a channel table, without which no
    convolution may have groups (``grouped``). All others are upper limits, in the units of ``DIMENSIONS``; a ``window`` of 0 means
    that there is no max pooling.

    Members
    -------
    spikes : bool
        A core of pixels also takes networks whose frames are spikes; one of input ``spikes`` takes no others.
    banks : int
        2: a load goes beside the network that runs, which stays until the new one is proven; 1: half of the memory
        for program, tables, parameters and weights, and a load that fails leaves no network.
    leaks : bool
        Membranes may leak, in either order; needs ``stream`` and no negative spikes.
    currents : bool
        Synaptic currents may last; needs ``leaks``.

    Raises
    ------
    InvalidValue
        A member out of range, or a neuron that does not exist.
    """

    lanes: int
    schedule: str
    negative: str
    reset: str
    compare: str
    input: str
    grouped: bool
    pixels: int
    time_steps: int
    layers: int
    classes: int
    instructions: int
    rows: int
    columns: int
    channels: int
    parameter_words: int
    weight_words: int
    membrane_words: int
    spike_words: int
    groups: int
    taps: int
    weight_bits: int
    membrane_bits: int
    banks: int = 2
    spikes: bool = False
    window: int = 0
    places: int = 0
    leaks: bool = False
    currents: bool = False

    def __post_init__(self) -> None:
        check_lanes(self.lanes)
        for name, allowed in NEURON.items():
            if getattr(self, name) not in allowed:
                raise InvalidValue(
                    f"{name} of a capacity is {getattr(self, name)!r}, must be one of {', '.join(allowed)}"
                )
        for name in DIMENSIONS:
            least, most = _LEAST.get(name, 1), _MOST.get(name, _MOST_OTHERWISE)
            if name == "pixels" and self.input == "spikes":
                least = 0
            if name == "time_steps" and self.schedule == "radix":
                most = MAX_RADIX_STEPS
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise InvalidValue(f"{name} of a capacity is {value!r}, must be {least} to {most}")
        for name in ("grouped", "spikes", "leaks", "currents"):
            if type(getattr(self, name)) is not bool:
                raise InvalidValue(f"{name} of a capacity is {getattr(self, name)!r}, must be true or false")
        if self.banks not in (1, 2):
            raise InvalidValue(f"banks of a capacity is {self.banks!r}, must be 1 or 2")
        if self.currents and not self.leaks:
            raise InvalidValue("a capacity has currents but no leaks, which share their adders: set leaks too")
        if self.leaks and (self.schedule, self.negative) != ("stream", "none"):
            raise InvalidValue(
                f"a core of schedule {self.schedule} and negative {self.negative} cannot leak, which needs stream and none: "
                "leave leaks out"
            )

    @classmethod
    def of(cls, *networks: FixedPointNetwork, lanes: int, banks: int = 2) -> "Capacity":
        """Just enough for each of ``networks``, whose neurons must be the same (``stream`` includes ``two_phase``; some may take spikes).

        Raises
        ------
        InvalidValue
            Neurons differ, or ``lanes`` out of range.
        """
        if not networks:
            raise InvalidValue("a capacity needs at least one network")
        return union(*(cls._of_one(network, lanes, banks) for network in networks))

    @classmethod
    def _of_one(cls, network: FixedPointNetwork, lanes: int, banks: int) -> "Capacity":
        grouped = Program(network, lanes).grouped
        members: dict[str, Any] = {**{name: getattr(network, name) for name in NEURON}, **needs(network, lanes)}
        leaks = network.leaks or network.lasting
        return cls(lanes=lanes, grouped=grouped, banks=banks, leaks=leaks, currents=network.lasting, **members)

    @classmethod
    def restored(cls, members: object) -> "Capacity":
        """From what ``describe`` gives.

        Raises
        ------
        InvalidValue
            Members are missing, unknown or out of range.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(members, dict) or not set(members) <= names or names - set(members) - _LATER:
            raise InvalidValue(
                "these are not the members of a capacity; spikeloom generate --memories loadable writes them"
            )
        return cls(**members)

    @property
    def seed(self) -> int:
        """Of ``rate``, before a network brings its own."""
        return DEFAULT_SEED

    @property
    def signed_spikes(self) -> bool:
        """Whether spikes may be −1."""
        return self.negative != "none"

    @property
    def digest(self) -> int:
        """32 bits that tell this capacity from others: a network is packed for just one."""
        return zlib.crc32(json.dumps(self.describe(), sort_keys=True).encode())

    @property
    def schedules(self) -> tuple[str, ...]:
        """Schedules of networks that may be loaded."""
        return (self.schedule, "two_phase") if self.schedule == "stream" else (self.schedule,)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of networks that may be loaded."""
        return (self.input, "spikes") if self.spikes and self.input != "spikes" else (self.input,)

    @property
    def takes_spikes(self) -> bool:
        """Whether frames may be spikes."""
        return "spikes" in self.inputs

    @property
    def address_bits(self) -> int:
        """Of what the scanner reads: a pixel of the frame memory, or a spike word."""
        return width_for(max(4 * ceil(self.pixels / 4), 8, self.spike_words) - 1)

    @property
    def place_bits(self) -> int:
        """Of a row or column of a max pooling's source; 0 without max pooling."""
        return width_for(self.places) if self.window else 0

    @staticmethod
    def leak_code(network: FixedPointNetwork) -> int:
        """Bits: membranes leak; they do before a reset; currents last."""
        before = network.leaks and network.leak_order == "leak_first"
        return network.leaks | before << 1 | network.lasting << 2

    def leak_codes(self, schedule: str) -> tuple[int, ...]:
        """Each ``leak_code`` of networks of a schedule that may be loaded."""
        if not self.leaks or schedule != "stream":
            return (0,)
        membranes = (0, 1, 3) if self.reset == "subtract" else (0, 1)
        return tuple(code | lasting << 2 for lasting in range(1 + self.currents) for code in membranes)

    def features(self, schedule: str, given: str, leaks: int = 0) -> int:
        """A word of what is fixed in hardware, and of a network's schedule, input and ``leak_code``."""
        places = {"schedule": 8, "negative": 12, "reset": 16, "compare": 18, "input": 20}
        neuron = {**{name: getattr(self, name) for name in NEURON}, "schedule": schedule, "input": given}
        codes = (NEURON[name].index(value) << places[name] for name, value in neuron.items())
        return self.lanes | sum(codes) | self.grouped << 24 | leaks << _LEAKS

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: value for name, value in asdict(self).items() if value or name not in _ADDED}

    def shortages(self, network: FixedPointNetwork) -> list[str]:
        """What the core lacks for a network, in words; empty if it fits."""
        found = []
        several = {"schedule": self.schedules, "input": self.inputs}
        for name in NEURON:
            wanted, has = getattr(network, name), getattr(self, name)
            if wanted not in several.get(name, (has,)):
                way_out = " (--also spikes)" if wanted == "spikes" else ""
                found.append(f"{name} {wanted}: the core has {' and '.join(several.get(name, (has,)))}{way_out}")
        if not self.grouped and any(c.groups > 1 for layer in network.layers for c in layer.connections):
            found.append("groups: the core has no channel table (--also groups)")
        needed = needs(network, self.lanes)
        if network.leaks and not self.leaks:
            found.append("leaks: the core has no adders for them (--also leaks)")
        if network.lasting and not self.currents:
            found.append("synaptic currents that last: the core has none (--also currents)")
        lacking = {"channels"} if not self.grouped else set()
        if needed["window"] and not self.window:
            found.append("max pooling: the core has none (--also pooling)")
            lacking |= {"window", "places"}
        for name, need in needed.items():
            has = getattr(self, name)
            if need > has and name not in lacking:
                found.append(f"{need:,} {DIMENSIONS[name]}: the core has room for {has:,}")
        return found

    def check(self, network: FixedPointNetwork) -> None:
        """Refuse a network that does not fit.

        Raises
        ------
        InvalidValue
            One line that names what is short.
        """
        found = self.shortages(network)
        if found:
            raise InvalidValue(
                f"network {network.name} does not fit the core: it needs {'; '.join(found)}; "
                "generate a core of larger --capacity"
            )

    def program(self, network: FixedPointNetwork) -> Program:
        """The program of a network as this core takes it; refused if it does not fit."""
        self.check(network)
        windows = WindowBits(self.address_bits, self.place_bits) if self.window else None
        return Program(network, self.lanes, ranged=self.grouped, general=True, windows=windows)

    @property
    def parameters(self) -> tuple[tuple[str, int], ...]:
        """Name and bits of the parameters of a lane; thresholds of ``radix`` come as ``θ·2^(T−1)``."""
        threshold = self.membrane_bits - 1 + (self.time_steps - 1 if self.schedule == "radix" else 0)
        found = [("threshold", threshold)]
        if self.negative == "asymmetric":
            found.append(("negative_threshold", threshold))
        found.append(("initial", self.membrane_bits))
        if self.schedule == "stream":
            found.append(("addend", self.membrane_bits))
        return tuple(found)

    @property
    def sections(self) -> tuple[Section, ...]:
        """The memories that are loaded, in the order of the packet."""
        weight, membrane = width_for(self.weight_words - 1), width_for(max(2, self.membrane_words) - 1)
        count = width_for(self.taps)
        taps = (("weight", weight), ("membrane", membrane), ("count", count))
        lane = width_for(self.lanes - 1)
        group = width_for(self.groups - 1)
        channels = Section(
            "channels",
            "channels",
            (("weight", weight), ("membrane", group), ("words", group), ("first", lane), ("last", lane)),
        )
        return (
            Section("program", "instructions", tuple(self._instruction().items())),
            Section("rows", "rows", taps),
            Section("columns", "columns", taps),
            *((channels,) if self.grouped else ()),
            Section("parameters", "parameter_words", self.parameters, self.lanes),
            Section("weights", "weight_words", (("weight", self.weight_bits),), self.lanes),
        )

    @property
    def offset_bits(self) -> int:
        """Of an event's offset: in weight words, or entries of the channel table."""
        return width_for(max(self.channels, self.lanes)) if self.grouped else width_for(self.weight_words - 1)

    def _instruction(self) -> dict[str, int]:
        weight, membrane = width_for(self.weight_words - 1), width_for(max(2, self.membrane_words) - 1)
        spike = width_for(max(self.spike_words - 1, 1))
        group, coordinate = width_for(self.groups), width_for(max(self.rows, self.columns))
        bits = {
            "source_base": spike,
            "source_rows": coordinate,
            "source_columns": coordinate,
            "source_groups": group,
            "row_base": width_for(self.rows - 1),
            "column_base": width_for(self.columns - 1),
            "channel_base": width_for(max(self.channels, self.lanes)),
            "group_stride": self.offset_bits,
            "lane_stride": self.offset_bits,
            "row_stride": weight,
            "column_stride": weight,
            "groups": group,
            "row_words": membrane,
            "column_words": membrane,
            "last_lanes": width_for(self.lanes),
            "words": width_for(max(2, self.membrane_words)),
            "parameter_base": width_for(self.parameter_words - 1),
            "target_base": spike,
            "leak": LEAK_BITS,
            "current_leak": LEAK_BITS,
            **self._window_members(),
        }
        left_out = {"threshold_exponent", *(() if self.grouped else ("channel_base",))}
        left_out |= (set() if self.leaks else {"leak"}) | (set() if self.currents else {"current_leak"})
        left_out |= set() if self.window else set(WINDOW_MEMBERS)
        return {f.name: bits.get(f.name, 1) for f in fields(Instruction) if f.name not in left_out}

    def _window_members(self) -> dict[str, int]:
        counts = dict.fromkeys(("window_rows", "window_columns"), width_for(self.window))
        steps = dict.fromkeys(WINDOW_STEPS, self.address_bits)
        return {**counts, **steps, **dict.fromkeys(WINDOW_PLACES, self.place_bits)}


def needs(network: FixedPointNetwork, lanes: int) -> dict[str, int]:
    """How much of each of ``DIMENSIONS`` a network needs on ``lanes`` lanes."""
    program = Program(network, lanes, ranged=True, general=True)
    rows, columns = program.tables
    pooled = [
        (c.maximum, network.source_shape(c)[1:])
        for layer in network.layers
        for c in layer.connections
        if c.maximum is not None
    ]
    return {
        "pixels": program.pixels if program.packing is None else 0,
        "time_steps": program.steps,
        "layers": len(network.layers),
        "classes": network.shapes[-1][0],
        "instructions": len(program.instructions),
        "rows": len(rows),
        "columns": len(columns),
        "channels": len(program.channels),
        "parameter_words": sum(program.groups(layer.channels) for layer in network.layers),
        "weight_words": sum(
            program.groups(c.weight.shape[0]) * (c.weight.size // c.weight.shape[0])
            for layer in network.layers
            for c in layer.connections
        ),
        "membrane_words": program.membrane_words,
        "spike_words": max(1, program.spike_words),
        "groups": max(max(i.groups, i.source_groups) for i in program.instructions),
        "taps": max(1, *(entry.count for entry in chain(rows, columns))),
        "weight_bits": network.weight_bits,
        "membrane_bits": network.membrane_bits,
        "window": max((side for maximum, _ in pooled for side in maximum.window), default=0),
        "places": max(
            (max(size) + 2 * max(*maximum.padding, *maximum.padding_after) for maximum, size in pooled), default=0
        ),
    }


def union(*capacities: Capacity) -> Capacity:
    """Room for whatever fits one of ``capacities``.

    Raises
    ------
    InvalidValue
        Lanes, neurons or banks differ; but ``stream`` and ``two_phase`` go together, and pixels of one kind and spikes.
    """
    schedules = {each.schedule for each in capacities}
    schedule = "stream" if schedules == {"stream", "two_phase"} else capacities[0].schedule
    pixels = next((each.input for each in capacities if each.input != "spikes"), "spikes")
    spikes = pixels != "spikes" and any(each.takes_spikes for each in capacities)
    first = replace(capacities[0], schedule=schedule)
    for each in capacities:
        for name in ("lanes", *NEURON, "banks"):
            one, other = pixels if name == "input" else getattr(first, name), getattr(each, name)
            together = {"schedule": schedules == {"stream", "two_phase"}, "input": other == "spikes"}
            if one != other and not together.get(name, False):
                raise InvalidValue(f"one core cannot have {name} {one} and {name} {other}: generate two")
    most = {name: max(getattr(each, name) for each in capacities) for name in DIMENSIONS}
    able: dict[str, Any] = {
        name: any(getattr(each, name) for each in capacities) for name in ("grouped", "leaks", "currents")
    }
    return replace(first, input=pixels, spikes=spikes, **able, **most)


def read_capacity(path: Path) -> Capacity:
    """The capacity in a JSON file: what ``describe`` gives, alone or as ``capacity`` in a port map.

    Raises
    ------
    InvalidValue
        No such file, no capacity in it, or one out of range.
    """
    try:
        content = json.loads(path.read_text())
        return Capacity.restored(content.get("capacity", content))
    except OSError as error:
        raise InvalidValue(f"cannot read capacity {path}: {error.strerror}; name a JSON file or a device") from error
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidValue):
            raise InvalidValue(f"{path}: {error}") from error
        raise InvalidValue(f"{path} holds no capacity; spikeloom generate --memories loadable writes one") from error
