"""Every conversion method on the zoo's sources, beside spikingjelly's own converter: CSV files, tables, claims.

    make tables
    python tests/bench/conversion_tables.py reports/conversion [SOURCE...] [--images N] [--jobs N]

A source is a name such as ``cnn-relu`` or ``mnist-mlp-qcfs``, trained into ``build/sources`` with ``spikeloom train`` if
missing, or a file of such a name; ``cnn-qcfs`` is the bundled one. Images: all test images, 10,000 of Fashion-MNIST
or 1,000 of the MNIST subset; calibration on 2,000 training images of the same data set, the same for both programs.
Writes ``survey-SOURCE.csv`` for each (``survey-SOURCE-first-N.csv`` with ``--images N``), and ``tables.md`` over all that lie in the folder. What a file holds is not
run again. One torch thread a job: the matrices are small, and threads that wait for each other cost more than they give.
Plain-ReLU sources take every method. A source with an activation of its own takes the methods that are made for that one,
and ``optimal`` for comparison; ``--all`` gives it the methods for plain ReLU as well, several hours more.

spikingjelly 2.0 runs ``Converter(RateCodingRecipe(...))`` in float on plain-ReLU sources: ``Max``, ``99.9%`` and ``1/2``
for a layer or (``channel-wise``) each channel, each channel also with half a threshold as start, and its
``LocalThresholdBalancingRecipe``. It fuses batch norm into convolutions, and keeps it as a layer behind a Linear. One
run of the largest T, whose summed output is read at each T. Calibration batches are 250 images, which it averages.
"""

import argparse
import copy
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.ann2snn import Converter, LocalThresholdBalancingRecipe, RateCodingRecipe
from torch import Tensor, nn

from toolchain import cli, datasets
from toolchain.datasets import Dataset
from toolchain.netfile import replacing
from toolchain.sources import load_module
from toolchain.survey import TIME_STEPS, Row, Survey, best_rows, markdown, read_rows, write_rows
from toolchain.train import accuracy, calibration, pixels_to_input

CALIBRATION_IMAGES = 2000
BATCH = 250
ACTIVATIONS = ("relu", "qcfs", "strelu", "threshold_relu", "quantized_relu", "leaky_relu")
OWN = {
    "qcfs": ("qcfs", "optimal"), "quantized_relu": ("qcfs", "optimal"), "threshold_relu": ("optimal",),
    "strelu": ("strelu", "strelu_floor"), "leaky_relu": ("leaky_relu",),
}  # fmt: skip
"""Methods for sources that are no plain ReLU."""
SOURCES = tuple(f"{family}-{a}" for family in ("cnn", "mlp", "mnist-cnn", "mnist-mlp") for a in ACTIVATIONS)
LEVELS = "levels-cnn-qcfs.csv"
"""``radix`` at T = 4 beside ``two_phase`` at T = 15."""
TITLES = {"float": "float", "8": "8-bit integers", "4": "4-bit integers (scales of least squared error)"}


def trained(source: str) -> str:
    """What ``load_module`` takes: a given file, ``bundled``, or a file that is trained now if missing."""
    if source.endswith(".safetensors"):
        return source
    if source == "cnn-qcfs":
        return "bundled"
    if source not in SOURCES:
        sys.exit(f"no source {source!r}; there are {', '.join(SOURCES)}, or files of such names")
    path = Path("build/sources") / f"{source}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        architecture, activation = source.removeprefix("mnist-").split("-")
        command = ["train", "-a", architecture, "-A", activation, "-o", str(path)]
        digits = source.startswith("mnist-")
        command += ["--data", "mnist-subset", "--epochs", "30"] if digits else ["--flip", "--epochs", "15"]
        if cli.run(command):
            sys.exit(1)
    return str(path)


