"""Energy of a spiking network and of its baselines, layer by layer: charge the counts, find the break-even.

An energy is ``compute + memory + P_static·cycles/f + cycles·E_clk``; ``σ = SOP / S`` is spikes per synapse and inference.
Source of the method: energy model, sections 1 to 5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product

import numpy as np

from toolchain.energy.baselines import FAIREST, Baseline, baselines
from toolchain.energy.breakeven import BreakEven, break_even
from toolchain.energy.counts import LayerCounts, layer_counts
from toolchain.energy.layer import PARTS, LayerEnergy
from toolchain.energy.memory import (
    ANN_POLICIES,
    SNN_POLICIES,
    BitCosts,
    Memory,
    Traffic,
    ann_capacities,
    ann_traffic,
    snn_capacities,
    snn_traffic,
)
from toolchain.energy.profiles import Profile, load_profile
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.trace import Activity

__all__ = ["SCOPE", "EnergyReport", "estimate"]

SCOPE = (
    "compute, on-chip memory, and static and clock energy where cycles are known; reads of biases, thresholds and program "
    "are not included, nor what activation functions, pooling and biases cost the ANN"
)
_RANDOM_BITS = 8


@dataclass(frozen=True, eq=False)
class EnergyReport:
    """What one fixed-point network, so one T, costs under one profile.

    Members
    -------
    network : FixedPointNetwork
    images : int
        N, over which every array runs.
    accuracy : float or None
        Per cent.
    layers : tuple of LayerEnergy
        One for each layer, and one more if cycles of no layer cost energy.
    total : LayerEnergy
        Their sum.
    baselines : tuple of Baseline
    baseline : str or None
        The one that ratios and verdicts are about unless they name another; ``None`` if there is none.
    sensitivity : name → (SNN bounds, ANN bounds of ``baseline``), pJ
        The same with on-chip memories after another model.
    warnings : tuple of str
    again : profile=... → EnergyReport
        ``estimate`` of the same counts, cycles and memories.
    lanes : int or None
        Of the core whose cycles are charged, if that is known.
    clock_mhz : float or None
    utilization : float64 [N] or None
        Operations, those on the frame included, over lanes × cycles.
    """

    network: FixedPointNetwork
    images: int
    accuracy: float | None
    profile: Profile
    memory: Memory
    layers: tuple[LayerEnergy, ...]
    total: LayerEnergy
    baselines: tuple[Baseline, ...]
    baseline: str | None
    sensitivity: dict[str, tuple[tuple[float, float], tuple[float, float]]]
    warnings: tuple[str, ...]
    again: Callable[..., "EnergyReport"]
    lanes: int | None = None
    clock_mhz: float | None = None
    utilization: np.ndarray | None = None

    @property
    def latency_us(self) -> np.ndarray | None:
        """From a frame's first word to its result's last, µs, float64 ``[N]``; needs cycles and a clock."""
        if self.clock_mhz is None or "cycles" not in self.total.numbers:
            return None
        return self.total.numbers["cycles"] / self.clock_mhz

    @property
    def verdict(self) -> str:
        """Of the whole network against ``baseline``."""
        return self.total.verdict(self.baseline)

    def under(self, profile: Profile) -> "EnergyReport":
        """The same under other constants; their names and units must be those of this report's kind of profile."""
        return self.again(profile=profile)

    def _repr_html_(self) -> str:
        from toolchain.energy.tables import report_html  # tables read this module

        return report_html(self)


def _against(layer: LayerEnergy, synapse: dict[str, float], steps: int) -> tuple[BreakEven, ...]:
    """σ* from the means; ``synapse`` is the energy of one synaptic operation by policy, pJ."""
    found: list[BreakEven] = []
    if layer.synapses == 0:  # a kernel that only ever sees padding
        return ()
    sop = float(layer.numbers["sop_executed"].mean())
    for baseline, (policy, ann) in product(layer.ann, product(SNN_POLICIES, ANN_POLICIES)):
        snn_energy, ann_energy = float(layer.energy(policy).mean()), float(layer.ann[baseline][ann].mean())
        fixed = (snn_energy - sop * synapse[policy]) / layer.synapses
        macs = float(layer.macs[baseline].mean())
        density, mac = (macs / layer.synapses, ann_energy / macs) if macs else (1.0, ann_energy / layer.synapses)
        star = break_even(density, mac, synapse[policy], fixed)
        found.append(
            BreakEven(
                baseline,
                policy,
                ann,
                sop / layer.synapses,
                star,
                star / steps,
                ann_energy / snn_energy if snn_energy else None,
                synapse[policy],
                fixed,
                ann_energy / layer.synapses,
            )
        )
    return tuple(found)


