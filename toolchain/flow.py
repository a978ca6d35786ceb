"""Whole jobs over several tools, as the command line and other programs call them; nothing is printed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdl.capacity import Capacity
from hdl.program import check_lanes
from hdl.tiles import ExternalWeights, TiledProgram
from sim import floating, golden, runner
from sim.result import VerificationResult
from toolchain import datasets, zoo
from toolchain.balance import Split, balance, check_cores, named_cuts, split_at
from toolchain.bandwidth import LATENCY, Waiting, waiting
from toolchain.bundle import PORTS_FILE, RtlBundle, load_bundle
from toolchain.capacities import listed_capacity
from toolchain.convert import convert
from toolchain.cycles import cycles
from toolchain.datasets import Dataset
from toolchain.density import source_macs
from toolchain.diagnose import Deployment, Diagnosed
from toolchain.emit import emit
from toolchain.encoding import check_frames
from toolchain.energy import (
    EnergyReport,
    Profile,
    energy_content,
    energy_table,
    estimate,
    load_profile,
    observe,
)
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.netfile import load_fixed_point, replacing, save_network
from toolchain.quantize import error_table, quantize
from toolchain.report import Evidence, checked
from toolchain.reporting import examples, write_report
from toolchain.synth import Device, GateLevel, synthesize_netlist
from toolchain.testbench import write_testbench
from toolchain.tools import find_simulator
from toolchain.trace import Activity
from toolchain.train import accuracy, calibration, load_source

__all__ = [
    "DEMO_TIME_STEPS",
    "ENERGY_TIME_STEPS",
    "MEMORIES",
    "TABLE_IMAGES",
    "Demo",
    "Progress",
    "bundle_for",
    "capacity_for",
    "energy_sweep",
    "external_for",
    "fixed_accuracy",
    "fixed_energy",
    "generate",
    "netlist_for",
    "network_of",
    "random_frames",
    "shared_out",
    "waits",
    "write_diagnosis",
    "write_energy",
    "write_json",
    "write_table",
]

Progress = Callable[[int], None]
"""Called with the number of images finished since the last call."""

DEFAULT_LANES = 16
MEMORIES = ("rom", "loadable", "external")
"""Whether the hardware holds its network, gets it in a packet, or reads its weights from an external memory."""
DEMO_TIME_STEPS = 4
ENERGY_TIME_STEPS = (1, 2, 4, 8, 16)
DEMO_PROFILES = ("45nm-int", "45nm-fp32-legacy")
TABLE_IMAGES = 500
"""Images of the demo's error table."""
_BATCH = 500
_BATCH_STEPS = 2000
"""Images times T at once, where spike trains are kept."""
_SOURCE_ACCURACY = ("accuracy_source", "accuracy_images", "calibration_data")


