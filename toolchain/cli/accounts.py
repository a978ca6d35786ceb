"""Verbs that say what a network costs, and why: ``energy``, ``diagnose``, ``survey``, ``early-exit``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

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
from toolchain.cli.shared import (
    AsJson,
    Bits,
    Clipping,
    Data,
    DataFolder,
    Lanes,
    Network,
    Pow2,
    Source,
    Weights,
    app,
    bar,
    load_dataset,
    print_json,
    source_name,
    step_list,
    use_threads,
)
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_diagnosis, show_energy, show_exits, show_survey

__all__: list[str] = []


@app.command(short_help="Energy at each T against four kinds of ANN.")
def energy(
    network: Network,
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
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table of layers as CSV.")] = None,
    js: Annotated[Path | None, typer.Option("--json-file", help="File for the whole report as JSON.")] = None,
    as_json: AsJson = False,
) -> int:
    """Energy for each T against four kinds of ANN, under two memory policies each, and the break-even.

    NET is a spiking network (quantized anew for each T) or a fixed-point one (at its own T).

    Example: spikeloom energy snn.safetensors -T 1,2,4 --csv energy.csv
    """
    from toolchain import flow
    from toolchain.netfile import check_writable

    for target in (csv, js):  # before, not after, the counting
        if target is not None:
            check_writable(target)
    costs = Costs.of(
        network,
        steps=steps,
        sweep=sweep,
        weight_bits=weight_bits,
        clipping=clipping,
        pow2=pow2,
        profile=profile,
        memory=(snn_memory, ann_memory, events, weights_in),
        baseline=baseline,
        source=source,
        weights=weights,
        cycles=cycles,
        lanes=lanes,
        clock=clock,
        data=data,
        data_folder=data_folder,
        images=images,
    )
    reports = costs.count()
    content = flow.write_energy(reports, costs.dataset, csv, js, provenance=costs.network.provenance)
    if as_json:
        print_json(content)
    else:
        show_energy(reports)
        if reached := content["source"]:
            out.print(
                f"The FP32 source reached {reached['accuracy_source']:.2f} % on {reached['accuracy_images']:,} images of "
                f"{reached['calibration_data']} when it was converted."
            )
    return 0


@app.command(short_help="Where the accuracy went, and a remedy.")
def diagnose(
    source: Source,
    network: Annotated[Path, typer.Argument(metavar="SNN", help="Result of spikeloom convert for SOURCE.")],
    weights: Weights = None,
    weight_bits: Bits = 8,
    clipping: Clipping = "max",
    pow2: Pow2 = False,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int, typer.Option("--images", help="Images to run.")] = 500,
    picture: Annotated[Path | None, typer.Option("--picture", help="File for a picture: .svg, .png or .pdf.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    as_json: AsJson = False,
) -> int:
    """Where the accuracy goes: every layer's error split into its causes, the layer that costs most, and a remedy.

    Clipping, quantization, what earlier layers hand on, uneven spikes, and rounding to integers sum to the error
    between the source's activations and the spikes.

    Example: spikeloom diagnose bundled snn.safetensors --picture diagnosis.svg
    """
    from toolchain import flow
    from toolchain.diagnose import Deployment, diagnose_and_try
    from toolchain.netfile import check_writable, load_spiking
    from toolchain.pictures import check_format
    from toolchain.sources import load_module

    if picture is not None:
        check_format(picture)
    for target in (picture, csv):  # before, not after, the account
        if target is not None:
            check_writable(target)
    module = load_module(source, weights)
    deployment = Deployment(load_spiking(network), weight_bits, clipping, pow2)
    dataset = load_dataset(data, data_folder, images=images).at(deployment.network.time_steps)
    with bar("comparing layer by layer", len(dataset.frames)) as move:
        found = diagnose_and_try(module, deployment, dataset.frames, dataset.labels, move)
    content = flow.write_diagnosis(found, deployment, dataset, csv, picture)
    if as_json:
        print_json(content)
    else:
        show_diagnosis(found)
    return 0


@app.command(short_help="Every conversion method that fits, as a table.")
def survey(
    source: Source,
    target: Annotated[Path, typer.Option("--out", "-o", help="CSV file; what it holds already is not run again.")],
    weights: Weights = None,
    methods: Annotated[
        str,
        typer.Option("--methods", "--method", "-m", help="List such as optimal,robust_norm; all that fit the source."),
    ] = "all",
    steps: Annotated[
        str, typer.Option("--time-steps", "-T", help="List 1,2,4 or range 1..8; radix stops at 10.")
    ] = "1,2,4,8,16,32,64",
    formats: Annotated[str, typer.Option("--formats", help="List of float and weight bits.")] = "float,8,4",
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int | None, typer.Option("--images", help="Images to run; all by default.")] = None,
    calibration_data: Annotated[
        str | None, typer.Option("--calibration-data", help="Data set to calibrate on; that of --data by default.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Calibrate on train or test images.")] = "test",
    calibration_images: Annotated[int, typer.Option("--calibration-images", help="Calibration images.")] = 250,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; more than idle cores slow it down.")] = 1,
    as_json: AsJson = False,
) -> int:
    """All conversion methods that fit a network, in each schedule, T and number format, as one table.

    Accuracy and loss against the source on the same images; of the integers also spikes, synaptic operations, time
    steps until the result, and a lower bound of cycles on 16 lanes (estimated). An interrupted survey goes on.

    Example: spikeloom survey bundled -m qcfs,optimal -T 1,2,4 --images 200 -o survey.csv
    """
    from toolchain.sources import load_module
    from toolchain.survey import Survey
    from toolchain.train import calibration

    use_threads(threads)
    job = Survey(
        load_module(source, weights),
        source_name(source),
        load_dataset(data, data_folder, images=images),
        calibration(load_dataset(calibration_data or data, data_folder, split), calibration_images),
        target,
        data=data,
        methods=None if methods == "all" else [name.strip() for name in methods.split(",")],
        time_steps=sorted(set(step_list(steps))),
        formats=formats.split(","),
    )
    with bar("surveying", job.total) as move:
        rows = job.run(move)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        show_survey(rows, job.formats)
        out.print(
            f"{target}: {len(rows)} rows; the source reaches {job.source_accuracy:.2f} % on {rows[0].images:,} images"
        )
    return 0


@app.command("early-exit", short_help="Does it pay to stop at a small T?")
def early_exit(
    network: Network,
    steps: Annotated[str, typer.Option("--time-steps", "-T", help="List 2,4,8 or range 1..8.")] = "2,4,8,16",
    margins: Annotated[
        str, typer.Option("--margins", help="Leads of the best score, in units of the source's scores.")
    ] = "0.5,1,2,3,4,6,8",
    weight_bits: Bits = 8,
    clipping: Clipping = "max",
    pow2: Pow2 = False,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int | None, typer.Option("--images", help="Images to run; all by default.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    as_json: AsJson = False,
) -> int:
    """Whether it pays to stop at a small T where the best score leads by a margin, and to go on elsewhere.

    In stream the steps done so far count once, elsewhere each T is a run of its own. The generated core runs layer
    by layer through all T: on it the stream variant saves nothing, and the other one needs a network for each T.

    Example: spikeloom early-exit snn.safetensors -T 2,4,8 --margins 1,2,4
    """
    from toolchain import flow
    from toolchain.early_exit import early_exits, verdict
    from toolchain.netfile import check_writable, load_spiking

    if csv is not None:
        check_writable(csv)
    try:
        leads = [float(part) for part in margins.split(",")]
    except ValueError as error:
        raise InvalidValue(f"margins {margins!r} is not a list such as 0.5,1,2") from error
    times, spiking = step_list(steps), load_spiking(network)
    dataset = load_dataset(data, data_folder, images=images)
    with bar("running", len(dataset.frames)) as move:
        exits = early_exits(
            spiking,
            dataset,
            times,
            margins=leads,
            weight_bits=weight_bits,
            clipping=clipping,
            pow2=pow2,
            progress=move,
        )
    lines = verdict(exits)
    if csv is not None:
        shares = [{f"share_{step}": share for step, share in zip(times, e.shares, strict=True)} for e in exits]
        rows = [{**asdict(e), **share} for e, share in zip(exits, shares, strict=True)]
        flow.write_table([{name: value for name, value in row.items() if name != "shares"} for row in rows], csv)
    if as_json:
        print_json({"images": len(dataset.frames), "rows": [asdict(e) for e in exits], "verdict": lines})
    else:
        show_exits(exits)
        for line in lines:
            out.print(line[0].upper() + line[1:] + ".")
    return 0
