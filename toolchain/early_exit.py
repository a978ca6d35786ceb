"""Early exit: let an image go as soon as its answer is clear, and spend more time steps on the others only.

A cascade over T_1 < T_2 < ...: the answer after T_1 stands if the best score leads the second by more than a
margin, otherwise the image goes on to T_2, and so on; the last T decides. In ``stream`` the steps done so far
count once, since the run just goes on; elsewhere each T is another network and another run, and costs add up.

The core of ``hdl`` runs layer by layer through all T, so on it the ``stream`` cascade saves nothing: stopping
early needs hardware that runs all layers at once. The other cascade means several networks, one for each T.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim import golden
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.ir import SpikingNetwork
from toolchain.quantize import quantize, score_scale

__all__ = ["MARGINS", "Exit", "early_exits", "verdict"]

MARGINS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""In units of the source's scores."""
_BATCH = 500


@dataclass(frozen=True)
class Exit:
    """A fixed T, or the cascade with one margin; means over images.

    Members
    -------
    margin : float or None
        In units of the source's scores; ``None`` for a fixed T.
    time_steps : int
        The fixed T, or the last of the cascade.
    accuracy : float
        Per cent.
    mean_steps, mean_sop, mean_spikes : float
        What was run, all runs of an image together; SOPs on spikes, pixels not included.
    shares : tuple of float
        Share of the images that ends at each T of the cascade.
    """

    margin: float | None
    time_steps: int
    accuracy: float
    mean_steps: float
    mean_sop: float
    mean_spikes: float
    shares: tuple[float, ...]


def early_exits(
    network: SpikingNetwork,
    dataset: Dataset,
    time_steps: Sequence[int],
    *,
    margins: Sequence[float] = MARGINS,
    weight_bits: int = 8,
    clipping: str = "max",
    pow2: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Exit]:
    """Each T alone, then the cascade over all T for each margin, in integers.

    Parameters
    ----------
    time_steps : sequence of int
        At least two, increasing.
    margins : sequence of float
        At least 0.
    progress : callable
        Called with the number of images finished since the last call.

    Raises
    ------
    InvalidValue
        Bad margins or list of T, or a network without integers at one of them.
    """
    steps = golden.check_increasing(time_steps)
    if len(steps) < 2:
        raise InvalidValue(f"time steps is {steps[0]} alone, early exit needs at least two")
    for margin in margins:
        if not 0 <= margin < np.inf:
            raise InvalidValue(f"margin is {margin}, must be at least 0")
    if network.layers[-1].channels < 2:
        raise InvalidValue("the network has 1 class, early exit needs the lead of one class over another")
    networks = [network.with_time_steps(step) for step in steps]
    integers = [quantize(each, weight_bits, clipping=clipping, pow2=pow2) for each in networks]
    units = np.array([score_scale(each, weight_bits, clipping=clipping, pow2=pow2)[0] for each in networks])
    stream, images = network.schedule == "stream", len(dataset.frames)
    spiking = [not integers[0].reads_frame(layer) for layer in integers[0].layers]
    right = np.zeros((len(steps), images), bool)
    lead = np.zeros((len(steps), images))
    costs = np.zeros((3, len(steps), images))  # steps, SOPs, spikes
    costs[0] = np.array(steps)[:, None]
    each_data = [dataset.at(step) for step in (steps[-1:] if stream else steps)]
    for start in range(0, images, _BATCH):
        part = slice(start, start + _BATCH)
        if stream:
            traces = golden.anytime(integers[-1], each_data[-1].frames[part], steps)
        else:
            traces = tuple(golden.run(each, data.frames[part]) for each, data in zip(integers, each_data, strict=True))
        for index, trace in enumerate(traces):
            second, first = np.sort(trace.scores, axis=1)[:, -2:].T
            right[index, part] = trace.predictions == dataset.labels[part]
            lead[index, part] = (first - second) * units[index]
            costs[1, index, part] = trace.activity.operations[:, spiking].sum(axis=1)
            costs[2, index, part] = trace.activity.spikes.sum(axis=1)
        if progress:
            progress(len(traces[0].predictions))
    fixed = [_exit(None, right, costs, np.full(images, index), steps) for index in range(len(steps))]
    spent = costs if stream else costs.cumsum(axis=1)
    cascades = []
    for margin in margins:
        clear = lead > margin
        clear[-1] = True
        cascades.append(_exit(margin, right, spent, clear.argmax(axis=0), steps))
    return fixed + cascades


def _exit(margin: float | None, right: np.ndarray, costs: np.ndarray, ends: np.ndarray, steps: tuple[int, ...]) -> Exit:
    """``ends``: for each image the index of the T at which it ends, int64 ``[N]``."""
    each = np.arange(len(ends))
    mean_steps, mean_sop, mean_spikes = costs[:, ends, each].mean(axis=1).tolist()
    shares = np.bincount(ends, minlength=len(steps)) / len(ends)
    last = steps[int(ends.max())] if margin is None else steps[-1]
    share = 100 * float(right[ends, each].mean())
    return Exit(margin, last, share, mean_steps, mean_sop, mean_spikes, tuple(shares.tolist()))


def verdict(exits: Sequence[Exit]) -> list[str]:
    """For each fixed T but the first: whether a cascade is the cheapest way to its accuracy, in synaptic operations."""
    fixed, cascades = ([e for e in exits if (e.margin is None) is alone] for alone in (True, False))
    lines = []
    for one in fixed[1:]:
        enough = [cascade for cascade in cascades if cascade.accuracy >= one.accuracy]
        what = f"{one.accuracy:.2f} % of T = {one.time_steps}"
        if not enough:
            lines.append(f"against T = {one.time_steps} it does not pay: no margin reaches the {what}")
            continue
        cheapest = min(enough, key=lambda cascade: cascade.mean_sop)
        alone = [other for other in fixed if other.accuracy >= one.accuracy and other.mean_sop < cheapest.mean_sop]
        if alone and one not in alone:
            lines.append(
                f"against T = {one.time_steps} it does not pay: T = {alone[0].time_steps} alone reaches its "
                f"{one.accuracy:.2f} % with fewer synaptic operations"
            )
            continue
        change = 100 * (1 - cheapest.mean_sop / one.mean_sop) if one.mean_sop else 0.0
        result = f"margin {cheapest.margin:g} reaches the {what} with {abs(change):.1f} %"
        lines.append(
            f"against T = {one.time_steps} it "
            + (f"pays: {result} fewer synaptic operations" if change > 0 else f"does not pay: {result} more")
        )
    return lines