def _silent(_: int) -> None:
    return None


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON in one step, making the folder if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"cannot make folder {path.parent}: {error.strerror}; choose another") from error
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write CSV in one step, a column for each key."""
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def random_frames(network: FixedPointNetwork, images: int, seed: int) -> np.ndarray:
    """Frames of any shape, half of the pixels 0, uint8 ``[N, C, H, W]``: enough to compare hardware with integers.

    For input ``spikes`` int8 ``[N, T, C, H, W]``, a spike in one step of five, a third of them negative if they may be.
    """
    if not 1 <= images <= 100_000:
        raise InvalidValue(f"images is {images}, must be 1 to 100000")
    rng = np.random.default_rng(seed)
    if network.input == "spikes":
        drawn = rng.random((images, *network.frame_shape))
        below = 1 / 15 if network.signed_spikes else 0.0
        return np.where(drawn < 0.2, np.where(drawn < below, -1, 1), 0).astype(np.int8)
    frames = rng.integers(0, 256, (images, *network.input_shape))
    return np.where(rng.random(frames.shape) < 0.5, 0, frames).astype(np.uint8)


def fixed_accuracy(network: FixedPointNetwork, dataset: Dataset, progress: Progress = _silent) -> float:
    """Share of right predictions of the golden model, in per cent."""
    dataset = dataset.at(network.time_steps)
    predictions = golden.run(network, dataset.frames, progress=progress).predictions
    return float((predictions == dataset.labels).mean()) * 100


def shared_out(
    network: FixedPointNetwork, frames: np.ndarray, *, lanes: int, cores: int = 1, cut: Sequence[str] = ()
) -> Split | None:
    """Where to cut the network for a chain of ``cores``, by the cycles of ``frames``; ``None`` for a single core.

    ``cut`` names the first layer of each core but the first instead.

    Raises
    ------
    InvalidValue
        Cores or cuts that the network does not have, or that contradict each other.
    """
    check_lanes(lanes)
    if cut:
        if cores not in (1, len(cut) + 1):
            raise InvalidValue(f"cores is {cores}, but {len(cut)} cuts make {len(cut) + 1}; leave out --cores")
        return split_at(network, frames, lanes=lanes, cuts=named_cuts(network, cut))
    check_cores(network, cores)
    return None if cores == 1 else balance(network, frames, lanes=lanes, cores=cores)


def capacity_for(
    network: FixedPointNetwork,
    *,
    lanes: int,
    memories: str = "rom",
    listed: str | None = None,
    banks: int | None = None,
) -> Capacity | None:
    """Room of the core to generate for a network; None for one whose memories hold just this network.

    Parameters
    ----------
    memories : str
        ``rom``, ``loadable`` or ``external``.
    listed : str, optional
        What there must be room for, comma-separated: network files, capacities (JSON), and names of devices, whose
        room gets the network's neuron. The network itself, if nothing is listed.

    Raises
    ------
    InvalidValue
        Unknown names, neurons or lanes that do not go together, or a network that does not fit.
    """
    if memories not in MEMORIES:
        raise InvalidValue(f"memories is {memories!r}, must be one of {', '.join(MEMORIES)}")
    if memories != "loadable":
        if listed is not None or banks is not None:
            raise InvalidValue(
                f"--capacity and --banks need --memories loadable: {memories} holds just the one network"
            )
        return None
    return listed_capacity(network, lanes=lanes, listed=listed, banks=banks)


def external_for(
    network: FixedPointNetwork,
    *,
    lanes: int,
    memories: str = "rom",
    weight_cache: int | None = None,
    memory_bits: int | None = None,
) -> ExternalWeights | None:
    """Port and cache of a core whose weights are external; None for others.

    Parameters
    ----------
    weight_cache, memory_bits : int, optional
        Words of the cache and bits of the port; ``ExternalWeights.of`` chooses what is None.

    Raises
    ------
    InvalidValue
        Either of them for other memories, out of range, or too small for the network.
    """
    if memories != "external":
        if weight_cache is not None or memory_bits is not None:
            raise InvalidValue(f"--weight-cache and --memory-bits need --memories external, not {memories}")
        return None
    check_lanes(lanes)
    external = ExternalWeights.of(network, lanes=lanes, cache_words=weight_cache, data_bits=memory_bits)
    TiledProgram(network, lanes, external=external)  # whether the cache is large enough
    return external


def waits(
    bundle: RtlBundle, network: FixedPointNetwork, frames: np.ndarray, *, latency: int = LATENCY
) -> Waiting | None:
    """How long the layers wait for weights on ``frames``, estimated; None for a core that holds its weights."""
    if bundle.external is None:
        return None
    program = TiledProgram(network, bundle.lanes, external=ExternalWeights(**bundle.external))
    return waiting(program, frames, golden.run(network, frames, "spikes"), latency=latency)


def generate(
    network: FixedPointNetwork,
    folder: Path,
    *,
    lanes: int,
    frames: np.ndarray,
    cuts: Sequence[int] = (),
    capacity: Capacity | None = None,
    external: ExternalWeights | None = None,
) -> RtlBundle:
    """Hardware, and a test bench beside it that sends ``frames`` (uint8 ``[N, C, H, W]``).

    With ``cuts`` a chain of cores, with a capacity one into which the network is loaded, with ``external`` one whose weights
    come from external memory; its port map then says how long layers wait for them.
    """
    check_frames(frames, network)  # before anything is written
    bundle = emit(network, folder, lanes=lanes, cuts=cuts, capacity=capacity, external=external)
    write_testbench(bundle, network, frames)
    found = waits(bundle, network, frames)
    if found is not None:
        path = folder / PORTS_FILE
        ports = json.loads(path.read_text())
        write_json({**ports, "external_memory": {**ports["external_memory"], "waiting": found.describe()}}, path)
    return bundle


def network_of(path: Path) -> FixedPointNetwork:
    """The integers that ``verify`` is about: of a network file, or of a folder of ``spikeloom generate``."""
    return load_fixed_point(load_bundle(path).network if path.is_dir() else path)


def bundle_for(
    network: Path,
    *,
    lanes: int | None = None,
    folder: Path | None = None,
    cuts: Sequence[int] = (),
    memories: str | None = None,
    listed: str | None = None,
    banks: int | None = None,
    weight_cache: int | None = None,
    memory_bits: int | None = None,
) -> tuple[RtlBundle, FixedPointNetwork]:
    """The hardware to verify: a folder of ``spikeloom generate``, or a network file generated on the way.

    Raises
    ------
    InvalidValue
        ``lanes`` or ``memories`` other than those of the folder, or as ``capacity_for`` and ``external_for``.
    """
    if network.is_dir():
        bundle = load_bundle(network)
        if memories not in (None, bundle.memories) or any(
            option is not None for option in (listed, banks, weight_cache, memory_bits)
        ):
            raise InvalidValue(
                f"{network} has memories {bundle.memories} already; generate it again or leave out --memories, --capacity, "
                "--banks, --weight-cache and --memory-bits"
            )
        if lanes not in (None, bundle.lanes):
            raise InvalidValue(f"{network} has {bundle.lanes} lanes, not {lanes}; generate it again or leave out -P")
        return bundle, load_fixed_point(bundle.network)
    fixed = load_fixed_point(network)
    lanes = DEFAULT_LANES if lanes is None else lanes
    capacity = capacity_for(fixed, lanes=lanes, memories=memories or "rom", listed=listed, banks=banks)
    external = external_for(
        fixed, lanes=lanes, memories=memories or "rom", weight_cache=weight_cache, memory_bits=memory_bits
    )
    kind = "".join(f"-{cut}" for cut in cuts) + ("" if memories in (None, "rom") else f"-{memories}")
    target = folder or Path("build") / f"verify-{fixed.fingerprint[:12]}-{lanes}{kind}"
    return emit(fixed, target, lanes=lanes, cuts=cuts, capacity=capacity, external=external), fixed


def netlist_for(bundle: RtlBundle, device: Device, *, progress: Callable[[str], None] | None = None) -> GateLevel:
    """The netlist of ``bundle`` for a device, in the folder ``netlist-DEVICE`` beside its Verilog."""
    return synthesize_netlist(bundle, device, bundle.folder / f"netlist-{device.name}", progress=progress)


def energy_sweep(
    network: SpikingNetwork,
    dataset: Dataset,
    *,
    profiles: Sequence[Profile],
    time_steps: Sequence[int] = ENERGY_TIME_STEPS,
    weight_bits: int = 8,
    clipping: str = "max",
    pow2: bool = False,
    lanes: int | None = DEFAULT_LANES,
    progress: Progress = _silent,
    **options: Any,
) -> list[EnergyReport]:
    """Quantize for each T, run the golden model on the whole data set, charge every profile.

    Memory is bounded: images go in batches, and only counts for each layer stay. ``progress`` counts images over all T;
    ``options`` are those of ``toolchain.energy.estimate``.
    """
    reports: list[EnergyReport] = []
    for steps in time_steps:
        fixed = quantize(network.with_time_steps(steps), weight_bits, clipping=clipping, pow2=pow2)
        reports += fixed_energy(fixed, dataset, profiles=profiles, lanes=lanes, progress=progress, **options)
    return reports


def fixed_energy(
    network: FixedPointNetwork,
    dataset: Dataset,
    *,
    profiles: Sequence[Profile],
    lanes: int | None = DEFAULT_LANES,
    progress: Progress = _silent,
    **options: Any,
) -> list[EnergyReport]:
    """Reports of one fixed-point network at its own T, one for each profile.

    Static and clock energy and latency are those of a core of ``lanes`` lanes, whose cycles are counted exactly; unless
    ``options`` give ``cycles``, or ``lanes`` is ``None``.
    """
    dataset = dataset.at(network.time_steps)
    if options.get("cycles") is not None:
        lanes = None
    if lanes is not None:
        check_lanes(lanes)
    parts: list[Activity] = []
    spent: list[np.ndarray] = []
    right = 0
    batch = max(1, min(_BATCH, _BATCH_STEPS // network.time_steps))
    for start in range(0, len(dataset.frames), batch):
        frames = dataset.frames[start : start + batch]
        trace = golden.run(network, frames, "counts" if lanes is None else "spikes", progress=progress)
        right += int((trace.predictions == dataset.labels[start : start + batch]).sum())
        parts.append(observe(network, frames, trace))
        if lanes is not None:
            found = cycles(network, frames, trace, lanes)
            spent.append(np.column_stack([found.layers, found.latency - found.layers.sum(axis=1)]))
    percent = 100 * right / len(dataset.frames)
    activity = Activity.joined(parts)
    if lanes is not None:
        options = {**options, "cycles": np.concatenate(spent), "lanes": lanes}
    return [estimate(network, activity, profile=profile, accuracy=percent, **options) for profile in profiles]


def write_energy(
    reports: Sequence[EnergyReport],
    dataset: Dataset,
    csv: Path | None,
    js: Path | None,
    *,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The reports as JSON values, and as CSV and JSON files where asked for; the CSV is of the first profile.

    ``provenance`` of the network: what it says of its source's accuracy goes along.
    """
    content = {
        **energy_content(reports),
        "dataset": dataset.name,
        "images": len(dataset.frames),
        "source": {name: provenance[name] for name in _SOURCE_ACCURACY if name in provenance},
    }
    if csv is not None:
        table = energy_table([report for report in reports if report.profile.name == reports[0].profile.name])
        with replacing(csv) as temporary:
            table.to_csv(temporary, index=False)
    if js is not None:
        write_json(content, js)
    return content


