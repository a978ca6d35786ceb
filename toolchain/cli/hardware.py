"""Verbs about hardware: ``generate``, ``verify``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.shared import (
    AsJson,
    DataFolder,
    FramesFrom,
    Lanes,
    Network,
    SimulatorName,
    app,
    bar,
    frames_of,
    print_json,
)
from toolchain.tables import out, show_cycles, show_verdict

__all__: list[str] = []


@app.command()
def generate(
    network: Network,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    lanes: Lanes = 16,
    images: Annotated[int, typer.Option("--images", help="Frames in the test bench.")] = 2,
    data: FramesFrom = "random",
    data_folder: DataFolder = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of random frames.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Write Verilog, port map, FuseSoC core file, test benches for cocotb and C++, and texts for designs of your own.

    Example: spikeloom generate net.safetensors -P 16 -o rtl
    """
    from toolchain import flow
    from toolchain.netfile import load_fixed_point

    fixed = load_fixed_point(network)
    bundle = flow.generate(fixed, folder, lanes=lanes, frames=frames_of(fixed, data, data_folder, images, seed))
    if as_json:
        print_json({**bundle.describe(), "verilog": str(bundle.verilog)})
    else:
        out.print(f"{bundle.verilog}: {lanes} lanes, fingerprint {bundle.fingerprint[:16]}")
        out.print(f"Its test bench: {sys.executable} {folder / 'run.py'}")
    return 0


@app.command()
def verify(
    network: Annotated[Path, typer.Argument(metavar="NET", help="Network file, or a folder of spikeloom generate.")],
    images: Annotated[int, typer.Option("--images", help="Images to run.")] = 20,
    data: FramesFrom = "bundled",
    data_folder: DataFolder = None,
    lanes: Annotated[
        int | None, typer.Option("--lanes", "-P", help="Lanes to generate, 1 to 64; 16 by default.")
    ] = None,
    simulator: SimulatorName = "verilator",
    stall: Annotated[float, typer.Option("--stall", help="Chance that the host holds a stream back in a clock.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of stalls and random frames.")] = 0,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for generated hardware.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare hardware and golden model, bit by bit, in simulation; exit code 1 on one differing bit.

    Example: spikeloom verify net.safetensors --images 5 --stall 0.2
    """
    from sim import runner
    from toolchain import flow

    fixed = flow.network_of(network)
    frames = frames_of(fixed, data, data_folder, images, seed)
    runner.check(fixed, frames, simulator=simulator, stall=stall)  # before hardware is generated
    bundle, fixed = flow.bundle_for(network, lanes=lanes, folder=folder)
    with bar(f"compiling for {simulator}, then simulating", images) as move:
        result = runner.verify(bundle, fixed, frames, simulator=simulator, stall=stall, seed=seed, progress=move)
    if as_json:
        print_json(result.summary())
    else:
        show_verdict(result)
        show_cycles(result)
    return 0 if result.passed else 1
