"""Small networks to compare, and images for them."""

import numpy as np
import torch
from torch import nn

from toolchain.convert import convert
from toolchain.datasets import Dataset
from toolchain.netfile import save_network
from toolchain.quantize import quantize

__all__ = ["DATA", "FRAMES", "spiking", "write_networks"]

RNG = np.random.default_rng(3)
FRAMES = RNG.integers(0, 256, (12, 1, 8, 8)).astype(np.uint8)
DATA = Dataset("twelve", FRAMES, RNG.integers(0, 3, 12))
CALIBRATION = torch.tensor(FRAMES / 255, dtype=torch.float32)


def spiking(seed=0, schedule="two_phase", classes=3, side=8):
    """A convolution and a dense layer on frames of ``side`` × ``side``."""
    torch.manual_seed(seed)
    inner = 4 * (side - 2) ** 2
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(inner, classes))
    return convert(module, CALIBRATION[..., :side, :side], "optimal", 4, schedule=schedule)


def write_networks(folder):
    """Networks of two kinds, for other images and classes, and one whose name has an @."""
    (folder / "sub").mkdir()
    usual = spiking()
    for name, network in {
        "snn": usual,
        "copy": usual,
        "radix": spiking(schedule="radix"),
        "stream": spiking(schedule="stream"),
        "net": quantize(usual.with_time_steps(3), 6),
        "copy.safetensors@T=2": quantize(usual.with_time_steps(8), 4),
        "classes": spiking(classes=4),
        "side": spiking(side=6),
        "sub/snn": spiking(seed=1),
    }.items():
        save_network(network, folder / f"{name}.safetensors" if "@" not in name else folder / name)
