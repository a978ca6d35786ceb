"""What more cores in a row are worth: the bundled network on 1 to 4 cores, simulated and held against the golden model.

    python tests/bench/chain_cores.py reports/verification/chain.csv

T = 4, 8-bit weights, 16 lanes a core, 8 bundled images, ``two_phase``. A row for each number of cores: its cuts, the mean cycles of
each core by the exact model (images 2 to 8), clocks from one answer to the next and an image's own clocks as the bench saw them, utilization
of all lanes, and how many spikes differ. Fails if one does, or if a counter or score does.
"""

import sys
import tempfile
from pathlib import Path

from sim import runner
from toolchain import datasets, zoo
from toolchain.balance import balance
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.flow import write_table
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

IMAGES = 8
LANES = 16
CLOCK_HZ = 100e6
"""For images a second: about what place and route estimates for this core on an LFE5U-85F-6."""


def main(path: Path) -> None:
    """Simulate every chain and write the table."""
    bundled = datasets.load("bundled")
    network = quantize(convert(load_source(zoo.BUNDLED_WEIGHTS).module, calibration(bundled, 250), "qcfs", 4))
    frames = bundled.frames[:IMAGES]
    rows: list[dict[str, object]] = []
    for cores in (1, 2, 3, 4):
        split = balance(network, frames[1:], lanes=LANES, cores=cores)  # the first one only fills the chain
        with tempfile.TemporaryDirectory() as folder:
            result = runner.verify(emit(network, Path(folder), lanes=LANES, cuts=split.cuts), network, frames)
        assert result.passed and result.interval is not None, result.differences
        rows.append(
            {
                "cores": cores,
                "cut_before": " ".join(network.layers[first].name for first in split.cuts),
                "stage_cycles_model": " ".join(f"{spent:.0f}" for spent in split.stages),
                "cycles_between_answers": round(result.interval, 1),
                "cycles_per_image": round(result.cycles_per_image, 1),
                "lane_utilization": round(result.lane_utilization, 4),
                "images_per_second_at_100_mhz": round(CLOCK_HZ / result.interval, 1),
                "spikes_compared": result.spikes_compared,
                "spikes_that_differ": result.spike_mismatches,
                "fingerprint": result.fingerprint[:16],
                "simulator": f"{result.simulator} {result.simulator_version}",
            }
        )
        print(rows[-1], flush=True)
        write_table(rows, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
