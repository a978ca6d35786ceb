"""NIR's neurons as ours: leak, integrate, compare, reset. What a leak here cannot say is refused, never ignored."""

from dataclasses import dataclass

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node
from toolchain.interchange.semantics import Contract
from toolchain.interchange.values import in_file, per_channel

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
        Membrane of the first step before its input, above the reset value; the leak of that step is in it.
    bias
        Added in every step: what leaks towards ``v_leak``.
    leak
        β, the share that stays from one step to the next; ``None``: all of it.
    one_step
        Whether this holds for T = 1 only, since membranes do not last, or not as a leak here.
    """

    gain: np.ndarray
    threshold: np.ndarray | None
    initial: np.ndarray
    bias: np.ndarray
    leak: float | None = None
    one_step: bool = False


@dataclass(frozen=True, eq=False)
class _Membrane:
    """What a kind of node says about integration: gain, share that stays and ``v_leak``, float64 ``[C]``."""

    gain: np.ndarray
    kept: np.ndarray
    rest: np.ndarray


def _rounded(gain: np.ndarray) -> np.ndarray:
    return np.where(np.abs(gain - 1) <= _UNIT, 1.0, gain)


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


def _leaky(node: Node, contract: Contract, shape: tuple[int, ...]) -> _Membrane:
    """LI, LIF and CubaLIF.

    Raises
    ------
    UnsupportedModule
        A synaptic current that lasts.
    InvalidValue
        τ not above 0, or a gain that is open or infinite.
    """
    name = "tau_mem" if node.kind == "CubaLIF" else "tau"
    tau = per_channel(node, name, shape, infinite=True)
    dt = float(in_file(node, name, np.array(contract.leaky_dt)))
    r = per_channel(node, "r", shape, infinite=True)
    rest = per_channel(node, "v_leak", shape)
    if not (tau > 0).all():
        raise InvalidValue(f"{node}: τ is {tau.min():g}, must be above 0")
    kept = in_file(node, name, 1 - dt / tau if contract.decay == "euler" else np.exp(-dt / tau))
    drive = contract.readout_drive if node.kind == "LI" else contract.drive
    both = np.isinf(tau) & np.isinf(r)
    if both.any() and not contract.unit_gain:
        raise InvalidValue(
            f"{node}: τ and r are infinite, so that its gain r·dt/τ is open; presets snntorch and rockpool take 1"
        )
    if drive != "whole" and (np.isinf(tau) & np.isfinite(r)).any():
        raise InvalidValue(f"{node}: τ is infinite and r is not, so that no input arrives; export r = τ/dt")
    if drive == "decayed" and not (kept > 0).all():
        raise InvalidValue(
            f"{node}: nothing stays of its membrane, so that its gain r·dt/(τ·β) is open; choose --drive"
        )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        gains = {"tau": r * dt / tau, "share": r * (1 - kept), "whole": r, "decayed": r * dt / (tau * kept)}
        gain = np.where(both, 1.0, gains[drive])
    if node.kind == "CubaLIF":
        gain = gain * _synaptic_gain(node, contract, shape, dt)
    if not np.isfinite(gain).all():
        raise InvalidValue(f"{node}: r is infinite and τ is not; export the graph again")
    return _Membrane(_rounded(gain), kept, rest)


def _leak(node: Node, kept: np.ndarray, dt: float) -> float | None:
    """The one share of all channels that a layer here can keep; ``None``: all of it.

    Raises
    ------
    UnsupportedModule
        Channels differ, or nothing stays.
    """
    share = float(kept[0])
    if not (kept == share).all():
        other = int(np.argmax(kept != share))
        raise UnsupportedModule(
            f"{node} keeps {share:.6g} of its membrane in a step of {dt:g} in channel 0, {kept[other]:.6g} in channel {other}: "
            "a layer here has one leak; train with one β a layer, or import one step with -T 1"
        )
    if share <= 0:
        raise UnsupportedModule(
            f"{node} keeps {share:.6g} of its membrane in a step of {dt:g}, must be above 0: τ is no longer than the step; "
            "choose --dt if it is another, or import one step with -T 1"
        )
    return None if share == 1 else share


def _synaptic_gain(node: Node, contract: Contract, shape: tuple[int, ...], dt: float) -> np.ndarray:
    """Of a synaptic current that lasts one step: ``w_in·dt/τ_syn``."""
    tau = per_channel(node, "tau_syn", shape, infinite=True)
    if not (tau > 0).all():
        raise InvalidValue(f"{node}: τ_syn is {tau.min():g}, must be above 0")
    kept = 1 - dt / tau if contract.decay == "euler" else np.exp(-dt / tau)
    if (np.abs(kept) > _UNIT).any() or contract.decay == "exp":
        share = float(kept[np.argmax(np.abs(kept))])
        raise UnsupportedModule(
            f"{node}: its synaptic current keeps {share:.6g} of itself in a step of {dt:g}; golden model and hardware have "
            "no synaptic current; train without one (α = 0)"
        )
    if contract.leak_order == "leak_first" and contract.reset == "zero":
        raise UnsupportedModule(
            f"{node}: where a reset to zero waits for the next step, the synaptic neuron of snnTorch drops the input of that "
            "step, and no layer here does; train with reset_delay=False and choose --leak-order reset_first, or with Leaky"
        )
    w_in = per_channel(node, "w_in", shape) if node.values.get("w_in") is not None else np.ones(shape[0])
    return _rounded(w_in * dt / tau)


def neuron_of(node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int) -> Neuron:
    """A neuron node whose input has ``shape`` (C, …).

    Counted from the reset value, a neuron that resets to ``v_reset`` is one that resets to 0 with the threshold
    ``v_threshold − v_reset``, and that leaks towards ``v_leak − v_reset``: ``(1 − β)`` of that is added in each step.

    Raises
    ------
    UnsupportedModule
        Channels that leak unlike, a membrane or synaptic current that a layer here has not, values that differ within a
        channel, Threshold at T > 1.
    InvalidValue
        A threshold that is not above the reset value, a reset value the contract contradicts, an unknown gain.
    """
    channels = shape[0]
    zeros = np.zeros(channels)
    if node.kind == "Threshold":
        if time_steps > 1:
            raise UnsupportedModule(
                f"{node} keeps no membrane from one step to the next, neurons here do; use IF, or import one step with -T 1"
            )
        return Neuron(
            np.ones(channels), _above(node, per_channel(node, "threshold", shape)), zeros, zeros, one_step=True
        )
    if node.kind in ("I", "IF"):
        membrane = _Membrane(_integrator_gain(node, contract, shape), np.ones(channels), zeros)
    else:
        membrane = _leaky(node, contract, shape)
    leak: float | None = None
    threshold: np.ndarray | None = None
    reset, one_step = zeros, False
    try:
        leak = _leak(node, membrane.kept, contract.leaky_dt)
    except UnsupportedModule:
        if time_steps > 1:
            raise
        one_step = True
    if node.kind not in ("I", "LI"):
        if node.values.get("v_reset") is not None:
            reset = per_channel(node, "v_reset", shape)
        if reset.any() and contract.reset != "value":
            raise InvalidValue(
                f"{node}: v_reset is {reset[reset != 0][0]:g}, which reset {contract.reset} contradicts; choose --reset value"
            )
        threshold = _above(node, per_channel(node, "v_threshold", shape) - reset)
    start = {"zero": zeros, "reset": reset, "leak": membrane.rest}[contract.start]
    with np.errstate(invalid="ignore", over="ignore"):
        initial = membrane.kept * (start - reset) + 0.0  # no −0, which would be another fingerprint
        bias = (1 - membrane.kept) * (membrane.rest - reset) + 0.0
    if not (np.isfinite(initial).all() and np.isfinite(bias).all()):
        raise InvalidValue(f"{node}: v_leak and v_reset overflow once its leak is folded in; export the graph again")
    return Neuron(membrane.gain, threshold, initial, bias, leak, one_step)


def _above(node: Node, threshold: np.ndarray) -> np.ndarray:
    if not (threshold > 0).all():
        raise InvalidValue(
            f"{node}: threshold less reset value is {threshold.min():g} in channel {int(np.argmin(threshold))}, must be "
            "above 0"
        )
    return threshold
