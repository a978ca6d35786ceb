"""Cores whose weights are external, VGG-16 and ResNet-18 at CIFAR size among them: exact or not, clocks waited, time and memory.

    python tests/bench/external_networks.py FOLDER [NAME ...]

The networks are the bundled one and those of ``tests/bench/big_networks.py`` (random weights), T = 4, 8 bits. For each of
``POINTS``, ``generate`` writes the core, Verilator runs one image twice in a row, and every spike, score and counter is held against the golden
model; the memory gives its first beat ``LATENCY`` clocks after a request and then a beat a clock. FOLDER gets ``external.csv``, a row for each
point, and ``external-layers.csv``, one for each of its layers: clocks waited for weights (the core's counter less
``toolchain.cycles``; of the second image) and ``toolchain.bandwidth``'s estimate of them. Each point has a process of its own; ``peak_mib`` is the
largest resident size of it or of a tool that it started. Rows of points that are not named are kept. Fails if one bit differs.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hdl.tiles import ExternalWeights, TiledProgram
from sim import golden, runner
from tests.bench.big_networks import settled
from toolchain import datasets, zoo
from toolchain.bandwidth import waiting
from toolchain.convert import convert
from toolchain.cycles import cycles
from toolchain.flow import generate
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import replacing
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source, pixels_to_input

LATENCY = 64
"""Clocks from a request to its first beat."""
POINTS = {
    "cnn-64": ("cnn", 16, 2048, 64),
    "cnn-128": ("cnn", 16, 2048, 128),
    "vgg16-512": ("vgg16", 64, 9216, 512),
    "vgg16-128": ("vgg16", 64, 9216, 128),
    "resnet18-512": ("resnet18", 64, 9216, 512),
    "resnet18-128": ("resnet18", 64, 9216, 128),
    "resnet18-16-lanes": ("resnet18", 16, 9216, 128),
}
"""Network, lanes, words of the cache, bits of the port."""
_MIB = 1024


def network_and_frame(name: str) -> tuple[FixedPointNetwork, np.ndarray]:
    """The integers and one image, uint8 ``[1, C, H, W]``."""
    if name == "cnn":
        bundled = datasets.load("bundled")
        source = load_source(zoo.BUNDLED_WEIGHTS).module
        return quantize(convert(source, calibration(bundled, 250), "qcfs", 4)), bundled.frames[:1]
    frames = np.random.default_rng(0).integers(0, 256, (17, 3, 32, 32)).astype(np.uint8)
    module = settled(name, frames[:16])
    return quantize(convert(module, pixels_to_input(torch.tensor(frames[:16])), "optimal", 4)), frames[16:]


def measure(point: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The rows of a point, in the process that calls it."""
    name, lanes, cache_words, data_bits = POINTS[point]
    network, frame = network_and_frame(name)
    external = ExternalWeights(cache_words, data_bits)
    program = TiledProgram(network, lanes, external=external)
    frames = np.repeat(frame, 2, axis=0)
    trace = golden.run(network, frames, "spikes")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        bundle = generate(network, Path(folder), lanes=lanes, frames=frame, external=external)
        generated = time.perf_counter()
        result = runner.verify(bundle, network, frames, memory_latency=LATENCY)
        verified = time.perf_counter()
        verilog_mib = bundle.verilog.stat().st_size / 2**20
    without = cycles(network, frames, trace, lanes, program)
    estimated = waiting(program, frames, trace, latency=LATENCY)
    waited = result.layer_cycles[1] - without.layers[1]
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    facts = {"point": point, "network": name, "lanes": lanes, "cache_words": cache_words, "port_bits": data_bits}
    row = {
        **facts,
        "latency": LATENCY,
        "fingerprint": network.fingerprint[:16],
        "weights": network.weights,
        "tiles": len(program.tiles),
        "weight_bytes_per_image": estimated.read_bytes,
        "cycles": int(without.total[1] + waited.sum()),
        "waited": int(waited.sum()),
        "waited_estimated": round(estimated.total),
        "operations_per_image": int(trace.activity.operations[1].sum()),
        "spikes_compared": result.spikes_compared,
        "spikes_differing": result.spike_mismatches,
        "scores_differing": result.score_mismatches,
        "counters_differing": result.counter_mismatches,
        "verilog_mib": round(verilog_mib, 1),
        "generate_seconds": round(generated - start, 1),
        "verify_seconds": round(verified - generated, 1),
        "clocks_per_second": round(result.clocks_per_second),
        "peak_mib": round(peak / _MIB),
        "simulator": f"{result.simulator} {result.simulator_version}",
    }
    layers = [
        {
            **facts,
            "layer": layer.name,
            "tiles": sum(tile.layer == index for tile in program.tiles),
            "cycles_without_waiting": int(without.layers[1, index]),
            "waited": int(waited[index]),
            "waited_estimated": round(estimated.layers[layer.name], 1),
        }
        for index, layer in enumerate(network.layers)
    ]
    return row, layers


def _write(target: Path, rows: list[dict[str, object]], point: str) -> None:
    """Put the rows of a point in place of those that were there."""
    kept = pd.read_csv(target).to_dict("records") if target.exists() else []
    kept = [row for row in kept if row["point"] != point] + rows
    kept.sort(key=lambda row: list(POINTS).index(str(row["point"])))
    with replacing(target) as temporary:
        pd.DataFrame(kept).to_csv(temporary, index=False)


def main(folder: Path, names: list[str]) -> int:
    """Measure and write; 1 if anything differs."""
    differing = 0
    for point in names or POINTS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row, layers = pool.apply(measure, (point,))
        print(row, flush=True)
        _write(folder / "external.csv", [row], point)
        _write(folder / "external-layers.csv", layers, point)
        differing += sum(int(str(row[f"{what}_differing"])) for what in ("spikes", "scores", "counters"))
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
