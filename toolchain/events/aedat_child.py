"""Decode one AEDAT4 file in a process of its own, within limits; started by ``toolchain.events.aedat``.

``python aedat_child.py FILE FOLDER MAX_EVENTS MAX_MEMORY MAX_SECONDS``: writes width and height to ``FOLDER/sensor.json``,
the events, packed, to ``FOLDER/events.bin`` (none if MAX_EVENTS is 0); a refusal goes to ``FOLDER/refused`` as one line.
Imports nothing of the project.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

__all__: list[str] = []


class Refused(Exception):
    """What the file holds is not read; one line."""


def decode(file: str, folder: Path, max_events: int) -> None:
    """All events of the only stream of them."""
    import aedat
    import numpy as np

    decoder = aedat.Decoder(file)
    streams = {number: found for number, found in decoder.id_to_stream().items() if found["type"] == "events"}
    if len(streams) != 1:
        raise Refused(f"holds {len(streams)} streams of events, must be 1; export those of one camera")
    ((number, stream),) = streams.items()
    (folder / "sensor.json").write_text(json.dumps([stream["width"], stream["height"]]))
    if not max_events:
        return
    packed = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")])
    count = 0
    with (folder / "events.bin").open("wb") as out:
        for packet in decoder:
            if packet["stream_id"] != number or "events" not in packet:
                continue
            given = packet["events"]
            count += len(given)
            if count > max_events:
                raise Refused(f"holds more than {max_events} events, the limit; cut the recording")
            events = np.empty(len(given), packed)
            for name in ("t", "x", "y", "on"):
                events[name] = given[name]
            out.write(events.tobytes())


def main(file: str, folder: str, max_events: str, max_memory: str, max_seconds: str) -> int:
    """Exit code 0, or 3 with a line in ``FOLDER/refused``."""
    resource.setrlimit(resource.RLIMIT_AS, (int(max_memory), int(max_memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(max_seconds), int(max_seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def refuse(line: str) -> int:
        (Path(folder) / "refused").write_text(line)
        return 3

    try:
        decode(file, Path(folder), int(max_events))
    except Refused as refusal:
        return refuse(str(refusal))
    except MemoryError:
        return refuse("needs more memory to decode than is allowed")
    except BaseException as error:  # the decoder's panics are no Exception
        lines: list[Any] = str(error).splitlines()
        return refuse(
            f"is not a whole AEDAT4 file: {' '.join(str(lines[0] if lines else type(error).__name__).split())[:200]}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
