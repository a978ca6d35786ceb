"""What hardware is asked for: lanes, where a chain is cut, whether memories are loaded or external."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdl.capacity import Capacity, check_loadable, device_capacity, read_capacity, union
from hdl.program import check_lanes
from hdl.tiles import ExternalWeights, TiledProgram
from toolchain.balance import Split, balance, check_cores, named_cuts, split_at
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import load_fixed_point

__all__ = ["DEFAULT_LANES", "MEMORIES", "capacity_for", "external_for", "shared_out"]

DEFAULT_LANES = 16
MEMORIES = ("rom", "loadable", "external")
"""Whether the hardware holds its network, gets it in a packet, or reads its weights from an external memory."""


def shared_out(
    network: FixedPointNetwork, frames: np.ndarray, *, lanes: int, cores: int = 1, cut: Sequence[str] = ()
) -> Split | None:
    """Where to cut the network for a chain of ``cores``, by the cycles of ``frames``; ``None`` for a single core.

    ``cut`` names the first layer of each core but the first instead.

    Raises
    ------
    InvalidValue
        Cores or cuts that the network does not have, or that contradict each other.
    """
    check_lanes(lanes)
    if cut:
        if cores not in (1, len(cut) + 1):
            raise InvalidValue(f"cores is {cores}, but {len(cut)} cuts make {len(cut) + 1}; leave out --cores")
        return split_at(network, frames, lanes=lanes, cuts=named_cuts(network, cut))
    check_cores(network, cores)
    return None if cores == 1 else balance(network, frames, lanes=lanes, cores=cores)


def capacity_for(
    network: FixedPointNetwork,
    *,
    lanes: int,
    memories: str = "rom",
    listed: str | None = None,
    banks: int | None = None,
) -> Capacity | None:
    """Room of the core to generate for a network; None for one whose memories hold just this network.

    Parameters
    ----------
    memories : str
        ``rom``, ``loadable`` or ``external``.
    listed : str, optional
        What there must be room for, comma-separated: network files, capacities (JSON), and names of devices, whose
        room gets the network's neuron. The network itself, if nothing is listed.

    Raises
    ------
    InvalidValue
        Unknown names, neurons or lanes that do not go together, or a network that does not fit.
    """
    if memories not in MEMORIES:
        raise InvalidValue(f"memories is {memories!r}, must be one of {', '.join(MEMORIES)}")
    if memories != "loadable":
        if listed is not None or banks is not None:
            raise InvalidValue(
                f"--capacity and --banks need --memories loadable: {memories} holds just the one network"
            )
        return None
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


def external_for(
    network: FixedPointNetwork,
    *,
    lanes: int,
    memories: str = "rom",
    weight_cache: int | None = None,
    memory_bits: int | None = None,
) -> ExternalWeights | None:
    """Port and cache of a core whose weights are external; None for others.

    Parameters
    ----------
    weight_cache, memory_bits : int, optional
        Words of the cache and bits of the port; ``ExternalWeights.of`` chooses what is None.

    Raises
    ------
    InvalidValue
        Either of them for other memories, out of range, or too small for the network.
    """
    if memories != "external":
        if weight_cache is not None or memory_bits is not None:
            raise InvalidValue(f"--weight-cache and --memory-bits need --memories external, not {memories}")
        return None
    check_lanes(lanes)
    external = ExternalWeights.of(network, lanes=lanes, cache_words=weight_cache, data_bits=memory_bits)
    TiledProgram(network, lanes, external=external)  # whether the cache is large enough
    return external
