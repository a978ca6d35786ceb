"""Spikes from and to NIR's data objects (``nir.data_ir``, of nir 1.0.8): a neuron's index there is (c·H + y)·W + x here.

Read files of them with ``nir.read_data``; an observable of a node is what is given here.
"""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from toolchain.connection import Shape
from toolchain.errors import InvalidValue
from toolchain.events.binning import MAX_SAMPLE
from toolchain.events.spikefile import MAX_BYTES, rebinned
from toolchain.ir import MAX_TIME_STEPS

if TYPE_CHECKING:
    import nir

__all__ = ["from_nir", "to_nir"]


def _check(images: int, steps: int, neurons: int, shape: Shape) -> None:
    if len(shape) != 3 or min(shape) < 1 or prod(shape) != neurons:
        raise InvalidValue(f"NIR data has {neurons} neurons, input shape {shape} must be (C, H, W) with as many places")
    if not 1 <= steps <= MAX_TIME_STEPS or images < 1:
        raise InvalidValue(
            f"NIR data has {images} samples in {steps} steps, must be at least 1 sample in 1 to {MAX_TIME_STEPS}"
        )
    if steps * neurons > MAX_SAMPLE or images * steps * neurons > MAX_BYTES:
        raise InvalidValue(f"{images} samples of {steps} steps and {neurons} neurons are more than {MAX_BYTES} bytes")


def from_nir(data: Any, shape: Shape, steps: int | None = None) -> np.ndarray:
    """Spikes int8 ``[N, T, C, H, W]`` of an ``EventData`` or a ``TimeGriddedData``.

    Parameters
    ----------
    data : nir.EventData or nir.TimeGriddedData
        Events at times 0 ≤ t < ``t_max``; or True and False, 1 and 0 (1 and −1 where spikes have a sign).
    shape : (C, H, W)
        ``n_neurons`` places.
    steps : int
        T. Events need it: step ⌊t / dt⌋ with dt = t_max / T, several of one neuron in one step are one spike. Of gridded data it must
        divide the number of steps, which are joined by or; ``None`` takes them as they are.

    Raises
    ------
    InvalidValue
        Sizes that do not fit, indices or times out of range, values that are no spikes.
    """
    import nir

    if isinstance(data, nir.ValuedEventData):
        raise InvalidValue("NIR data carries a value with each event, spikes have none; take EventData")
    if isinstance(data, nir.TimeGriddedData):
        images, have, neurons = data.data.shape
        _check(images, have, neurons, shape)
        if data.data.dtype.kind not in "biuf" or not np.isin(data.data, (-1, 0, 1)).all():
            raise InvalidValue(f"NIR data is {data.data.dtype} with values other than 0 and 1, which are no spikes")
        spikes = data.data.astype(np.int8).reshape(images, have, *shape)
        return spikes if steps is None else rebinned(spikes, steps)
    if not isinstance(data, nir.EventData):
        raise InvalidValue(f"NIR data is {type(data).__name__}, must be EventData or TimeGriddedData")
    if steps is None:
        raise InvalidValue("NIR EventData has no time steps: say how many")
    index, time = np.asarray(data.idx), np.asarray(data.time, np.float64)
    if index.ndim != 2 or index.dtype.kind not in "iu":
        raise InvalidValue(
            f"NIR data has indices {index.dtype} of shape {index.shape}, must be whole numbers [N, events]"
        )
    _check(len(index), steps, data.n_neurons, shape)
    if not (np.isfinite(data.t_max) and data.t_max > 0):
        raise InvalidValue(f"NIR data has t_max {data.t_max}, must be above 0")
    there = index != -1
    if ((index < 0) | (index >= data.n_neurons))[there].any():
        raise InvalidValue(f"NIR data has indices outside of 0 to {data.n_neurons - 1}")
    if not ((time >= 0) & (time < data.t_max))[there].all():
        raise InvalidValue(f"NIR data has times outside of 0 to t_max = {data.t_max}")
    found = np.zeros((len(index), steps, data.n_neurons), np.int8)
    samples, columns = np.nonzero(there)
    # by dt, as nir itself; the quotient of a time just below t_max may round up to T
    step = np.minimum(np.floor(time[samples, columns] / (data.t_max / steps)).astype(np.int64), steps - 1)
    found[samples, step, index[samples, columns]] = 1
    return found.reshape(len(index), steps, *shape)


def to_nir(spikes: np.ndarray, dt: float) -> "nir.TimeGriddedData":
    """Spikes ``[N, T, C, H, W]`` of 0 and 1 as NIR's data on a grid of ``dt``, in the unit of the graph's time constants."""
    import nir

    if spikes.ndim != 5 or not np.isin(spikes, (0, 1)).all():
        raise InvalidValue(f"spikes have shape {spikes.shape}, must be [N, T, C, H, W] of 0 and 1")
    return nir.TimeGriddedData(spikes.astype(bool).reshape(*spikes.shape[:2], -1), dt)
