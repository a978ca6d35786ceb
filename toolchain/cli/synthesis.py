"""The verb ``synth``: what a network takes of a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from toolchain.cli.shared import AsJson, app, lanes_list, listed, log, print_json
from toolchain.tables import show_critical_path, show_synthesis

__all__: list[str] = []


@contextmanager
def _stages(what: str) -> Iterator[Any]:
    """What is going on and for how long, on standard error; yields the function that says the stage."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_interactive) as progress:
        task = progress.add_task(what, total=None)
        yield lambda stage: progress.update(task, description=f"{what}: {stage}")


def _lanes(text: str | None, network: Path) -> list[int]:
    """The lanes asked for; those of the folder, or 16, if none are."""
    from toolchain.bundle import load_bundle
    from toolchain.flow import DEFAULT_LANES

    if text is None:
        return [load_bundle(network).lanes if network.is_dir() else DEFAULT_LANES]
    return lanes_list(text)


@app.command()
def synth(
    network: Annotated[Path, typer.Argument(metavar="NET", help="Network file, or a folder of spikeloom generate.")],
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "-d",
            help="List of ecp5-25k, ecp5-45k, ecp5-85k, up5k, hx8k, gw1n-9, gw2a-18; counted only: xc7a35t, xc7a100t, xc7z020, "
            "xczu3eg, xcku5p.",
        ),
    ],
    lanes: Annotated[
        str | None, typer.Option("--lanes", "-P", help="List such as 4,16; 16, or those of the folder, by default.")
    ] = None,
    clock: Annotated[
        float | None,
        typer.Option("--clock", help="MHz that must be reached; else the tools aim at the device's usual."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the placer.")] = 1,
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="Folder; logs, netlist and result go into DEVICE-LANES in it.")
    ] = Path("build/synth"),
    as_json: AsJson = False,
) -> int:
    """What a network takes of a device, whether it fits, and how fast it runs there: Yosys and nextpnr.

    Exit code 1 if it does not fit, or misses --clock. The first run of all takes longer where YoWASP's tools must be compiled. For
    Xilinx devices Yosys counts only, and FOLDER gets a Vivado script.

    Example: spikeloom synth net.safetensors --device ecp5-85k,ecp5-45k -P 4,16
    """
    from toolchain import flow
    from toolchain.synth import check_clock, check_seed, find_device, synthesize

    devices = [find_device(name) for name in listed(device, "device")]
    numbers = _lanes(lanes, network)
    check_clock(clock)
    check_seed(seed)
    fixed = flow.network_of(network)
    results = []
    for each in devices:
        for number in numbers:
            name = f"{each.name}-{number}"
            with _stages(f"{each.name}, {number} lanes") as say:
                results.append(
                    synthesize(
                        fixed, folder / name, each, lanes=number, clock_mhz=clock, seed=seed, progress=say
                    )
                )  # fmt: skip
    if as_json:
        described = [result.describe() for result in results]
        print_json(described[0] if len(described) == 1 else described)
    else:
        show_synthesis(results)
        timed = [result for result in results if result.path]
        if timed:
            show_critical_path(min(timed, key=lambda result: result.fmax_mhz or 0.0))
    return 0 if all(result.meets for result in results) else 1