def their_recipes(batches: list[Tensor]) -> dict[str, RateCodingRecipe | LocalThresholdBalancingRecipe]:
    """What spikingjelly's converter offers for a ReLU network, by mode."""
    modes: tuple[str | float, ...] = ("Max", "99.9%", 0.5)
    recipes: dict[str, RateCodingRecipe | LocalThresholdBalancingRecipe] = {}
    for mode in modes:
        recipes[f"{mode}"] = RateCodingRecipe(batches, mode=mode)
        recipes[f"{mode} channel-wise"] = RateCodingRecipe(batches, mode=mode, channel_wise=True)
        recipes[f"{mode} channel-wise, half threshold"] = RateCodingRecipe(
            batches, mode=mode, channel_wise=True, half_threshold=True
        )
    recipes["local threshold balancing"] = LocalThresholdBalancingRecipe(batches)
    return recipes


def their_right(network: nn.Module, dataset: Dataset) -> list[int]:
    """Right predictions of the output summed up to each of ``TIME_STEPS``."""
    right = [0] * len(TIME_STEPS)
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(dataset.frames), BATCH):
            x = pixels_to_input(torch.tensor(dataset.frames[start : start + BATCH]))
            labels = torch.tensor(dataset.labels[start : start + BATCH])
            functional.reset_net(network)
            total = torch.zeros(())
            for step in range(1, TIME_STEPS[-1] + 1):
                total = total + network(x)
                if step in TIME_STEPS:
                    right[TIME_STEPS.index(step)] += int((total.argmax(dim=1) == labels).sum())
    return right


def beside(module: nn.Module, source: str, data: str, dataset: Dataset, batch: Tensor, path: Path) -> None:
    """Add the rows of ``method`` spikingjelly that a file lacks."""
    rows, images = read_rows(path), len(dataset.frames)
    reached = accuracy(module, dataset)
    held = {row.variant for row in rows if row.method == "spikingjelly"}
    for mode, recipe in their_recipes(list(batch.split(BATCH))).items():
        if mode in held:
            continue
        network = Converter(recipe).convert(copy.deepcopy(module))
        for step, right in zip(TIME_STEPS, their_right(network, dataset), strict=True):
            theirs = round(100 * right / images, 4)
            rows.append(
                Row(
                    source, data, images, "spikingjelly", mode, "stream", "none", "direct", step, "float", theirs,
                    round(reached - theirs, 4), None, None, step, None, "",
                )
            )  # fmt: skip
        write_rows(rows, path)


def survey(source: str, folder: Path, images: int | None, every: bool = False) -> None:
    """All rows of one source; ``every`` method that fits, whatever the activation."""
    torch.set_num_threads(1)
    name = "cnn-qcfs" if source == "bundled" else Path(source).stem
    module = load_module(source).eval()
    data = "mnist-subset" if name.startswith("mnist-") else "fashion-mnist"
    dataset = datasets.load(data)
    dataset = dataset.take(min(images or len(dataset.frames), len(dataset.frames)))
    batch = calibration(datasets.load(data, "train"), CALIBRATION_IMAGES)
    path = folder / f"survey-{name}{f'-first-{images}' if images else ''}.csv"
    methods = None if every else OWN.get(name.split("-")[-1])
    Survey(module, name, dataset, batch, path, data=data, methods=methods).run()
    if any(isinstance(layer, nn.ReLU) for layer in module.modules()):
        beside(module, name, data, dataset, batch, path)
    if name == "cnn-qcfs" and not images:
        Survey(
            module, name, dataset, batch, folder / LEVELS, data=data, methods=("qcfs",), time_steps=(4, 15), formats=("8",)
        ).run()  # fmt: skip


def _loss(rows: list[Row], limit: float, what: str) -> str:
    """Whether the best of some rows loses at most ``limit`` points."""
    found = [row for row in rows if row.loss is not None]
    if not found:
        return f"not run: {what}"
    best = min(found, key=lambda row: row.loss or 0.0)
    holds = best.loss is not None and best.loss <= limit
    return f"{'holds' if holds else 'FAILS'}: {what}: {best.loss:+.2f} points, limit {limit:g} ({best.label})"


