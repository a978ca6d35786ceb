"""What hardware is asked for: lanes, where a chain is cut, whether memories are loaded or external."""

from collections.abc import Sequence

import numpy as np

from hdl.capacity import Capacity
from hdl.program import check_lanes
from hdl.tiles import ExternalWeights, TiledProgram
from toolchain.balance import Split, balance, check_cores, named_cuts, split_at
from toolchain.capacities import MEMORIES, listed_capacity
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork

__all__ = ["DEFAULT_LANES", "MEMORIES", "capacity_for", "external_for", "shared_out"]

DEFAULT_LANES = 16


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
    also: str | None = None,
) -> Capacity | None:
    """``listed_capacity`` where ``memories`` are ``loadable``; None where they hold just this network, which takes no list.

    Raises
    ------
    InvalidValue
        As ``listed_capacity``; other ``memories`` than in ``MEMORIES``; a list, banks or abilities without ``loadable``.
    """
    if memories not in MEMORIES:
        raise InvalidValue(f"memories is {memories!r}, must be one of {', '.join(MEMORIES)}")
    if memories != "loadable":
        if any(option is not None for option in (listed, banks, also)):
            raise InvalidValue(
                f"--capacity, --banks and --also need --memories loadable: {memories} holds just the one network"
            )
        return None
    return listed_capacity(network, lanes=lanes, listed=listed, banks=banks, also=also)


def external_for(
    network: FixedPointNetwork,
    *,
    lanes: int,
    memories: str = "rom",
    weight_cache: int | None = None,
    memory_bits: int | None = None,
    memory_timeout: int | None = None,
) -> ExternalWeights | None:
    """Port and cache of a core whose weights are external; None for others.

    Parameters
    ----------
    weight_cache, memory_bits, memory_timeout : int, optional
        Words of the cache, bits of the port, and clocks of silence that are waited for; ``ExternalWeights.of`` chooses what is None.

    Raises
    ------
    InvalidValue
        Any of them for other memories, out of range, or too small for the network.
    """
    if memories != "external":
        if any(option is not None for option in (weight_cache, memory_bits, memory_timeout)):
            raise InvalidValue(
                f"--weight-cache, --memory-bits and --memory-timeout need --memories external, not {memories}"
            )
        return None
    check_lanes(lanes)
    external = ExternalWeights.of(
        network, lanes=lanes, cache_words=weight_cache, data_bits=memory_bits, timeout=memory_timeout
    )
    TiledProgram(network, lanes, external=external)  # whether the cache is large enough
    return external
