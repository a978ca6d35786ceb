"""Networks of other shapes than chains, untrained, with batch norm that has settled on random frames: T = 4, 8-bit integers."""

import numpy as np
import torch
from torch import nn

from toolchain import zoo
from toolchain.convert import convert
from toolchain.nn import QCFS
from toolchain.quantize import quantize
from toolchain.train import pixels_to_input

__all__ = ["mobile", "residual", "resnet20", "series"]


def settled(module, shape):
    """Frames, and the module with the batch norm of them; T = 4 integers of it."""
    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (16, *shape)).astype(np.uint8)
    inputs = pixels_to_input(torch.tensor(frames))
    with torch.no_grad():
        for _ in range(20):
            module.train()(inputs)
    return quantize(convert(module.eval(), inputs, "qcfs", 4)), frames[:2]


def residual():
    """ResNet-20 with a block a stage and a quarter of the channels."""
    torch.manual_seed(1)
    return settled(zoo.resnet(lambda: QCFS(4, 2.0), 10, (4, 8, 16), 1), (3, 32, 32))


def resnet20():
    """ResNet-20 as published."""
    torch.manual_seed(1)
    return settled(zoo.build("resnet20"), (3, 32, 32))


def separable(inputs, outputs, stride=1, dilation=1):
    """Depthwise 3 × 3, then pointwise, as in MobileNet."""
    return [
        nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=False), nn.BatchNorm2d(inputs), QCFS(4, 2.0),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), QCFS(4, 2.0),
    ]  # fmt: skip


def mobile():
    """Depthwise separable convolutions, one dilated, a grouped one, lopsided padding, global average pooling."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), QCFS(4, 2.0),
        *separable(8, 12), *separable(12, 16, stride=2), *separable(16, 16, dilation=2),
        nn.Conv2d(16, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8), QCFS(4, 2.0),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return settled(module, (3, 16, 16))


def series():
    """Conv1d on [N, 2, 1, 64]."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Flatten(2), nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), QCFS(4, 2.0),
        nn.Conv1d(8, 8, 3, padding=4, dilation=4, groups=8), nn.BatchNorm1d(8), QCFS(4, 2.0), nn.AvgPool1d(2),
        nn.Conv1d(8, 6, 3), nn.BatchNorm1d(6), QCFS(4, 2.0), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    return settled(module, (2, 1, 64))