def _sum(layers: Sequence[LayerEnergy]) -> LayerEnergy:
    """All layers as one, without break-even."""
    names = [name for name in layers[0].numbers if all(name in layer.numbers for layer in layers)]
    numbers = {name: np.sum([layer.numbers[name] for layer in layers], axis=0) for name in names}
    synapses = sum(layer.synapses for layer in layers)
    return LayerEnergy(
        name="total",
        counts=None,
        synapses=synapses,
        sigma=numbers["sop_executed"] / max(1, synapses),
        numbers=numbers,
        parts={
            p: {part: np.sum([layer.parts[p][part] for layer in layers], axis=0) for part in PARTS}
            for p in SNN_POLICIES
        },
        bits={p: _added([layer.bits[p] for layer in layers]) for p in SNN_POLICIES},
        ann={
            b: {p: np.sum([layer.ann[b][p] for layer in layers], axis=0) for p in ANN_POLICIES} for b in layers[0].ann
        },
        macs={b: np.sum([layer.macs[b] for layer in layers], axis=0) for b in layers[0].macs},
        break_even=(),
    )


def _added(bits: Sequence[Traffic]) -> Traffic:
    return Traffic(*(np.sum([getattr(b, f.name) for b in bits], axis=0) for f in fields(Traffic)))


@dataclass(frozen=True, eq=False)
class _Run:
    """What is charged, whatever the constants."""

    network: FixedPointNetwork
    activity: Activity
    counts: tuple[LayerCounts, ...]
    memory: Memory
    cycles: np.ndarray | None  # float64 [N, layers + 1], the last of no layer
    by_layer: bool  # whether those of each layer are known
    clock_mhz: float | None
    baselines: tuple[Baseline, ...]
    source_macs: np.ndarray | None

    def charge(self, profile: Profile) -> tuple[tuple[LayerEnergy, ...], LayerEnergy]:
        """Each layer (and what belongs to none, if that took cycles), and their sum."""
        network, store = self.network, self.memory.weights
        bits_cost = BitCosts.of(profile, snn_capacities(network), store)
        traffic = {p: snn_traffic(network, self.counts, self.activity, p, self.memory.events) for p in SNN_POLICIES}
        add = profile.add(network.membrane_bits)
        synapse = {
            "stationary": add + network.weight_bits * bits_cost.weights,
            "event_driven": add + network.weight_bits * bits_cost.weights + 2 * network.membrane_bits * bits_cost.state,
        }
        macs = {b.name: b.macs(self.counts, self.source_macs) for b in self.baselines}
        costs = {b.name: BitCosts.of(profile, ann_capacities(self.counts, b), store) for b in self.baselines}
        layers = []
        for index, count in enumerate(self.counts):
            compute = self._compute(profile, count)
            layer = LayerEnergy(
                name=count.name,
                counts=count,
                synapses=count.synapses,
                sigma=count.sop / max(1, count.synapses),
                numbers={**_numbers(count), **(self._spent(index) if self.by_layer else {})},
                parts={
                    p: {
                        **compute,
                        "weights": t[index].weights * bits_cost.weights,
                        "state": t[index].state * bits_cost.state,
                        "events": t[index].events * bits_cost.events,
                        "static": self._static(profile, index),
                    }
                    for p, t in traffic.items()
                },
                bits={p: t[index] for p, t in traffic.items()},
                ann={
                    b.name: {
                        p: macs[b.name][index] * b.mac_energy(profile, index)
                        + costs[b.name].energy(ann_traffic(count, macs[b.name][index], b, index, p))
                        for p in ANN_POLICIES
                    }
                    for b in self.baselines
                },
                macs={name: found[index] for name, found in macs.items()},
                break_even=(),
            )
            layers.append(replace(layer, break_even=_against(layer, synapse, network.time_steps)))
        total = _sum(layers)
        if self.cycles is not None:
            if self._static(profile, -1).any():
                layers.append(self._beside(profile, total))
                total = _sum(layers)
            total = replace(total, numbers={**total.numbers, "cycles": self.cycles.sum(axis=1)})
        return tuple(layers), replace(total, break_even=_against(total, synapse, network.time_steps))

    def _compute(self, profile: Profile, count: LayerCounts) -> dict[str, np.ndarray]:
        network = self.network
        add = profile.add(network.membrane_bits)
        pixel = profile.mac(network.weight_bits, 8, network.membrane_bits)
        random = 2 * count.random * profile.add(_RANDOM_BITS)
        ors = (count.ors or 0) * profile.add(1) if profile.kind == "integer" else 0.0
        return {
            "sop": count.sop * add,
            "input": count.mac_input * pixel + (count.plane_sums + count.current_adds) * add + random,
            "bias": np.full(len(count.sop), count.ac_bias * add),
            "neuron": count.neuron_ops * add + ors,
        }

    def _static(self, profile: Profile, index: int) -> np.ndarray:
        """µW·cycles/MHz are pJ."""
        if self.cycles is None:
            return np.zeros(len(self.activity.operations))
        energy = self.cycles[:, index] * profile.value("clock_cycle")
        if self.clock_mhz is not None:
            energy = energy + self.cycles[:, index] * profile.value("static_power") / self.clock_mhz
        return energy

    def _spent(self, index: int) -> dict[str, np.ndarray]:
        assert self.cycles is not None
        return {"cycles": self.cycles[:, index]}

    def _beside(self, profile: Profile, like: LayerEnergy) -> LayerEnergy:
        """What belongs to no layer: nothing but cycles."""
        zero = np.zeros(len(self.activity.operations))
        still = {**dict.fromkeys(PARTS, zero), "static": self._static(profile, -1)}
        return LayerEnergy(
            name="beside the layers",
            counts=None,
            synapses=0,
            sigma=zero,
            numbers={**dict.fromkeys(like.numbers, zero), **self._spent(-1)},
            parts=dict.fromkeys(SNN_POLICIES, still),
            bits=dict.fromkeys(SNN_POLICIES, Traffic(zero, zero, zero)),
            ann={b: dict.fromkeys(ANN_POLICIES, zero) for b in like.ann},
            macs=dict.fromkeys(like.macs, zero),
            break_even=(),
        )


