"""Verbs about boards: ``build`` makes a bitstream, ``run`` sends images to a board."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from toolchain.cli.shared import Also, AsJson, Banks, Room, app, bar, log, print_json, stages
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_synthesis, show_trial

if TYPE_CHECKING:
    from toolchain.boards import BoardResult

__all__ = ["USUAL_BAUD"]

USUAL_BAUD = 1_000_000
BOARD_MEMORIES = ("rom", "loadable")
Baud = Annotated[int, typer.Option("--baud", help="Bits a second of the serial line, 8N1.")]


@app.command(short_help="Bitstream for a board, with a serial link.")
def build(
    network: Annotated[Path, typer.Argument(metavar="NET", help="Network file, or a folder of spikeloom generate.")],
    board: Annotated[str, typer.Option("--board", "-B", help="ulx3s (85F), icebreaker or tangnano9k.")],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; build/board-BOARD by default.")
    ] = None,
    lanes: Annotated[
        int | None, typer.Option("--lanes", "-P", help="1 to 64; those of the folder, or 16 on ulx3s, else 4.")
    ] = None,
    clock: Annotated[
        float | None, typer.Option("--clock", help="MHz of the core; 50 on ulx3s, else the oscillator's 12 or 27.")
    ] = None,
    baud: Baud = USUAL_BAUD,
    memories: Annotated[
        str | None,
        typer.Option("--memories", help="rom (the default), or loadable: networks are sent with spikeloom run --load."),
    ] = None,
    capacity: Room = None,
    banks: Banks = None,
    also: Also = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the placer.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Make the bitstream of a network for a board, with a serial link to the host: Yosys, nextpnr and the packer.

    Exit code 1, and no bitstream, if the network does not fit or misses the clock. With --memories loadable the bitstream runs every
    network within --capacity, and NET is packed for it beside the bitstream. Needs pip install 'spikeloom[boards]'.

    Example: spikeloom build net.safetensors --board icebreaker -o build/icebreaker
    """
    from toolchain import boards, flow
    from toolchain.bundle import PORTS_FILE, load_bundle

    chosen = boards.find_board(board)
    fixed = flow.network_of(network)
    if network.is_dir():
        bundle = load_bundle(network)
        if bundle.cores > 1 or bundle.memories not in BOARD_MEMORIES or bundle.netlist:
            raise InvalidValue(f"{network} holds {bundle.title}; a board takes one core: name {bundle.network}")
        lanes = bundle.lanes if lanes is None else lanes
        if memories is None and bundle.memories == "loadable":
            memories, capacity = "loadable", capacity or str(network / PORTS_FILE)
    if memories not in (None, *BOARD_MEMORIES):
        raise InvalidValue(f"memories is {memories!r}, must be one of {', '.join(BOARD_MEMORIES)} on a board")
    lanes = chosen.lanes if lanes is None else lanes
    room = flow.capacity_for(fixed, lanes=lanes, memories=memories or "rom", listed=capacity, banks=banks, also=also)
    target = folder or Path("build") / f"board-{chosen.name}"
    with stages(chosen.name) as say:
        result = boards.build(
            fixed, target, chosen, lanes=lanes, capacity=room, clock_mhz=clock, baud=baud, seed=seed, progress=say
        )
    if as_json:
        print_json(result.describe())
    elif result.bitstream is None:
        why = f"{fixed.name} on {chosen.name}, {result.synthesis.lanes} lanes: {result.verdict}"
        log.print(f"error: {why}; {result.synthesis.way_out}", markup=False, soft_wrap=True)
    else:
        _show_build(result)
    return 0 if result.bitstream is not None else 1


def _show_build(result: "BoardResult") -> None:
    from toolchain.bundle import LOAD_FILE

    assert result.bitstream is not None
    show_synthesis([result.synthesis], judged=False)
    out.print(f"[bold green]PASS[/] {result.board.title}: {escape(result.verdict)}")
    if result.hold_violations:
        out.print(
            f"[bold yellow]WARN[/] nextpnr tells of {result.hold_violations} hold violations, which no clock mends: see nextpnr.log; "
            "another --seed may be free of them"
        )
    out.print(f"{result.bitstream}: {result.bitstream.stat().st_size:,} bytes, {result.baud:,} baud", markup=False)
    out.print(f"Put it on the board: {result.board.program} {result.bitstream}", markup=False)
    load = "" if result.capacity is None else f" --load {result.bitstream.parent / LOAD_FILE}"
    out.print(f"Then: spikeloom run --port PORT{load} image.npy", markup=False)


@app.command(short_help="Send images to a board with such a bitstream.")
def run(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help=".npy file, uint8: one image or [N, C, H, W]; or .npz of spikes.")
    ],
    port: Annotated[str, typer.Option("--port", "-p", help="The board's serial port, such as /dev/ttyUSB0.")],
    network: Annotated[
        Path | None, typer.Option("--net", help="Network file or folder: compare every answer with the golden model.")
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option(
            "--load", help="File of spikeloom pack: send this network first, to a board built with --memories loadable."
        ),
    ] = None,
    baud: Baud = USUAL_BAUD,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds in which an answer must begin.")] = 2.0,
    as_json: AsJson = False,
) -> int:
    """Send images to a board that was programmed with a bitstream of spikeloom build.

    With --load the board gets a network first, which stays until another one comes or the board is reset; a refused one leaves the
    network before. Exit code 1 if --net is given and one number differs.

    Example: spikeloom run --port /dev/ttyUSB0 image.npy --net net.safetensors
    """
    from toolchain import trial
    from toolchain.host import Host, SerialPort
    from toolchain.loading import read_load

    pixels = trial.load_images(images)
    Host(timeout=timeout)  # refuses a wrong one before anything is opened
    fixed = None
    if network is not None:
        from toolchain.flow import network_of

        fixed = network_of(network)
    packet = [] if load is None else read_load(load)
    with SerialPort(port, baud) as line:
        host, identity = trial.meet(line, timeout=timeout, network=fixed, load=packet)
        frames = trial.frames_for(pixels, identity, fixed)
        with bar("images", len(frames)) as move:
            result = trial.run_images(line, host, identity, frames, network=fixed, progress=move)
    if as_json:
        print_json(result.describe())
    else:
        show_trial(result)
    return 0 if result.passed else 1
