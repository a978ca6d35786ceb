"""NIR's neurons as ours: leak, integrate, compare, reset. What a leak here cannot say is refused, never ignored."""

from dataclasses import dataclass

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node
from toolchain.interchange.semantics import Contract
from toolchain.interchange.shares import UNIT, Fading, current_share, fading, membrane_share
from toolchain.interchange.values import per_channel

__all__ = ["NEURONS", "SILENT", "Neuron", "Synapse", "neuron_of", "synapse_of"]

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")
SILENT = ("I", "LI", "CubaLI")
"""Those that never fire."""


@dataclass(frozen=True, eq=False)
class Neuron:
    """One value for each channel, float64 ``[C]``; the membrane counts from the reset value.

    Members
    -------
    gain
        What a unit of input current adds in a step, to the synaptic current where it lasts.
    threshold
        Above the reset value; ``None`` for I, LI and CubaLI, which never fire.
    initial
        Membrane of the first step before its input, above the reset value; the leak of that step is in it.
    bias
        Added in every step: what leaks towards ``v_leak``.
    leak
        β, the share that stays from one step to the next; ``None``: all of it.
    current_leak
        α, the share of the synaptic current that stays; ``None``: nothing.
    one_step
        Whether this holds for T = 1 only, since membranes or currents do not last, or not as a leak here.
    """

    gain: np.ndarray
    threshold: np.ndarray | None
    initial: np.ndarray
    bias: np.ndarray
    leak: float | None = None
    current_leak: float | None = None
    one_step: bool = False


@dataclass(frozen=True, eq=False)
class Synapse:
    """A synaptic current: what a unit of input adds to it in a step, float64 ``[C]``, and α, the share that stays.

    ``share`` ``None``: nothing stays; ``one_step``: something does, which holds for T = 1 only.
    """

    gain: np.ndarray
    share: float | None
    one_step: bool = False


@dataclass(frozen=True, eq=False)
class _Membrane:
    """What a kind of node says about integration: gain, share that stays and ``v_leak``, float64 ``[C]``."""

    gain: np.ndarray
    rest: np.ndarray
    fades: Fading

    @property
    def kept(self) -> np.ndarray:
        return self.fades.kept


def _rounded(gain: np.ndarray) -> np.ndarray:
    return np.where(np.abs(gain - 1) <= UNIT, 1.0, gain)


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
    """LI, LIF, CubaLI and CubaLIF.

    Raises
    ------
    InvalidValue
        τ not above 0, or a gain that is open or infinite.
    """
    fades = fading(node, "tau_mem" if node.kind in ("CubaLI", "CubaLIF") else "tau", contract, shape)
    tau, dt, kept = fades.tau, fades.dt, fades.kept
    r = per_channel(node, "r", shape, infinite=True)
    rest = per_channel(node, "v_leak", shape)
    drive = contract.readout_drive if node.kind in SILENT else contract.drive
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
    if not np.isfinite(gain).all():
        raise InvalidValue(f"{node}: r is infinite and τ is not; export the graph again")
    return _Membrane(_rounded(gain), rest, fades)


