"""Verbs for networks from and for other frameworks: ``import`` and ``export``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from toolchain.cli.shared import AsJson, Network, app, log, print_json
from toolchain.errors import InvalidValue
from toolchain.tables import out

__all__ = ["PRESET_NAMES", "shape_of"]

PRESET_NAMES = ("nir", "snntorch", "spikingjelly", "sinabs", "norse", "rockpool")
"""``toolchain.interchange.PRESETS``, whose module is slow to import; a test holds them equal."""


def shape_of(text: str | None) -> tuple[int, int, int] | None:
    """``1,28,28`` as (C, H, W)."""
    if text is None:
        return None
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) != 3 or not all(1 <= size <= 1 << 20 for size in sizes):
        raise InvalidValue(f"input shape {text!r} is not C,H,W, such as 1,28,28")
    return (sizes[0], sizes[1], sizes[2])


@app.command("import", short_help="NIR graph to a spiking network, under rules that are shown.")
def import_nir(
    source: Annotated[Path, typer.Argument(metavar="GRAPH", help="NIR graph (.nir).")],
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    time_steps: Annotated[
        int | None,
        typer.Option("--time-steps", "-T", help="T, which NIR does not say; needed unless the file is ours."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help=f"Rules of the framework that exported it: {', '.join(PRESET_NAMES)}."),
    ] = None,
    reset: Annotated[
        str | None,
        typer.Option("--reset", help="subtract, zero or value (v_reset of the file); the preset's by default."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", help="Fire at ge (V ≥ θ) or gt (V > θ); the preset's by default.")
    ] = None,
    dt: Annotated[
        float | None,
        typer.Option("--dt", help="Time step, in the unit of the file's τ and 1/r; the preset's by default."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="V(0): zero, reset (v_reset) or leak (v_leak); the preset's by default."),
    ] = None,
    clamp: Annotated[
        str | None, typer.Option("--clamp", help="Lower bound of membranes; only none is supported.")
    ] = None,
    input_code: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="direct (pixels as current), rate (random spikes) or spikes (frames of spikes); direct by default.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of input rate; a fixed one by default.")] = None,
    pixel_scale: Annotated[
        float | None,
        typer.Option(
            "--pixel-scale", help="What a pixel step (1/255 by default) or a spike (1) is on the graph's Input."
        ),
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="C,H,W of the frames, where the graph reads a vector.")
    ] = None,
    decay: Annotated[
        str | None,
        typer.Option(
            "--decay",
            help="Share that a leak leaves, β or α: euler (1 − dt/τ) or exp (exp(−dt/τ)); the preset's by default.",
        ),
    ] = None,
    drive: Annotated[
        str | None,
        typer.Option(
            "--drive",
            help="Input of a leaky neuron times tau (r·dt/τ), share (r·(1 − β)), whole (r) or decayed (r·dt/(τ·β)); the preset's by default.",
        ),
    ] = None,
    leak_order: Annotated[
        str | None,
        typer.Option(
            "--leak-order", help="reset_first, or leak_first (the reset comes a step later); the preset's by default."
        ),
    ] = None,
    current_drive: Annotated[
        str | None,
        typer.Option(
            "--current-drive",
            help="Input of a synaptic current times tau (w_in·dt/τ_syn), share (w_in·(1 − α)), whole (w_in) or kept (w_in·α); the preset's by default.",
        ),
    ] = None,
    tau_syn: Annotated[
        float | None,
        typer.Option(
            "--tau-syn", help="τ of a synaptic current that every LIF has, though the file does not say so (sinabs)."
        ),
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(
            "--readout", help="Of a graph that ends in spikes: count them (default), or membrane (never fires)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Read a NIR graph as a spiking network, and say which rules were assumed where NIR leaves them open.

    The rules, the semantics contract, are printed and kept in the network's provenance. What golden model and hardware
    cannot do, a recurrent connection or a delay, is refused by name. Of a leaky neuron, and of a synaptic current that lasts, it
    says which shifts will stand for the leak in integers, and what they miss of it.

    Example: spikeloom import net.nir --preset snntorch -T 16 --input-shape 1,28,28 -o snn.safetensors
    """
    from toolchain.interchange import Contract, Options, read_nir
    from toolchain.netfile import check_writable, save_network

    check_writable(target)
    options = Options(
        preset,
        reset,
        compare,
        dt,
        start,
        clamp,
        time_steps,
        input_code,
        seed,
        pixel_scale,
        shape_of(input_shape),
        readout,
        decay=decay,
        drive=drive,
        leak_order=leak_order,
        current_drive=current_drive,
        tau_syn=tau_syn,
    )
    network = read_nir(source, options)
    save_network(network, target)
    told: dict[str, Any] = network.provenance["nir"]
    for warning in told["warnings"]:
        log.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if as_json:
        print_json({**network.header(), "fingerprint": network.fingerprint, "nir": told, "file": str(target)})
    else:
        out.print(
            f"{target}: {len(network.layers)} layers, {network.weights:,} weights, {network.neurons:,} neurons, "
            f"T = {network.time_steps}, {network.schedule}, fingerprint {network.fingerprint[:16]}"
        )
        out.print("semantics contract:", markup=False)
        for line in (*Contract(**told["contract"]).lines(), *told["notes"]):
            out.print(f"  {line}", markup=False)
    return 0


@app.command("export", short_help="Spiking network to a NIR graph.")
def export_nir(
    network: Network,
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.nir).")],
    folded: Annotated[
        bool, typer.Option("--folded", help="No Scale nodes, for readers that know none; may round the last bit.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Write a spiking network as a NIR graph that reads back as the same network.

    NIR can say schedule stream with neurons that fire 0 or 1 and start at 0. The rules that it leaves open are in the
    graph's metadata, which spikeloom import reads; tell them to other readers.

    Example: spikeloom export snn.safetensors -o net.nir
    """
    from toolchain.interchange import write_nir
    from toolchain.netfile import check_writable, load_spiking

    check_writable(target)
    spiking = load_spiking(network)
    nodes = write_nir(spiking, target, folded=folded)
    if as_json:
        print_json({"nodes": nodes, "fingerprint": spiking.fingerprint, "file": str(target)})
    else:
        fires = "V ≥ θ" if spiking.compare == "ge" else "V > θ"
        after = "θ is subtracted" if spiking.reset == "subtract" else "V = 0"
        out.print(f"{target}: {sum(nodes.values())} nodes, fingerprint {spiking.fingerprint[:16]}")
        leak = ""
        if spiking.leaks:
            first = "before the reset, V = β·V − θ·s" if spiking.leak_order == "leak_first" else "after the reset"
            leak = f"; the membrane leaks {first}, β = 1 − dt/τ"
        if spiking.lasting:
            leak += "; synaptic currents reach the membrane in the same step, α = 1 − dt/τ"
        what = "spike" if spiking.input == "spikes" else "pixel"
        out.print(
            f"NIR does not say, so tell the reader: dt = 1; fires at {fires}; then {after}; V(0) = 0; T = {spiking.time_steps}; "
            f"Input = {what}·{spiking.pixel_scale:.6g}{leak}"
        )
    return 0
