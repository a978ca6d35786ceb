"""What ``spikeloom verify --json`` says of the hardware, read as data that may be anything."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from toolchain.errors import InvalidValue

__all__ = ["checked", "read_verification"]

_COUNTS = ("images", "spikes_compared", "spike_mismatches", "score_mismatches", "lanes")
_TEXTS = ("simulator", "simulator_version", "fingerprint")
_FLAGS = ("counters_match", "passed")
_FIGURES = ("cycles_per_image", "lane_utilization", "stall")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18


_MEMBERS = {
    **dict.fromkeys(_COUNTS, (_is_count, "a whole number from 0 on")),
    **dict.fromkeys(_TEXTS, (lambda value: isinstance(value, str) and value, "a text")),
    **dict.fromkeys(_FLAGS, (lambda value: isinstance(value, bool), "true or false")),
    **dict.fromkeys(_FIGURES, (_is_figure, "a number from 0 on")),
}


def checked(content: Any, where: str, fingerprints: Collection[str]) -> dict[str, Any]:
    """The members that a page shows, from a verification of a network of one of ``fingerprints``.

    Raises
    ------
    InvalidValue
        No such verification, one that contradicts itself, or one of another network.
    """
    way = "give what spikeloom verify --json prints"
    if not isinstance(content, dict):
        raise InvalidValue(f"verification {where} holds no JSON object; {way}")
    for name, (holds, what) in _MEMBERS.items():
        if name not in content:
            raise InvalidValue(f"verification {where}: {name} is missing; {way}")
        if not holds(content[name]):
            raise InvalidValue(f"verification {where}: {name} is {content[name]!r:.60}, must be {what}")
    agrees = not content["spike_mismatches"] and not content["score_mismatches"] and content["counters_match"]
    if content["passed"] and not agrees:
        raise InvalidValue(f"verification {where} says passed and counts differences; {way}, unedited")
    if content["images"] == 0:
        raise InvalidValue(f"verification {where} is of no image; {way}")
    if content["fingerprint"] not in fingerprints:
        raise InvalidValue(
            f"verification {where} is of network {content['fingerprint'][:16]}, the page is about "
            f"{', '.join(fingerprint[:16] for fingerprint in fingerprints)}; verify that one"
        )
    return {name: content[name] for name in _MEMBERS}


def read_verification(path: Path, fingerprints: Collection[str]) -> dict[str, Any]:
    """``checked``, of a file.

    Raises
    ------
    InvalidValue
        As there, or a file that cannot be read.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InvalidValue(f"cannot read verification {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"verification {path} is not JSON; give what spikeloom verify --json prints") from error
    return checked(content, str(path), fingerprints)
