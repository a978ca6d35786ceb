"""The small network of the synthesis table: 64-64-10 with QCFS, L = 4, on scikit-learn's 8×8 digits.

    python tests/bench/digits_mlp.py digits-weights.safetensors
    spikeloom convert tests/bench/digits_mlp.py:build --weights digits-weights.safetensors -m qcfs -T 4 --data digits -o digits-snn.safetensors

Trains in seconds; the same file every time with the same torch on one thread.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from toolchain import datasets
from toolchain.netfile import replacing
from toolchain.nn import QCFS

__all__ = ["build", "trained"]

HIDDEN = 64
EPOCHS = 40


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.BatchNorm1d(HIDDEN), QCFS(4), nn.Linear(HIDDEN, 10))


def trained() -> nn.Module:
    """The network after ``EPOCHS`` passes over the training digits, seeded."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = build().train()
    digits = datasets.load("digits", "train")
    frames, labels = torch.tensor(digits.frames) / 255, torch.tensor(digits.labels).long()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(frames)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(frames[chosen]), labels[chosen]).backward()
            optimizer.step()
        schedule.step()
    return module.eval()


if __name__ == "__main__":
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_bytes(save(trained().state_dict()))
