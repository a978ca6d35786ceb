"""The verb ``demo``: the main job on the bundled network and images."""

from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.shared import AsJson, Lanes, SimulatorName, app, bar, print_json, stages
from toolchain.tables import out, show_energy, show_errors, show_verdict

__all__: list[str] = []


@app.command(short_help="The whole chain on the bundled network and images.")
def demo(
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("build/demo"),
    images: Annotated[int, typer.Option("--images", help="Images to verify in simulation, 1 to 1000.")] = 20,
    lanes: Lanes = 16,
    simulator: SimulatorName = "verilator",
    as_json: AsJson = False,
) -> int:
    """The main job on the bundled trained network and images.

    Convert, quantize, generate Verilog, verify it bit by bit, count energy; ends in FOLDER/report.html and summary.json.

    Example: spikeloom demo --images 5
    """
    from toolchain import flow

    job = flow.Demo(folder, lanes=lanes, simulator=simulator, images=images)

    def say(text: str) -> None:
        if not as_json:
            out.print(text)

    accuracy = job.load()
    job.dataset.take(images)
    origin = job.source.provenance
    say(
        f"\n[bold]1 Source[/]    {origin['architecture']} trained on {origin['dataset']}, QCFS with L = {origin['levels']}: "
        f"{accuracy:.2f} % in FP32 on {len(job.dataset.frames)} bundled test images"
    )
    with stages("converting") as stage:
        stage("fashion-cnn")
        accuracy = job.convert()
    say(
        f"[bold]2 Convert[/]   batch norm and pooling folded, T = {job.spiking.time_steps}, {job.spiking.schedule}: "
        f"{accuracy:.2f} % as a floating-point spiking network"
    )
    with bar("one layer at a time", (len(job.spiking.layers) + 1) * flow.TABLE_IMAGES) as move:
        accuracy, errors = job.quantize(move)
    say(
        f"[bold]3 Quantize[/]  {job.fixed.weight_bits}-bit weights, membranes proven to fit {job.fixed.membrane_bits} bits: "
        f"{accuracy:.2f} % in integers, fingerprint {job.fixed.fingerprint[:16]}"
    )
    if not as_json:
        show_errors(errors, flow.TABLE_IMAGES)
    with stages("generating") as stage:
        stage(f"Verilog of {lanes} lanes, and its test bench")
        bundle = job.generate()
    say(f"[bold]4 Generate[/]  {lanes} lanes in {bundle.verilog}")
    say(f"[bold]5 Verify[/]    every spike of {images} images against the golden model, on {simulator}")
    with bar(f"compiling for {simulator}, then simulating", images) as move:
        result = job.verify(move)
    if not as_json:
        show_verdict(result)
    say(
        f"[bold]6 Energy[/]    all {len(job.dataset.frames):,} images at T = "
        + ", ".join(map(str, flow.ENERGY_TIME_STEPS))
    )
    with bar("counting", (2 + len(flow.ENERGY_TIME_STEPS)) * len(job.dataset.frames)) as move:
        reports = job.energy(move)
    if not as_json:
        show_energy(reports)
    with stages("writing") as stage:
        stage("the page")
        page = job.report()
    say(f"[bold]7 Report[/]    {page}: open it in a browser, or send it to a colleague")
    summary = job.summary()
    if as_json:
        print_json(summary)
    say(f"Summary in {folder / 'summary.json'}, tables in {folder / 'energy.csv'} and {folder / 'energy.json'}")
    return 0 if result.passed else 1
