"""AEDAT4 files of iniVation's cameras, decoded by a process of its own: a damaged file can crash the decoder."""

import importlib.util
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from toolchain import tools
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.events.npy import CHUNK, Columns

__all__ = ["MAX_AEDAT_EVENTS", "aedat_columns", "aedat_sensor"]

MAX_AEDAT_EVENTS = 1 << 28
MIN_SECONDS, BYTES_A_SECOND = 20, 1 << 20
"""A file may take a second of processor time for each MiB, and no less than 20."""
_PATIENCE = 4
"""Times that by the clock, on a machine that has other work."""
_MAX_MEMORY = 3 << 30
"""Address space of the decoding process, its libraries included."""
_EVENT = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")])
"""What the process writes, packed; ``aedat_child.py`` says the same."""


@contextmanager
def _decoded(path: Path, max_events: int) -> Iterator[Path]:
    """A folder with ``sensor.json`` and, unless ``max_events`` is 0, ``events.bin``."""
    if importlib.util.find_spec("aedat") is None:
        raise ToolMissing(f"{path} needs a decoder of AEDAT4: pip install 'spikeloom[events]'")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from error
    child = Path(__file__).with_name("aedat_child.py")
    with tempfile.TemporaryDirectory(prefix="spikeloom-aedat-") as folder:
        seconds = max(MIN_SECONDS, size // BYTES_A_SECOND)
        code = tools.run_limited(
            [sys.executable, "-P", child, path, folder, *map(str, (max_events, _MAX_MEMORY, seconds))],
            seconds=_PATIENCE * seconds,
            environment={"OPENBLAS_NUM_THREADS": "1", "RUST_BACKTRACE": "0"},
        )
        refused = Path(folder) / "refused"
        if code == 3 and refused.exists():
            raise InvalidValue(f"{path} {refused.read_text()}")
        if code != 0:
            late = code is None or code == -signal.SIGXCPU
            raise InvalidValue(
                f"{path} {'takes too long to decode' if late else 'is damaged: the AEDAT4 decoder crashes on it'}"
            )
        yield Path(folder)


def aedat_sensor(path: Path) -> tuple[int, int]:
    """Width and height that an AEDAT4 file says of its only stream of events.

    Raises
    ------
    InvalidValue
        Not a whole AEDAT4 file, or one with no or several streams of events.
    ToolMissing
        The decoder is not installed.
    """
    with _decoded(path, 0) as folder:
        width, height = json.loads((folder / "sensor.json").read_text())
    return int(width), int(height)


def aedat_columns(path: Path) -> Iterator[Columns]:
    """Events of an AEDAT4 file, at most ``MAX_AEDAT_EVENTS``; frames and other streams are skipped.

    They lie in a temporary file meanwhile, 13 bytes each.

    Source: iniVation, "AEDAT 4.0 file format"; decoded by Marcireau's ``aedat``.
    """
    with _decoded(path, MAX_AEDAT_EVENTS) as folder, (folder / "events.bin").open("rb") as file:
        while raw := file.read(CHUNK * _EVENT.itemsize):
            events = np.frombuffer(raw, _EVENT)
            yield {"t": events["t"], "x": events["x"], "y": events["y"], "p": events["on"]}
