"""The generated hardware on disk: which files there are and what they belong to."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolchain.errors import NetworkFileError

__all__ = [
    "BENCH_FILES",
    "CORE",
    "LOAD_FILE",
    "MODELS_FILE",
    "PORTS_FILE",
    "RtlBundle",
    "TESTBENCH",
    "WEIGHTS_FILE",
    "load_bundle",
]

CORE = "spikeloom_core"
"""Name of the Verilog module."""
TESTBENCH = "spikeloom_tb"
"""Name of the test bench module around it."""
PORTS_FILE = "ports.json"
LOAD_FILE = "network.load"
WEIGHTS_FILE = "weights.bin"
MODELS_FILE = "cells.v"
"""What the cells of a netlist do."""
BENCH_FILES = ("test_core.py", "run.py", "vectors.json", "main.cpp", "Makefile", "vectors.txt")
"""The test benches that ``toolchain.testbench`` adds, good for one network only."""
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
    cuts : tuple of int
        First layer of each core but the first, of a chain of cores; empty for a single core.
    capacity : dict or None
        Of a core whose memories are loaded, the members of ``hdl.capacity.Capacity``: the network inside is then only one of
        those that it runs. None: the network is in the hardware.
    external : dict or None
        Of a core whose weights come from external memory, the members of ``hdl.tiles.ExternalWeights``.
    netlist : str
        Device whose cells the Verilog is made of; empty for RTL.
    """

    folder: Path
    lanes: int
    fingerprint: str
    spike_words: tuple[int, ...]
    cuts: tuple[int, ...] = ()
    capacity: dict[str, Any] | None = None
    netlist: str = ""
    external: dict[str, int] | None = None

    @property
    def cores(self) -> int:
        """Cores in a row."""
        return len(self.cuts) + 1

    @property
    def memories(self) -> str:
        """``rom``, ``loadable`` or ``external``."""
        if self.external is not None:
            return "external"
        return "rom" if self.capacity is None else "loadable"

    @property
    def title(self) -> str:
        """What hardware this is, for a message."""
        if self.netlist:
            return f"a netlist for {self.netlist}"
        if self.cores > 1:
            return f"a chain of {self.cores} cores"
        return "a core" if self.capacity is None else "a core whose memories are loaded"

    @property
    def load(self) -> Path:
        """The packet that loads the network inside, as little-endian words; of a loadable core."""
        return self.folder / LOAD_FILE

    @property
    def weights(self) -> Path:
        """What the external memory holds, byte by byte from address 0; of a core with external weights."""
        return self.folder / WEIGHTS_FILE

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
            **({"cores": self.cores, "cuts": list(self.cuts)} if self.cuts else {}),
            **({} if self.capacity is None else {"capacity": self.capacity}),
            **({} if self.external is None else {"external": self.external}),
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
        cuts = tuple(ports.get("cuts", ()))
        bundle = RtlBundle(folder, ports["lanes"], ports["fingerprint"], tuple(ports["spike_words"]), cuts)
        bundle = replace(bundle, netlist=ports.get("netlist", ""))
        if not isinstance(bundle.lanes, int) or not all(
            isinstance(t, str) for t in (bundle.fingerprint, bundle.netlist)
        ):
            raise TypeError("lanes must be a number, fingerprint and netlist texts")
        if not all(isinstance(cut, int) for cut in cuts):
            raise TypeError("cuts must be numbers of layers")
        if ports.get("capacity") is not None:
            bundle = replace(bundle, capacity=dict(ports["capacity"]))
        if ports.get("external") is not None:
            members = {"timeout": 0, **ports["external"]}  # folders of before waited for ever
            names = ("cache_words", "data_bits", "timeout")
            bundle = replace(bundle, external={name: int(members[name]) for name in names})
        return bundle
    except OSError as error:
        raise NetworkFileError(
            f"cannot read {path}: {error.strerror}; make the folder with spikeloom generate"
        ) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise NetworkFileError(f"{path} is no port map; make the folder with spikeloom generate") from error
