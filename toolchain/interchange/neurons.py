"""NIR's neurons as ours: integrate, compare, reset. A leak is refused, never ignored."""

from dataclasses import dataclass

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node
from toolchain.interchange.semantics import Contract
from toolchain.interchange.values import per_channel
from toolchain.recurrent import Leak

__all__ = ["NEURONS", "Neuron", "neuron_of"]

NEURONS = ("I", "IF", "LI", "LIF", "CubaLIF", "Threshold")
_UNIT = 1e-5
"""A gain this close to 1 is 1: exporters write r = τ/dt in float32, so that r·dt/τ is 1 but for rounding."""


@dataclass(frozen=True, eq=False)
class Neuron:
    """One value for each channel, float64 ``[C]``; the membrane counts from the reset value.

    Members
    -------
    gain
        What a unit of input current adds in a step.
    threshold
        Above the reset value; ``None`` for I and LI, which never fire.
    initial
        Membrane before the first step, above the reset value.
    one_step
        Whether this holds for T = 1 only, since membranes do not last.
    """

    gain: np.ndarray
    threshold: np.ndarray | None
    initial: np.ndarray
    one_step: bool = False


def _rounded(gain: np.ndarray) -> np.ndarray:
    return np.where(np.abs(gain - 1) <= _UNIT, 1.0, gain)


def _refuse_leak(node: Node, kept: np.ndarray, dt: float) -> None:
    share = float(kept[np.argmax(np.abs(kept - 1))])
    near = ""
    if 0 < share < 1:
        leak = Leak.nearest(share).value
        near = (
            f" (the nearest leak of two shifts, {leak:.6g}, is off by {abs(leak - share):.2g}, and none is in hardware)"
        )
    raise UnsupportedModule(
        f"{node} leaks: it keeps {share:.6g} of its membrane in a step of {dt:g}; golden model and hardware integrate "
        f"without leak{near}; train it as IF (β = 1, τ infinite), or import one step with -T 1, where nothing can leak"
    )


def _integrator_gain(node: Node, contract: Contract, shape: tuple[int, ...]) -> np.ndarray:
    """``r·dt`` of I and IF."""
    r = per_channel(node, "r", shape)
    if contract.dt is None:
        if not (r == 1).all():
            raise InvalidValue(
                f"{node}: r is {r.reshape(-1)[0]:g} and NIR does not say the time step: choose --dt, or --preset of the "
                "framework that exported the file"
            )
        return r
    return _rounded(r * contract.dt)


def _leaky_gain(node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int) -> tuple[np.ndarray, bool]:
    """Gain of LI, LIF, CubaLIF, and whether a leak limits it to one step.

    Raises
    ------
    UnsupportedModule
        There is a leak and T > 1.
    """
    dt = contract.leaky_dt
    tau = per_channel(node, "tau_mem" if node.kind == "CubaLIF" else "tau", shape, infinite=True)
    r = per_channel(node, "r", shape, infinite=True)
    v_leak = per_channel(node, "v_leak", shape)
    if not (tau > 0).all():
        raise InvalidValue(f"{node}: τ is {tau.min():g}, must be above 0")
    kept = 1 - dt / tau
    leaks = bool((kept != 1).any())
    if leaks and time_steps > 1:
        _refuse_leak(node, kept, dt)
    if leaks and v_leak.any():
        raise UnsupportedModule(f"{node}: v_leak is {v_leak[v_leak != 0][0]:g}, must be 0 where the neuron leaks")
    if (np.isinf(tau) & np.isfinite(r)).any():
        raise InvalidValue(f"{node}: τ is infinite and r is not, so that no input arrives; export r = τ/dt")
    both = np.isinf(tau) & np.isinf(r)
    if both.any() and not contract.unit_gain:
        raise InvalidValue(
            f"{node}: τ and r are infinite, so that its gain r·dt/τ is open; presets snntorch and rockpool take 1"
        )
    with np.errstate(invalid="ignore"):
        gain = np.where(both, 1.0, r * dt / tau)
    if node.kind == "CubaLIF":
        gain = gain * _synaptic_gain(node, contract, shape, dt)
    if not np.isfinite(gain).all():
        raise InvalidValue(f"{node}: r is infinite and τ is not; export the graph again")
    return _rounded(gain), leaks


