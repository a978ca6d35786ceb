"""The verb ``bin``: recordings of event cameras to files of spikes."""

import re
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.shared import AsJson, app, bar, print_json
from toolchain.errors import InvalidValue
from toolchain.tables import out

__all__: list[str] = []

_UNITS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
"""In µs."""
_LONGEST = 1 << 53


def _sensor(text: str | None) -> tuple[int, int] | None:
    """``128x128`` as (width, height)."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.strip())
    if found is None:
        raise InvalidValue(f"sensor {text!r} is not WIDTHxHEIGHT, such as 128x128")
    return int(found[1]), int(found[2])


def _crop(text: str | None) -> tuple[int, int, int, int] | None:
    """``3,3,28,28`` as (left, top, width, height)."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", text.replace(" ", ""))
    if found is None:
        raise InvalidValue(f"crop {text!r} is not LEFT,TOP,WIDTH,HEIGHT, such as 3,3,28,28")
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])


def _microseconds(name: str, text: str | None) -> int | None:
    """``100ms`` or ``0.5s`` as µs; without a unit it is µs."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(ns|us|µs|ms|s)?", text.strip())
    value = -1.0 if found is None else float(found[1]) * _UNITS[(found[2] or "us").replace("µ", "u")]
    if not 0 <= value < _LONGEST or value != int(value):
        raise InvalidValue(f"{name} {text!r} is not a whole time in µs, such as 100ms, 0.5s or 2000")
    return int(value)


@app.command("bin", short_help="Recordings of event cameras to frames of spikes.")
def bin_events(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDING...",
            help="Files (.npy, .npz, .aedat4, .bin of N-MNIST), folders of them, or a folder with a folder for each class.",
        ),
    ],
    target: Annotated[Path, typer.Option("--out", "-o", help="File to write (.npz).")],
    steps: Annotated[int, typer.Option("--time-steps", "-T", help="Time steps of a sample.")],
    by: Annotated[str, typer.Option("--by", help="Steps of equal time, or of equal numbers of events.")] = "time",
    polarity: Annotated[
        str,
        typer.Option("--polarity", help="both (channel 0 OFF, 1 ON), on, off, or merged into one channel."),
    ] = "both",
    crop: Annotated[
        str | None, typer.Option("--crop", help="LEFT,TOP,WIDTH,HEIGHT of the sensor's part, in pixels.")
    ] = None,
    pool: Annotated[int, typer.Option("--pool", help="k x k pixels become one place, which spikes if any does.")] = 1,
    start: Annotated[
        str | None, typer.Option("--start", help="Of the samples, after the first event: 50ms, 2000 (µs).")
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Of a sample: 300ms; to the last event by default.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Cut each recording into as many samples of --duration as fit.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Classes: .npy [N], or .csv with label, and maybe file, start, end (µs)."),
    ] = None,
    sensor: Annotated[
        str | None, typer.Option("--sensor", help="WIDTHxHEIGHT; numpy files do not say it, others need it not.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Order in tables [N, 4] of numpy files; t,x,y,p by default.")
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option("--time-unit", help="Of numpy files: ns, us (default), ms or s.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Bin recordings of event cameras into T steps of spikes, for train, convert, generate, verify, energy, report.

    A place spikes in a step if it has any event there: what is lost by that is counted and shown. A folder of train.npz
    and test.npz is --data events --data-folder DIR of the other verbs; one such file is --data FILE.npz.

    Example: spikeloom bin recordings/train -T 8 --sensor 34x34 -o train.npz
    """
    from toolchain.events import (
        Binning,
        Job,
        Layout,
        WindowRule,
        find_recordings,
        labelled,
        open_recording,
        read_labels,
        write_samples,
    )
    from toolchain.netfile import check_writable

    if target.suffix != ".npz":
        raise InvalidValue(f"{target} must end in .npz, which --data goes by")
    check_writable(target)  # before, not after, the recordings are read
    binning = Binning(steps, by, polarity, _crop(crop), pool)
    rule = WindowRule(_microseconds("start", start) or 0, _microseconds("duration", duration), split)
    if time_unit is not None and time_unit not in _UNITS:
        raise InvalidValue(f"time unit is {time_unit!r}, must be one of {', '.join(_UNITS)}")
    layout = None
    if (columns, time_unit) != (None, None):
        layout = Layout((columns or "txyp").replace(",", "").replace(" ", ""), _UNITS[time_unit or "us"])
    found, classes = find_recordings(recordings)
    if labels is not None:
        if classes:
            raise InvalidValue(f"folders say the classes: leave out --labels {labels}, or name the files")
        found = labelled(found, read_labels(labels))
    if any(one.windows for one in found) and (start, duration, split) != (None, None, False):
        raise InvalidValue(f"{labels} says where samples start and end: leave out --start, --duration and --split")
    size, jobs = _sensor(sensor), []
    with bar("reading", len(found)) as move:
        for one in found:
            recording = open_recording(one.path, size, layout)
            binning.shape(recording.width, recording.height, recording.name)  # before anything is read
            windows = one.windows or rule.windows(recording.span(), one.label, recording.name)
            jobs.append(Job(recording, windows))
            move(1)
    about = {"made_by": "spikeloom bin", "recordings": len(found), "class_names": classes}
    with bar("binning", sum(len(job.windows) for job in jobs)) as move:
        written = write_samples(jobs, binning, target, about, move)
    if as_json:
        print_json({**written.summary(), "class_names": classes, "file": str(target)})
        return 0
    account, shape = written.account, " x ".join(str(size) for size in written.shape[1:])
    of = f", {written.classes} classes" if written.classes is not None else ", no labels"
    out.print(f"{target}: {written.shape[0]:,} samples of {shape} [T, C, H, W]{of}", markup=False)
    share = 100 / max(1, account.events)
    out.print(
        f"{account.events:,} events: {account.spikes:,} became spikes ({account.spikes * share:.1f} %), {account.merged:,} "
        f"fell on a spike of the same place and step ({account.merged * share:.1f} %), {account.left_out:,} left out "
        f"({account.left_out * share:.1f} %)",
        markup=False,
    )
    out.print(f"{100 * written.density:.2f} % of the places spike; {written.empty:,} samples are empty")
    return 0
