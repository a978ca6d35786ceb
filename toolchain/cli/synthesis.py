"""The verb ``synth``: what a network takes of a device."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolchain.cli.shared import (
    Also,
    AsJson,
    Banks,
    Cores,
    Cut,
    MemoryBits,
    MemoryTimeout,
    Room,
    WeightCache,
    app,
    lanes_list,
    listed,
    names_in,
    print_json,
    stages,
)
from toolchain.tables import show_critical_path, show_synthesis

if TYPE_CHECKING:
    from toolchain.ir import FixedPointNetwork

__all__: list[str] = []

_BALANCING_FRAMES = 4


def _lanes(text: str | None, network: Path) -> list[int]:
    """The lanes asked for; those of the folder, or 16, if none are."""
    from toolchain.bundle import load_bundle
    from toolchain.flow import DEFAULT_LANES

    if text is None:
        return [load_bundle(network).lanes if network.is_dir() else DEFAULT_LANES]
    return lanes_list(text)


def _cuts(path: Path, network: "FixedPointNetwork", lanes: int, cores: int, cut: str | None) -> tuple[int, ...]:
    """Where the network is cut: as a folder has it, or as asked for."""
    from toolchain import flow
    from toolchain.bundle import load_bundle

    if path.is_dir() and cores == 1 and cut is None:
        return load_bundle(path).cuts
    frames = flow.random_frames(network, _BALANCING_FRAMES, 0)
    split = flow.shared_out(network, frames, lanes=lanes, cores=cores, cut=names_in(cut))
    return () if split is None else split.cuts


@app.command(short_help="Size and clock on an FPGA: Yosys and nextpnr.")
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
    cores: Cores = 1,
    cut: Cut = None,
    clock: Annotated[
        float | None,
        typer.Option("--clock", help="MHz that must be reached; else the tools aim at the device's usual."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the placer.")] = 1,
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="Folder; logs, netlist and result go into DEVICE-LANES in it.")
    ] = Path("build/synth"),
    memories: Annotated[
        str | None,
        typer.Option("--memories", help="rom (the default), loadable or external, as in spikeloom generate."),
    ] = None,
    capacity: Room = None,
    banks: Banks = None,
    also: Also = None,
    weight_cache: WeightCache = None,
    memory_bits: MemoryBits = None,
    memory_timeout: MemoryTimeout = None,
    as_json: AsJson = False,
) -> int:
    """What a network takes of a device, whether it fits, and how fast it runs there: Yosys and nextpnr.

    Exit code 1 if it does not fit, or misses --clock. The first run of all takes longer where YoWASP's tools must be compiled. For
    Xilinx devices Yosys counts only, and FOLDER gets a Vivado script. With --cores a chain of cores, the layers shared out by the
    cycles of random frames unless --cut says where; a folder of spikeloom generate knows its cuts.

    Example: spikeloom synth net.safetensors --device ecp5-85k,ecp5-45k -P 4,16
    """
    from toolchain import flow
    from toolchain.bundle import PORTS_FILE, load_bundle
    from toolchain.synth import check_clock, check_seed, find_device, synthesize

    devices = [find_device(name) for name in listed(device, "device")]
    numbers = _lanes(lanes, network)
    check_clock(clock)
    check_seed(seed)
    fixed = flow.network_of(network)
    if network.is_dir() and memories is None:
        bundle = load_bundle(network)
        memories = bundle.memories
        if memories == "loadable":
            capacity = capacity or str(network / PORTS_FILE)
        elif bundle.external is not None:
            weight_cache = weight_cache or bundle.external["cache_words"]
            memory_bits = memory_bits or bundle.external["data_bits"]
            if memory_timeout is None:
                memory_timeout = bundle.external["timeout"]
    rooms = {
        number: flow.capacity_for(
            fixed, lanes=number, memories=memories or "rom", listed=capacity, banks=banks, also=also
        )
        for number in numbers
    }
    outside = {
        number: flow.external_for(
            fixed,
            lanes=number,
            memories=memories or "rom",
            weight_cache=weight_cache,
            memory_bits=memory_bits,
            memory_timeout=memory_timeout,
        )
        for number in numbers
    }
    results = []
    for each in devices:
        for number in numbers:
            cuts = _cuts(network, fixed, number, cores, cut)
            name = f"{each.name}-{number}" + "".join(f"-{first}" for first in cuts)
            with stages(f"{each.name}, {number} lanes") as say:
                results.append(
                    synthesize(
                        fixed,
                        folder / name,
                        each,
                        lanes=number,
                        cuts=cuts,
                        capacity=rooms[number],
                        external=outside[number],
                        clock_mhz=clock,
                        seed=seed,
                        progress=say,
                    )
                )
    if as_json:
        described = [result.describe() for result in results]
        print_json(described[0] if len(described) == 1 else described)
    else:
        show_synthesis(results)
        timed = [result for result in results if result.path]
        if timed:
            show_critical_path(min(timed, key=lambda result: result.fmax_mhz or 0.0))
    return 0 if all(result.meets for result in results) else 1
