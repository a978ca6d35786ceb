"""Every conversion method on the zoo CNN: hardware against the golden model, bit by bit, on 20 Fashion-MNIST images.

    python tests/bench/verify_methods.py SOURCES FILE.csv

SOURCES is a folder with ``cnn-ACTIVATION.safetensors`` of ``spikeloom train -A ACTIVATION --flip --epochs 15``; the
bundled network is the QCFS source. Thresholds come from 2,000 training images.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from sim import golden, runner
from toolchain import datasets, zoo
from toolchain.convert import METHODS, convert
from toolchain.emit import emit
from toolchain.netfile import replacing
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

IMAGES = 20
FILES = {
    "relu": "cnn-relu", "quantized": "cnn-quantized_relu", "strelu": "cnn-strelu", "leaky": "cnn-leaky_relu"
}  # fmt: skip


def main(folder: Path, target: Path) -> None:
    """Verify, print and write one row for each method that maps to hardware."""
    batch = calibration(datasets.load("fashion-mnist", "train"), 2000)
    frames = datasets.load("fashion-mnist").take(IMAGES).frames
    rows = []
    for name, method in METHODS.items():
        if method.schedules[0] == "switched":
            continue
        kind = next(kind for kind in method.activations if kind in FILES or kind == "qcfs")
        path = zoo.BUNDLED_WEIGHTS if kind == "qcfs" else folder / f"{FILES[kind]}.safetensors"
        network = quantize(convert(load_source(path).module, batch, name), 8)
        with tempfile.TemporaryDirectory() as scratch:
            result = runner.verify(emit(network, Path(scratch), lanes=16), network, frames)
        rows.append(
            {
                "method": name,
                "source": kind,
                "schedule": network.schedule,
                "negative": network.negative,
                "reset": network.reset,
                "input": network.input,
                "time_steps": network.time_steps,
                "membrane_bits": network.membrane_bits,
                "images": result.images,
                "spikes_fired": int(golden.run(network, frames).activity.spikes.sum()),
                "spikes_compared": result.spikes_compared,
                "spikes_differ": result.spike_mismatches,
                "scores_differ": result.score_mismatches,
                "counters_differ": result.counter_mismatches,
                "cycles_per_image": round(result.cycles_per_image),
                "lane_utilization": round(result.lane_utilization, 4),
                "fingerprint": network.fingerprint[:16],
            }
        )
        print(rows[-1], flush=True)
    with replacing(target) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
