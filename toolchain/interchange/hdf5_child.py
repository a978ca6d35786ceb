"""Read one HDF5 file in a process of its own, within limits; started by ``toolchain.interchange.hdf5``.

``python hdf5_child.py FILE FOLDER MAX_BYTES MAX_MEMORY MAX_SECONDS``: writes the tree of groups to ``FOLDER/tree.json``,
its arrays to ``FOLDER/arrays.npz``; a refusal goes to ``FOLDER/refused`` as one line. Imports nothing of the project.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

__all__: list[str] = []

MAX_ITEMS = 200_000
"""Groups and data sets, texts in lists included."""
MAX_DEPTH = 24
"""Groups in groups; a NIR graph needs two for each level."""
MAX_TEXT = 16_000_000
"""Characters of all texts together."""


class Refused(Exception):
    """What the file holds is not read; one line."""


class Reader:
    """Walks a file and keeps account of what it has read."""

    def __init__(self, max_bytes: int):
        self.left = self.max_bytes = max_bytes
        self.items = self.characters = 0
        self.arrays: dict[str, Any] = {}

    def take(self, items: int, size: int, where: str) -> None:
        """Account for items and bytes before they are read."""
        self.items += items
        self.left -= size
        if self.items > MAX_ITEMS:
            raise Refused(f"holds more than {MAX_ITEMS} objects")
        if self.left < 0:
            raise Refused(f"holds more than {self.max_bytes >> 20} MiB of arrays, at {where}")

    def group(self, group: Any, where: str, depth: int) -> dict[str, Any]:
        """The tree below a group."""
        import h5py

        if depth > MAX_DEPTH:
            raise Refused(f"holds groups more than {MAX_DEPTH} deep")
        self.take(len(group), 0, where)
        tree: dict[str, Any] = {}
        for name in group:
            inside = f"{where}/{name[:80]}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"holds a link, {inside}; only groups and data sets are read")
            item = group[name]
            if isinstance(item, h5py.Group):
                tree[name] = self.group(item, inside, depth + 1)
            elif isinstance(item, h5py.Dataset):
                tree[name] = self.dataset(item, inside)
        return tree

    def dataset(self, item: Any, where: str) -> Any:
        """``["text", a text or nested lists of texts]``, ``["array", key]`` or ``["none"]``."""
        import h5py

        if item.is_virtual or item.external:
            raise Refused(f"holds data kept in another file, {where}; write it whole")
        if item.shape is None:
            return ["none"]
        count = 1
        for extent in item.shape:
            count *= int(extent)
        if h5py.check_string_dtype(item.dtype) is not None:
            self.take(count, 0, where)
            return ["text", self.texts(item.asstr(errors="replace")[()] if count else [])]
        if item.dtype.kind not in "biuf" or item.dtype.itemsize > 8:
            raise Refused(f"holds {item.dtype} at {where}; only numbers and texts are read")
        self.take(1, count * max(8, item.dtype.itemsize), where)
        key = str(len(self.arrays))
        self.arrays[key] = item[()]
        return ["array", key]

    def texts(self, value: Any) -> Any:
        """Nested lists of texts, together no longer than allowed."""
        if isinstance(value, str):
            self.characters += len(value)
            if self.characters > MAX_TEXT:
                raise Refused(f"holds more than {MAX_TEXT} characters of text")
            return value
        return [self.texts(one) for one in value]


def main(file: str, folder: str, max_bytes: str, max_memory: str, max_seconds: str) -> int:
    """Exit code 0, or 3 with a line in ``FOLDER/refused``."""
    resource.setrlimit(resource.RLIMIT_AS, (int(max_memory), int(max_memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(max_seconds), int(max_seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py
    import numpy as np

    reader = Reader(int(max_bytes))
    try:
        with h5py.File(file, "r") as content:
            tree = reader.group(content, "", 0)
        np.savez(Path(folder) / "arrays.npz", **reader.arrays)
        (Path(folder) / "tree.json").write_text(json.dumps(tree))
    except Refused as refusal:
        (Path(folder) / "refused").write_text(str(refusal))
        return 3
    except MemoryError:
        (Path(folder) / "refused").write_text("needs more memory than is allowed")
        return 3
    except Exception as error:  # whatever h5py makes of a damaged file
        reason = (str(error).splitlines() or [""])[0][:200]
        (Path(folder) / "refused").write_text(f"is no whole HDF5 file ({type(error).__name__}: {reason})")
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
