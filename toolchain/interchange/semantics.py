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

__all__ = ["DEFAULT_PRESET", "PRESETS", "RESETS_OF_NIR", "STARTS", "Contract", "guess", "preset"]

RESETS_OF_NIR = ("subtract", "zero", "value")
"""After a spike: θ is subtracted; the membrane is 0; the membrane is the file's ``v_reset``."""
STARTS = ("zero", "reset")
"""Membrane before the first step: 0, or ``v_reset``."""


@dataclass(frozen=True)
class Contract:
    """How a graph's equations become time steps.

    One step of every neuron: ``V += gain·(Σ w·s + b)``, compare, then reset, all in the same step, and the spike reaches
    the next neuron in the same step; one spike a step at most; nothing is clamped.

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
        Time step of LI, LIF and CubaLIF: keeps ``1 − dt/τ`` a step, ``gain = r·dt/τ``.
    unit_gain : bool
        Whether the exporter writes ``r = τ/dt``, so that gain is 1 where both are infinite.
    start : str
        One of ``STARTS``.
    clamp : str
        Lower bound of the membrane; ``none`` is all there is.
    synapse : str
        Whether a synaptic current reaches the membrane in the ``same`` step or the ``next`` one (CubaLIF).
    """

    preset: str
    reset: str
    compare: str
    dt: float | None
    leaky_dt: float = 1e-4
    unit_gain: bool = False
    start: str = "zero"
    clamp: str = "none"
    synapse: str = "same"

    def __post_init__(self) -> None:
        for name, allowed in (("reset", RESETS_OF_NIR), ("compare", COMPARES), ("start", STARTS)):
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

    def changed(self, **chosen: Any) -> "Contract":
        """With all that is not ``None``; ``dt`` holds for every neuron."""
        given = {name: value for name, value in chosen.items() if value is not None}
        if "dt" in given:
            given["leaky_dt"] = given["dt"]
        return replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a reader, one rule a line."""
        resets = {"subtract": "θ is subtracted", "zero": "set to 0", "value": "set to the file's v_reset"}
        dt = "not known" if self.dt is None else f"{self.dt:g}"
        return [
            f"preset {self.preset}",
            f"step: V += r·dt·(Σ w·s + b), dt = {dt} (leaky neurons {self.leaky_dt:g}); then compare; then reset",
            f"fires at {'V ≥ θ' if self.compare == 'ge' else 'V > θ'}, at most once a step; the spike arrives in the same step",
            f"reset: {resets[self.reset]}",
            f"start: V(0) = {'0' if self.start == 'zero' else 'v_reset'}; lower clamp: {self.clamp}",
        ]


@dataclass(frozen=True)
class Preset:
    """A contract, where it was read, and what a file of this framework may hide."""

    contract: Contract
    source: str
    hidden: tuple[str, ...] = field(default=())


PRESETS: dict[str, Preset] = {
    "nir": Preset(
        Contract("nir", "value", "gt", None),
        "equations in the docstrings of nir 1.0.8: z = 1 where v > v_threshold, then v = v_reset; dt is open",
    ),
    "snntorch": Preset(
        Contract("snntorch", "subtract", "gt", 1e-4, unit_gain=True),
        "snntorch 1.0.0, export_nir (Leaky becomes LIF with τ = dt/(1 − β), r = τ/dt, dt = 1e-4) and Leaky.forward: fires "
        "where V − θ > 0; the reset waits for the next step, which changes no spike",
        (
            "the file does not say reset_mechanism: subtract, snnTorch's default, is assumed; else choose --reset zero",
            "reset_delay is not in the file: True, the default, is assumed; False with subtract is another neuron above 2θ",
        ),
    ),
    "spikingjelly": Preset(
        Contract("spikingjelly", "value", "ge", 1e-4, start="reset"),
        "spikingjelly 2.0.0, nir_exchange.to_nir (r = 1/dt, dt = 1e-4 unless told otherwise; soft reset is not exported) "
        "and IFNode: charge, fire where V − θ ≥ 0, V = v_reset, which is where it starts too",
    ),
    "sinabs": Preset(
        Contract("sinabs", "subtract", "ge", 1.0, leaky_dt=1.0),
        "sinabs 3.1.3, nir.to_nir (IAF becomes IF with r = 1; min_v_mem, spike_fn and reset_fn are not exported) and "
        "lif_forward_single",
        (
            "sinabs fires several times a step by default (MultiSpike): the import is exact for spike_fn=SingleSpike only",
            "min_v_mem is not in the file: None, the default of IAF, is assumed",
        ),
    ),
    "norse": Preset(
        Contract("norse", "value", "gt", 1.0, leaky_dt=1e-3, synapse="next"),
        "norse 1.1.0, export_nir (IAFCell becomes IF with r = 1, without v_reset) and iaf_feed_forward_step: v + input, "
        "fires where v − v_th > 0, then v_reset; its dt is not used",
        ("the file does not hold IAFCell's v_reset: 0, the default, is assumed",),
    ),
    "rockpool": Preset(
        Contract("rockpool", "subtract", "ge", 1e-3, leaky_dt=1e-3, unit_gain=True),
        "rockpool 3.1.0, nn.modules.torch.nir (LIFTorch becomes CubaLIF, LIFNeuronTorch LIF) and StepPWL: fires ⌊V/θ⌋ times "
        "where V ≥ θ and subtracts; decay is exp(−dt/τ), never 1, so its neurons are refused as leaky",
        ("rockpool fires several times a step by default: the import is exact for max_spikes_per_dt = 1 only",),
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


def guess(graph: Graph) -> str:
    """Which framework's exporter writes such neurons, as words for a warning; never acted upon."""
    for node in graph.nodes.values():
        if node.kind == "IF":
            r = _numbers(node.values, "r")
            if (np.abs(r - 1e4) < 1).all():
                return "spikingjelly, by r = 1e4"
            if (r == 1).all():
                return "sinabs or norse, by r = 1"
        if node.kind in ("LIF", "CubaLIF"):
            tau = _numbers(node.values, "tau" if node.kind == "LIF" else "tau_mem")
            r = _numbers(node.values, "r")
            if tau.shape == r.shape and (np.isinf(tau) & np.isinf(r)).all():
                return "snntorch, by infinite τ and r"
    return "no framework that it shows"
