"""Source architectures that Spikeloom trains and ships, and the trained network in this package."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from toolchain.errors import InvalidValue
from toolchain.nn import QCFS, StReLU, ThresholdReLU

__all__ = ["ARCHITECTURES", "BUNDLED_WEIGHTS", "build"]

BUNDLED_WEIGHTS = Path(__file__).parent / "data" / "fashion-cnn.safetensors"
"""The trained ``cnn``, with its provenance in the file header."""


Activation = Callable[[], nn.Module]

ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "qcfs": QCFS,
    "relu": lambda levels: nn.ReLU(),
    "threshold_relu": lambda levels: ThresholdReLU(1.0),
    "strelu": lambda levels: StReLU(1.0),
}
"""Activations by name, from the number of levels, which only ``qcfs`` has."""


def cnn(activation: Activation) -> nn.Sequential:
    """16C3-AP2-32C3-AP2-64C3-AP2-FC10 for ``[N, 1, 28, 28]``, batch norm and activation after each convolution."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            activation(),
            nn.AvgPool2d(2),
        ]

    return nn.Sequential(*block(1, 16), *block(16, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 3 * 3, 10))


def mlp(activation: Activation) -> nn.Sequential:
    """784-128-10 for ``[N, 1, 28, 28]``, batch norm and activation after the hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), activation(), nn.Linear(128, 10))


ARCHITECTURES: dict[str, Callable[[Activation], nn.Sequential]] = {"cnn": cnn, "mlp": mlp}


def build(name: str, levels: int = 4, activation: str = "qcfs") -> nn.Sequential:
    """A fresh, untrained architecture of ``ARCHITECTURES`` with one of ``ACTIVATIONS``.

    Raises
    ------
    InvalidValue
        Unknown name or activation, or ``levels < 1``.
    """
    if name not in ARCHITECTURES:
        raise InvalidValue(f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
    if activation not in ACTIVATIONS:
        raise InvalidValue(f"no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
    return ARCHITECTURES[name](lambda: ACTIVATIONS[activation](levels))
