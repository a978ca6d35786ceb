"""The ``spikeloom`` command line: options in, one call of ``toolchain.flow``, tables or JSON out.

Heavy modules are imported inside the commands, so that help and wrong options answer at once.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toolchain import __version__
from toolchain.errors import InvalidValue, SpikeloomError
from toolchain.tables import out, show_cycles, show_energy, show_errors, show_verdict

if TYPE_CHECKING:
    import numpy as np

    from toolchain.datasets import Dataset
    from toolchain.ir import FixedPointNetwork

__all__ = ["app", "run"]

app = typer.Typer(
    name="spikeloom",
    help="From a trained PyTorch network to verified Verilog of a spiking network, and the truth about its energy.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
log = Console(stderr=True, highlight=False)

_METHODS = (
    "qcfs", "optimal", "max_norm", "rmp", "robust_norm", "channel_norm", "training_free", "strelu", "spike_converter"
)  # fmt: skip
"""``toolchain.convert.METHODS``, which is heavy to import; a test holds them equal."""
COMPARED_IMAGES = 1000
"""Images on which convert compares source and spiking network."""

# Typer carries its own copy of Click since 0.2x, or uses Click's: take the base from what it exports.
_ClickException: Any = typer.BadParameter.__mro__[2]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Network = Annotated[Path, typer.Argument(metavar="NET", help="Network file (.safetensors).")]
Data = Annotated[str, typer.Option("--data", help="bundled, fashion-mnist, idx, mnist-subset or digits.")]
TrainingData = Annotated[str, typer.Option("--data", help="fashion-mnist, idx, mnist-subset or digits.")]
FramesFrom = Annotated[str, typer.Option("--data", help="A data set as elsewhere, or random frames.")]
DataFolder = Annotated[Path | None, typer.Option("--data-folder", help="Folder of the data set's files.")]
Lanes = Annotated[int, typer.Option("--lanes", "-P", help="Neurons updated a cycle, 1 to 64.")]
Bits = Annotated[int, typer.Option("--weight-bits", "-b", help="Weight width, 2 to 16.")]
Clipping = Annotated[str, typer.Option("--clipping", help="Scale of a channel: max (nothing clipped) or mse.")]
SimulatorName = Annotated[str, typer.Option("--simulator", help="verilator or icarus.")]


@contextmanager
def _bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error; yields the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_interactive) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2))


def _load(data: str, folder: Path | None, split: str = "test", images: int | None = None) -> "Dataset":
    from toolchain import datasets

    dataset = datasets.load(data, split, folder)
    return dataset if images is None else dataset.take(images)


def _frames(network: "FixedPointNetwork", data: str, folder: Path | None, images: int, seed: int) -> "np.ndarray":
    """Frames to run hardware on, uint8 ``[images, C, H, W]``."""
    from toolchain import flow

    if data == "random":
        return flow.random_frames(network, images, seed)
    return _load(data, folder, images=images).frames


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("build/demo"),
    images: Annotated[int, typer.Option("--images", help="Images to verify in simulation, 1 to 1000.")] = 20,
    lanes: Lanes = 16,
    simulator: SimulatorName = "verilator",
    as_json: AsJson = False,
) -> int:
    """The main job on the bundled trained network and images.

    Convert, quantize, generate Verilog, verify it bit by bit, count energy; ends in FOLDER/summary.json.

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
    accuracy = job.convert()
    say(
        f"[bold]2 Convert[/]   batch norm and pooling folded, T = {job.spiking.time_steps}, {job.spiking.schedule}: "
        f"{accuracy:.2f} % as a floating-point spiking network"
    )
    with _bar("one layer at a time", (len(job.spiking.layers) + 1) * flow.TABLE_IMAGES) as move:
        accuracy, errors = job.quantize(move)
    say(
        f"[bold]3 Quantize[/]  {job.fixed.weight_bits}-bit weights, membranes proven to fit {job.fixed.membrane_bits} bits: "
        f"{accuracy:.2f} % in integers, fingerprint {job.fixed.fingerprint[:16]}"
    )
    if not as_json:
        show_errors(errors, flow.TABLE_IMAGES)
    bundle = job.generate()
    say(f"[bold]4 Generate[/]  {lanes} lanes in {bundle.verilog}")
    say(f"[bold]5 Verify[/]    every spike of {images} images against the golden model, on {simulator}")
    with _bar(f"compiling for {simulator}, then simulating", images) as move:
        result = job.verify(move)
    if not as_json:
        show_verdict(result)
    say(
        f"[bold]6 Energy[/]    all {len(job.dataset.frames):,} images at T = "
        + ", ".join(map(str, flow.ENERGY_TIME_STEPS))
    )
    with _bar("counting", len(flow.ENERGY_TIME_STEPS) * len(job.dataset.frames)) as move:
        rows = job.energy(move)
    if not as_json:
        show_energy(rows, job.profiles)
    summary = job.summary()
    if as_json:
        _print_json(summary)
    say(f"Summary in {folder / 'summary.json'}, tables in {folder / 'energy.csv'} and {folder / 'energy.json'}")
    return 0 if result.passed else 1


