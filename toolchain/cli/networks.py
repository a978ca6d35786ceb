"""Verbs that make networks: ``train``, ``convert``, ``quantize``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolchain.cli.shared import (
    AsJson,
    Bits,
    Clipping,
    Data,
    DataFolder,
    Network,
    Pow2,
    Source,
    TrainingData,
    Weights,
    app,
    bar,
    load_dataset,
    print_json,
    source_name,
    stages,
    use_threads,
)
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_errors, show_leaks, show_tried

if TYPE_CHECKING:
    from toolchain.datasets import Dataset

__all__ = ["METHOD_NAMES"]


METHOD_NAMES = (
    "qcfs", "optimal", "max_norm", "robust_norm", "channel_norm", "spike_norm", "rmp", "calibration", "training_free",
    "fast_snn", "snm", "ca_lif", "strelu", "strelu_floor", "leaky_relu", "spike_converter", "weighted_spikes", "tsc"
)  # fmt: skip
"""``toolchain.convert.METHODS``, which is heavy to import; a test holds them equal."""
COMPARED_IMAGES = 1000
"""Images on which convert compares source and spiking network."""


@app.command(short_help="Train a network of the zoo.")
def train(
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    architecture: Annotated[
        str, typer.Option("--architecture", "-a", help="cnn, mlp, vgg11, vgg16, resnet18 or resnet20.")
    ] = "cnn",
    data: TrainingData = "fashion-mnist",
    data_folder: DataFolder = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training set.")] = 30,
    activation: Annotated[
        str,
        typer.Option(
            "--activation", "-A", help="qcfs, relu, threshold_relu, strelu, quantized_relu or leaky_relu (clipped)."
        ),
    ] = "qcfs",
    levels: Annotated[
        int | None,
        typer.Option("--levels", "-L", help="Of qcfs (4 by default) or quantized_relu (1, 3, 7, ...; 3 by default)."),
    ] = None,
    warm_up: Annotated[int, typer.Option("--warm-up", help="First epochs, with plain ReLU as activation.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of initialization and batches.")] = 0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror half of the images (clothes, not digits).")] = False,
    crop: Annotated[
        bool, typer.Option("--crop", help="Pad images with 4 zero pixels and crop at random (CIFAR).")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="File that keeps the state after each epoch; go on from it if it is there."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, ...; the GPU where there is one by default.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; the result depends on them.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Train a source network of the zoo, seeded.

    The bundled network: spikeloom train --flip -o fashion-cnn.safetensors

    A long one that may be interrupted and repeated: spikeloom train -a vgg16 --data cifar10 --data-folder DIR
    --epochs 300 --flip --crop --checkpoint vgg16.checkpoint -o vgg16.safetensors

    Example: spikeloom train -a mlp --data mnist-subset --epochs 2 -o mlp.safetensors
    """
    from toolchain import train as trainer
    from toolchain.netfile import check_writable

    use_threads(threads)
    check_writable(target)  # before, not after, the training
    if data.endswith(".npz"):
        raise InvalidValue(
            f"{data} is one set, training needs two: --data events with a folder of train.npz and test.npz"
        )
    training, test = load_dataset(data, data_folder, "train"), load_dataset(data, data_folder)
    batches = max(1, len(training.frames) // trainer.BATCH)
    done = 0
    with bar(f"training {architecture}", max(epochs, 0) * batches) as move:

        def advance(epoch: int, loss: float) -> None:
            nonlocal done
            reached = max(done, epoch * batches) + 1  # training may go on from a checkpoint
            move(reached - done)
            done = reached

        source = trainer.train(
            architecture,
            training,
            test,
            epochs=epochs,
            levels=levels,
            activation=activation,
            seed=seed,
            flip=flip,
            crop=crop,
            warm_up=warm_up,
            checkpoint=checkpoint,
            device=device,
            progress=advance,
        )
    trainer.save_source(source, target)
    if checkpoint is not None:  # not before the network is safe
        checkpoint.unlink(missing_ok=True)
    if as_json:
        print_json({**source.provenance, "file": str(target)})
    else:
        out.print(
            f"{target}: {source.provenance['test_accuracy']:.2f} % on {source.provenance['test_images']} test images"
        )
    return 0


def _of_events(
    dataset: "Dataset", input_code: str | None, schedule: str | None, steps: int | None, target_loss: float | None
) -> tuple[str, int | None]:
    """Input and T of a network that is converted for spikes: those of the data, unless something else was asked for."""
    if input_code not in (None, "spikes"):
        raise InvalidValue(
            f"input {input_code} is made of pixels, data set {dataset.name} holds spikes: leave out --input"
        )
    if schedule == "radix":
        raise InvalidValue(
            f"data set {dataset.name} holds spikes of equal worth, in radix that of step t would be worth 2^(T-1-t): take "
            "--schedule two_phase or stream"
        )
    return "spikes", dataset.steps if steps is None and target_loss is None else steps


@app.command(short_help="Trained PyTorch or ONNX network to a spiking network.")
def convert(
    source: Source,
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    weights: Weights = None,
    method: Annotated[str, typer.Option("--method", "-m", help=f"One of {', '.join(METHOD_NAMES)}.")] = "qcfs",
    time_steps: Annotated[
        int | None, typer.Option("--time-steps", "-T", help="T; the method's own by default, 4 for most.")
    ] = None,
    target_loss: Annotated[
        float | None,
        typer.Option("--target-loss", help="In place of T: points that integers may lose; the smallest T is taken."),
    ] = None,
    most_steps: Annotated[
        int | None, typer.Option("--most-steps", help="Largest T that --target-loss tries; 64 by default.")
    ] = None,
    weight_bits: Annotated[
        int | None, typer.Option("--weight-bits", "-b", help="Integers of --target-loss, 2 to 16; 8 by default.")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="two_phase, stream, radix or switched; the method's own by default."),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(
            "--negative", help="none, symmetric, asymmetric, floor, correcting or memory; the method's own by default."
        ),
    ] = None,
    reset: Annotated[
        str | None, typer.Option("--reset", help="subtract, or zero in stream; the method's own by default.")
    ] = None,
    input_code: Annotated[
        str | None, typer.Option("--input", help="direct, bitplane, rate or spikes; the method's own by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of input rate; a fixed one by default.")] = None,
    percentile: Annotated[
        float | None, typer.Option("--percentile", help="Of robust_norm and channel_norm; 99.9 by default.")
    ] = None,
    shift: Annotated[bool, typer.Option("--shift/--no-shift", help="Start membranes at θ/2.")] = True,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    split: Annotated[str, typer.Option("--split", help="Calibrate on train or test images.")] = "test",
    images: Annotated[int, typer.Option("--images", help="Calibration images.")] = 250,
    as_json: AsJson = False,
) -> int:
    """Turn a trained PyTorch network into a floating-point spiking network.

    Unless the source has trained thresholds, they come from the calibration images: give it training images.
    With --target-loss 0.1 the result has the smallest T whose 8-bit integers lose at most 0.1 points against the
    source, on the images that both are compared on.

    Data of events make a network whose input is spikes, in the T of the data unless -T says otherwise.

    Example: spikeloom convert bundled -T 4 -o snn.safetensors
    """
    from sim import floating
    from toolchain.convert import METHODS
    from toolchain.convert import convert as convert_module
    from toolchain.ir import SpikingNetwork
    from toolchain.netfile import check_writable, save_network
    from toolchain.sources import load_module
    from toolchain.steps import MOST_STEPS, Tried, fewest_steps
    from toolchain.train import accuracy, calibration

    check_writable(target)  # before, not after, the conversion
    if target_loss is None and (most_steps, weight_bits) != (None, None):
        raise InvalidValue("--most-steps and -b go with --target-loss only; spikeloom quantize takes -b")
    if target_loss is not None and time_steps is not None:
        raise InvalidValue(f"--target-loss {target_loss:g} chooses T: leave out -T {time_steps}")
    module = load_module(source, weights)
    dataset = load_dataset(data, data_folder, split)
    if dataset.steps is not None:
        input_code, time_steps = _of_events(dataset, input_code, schedule, time_steps, target_loss)
        dataset = dataset if time_steps is None else dataset.at(time_steps)
    elif input_code == "spikes":
        raise InvalidValue(f"input spikes needs data of spikes, {data} holds pixels; take --data events or a FILE.npz")
    batch = calibration(dataset, images)

    def converted(steps: int | None) -> SpikingNetwork:
        return convert_module(
            module,
            batch,
            method,
            steps,
            schedule=schedule,
            negative=negative,
            reset=reset,
            input=input_code,
            seed=seed,
            shift=shift,
            percentile=percentile,
            name=source_name(source),
        )

    part = dataset.take(min(COMPARED_IMAGES, len(dataset.frames)))
    tried: list[Tried] = []
    with stages(f"convert {source_name(source)}") as say:
        say(f"thresholds from {len(batch)} calibration images")
        network = converted(time_steps if target_loss is None else 1)
        say(f"the source on {len(part.frames)} images")
        before = accuracy(module, part)
    if target_loss is not None:
        most = MOST_STEPS if most_steps is None else most_steps
        with bar("trying T", most) as move:
            network, tried = fewest_steps(
                network,
                part,
                before,
                target_loss=target_loss,
                most_steps=most,
                weight_bits=8 if weight_bits is None else weight_bits,
                again=converted if METHODS[method].for_one_t else None,
                progress=move,
            )
    with bar("comparing", len(part.frames)) as move:
        after = floating.accuracy(network, part.at(network.time_steps).frames, part.labels, progress=move)
    measured = {"accuracy_source": before, "accuracy_spiking": after, "accuracy_images": len(part.frames)}
    network = network.with_provenance(calibration_data=f"{Path(data).name} {split}", **measured)
    save_network(network, target)
    if as_json:
        kept = {"tried": [asdict(one) for one in tried]} if tried else {}
        print_json({**network.header(), "fingerprint": network.fingerprint, **measured, **kept, "file": str(target)})
    else:
        if tried:
            show_tried(tried)
        out.print(
            f"{target}: {len(network.layers)} layers, {network.weights:,} weights, {network.neurons:,} neurons, "
            f"T = {network.time_steps}, {network.schedule}, fingerprint {network.fingerprint[:16]}"
        )
        out.print(
            f"{before:.2f} % for the source and {after:.2f} % as a floating-point spiking network "
            f"on {len(part.frames):,} images of {data} {split}"
        )
    return 0


