"""From recordings of events to verified hardware: accuracy of source, float spiking network and integers, and RTL bit by bit.

    python -m tests.saccades RECORDINGS --data mnist-subset        # synthetic: 4,000 and 1,000 recordings
    python tests/bench/event_saccades.py RECORDINGS reports/verification/events.csv

For each binning the zoo's CNN with QCFS (L = T) learns from shares of steps in which a place spikes, 10 epochs, and is
converted in two schedules; 8-bit integers on 16 lanes run 2 recordings in Verilator.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from sim import floating, golden, runner
from toolchain import datasets
from toolchain.convert import convert
from toolchain.datasets import Dataset
from toolchain.emit import emit
from toolchain.events import Binning, Job, Window, Written, find_recordings, open_recording, write_samples
from toolchain.netfile import replacing
from toolchain.quantize import quantize
from toolchain.train import accuracy, calibration, train

SENSOR = (34, 34)
DURATION_US = 300_000
EPOCHS = 10
VERIFIED = 2
LANES = 16
BINNINGS = (Binning(8), Binning(4))


def binned(folder: Path, binning: Binning, target: Path) -> tuple[Written, Dataset]:
    """All recordings of a folder with a folder for each class."""
    jobs = []
    for found in find_recordings([folder])[0]:
        recording = open_recording(found.path, SENSOR)
        first = recording.span().first
        jobs.append(Job(recording, (Window(first, first + DURATION_US, found.label),)))
    written = write_samples(jobs, binning, target, {})
    return written, datasets.load(str(target))


def main(folder: Path, target: Path) -> None:
    """Measure, print and write a row for each binning and schedule."""
    torch.set_num_threads(1)
    rows = []
    for binning in BINNINGS:
        with tempfile.TemporaryDirectory() as scratch:
            _, training = binned(folder / "train", binning, Path(scratch) / "train.npz")
            written, test = binned(folder / "test", binning, Path(scratch) / "test.npz")
        source = train("cnn", training, test, epochs=EPOCHS, levels=binning.steps)
        for schedule in ("two_phase", "stream"):
            spiking = convert(
                source.module, calibration(training, 1000), "qcfs", binning.steps, schedule=schedule, input="spikes"
            )
            network = quantize(spiking, 8)
            trace = golden.run(network, test.frames)
            with tempfile.TemporaryDirectory() as scratch:
                result = runner.verify(
                    emit(network, Path(scratch), lanes=LANES), network, test.frames[:VERIFIED], stall=0.1
                )
            rows.append(
                {
                    "time_steps": binning.steps,
                    "steps_of_equal": binning.by,
                    "schedule": schedule,
                    "events_merged_percent": round(100 * written.account.merged / written.account.events, 2),
                    "input_density_percent": round(100 * written.density, 2),
                    "test_recordings": len(test.frames),
                    "source_accuracy": round(accuracy(source.module, test), 2),
                    "float_accuracy": round(floating.accuracy(spiking, test.frames, test.labels), 2),
                    "integer_accuracy": round(100 * float((trace.predictions == test.labels).mean()), 2),
                    "sop": round(float(trace.activity.operations.sum()) / len(test.frames)),
                    "sop_first_layer": round(float(trace.activity.operations[:, 0].mean())),
                    "verified_recordings": result.images,
                    "spikes_compared": result.spikes_compared,
                    "spikes_differ": result.spike_mismatches,
                    "scores_differ": result.score_mismatches,
                    "counters_differ": result.counter_mismatches,
                    "cycles": round(result.cycles_per_image),
                    "lane_utilization": round(result.lane_utilization, 4),
                    "fingerprint": network.fingerprint[:16],
                }
            )
            print(pd.Series(rows[-1]).to_string(), "\n", flush=True)
            with replacing(target) as temporary:
                pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
