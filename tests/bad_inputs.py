"""The folder ``IN`` of ``test_bad_input``: good and damaged inputs of every kind."""

import json
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.pages import VERIFIED
from toolchain import cli
from toolchain import train as trainer
from toolchain.datasets import load, write_idx

__all__ = ["NO_PORTS", "PORTS", "write_inputs"]

NETS = """
import sys
from torch import nn
def net(*layers, width=1352, channels=1):
    return nn.Sequential(nn.Conv2d(channels, 2, 3), *layers, nn.Flatten(), nn.Linear(width, 10))
def spoilt(parameter, value):
    module = net(nn.BatchNorm2d(2), nn.ReLU())
    module.state_dict()[parameter].view(-1)[0] = value
    return module
def fails(text): raise RuntimeError(text)

good = lambda: net(nn.ReLU())
maxpool = lambda: net(nn.ReLU(), nn.MaxPool2d(2), width=338)
sigmoid = lambda: net(nn.Sigmoid())
three = lambda: net(nn.ReLU(), channels=3)
nan = lambda: spoilt("0.weight", float("nan"))
infinite = lambda: spoilt("0.weight", float("inf"))
negative_variance = lambda: spoilt("1.running_var", -1.0)
lazy = lambda: nn.Sequential(nn.LazyConv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1352, 10))
no_module = lambda: 3
raises = lambda: fails("no such thing")
raises_lines = lambda: fails("one thing\\nand another")
exits = lambda: sys.exit(0)
class Wrapped(nn.Module):
    def __init__(self): super().__init__(); self.net = good()
    def forward(self, x): return {"scores": self.net(x)}
"""
NO_PORTS = "is no port map; make the folder with spikeloom generate"
PORTS = {  # what is written over members of a good ports.json, or the whole file
    "cut": ('{"schema": 1, "lan', NO_PORTS),
    "list": ("[]", NO_PORTS),
    "schema": ({"schema": 9}, "has schema 9, this version reads 1"),
    "lanes": ({"lanes": "a"}, f"lanes is a, must be 1 to 64|{NO_PORTS}"),
    "fingerprint": ({"fingerprint": "0" * 64}, "was generated from network 0{16}, not .*; generate it again"),
}


def idx_folder(folder, train=4, test=4, *, size=28, labels=(0, 0, 0, 0)):
    """Four IDX files, ``labels`` for both splits; returns the path of the test images."""
    folder.mkdir()
    for stem, count, side in (("train", train, 28), ("t10k", test, size)):
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", np.ones((count, side, side), np.uint8))
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", np.array(labels[:count], np.uint8))
    return folder / "t10k-images-idx3-ubyte.gz"


def checkpoint(data, path):
    """What ``TRAIN_IDX`` leaves when it is interrupted after its only epoch."""
    parts, threads = (load("idx", "train", data), load("idx", "test", data)), torch.get_num_threads()
    torch.set_num_threads(1)
    with mock.patch.object(trainer, "accuracy", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        trainer.train("mlp", *parts, epochs=1, device="cpu", checkpoint=path)
    torch.set_num_threads(threads)


def write_inputs(folder):
    """Fill an empty folder with them."""
    files = {"nets.py": NETS, "syntax.py": "def f(:\n", "empty": ""}
    files["verified.json"] = json.dumps({**VERIFIED, "fingerprint": "0" * 64})
    files |= {"kind.toml": "a = 1", "keys.toml": "kind = 'integer'", "list.toml": "kind = ['integer']"}
    constant = "[{}]\nvalue = {}\nunit = '{}'\nstatus = 'fitted'\nsource = 'test'\n"
    for name, value in {"negative": -1, "zero": 0, "big": 10**400}.items():
        constants = constant.format("add_per_bit", value, "pJ/bit") + constant.format("multiply_8x8", value, "pJ")
        files[f"{name}.toml"] = f"kind = 'integer'\n{constants}"
    for name, text in files.items():
        (folder / name).write_text(text)
    for command in (
        "convert bundled --images 50 -o IN/snn.safetensors",
        "quantize IN/snn.safetensors --images 10 -o IN/net.safetensors",
        "generate IN/net.safetensors -o IN/rtl",
        "convert IN/nets.py:good -m optimal --images 10 -T 1 -o IN/small",
        "quantize IN/small --images 10 -o IN/small",
        "convert IN/nets.py:good -m tsc --images 10 -T 2 -o IN/switched",
        "convert IN/nets.py:good -m optimal --images 10 -T 1 -o IN/good",
    ):
        assert cli.run(command.replace("IN", str(folder)).split()) == 0
    raw = (folder / "net.safetensors").read_bytes()
    for name, content in {
        "truncated": raw[:-100],
        "weight-flipped": raw[:-4] + bytes([raw[-4] ^ 1]) + raw[-3:],
        "steps-edited": raw.replace(rb"\"time_steps\": 4", rb"\"time_steps\": 3"),
        "dtype-edited": raw.replace(b'"I64"', b'"F64"', 1),
    }.items():
        (folder / name).write_bytes(content)
    (folder / "folder.safetensors").mkdir()
    for name in ("wrong", "wrong.safetensors"):
        save_file({"0.weight": torch.zeros(2, 1, 5, 5)}, folder / "folder.safetensors" / name)
    ports = json.loads((folder / "rtl" / "ports.json").read_text())
    for name, (change, _) in {**PORTS, "type": ({"fingerprint": 5}, "")}.items():
        (folder / f"ports-{name}").mkdir()
        (folder / f"ports-{name}" / "network.safetensors").write_bytes(raw)
        text = change if isinstance(change, str) else json.dumps({**ports, **change})
        (folder / f"ports-{name}" / "ports.json").write_text(text)
    images = idx_folder(folder / "idx-gzip")
    images.write_bytes(images.read_bytes()[:40])
    header = b"\0\0\x08\3\0\0\0\4\0\0\0\x1c\0\0\0\x1c"
    for name, content in {
        "data": header + bytes(100),
        "header": header[:6],
        "wrap": b"\0\0\x08\4" + b"\0\1\0\0" * 4,
    }.items():
        images = idx_folder(folder / f"idx-{name}")
        images.unlink()
        images.with_suffix("").write_bytes(content)
    idx_folder(folder / "idx")
    idx_folder(folder / "idx-labels", labels=(0, 1))
    idx_folder(folder / "idx-class", labels=(0, 1, 2, 99))
    idx_folder(folder / "idx-none", 0, 0)
    idx_folder(folder / "idx-one", 1)
    idx_folder(folder / "idx-sizes", size=20)
    idx_folder(folder / "idx-other", labels=(1, 2, 3, 4))
    for name, rows in {"cut": bytes(3000), "label": bytes(3073) + b"\x0a" + bytes(3072)}.items():
        (folder / f"cifar-{name}").mkdir()
        (folder / f"cifar-{name}" / "test_batch.bin").write_bytes(rows)
    checkpoint(folder / "idx", folder / "checkpoint")
    raw = (folder / "checkpoint").read_bytes()
    (folder / "checkpoint-cut").write_bytes(raw[:-100])
    (folder / "checkpoint-lacking").write_bytes(raw.replace(b'"random"', b'"radnom"'))
