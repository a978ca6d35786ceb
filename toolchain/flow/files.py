"""What jobs write: JSON and tables, each in one step; and how they tell their progress."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from toolchain.netfile import make_folder, replacing

__all__ = ["Progress", "silent", "write_json", "write_table"]

Progress = Callable[[int], None]
"""Called with the number of images finished since the last call."""


def silent(_: int) -> None:
    """Tell nobody."""


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON in one step, making the folder if need be."""
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write CSV in one step, a column for each key."""
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
