"""What a NIR file leaves open, said out loud: the semantics contract, and a preset for each framework that exports.

NIR gives a neuron as a differential equation, a threshold and a reset value. It does not say how a time step is taken,
whether a neuron fires at or above its threshold, whether firing subtracts or resets, or where the membrane starts.
Each framework has its own answers; the presets hold them, read in the sources of the versions named.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.interchange.graph import Graph
from toolchain.ir import COMPARES

__all__ = [
    "CURRENT_DRIVES",
    "DECAYS",
    "DEFAULT_PRESET",
    "DRIVES",
    "ORDERS_OF_NIR",
    "PRESETS",
    "RESETS_OF_NIR",
    "STARTS",
    "Contract",
    "guess",
    "preset",
]

RESETS_OF_NIR = ("subtract", "zero", "value")
"""After a spike: θ is subtracted; the membrane is 0; the membrane is the file's ``v_reset``."""
STARTS = ("zero", "reset", "leak")
"""Membrane before the first step: 0, ``v_reset``, or ``v_leak`` (0 where a neuron has none)."""
DECAYS = ("euler", "exp")
"""Share of a leaky membrane that stays in a step: 1 − dt/τ, or exp(−dt/τ)."""
DRIVES = ("tau", "share", "whole", "decayed")
"""What a leaky neuron adds of its input: r·dt/τ, r·(1 − share that stays), r, or
r·dt/(τ·share that stays)."""
CURRENT_DRIVES = ("tau", "share", "whole", "kept")
"""What a synaptic current that lasts adds of its input: w_in·dt/τ_syn, w_in·(1 − share that stays), w_in, or
w_in·share that stays."""
ORDERS_OF_NIR = ("reset_first", "leak_first")
"""Of reset and leak: V = β·(V after the reset), or the reset waits for the next step, V = β·V − θ·s."""


_CHOICES = {
    "reset": RESETS_OF_NIR, "compare": COMPARES, "start": STARTS, "decay": DECAYS, "drive": DRIVES, "readout_drive": DRIVES,
    "leak_order": ORDERS_OF_NIR, "current_drive": CURRENT_DRIVES,
}  # fmt: skip


