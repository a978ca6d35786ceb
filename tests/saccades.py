"""Synthetic event recordings: digits seen by a simulated camera that makes three small movements.

The way in which N-MNIST was recorded (Orchard et al., "Converting static image datasets to spiking neuromorphic datasets
using saccades", Frontiers in Neuroscience 9:437, 2015): an image on a screen, a sensor of 34 × 34 pixels, three
saccades along a triangle, 100 ms each. Here screen, optics and sensor are simulated: the image moves by bilinear
interpolation, and a pixel reports each time that its log intensity has changed by a threshold since its last report (the
model of Rebecq et al., "ESIM: an open event camera simulator", CoRL 2018), with a threshold of its own, noise events, and
microseconds between two frames by linear interpolation. Nothing of it was recorded by a camera.

    python -m tests.saccades FOLDER --data mnist-subset    # FOLDER/train/0/00000.npy ... FOLDER/test/9/00999.npy
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from toolchain import datasets

SIDE = 34
"""Pixels of the sensor, both ways; images of 28 × 28 stand in its middle."""
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "i1"), ("t", "<i8")])
"""In the order of fields in which Metavision and others keep them."""
_CORNERS = np.array([(-1.5, -1.5), (1.5, -1.5), (0.0, 1.5), (-1.5, -1.5)])
_SACCADE_US = 100_000
_FRAMES = 20
"""Of each saccade; events between two of them by linear interpolation."""
_THRESHOLD, _SPREAD = 0.35, 0.04
_DARK = 0.15
"""Intensity of black next to white, which is 1."""
_NOISE_HZ = 1.0
"""Random events of a pixel and second."""


def _shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """``image`` [H, W] moved by fractions of pixels, bilinear, black where it was not."""
    left, top = int(np.floor(dx)), int(np.floor(dy))
    fx, fy = dx - left, dy - top
    padded = np.pad(image, 4)
    height, width = image.shape

    def at(y: int, x: int) -> np.ndarray:
        return padded[4 - y : 4 - y + height, 4 - x : 4 - x + width]

    above = (1 - fx) * at(top, left) + fx * at(top, left + 1)
    below = (1 - fx) * at(top + 1, left) + fx * at(top + 1, left + 1)
    return (1 - fy) * above + fy * below


def record(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Events of one uint8 image [H, W], up to 28 × 28, as an array of ``EVENT`` in order of time."""
    screen = np.zeros((SIDE, SIDE))
    top, left = (SIDE - image.shape[0]) // 2, (SIDE - image.shape[1]) // 2
    screen[top : top + image.shape[0], left : left + image.shape[1]] = image / 255
    threshold = np.maximum(0.1, rng.normal(_THRESHOLD, _SPREAD, screen.shape))
    places = np.concatenate([
        a + (b - a) * np.linspace(0, 1, _FRAMES, endpoint=False)[:, None] for a, b in pairwise(_CORNERS)
    ] + [_CORNERS[-1:]])  # fmt: skip
    step = _SACCADE_US // _FRAMES
    before = np.log(_DARK + (1 - _DARK) * _shifted(screen, *places[0]))
    reference = before + rng.uniform(-0.5, 0.5, screen.shape) * threshold
    found = []
    for number, place in enumerate(places[1:]):
        now = np.log(_DARK + (1 - _DARK) * _shifted(screen, *place))
        while True:
            over = np.abs(now - reference) >= threshold
            if not over.any():
                break
            y, x = np.nonzero(over)
            sign = np.sign(now - reference)[over]
            reference[over] += sign * threshold[over]
            change = (now - before)[over]
            part = np.divide(reference[over] - before[over], change, out=np.full(len(x), 0.5), where=change != 0)
            t = number * step + np.clip(part, 0, 0.999) * step
            found.append((x, y, (sign + 1) // 2, t))
        before = now
    noise = rng.poisson(_NOISE_HZ * SIDE * SIDE * 3 * _SACCADE_US * 1e-6)
    found.append(
        (*rng.integers(0, SIDE, (2, noise)), rng.integers(0, 2, noise), rng.uniform(0, 3 * _SACCADE_US, noise))
    )
    events = np.empty(sum(len(part[0]) for part in found), EVENT)
    for name, column in zip("xypt", zip(*found, strict=True), strict=True):
        events[name] = np.floor(np.concatenate(column))
    return events[np.argsort(events["t"], kind="stable")]


def write(folder: Path, data: str, split: str, images: int | None = None) -> int:
    """``folder/SPLIT/LABEL/NUMBER.npy`` for the images of a data set; returns how many events they have."""
    dataset, events = datasets.load(data, split), 0
    for number, (frame, label) in enumerate(zip(dataset.frames[:images], dataset.labels[:images], strict=True)):
        target = folder / split / str(label)
        target.mkdir(parents=True, exist_ok=True)
        recording = record(frame[0], np.random.default_rng([{"train": 0, "test": 1}[split], number]))
        np.save(target / f"{number:05d}.npy", recording)
        events += len(recording)
    return events


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="mnist-subset", help="a data set of small images, such as digits")
    parser.add_argument("--images", type=int, help="of each split; all by default")
    given = parser.parse_args()
    for split in ("train", "test"):
        print(split, f"{write(given.folder, given.data, split, given.images):,} events")
