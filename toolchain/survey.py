"""All conversion methods on one source network: accuracy and operations for each schedule, T and number format."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sim import floating, golden
from toolchain.convert import METHODS, convert
from toolchain.convert.graph import read_module
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.ir import MAX_RADIX_STEPS, FixedPointNetwork, SpikingNetwork
from toolchain.netfile import check_writable, replacing
from toolchain.quantize import quantize
from toolchain.trace import SpikeTrace
from toolchain.train import accuracy

__all__ = [
    "FORMATS",
    "LANES",
    "TIME_STEPS",
    "Row",
    "Setting",
    "Survey",
    "activity_sums",
    "best_rows",
    "fitting_methods",
    "markdown",
    "read_rows",
    "settings",
    "write_rows",
]

TIME_STEPS = (1, 2, 4, 8, 16, 32, 64)
FORMATS = ("float", "8", "4")
"""``float``, or a number of weight bits."""
LANES = 16
"""Of ``cycles_bound``."""
_MSE_BITS = 4
"""Scales of least squared error pay off up to here."""
_BATCH = 500


@dataclass(frozen=True)
class Setting:
    """A method as one kind of neuron, whatever T."""

    method: str
    schedule: str
    negative: str
    shift: bool

    @property
    def variant(self) -> str:
        """``shift`` or ``no shift``, and whether neurons are reset to zero."""
        reset = ", reset to zero" if METHODS[self.method].resets[0] == "zero" else ""
        return ("shift" if self.shift else "no shift") + reset


@dataclass(frozen=True)
class Row:
    """One network on some images; ``None`` where nothing was measured, and ``note`` then says why.

    Members
    -------
    source, data : str
        The source network, and the data set that the images are the first of.
    variant : str
        As of ``Setting``; of another program its mode.
    format : str
        ``float`` or the number of weight bits.
    accuracy, loss : float
        Per cent; points that the source is better on the same images.
    sop, spikes : float
        Synaptic operations on spikes, and spikes of all layers, for each image; integers only.
    latency_steps : int
        Time steps until the scores stand if every layer had hardware of its own: T in ``stream``, where a spike
        passes all layers in its step; else T for each firing layer, which waits for the one before it.
        Reading the frame counts as no step.
    cycles_bound : float
        Operations for each image, those on pixels included, over ``LANES``: no core of as many lanes takes
        fewer cycles. An estimate, no simulation.
    fingerprint : str
        Of the network at this T in this format.
    """

    source: str
    data: str
    images: int
    method: str
    variant: str
    schedule: str
    negative: str
    input: str
    time_steps: int
    format: str
    accuracy: float | None
    loss: float | None
    sop: float | None
    spikes: float | None
    latency_steps: int
    cycles_bound: float | None
    fingerprint: str
    note: str = ""

    @property
    def setting(self) -> tuple[str, ...]:
        """All but T and format that tells the row from others."""
        return (self.method, self.variant, self.schedule, self.negative, self.input)

    @property
    def label(self) -> str:
        """The setting in words, what is usual left out."""
        usual = ("", "none", "direct")
        return ", ".join(
            part for part in (self.method, self.schedule, self.negative, self.input, self.variant) if part not in usual
        )


_PARSE: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float | None: lambda text: float(text) if text else None,
}


def read_rows(path: Path) -> list[Row]:
    """Rows that ``write_rows`` wrote; none if there is no such file.

    Raises
    ------
    InvalidValue
        The file is something else.
    """
    if not path.exists():
        return []
    columns = {field.name: _PARSE[field.type] for field in fields(Row)}
    try:
        with path.open(newline="") as file:
            lines = csv.DictReader(file)
            if lines.fieldnames != list(columns):
                raise ValueError("other columns")
            return [Row(**{name: parse(line[name]) for name, parse in columns.items()}) for line in lines]
    except (TypeError, ValueError, csv.Error) as error:
        raise InvalidValue(f"{path} is no table of spikeloom survey; name another file or remove it") from error


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write CSV in one step."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(row) for row in rows)


def fitting_methods(module: nn.Module, input_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Methods made for every activation of the source.

    Raises
    ------
    InvalidValue, UnsupportedModule
        There is none; the module cannot be read.
    """
    blocks = read_module(module, input_shape).blocks
    kinds = {block.activation.kind for block in blocks if block.activation is not None}
    names = tuple(name for name, method in METHODS.items() if kinds <= set(method.activations))
    if not names:
        raise InvalidValue(f"no method takes activations {' and '.join(sorted(kinds))} together; use one kind of them")
    return names


