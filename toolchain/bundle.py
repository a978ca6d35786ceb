"""The generated hardware on disk: which files there are and what they belong to."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import NetworkFileError

__all__ = ["BENCH_FILES", "CORE", "MODELS_FILE", "PORTS_FILE", "RtlBundle", "TESTBENCH", "load_bundle"]

CORE = "spikeloom_core"
"""Name of the Verilog module."""
TESTBENCH = "spikeloom_tb"
"""Name of the test bench module around it."""
PORTS_FILE = "ports.json"
MODELS_FILE = "cells.v"
"""What the cells of a netlist do."""
BENCH_FILES = ("test_core.py", "run.py", "vectors.json")
"""The test bench that ``toolchain.testbench`` adds, good for one network only."""
_SCHEMA = 1


@dataclass(frozen=True)
class RtlBundle:
    """A folder written by ``toolchain.emit``, or by ``toolchain.synth`` with a netlist in place of the RTL.

    Members
    -------
    lanes : int
    fingerprint : str
        Of the network inside; also in the Verilog header.
    spike_words : tuple of int
        Neuron words of each firing layer, as seen on the ``spike_*`` ports.
    netlist : str
        Device whose cells the Verilog is made of; empty for RTL.
    """

    folder: Path
    lanes: int
    fingerprint: str
    spike_words: tuple[int, ...]
    netlist: str = ""

    @property
    def verilog(self) -> Path:
        """The core."""
        return self.folder / f"{CORE}.v"

    @property
    def sources(self) -> tuple[Path, ...]:
        """All Verilog that a simulator compiles: the core, what its cells do if it is a netlist, the test bench."""
        models = (self.folder / MODELS_FILE,) if self.netlist else ()
        return (self.verilog, *models, self.testbench)

    @property
    def testbench(self) -> Path:
        """Test bench module that writes every spike word to a file."""
        return self.folder / f"{TESTBENCH}.v"

    @property
    def network(self) -> Path:
        """The network the core was generated from."""
        return self.folder / "network.safetensors"

    def describe(self) -> dict[str, Any]:
        """The bundle's part of the port map."""
        return {
            "schema": _SCHEMA,
            "module": CORE,
            "lanes": self.lanes,
            "fingerprint": self.fingerprint,
            "spike_words": list(self.spike_words),
            **({"netlist": self.netlist} if self.netlist else {}),
        }


def load_bundle(folder: Path) -> RtlBundle:
    """Read back a folder written by ``toolchain.emit``.

    Raises
    ------
    NetworkFileError
        The folder holds no bundle, or one of another schema.
    """
    path = folder / PORTS_FILE
    try:
        ports = json.loads(path.read_text())
        if ports["schema"] != _SCHEMA:
            raise NetworkFileError(f"{path} has schema {ports['schema']}, this version reads {_SCHEMA}")
        bundle = RtlBundle(
            folder, ports["lanes"], ports["fingerprint"], tuple(ports["spike_words"]), ports.get("netlist", "")
        )
        if not isinstance(bundle.lanes, int) or not all(
            isinstance(t, str) for t in (bundle.fingerprint, bundle.netlist)
        ):
            raise TypeError("lanes must be a number, fingerprint and netlist texts")
        return bundle
    except OSError as error:
        raise NetworkFileError(
            f"cannot read {path}: {error.strerror}; make the folder with spikeloom generate"
        ) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise NetworkFileError(f"{path} is no port map; make the folder with spikeloom generate") from error