@app.command(short_help="Spiking network to integers, and what that costs.")
def quantize(
    network: Network,
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    weight_bits: Bits = 8,
    clipping: Clipping = "max",
    pow2: Pow2 = False,
    time_steps: Annotated[int | None, typer.Option("--time-steps", "-T", help="Another T than the file's.")] = None,
    data: Data = "bundled",
    data_folder: DataFolder = None,
    images: Annotated[int, typer.Option("--images", help="Images for the error table.")] = 500,
    table: Annotated[
        bool,
        typer.Option("--table/--no-table", help="Measure errors on images; needs a data set of the network's shape."),
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Turn a spiking network into integers and show what that costs, layer by layer.

    Example: spikeloom quantize snn.safetensors -b 8 -o net.safetensors
    """
    from toolchain import quantize as quantizer
    from toolchain.encoding import check_frames
    from toolchain.netfile import check_writable, load_spiking, save_network

    check_writable(target)  # before, not after, the error table
    spiking = load_spiking(network)
    if time_steps is not None:
        spiking = spiking.with_time_steps(time_steps)
    fixed = quantizer.quantize(spiking, weight_bits, clipping=clipping, pow2=pow2)
    errors = None
    if table:
        dataset = load_dataset(data, data_folder, images=images)
        if spiking.input == "spikes":
            dataset = dataset.at(spiking.time_steps)
        try:
            check_frames(dataset.frames, spiking)
        except InvalidValue as error:
            raise InvalidValue(f"{data}: {error}; choose --data that fits, or --no-table") from error
        with bar("one layer at a time", (len(spiking.layers) + 1) * len(dataset.frames)) as move:
            errors = quantizer.error_table(
                spiking, dataset.frames, dataset.labels, weight_bits, clipping=clipping, pow2=pow2, progress=move
            )
    save_network(fixed, target)
    membranes, currents = quantizer.leak_errors(spiking), quantizer.current_leak_errors(spiking)
    if as_json:
        print_json(
            {
                **fixed.header(),
                "fingerprint": fixed.fingerprint,
                "membrane_bits": fixed.membrane_bits,
                "errors": [] if errors is None else json.loads(errors.to_json(orient="records")),
                **{
                    name: [asdict(leak) for leak in leaks]
                    for name, leaks in (("leaks", membranes), ("current_leaks", currents))
                    if leaks
                },
                "file": str(target),
            }
        )
    else:
        if errors is not None:
            show_errors(errors, images)
        show_leaks(membranes)
        show_leaks(currents, currents=True)
        out.print(
            f"{target}: {weight_bits}-bit weights, {fixed.membrane_bits}-bit membranes, "
            f"fingerprint {fixed.fingerprint[:16]}"
        )
    return 0
