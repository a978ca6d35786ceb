"""What kinds of memories a core may have, and the capacity of one into which networks are loaded, as a user lists it."""

from pathlib import Path

from hdl.capacity import Capacity, check_loadable, device_capacity, read_capacity, union
from hdl.program import check_lanes
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import load_fixed_point

__all__ = ["MEMORIES", "listed_capacity"]

MEMORIES = ("rom", "loadable", "external")
"""Whether the hardware holds its network, gets it in a packet, or reads its weights from an external memory."""


def listed_capacity(
    network: FixedPointNetwork, *, lanes: int, listed: str | None = None, banks: int | None = None
) -> Capacity:
    """Room for a network and for what is ``listed``.

    Parameters
    ----------
    listed : str, optional
        What there must be room for, comma-separated: network files, capacities (JSON), and names of devices, whose
        room gets the network's neuron. The network itself, if nothing is listed.

    Raises
    ------
    InvalidValue
        Unknown names, neurons or lanes that do not go together, or a network that does not fit.
    """
    check_lanes(lanes)
    check_loadable(network)
    room = []
    for name in (part.strip() for part in ("" if listed is None else listed).split(",")):
        if name.endswith(".json"):
            room.append(read_capacity(Path(name)))
        elif name.endswith(".safetensors"):
            room.append(Capacity.of(load_fixed_point(Path(name)), lanes=lanes, banks=banks or 2))
        elif name or listed is not None:
            neuron = {what: getattr(network, what) for what in ("schedule", "negative", "reset", "compare", "input")}
            grouped = any(c.groups > 1 for layer in network.layers for c in layer.connections)
            room.append(device_capacity(name, lanes=lanes, grouped=grouped, banks=banks or 2, **neuron))
    capacity = union(*(room or [Capacity.of(network, lanes=lanes, banks=banks or 2)]))
    if capacity.lanes != lanes or banks not in (None, capacity.banks):
        raise InvalidValue(
            f"the capacity has {capacity.lanes} lanes and {capacity.banks} banks, not {lanes} and {banks or capacity.banks}; "
            "choose the same with -P and --banks"
        )
    capacity.check(network)
    return capacity
