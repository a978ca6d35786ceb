"""The fewest time steps at which the integers of a spiking network lose no more than the user allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite

from sim import golden
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.ir import MAX_RADIX_STEPS, MAX_TIME_STEPS, SpikingNetwork
from toolchain.quantize import quantize

__all__ = ["Tried", "fewest_steps"]

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
    network_at: Callable[[int], SpikingNetwork],
    dataset: Dataset,
    source_accuracy: float,
    *,
    target_loss: float,
    most_steps: int = 64,
    weight_bits: int = 8,
    for_one_t: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[SpikingNetwork, list[Tried]]:
    """The network at the smallest T that meets the target, and all T that were tried.

    Parameters
    ----------
    network_at : callable
        The network converted for a T.
    source_accuracy : float
        Of the source on the images of ``dataset``, per cent.
    target_loss : float
        Points that may be lost against it.
    most_steps : int
        Largest T to try, 1 to ``MAX_TIME_STEPS``; ``radix`` stops at its own limit.
    for_one_t : bool
        Whether each T needs a conversion of its own; otherwise one serves all, and in ``stream`` one run
        several T.
    progress : callable
        Called with the number of T finished since the last call.

    Raises
    ------
    InvalidValue
        No T meets the target: the message names the best; or values out of range.
    """
    if not (isfinite(target_loss) and -100 <= target_loss <= 100):
        raise InvalidValue(f"target loss is {target_loss}, must be points of accuracy, -100 to 100")
    if not 1 <= most_steps <= MAX_TIME_STEPS:
        raise InvalidValue(f"most steps is {most_steps}, must be 1 to {MAX_TIME_STEPS}")
    shared = network_at(1)
    most = min(most_steps, MAX_RADIX_STEPS) if shared.schedule == "radix" else most_steps
    together = shared.schedule == "stream" and not for_one_t
    tried: list[Tried] = []
    for window in _windows(most):
        for steps in [window] if together else [[step] for step in window]:
            network = network_at(steps[-1]) if for_one_t else shared.with_time_steps(steps[-1])
            found = _try(network, steps, dataset, source_accuracy, weight_bits)
            tried += found
            if progress:
                progress(len(steps))
            for index, one in enumerate(found):
                if one.loss is not None and one.loss <= target_loss:
                    kept = tried[: len(tried) - len(found) + index + 1]
                    return network.with_time_steps(one.time_steps), kept
    measured = [one for one in tried if one.loss is not None]
    if not measured:
        raise InvalidValue(tried[0].note)
    best = min(measured, key=lambda one: one.loss or 0.0)
    raise InvalidValue(
        f"no T up to {most} loses at most {target_loss:g} points with {weight_bits}-bit weights: the best loses "
        f"{best.loss:.2f} at T = {best.time_steps}; allow more loss, steps or weight bits, or use another method"
    )


def _try(
    network: SpikingNetwork, steps: list[int], dataset: Dataset, source_accuracy: float, weight_bits: int
) -> list[Tried]:
    """Some T of one network; several in ``stream`` only."""
    try:
        integers = quantize(network, weight_bits)
    except InvalidValue as error:
        return [Tried(step, None, None, None, str(error)) for step in steps]
    frames = dataset.frames
    traces = golden.anytime(integers, frames, steps) if len(steps) > 1 else (golden.run(integers, frames),)
    spiking = [not integers.reads_frame(layer) for layer in integers.layers]
    found = []
    for step, trace in zip(steps, traces, strict=True):
        accuracy = 100 * float((trace.predictions == dataset.labels).mean())
        sop = float(trace.activity.operations[:, spiking].sum()) / len(frames)
        found.append(Tried(step, accuracy, source_accuracy - accuracy, sop))
    return found
