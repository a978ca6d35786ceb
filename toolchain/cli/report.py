"""The verb ``report``: the page that a reader can send to a colleague."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.commands import as_given, conversion, training, written
from toolchain.cli.costs import (
    AnnMemory,
    BaselineName,
    Clock,
    Costs,
    Cycles,
    Events,
    OwnClipping,
    Profiles,
    RunImages,
    SnnMemory,
    Steps,
    Sweep,
    WeightBits,
    WeightsIn,
    ZerosOf,
)
from toolchain.cli.shared import AsJson, Data, DataFolder, Lanes, Pow2, Weights, app, print_json
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_energy

if TYPE_CHECKING:
    from toolchain.report import Evidence

__all__: list[str] = []

_SPIKING, _INTEGERS, _SUMMARY = "spiking.safetensors", "network.safetensors", "summary.json"


@dataclass(frozen=True)
class _Subject:
    """What NET names: the network's file, and what its folder says of data, source and verification."""

    network: Path
    summary: dict[str, Any]
    where: Path | None = None

    @staticmethod
    def of(path: Path) -> "_Subject":
        """A network file, or a folder of ``spikeloom demo``."""
        if not path.is_dir():
            return _Subject(path, {})
        network = next((path / name for name in (_SPIKING, _INTEGERS) if (path / name).is_file()), None)
        if network is None:
            raise InvalidValue(
                f"folder {path} holds neither {_SPIKING} nor {_INTEGERS}; name a network file, or a folder of spikeloom demo"
            )
        where = path / _SUMMARY
        if not where.is_file():
            return _Subject(network, {})
        try:
            summary = json.loads(where.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidValue(f"{where} is not the summary of spikeloom demo: {error}") from error
        if not isinstance(summary, dict):
            raise InvalidValue(f"{where} is not the summary of spikeloom demo: it holds no object")
        return _Subject(network, summary, where)

    def said(self, name: str) -> str | None:
        """A text of the summary's ``made_from``."""
        made = self.summary.get("made_from")
        value = made.get(name) if isinstance(made, dict) else None
        return value if isinstance(value, str) else None


@app.command(short_help="Page about a network's energy: HTML, JSON, CSV.")
def report(
    context: typer.Context,
    network: Annotated[
        Path, typer.Argument(metavar="NET", help="Network file, spiking or fixed-point, or a folder of spikeloom demo.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; NET by default if that is one.")
    ] = None,
    verification: Annotated[
        Path | None, typer.Option("--verification", help="What spikeloom verify --json printed of this network.")
    ] = None,
    steps: Steps = None,
    sweep: Sweep = None,
    weight_bits: WeightBits = None,
    clipping: OwnClipping = None,
    pow2: Pow2 = False,
    profile: Profiles = None,
    snn_memory: SnnMemory = "event_driven",
    ann_memory: AnnMemory = "no_reuse",
    events: Events = "bitmap",
    weights_in: WeightsIn = "sram",
    baseline: BaselineName = None,
    source: ZerosOf = None,
    weights: Weights = None,
    cycles: Cycles = None,
    lanes: Lanes = 16,
    clock: Clock = None,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: RunImages = None,
    as_json: AsJson = False,
) -> int:
    """Write report.html, energy.json and energy.csv: one self-contained page about a network's energy, and its numbers.

    NET is a spiking network (swept over T) or a fixed-point one (at its own T). The page says whether the spiking
    network costs less than a fair ANN and why, with every assumption, and needs no network to open.

    Example: spikeloom report snn.safetensors -T 1,2,4 --source bundled -o report
    """
    from toolchain import flow
    from toolchain.report import checked, read_verification
    from toolchain.reporting import check_folder, write_report

    subject = _Subject.of(network)
    target = folder or (network if network.is_dir() else None)
    if target is None:
        raise InvalidValue(f"{network} is no folder that the page could go into: name one with -o DIR")
    check_folder(target)  # before, not after, the counting
    named = source or subject.said("source")
    costs = Costs.of(
        subject.network,
        steps=steps,
        sweep=sweep,
        weight_bits=weight_bits,
        clipping=clipping,
        pow2=pow2,
        profile=profile,
        memory=(snn_memory, ann_memory, events, weights_in),
        baseline=baseline,
        source=named,
        weights=weights,
        cycles=cycles,
        lanes=lanes,
        clock=clock,
        data=data,
        data_folder=data_folder,
        images=images,
    )
    fingerprints = [costs.fixed(one).fingerprint for one in costs.times]
    proof = None
    if verification is not None:
        proof = read_verification(verification, fingerprints)
    elif "verification" in subject.summary:
        proof = checked(subject.summary["verification"], str(subject.where), fingerprints)
    reports = costs.count()
    energy = flow.write_energy(reports, costs.dataset, None, None, provenance=costs.network.provenance)
    evidence = _evidence(context, costs, subject, named, proof)
    content = write_report(target, reports, energy, evidence)
    if as_json:
        print_json(content)
    else:
        show_energy(reports)
        out.print(f"The page: {target / 'report.html'}; its numbers: {target / 'energy.json'}, {target / 'energy.csv'}")
    return 0


def _evidence(
    context: typer.Context, costs: Costs, subject: _Subject, source: str | None, proof: dict[str, Any] | None
) -> "Evidence":
    from toolchain.report import Evidence
    from toolchain.reporting import examples
    from toolchain.train import accuracy

    found, provenance = None, costs.network.provenance
    if costs.module is not None:
        measured = accuracy(costs.module, costs.dataset.at(costs.network.time_steps))
        found = {
            "accuracy": measured,
            "images": len(costs.dataset.frames),
            "data": costs.dataset.name,
            "same_images": True,
        }
    elif isinstance(provenance.get("accuracy_source"), float):
        found = {
            "accuracy": provenance["accuracy_source"],
            "images": provenance.get("accuracy_images", 0),
            "data": str(provenance.get("calibration_data", "unknown data")),
            "same_images": False,
        }
    focus = costs.network.time_steps if costs.network.time_steps in costs.times else costs.times[-1]
    return Evidence(
        provenance=provenance,
        source=found,
        verification=proof,
        rasters=examples(costs.fixed(focus), costs.dataset),
        commands=_commands(context, costs, subject, source),
        verify=_verify(context, costs, subject, focus),
        steps=focus,
    )


def _commands(context: typer.Context, costs: Costs, subject: _Subject, source: str | None) -> list[tuple[str, str]]:
    """From the source to this page, as far as files say how they were made."""
    from toolchain.ir import SpikingNetwork
    from toolchain.train import load_source

    found = []
    if subject.where is not None:
        found.append(("The folder:", "spikeloom demo"))
    elif isinstance(costs.network, SpikingNetwork):
        if source is not None and source.endswith(".safetensors"):
            found.append(("The source, as its file says:", training(load_source(Path(source)).provenance, source)))
        named = source or ("bundled" if costs.network.name == "bundled" else "SOURCE")
        made = conversion(costs.network, named, subject.network.name)
        if made is not None:
            found.append(("The spiking network, as its file says:", made))
    return [*found, ("This page, with energy.json and energy.csv:", as_given(context))]


def _verify(context: typer.Context, costs: Costs, subject: _Subject, steps: int) -> list[str]:
    """How the integers at T = ``steps`` are verified, and the page made again."""
    from toolchain.ir import SpikingNetwork

    name, found = subject.network.name, []
    if isinstance(costs.network, SpikingNetwork):
        clipping = [] if costs.clipping == "max" else ["--clipping", costs.clipping]
        words = [
            "spikeloom",
            "quantize",
            name,
            "-T",
            steps,
            "-b",
            costs.weight_bits,
            *clipping,
            *(["--pow2"] if costs.pow2 else []),
            "-o",
            "integers.safetensors",
        ]
        found, name = [written(words)], "integers.safetensors"
    found.append(f"{written(['spikeloom', 'verify', name, '--json'])} > verification.json")
    return [*found, f"{as_given(context)} --verification verification.json"]