def claims(tables: dict[str, list[Row]], levels: list[Row]) -> list[str]:
    """What the tables are made to check."""
    lines = []
    for name in [name for name in tables if name.endswith("-relu")]:
        rows = tables[name]
        theirs = {row.time_steps: row for row in best_rows([r for r in rows if r.method == "spikingjelly"], "float")}
        integers = [row for row in rows if row.format == "8"]
        for kind, ours in (
            ("any schedule", integers),
            ("without radix", [row for row in integers if row.schedule != "radix"]),
        ):
            for step, limit in ((8, 1.5), (16, 0.5)):
                at = [row for row in ours if row.time_steps == step]
                lines.append(_loss(at, limit, f"{name}, T = {step}, 8 bit, best method, {kind}"))
            for row in best_rows(ours, "8"):
                other = theirs.get(row.time_steps)
                if other is not None and other.accuracy is not None and row.accuracy is not None:
                    gap = row.accuracy - other.accuracy
                    word = "holds" if gap > 0 else "LEVEL" if gap == 0 else "FAILS"
                    lines.append(
                        f"{word}: {name}, T = {row.time_steps}, {kind}: {row.accuracy:.2f} % ({row.label}) against "
                        f"{other.accuracy:.2f} % of spikingjelly ({other.variant})"
                    )
    for name in [name for name in tables if name.endswith("-qcfs")]:
        chosen = [
            row
            for row in tables[name]
            if (row.method, row.schedule, row.time_steps, row.format) == ("qcfs", "two_phase", 4, "8")
        ]
        lines.append(_loss(chosen, 0.1, f"{name}, qcfs, two_phase, T = 4, 8 bit"))
    for name in [name for name in tables if name.endswith("-strelu")]:
        for method, step in product(("strelu", "strelu_floor"), (1, 2, 4, 8)):
            chosen = [row for row in tables[name] if (row.method, row.time_steps, row.format) == (method, step, "8")]
            lines.append(_loss(chosen, 0.3, f"{name}, {method}, T = {step}, 8 bit"))
    by = {(row.schedule, row.time_steps): row for row in levels}
    radix, plain = by.get(("radix", 4)), by.get(("two_phase", 15))
    if radix and plain and radix.spikes and plain.spikes:
        word = "holds" if radix.accuracy == plain.accuracy else "FAILS"
        lines.append(
            f"{word}: cnn-qcfs, 8 bit, radix at T = 4 as two_phase at T = 15: {radix.accuracy:.2f} and "
            f"{plain.accuracy:.2f} %, {radix.spikes:,.0f} and {plain.spikes:,.0f} spikes an image"
        )
    return lines


def write_tables(folder: Path) -> list[str]:
    """``tables.md`` over all surveys of the folder; returns the claims."""
    found = {path.stem.removeprefix("survey-"): read_rows(path) for path in sorted(folder.glob("survey-*.csv"))}
    tables = {name: found[name] for name in (*SOURCES, *(n for n in found if n not in SOURCES)) if found.get(name)}
    lines = claims(tables, read_rows(folder / LEVELS))
    parts = [
        "# Conversion methods\n\nWritten by `make tables`; accuracy in % (simulated), the best of each T in bold. Operations, spikes, latency "
        "and fingerprints of each network are in `survey-SOURCE.csv`. spikingjelly runs in float only.\n",
        "## Claims\n\n" + "\n".join(f"- {line}" for line in lines) + "\n",
    ]
    for name, rows in tables.items():
        first = next(row for row in rows if row.accuracy is not None and row.loss is not None)
        reached = (first.accuracy or 0) + (first.loss or 0)
        parts.append(
            f"## {name}\n\nThe source reaches {reached:.2f} % on the {first.images:,} images of {first.data}.\n"
        )
        parts += [
            f"### {name}, {title}\n\n{markdown(rows, form)}"
            for form, title in TITLES.items()
            if any(row.format == form for row in rows)
        ]
    with replacing(folder / "tables.md") as temporary:
        temporary.write_text("\n".join(parts))
    return lines


def main() -> None:
    """Survey the sources named, write the tables, print the claims."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("sources", nargs="*", default=SOURCES, metavar="SOURCE")
    parser.add_argument("--images", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="every method that fits, whatever the activation")
    options = parser.parse_args()
    sources = [trained(source) for source in options.sources]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for job in [pool.submit(survey, source, options.folder, options.images, options.all) for source in sources]:
            job.result()
    print("\n".join(write_tables(options.folder)))


if __name__ == "__main__":
    main()