def _numbers(count: LayerCounts) -> dict[str, np.ndarray]:
    known = {
        "spikes_in": count.spikes_in,
        "sop_executed": count.sop,
        "sop_effective": count.sop_effective,
        "mac_input": count.mac_input,
        "input_adds": count.input_adds,
        "ac_bias": np.full(len(count.sop), count.ac_bias),
        "neuron_ops": count.neuron_ops,
        "spikes_out": count.spikes_out,
        "ors": None if count.ors is None else np.full(len(count.sop), count.ors),
        "decay_adds": None if count.decay_adds is None else np.full(len(count.sop), count.decay_adds),
        "lasting_adds": None if count.lasting_adds is None else np.full(len(count.sop), count.lasting_adds),
    }
    return {name: values.astype(np.float64) for name, values in known.items() if values is not None}


def _check_cycles(cycles: np.ndarray | float, images: int, layers: int) -> np.ndarray:
    """As float64 ``[N, layers + 1]``, the last of no layer."""
    found = np.zeros((images, layers + 1))
    given = np.asarray(cycles, np.float64)
    if given.ndim < 2:
        if given.shape not in ((), (images,)):
            raise InvalidValue(
                f"cycles have shape {given.shape}, must be one number or one for each of {images} images"
            )
        found[:, -1] = given
    elif given.shape in ((images, layers), (images, layers + 1)):
        found[:, : given.shape[1]] = given
    else:
        raise InvalidValue(
            f"cycles have shape {given.shape}, must be [{images}, {layers}], a value for each layer, or one more for the rest"
        )
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise InvalidValue(f"cycles reach from {found.min()} to {found.max()}, must be finite and not negative")
    return found


def _utilization(activity: Activity, lanes: int, cycles: np.ndarray) -> np.ndarray:
    used: np.ndarray = activity.operations.sum(axis=1) / (lanes * cycles.sum(axis=1))
    return used


def _warnings(run: _Run, profile: Profile, baseline: str | None) -> tuple[str, ...]:
    found = []
    if profile.kind == "float32":
        found.append(
            f"profile {profile.name} is the legacy custom: float32 operations whatever the hardware, no memory"
        )
    if profile.kind == "integer" and any(
        (b.weight_bits, bits) != (8, 8) for b in run.baselines if not b.float32 for bits in b.activation_bits
    ):
        found.append("multiplications of other widths than 8×8 scale with the product of both, which is an assumption")
    if profile.kind == "cycles":
        found.append(
            f"under profile {profile.name} one clock cycle costs {profile.value('clock_cycle'):g} pJ, one multiplication "
            f"{profile.value('multiply'):g} pJ: cycles decide, synaptic operations alone mislead; no ANN is compared, since "
            "its cycles are unknown"
        )
    elif profile.has_cycles and run.cycles is None:
        found.append("no cycles are given: static and clock energy of the profile are not included")
    if any(count.mac_nonzero is None for count in run.counts):
        found.append(
            "hardware counters do not tell which weights or activations are 0: no effective operations, and no baseline "
            "that skips zeros but with those of the source"
        )
    if run.counts[0].ors is not None:
        found.append(
            "max pooling: reads of every place of a window and ORs, as additions of one bit, are charged; the comparisons of the "
            "ANN are not, in its favour"
        )
    if run.network.leaks:
        found.append(
            "leaks: the additions of their shifts, in every step but the last, are charged with the updates of the neurons; the "
            "ANN has no leak"
        )
    if run.network.lasting:
        found.append(
            "synaptic currents that last: their additions to the membranes, their shifts, and reading and writing a second word of "
            "state for each neuron and step are charged; a frame of pixels is weighed anew in each step; the ANN has no such state"
        )
    if any(b.name == "int8_zero_skipping" and b.zeros != "source" for b in run.baselines):
        found.append("zeros of int8 are those of the spiking network's values; give the source to measure its own")
    capacities = [snn_capacities(run.network), *(ann_capacities(run.counts, b) for b in run.baselines)]
    kept = [max(c[1:] if run.memory.weights == "dram" else c) for c in capacities]
    if profile.has_memory and profile.beyond(max(kept)):
        found.append(
            f"a memory of {max(kept)} bits lies beyond those the profile was fitted to: its energy is extrapolated"
        )
    if baseline not in (None, FAIREST):
        found.append(f"ratio and verdict are against {baseline}, not against equal information with zeros skipped")
    return tuple(found)


