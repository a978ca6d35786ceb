"""What compiling the exact cycle model is worth: its loop over events by numba, and the same loop in plain Python.

    python tests/bench/cycle_model.py

The bundled network at T = 4 on 16 lanes, 10 bundled images, both in one run after a warm-up; prints the ratio, and fails if
they disagree in any cycle.
"""

from time import perf_counter
from unittest.mock import patch

import numpy as np

from sim import golden
from toolchain import cycles, datasets, zoo
from toolchain.convert import convert
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

IMAGES = 10
LANES = 16


def main() -> None:
    """Measure both and print."""
    bundled = datasets.load("bundled")
    network = quantize(convert(load_source(zoo.BUNDLED_WEIGHTS).module, calibration(bundled, 250), "qcfs", 4))
    frames = bundled.frames[:IMAGES]
    trace = golden.run(network, frames, "spikes")
    cycles.cycles(network, frames, trace, LANES)
    seconds, counted = [], []
    for loop in (cycles._scans, cycles._scans.py_func):
        with patch.object(cycles, "_scans", loop):
            start = perf_counter()
            counted.append(cycles.cycles(network, frames, trace, LANES).layers)
            seconds.append(perf_counter() - start)
    assert np.array_equal(*counted)
    print(
        f"{IMAGES} images: {seconds[0]:.4f} s compiled, {seconds[1]:.4f} s in Python, ratio {seconds[1] / seconds[0]:.0f}"
    )


if __name__ == "__main__":
    main()
