"""The main job on the bundled network and images, stage by stage."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from hdl.program import check_lanes
from sim import floating, runner
from sim.result import VerificationResult
from toolchain import datasets, zoo
from toolchain.bundle import RtlBundle
from toolchain.convert import convert
from toolchain.density import source_macs
from toolchain.energy import EnergyReport, load_profile
from toolchain.flow.accounts import energy_sweep, fixed_accuracy, write_energy
from toolchain.flow.cores import DEFAULT_LANES
from toolchain.flow.files import Progress, silent, write_json
from toolchain.flow.hardware import generate
from toolchain.netfile import make_folder, save_network
from toolchain.quantize import error_table, quantize
from toolchain.report import Evidence, checked
from toolchain.reporting import examples, write_report
from toolchain.tools import find_simulator
from toolchain.train import accuracy, calibration, load_source

__all__ = ["DEMO_TIME_STEPS", "TABLE_IMAGES", "Demo"]

DEMO_TIME_STEPS = 4
DEMO_PROFILES = ("45nm-int", "45nm-fp32-legacy")
TABLE_IMAGES = 500
"""Images of the demo's error table."""


def _energy_summary(report: EnergyReport) -> dict[str, Any]:
    """One T and profile in a row; ``e_snn_pj`` and ``e_ann_pj`` are energies of operations alone, against the dense network."""
    total, memory, name = report.total, report.memory, report.baseline
    dense = next(b for b in report.baselines if b.name == ("int8_dense" if report.profile.has_memory else "fp32_dense"))
    return {
        "time_steps": report.network.time_steps,
        "accuracy": report.accuracy,
        "sop": float(total.numbers["sop_executed"].mean()),
        "mac": total.synapses,
        "e_snn_pj": float(total.compute(memory.snn).mean()),
        "e_ann_pj": sum(c.synapses * dense.mac_energy(report.profile, i) for i, c in enumerate(report.layers)),
        "profile": report.profile.name,
        "dense": dense.name,
        "baseline": name,
        "e_snn_bounds_pj": list(total.snn_bounds),
        "e_ann_bounds_pj": None if name is None else list(total.ann_bounds(name)),
        "verdict": report.verdict,
    }


@dataclass
class Demo:
    """The main job on the bundled network and images, one method a stage, in this order.

    Stages keep their results here; ``summary`` is what ``summary.json`` holds.
    """

    folder: Path
    lanes: int = DEFAULT_LANES
    simulator: str = "verilator"
    images: int = 20

    def load(self) -> float:
        """Source network and images; returns the source's accuracy in per cent."""
        find_simulator(self.simulator)
        check_lanes(self.lanes)
        self.dataset = datasets.load("bundled")
        self.source = load_source(zoo.BUNDLED_WEIGHTS)
        self.source_accuracy = accuracy(self.source.module, self.dataset)
        return self.source_accuracy

    def convert(self) -> float:
        """Convert at T = L; returns the float spiking network's accuracy in per cent."""
        self.spiking = convert(
            self.source.module,
            calibration(self.dataset, 250),
            "qcfs",
            DEMO_TIME_STEPS,
            name=f"fashion-{self.source.provenance['architecture']}",
        ).with_provenance(
            accuracy_source=self.source_accuracy,
            accuracy_images=len(self.dataset.frames),
            calibration_data=self.dataset.name,
        )
        save_network(self.spiking, self._ready() / "spiking.safetensors")
        self.float_accuracy = floating.accuracy(self.spiking, self.dataset.frames, self.dataset.labels)
        return self.float_accuracy

    def quantize(self, progress: Progress = silent) -> tuple[float, pd.DataFrame]:
        """Integers; returns their accuracy in per cent and the error table on ``TABLE_IMAGES`` images."""
        self.fixed = quantize(self.spiking, 8)
        save_network(self.fixed, self._ready() / "network.safetensors")
        self.fixed_accuracy = fixed_accuracy(self.fixed, self.dataset)
        part = self.dataset.take(TABLE_IMAGES)
        return self.fixed_accuracy, error_table(self.spiking, part.frames, part.labels, 8, progress=progress)

    def generate(self) -> RtlBundle:
        """Verilog and a test bench beside it."""
        frames = self.dataset.take(2).frames
        self.bundle = generate(self.fixed, self._ready() / "rtl", lanes=self.lanes, frames=frames)
        return self.bundle

    def verify(self, progress: Progress = silent) -> VerificationResult:
        """Hardware against golden model on the first images."""
        frames = self.dataset.take(self.images).frames
        self.verification = runner.verify(self.bundle, self.fixed, frames, simulator=self.simulator, progress=progress)
        return self.verification

    def energy(self, progress: Progress = silent) -> list[EnergyReport]:
        """Operations and energy for each T, on all bundled images, with the source's own zeros in int8.

        ``progress`` counts every image twice for those, and once for each T.
        """
        self.reports = energy_sweep(
            self.spiking,
            self.dataset,
            profiles=[load_profile(name) for name in DEMO_PROFILES],
            progress=progress,
            source_macs=source_macs(self.source.module, self.spiking, self.dataset.frames, progress),
        )
        return self.reports

    def report(self) -> Path:
        """The page, with ``energy.json`` and ``energy.csv``."""
        folder = self._ready()
        content = write_energy(self.reports, self.dataset, None, None, provenance=self.spiking.provenance)
        images = len(self.dataset.frames)
        reached = {"accuracy": self.source_accuracy, "images": images, "data": self.dataset.name, "same_images": True}
        fingerprints = [report.network.fingerprint for report in self.reports]
        options = [] if self.lanes == DEFAULT_LANES else ["-P", str(self.lanes)]
        evidence = Evidence(
            provenance=self.spiking.provenance,
            source=reached,
            verification=checked(self.verification.summary(), "of this demo", fingerprints),
            rasters=examples(self.fixed, self.dataset),
            commands=[("All of it:", " ".join(["spikeloom demo", "--images", str(self.images), *options]))],
            steps=self.spiking.time_steps,
        )
        write_report(folder, self.reports, content, evidence)
        return folder / "report.html"

    def _ready(self) -> Path:
        make_folder(self.folder)
        return self.folder

    def summary(self) -> dict[str, Any]:
        """Contents of ``summary.json``, which is written here."""
        content = {
            "schema": 1,
            "network": {
                "name": self.fixed.name,
                "fingerprint": self.fixed.fingerprint,
                "time_steps": self.fixed.time_steps,
                "schedule": self.fixed.schedule,
                "weight_bits": self.fixed.weight_bits,
                "membrane_bits": self.fixed.membrane_bits,
                "weights": self.fixed.weights,
                "neurons": self.fixed.neurons,
            },
            "accuracy": {
                "images": len(self.dataset.frames),
                "source_fp32": self.source_accuracy,
                "snn_float": self.float_accuracy,
                "fixed_point": self.fixed_accuracy,
            },
            "made_from": {"source": "bundled", "data": self.dataset.name},
            "verification": self.verification.summary(),
            "energy": [_energy_summary(report) for report in self.reports],
            "artifacts": {
                "verilog": str(self.bundle.verilog),
                "network": str(self.folder / "network.safetensors"),
                "report": str(self.folder / "report.html"),
            },
            "tools": {name: version(name) for name in ("spikeloom", "amaranth", "cocotb", "torch")},
        }
        write_json(content, self.folder / "summary.json")
        return content
