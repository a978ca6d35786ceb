"""Whether half a threshold of shift helps: error and accuracy of optimal conversion against T, as CSV and plot.

    python tests/bench/shift_claims.py reports/conversion THRESHOLD_RELU.safetensors RELU.safetensors

Float, schedule ``stream``, method ``optimal`` with and without shift, calibrated on 2,000 training images; one
run of 512 steps gives every T. ``score_error`` is the mean distance of the scores from the source's on
the first 1,000 Fashion-MNIST test images. Deng & Gu (ICLR 2021) prove an error of order 1/T and say that the shift can
hurt at T ≥ 200.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from sim import floating
from toolchain import datasets
from toolchain.convert import convert
from toolchain.netfile import replacing
from toolchain.sources import load_module
from toolchain.train import calibration, pixels_to_input

TIME_STEPS = tuple(2**n for n in range(1, 10))
LATE = 32
"""From here on the curves are straight."""
IMAGES, CALIBRATION_IMAGES = 1000, 2000
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def table(sources: list[str]) -> pd.DataFrame:
    """A row for each source, shift and T."""
    dataset = datasets.load("fashion-mnist").take(IMAGES)
    batch = calibration(datasets.load("fashion-mnist", "train"), CALIBRATION_IMAGES)
    lines = []
    for source in sources:
        module = load_module(source).eval()
        with torch.inference_mode():
            expected = module(pixels_to_input(torch.tensor(dataset.frames))).numpy()
        for shift in (True, False):
            network = convert(module, batch, "optimal", TIME_STEPS[-1], schedule="stream", shift=shift)
            for steps, scores in zip(TIME_STEPS, floating.anytime(network, dataset.frames, TIME_STEPS), strict=True):
                lines.append(
                    {
                        "source": Path(source).stem,
                        "shift": shift,
                        "time_steps": steps,
                        "images": IMAGES,
                        "accuracy_source": round(100 * float((expected.argmax(axis=1) == dataset.labels).mean()), 2),
                        "accuracy": round(100 * float((scores.argmax(axis=1) == dataset.labels).mean()), 2),
                        "score_error": round(float(np.abs(scores - expected).mean()), 5),
                    }
                )
    return pd.DataFrame(lines)


def plot(rows: pd.DataFrame, path: Path) -> None:
    """Error against T on logarithmic axes beside accuracy against T; a colour for each source, dashed without shift."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for colour, (source, part) in zip(COLOURS, rows.groupby("source", sort=False), strict=False):
        for shift, style, marker in ((True, "-", "o"), (False, "--", "s")):
            line = part[part["shift"] == shift]
            label = f"{source}, {'shift' if shift else 'no shift'}"
            look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 4.5}
            if not shift:
                look["markerfacecolor"] = "white"
            left.loglog(line["time_steps"], line["score_error"], label=label, **look)
            right.semilogx(line["time_steps"], line["accuracy"], label=label, **look)
        reached = part["accuracy_source"].iloc[0]
        right.axhline(reached, color=colour, linewidth=0.8, linestyle=":", label=f"{source}, source {reached:.1f} %")
    steps = np.array(TIME_STEPS, float)
    below = 0.6 * (rows["score_error"] * rows["time_steps"]).min()
    left.loglog(steps, below / steps, color="0.45", linewidth=1, linestyle=":", label="1/T")
    left.set_ylabel("mean |score − source's score|")
    left.set_title("Error of the scores")
    right.set_ylabel("accuracy, %")
    right.set_title(f"Accuracy on {rows['images'].iloc[0]:,} images")
    for axes in (left, right):
        axes.set_xlabel("time steps T")
        axes.set_xticks(steps, [str(int(s)) for s in steps])
        axes.minorticks_off()
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    right.legend(frameon=False, fontsize=8, loc="lower right")
    matplotlib.rcParams["svg.hashsalt"] = "spikeloom"  # the same table gives the same file
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    plt.close(figure)


def claims(rows: pd.DataFrame) -> list[str]:
    """What the table says of the shift at T = 16 and 512, and the slope of the error."""
    lines = []
    for source, part in rows.groupby("source", sort=False):
        by = part.set_index(["shift", "time_steps"])
        for steps in (16, 512):
            on, off = by.loc[(True, steps)], by.loc[(False, steps)]
            verb = "helps" if on["score_error"] < off["score_error"] else "hurts"
            lines.append(
                f"{source}, T = {steps}: the shift {verb}, error {off['score_error']:.3f} -> {on['score_error']:.3f}, "
                f"accuracy {off['accuracy']:.2f} -> {on['accuracy']:.2f} % (source {on['accuracy_source']:.2f} %)"
            )
        for shift in (True, False):
            line = part[part["shift"] == shift]
            slopes = [
                np.polyfit(np.log(late["time_steps"]), np.log(late["score_error"]), 1)[0]
                for late in (line, line[line["time_steps"] >= LATE])
            ]
            lines.append(
                f"{source}, {'shift' if shift else 'no shift'}: the error falls as T^{slopes[0]:.2f}, "
                f"from T = {LATE} on as T^{slopes[1]:.2f}"
            )
    return lines


def main() -> None:
    """Write ``shift.csv`` and ``shift.svg`` into the folder given, print what they say."""
    if len(sys.argv) < 3:
        sys.exit("usage: python tests/bench/shift_claims.py FOLDER SOURCE...")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    rows = table(sys.argv[2:])
    with replacing(folder / "shift.csv") as temporary:
        rows.to_csv(temporary, index=False)
    plot(rows, folder / "shift.svg")
    print("\n".join(claims(rows)))


if __name__ == "__main__":
    main()
