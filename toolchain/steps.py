"""The fewest time steps at which the integers of a spiking network lose no more than the user allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sim import golden
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.ir import MAX_RADIX_STEPS, MAX_TIME_STEPS, SpikingNetwork
from toolchain.quantize import quantize

__all__ = ["MOST_STEPS", "Tried", "fewest_steps"]

MOST_STEPS = 64
_FIRST_WINDOW = 4


@dataclass(frozen=True)
class Tried:
    """One T: accuracy in per cent, loss in points, SOPs for each image (pixels not included).

    ``None`` where the network has no integers at this T; ``note`` says why.
    """

    time_steps: int
    accuracy: float | None
    loss: float | None
    sop: float | None
    note: str = ""


def _windows(most: int) -> Iterator[list[int]]:
    """1 to 4, 5 to 8, 9 to 16, ...: each costs a run of its last T, so all together twice the T that is found."""
    first, last = 1, min(_FIRST_WINDOW, most)
    while first <= last:
        yield list(range(first, last + 1))
        first, last = last + 1, min(2 * last, most)


def fewest_steps(
    network: SpikingNetwork,
    dataset: Dataset,
    source_accuracy: float,
    *,
    target_loss: float,
    most_steps: int = MOST_STEPS,
    weight_bits: int = 8,
    again: Callable[[int], SpikingNetwork] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[SpikingNetwork, list[Tried]]:
    """The network at the smallest T that meets the target, with provenance, and all T that were tried.

    Parameters
    ----------
    network : SpikingNetwork
        Of any T; in ``stream`` one run of it serves several T.
    source_accuracy : float
        Of the source on the images of ``dataset``, per cent.
    target_loss : float
        Points that may be lost against it.
    most_steps : int
        Largest T to try, 1 to ``MAX_TIME_STEPS``; ``radix`` stops at its own limit.
    again : callable
        The conversion for a T, if the method's result holds for one T only; then ``network`` only tells the schedule.
    progress : callable
        Called with the number of T finished since the last call.

    Raises
    ------
    InvalidValue
        No T meets the target: the message names the best; or values out of range.
    """
    if not -100 <= target_loss <= 100:
        raise InvalidValue(f"target loss is {target_loss}, must be points of accuracy, -100 to 100")
    if not 1 <= most_steps <= MAX_TIME_STEPS:
        raise InvalidValue(f"most steps is {most_steps}, must be 1 to {MAX_TIME_STEPS}")
    most = min(most_steps, MAX_RADIX_STEPS) if network.schedule == "radix" else most_steps
    # spikes in fewer steps are not the first steps of those in more
    together = network.schedule == "stream" and again is None and dataset.steps is None
    tried: list[Tried] = []
    for window in _windows(most):
        fitting = [step for step in window if dataset.steps is None or dataset.steps % step == 0]
        for steps in [window] if together else [[step] for step in fitting]:
            candidate = network.with_time_steps(steps[-1]) if again is None else again(steps[-1])
            for one in _try(candidate, steps, dataset, source_accuracy, weight_bits):
                tried.append(one)
                if one.loss is not None and one.loss <= target_loss:
                    chosen = candidate.with_time_steps(one.time_steps)
                    return chosen.with_provenance(
                        target_loss=target_loss,
                        loss=one.loss,
                        loss_weight_bits=weight_bits,
                        loss_images=len(dataset.frames),
                    ), tried
            if progress:
                progress(len(steps))
    measured = [(one.loss, one.time_steps) for one in tried if one.loss is not None]
    if not measured:
        raise InvalidValue(tried[0].note)
    loss, step = min(measured)
    raise InvalidValue(
        f"no T up to {most} loses at most {target_loss:g} points with {weight_bits}-bit weights: the best loses "
        f"{loss:.2f} at T = {step}; allow more loss, steps or weight bits, or use another method"
    )


def _try(
    network: SpikingNetwork, steps: list[int], dataset: Dataset, source_accuracy: float, weight_bits: int
) -> list[Tried]:
    """Some T of one network; several in ``stream`` only."""
    try:
        integers = quantize(network, weight_bits)
    except InvalidValue as error:  # of the largest T; smaller ones may fit
        *fitting, last = steps
        shorter = network.with_time_steps(fitting[-1]) if fitting else network
        found = _try(shorter, fitting, dataset, source_accuracy, weight_bits) if fitting else []
        return [*found, Tried(last, None, None, None, str(error))]
    frames = dataset.at(steps[-1]).frames
    traces = golden.anytime(integers, frames, steps) if len(steps) > 1 else (golden.run(integers, frames),)
    spiking = [not integers.reads_frame(layer) for layer in integers.layers]
    found = []
    for step, trace in zip(steps, traces, strict=True):
        accuracy = 100 * float((trace.predictions == dataset.labels).mean())
        sop = float(trace.activity.operations[:, spiking].sum()) / len(frames)
        found.append(Tried(step, accuracy, round(source_accuracy - accuracy, 6), sop))
    return found