def _current(node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int) -> Synapse:
    """The synaptic current of CubaLI and CubaLIF.

    Raises
    ------
    UnsupportedModule
        Channels that keep unlike shares, a share below 0 or of 1; a late reset to zero.
    InvalidValue
        τ_syn not above 0, or a gain that is 0, open or infinite.
    """
    fades = fading(node, "tau_syn", contract, shape)
    tau, dt, kept = fades.tau, fades.dt, fades.kept
    if node.kind == "CubaLIF" and contract.leak_order == "leak_first" and contract.reset == "zero":
        raise UnsupportedModule(
            f"{node}: where a reset to zero waits for the next step, the synaptic neuron of snnTorch drops the input of that "
            "step, and no layer here does; train with reset_delay=False and choose --leak-order reset_first, or with Leaky"
        )
    w_in = np.ones(shape[0])
    if node.values.get("w_in") is not None:
        w_in = per_channel(node, "w_in", shape, infinite=True)
    both = np.isinf(tau) & np.isinf(w_in) & contract.unit_gain
    with np.errstate(invalid="ignore", over="ignore"):
        gains = {"tau": w_in * dt / tau, "share": w_in * (1 - kept), "whole": w_in, "kept": w_in * kept}
        gain = np.where(both, 1.0, gains[contract.current_drive])
    if not np.isfinite(gain).all():
        raise InvalidValue(f"{node}: w_in is infinite and τ_syn is not; export the graph again")
    if ((gain == 0) & (w_in != 0)).any():
        raise InvalidValue(
            f"{node}: {'τ_syn is infinite' if np.isinf(tau).any() else 'nothing stays of its synaptic current'}, so that no "
            "input arrives; choose --current-drive"
        )
    try:
        return Synapse(_rounded(gain), current_share(node, fades))
    except UnsupportedModule:
        if time_steps > 1:
            raise
        return Synapse(_rounded(gain), None, one_step=True)


def synapse_of(node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int) -> Synapse:
    """A LI in front of a neuron as the synaptic current of that neuron, its input of ``shape`` (C, …).

    Raises
    ------
    UnsupportedModule
        Channels that keep unlike shares, or nothing; a current that never fades, or fades to something else than 0.
    InvalidValue
        τ not above 0, or a gain that is open or infinite.
    """
    membrane = _leaky(node, contract, shape)
    if membrane.rest.any():
        raise UnsupportedModule(
            f"{node}: before a neuron it is a synaptic current, which fades to 0 and not to v_leak = "
            f"{membrane.rest[membrane.rest != 0][0]:g}; train with v_leak = 0"
        )
    try:
        return Synapse(membrane.gain, current_share(node, membrane.fades))
    except UnsupportedModule:
        if time_steps > 1:
            raise
        return Synapse(membrane.gain, None, one_step=True)


def neuron_of(
    node: Node, contract: Contract, shape: tuple[int, ...], time_steps: int, lasting: float | None = None
) -> Neuron:
    """A neuron node whose input has ``shape`` (C, …).

    Counted from the reset value, a neuron that resets to ``v_reset`` is one that resets to 0 with the threshold
    ``v_threshold − v_reset``, and that leaks towards ``v_leak − v_reset``: ``(1 − β)`` of that is added in each step.

    Parameters
    ----------
    lasting : float or None
        Share of its input current that a LI before it keeps.

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
        whole = Fading(zeros + np.inf, 1.0, np.ones(channels))
        membrane = _Membrane(_integrator_gain(node, contract, shape), zeros, whole)
    else:
        membrane = _leaky(node, contract, shape)
    synapse = Synapse(np.ones(channels), lasting)
    if node.kind in ("CubaLI", "CubaLIF"):
        synapse = _current(node, contract, shape, time_steps)
    threshold: np.ndarray | None = None
    reset = zeros
    if node.kind not in SILENT:
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
    leak, current_leak, one_step = None, synapse.share, synapse.one_step
    try:
        leak = membrane_share(node, membrane.fades)
        if current_leak is not None and bias.any():
            channel = int(np.flatnonzero(bias)[0])
            raise UnsupportedModule(
                f"{node} leaks towards v_leak = {membrane.rest[channel]:g} and is reset to {reset[channel]:g}, and its synaptic "
                "current lasts: nothing but the current adds to a membrane here; train with both alike, or import one step "
                "with -T 1"
            )
    except UnsupportedModule:
        if time_steps > 1:
            raise
        current_leak, one_step = None, True
    gain = _rounded(membrane.gain * synapse.gain)
    return Neuron(gain, threshold, initial, bias, leak, current_leak, one_step)


def _above(node: Node, threshold: np.ndarray) -> np.ndarray:
    if not (threshold > 0).all():
        raise InvalidValue(
            f"{node}: threshold less reset value is {threshold.min():g} in channel {int(np.argmin(threshold))}, must be "
            "above 0"
        )
    return threshold
