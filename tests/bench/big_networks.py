"""VGG-16 and ResNet-18 at CIFAR size through convert, quantize, file and golden model: seconds and peak memory of each stage.

    python tests/bench/big_networks.py FILE.csv [NAME ...]

Random weights, ReLU sources, method ``optimal`` at T = 4, 8-bit integers; batch norm has the statistics of the random
frames. Each network has a process of its own; ``peak_mib`` is the largest resident size up to the end of the stage, with
Python and torch in it. Rows of networks that are not named are kept.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from hdl.program import Program
from sim import golden
from toolchain import zoo
from toolchain.buffers import last_reads, peak
from toolchain.convert import convert
from toolchain.netfile import load_fixed_point, replacing, save_network
from toolchain.quantize import quantize
from toolchain.train import pixels_to_input

NAMES = ("vgg16", "resnet18")
FRAMES = 100
LANES = 16


def settled(name: str, frames: np.ndarray) -> nn.Module:
    """The untrained network with batch norm that knows the frames."""
    torch.manual_seed(1)
    module = zoo.build(name, activation="relu")
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        module.train()(pixels_to_input(torch.tensor(frames[:16])))
    return module.eval()


def stages(name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Each stage's name and what else is to be told of it, when it is done."""
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 3, 32, 32)).astype(np.uint8)
    module = settled(name, frames)
    yield "source", {"weights": sum(p.numel() for p in module.parameters())}
    spiking = convert(module, pixels_to_input(torch.tensor(frames[:16])), "optimal", 4)
    yield "convert", {"layers": len(spiking.layers)}
    network = quantize(spiking)
    yield "quantize", {"weights": network.weights, "membrane_bits": network.membrane_bits}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        save_network(network, path)
        yield "save", {"file_mib": round(path.stat().st_size / 2**20, 1)}
        network = load_fixed_point(path)
    yield "load", {"fingerprint": network.fingerprint[:16]}
    trace = golden.run(network, frames)
    yield f"golden, {FRAMES} images", {"operations": round(trace.activity.operations.sum() / FRAMES)}
    program = Program(network, LANES)
    buffers = peak(program.spike_sizes, last_reads(network))
    yield (
        f"program, {LANES} lanes",
        {"spike_words": buffers, "spike_words_of_all_layers": sum(program.spike_sizes)},
    )


def measure(name: str) -> list[dict[str, object]]:
    """A row for each stage, in the process that calls it."""
    rows = []
    start = time.perf_counter()
    for stage, facts in stages(name):
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = "; ".join(f"{key} {value}" for key, value in facts.items())
        rows.append(
            {
                "network": name,
                "stage": stage,
                "seconds": round(time.perf_counter() - start, 1),
                "peak_mib": round(peak_mib),
                "told": told,
            }
        )
        print(rows[-1], flush=True)
        start = time.perf_counter()
    return rows


def main(target: Path, names: list[str]) -> None:
    """Measure and write."""
    rows = pd.read_csv(target).to_dict("records") if target.exists() else []
    for name in names or NAMES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(measure, (name,))
        rows = [row for row in rows if row["network"] != name] + measured
        with replacing(target) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