def write_diagnosis(
    found: Diagnosed, deployment: Deployment, dataset: Dataset, csv: Path | None, picture: Path | None
) -> dict[str, Any]:
    """The account as JSON values, and its table as CSV and as picture where asked for."""
    diagnosis, network = found.diagnosis, deployment.network
    table = diagnosis.table()
    if csv is not None:
        with replacing(csv) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    if picture is not None:
        from toolchain.diagnose.picture import draw  # matplotlib is heavy

        last, value = "integers", diagnosis.accuracy_integers
        if value is None:
            last, value = "spiking network", diagnosis.accuracy_spiking
        bits = "" if diagnosis.accuracy_integers is None else f", {deployment.weight_bits}-bit weights"
        draw(
            diagnosis,
            picture,
            f"{network.name}: {deployment.method or 'made by hand'}, {network.schedule}, T = {network.time_steps}{bits}\n"
            f"source {diagnosis.accuracy_source:.2f} %, {last} {value:.2f} % on {diagnosis.images:,} images of {dataset.name}",
        )
    return {
        "schema": 1,
        "status": "simulated",
        "dataset": dataset.name,
        "images": diagnosis.images,
        "fingerprint": network.fingerprint,
        "weight_bits": deployment.weight_bits,
        "clipping": deployment.clipping,
        "pow2": deployment.pow2,
        "accuracy_source": diagnosis.accuracy_source,
        "accuracy_spiking": diagnosis.accuracy_spiking,
        "accuracy_integers": diagnosis.accuracy_integers,
        "layers": json.loads(table.to_json(orient="records")),
        "worst": diagnosis.layers[diagnosis.worst].layer,
        "cause": diagnosis.layers[diagnosis.worst].cause,
        "advice": found.remedy.advice,
        "tried": found.remedy.tried,
        "accuracy_tried": found.accuracy_tried,
    }


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

    def quantize(self, progress: Progress = _silent) -> tuple[float, pd.DataFrame]:
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

    def verify(self, progress: Progress = _silent) -> VerificationResult:
        """Hardware against golden model on the first images."""
        frames = self.dataset.take(self.images).frames
        self.verification = runner.verify(self.bundle, self.fixed, frames, simulator=self.simulator, progress=progress)
        return self.verification

    def energy(self, progress: Progress = _silent) -> list[EnergyReport]:
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
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidValue(f"cannot make folder {self.folder}: {error.strerror}; choose another") from error
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
