"""Source architectures that Spikeloom trains and ships, and the trained network in this package."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from toolchain.errors import InvalidValue
from toolchain.nn import QCFS

__all__ = ["ARCHITECTURES", "BUNDLED_WEIGHTS", "build"]

BUNDLED_WEIGHTS = Path(__file__).parent / "data" / "fashion-cnn.safetensors"
"""The trained ``cnn``, with its provenance in the file header."""


def cnn(levels: int = 4) -> nn.Sequential:
    """16C3-AP2-32C3-AP2-64C3-AP2-FC10 for ``[N, 1, 28, 28]``, QCFS after each convolution."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            QCFS(levels),
            nn.AvgPool2d(2),
        ]

    return nn.Sequential(*block(1, 16), *block(16, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 3 * 3, 10))


def mlp(levels: int = 4) -> nn.Sequential:
    """784-128-10 for ``[N, 1, 28, 28]``, batch norm and QCFS after the hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), QCFS(levels), nn.Linear(128, 10))


ARCHITECTURES: dict[str, Callable[[int], nn.Sequential]] = {"cnn": cnn, "mlp": mlp}


def build(name: str, levels: int = 4) -> nn.Sequential:
    """A fresh, untrained architecture of ``ARCHITECTURES`` with QCFS activations of ``levels``.

    Raises
    ------
    InvalidValue
        Unknown name, or ``levels < 1``.
    """
    if name not in ARCHITECTURES:
        raise InvalidValue(f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](levels)
