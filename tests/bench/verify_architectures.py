"""Residual, depthwise separable and one-dimensional networks in hardware, ResNet-20 in full width last: two images each.

    python tests/bench/verify_architectures.py FILE.csv [NAME ...]

Untrained QCFS networks, T = 4, 8-bit weights. Not a bit may differ from the golden model, nor a cycle from its prediction. Names
choose among the networks; rows of others that FILE.csv holds are kept.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from hdl.program import Program
from sim import golden, runner
from tests import architectures
from toolchain.buffers import last_reads, peak
from toolchain.cycles import cycles
from toolchain.emit import emit
from toolchain.netfile import replacing

RUNS = {
    # name: (network, lanes)
    **{f"separable on {lanes} lanes": (architectures.mobile, lanes) for lanes in (1, 4, 16)},
    "series": (architectures.series, 8),
    "ResNet, 4-8-16 channels, a block a stage": (architectures.residual, 4),
    "ResNet-20": (architectures.resnet20, 16),
}


def main(target: Path, names: list[str]) -> None:
    """Verify, print and write a row for each network."""
    rows = pd.read_csv(target).to_dict("records") if target.exists() else []
    for name in names or RUNS:
        make, lanes = RUNS[name]
        network, frames = make()
        with tempfile.TemporaryDirectory() as scratch:
            result = runner.verify(emit(network, Path(scratch), lanes=lanes), network, frames)
        trace = golden.run(network, frames, "spikes")
        program = Program(network, lanes)
        predicted = cycles(network, frames, trace, lanes).layers
        rows = [row for row in rows if row["network"] != name]
        rows.append(
            {
                "network": name,
                "weights": network.weights,
                "weight_words": len(program.weight_words),
                "lanes": lanes,
                "images": result.images,
                "spikes_fired": int(trace.activity.spikes.sum()),
                "spikes_compared": result.spikes_compared,
                "spikes_differ": result.spike_mismatches,
                "scores_differ": result.score_mismatches,
                "counters_differ": result.counter_mismatches,
                "layer_cycles_differ": int((result.layer_cycles != predicted).sum()),
                "cycles_per_image": round(result.cycles_per_image),
                "operations_per_image": round(result.operations_per_image),
                "lane_utilization": round(result.lane_utilization, 4),
                "spike_words": program.spike_words,
                "spike_words_predicted": peak(program.spike_sizes, last_reads(network)),
                "spike_words_of_all_layers": sum(program.spike_sizes),
                "fingerprint": network.fingerprint[:16],
            }
        )
        print(rows[-1], flush=True)
        for part in result.breakdown():
            print("   ", part, flush=True)
        with replacing(target) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
