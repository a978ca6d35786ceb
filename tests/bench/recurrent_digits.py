"""Recurrent conversion on digits read row by row: source, float and integer accuracy for each T, as CSV.

    python tests/bench/recurrent_digits.py reports/conversion/recurrent-digits.csv

Trains 8-64-64-10 with τ = 0.75 (seed 0, one thread) and runs the 359 test images. Rows: a schedule, with or without
shift, a T. ``score_error`` is the mean distance of the float network's scores from the source's;
``accuracy_reset`` is the 8-bit network whose membranes start anew with every token.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sim import recurrent
from toolchain import datasets
from toolchain.netfile import replacing
from toolchain.recurrent import RECURRENT_SCHEDULES
from toolchain.recurrent_conversion import convert_recurrent, quantize_recurrent
from toolchain.recurrent_source import rows, train_recurrent
from toolchain.train import pixels_to_input

TIME_STEPS = (1, 2, 4, 8, 16, 32)


def table() -> pd.DataFrame:
    """Train, convert, quantize and run; a row for each schedule, shift and T."""
    torch.set_num_threads(1)
    training, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    source = train_recurrent(training, test)
    sequences, labels = rows(test), test.labels
    with torch.inference_mode():
        expected = source.module(pixels_to_input(torch.tensor(sequences))).numpy()

    def share(scores: np.ndarray) -> float:
        return round(100 * float((scores.argmax(axis=1) == labels).mean()), 2)

    lines = []
    for schedule in RECURRENT_SCHEDULES:
        for shift in (True, False):
            for steps in TIME_STEPS:
                network = convert_recurrent(source.module, rows(training), steps, schedule=schedule, shift=shift)
                scores = recurrent.run_float(network, sequences).scores
                fixed = quantize_recurrent(network, 8)
                four = {clipping: quantize_recurrent(network, 4, clipping=clipping) for clipping in ("max", "mse")}
                forgetful = sum(
                    recurrent.run(fixed, sequences[:, token : token + 1]).scores for token in range(sequences.shape[1])
                )
                lines.append(
                    {
                        "schedule": schedule,
                        "shift": shift,
                        "time_steps": steps,
                        "images": len(labels),
                        "accuracy_source": source.provenance["test_accuracy"],
                        "accuracy_float": share(scores),
                        "score_error": round(float(np.abs(scores - expected).mean()), 4),
                        "accuracy_8bit": round(recurrent.accuracy(fixed, sequences, labels), 2),
                        "accuracy_4bit_max": round(recurrent.accuracy(four["max"], sequences, labels), 2),
                        "accuracy_4bit_mse": round(recurrent.accuracy(four["mse"], sequences, labels), 2),
                        "accuracy_reset": share(np.asarray(forgetful)),
                        "membrane_bits_8bit": max(proven.bits for proven in fixed.ranges),
                        "fingerprint_8bit": fixed.fingerprint,
                    }
                )
    return pd.DataFrame(lines)


def main() -> None:
    """Write the table to the path given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/bench/recurrent_digits.py CSV")
    with replacing(Path(sys.argv[1])) as temporary:
        table().to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