@dataclass(frozen=True)
class Contract:
    """How a graph's equations become time steps.

    One step of every neuron: ``V += gain·(Σ w·s + b)``, compare, then reset, all in the same step, and the spike reaches
    the next neuron in the same step; one spike a step at most; nothing is clamped. Leaky neurons begin every step with
    ``V = β·V + (1 − β)·v_leak``. Where a synaptic current lasts (CubaLIF, CubaLI, a LI between a synapse and a neuron), it comes
    before the membrane, in the same step: ``I = α·I + c·(Σ w·s + b)``, ``V += gain·I``; it is 0 at first, and no reset touches it.

    Members
    -------
    preset : str
        The preset it began as.
    reset : str
        One of ``RESETS_OF_NIR``.
    compare : str
        ``ge`` or ``gt``.
    dt : float or None
        Time step of I and IF, ``gain = r·dt``; ``None``: not known.
    leaky_dt : float
        Time step of LI, LIF, CubaLI and CubaLIF, in the unit of the file's τ.
    unit_gain : bool
        Whether the exporter writes ``r = τ/dt``, so that gain is 1 where both are infinite.
    start : str
        One of ``STARTS``.
    clamp : str
        Lower bound of the membrane; ``none`` is all there is.
    decay : str
        One of ``DECAYS``: the share β of a membrane, and α of a synaptic current, that stays.
    drive, readout_drive : str
        One of ``DRIVES``: the gain of LIF and CubaLIF, and that of LI and CubaLI.
    leak_order : str
        One of ``ORDERS_OF_NIR``. A reset to 0 or to a value that waits comes before the next leak, so that both orders are one.
    current_drive : str
        One of ``CURRENT_DRIVES``: c of CubaLIF and CubaLI; that of a LI is its gain.
    tau_syn : float or None
        τ of the synaptic current of every LIF, in the unit of the file's τ, where the exporter leaves it out (sinabs); ``None``:
        a LIF has none.
    """

    preset: str
    reset: str
    compare: str
    dt: float | None
    leaky_dt: float = 1e-4
    unit_gain: bool = False
    start: str = "zero"
    clamp: str = "none"
    decay: str = "euler"
    drive: str = "tau"
    readout_drive: str = "tau"
    leak_order: str = "reset_first"
    current_drive: str = "tau"
    tau_syn: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InvalidValue(f"{name} is {getattr(self, name)!r}, must be one of {', '.join(allowed)}")
        if self.clamp != "none":
            raise InvalidValue(
                f"clamp is {self.clamp!r}, must be none: membranes here have no lower bound, only a width that is proven "
                "to suffice; train without one (sinabs: min_v_mem=None)"
            )
        for dt in (self.dt, self.leaky_dt):
            if dt is not None and not (np.isfinite(dt) and 0 < dt <= 1e6):
                raise InvalidValue(f"time step is {dt:g}, must be above 0 and at most 1e6")
        if self.tau_syn is not None and not (np.isfinite(self.tau_syn) and 0 < self.tau_syn <= 1e6):
            raise InvalidValue(
                f"τ_syn is {self.tau_syn:g}, must be above 0 and at most 1e6; leave it out where there is none"
            )

    def changed(self, **chosen: Any) -> "Contract":
        """With all that is not ``None``; ``dt`` and ``drive`` hold for every neuron."""
        given = {name: value for name, value in chosen.items() if value is not None}
        for name, other in (("dt", "leaky_dt"), ("drive", "readout_drive")):
            if name in given:
                given[other] = given[name]
        return replace(self, **given)

    @property
    def leaks_first(self) -> bool:
        """Whether what leaks is the membrane before its reset."""
        return self.leak_order == "leak_first" and self.reset == "subtract"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a reader, one rule a line."""
        resets = {"subtract": "θ is subtracted", "zero": "set to 0", "value": "set to the file's v_reset"}
        starts = {"zero": "0", "reset": "v_reset", "leak": "v_leak"}
        shares = {"euler": "1 − dt/τ", "exp": "exp(−dt/τ)"}
        drives = {"tau": "r·dt/τ", "share": "r·(1 − β)", "whole": "r", "decayed": "r·dt/(τ·β)"}
        currents = {"tau": "w_in·dt/τ_syn", "share": "w_in·(1 − α)", "whole": "w_in", "kept": "w_in·α"}
        dt = "not known" if self.dt is None else f"{self.dt:g}"
        drive = drives[self.drive]
        if self.readout_drive != self.drive:
            drive += f", of LI and CubaLI {drives[self.readout_drive]}"
        more = "" if self.tau_syn is None else f", of every LIF τ_syn = {self.tau_syn:g}"
        order = "before the reset, which comes a step later: V = β·V − θ·s" if self.leaks_first else "after the reset"
        return [
            f"preset {self.preset}",
            f"step: V += r·dt·(Σ w·s + b), dt = {dt}; then compare; then reset",
            f"leaky neurons: V = β·V + (1 − β)·v_leak + gain·(Σ w·s + b), β = {shares[self.decay]}, dt = {self.leaky_dt:g}, "
            f"gain = {drive}; the membrane leaks {order}",
            f"synaptic currents (CubaLIF, CubaLI, a LI before a neuron): I = α·I + c·(Σ w·s + b), α = {shares[self.decay].replace('τ', 'τ_syn')}, "
            f"c = {currents[self.current_drive]}, of LI its gain{more}; then V takes gain·I in the same step; "
            "no reset touches I",
            f"fires at {'V ≥ θ' if self.compare == 'ge' else 'V > θ'}, at most once a step; the spike arrives in the same step",
            f"reset: {resets[self.reset]}",
            f"start: V(0) = {starts[self.start]}; lower clamp: {self.clamp}",
        ]


@dataclass(frozen=True)
class Preset:
    """A contract, where it was read, and what a file of this framework may hide: always, of leaky neurons, of those with a current."""

    contract: Contract
    source: str
    hidden: tuple[str, ...] = field(default=())
    hidden_leaks: tuple[str, ...] = field(default=())
    hidden_currents: tuple[str, ...] = field(default=())


PRESETS: dict[str, Preset] = {
    "nir": Preset(
        Contract("nir", "value", "gt", None),
        "equations in the docstrings of nir 1.0.8: z = 1 where v > v_threshold, then v = v_reset; dt is open, and so is how "
        "a step is taken: Euler's, 1e-4, as most exporters mean it",
        hidden_leaks=(
            "the file does not say the time step of leaky neurons: without --dt it is 1e-4, as most exporters mean it",
        ),
        hidden_currents=(
            "NIR does not say whether a synaptic current reaches the membrane in the step of its input: it does, as in every preset",
        ),
    ),
    "snntorch": Preset(
        Contract("snntorch", "subtract", "gt", 1e-4, unit_gain=True, leak_order="leak_first"),
        "snntorch 1.0.0, export_nir (Leaky becomes LIF with τ = dt/(1 − β), r = τ/dt, dt = 1e-4; Synaptic CubaLIF, "
        "likewise, w_in = τ_syn/dt) and Leaky.forward: mem = β·mem + x − θ·(the spike of the step before), fires where mem − θ > 0; "
        "Synaptic.forward: syn = α·syn + x, then mem = β·mem + syn − θ·(that spike). Reset to zero: "
        "mem = β·(1 − spike)·mem + x, which drops nothing; Synaptic's does, the input of that step",
        (
            "the file does not say reset_mechanism: subtract, snnTorch's default, is assumed; else choose --reset zero",
            "reset_delay is not in the file: True, the default, is assumed; False is --leak-order reset_first, and with "
            "subtract another neuron above 2θ",
        ),
    ),
    "spikingjelly": Preset(
        Contract("spikingjelly", "value", "ge", 1e-4, start="reset"),
        "spikingjelly 2.0.0, nir_exchange.to_nir (IFNode: r = 1/dt; LIFNode, ParametricLIFNode: τ·dt, r = 1, or τ without "
        "decay_input, v_leak = v_reset; CUBALIFNode: τ = dt/(1 − decay), r = τ_mem/dt, w_in = τ_syn/dt, v_leak = 0; dt = 1e-4 unless "
        "told otherwise; soft reset is not exported), lif_step: v + (x − (v − v_reset))/τ, fires where v − θ ≥ 0, v = v_reset, which "
        "is where it starts too, and cuba_lif_step: c = c_decay·c + x, then v = v_decay·v + c",
    ),
    "sinabs": Preset(
        Contract(
            "sinabs",
            "subtract",
            "ge",
            1.0,
            leaky_dt=1.0,
            decay="exp",
            drive="share",
            readout_drive="whole",
            current_drive="kept",
        ),
        "sinabs 3.1.3, nir.to_nir (IAF becomes IF, LIF becomes LIF, ExpLeak LI, all with r = 1, τ in steps; min_v_mem, spike_fn, "
        "reset_fn, tau_syn and norm_input are not exported) and lif_forward_single: α·v + (1 − α)·x with norm_input, else "
        "α·v + x, α = exp(−1/τ), fires where v ≥ θ, v − θ; with tau_syn x is i = α_syn·(i + input)",
        (
            "sinabs fires several times a step by default (MultiSpike): the import is exact for spike_fn=SingleSpike only",
            "min_v_mem is not in the file: None, the default of IAF and LIF, is assumed",
        ),
        (
            "norm_input and tau_syn are not in the file: the defaults are assumed, True for LIF, False for ExpLeak, and no "
            "tau_syn; else choose --drive share (True) or whole (False), and --tau-syn, one for all LIF",
        ),
    ),
    "norse": Preset(
        Contract("norse", "value", "gt", 1.0, leaky_dt=1e-6, start="leak", current_drive="whole"),
        "norse 1.1.0, export_nir (IAFCell becomes IF with r = 1, LIFBoxCell LIF, LIBoxCell LI, LIFCell CubaLIF; τ is written as "
        "dt·τ, so that a step of 1e-3 is one of 1e-6 in the file; no v_reset), iaf_feed_forward_step (v + input, dt is not used) "
        "and lif_box_feed_forward_step: v + dt/τ·(v_leak − v + input), fires where v − v_th > 0, then v_reset; starts at v_leak; "
        "lif_feed_forward_step: i + input, whole, then v + dt/τ·(v_leak − v + i) with it, then i·(1 − dt/τ_syn)",
        ("the file does not hold v_reset and reset_method: 0 and reset_value, the defaults, are assumed",),
        (
            "τ of leaky neurons is multiplied by dt in the file: without --dt, which is the product of the two, 1e-3 is assumed "
            "for both the cell's dt and to_nir's, so that dt = 1e-6",
        ),
        (
            "LIFCell's membrane takes its current in the step of the input, as in norse 1.1.0; older releases that take it a step "
            "later are not read",
        ),
    ),
    "rockpool": Preset(
        Contract(
            "rockpool",
            "subtract",
            "ge",
            1e-3,
            leaky_dt=1e-3,
            unit_gain=True,
            decay="exp",
            drive="decayed",
            current_drive="kept",
        ),
        "rockpool 3.1.0, nn.modules.torch.nir (LIFTorch becomes CubaLIF, LIFNeuronTorch LIF, ExpSynTorch LI, each with r = τ/dt·exp(−dt/τ); "
        "w_in is 1), LIFNeuronTorch.forward (V = exp(−dt/τ)·V + input), LIFTorch.forward (I = exp(−dt/τ_syn)·(I + input), then "
        "V = exp(−dt/τ)·V + I), ExpSynTorch.forward (that I) and StepPWL: fires ⌊V/θ⌋ times where V ≥ θ and subtracts",
        ("rockpool fires several times a step by default: the import is exact for max_spikes_per_dt = 1 only",),
        ("rockpool does not write the bias of LIFTorch and LIFNeuronTorch: 0 is assumed",),
        ("rockpool does not write the recurrent weights of LIFTorch(has_rec=True): none are assumed",),
    ),
}
DEFAULT_PRESET = "nir"


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises
    ------
    InvalidValue
        There is none.
    """
    if name not in PRESETS:
        raise InvalidValue(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def _numbers(values: Mapping[str, Any], name: str) -> np.ndarray:
    value = values.get(name)
    return np.asarray(value, np.float64) if isinstance(value, np.ndarray) else np.full(1, np.nan)


def _is_like(value: np.ndarray, other: np.ndarray) -> bool:
    """Whether they are finite and equal but for what float32 rounds."""
    return value.shape == other.shape and bool(
        np.isfinite([value, other]).all() and np.allclose(value, other, rtol=1e-5, atol=0)
    )


def guess(graph: Graph) -> str:
    """Which framework's exporter writes such neurons, as words for a warning; never acted upon."""
    for node in graph.nodes.values():
        r = _numbers(node.values, "r")
        if node.kind == "IF":
            if (np.abs(r - 1e4) < 1).all():
                return "spikingjelly, by r = 1e4"
            if (r == 1).all():
                return "sinabs or norse, by r = 1"
        if node.kind in ("LIF", "CubaLI", "CubaLIF"):
            tau = _numbers(node.values, "tau" if node.kind == "LIF" else "tau_mem")
            if tau.shape == r.shape and (np.isinf(tau) & np.isinf(r)).all():
                return "snntorch, by infinite τ and r"
            if _is_like(tau, r * 1e-4):
                return "snntorch or spikingjelly, by r = τ/1e-4"
            if (tau > 0).all() and _is_like(tau * np.exp(-1e-3 / tau), r * 1e-3):
                return "rockpool, by r = τ/dt·exp(−dt/τ)"
            if (r == 1).all():
                return "norse" + ("" if node.kind == "CubaLIF" else ", sinabs or spikingjelly") + ", by r = 1"
    return "no framework that it shows"