def settings(methods: Sequence[str]) -> list[Setting]:
    """Each method in each of its schedules with its usual neuron.

    ``optimal`` with and without shift; a method made for quantized sources only, in ``stream`` also with
    ``correcting``.
    """
    chosen = []
    for name in methods:
        if name not in METHODS:
            raise InvalidValue(f"no conversion method {name!r}; there are {', '.join(METHODS)}, or all")
        method = METHODS[name]
        for schedule in method.schedules:
            negatives = [method.negatives[0]]
            if schedule == "stream" and "relu" not in method.activations and "correcting" in method.negatives[1:]:
                negatives.append("correcting")
            shifts = (True, False) if name == "optimal" else (method.shift is not False,)
            chosen += [Setting(name, schedule, negative, shift) for negative in negatives for shift in shifts]
    return chosen


def _where_exact(chosen: list[Setting], maxima: Sequence[str]) -> list[Setting]:
    """Of sources with max pooling the settings that take it: ``two_phase`` without negative spikes."""
    if not maxima:
        return chosen
    exact = [setting for setting in chosen if (setting.schedule, setting.negative) == ("two_phase", "none")]
    if not exact:
        raise InvalidValue(
            f"the source has {maxima[0]}, which needs schedule two_phase and negative none, and none of the methods has them: use "
            "optimal or qcfs"
        )
    return exact


def activity_sums(network: FixedPointNetwork, trace: SpikeTrace) -> np.ndarray:
    """SOPs, operations on pixels, and spikes of each image, int64 ``[3, N]``."""
    pixels = np.array([network.reads_frame(layer) for layer in network.layers])
    operations = trace.activity.operations
    return np.stack(
        [operations[:, ~pixels].sum(axis=1), operations[:, pixels].sum(axis=1), trace.activity.spikes.sum(axis=1)]
    )


def _format(name: str) -> str:
    """As it stands in the table, without zeros or blanks before it."""
    name = name.strip()
    if name != "float" and not (name.isascii() and name.isdigit() and 2 <= int(name) <= 16):
        raise InvalidValue(f"format is {name!r}, must be float or weight bits, 2 to 16")
    return name if name == "float" else str(int(name))


