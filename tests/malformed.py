"""Packets that a core must refuse, each with the error it must name."""

import zlib

import numpy as np

from hdl.capacity import DIMENSIONS, FORMAT, HEADER, Capacity
from hdl.host import ErrorCode
from toolchain.ir import FixedPointNetwork
from toolchain.loading import load_packet, sealed

__all__ = ["malformed", "malformed_loads"]


def malformed(good: list[int]) -> list[tuple[list[int], ErrorCode]]:
    """Wrong packets made of a good packet of pixels or spikes."""
    return [
        ([0x03 << 24 | good[0] & 0xFFFFFF, *good[1:]], ErrorCode.TYPE),
        ([good[0] + 1, *good[1:]], ErrorCode.SIZE),
        (good[:-1], ErrorCode.SHORT),
        ([good[0]], ErrorCode.SHORT),
        ([*good, 7, 7], ErrorCode.LONG),
    ]


def malformed_loads(network: FixedPointNetwork, capacity: Capacity) -> dict[str, tuple[list[int], int]]:
    """Wrong packets made of the one that loads ``network``, each with the code that the core must answer."""
    good = load_packet(network, capacity).tolist()
    after_header = 1 + len(HEADER)

    def changed(place: int, value: int) -> list[int]:
        """With another word, and the checksum of that."""
        words = list(good[1:-1])
        words[place - 1] = value
        return sealed(words).tolist()

    wrong_number = [good[0] + 1, *good[1:-1]]
    cuts = {
        "first word": 1,
        "header": 9,
        "header's end": after_header,
        "entries": after_header + 2,
        "checksum": len(good) - 1,
    }
    found = {
        **{f"cut behind {where}": (good[:length], ErrorCode.SHORT) for where, length in cuts.items()},
        "too long by a word": ([*good, 7], ErrorCode.LONG),
        "too long by many": ([*good, *good], ErrorCode.LONG),
        "wrong checksum": ([*good[:-1], good[-1] ^ 1], ErrorCode.CHECKSUM),
        "wrong bit in the weights": ([*good[:-2], good[-2] ^ 1, good[-1]], ErrorCode.CHECKSUM),
        "wrong bit in the program": (
            [*good[:after_header], good[after_header] ^ 4, *good[after_header + 1 :]], ErrorCode.CHECKSUM
        ),
        "wrong network id": ([*good[:4], good[4] ^ 1, *good[5:]], ErrorCode.CHECKSUM),
        "wrong number of words": (
            [*wrong_number, zlib.crc32(np.array(wrong_number, "<u4").tobytes())], ErrorCode.SIZE
        ),
        "version": (changed(1, FORMAT + 1), ErrorCode.VERSION),
        "schedule that is none": (changed(2, good[2] | 15 << 8), ErrorCode.FEATURES),
        "input that is none": (changed(2, good[2] | 15 << 20), ErrorCode.FEATURES),
        "another neuron": (changed(2, good[2] ^ 1 << 12), ErrorCode.FEATURES),
        "other lanes": (changed(2, good[2] + 1), ErrorCode.FEATURES),
        "packed for another core": (changed(3, good[3] ^ 1), ErrorCode.FEATURES),
    }  # fmt: skip
    for number, name in enumerate(DIMENSIONS):
        place = 1 + HEADER.index(name)
        found[f"{name} over capacity"] = changed(place, getattr(capacity, name) + 1), ErrorCode.CAPACITY | number << 8
        found[f"{name} far over capacity"] = changed(place, good[place] | 1 << 31), ErrorCode.CAPACITY | number << 8
        optional = {"window", "places", *(() if capacity.grouped else ("channels",))}
        if name not in optional | ({"pixels"} if network.input == "spikes" else set()):
            found[f"no {name}"] = changed(place, 0), ErrorCode.CAPACITY | number << 8
    leaks = {"order of no leaks": ("stream", 2), "leaks in two_phase": ("two_phase", 1)}
    leaks |= {} if capacity.leaks else {"leaks": ("stream", 1)}
    leaks |= {} if capacity.currents else {"currents that last": ("stream", 4)}
    for name, (schedule, code) in leaks.items():
        found[name] = changed(2, capacity.features(schedule, network.input, code)), ErrorCode.FEATURES
    if not capacity.takes_spikes:
        spikes = changed(2, capacity.features(network.schedule, "spikes"))
        found["frames of spikes"] = spikes, ErrorCode.FEATURES
    return found