def _synaptic_gain(node: Node, contract: Contract, shape: tuple[int, ...], dt: float) -> np.ndarray:
    """Of a synaptic current that lasts one step: ``w_in·dt/τ_syn``."""
    tau = per_channel(node, "tau_syn", shape, infinite=True)
    if not (tau > 0).all():
        raise InvalidValue(f"{node}: τ_syn is {tau.min():g}, must be above 0")
    kept = 1 - dt / tau
    if (np.abs(kept) > _UNIT).any():
        share = float(kept[np.argmax(np.abs(kept))])
        raise UnsupportedModule(
            f"{node}: its synaptic current keeps {share:.6g} of itself in a step of {dt:g}; golden model and hardware have "
            "no synaptic current; train with IF neurons (α = 0)"
        )
    if contract.synapse != "same":
        raise UnsupportedModule(
            f"{node}: with preset {contract.preset} a synaptic current reaches the membrane one step late, and no layer "
            "here can hold it back; train with IF neurons"
        )
    w_in = per_channel(node, "w_in", shape) if node.values.get("w_in") is not None else np.ones(shape[0])
    return _rounded(w_in * dt / tau)


def neuron_of(node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int) -> Neuron:
    """A neuron node whose input has ``shape`` (C, …).

    Counted from the reset value, a neuron that resets to ``v_reset`` is one that resets to 0 with the threshold
    ``v_threshold − v_reset``: integration does not know where 0 is.

    Raises
    ------
    UnsupportedModule
        A leak, a synaptic current that lasts, values that differ within a channel, Threshold at T > 1.
    InvalidValue
        A threshold that is not above the reset value, a reset value the contract contradicts, an unknown gain.
    """
    channels = shape[0]
    if node.kind == "Threshold":
        if time_steps > 1:
            raise UnsupportedModule(
                f"{node} keeps no membrane from one step to the next, neurons here do; use IF, or import one step with -T 1"
            )
        return Neuron(np.ones(channels), _above(node, per_channel(node, "threshold", shape)), np.zeros(channels), True)
    one_step = False
    if node.kind in ("I", "IF"):
        gain = _integrator_gain(node, contract, shape)
    else:
        gain, one_step = _leaky_gain(node, contract, shape, time_steps)
    if node.kind in ("I", "LI"):
        return Neuron(gain, None, np.zeros(channels), one_step)
    threshold = per_channel(node, "v_threshold", shape)
    reset = np.zeros(channels)
    if node.values.get("v_reset") is not None:
        reset = per_channel(node, "v_reset", shape)
    if reset.any() and contract.reset != "value":
        raise InvalidValue(
            f"{node}: v_reset is {reset[reset != 0][0]:g}, which reset {contract.reset} contradicts; choose --reset value"
        )
    if one_step and reset.any():
        raise UnsupportedModule(f"{node}: v_reset is {reset[reset != 0][0]:g}, must be 0 where the neuron leaks")
    initial = np.zeros(channels) if contract.start == "reset" else 0.0 - reset
    if not reset.any():
        return Neuron(gain, _above(node, threshold), np.zeros(channels), one_step)
    return Neuron(gain, _above(node, threshold - reset), initial, one_step)


def _above(node: Node, threshold: np.ndarray) -> np.ndarray:
    if not (threshold > 0).all():
        raise InvalidValue(
            f"{node}: threshold less reset value is {threshold.min():g} in channel {int(np.argmin(threshold))}, must be "
            "above 0"
        )
    return threshold