def estimate(
    network: FixedPointNetwork,
    activity: Activity,
    *,
    profile: Profile | str = "45nm-int",
    memory: Memory | None = None,
    cycles: np.ndarray | float | None = None,
    lanes: int | None = None,
    clock_mhz: float | None = None,
    source_macs: np.ndarray | None = None,
    baseline: str | None = None,
    accuracy: float | None = None,
) -> EnergyReport:
    """Charge what a network did, and what its baselines would have done.

    Parameters
    ----------
    activity : Activity
        Of the golden model or of hardware counters. ``effective`` and ``nonzero`` (``observe`` adds them) are needed for
        ``sop_effective`` and for zeros of the spiking network's own values.
    memory : Memory
        Which policies stand in the tables; both are always computed.
    cycles : [N, layers], [N, layers + 1], [N] or one number
        Clock cycles of each image; the last of ``layers + 1``, and those of a whole image, belong to no layer.
    lanes : int
        Of the core that takes those cycles.
    clock_mhz : float
        For static power and latency.
    source_macs : int64 [N, layers]
        Effective multiply-accumulates of the source network in int8, the zeros of its own activations skipped.
    baseline : str
        One of ``BASELINES`` that ratios and verdicts are about; the fairest there is by default.

    Raises
    ------
    InvalidValue
        Arrays of other shapes, a profile that needs cycles or a clock without them, a baseline that there is not.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    memory = memory or Memory()
    again = partial(
        estimate,
        network,
        activity,
        memory=memory,
        cycles=cycles,
        lanes=lanes,
        clock_mhz=clock_mhz,
        source_macs=source_macs,
        baseline=baseline,
        accuracy=accuracy,
    )
    counts = layer_counts(network, activity)
    shape = activity.operations.shape
    if source_macs is not None and source_macs.shape != shape:
        raise InvalidValue(f"multiply-accumulates of the source have shape {source_macs.shape}, must be {list(shape)}")
    if clock_mhz is not None and not 0 < clock_mhz < 1e6:
        raise InvalidValue(f"clock is {clock_mhz} MHz, must be above 0 and below 1e6")
    if profile.kind == "cycles" and cycles is None:
        raise InvalidValue(f"energy profile {profile.name} charges clock cycles: give those of an image")
    if cycles is not None and profile.value("static_power") and clock_mhz is None:
        raise InvalidValue(f"energy profile {profile.name} has static power: give the clock in MHz")
    found = baselines(network, counts, profile, source=source_macs is not None)
    names = [b.name for b in found]
    if baseline is not None and baseline not in names:
        raise InvalidValue(
            f"no baseline {baseline!r} under profile {profile.name} with what was counted; there are {', '.join(names) or 'none'}"
        )
    chosen = baseline or (names[-1] if names else None)
    spent = None if cycles is None else _check_cycles(cycles, *shape)
    by_layer = np.ndim(cycles) == 2 if cycles is not None else False
    run = _Run(network, activity, counts, memory, spent, by_layer, clock_mhz, found, source_macs)
    layers, total = run.charge(profile)
    sensitivity = {}
    if chosen is not None and "sram_divisor" in profile.constants:
        for divisor in profile.constants["sram_divisor"]["value"]:
            _, less = run.charge(profile.divided(divisor))
            sensitivity[f"sram / {divisor:g}"] = (less.snn_bounds, less.ann_bounds(chosen))
    return EnergyReport(
        network=network,
        images=shape[0],
        accuracy=accuracy,
        profile=profile,
        memory=memory,
        layers=layers,
        total=total,
        baselines=found,
        baseline=chosen,
        sensitivity=sensitivity,
        again=again,
        warnings=_warnings(run, profile, chosen),
        lanes=lanes,
        clock_mhz=clock_mhz,
        utilization=None if lanes is None or spent is None else _utilization(activity, lanes, spent),
    )
