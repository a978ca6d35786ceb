"""A small source network with everything that a certificate of it is made from."""

from pathlib import Path

from toolchain import cli

__all__ = ["SOURCE", "make_networks"]

SOURCE = """
import torch
from torch import nn

def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))
"""


def make_networks(folder: Path) -> None:
    """``net.py``, ``snn.safetensors`` and ``net.safetensors`` in ``folder``, by the command line."""
    (folder / "net.py").write_text(SOURCE)
    source, spiking = f"{folder / 'net.py'}:build", str(folder / "snn.safetensors")
    convert = ["convert", source, "-m", "optimal", "-T", "2", "--input", "bitplane", "--data", "digits", "-o", spiking]
    assert cli.run(convert) == 0
    assert cli.run(["quantize", spiking, "-b", "4", "--no-table", "-o", str(folder / "net.safetensors")]) == 0