class Survey:
    """Every setting of some methods on one source, measured setting by setting into a CSV file.

    A file that holds rows already is added to: networks whose fingerprint it holds, or that another setting
    gave, are not run again, so that an interrupted survey goes on. Images go in batches; in ``stream`` one run
    of the largest T serves all T. A method whose result holds for one T only is converted again for each.

    Parameters
    ----------
    module : nn.Module
    source, data : str
        Names of the network and of the images, for the table.
    dataset : Dataset
        The images.
    calibration : float32 [N, C, H, W]
    methods : sequence of str
        ``None`` takes ``fitting_methods``.
    time_steps : sequence of int
        Increasing; ``radix`` leaves out what is above its limit.
    formats : sequence of str
        ``float`` or numbers of weight bits; up to 4 with clipping ``mse``.

    Raises
    ------
    InvalidValue
        Unknown method or format, bad list of T, nothing to run, max pooling and no method for it; a file of another survey, or that cannot be written.
    """

    def __init__(
        self,
        module: nn.Module,
        source: str,
        dataset: Dataset,
        calibration: Tensor,
        path: Path,
        *,
        data: str,
        methods: Sequence[str] | None = None,
        time_steps: Sequence[int] = TIME_STEPS,
        formats: Sequence[str] = FORMATS,
    ):
        self._module, self._calibration, self._dataset = module, calibration, dataset
        self.source, self.data, self.path = source, data, path
        self.time_steps = golden.check_increasing(time_steps)
        self.formats = tuple(dict.fromkeys(_format(name) for name in formats))
        if dataset.steps is not None:
            raise InvalidValue(
                f"data set {dataset.name} holds spikes, a survey takes pixels; convert with the methods you want, then compare"
            )
        channels, height, width = dataset.frames.shape[1:]
        if methods is None:
            methods = fitting_methods(module, (channels, height, width))
        self.settings = _where_exact(
            settings(tuple(dict.fromkeys(methods))), read_module(module, (channels, height, width)).maxima
        )
        if not self.total:
            raise InvalidValue(
                f"there is nothing to run: T = {', '.join(map(str, self.time_steps))} in format {', '.join(self.formats)}, "
                f"but radix has T up to {MAX_RADIX_STEPS} and schedule switched is float only"
            )
        check_writable(path)
        self.rows = read_rows(path)
        for row in self.rows:
            theirs, ours = (row.source, row.data, row.images), (source, data, len(dataset.frames))
            if theirs != ours:
                raise InvalidValue(
                    f"{path} is about {theirs[0]} on {theirs[2]} images of {theirs[1]}, not {ours[0]} on {ours[2]} of "
                    f"{ours[1]}; name another file or remove it"
                )
        self._known = {row.fingerprint: row for row in self.rows if row.fingerprint}

    @property
    def total(self) -> int:
        """Images to run, each as often as there are rows: what ``progress`` counts to."""
        return len(self._dataset.frames) * sum(
            len(self._steps(setting)) * len(self._formats(setting)) for setting in self.settings
        )

    def _steps(self, setting: Setting) -> tuple[int, ...]:
        most = MAX_RADIX_STEPS if setting.schedule == "radix" else self.time_steps[-1]
        return tuple(step for step in self.time_steps if step <= most)

    def _formats(self, setting: Setting) -> tuple[str, ...]:
        return self.formats if setting.schedule != "switched" else tuple(f for f in self.formats if f == "float")

    def run(self, progress: Callable[[int], None] | None = None) -> list[Row]:
        """Measure what is missing, writing the file after each setting; returns all rows of the file."""
        self.source_accuracy = accuracy(self._module, self._dataset)
        for setting in self.settings:
            steps = self._steps(setting)
            if not steps:
                continue
            for network, its_steps in self._networks(setting, steps):
                for name in self._formats(setting):
                    self._add(self._measure(setting, network, its_steps, name, progress))
            write_rows(self.rows, self.path)
        return self.rows

    def _networks(self, setting: Setting, steps: tuple[int, ...]) -> Iterator[tuple[SpikingNetwork, tuple[int, ...]]]:
        """Networks and the T that one run of each can serve."""

        def converted(step: int) -> SpikingNetwork:
            return convert(
                self._module,
                self._calibration,
                setting.method,
                step,
                schedule=setting.schedule,
                negative=setting.negative,
                shift=setting.shift or METHODS[setting.method].shift is False,
                name=self.source,
            )

        if METHODS[setting.method].for_one_t:
            yield from ((converted(step), (step,)) for step in steps)
            return
        network = converted(steps[-1])
        if setting.schedule == "stream":
            yield network, steps
        else:
            yield from ((network.with_time_steps(step), (step,)) for step in steps)

    def _measure(
        self,
        setting: Setting,
        network: SpikingNetwork,
        steps: tuple[int, ...],
        name: str,
        progress: Callable[[int], None] | None,
    ) -> list[Row]:
        """A row for each T of one network in one format; what has no integers gets a note."""
        firing = sum(layer.threshold is not None for layer in network.layers)
        empty = {
            step: Row(
                self.source, self.data, len(self._dataset.frames), setting.method, setting.variant, setting.schedule,
                setting.negative, network.input, step, name, None, None, None, None,
                step if setting.schedule == "stream" else step * firing, None, "",
            )
            for step in steps
        }  # fmt: skip
        try:
            bits = None if name == "float" else int(name)
            integers = None if bits is None else quantize(network, bits, clipping="mse" if bits <= _MSE_BITS else "max")
        except InvalidValue as error:  # of the largest T; smaller ones may fit
            if progress:
                progress(len(self._dataset.frames))
            *fitting, last = steps
            shorter = network.with_time_steps(fitting[-1]) if fitting else network
            rows = self._measure(setting, shorter, tuple(fitting), name, progress) if fitting else []
            return [*rows, replace(empty[last], note=str(error))]
        of_step = {step: replace(integers or network, time_steps=step).fingerprint for step in steps}
        missing = [step for step in steps if of_step[step] not in self._known]
        if missing:
            found = self._floats(network, missing) if integers is None else self._integers(integers, missing)
            for step, values in found.items():
                row = replace(empty[step], fingerprint=of_step[step], **values)
                self._known[row.fingerprint] = row
        if progress:
            progress(len(steps) * len(self._dataset.frames))
        measured = ("accuracy", "loss", "sop", "spikes", "cycles_bound", "fingerprint")
        return [
            replace(row, **{column: getattr(self._known[of_step[step]], column) for column in measured})
            for step, row in empty.items()
        ]

    def _accuracy(self, right: int) -> dict[str, Any]:
        reached = 100 * right / len(self._dataset.frames)
        return {"accuracy": round(reached, 4), "loss": round(self.source_accuracy - reached, 4)}

    def _floats(self, network: SpikingNetwork, steps: list[int]) -> dict[int, dict[str, Any]]:
        scores = floating.anytime(network, self._dataset.frames, steps)
        right = (scores.argmax(axis=2) == self._dataset.labels).sum(axis=1)
        return {step: self._accuracy(int(count)) for step, count in zip(steps, right, strict=True)}

    def _integers(self, network: FixedPointNetwork, steps: list[int]) -> dict[int, dict[str, Any]]:
        images = len(self._dataset.frames)
        totals = np.zeros((len(steps), 4), np.int64)
        for start in range(0, images, _BATCH):
            frames = self._dataset.frames[start : start + _BATCH]
            labels = self._dataset.labels[start : start + _BATCH]
            stream = network.schedule == "stream"
            traces = golden.anytime(network, frames, steps) if stream else (golden.run(network, frames),)
            for index, trace in enumerate(traces):
                totals[index, 0] += (trace.predictions == labels).sum()
                totals[index, 1:] += activity_sums(network, trace).sum(axis=1)
        return {
            step: {
                **self._accuracy(int(right)),
                "sop": round(sop / images, 1),
                "spikes": round(spikes / images, 1),
                "cycles_bound": round((sop + pixels) / images / LANES, 1),
            }
            for step, (right, sop, pixels, spikes) in zip(steps, totals.tolist(), strict=True)
        }

    def _add(self, rows: Sequence[Row]) -> None:
        """Take new rows over those of the same place in the table, which must be about the same network."""
        places = {(*row.setting, row.time_steps, row.format): index for index, row in enumerate(self.rows)}
        for row in rows:
            index = places.get((*row.setting, row.time_steps, row.format))
            if index is None:
                self.rows.append(row)
            elif self.rows[index].fingerprint in ("", row.fingerprint):
                self.rows[index] = row
            else:
                raise InvalidValue(
                    f"{self.path} holds another network for {row.label}, T = {row.time_steps}: the source or the "
                    "calibration images differ; name another file or remove it"
                )


