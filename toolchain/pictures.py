"""What all pictures share: formats, look, and files that are the same bytes for the same picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from toolchain.errors import InvalidValue
from toolchain.netfile import replacing

__all__ = ["FORMATS", "check_format", "save", "styled"]

FORMATS = (".svg", ".png", ".pdf")
_STYLE: Any = {
    "svg.hashsalt": "spikeloom",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_UNDATED = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}


def check_format(path: Path) -> None:
    """Refuse a file whose ending is none of ``FORMATS``."""
    if path.suffix not in FORMATS:
        raise InvalidValue(f"picture {path} ends in {path.suffix or 'nothing'!r}, must end in {', '.join(FORMATS)}")


@contextmanager
def styled(own: Any) -> Iterator[None]:
    """Draw and save in the look of all pictures, with what one has of its ``own``: settings of matplotlib by name."""
    with matplotlib.rc_context({**_STYLE, **own}):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a picture, inside of ``styled``, in one step, by the ending of ``path`` (``FORMATS``); no date stands in it.

    Raises
    ------
    InvalidValue
        A file that cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_UNDATED[path.suffix])
