"""The share of a membrane or a synaptic current that stays in a step, from NIR's time constants."""

from dataclasses import dataclass

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node
from toolchain.interchange.semantics import Contract
from toolchain.interchange.values import in_file, per_channel

__all__ = ["UNIT", "Fading", "current_share", "fading", "membrane_share"]

UNIT = 1e-5
"""A gain this close to 1 is 1, and a share this close to 0 is 0: exporters write r = τ/dt and τ in float32."""


@dataclass(frozen=True, eq=False)
class Fading:
    """A time constant and the step that it is read with.

    Members
    -------
    tau : float64 [C]
        Above 0, may be infinite.
    dt : float
        In the unit of τ, rounded to the precision that τ has in the file.
    kept : float64 [C]
        Share that stays: ``1 − dt/τ`` or ``exp(−dt/τ)``. Of a current whose τ is one step it is 0 but for rounding, and 0 here.
    """

    tau: np.ndarray
    dt: float
    kept: np.ndarray


def fading(node: Node, name: str, contract: Contract, shape: tuple[int, ...]) -> Fading:
    """What τ of that ``name`` says, one value for each channel of a signal of ``shape`` (C, …).

    Raises
    ------
    InvalidValue
        τ not above 0.
    """
    tau = per_channel(node, name, shape, infinite=True)
    dt = float(in_file(node, name, np.array(contract.leaky_dt)))
    if not (tau > 0).all():
        raise InvalidValue(f"{node}: {'τ_syn' if name == 'tau_syn' else 'τ'} is {tau.min():g}, must be above 0")
    euler = contract.decay == "euler"
    kept = in_file(node, name, 1 - dt / tau if euler else np.exp(-dt / tau))
    if euler and name == "tau_syn":
        kept = np.where(np.abs(kept) <= UNIT, 0.0, kept)
    return Fading(tau, dt, kept)


def _alike(node: Node, kept: np.ndarray, dt: float, what: str, here: str) -> float:
    """The share of all channels.

    Raises
    ------
    UnsupportedModule
        They differ.
    """
    share = float(kept[0])
    if not (kept == share).all():
        other = int(np.argmax(kept != share))
        raise UnsupportedModule(
            f"{node} keeps {share:.6g} of its {what} in a step of {dt:g} in channel 0, {kept[other]:.6g} in channel {other}: "
            f"{here} a layer, or import one step with -T 1"
        )
    return share


def membrane_share(node: Node, fades: Fading) -> float | None:
    """β, the one share of all channels that a layer here can keep; ``None``: all of it.

    Raises
    ------
    UnsupportedModule
        Channels differ, or nothing stays.
    """
    share = _alike(node, fades.kept, fades.dt, "membrane", "a layer here has one leak; train with one β")
    if share <= 0:
        raise UnsupportedModule(
            f"{node} keeps {share:.6g} of its membrane in a step of {fades.dt:g}, must be above 0: τ is no longer than the "
            "step; choose --dt if it is another, or import one step with -T 1"
        )
    return None if share == 1 else share


def current_share(node: Node, fades: Fading) -> float | None:
    """α, the one share of all channels' synaptic current; ``None``: the current lasts one step.

    Raises
    ------
    UnsupportedModule
        Channels differ, less than nothing stays, or all of it.
    """
    share = _alike(node, fades.kept, fades.dt, "synaptic current", "a layer here has one share; train with one α")
    if not 0 <= share < 1:
        why = (
            "its time constant is shorter than the step; choose --dt if it is another"
            if share < 0
            else "it never fades; train with α < 1"
        )
        raise UnsupportedModule(
            f"{node} keeps {share:.6g} of its synaptic current in a step of {fades.dt:g}, must be 0 or more and below 1: "
            f"{why}, or import one step with -T 1"
        )
    return share or None