def best_rows(rows: Sequence[Row], name: str) -> list[Row]:
    """For each T the most accurate row of one format, the first of equals."""
    best: dict[int, Row] = {}
    for row in rows:
        if row.format == name and row.accuracy is not None:
            leader = best.get(row.time_steps)
            if leader is None or leader.accuracy is None or row.accuracy > leader.accuracy:
                best[row.time_steps] = row
    return [best[step] for step in sorted(best)]


def markdown(rows: Sequence[Row], name: str) -> str:
    """Accuracy of one format as a Markdown table, settings down, T across; the best of each T is bold."""
    chosen = [row for row in rows if row.format == name]
    steps = sorted({row.time_steps for row in chosen})
    best = {row.time_steps: row.accuracy for row in best_rows(rows, name)}
    lines = [f"| setting | {' | '.join(f'T = {s}' if s == steps[0] else str(s) for s in steps)} |"]
    lines.append("|---" * (1 + len(steps)) + "|")
    for setting in dict.fromkeys(row.setting for row in chosen):
        cells = {row.time_steps: row for row in chosen if row.setting == setting}

        def cell(step: int, cells: dict[int, Row] = cells) -> str:
            value = cells[step].accuracy if step in cells else None
            if value is None:
                return "–"
            return f"**{value:.2f}**" if value == best[step] else f"{value:.2f}"

        label = next(iter(cells.values())).label
        lines.append(f"| {label} | {' | '.join(cell(step) for step in steps)} |")
    return "\n".join(lines) + "\n"
