"""Train the zoo's source networks with one seeded command, and keep them with their provenance."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from toolchain import zoo
from toolchain.checkpoint import Checkpoint
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.netfile import replacing
from toolchain.nn import ACTIVATIONS, QCFS, QuantizedReLU

__all__ = [
    "TrainedSource",
    "accuracy",
    "calibration",
    "descend",
    "load_source",
    "pixels_to_input",
    "save_source",
    "train",
]

BATCH = 128
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
INITIAL_THRESHOLD = 2.0
"""Start of λ: batch norm gives unit variance, so two deviations use all levels from the first step."""
CROP_PADDING = 4
"""Zero pixels around a frame that is cropped at random (He et al., CVPR 2016, section 4.2)."""


@dataclass(frozen=True, eq=False)
class TrainedSource:
    """A trained zoo network and where it comes from (JSON values)."""

    module: nn.Module
    provenance: dict[str, Any]


def pixels_to_input(frames: Tensor) -> Tensor:
    """Source networks see ``pixel / 255``; uint8 in, float32 out, any shape.

    Of spikes, int8 ``[N, T, C, H, W]``, they see the mean over the T steps, float32 ``[N, C, H, W]``: the share of steps in
    which a place spikes, 0 to 1.
    """
    if frames.ndim == 5:
        return frames.sum(dim=1, dtype=torch.float32) / frames.shape[1]
    return frames.float() / 255


def calibration(dataset: Dataset, images: int) -> torch.Tensor:
    """The first ``images`` frames as a source network sees them, float32 ``[N, C, H, W]``."""
    return pixels_to_input(torch.tensor(dataset.take(images).frames))


def accuracy(module: nn.Module, dataset: Dataset) -> float:
    """Share of right predictions, in per cent."""
    module.eval()
    with torch.inference_mode():
        parts = torch.tensor(dataset.frames).split(500)
        predicted = torch.cat([module(pixels_to_input(part)).argmax(dim=1) for part in parts])
    return float((predicted == torch.tensor(dataset.labels)).double().mean()) * 100


def _check_fit(module: nn.Module, architecture: str, training: Dataset, test: Dataset) -> None:
    """Refuse data that the architecture cannot take, before any training."""
    shape = training.frames.shape[2:] if training.steps is not None else zoo.ARCHITECTURES[architecture].input_shape
    if len(training.frames) < 2:
        raise InvalidValue(
            f"data set {training.name} has {len(training.frames)} training image, batch norm needs at least 2"
        )
    for part in (training, test):
        if part.steps != training.steps:
            raise InvalidValue(
                f"data sets {training.name} and {part.name} have {training.steps} and {part.steps} time steps; bin both with "
                "the same -T"
            )
        try:
            classes = module.eval()(pixels_to_input(torch.tensor(part.frames[:1]))).shape[1]
        except RuntimeError as error:
            raise InvalidValue(
                f"architecture {architecture} does not take frames of shape {part.frames.shape[-3:]} of data set "
                f"{part.name}, only {shape}"
            ) from error
        if part.labels.max() >= classes:
            raise InvalidValue(
                f"data set {part.name} has label {part.labels.max()}, architecture {architecture} has {classes} classes, "
                f"0 to {classes - 1}"
            )


def _optimizer(module: nn.Module) -> torch.optim.SGD:
    learned = ("threshold", "step")  # of the activations
    thresholds = [p for n, p in module.named_parameters() if n.endswith(learned)]
    others = [p for n, p in module.named_parameters() if not n.endswith(learned)]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": thresholds, "weight_decay": 0.0}]
    return torch.optim.SGD(
        groups,
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
    )


def _start_thresholds(module: nn.Module) -> None:
    """Set what the activations learn to ``INITIAL_THRESHOLD``."""
    for layer in module.modules():
        if isinstance(layer, QCFS):
            layer.threshold.data.fill_(INITIAL_THRESHOLD)
        elif isinstance(layer, QuantizedReLU):
            layer.step.data.fill_(INITIAL_THRESHOLD / layer.levels)


def _warm(module: nn.Module, warm: bool) -> None:
    """Plain ReLU in place of the activations if ``warm``; what they learn then has no gradient and stays."""
    for layer in module.modules():
        if isinstance(layer, ACTIVATIONS):
            if warm:
                layer.forward = torch.relu  # type: ignore[method-assign, assignment]
            else:
                vars(layer).pop("forward", None)


def crop_at_random(frames: Tensor) -> Tensor:
    """Each of ``[N, C, H, W]`` moved by −4 to 4 pixels both ways, zeros where it was not."""
    images, _, height, width = frames.shape
    top, left = torch.randint(0, 2 * CROP_PADDING + 1, (2, images))
    padded = nn.functional.pad(frames, (CROP_PADDING,) * 4)
    return padded.unfold(2, height, 1).unfold(3, width, 1)[torch.arange(images), :, top, left]


def _mirror_half(frames: Tensor) -> Tensor:
    mirrored = (torch.rand(len(frames)) < 0.5).to(frames.device)
    return torch.where(mirrored[:, None, None, None], frames.flip(3), frames)


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # an assertion in a torch without CUDA
        raise InvalidValue(
            f"device is {name!r}, must be a torch device of this machine, such as cpu or cuda"
        ) from error
    return torch.device(name)


_UNSAID = {
    "activation": "qcfs",
    "levels": None,
    "time_steps": None,
    "input_shape": None,
    "classes": 10,
    "crop": False,
    "warm_up": 0,
    "device": "cpu",
}
"""Options that provenance leaves out at these values, so that files of before they existed stay the same."""


def descend(
    module: nn.Module,
    x: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Tensor:
    """One step of training on a batch ``x`` with ``labels`` int64 ``[N]``; returns the cross-entropy before it."""
    loss = nn.functional.cross_entropy(module(x), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
    return loss


def _digest(dataset: Dataset) -> str:
    return hashlib.sha256(dataset.frames.tobytes() + dataset.labels.tobytes()).hexdigest()[:16]


def train(
    architecture: str,
    training: Dataset,
    test: Dataset,
    *,
    epochs: int = 30,
    levels: int | None = None,
    activation: str = "qcfs",
    seed: int = 0,
    flip: bool = False,
    crop: bool = False,
    warm_up: int = 0,
    checkpoint: Path | None = None,
    device: str | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> TrainedSource:
    """Train from scratch with SGD (Nesterov) under a one-cycle learning rate.

    What the activations learn has no weight decay. Same seed, device, thread count and torch version: same
    network; on a GPU up to rounding.

    Parameters
    ----------
    epochs : int
        Passes over ``training``.
    levels : int
        L of QCFS, Q = 2^bits − 1 of the quantized ReLU; ``None`` takes the usual number of ``zoo.LEVELS``.
    activation : str
        One of ``zoo.ACTIVATIONS``.
    flip : bool
        Mirror half of the images left to right (clothes, not digits).
    crop : bool
        Pad each image with 4 zero pixels and crop it at random (CIFAR).
    warm_up : int
        First epochs, in which plain ReLU stands in place of the activations; Deng & Gu (ICLR 2021) use 20.
    checkpoint : Path
        Takes the whole state after each epoch. If it exists, training goes on from there and gives the same
        network as without the interruption (on a GPU up to rounding); removed on success.
    device : str
        A torch device; ``None`` takes the GPU where there is one. The result is on the CPU.
    progress : callable
        Called after each batch with the epoch and the loss.

    Raises
    ------
    InvalidValue
        Unknown architecture, activation or device, ``epochs < 1``, wrong ``levels``, ``warm_up`` not in 0 to
        ``epochs - 1``, frames that do not fit, or a checkpoint of other options.
    NetworkFileError
        ``checkpoint`` is another kind of file.
    """
    if epochs < 1:
        raise InvalidValue(f"epochs is {epochs}, must be at least 1")
    if not 0 <= warm_up < epochs:
        raise InvalidValue(f"warm_up is {warm_up}, must be at least 0 and below the {epochs} epochs")
    where = _device(device)
    torch.manual_seed(seed)
    shape = None if training.steps is None else training.frames.shape[2:]
    module = zoo.build(architecture, levels, activation, training.classes, shape)
    _start_thresholds(module)
    _check_fit(module, architecture, training, test)
    frames, labels = torch.tensor(training.frames).to(where), torch.tensor(training.labels).to(where)
    module.to(where)
    optimizer = _optimizer(module)
    batches = max(1, len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = {
        "architecture": architecture,
        "activation": activation,
        "levels": (zoo.LEVELS[activation] if levels is None else levels) if activation in zoo.LEVELS else None,
        "classes": training.classes,
        "dataset": training.name,
        "training_images": len(frames),
        "time_steps": training.steps,
        "input_shape": None if shape is None else list(shape),
        "epochs": epochs,
        "seed": seed,
        "flip": flip,
        "crop": crop,
        "warm_up": warm_up,
        "device": str(where),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    state = None
    if checkpoint is not None:
        state = Checkpoint(checkpoint, {**options, "training data": _digest(training)}, module, optimizer, schedule)
    module.train()
    for epoch in range(state.resume() if state else 0, epochs):
        _warm(module, epoch < warm_up)
        order = torch.randperm(len(frames))
        for batch in range(batches):
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            x = pixels_to_input(frames[chosen])
            if crop:
                x = crop_at_random(x)
            if flip:
                x = _mirror_half(x)
            loss = descend(module, x, labels[chosen], optimizer, schedule)
            if progress:
                progress(epoch, loss.item())
        if state:
            state.save(epoch + 1)
    module.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    provenance = {
        **{name: value for name, value in options.items() if value != _UNSAID.get(name, ...)},
        "test_images": len(test.frames),
        "test_accuracy": round(accuracy(module, test), 2),
    }
    return TrainedSource(module, provenance)


def save_source(source: TrainedSource, path: Path) -> None:
    """Write weights and provenance as one safetensors file."""
    state = {name: value.contiguous() for name, value in source.module.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(state, {"spikeloom_source": json.dumps(source.provenance, sort_keys=True)}))


def load_source(path: Path) -> TrainedSource:
    """Read what ``save_source`` wrote.

    Raises
    ------
    NetworkFileError
        Missing or truncated file, or not a trained source network.
    """
    if path.is_dir():
        raise NetworkFileError(f"source network {path} is a folder, must be a file of spikeloom train")
    try:
        with safe_open(path, "pt") as file:
            provenance = json.loads((file.metadata() or {})["spikeloom_source"])
        module = zoo.build(
            provenance["architecture"],
            provenance.get("levels"),
            provenance.get("activation", "qcfs"),
            provenance.get("classes", 10),
            provenance.get("input_shape"),
        )
        module.load_state_dict(load_file(path))
    except OSError as error:
        raise NetworkFileError(f"cannot read source network {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise NetworkFileError(
            f"{path} is not a trained source network; make one with spikeloom train, or give weights of your own "
            f"with their module: FILE.py:FUNCTION --weights {path}"
        ) from error
    return TrainedSource(module.eval(), provenance)
