"""The verb ``compare``: several networks or settings side by side."""

from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.shared import AsJson, Data, DataFolder, Lanes, app, bar, load_dataset, print_json, use_threads
from toolchain.tables import out

__all__: list[str] = []


@app.command(short_help="Networks and settings side by side, and the front.")
def compare(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="NET...",
            help="Network files; a spiking one may carry settings: FILE@T=4,b=8, with lists (T=1,2,4) or ranges (T=1..8) a candidate "
            "each; keys T, b, clipping, pow2.",
        ),
    ],
    steps: Annotated[
        str | None,
        typer.Option("--time-steps", "-T", help="List or range for spiking networks without their own; the file's T."),
    ] = None,
    weight_bits: Annotated[
        str | None, typer.Option("--weight-bits", "-b", help="List or range likewise, 2 to 16; 8 by default.")
    ] = None,
    clipping: Annotated[str | None, typer.Option("--clipping", help="Likewise: max (default), mse or max,mse.")] = None,
    pow2: Annotated[str | None, typer.Option("--pow2", help="Likewise: no (default), yes or no,yes.")] = None,
    against: Annotated[
        str, typer.Option("--against", help="What accuracy is weighed against: energy, cycles, size or sop.")
    ] = "energy",
    profile: Annotated[
        str, typer.Option("--profile", help="45nm-int, 45nm-fp32-legacy, ice40up5k or a TOML file.")
    ] = "45nm-int",
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="The ANN of verdicts; equal_information_zero_skipping by default."),
    ] = None,
    lanes: Lanes = 16,
    clock: Annotated[float | None, typer.Option("--clock", help="MHz, for latency in µs and static power.")] = None,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int | None, typer.Option("--images", help="Images to run; all by default.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    js: Annotated[Path | None, typer.Option("--json-file", help="File for the whole comparison as JSON.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="File for a picture: .svg, .png or .pdf.")] = None,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; more than idle cores slow it down.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Several networks or settings side by side: accuracy, latency, energy bounds, size, and which are worth choosing.

    A candidate is on the front if no other one is at least as accurate for no more energy (its upper bound over
    the memory policies; --against takes another cost) and better in one of the two. Same images for all.

    Example: spikeloom compare snn.safetensors@T=1,2,4,8 net.safetensors --picture compare.svg
    """
    from toolchain import compare as comparing
    from toolchain.compare.output import check_targets, write_comparison
    from toolchain.compare.terminal import show_comparison
    from toolchain.energy import load_profile

    use_threads(threads)
    check_targets(csv, js, picture)  # before, not after, the runs
    chosen = load_profile(profile)
    given = {"T": steps, "b": weight_bits, "clipping": clipping, "pow2": pow2}
    common = comparing.Settings.parsed({key: text for key, text in given.items() if text is not None})
    candidates = comparing.candidates_of(networks, common)
    dataset = load_dataset(data, data_folder, images=images)
    with bar("comparing", comparing.runs(candidates) * len(dataset.frames)) as move:
        found = comparing.compare(
            candidates,
            dataset,
            profile=chosen,
            lanes=lanes,
            clock_mhz=clock,
            baseline=baseline,
            against=against,
            progress=move,
        )
    content = write_comparison(found, csv, js, picture)
    if as_json:
        print_json(content)
    else:
        show_comparison(found)
        for line in content["conclusion"]:
            out.print(f"{line[0].upper()}{line[1:]}.", markup=False)
    return 0
