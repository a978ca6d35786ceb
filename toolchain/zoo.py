"""Source architectures that Spikeloom trains and ships, and the trained network in this package."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import Tensor, nn

from toolchain.connection import Shape
from toolchain.errors import InvalidValue
from toolchain.nn import QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU

__all__ = ["ACTIVATIONS", "ARCHITECTURES", "BUNDLED_WEIGHTS", "LEVELS", "Architecture", "build", "resnet"]

MAX_SIDE = 8192
"""Of frames, and most channels."""
BUNDLED_WEIGHTS = Path(__file__).parent / "data" / "fashion-cnn.safetensors"
"""The trained ``cnn``, with its provenance in the file header."""


Activation = Callable[[], nn.Module]


def _quantized_relu(levels: int) -> QuantizedReLU:
    bits = (levels + 1).bit_length() - 1
    if levels < 1 or levels != 2**bits - 1:
        raise InvalidValue(f"levels is {levels}, must be 2^bits - 1 with quantized_relu: 1, 3, 7, 15, ...")
    return QuantizedReLU(bits)


LEVELS = {"qcfs": 4, "quantized_relu": 3}
"""The activations that have levels, and their usual number."""

ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "qcfs": QCFS,
    "relu": lambda levels: nn.ReLU(),
    "threshold_relu": lambda levels: ThresholdReLU(1.0),
    "strelu": lambda levels: StReLU(1.0),
    "quantized_relu": _quantized_relu,
    "leaky_relu": lambda levels: ThresholdLeakyReLU(1.0),
}
"""Activations by name, from the number of levels, which only those of ``LEVELS`` have."""


def _synapse(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps or strides the frame, and its batch norm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def cnn(activation: Activation, classes: int, shape: Shape) -> nn.Module:
    """16C3-AP2-32C3-AP2-64C3-AP2-FC, batch norm and activation after each convolution."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [*_synapse(inputs, outputs), activation(), nn.AvgPool2d(2)]

    channels, height, width = shape
    places = (height // 8) * (width // 8)
    layers = (*block(channels, 16), *block(16, 32), *block(32, 64))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * places, classes))


def mlp(activation: Activation, classes: int, shape: Shape) -> nn.Module:
    """784-128-FC, batch norm and activation after the hidden layer."""
    hidden = (nn.Linear(prod(shape), 128), nn.BatchNorm1d(128), activation())
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, classes))


def _vgg(*stages: tuple[int, ...]) -> Callable[[Activation, int, Shape], nn.Module]:
    """Stages of 3×3 convolutions of so many channels, each with batch norm and activation, average pooling behind a stage.

    Source: Simonyan & Zisserman, ICLR 2015, in the form usual for CIFAR: one linear layer on the 1×1 frame,
    and average instead of maximum pooling, which converts. Frames larger than 32×32 leave more places.
    """

    def make(activation: Activation, classes: int, shape: Shape) -> nn.Module:
        layers: list[nn.Module] = []
        channels, height, width = shape
        for stage in stages:
            for outputs in stage:
                layers += [*_synapse(channels, outputs), activation()]
                channels = outputs
            layers.append(nn.AvgPool2d(2))
        places = (height >> len(stages)) * (width >> len(stages))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * places, classes))

    return make


class _ResidualBlock(nn.Module):
    """``activation(body(x) + shortcut(x))``, two 3×3 convolutions; a 1×1 projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation):
        super().__init__()
        self.body = nn.Sequential(*_synapse(inputs, outputs, stride=stride), activation(), *_synapse(outputs, outputs))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_synapse(inputs, outputs, 1, stride))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return joined


def resnet(
    activation: Activation, classes: int, widths: Sequence[int] = (16, 32, 64), blocks: int = 3, inputs: int = 3
) -> nn.Module:
    """Stages of residual blocks of so many channels, global average pooling, FC; 3 stages of 3 blocks are ResNet-20, 0.27 M weights.

    Frames are halved before each stage but the first.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2, with projection
    shortcuts (its option B).
    """
    layers: list[nn.Module] = []
    channels = widths[0]
    for outputs in widths:
        for number in range(blocks):
            stride = 2 if outputs > channels and number == 0 else 1
            layers.append(_ResidualBlock(channels, outputs, stride, activation))
            channels = outputs
    return nn.Sequential(
        *_synapse(inputs, widths[0]),
        activation(),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )


def _resnet20(activation: Activation, classes: int, shape: Shape) -> nn.Module:
    """ResNet-20; frames of any size."""
    return resnet(activation, classes, inputs=shape[0])


def _resnet18(activation: Activation, classes: int, shape: Shape) -> nn.Module:
    """ResNet-18 in the form usual for CIFAR: four stages of two blocks, no pooling before them, 11.2 M weights."""
    return resnet(activation, classes, (64, 128, 256, 512), 2, shape[0])


@dataclass(frozen=True)
class Architecture:
    """How to make a network of some activation, number of classes and frames ``[C, H, W]``.

    ``input_shape`` are the frames that it is known for, and takes if they are pixels; those of events have a height and
    width of at least ``smallest``.
    """

    make: Callable[[Activation, int, Shape], nn.Module]
    input_shape: Shape
    smallest: int = 1


ARCHITECTURES = {
    "cnn": Architecture(cnn, (1, 28, 28), 8),
    "mlp": Architecture(mlp, (1, 28, 28)),
    "vgg11": Architecture(_vgg((64,), (128,), (256, 256), (512, 512), (512, 512)), (3, 32, 32), 32),
    "vgg16": Architecture(_vgg((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3), (3, 32, 32), 32),
    "resnet18": Architecture(_resnet18, (3, 32, 32)),
    "resnet20": Architecture(_resnet20, (3, 32, 32)),
}


def build(
    name: str,
    levels: int | None = None,
    activation: str = "qcfs",
    classes: int = 10,
    input_shape: Sequence[int] | None = None,
) -> nn.Module:
    """A fresh, untrained architecture of ``ARCHITECTURES`` with one of ``ACTIVATIONS``.

    ``levels = None`` takes the activation's usual number; activations without levels ignore it. ``input_shape`` is
    (C, H, W) of the frames; ``None`` takes the architecture's own.

    Raises
    ------
    InvalidValue
        Unknown name or activation, ``levels`` that the activation cannot have, ``classes < 2``, or frames too small.
    """
    if name not in ARCHITECTURES:
        raise InvalidValue(f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
    if activation not in ACTIVATIONS:
        raise InvalidValue(f"no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
    if classes < 2:
        raise InvalidValue(f"classes is {classes}, must be at least 2")
    chosen = LEVELS.get(activation, 1) if levels is None else levels
    found = ARCHITECTURES[name]
    shape = found.input_shape if input_shape is None else tuple(input_shape)
    if len(shape) != 3 or not all(isinstance(size, int) and 1 <= size <= MAX_SIDE for size in shape):
        raise InvalidValue(f"input shape is {shape}, must be (C, H, W), each 1 to {MAX_SIDE}")
    if min(shape[1:]) < found.smallest:
        raise InvalidValue(
            f"architecture {name} takes frames from {found.smallest}x{found.smallest}, not {shape[1]}x{shape[2]}; crop or pool "
            "less, or take another architecture"
        )
    return found.make(lambda: ACTIVATIONS[activation](chosen), classes, (shape[0], shape[1], shape[2]))
