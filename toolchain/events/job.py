"""Recordings to a file of spikes: every sample binned, every event accounted for."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import InvalidValue
from toolchain.events.binning import Account, Binning, Window, bin_windows
from toolchain.events.recording import Recording
from toolchain.events.spikefile import writing_spikes

__all__ = ["Job", "Written", "write_samples"]


@dataclass(frozen=True, eq=False)
class Job:
    """A recording and its windows, each a sample."""

    recording: Recording
    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Written:
    """What a file of spikes holds.

    Members
    -------
    shape : (N, T, C, H, W)
    account : Account
        Of all samples.
    empty : int
        Samples without a spike.
    classes : int or None
        Labels lie below; ``None`` without labels.
    """

    shape: tuple[int, int, int, int, int]
    account: Account
    empty: int
    classes: int | None

    @property
    def density(self) -> float:
        """Share of the places that spike, 0 to 1."""
        samples, steps, channels, height, width = self.shape
        return self.account.spikes / (samples * steps * channels * height * width)

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("samples", "time_steps", "channels", "height", "width")
        counted = {**asdict(self.account), "empty_samples": self.empty, "density": self.density}
        return {**dict(zip(names, self.shape, strict=True)), "classes": self.classes, **counted}


def _labels(jobs: Sequence[Job]) -> list[int] | None:
    labels = [window.label for job in jobs for window in job.windows]
    known = [label for label in labels if label is not None]
    if known and len(known) < len(labels):
        raise InvalidValue(f"{len(labels) - len(known)} of {len(labels)} samples have no label; label all or none")
    return known or None


def write_samples(
    jobs: Sequence[Job],
    binning: Binning,
    path: Path,
    about: dict[str, Any],
    progress: Callable[[int], None] = lambda _: None,
) -> Written:
    """Bin every window of every recording into ``path``; one piece of one recording and one sample are in memory.

    ``about`` goes into the file, with what became of the events. ``progress`` counts samples.

    Raises
    ------
    InvalidValue
        No sample, recordings that give different shapes, some samples with labels and some without, and what binning
        and writing refuse.
    """
    windows = sum(len(job.windows) for job in jobs)
    if not windows:
        raise InvalidValue("there is no sample to bin, at least 1 is needed")
    first = jobs[0].recording
    shape = binning.shape(first.width, first.height, first.name)
    for job in jobs:
        other = binning.shape(job.recording.width, job.recording.height, job.recording.name)
        if other != shape:
            raise InvalidValue(
                f"{job.recording.name} gives samples of shape {other}, {first.name} of {shape}; crop both to the same size"
            )
    labels = _labels(jobs)
    whole = (windows, binning.steps, *shape)
    account, empty = Account(), 0
    kept: dict[str, Any] = {**about, "binning": asdict(binning)}
    with writing_spikes(path, whole, labels, kept) as writer:
        for job in jobs:
            for sample in bin_windows(job.recording, job.windows, binning):
                writer.add(sample.spikes)
                account, empty = account + sample.account, empty + (sample.account.spikes == 0)
                progress(1)
        written = Written(whole, account, empty, None if labels is None else max(labels) + 1)
        kept["samples"] = written.summary()
    return written
