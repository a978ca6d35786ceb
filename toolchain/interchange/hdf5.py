"""The contents of a NIR file, read by a process of its own: a damaged HDF5 file can crash or hang the HDF5 library."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from toolchain import tools
from toolchain.errors import NetworkFileError

__all__ = ["MAX_ARRAY_BYTES", "MAX_FILE_BYTES", "MIN_SECONDS", "read_contents"]

MAX_FILE_BYTES = 1 << 30
MAX_ARRAY_BYTES = 1 << 30
"""All arrays of a file together, once unpacked, eight bytes a number."""
MIN_SECONDS, BYTES_A_SECOND = 15, 4 << 20
"""A file may take a second for each 4 MiB, and no less than 15."""
_MAX_MEMORY = MAX_ARRAY_BYTES + (3 << 30)
"""Address space of the reading process, its libraries included."""
_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # no filters from plug-ins, which are code
    "HDF5_USE_FILE_LOCKING": "FALSE",  # read-only folders
    "OPENBLAS_NUM_THREADS": "1",
}


def _revived(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The tree with arrays in the place of their keys; a leaf is a list, its kind first."""
    if isinstance(tree, dict):
        return {name: _revived(child, arrays) for name, child in tree.items()}
    kind, *content = tree
    return None if kind == "none" else arrays[content[0]] if kind == "array" else content[0]


def read_contents(path: Path) -> dict[str, Any]:
    """Groups as mappings, data sets as arrays or texts; edges as pairs of texts.

    At most ``MAX_FILE_BYTES`` of file and ``MAX_ARRAY_BYTES`` of arrays, within ``MIN_SECONDS``, or more if the file is large.

    Raises
    ------
    NetworkFileError
        The file cannot be read, is no HDF5 file, damaged, too large, or holds links to other files.
    """
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise NetworkFileError(f"cannot read NIR file {path}: {error.strerror}") from error
    if size > MAX_FILE_BYTES:
        raise NetworkFileError(f"{path} has {size >> 20} MiB, the limit is {MAX_FILE_BYTES >> 20} MiB")
    child = Path(__file__).with_name("hdf5_child.py")
    with tempfile.TemporaryDirectory(prefix="spikeloom-nir-") as folder:
        seconds = max(MIN_SECONDS, size // BYTES_A_SECOND)
        limits = (MAX_ARRAY_BYTES, _MAX_MEMORY, seconds)
        code = tools.run_limited(
            [sys.executable, "-P", child, path, folder, *map(str, limits)],
            seconds=seconds,
            environment=_ENVIRONMENT,
        )
        refused = Path(folder) / "refused"
        if code == 3 and refused.exists():
            raise NetworkFileError(f"{path} {refused.read_text()}; export the graph again with nir.write")
        if code != 0:
            what = "takes too long to read" if code is None else "is damaged: the HDF5 library crashes on it"
            raise NetworkFileError(f"{path} {what}; export the graph again with nir.write")
        with np.load(Path(folder) / "arrays.npz", allow_pickle=False) as arrays:
            tree: dict[str, Any] = _revived(json.loads((Path(folder) / "tree.json").read_text()), dict(arrays))
    return tree
