"""Verbs about hardware: ``generate``, ``verify``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.shared import (
    NETLIST_DEVICE,
    Also,
    AsJson,
    Banks,
    Cores,
    Cut,
    DataFolder,
    FramesFrom,
    Lanes,
    Memories,
    MemoryBits,
    MemoryTimeout,
    Network,
    Room,
    SimulatorName,
    WeightCache,
    app,
    bar,
    frames_of,
    names_in,
    print_json,
    stages,
)
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_cycles, show_netlist, show_split, show_verdict

__all__: list[str] = []


@app.command(short_help="Integers to Verilog, with test benches.")
def generate(
    network: Network,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    lanes: Lanes = 16,
    cores: Cores = 1,
    cut: Cut = None,
    images: Annotated[int, typer.Option("--images", help="Frames in the test bench.")] = 2,
    data: FramesFrom = "random",
    data_folder: DataFolder = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of random frames.")] = 0,
    memories: Memories = "rom",
    capacity: Room = None,
    banks: Banks = None,
    also: Also = None,
    weight_cache: WeightCache = None,
    memory_bits: MemoryBits = None,
    memory_timeout: MemoryTimeout = None,
    as_json: AsJson = False,
) -> int:
    """Write Verilog, port map, FuseSoC core file, test benches for cocotb and C++, and texts for designs of your own.

    With --cores a chain of cores, the layers shared out by the cycles of the test bench's frames: take --data for real ones.
    With --memories loadable one core runs every network that --capacity has room for; spikeloom pack makes the packets.
    With --memories external weights are read from a memory outside, which holds weights.bin; which layers wait for them is printed.

    Example: spikeloom generate net.safetensors -P 16 -o rtl
    """
    from toolchain import flow
    from toolchain.netfile import load_fixed_point

    fixed = load_fixed_point(network)
    frames = frames_of(fixed, data, data_folder, images, seed)
    split = flow.shared_out(fixed, frames, lanes=lanes, cores=cores, cut=names_in(cut))
    room = flow.capacity_for(fixed, lanes=lanes, memories=memories, listed=capacity, banks=banks, also=also)
    cuts = split.cuts if split else ()
    outside = flow.external_for(
        fixed,
        lanes=lanes,
        memories=memories,
        weight_cache=weight_cache,
        memory_bits=memory_bits,
        memory_timeout=memory_timeout,
    )
    with stages(f"generate {fixed.name}") as say:
        say(f"Verilog of {lanes} lanes, and its test bench")
        bundle = flow.generate(fixed, folder, lanes=lanes, frames=frames, cuts=cuts, capacity=room, external=outside)
    if as_json:
        print_json({**bundle.describe(), "verilog": str(bundle.verilog)})
    else:
        if room is None:
            out.print(f"{bundle.verilog}: {lanes} lanes, fingerprint {bundle.fingerprint[:16]}")
        else:
            out.print(f"{bundle.verilog}: {lanes} lanes, capacity {room.digest:08x}; {bundle.load} loads the network")
        if outside is not None:
            out.print(f"{bundle.weights}: {bundle.weights.stat().st_size:,} bytes for the memory, from address 0")
            out.print(f"Weights, {flow.waits(bundle, fixed, frames)}")
        if split is not None:
            show_split(fixed, split)
        out.print(f"Its test bench: {shlex.join([sys.executable, str(folder / 'run.py')])}", markup=False)
    return 0


@app.command(short_help="Packet that loads a network into a loadable core.")
def pack(
    network: Network,
    core: Annotated[
        Path,
        typer.Option(
            "--core",
            "-c",
            help="Folder of spikeloom generate or build --memories loadable, or its ports.json or board.json.",
        ),
    ],
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write: little-endian 32-bit words.")],
    as_json: AsJson = False,
) -> int:
    """Write the packet that loads a network into a loadable core; refused if the core has no room for it.

    Example: spikeloom pack net.safetensors --core rtl -o net.load
    """
    from hdl.capacity import read_capacity
    from toolchain.boards import RESULT
    from toolchain.bundle import PORTS_FILE
    from toolchain.loading import write_load
    from toolchain.netfile import load_fixed_point

    if core.is_dir():
        core /= RESULT if (core / RESULT).exists() else PORTS_FILE
    if not core.is_file():
        raise InvalidValue(
            f"no file {core}; --core is a folder of spikeloom generate or build --memories loadable, or its {PORTS_FILE} or {RESULT}"
        )
    capacity = read_capacity(core)
    fixed = load_fixed_point(network)
    words = write_load(fixed, capacity, target)
    if as_json:
        print_json(
            {
                "file": str(target),
                "words": words,
                "fingerprint": fixed.fingerprint,
                "capacity": f"{capacity.digest:08x}",
            }
        )
    else:
        out.print(f"{target}: {words:,} words for capacity {capacity.digest:08x}, fingerprint {fixed.fingerprint[:16]}")
    return 0


@app.command(short_help="Hardware against the golden model, bit by bit.")
def verify(
    network: Annotated[Path, typer.Argument(metavar="NET", help="Network file, or a folder of spikeloom generate.")],
    images: Annotated[int, typer.Option("--images", help="Images to run.")] = 20,
    data: FramesFrom = "bundled",
    data_folder: DataFolder = None,
    lanes: Annotated[
        int | None, typer.Option("--lanes", "-P", help="Lanes to generate, 1 to 64; 16 by default.")
    ] = None,
    cores: Cores = 1,
    cut: Cut = None,
    simulator: SimulatorName = "verilator",
    stall: Annotated[float, typer.Option("--stall", help="Chance that the host holds a stream back in a clock.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of stalls and random frames.")] = 0,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for generated hardware.")] = None,
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
    memory_latency: Annotated[
        int | None,
        typer.Option(
            "--memory-latency",
            help="Clocks to a burst's first beat, then a beat a clock; by default it stalls at random.",
        ),
    ] = None,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="Run the netlist that Yosys makes of the Verilog, not the Verilog.")
    ] = False,
    device: Annotated[
        str | None, typer.Option("--device", "-d", help=f"Of the netlist, as in synth; {NETLIST_DEVICE} by default.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare hardware and golden model, bit by bit, in simulation; exit code 1 on one differing bit.

    Example: spikeloom verify net.safetensors --images 5 --stall 0.2
    """
    from sim import runner
    from toolchain import flow
    from toolchain.bundle import load_bundle
    from toolchain.synth import find_device

    if device is not None and not netlist:
        raise InvalidValue(f"--device {device} is for --netlist; add that, or leave it out")
    target = find_device(device or NETLIST_DEVICE) if netlist else None
    fixed = flow.network_of(network)
    frames = frames_of(fixed, data, data_folder, images, seed)
    runner.check(fixed, frames, simulator=simulator, stall=stall)  # before hardware is generated
    runner.check_latency(memory_latency, load_bundle(network).memories if network.is_dir() else memories or "rom")
    if network.is_dir():
        if cores != 1 or cut is not None:
            raise InvalidValue(f"{network} is generated already; leave out --cores and --cut, or generate it again")
        split = None
    else:
        number = flow.DEFAULT_LANES if lanes is None else lanes
        split = flow.shared_out(fixed, frames, lanes=number, cores=cores, cut=names_in(cut))
    with stages(f"verify {fixed.name}") as say:
        say("Verilog")
        bundle, fixed = flow.bundle_for(
            network,
            lanes=lanes,
            folder=folder,
            cuts=split.cuts if split else (),
            memories=memories,
            listed=capacity,
            banks=banks,
            also=also,
            weight_cache=weight_cache,
            memory_bits=memory_bits,
            memory_timeout=memory_timeout,
        )
    level = None
    if target is not None:
        with stages(f"{target.name}, {bundle.lanes} lanes") as say:
            level = flow.netlist_for(bundle, target, progress=say)
        bundle = level.bundle
    with bar(f"compiling for {simulator}, then simulating", images) as move:
        result = runner.verify(
            bundle,
            fixed,
            frames,
            simulator=simulator,
            stall=stall,
            seed=seed,
            memory_latency=memory_latency,
            progress=move,
        )
    if as_json:
        print_json({**result.summary(), **({"gate_level": level.describe()} if level else {})})
    else:
        show_verdict(result)
        if level is not None:
            show_netlist(level)
        show_cycles(result)
        if split is not None:
            show_split(fixed, split)
    return 0 if result.passed else 1
