"""Operation counts and compute energy of a spiking network against its source, for one T.

Follows the energy model, sections 1 (counts) and 2 (operation energies). Memory, clock and static
energy are not in these figures; every table that shows them says so.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolchain.encoding import input_events
from toolchain.errors import InvalidValue
from toolchain.fixedpoint import signed_width, weight_limit
from toolchain.geometry import dense_synapses, fan_out
from toolchain.ir import INPUT, PIXEL_MAX, FixedPointNetwork
from toolchain.trace import SpikeTrace

__all__ = [
    "PROFILES",
    "SCOPE",
    "Counts",
    "EnergyRow",
    "Profile",
    "accumulator_bits",
    "count",
    "energy_rows",
    "energy_table",
    "load_profile",
]

SCOPE = "compute only: memory, clock and static energy are not included"
PROFILES = ("45nm-int", "45nm-fp32-legacy")
_FOLDER = Path(__file__).parent / "data" / "profiles"
_CONSTANTS = {
    "integer": {"add_per_bit": "pJ/bit", "multiply_8x8": "pJ"},
    "float32": {"mac": "pJ", "add": "pJ"},
}
_STATUS = ("measured", "simulated", "fitted", "assumed")


@dataclass(frozen=True)
class Profile:
    """Energies of operations in pJ, from constants with unit, source and status.

    ``integer`` profiles: ``E_add(b) = add_per_bit·b``, ``E_mul(b_w, b_a) = multiply_8x8·b_w·b_a/64``.
    ``float32`` profiles: one value for a MAC, one for an add, whatever the widths.
    """

    name: str
    label: str
    kind: str
    constants: dict[str, dict[str, Any]]

    def _value(self, constant: str) -> float:
        return float(self.constants[constant]["value"])

    def add(self, bits: int) -> float:
        """One addition or comparison of ``bits``-bit words, pJ."""
        return self._value("add_per_bit") * bits if self.kind == "integer" else self._value("add")

    def mac(self, weight_bits: int, activation_bits: int, bits: int) -> float:
        """One multiply-accumulate into a ``bits``-bit accumulator, pJ."""
        if self.kind == "float32":
            return self._value("mac")
        return self._value("multiply_8x8") * weight_bits * activation_bits / 64 + self.add(bits)


def load_profile(name: str) -> Profile:
    """A profile of ``PROFILES`` by name, or a TOML file by path.

    Raises
    ------
    InvalidValue
        Unknown name; a constant that is missing, not a number, negative, in another unit, or
        without source or status.
    """
    path = _FOLDER / f"{name}.toml" if name in PROFILES else Path(name)
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidValue(
            f"no energy profile {name!r} ({error.strerror}); there are {', '.join(PROFILES)}, or give a TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # no TOML, no text, an endless number, endless nesting
        raise InvalidValue(f"energy profile {path} is not TOML: {error}") from error
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _CONSTANTS:
        raise InvalidValue(f"energy profile {path}: kind is {kind!r}, must be one of {', '.join(_CONSTANTS)}")
    constants = {}
    for constant, unit in _CONSTANTS[kind].items():
        entry = content.get(constant)
        if not isinstance(entry, dict):
            raise InvalidValue(f"energy profile {path}: constant {constant} is missing")
        value = entry.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise InvalidValue(
                f"energy profile {path}: {constant} is {value!r}, must be a number above 0 and below 1e9"
            )
        if entry.get("unit") != unit:
            raise InvalidValue(f"energy profile {path}: {constant} is in {entry.get('unit')!r}, must be in {unit}")
        if entry.get("status") not in _STATUS or not entry.get("source"):
            raise InvalidValue(f"energy profile {path}: {constant} needs a source and a status of {', '.join(_STATUS)}")
        # TOML knows dates and times, which JSON does not
        constants[constant] = {k: v if isinstance(v, str | int | float) else str(v) for k, v in entry.items()}
    return Profile(str(content.get("name", path.stem)), str(content.get("label", path.stem)), kind, constants)


@dataclass(frozen=True)
class Counts:
    """Operations of one inference, means over images (energy model, section 1).

    Members
    -------
    sop : synaptic operations on spikes, executed (zero weights included: what the hardware does)
    sop_effective : of these, with a weight that is not 0
    mac_input : multiply-accumulates of non-zero pixels, once for each image
    input_adds : additions of ``bitplane`` pixels, and of the input current to its neurons in each step of ``stream``;
        for ``rate`` a random number and a comparison a pixel and step
    ac_bias : additions of biases that are not 0, each step of ``stream``, once (preloaded) in ``two_phase``
    neuron_ops : one comparison a neuron and step, two where spikes may be negative; one subtraction a spike;
        readout none
    spikes : fired by all layers
    mac : multiply-accumulates of the dense source network, padding excluded
    """

    sop: float
    sop_effective: float
    mac_input: float
    input_adds: float
    ac_bias: float
    neuron_ops: float
    spikes: float
    mac: int

    @staticmethod
    def mean(parts: Sequence["Counts"], images: Sequence[int]) -> "Counts":
        """Counts of all images together, from runs of ``images`` images each."""
        means = {
            field.name: sum(getattr(part, field.name) * n for part, n in zip(parts, images, strict=True)) / sum(images)
            for field in fields(Counts)
        }
        return Counts(**{**means, "mac": parts[0].mac})


def count(network: FixedPointNetwork, frames: np.ndarray, trace: SpikeTrace) -> Counts:
    """Count one run; ``trace`` must hold spike counts (``record="counts"``) of ``frames``.

    Raises
    ------
    InvalidValue
        The trace belongs to another network or holds no counts.
    """
    if trace.fingerprint != network.fingerprint or trace.counts is None:
        raise InvalidValue("counting needs a trace of this network with record='counts' or 'spikes'")
    images, steps = len(frames), network.time_steps
    source_counts = {
        index: trace.counts[place].sum(axis=0, dtype=np.int64)
        for place, index in enumerate(i for i, layer in enumerate(network.layers) if layer.threshold is not None)
    }
    source_counts[INPUT] = input_events(network, frames).sum(axis=0)
    totals = dict.fromkeys(("sop", "sop_effective", "mac_input", "input_adds"), 0)
    if network.input == "rate":
        totals["input_adds"] += 2 * images * steps * frames[0].size
    ac_bias = comparisons = mac = 0
    for layer, shape in zip(network.layers, network.shapes, strict=True):
        places = shape[1] * shape[2]
        neurons = places * shape[0]
        for connection in layer.connections:
            source = network.source_shape(connection)
            spikes = source_counts[connection.source]
            executed = int((spikes * fan_out(connection, source)).sum())
            if connection.source == INPUT and network.input != "rate":
                totals["mac_input" if network.input == "direct" else "input_adds"] += executed
            else:
                totals["sop"] += executed
                totals["sop_effective"] += int((spikes * fan_out(connection, source, effective=True)).sum())
            mac += dense_synapses(connection, source)
        if network.schedule == "stream":
            totals["input_adds"] += images * steps * neurons if network.reads_frame(layer) else 0
            ac_bias += steps * places * int(np.count_nonzero(layer.bias))
        else:
            ac_bias += places * int(np.count_nonzero(layer.offset))
        comparisons += steps * neurons * (1 + network.signed_spikes) if layer.threshold is not None else 0
    spikes_fired = int(trace.activity.spikes.sum())
    return Counts(
        sop=totals["sop"] / images,
        sop_effective=totals["sop_effective"] / images,
        mac_input=totals["mac_input"] / images,
        input_adds=totals["input_adds"] / images,
        ac_bias=ac_bias,
        neuron_ops=comparisons + spikes_fired / images,
        spikes=spikes_fired / images,
        mac=mac,
    )


def accumulator_bits(network: FixedPointNetwork) -> int:
    """Accumulator of the same network as an ANN with 8-bit weights: width proven for every 8-bit input, biases aside."""
    limit = weight_limit(network.weight_bits)
    widest = 0
    for layer in network.layers:
        sums = [c.extremes(network.source_shape(c)) for c in layer.connections]
        # average pooling divides in the ANN what arrives k² times here
        windows = [c.pool[0] * c.pool[1] for c in layer.connections]
        high, low = (
            sum(s[sign] // w for s, w in zip(sums, windows, strict=True)) * weight_limit(8) // limit for sign in (0, 1)
        )
        widest = max(widest, signed_width(-PIXEL_MAX * int(np.max(low)), PIXEL_MAX * int(np.max(high))))
    return widest


@dataclass(frozen=True)
class EnergyRow:
    """One T under one profile; energies in pJ for each image, compute only.

    ``e_ann_pj`` is the dense source with 8-bit weights and activations (``integer`` profiles) or in
    float32 (legacy custom). ``snn_bits`` and ``ann_bits`` are the accumulator widths charged.
    """

    time_steps: int
    schedule: str
    weight_bits: int
    images: int
    accuracy: float
    sop: float
    sop_effective: float
    mac_input: float
    input_adds: float
    ac_bias: float
    neuron_ops: float
    spikes: float
    mac: int
    snn_bits: int
    ann_bits: int
    e_snn_pj: float
    e_ann_pj: float
    ratio: float | None
    profile: str
    fingerprint: str


def energy_rows(
    network: FixedPointNetwork, counts: Counts, accuracy: float, images: int, profiles: Sequence[Profile]
) -> list[EnergyRow]:
    """Charge the counts under each profile.

    ``ratio`` is ANN over SNN, above 1 the SNN computes for less; ``None`` if the SNN did nothing at all.
    """
    snn_bits, ann_bits = network.membrane_bits, accumulator_bits(network)
    rows = []
    for profile in profiles:
        add = profile.add(snn_bits)
        additions = counts.sop + counts.input_adds + counts.ac_bias + counts.neuron_ops
        snn = counts.mac_input * profile.mac(network.weight_bits, 8, snn_bits) + additions * add
        ann = counts.mac * profile.mac(8, 8, ann_bits)
        rows.append(
            EnergyRow(
                time_steps=network.time_steps,
                schedule=network.schedule,
                weight_bits=network.weight_bits,
                images=images,
                accuracy=accuracy,
                sop=counts.sop,
                sop_effective=counts.sop_effective,
                mac_input=counts.mac_input,
                input_adds=counts.input_adds,
                ac_bias=counts.ac_bias,
                neuron_ops=counts.neuron_ops,
                spikes=counts.spikes,
                mac=counts.mac,
                snn_bits=snn_bits,
                ann_bits=ann_bits,
                e_snn_pj=snn,
                e_ann_pj=ann,
                ratio=ann / snn if snn else None,
                profile=profile.name,
                fingerprint=network.fingerprint,
            )
        )
    return rows


def energy_table(rows: Sequence[EnergyRow]) -> pd.DataFrame:
    """Rows as a data frame, a column for each member."""
    return pd.DataFrame([asdict(row) for row in rows])
