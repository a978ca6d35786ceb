"""Train the zoo's source networks with one seeded command, and keep them with their provenance."""

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
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.netfile import replacing
from toolchain.nn import QCFS

__all__ = ["TrainedSource", "accuracy", "calibration", "load_source", "pixels_to_input", "save_source", "train"]

BATCH = 128
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
INITIAL_THRESHOLD = 2.0
"""Start of λ: batch norm gives unit variance, so two deviations use all levels from the first step."""


@dataclass(frozen=True, eq=False)
class TrainedSource:
    """A trained zoo network and where it comes from (JSON values)."""

    module: nn.Module
    provenance: dict[str, Any]


def pixels_to_input(frames: Tensor) -> Tensor:
    """Source networks see ``pixel / 255``; uint8 in, float32 out, any shape."""
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
    if len(training.frames) < 2:
        raise InvalidValue(
            f"data set {training.name} has {len(training.frames)} training image, batch norm needs at least 2"
        )
    for part in (training, test):
        try:
            classes = module.eval()(pixels_to_input(torch.tensor(part.frames[:1]))).shape[1]
        except RuntimeError as error:
            raise InvalidValue(
                f"architecture {architecture} does not take frames of shape {part.frames.shape[1:]} of data set "
                f"{part.name}, only (1, 28, 28)"
            ) from error
        if part.labels.max() >= classes:
            raise InvalidValue(
                f"data set {part.name} has label {part.labels.max()}, architecture {architecture} has {classes} classes, "
                f"0 to {classes - 1}"
            )


def _optimizer(module: nn.Module) -> torch.optim.SGD:
    thresholds = [p for n, p in module.named_parameters() if n.endswith("threshold")]
    others = [p for n, p in module.named_parameters() if not n.endswith("threshold")]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": thresholds, "weight_decay": 0.0}]
    return torch.optim.SGD(
        groups,
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
    )


def train(
    architecture: str,
    training: Dataset,
    test: Dataset,
    *,
    epochs: int = 30,
    levels: int = 4,
    activation: str = "qcfs",
    seed: int = 0,
    flip: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> TrainedSource:
    """Train from scratch with SGD (Nesterov) under a one-cycle learning rate.

    λ of the activations has no weight decay. Same seed, thread count and torch version: same network.

    Parameters
    ----------
    epochs, levels : int
        Passes over ``training``; QCFS levels L.
    activation : str
        One of ``zoo.ACTIVATIONS``.
    flip : bool
        Mirror half of the images left to right (clothes, not digits).
    progress : callable
        Called after each batch with the epoch and the loss.

    Raises
    ------
    InvalidValue
        Unknown architecture, ``epochs < 1``, ``levels < 1``, or frames that do not fit.
    """
    if epochs < 1:
        raise InvalidValue(f"epochs is {epochs}, must be at least 1")
    torch.manual_seed(seed)
    module = zoo.build(architecture, levels, activation)
    for layer in module.modules():
        if isinstance(layer, QCFS):
            layer.threshold.data.fill_(INITIAL_THRESHOLD)
    frames = pixels_to_input(torch.tensor(training.frames))
    labels = torch.tensor(training.labels)
    _check_fit(module, architecture, training, test)
    optimizer = _optimizer(module)
    batches = max(1, len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train()
    for epoch in range(epochs):
        order = torch.randperm(len(frames))
        for batch in range(batches):
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            x = frames[chosen]
            if flip:
                mirrored = torch.rand(len(chosen)) < 0.5
                x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            loss = nn.functional.cross_entropy(module(x), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if progress:
                progress(epoch, loss.item())
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    provenance = {
        "architecture": architecture,
        **({"levels": levels} if activation == "qcfs" else {"activation": activation}),
        "dataset": training.name,
        "training_images": len(frames),
        "epochs": epochs,
        "seed": seed,
        "flip": flip,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
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
            provenance["architecture"], provenance.get("levels", 4), provenance.get("activation", "qcfs")
        )
        module.load_state_dict(load_file(path))
    except OSError as error:
        raise NetworkFileError(f"cannot read source network {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise NetworkFileError(f"{path} is not a trained source network; make one with spikeloom train") from error
    return TrainedSource(module.eval(), provenance)
