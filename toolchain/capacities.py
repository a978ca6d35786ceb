"""What kinds of memories a core may have, and the capacity of one into which networks are loaded, as a user lists it."""

from dataclasses import replace
from pathlib import Path

from hdl.capacity import Capacity, read_capacity, union
from hdl.device_room import POOLING_ROOM, device_capacity
from hdl.program import check_lanes
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import load_fixed_point

__all__ = ["ABILITIES", "MEMORIES", "listed_capacity"]

MEMORIES = ("rom", "loadable", "external")
"""Whether the hardware holds its network, gets it in a packet, or reads its weights from an external memory."""
ABILITIES = ("groups", "spikes", "pooling", "leaks", "currents")
"""What a core into which networks are loaded has only if one of them needs it, or it is asked for."""


def _abilities(network: FixedPointNetwork, also: str | None) -> set[str]:
    """What the network needs, and what a user lists beside that."""
    found = set() if also is None else {name.strip() for name in also.split(",")}
    unknown = found - set(ABILITIES)
    if unknown:
        raise InvalidValue(f"no core has {min(unknown)!r} in --also; there are {', '.join(ABILITIES)}")
    connections = [c for layer in network.layers for c in layer.connections]
    needed = {
        "groups": any(c.groups > 1 for c in connections),
        "pooling": any(c.maximum is not None for c in connections),
        "leaks": network.leaks or network.lasting or "currents" in found,
        "currents": network.lasting,
    }
    return found | {name for name, need in needed.items() if need}


def _with_abilities(capacity: Capacity, names: set[str]) -> Capacity:
    """The capacity with what is listed, which it may have already; max pooling of the usual room if it has none.

    Leaks make a core of ``two_phase`` one of ``stream``, which runs both.
    """
    if "pooling" in names and not capacity.window:
        capacity = replace(capacity, window=POOLING_ROOM["window"], places=POOLING_ROOM["places"])
    if "leaks" in names and capacity.schedule == "two_phase":
        capacity = replace(capacity, schedule="stream")
    return replace(
        capacity,
        leaks=capacity.leaks or "leaks" in names,
        currents=capacity.currents or "currents" in names,
        grouped=capacity.grouped or "groups" in names,
        spikes=capacity.input != "spikes" and (capacity.spikes or "spikes" in names),
    )


def listed_capacity(
    network: FixedPointNetwork,
    *,
    lanes: int,
    listed: str | None = None,
    banks: int | None = None,
    also: str | None = None,
) -> Capacity:
    """Room for a network and for what is ``listed``.

    Parameters
    ----------
    listed : str, optional
        What there must be room for, comma-separated: network files, capacities (JSON), and names of devices, whose
        room gets the network's neuron. The network itself, if nothing is listed.
    also : str, optional
        ``ABILITIES`` that the core has beside those which the networks need, comma-separated.

    Raises
    ------
    InvalidValue
        Unknown names, neurons or lanes that do not go together, or a network that does not fit.
    """
    check_lanes(lanes)
    abilities = _abilities(network, also)
    room = []
    for name in (part.strip() for part in ("" if listed is None else listed).split(",")):
        if name.endswith(".json"):
            room.append(read_capacity(Path(name)))
        elif name.endswith(".safetensors"):
            room.append(Capacity.of(load_fixed_point(Path(name)), lanes=lanes, banks=banks or 2))
        elif name or listed is not None:
            neuron = {what: getattr(network, what) for what in ("schedule", "negative", "reset", "compare", "input")}
            room.append(
                device_capacity(
                    name,
                    lanes=lanes,
                    grouped="groups" in abilities,
                    pooling="pooling" in abilities,
                    leaks=network.leaks,
                    currents=network.lasting,
                    banks=banks or 2,
                    **neuron,
                )
            )
    capacity = union(*(room or [Capacity.of(network, lanes=lanes, banks=banks or 2)]))
    if also is not None:
        capacity = _with_abilities(capacity, abilities)
    if capacity.lanes != lanes or banks not in (None, capacity.banks):
        raise InvalidValue(
            f"the capacity has {capacity.lanes} lanes and {capacity.banks} banks, not {lanes} and {banks or capacity.banks}; "
            "choose the same with -P and --banks"
        )
    capacity.check(network)
    return capacity
