"""Make tests/data/moving-bar.aedat4: 900 synthetic events of a bar that crosses a sensor of 40 × 30.

    pip install dv-processing        # iniVation's own library, 2.0.4, in an environment of its own
    python tests/bench/make_aedat4.py tests/data/moving-bar.aedat4

Time stamps count from 1970, as a camera's do.
"""

import sys

import numpy as np

__all__ = ["SENSOR", "moving_bar"]

SENSOR = (40, 30)
"""Width, height."""
_EVENTS = 900
_START = 1_700_000_000_000_000


def moving_bar() -> np.ndarray:
    """t (µs), x, y and polarity of the events, int64 ``[M, 4]``."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(_EVENTS):
        t = _START + 100 * number + int(rng.integers(0, 100))
        y = int(rng.integers(0, SENSOR[1]))
        rows.append((t, number * SENSOR[0] // _EVENTS, y, int(rng.random() < 0.7)))
    return np.array(rows, np.int64)


def main(target: str) -> None:
    """Write them with the camera maker's library."""
    import dv_processing as dv

    store = dv.EventStore()
    for t, x, y, p in moving_bar().tolist():
        store.push_back(t, x, y, bool(p))
    writer = dv.io.MonoCameraWriter(target, dv.io.MonoCameraWriter.EventOnlyConfig("synthetic", SENSOR))
    writer.setPackagingCount(128)
    writer.writeEvents(store)


if __name__ == "__main__":
    main(*sys.argv[1:])
