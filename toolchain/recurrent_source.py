"""Recurrent source networks: threshold ReLU layers that carry what they clip to the next token, and their training.

The small sequence task is scikit-learn's 8×8 digits read row by row: 8 tokens of 8 pixels.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.nn import ThresholdReLU
from toolchain.recurrent import Leak
from toolchain.train import TrainedSource, descend, pixels_to_input

__all__ = ["RecurrentSource", "ResidualThresholdReLU", "accuracy", "rows", "train_recurrent"]

BATCH = 64
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-2
LEAK = Leak(1, 2)
"""τ = 0.75, the longest memory of two shifts."""


class ResidualThresholdReLU(nn.Module):
    """Dense layer with memory, ``[N, S, C_in]`` to ``[N, S, C_out]``.

    Token by token, from ``r_0 = 0``: ``z_t = W·x_t + b + τ·r_{t−1}``, ``a_t = min(max(z_t, 0), y_th)``, ``r_t = z_t − a_t``.

    Source: Deng & Gu, ICLR 2021, appendix (a reading of its text). τ is a ``Leak``, so that hardware shifts compute
    what was trained.

    Raises
    ------
    InvalidValue
        ``threshold <= 0``.
    """

    def __init__(self, inputs: int, outputs: int, leak: Leak, threshold: float = 1.0):
        super().__init__()
        self.synapses = nn.Linear(inputs, outputs)
        self.activation = ThresholdReLU(threshold)
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        drive = self.synapses(x)
        residual = torch.zeros_like(drive[:, 0])
        activations = []
        for token in range(drive.shape[1]):
            z = drive[:, token] + self.leak.value * residual
            activations.append(self.activation(z))
            residual = z - activations[-1]
        return torch.stack(activations, dim=1)

    def extra_repr(self) -> str:
        return f"τ={self.leak.value}"


class RecurrentSource(nn.Module):
    """A chain of ``ResidualThresholdReLU`` and a linear readout that adds up all tokens; ``[N, S, C]`` to scores.

    Parameters
    ----------
    sizes : tuple of int
        Pixels of a token, hidden channels of each layer, classes; at least three numbers of at least 1.
    leak, threshold
        τ and y_th of every layer.

    Raises
    ------
    InvalidValue
        Too few sizes, one below 1, or ``threshold <= 0``.
    """

    def __init__(self, sizes: tuple[int, ...], leak: Leak, threshold: float = 1.0):
        super().__init__()
        if len(sizes) < 3 or min(sizes) < 1:
            raise InvalidValue(f"sizes is {sizes}, must be inputs, hidden channels and classes, each at least 1")
        hidden = pairwise(sizes[:-1])
        self.layers = nn.Sequential(*(ResidualThresholdReLU(i, o, leak, threshold) for i, o in hidden))
        self.readout = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.readout(self.layers(x)).sum(dim=1)
        return total


def rows(dataset: Dataset) -> np.ndarray:
    """Images read row by row: uint8 ``[N, 1, H, W]`` frames as sequences ``[N, S = H, C = W]``.

    Raises
    ------
    InvalidValue
        Frames of more than one channel.
    """
    if dataset.frames.shape[1] != 1:
        raise InvalidValue(
            f"data set {dataset.name}: frames have {dataset.frames.shape[1]} channels, rows are read from 1"
        )
    return dataset.frames[:, 0]


def accuracy(module: nn.Module, sequences: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions on uint8 ``[N, S, C]``, in per cent; ``labels`` int64 ``[N]``."""
    with torch.inference_mode():
        predicted = module(pixels_to_input(torch.tensor(sequences))).argmax(dim=1)
    return 100 * float((predicted.numpy() == labels).mean())


def train_recurrent(
    training: Dataset,
    test: Dataset,
    *,
    hidden: tuple[int, ...] = (64, 64),
    leak: Leak = LEAK,
    epochs: int = 120,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> TrainedSource:
    """Train a ``RecurrentSource`` on images read row by row, AdamW under a one-cycle learning rate.

    Same seed, thread count and torch version: same network.

    Parameters
    ----------
    hidden : tuple of int
        Channels of the layers before the readout.
    progress : callable
        Called after each epoch with its number and its last loss.

    Raises
    ------
    InvalidValue
        ``epochs < 1``, no hidden layer, frames of several channels, or test data of another shape or other classes.
    """
    if epochs < 1:
        raise InvalidValue(f"epochs is {epochs}, must be at least 1")
    classes = int(training.labels.max()) + 1
    if test.frames.shape[1:] != training.frames.shape[1:] or int(test.labels.max()) >= classes:
        raise InvalidValue(
            f"test data {test.name} has frames {test.frames.shape[1:]} and labels to {test.labels.max()}, training data "
            f"{training.name} has {training.frames.shape[1:]} and {classes - 1}; take both from one data set"
        )
    sequences, labels = pixels_to_input(torch.tensor(rows(training))), torch.tensor(training.labels)
    torch.manual_seed(seed)
    module = RecurrentSource((sequences.shape[2], *hidden, classes), leak)
    optimizer = torch.optim.AdamW(module.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = -(-len(sequences) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    for epoch in range(epochs):
        for chosen in torch.randperm(len(sequences)).split(BATCH):
            loss = descend(module, sequences[chosen], labels[chosen], optimizer, schedule)
        if progress:
            progress(epoch, loss.item())
    module.eval()
    provenance = {
        "architecture": f"recurrent {'-'.join(map(str, (sequences.shape[2], *hidden, classes)))}",
        "leak": [leak.first, leak.second],
        "dataset": training.name,
        "training_images": len(sequences),
        "epochs": epochs,
        "seed": seed,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "test_images": len(test.frames),
        "test_accuracy": round(accuracy(module, rows(test), test.labels), 2),
    }
    return TrainedSource(module, provenance)