@app.command()
def train(
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    architecture: Annotated[str, typer.Option("--architecture", "-a", help="cnn or mlp.")] = "cnn",
    data: TrainingData = "fashion-mnist",
    data_folder: DataFolder = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training set.")] = 30,
    activation: Annotated[
        str, typer.Option("--activation", "-A", help="qcfs, relu, threshold_relu or strelu.")
    ] = "qcfs",
    levels: Annotated[int, typer.Option("--levels", "-L", help="QCFS levels.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of initialization and batches.")] = 0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror half of the images (clothes, not digits).")] = False,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; the result depends on them.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Train a source network of the zoo, seeded.

    The bundled network: spikeloom train --flip -o fashion-cnn.safetensors

    Example: spikeloom train -a mlp --data mnist-subset --epochs 2 -o mlp.safetensors
    """
    import torch

    from toolchain import train as trainer
    from toolchain.netfile import check_writable

    if not 1 <= threads <= 1024:
        raise InvalidValue(f"threads is {threads}, must be 1 to 1024")
    check_writable(target)  # before, not after, the training
    training, test = _load(data, data_folder, "train"), _load(data, data_folder)
    torch.set_num_threads(threads)
    batches = max(1, len(training.frames) // trainer.BATCH)
    with _bar(f"training {architecture}", max(epochs, 0) * batches) as move:
        source = trainer.train(
            architecture,
            training,
            test,
            epochs=epochs,
            levels=levels,
            activation=activation,
            seed=seed,
            flip=flip,
            progress=lambda epoch, loss: move(1),
        )
    trainer.save_source(source, target)
    if as_json:
        _print_json({**source.provenance, "file": str(target)})
    else:
        out.print(
            f"{target}: {source.provenance['test_accuracy']:.2f} % on {source.provenance['test_images']} test images"
        )
    return 0


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="FILE.safetensors of spikeloom train, bundled, or FILE.py:FUNCTION.")],
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    weights: Annotated[Path | None, typer.Option("--weights", help="State dict (.safetensors) for FILE.py.")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help=f"One of {', '.join(_METHODS)}.")] = "qcfs",
    time_steps: Annotated[int, typer.Option("--time-steps", "-T", help="T.")] = 4,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="two_phase, stream or radix; the method's own by default.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option("--negative", help="none, symmetric or correcting; the method's own by default.")
    ] = None,
    reset: Annotated[
        str | None, typer.Option("--reset", help="subtract, or zero in stream; the method's own by default.")
    ] = None,
    percentile: Annotated[float, typer.Option("--percentile", help="Of robust_norm and channel_norm.")] = 99.9,
    shift: Annotated[bool, typer.Option("--shift/--no-shift", help="Start membranes at θ/2.")] = True,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    split: Annotated[str, typer.Option("--split", help="Calibrate on train or test images.")] = "test",
    images: Annotated[int, typer.Option("--images", help="Calibration images.")] = 250,
    as_json: AsJson = False,
) -> int:
    """Turn a trained PyTorch network into a floating-point spiking network.

    All methods but qcfs and strelu take thresholds from the calibration images: give them training images.

    Example: spikeloom convert bundled -T 4 -o snn.safetensors
    """
    from sim import floating
    from toolchain import zoo
    from toolchain.convert import convert as convert_module
    from toolchain.netfile import save_network
    from toolchain.sources import load_module
    from toolchain.train import accuracy, calibration

    module = load_module(str(zoo.BUNDLED_WEIGHTS) if source == "bundled" else source, weights)
    dataset = _load(data, data_folder, split)
    batch = calibration(dataset, images)
    name = Path(source.rpartition(":")[0] or source).stem
    network = convert_module(
        module,
        batch,
        method,
        time_steps,
        schedule=schedule,
        negative=negative,
        reset=reset,
        shift=shift,
        percentile=percentile,
        name=name,
    )
    part = dataset.take(min(COMPARED_IMAGES, len(dataset.frames)))
    before = accuracy(module, part)
    with _bar("comparing", len(part.frames)) as move:
        after = floating.accuracy(network, part.frames, part.labels, progress=move)
    measured = {"accuracy_source": before, "accuracy_spiking": after, "accuracy_images": len(part.frames)}
    network = network.with_provenance(calibration_data=f"{data} {split}", **measured)
    save_network(network, target)
    if as_json:
        _print_json({**network.header(), "fingerprint": network.fingerprint, **measured, "file": str(target)})
    else:
        out.print(
            f"{target}: {len(network.layers)} layers, {network.weights:,} weights, {network.neurons:,} neurons, "
            f"T = {time_steps}, {network.schedule}, fingerprint {network.fingerprint[:16]}"
        )
        out.print(
            f"{before:.2f} % for the source and {after:.2f} % as a floating-point spiking network "
            f"on {len(part.frames):,} images of {data} {split}"
        )
    return 0


@app.command()
def quantize(
    network: Network,
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    weight_bits: Bits = 8,
    clipping: Clipping = "max",
    time_steps: Annotated[int | None, typer.Option("--time-steps", "-T", help="Another T than the file's.")] = None,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int, typer.Option("--images", help="Images for the error table.")] = 500,
    as_json: AsJson = False,
) -> int:
    """Turn a spiking network into integers and show what that costs, layer by layer.

    Example: spikeloom quantize snn.safetensors -b 8 -o net.safetensors
    """
    from toolchain import quantize as quantizer
    from toolchain.netfile import load_spiking, save_network

    spiking = load_spiking(network)
    if time_steps is not None:
        spiking = spiking.with_time_steps(time_steps)
    fixed = quantizer.quantize(spiking, weight_bits, clipping=clipping)
    dataset = _load(data, data_folder, images=images)
    with _bar("one layer at a time", (len(spiking.layers) + 1) * len(dataset.frames)) as move:
        errors = quantizer.error_table(
            spiking, dataset.frames, dataset.labels, weight_bits, clipping=clipping, progress=move
        )
    save_network(fixed, target)
    if as_json:
        _print_json(
            {
                **fixed.header(),
                "fingerprint": fixed.fingerprint,
                "membrane_bits": fixed.membrane_bits,
                "errors": json.loads(errors.to_json(orient="records")),
                "file": str(target),
            }
        )
    else:
        show_errors(errors, images)
        out.print(
            f"{target}: {weight_bits}-bit weights, {fixed.membrane_bits}-bit membranes, "
            f"fingerprint {fixed.fingerprint[:16]}"
        )
    return 0


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
    """Write Verilog, port map, FuseSoC core file, and a cocotb test bench.

    Example: spikeloom generate net.safetensors -P 16 -o rtl
    """
    from toolchain import flow
    from toolchain.netfile import load_fixed_point

    fixed = load_fixed_point(network)
    bundle = flow.generate(fixed, folder, lanes=lanes, frames=_frames(fixed, data, data_folder, images, seed))
    if as_json:
        _print_json({**bundle.describe(), "verilog": str(bundle.verilog)})
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
    frames = _frames(fixed, data, data_folder, images, seed)
    runner.check(fixed, frames, simulator=simulator, stall=stall)  # before hardware is generated
    bundle, fixed = flow.bundle_for(network, lanes=lanes, folder=folder)
    with _bar(f"compiling for {simulator}, then simulating", images) as move:
        result = runner.verify(bundle, fixed, frames, simulator=simulator, stall=stall, seed=seed, progress=move)
    if as_json:
        _print_json(result.summary())
    else:
        show_verdict(result)
        show_cycles(result)
    return 0 if result.passed else 1


def _steps(text: str) -> list[int]:
    """``1,2,4`` or ``1..8`` as a list of T."""
    from toolchain.ir import MAX_TIME_STEPS

    steps: Sequence[int]
    try:
        first, dots, last = text.partition("..")
        steps = range(int(first), int(last) + 1) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        steps = []
    if not steps:
        raise InvalidValue(f"time steps {text!r} is not a list such as 1,2,4 or a range such as 1..8")
    for step in (steps[0], steps[-1]) if dots else steps:
        if not 1 <= step <= MAX_TIME_STEPS:
            raise InvalidValue(f"time steps is {step}, must be 1 to {MAX_TIME_STEPS}")
    return list(steps)


@app.command()
def energy(
    network: Network,
    steps: Annotated[
        str | None, typer.Option("--time-steps", "-T", help="List 1,2,4 or range 1..8; 1,2,4,8,16 by default.")
    ] = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", "-b", help="2 to 16; 8 by default.")] = None,
    clipping: Annotated[str | None, typer.Option("--clipping", help="max (default) or mse.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="45nm-int, 45nm-fp32-legacy or a TOML file; repeatable.")
    ] = None,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int | None, typer.Option("--images", help="Images to run; all by default.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    js: Annotated[Path | None, typer.Option("--json-file", help="File for the table as JSON.")] = None,
    as_json: AsJson = False,
) -> int:
    """Synaptic operations against multiply-accumulates, and compute energy, for each T.

    NET is a spiking network (quantized anew for each T) or a fixed-point one (at its own T).

    Example: spikeloom energy snn.safetensors -T 1,2,4 --csv energy.csv
    """
    from toolchain import flow
    from toolchain.energy import PROFILES, load_profile
    from toolchain.ir import SpikingNetwork
    from toolchain.netfile import check_writable, load_network

    for target in (csv, js):  # before, not after, the counting
        if target is not None:
            check_writable(target)
    chosen = [load_profile(name) for name in profile or PROFILES]
    times = _steps("1,2,4,8,16" if steps is None else steps)
    loaded = load_network(network)
    if not isinstance(loaded, SpikingNetwork) and (steps, weight_bits, clipping) != (None, None, None):
        raise InvalidValue(
            f"{network} is a fixed-point network with its own T, its own weight bits and clipping: leave out -T, -b and "
            "--clipping, or give the spiking network"
        )
    dataset = _load(data, data_folder, images=images)
    sweep = isinstance(loaded, SpikingNetwork)
    with _bar("counting", (len(times) if sweep else 1) * len(dataset.frames)) as move:
        if isinstance(loaded, SpikingNetwork):
            rows = flow.energy_sweep(
                loaded,
                dataset,
                time_steps=times,
                weight_bits=8 if weight_bits is None else weight_bits,
                clipping=clipping or "max",
                profiles=chosen,
                progress=move,
            )
        else:
            rows = flow.fixed_energy(loaded, dataset, profiles=chosen, progress=move)
    content = flow.write_energy(rows, chosen, dataset, csv, js, provenance=loaded.provenance)
    if as_json:
        _print_json(content)
    else:
        show_energy(rows, chosen)
        if source := content["source"]:
            out.print(
                f"The FP32 source reached {source['accuracy_source']:.2f} % on {source['accuracy_images']:,} images of "
                f"{source['calibration_data']} when it was converted."
            )
    return 0


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """From a trained PyTorch network to verified Verilog of a spiking network, and the truth about its energy."""
    if version:
        out.print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise InvalidValue("no command is given; spikeloom --help lists them")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors become one line on standard error and exit code 2."""
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "spikeloom"
        message = " ".join(error.format_message().split())
        if hasattr(error.__cause__, "errors"):  # Typer converts through pydantic, whose text leaves the value out
            message += f", not {error.__cause__.errors()[0]['input']!r}"
        log.print(f"error: {message}; see {command} --help", markup=False, soft_wrap=True)
        return 2
    except SpikeloomError as error:
        log.print(f"error: {' '.join(str(error).split())}", markup=False, soft_wrap=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        log.print("stopped")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:  # a path too long or in a folder without permission, a full disk
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        log.print(
            f"error: {where}{error.strerror}; choose another path or check its permissions",
            markup=False,
            soft_wrap=True,
        )
        return 2
    return int(code or 0)
