"""Spike rasters of a few images, with the image itself: who fired when."""

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.ir import FixedPointNetwork
from toolchain.trace import SpikeTrace

__all__ = ["CLASS_NAMES", "choose", "png", "rasters"]

_FASHION = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"
)  # fmt: skip
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "bundled": _FASHION,
    "fashion-mnist": _FASHION,
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
    ),
}  # fmt: skip
"""Of the data sets whose publishers name their classes."""
_COLUMNS = 400
_CELLS = 40_000
"""Of one image's raster."""
_STEPS = 64


def choose(predictions: np.ndarray, labels: np.ndarray, images: int = 4) -> list[int]:
    """Indices of a few images: the first right ones of different classes, and the first wrong one in the last place.

    ``predictions`` and ``labels`` are int64 ``[N]``.
    """
    wrong = np.flatnonzero(predictions != labels)[:1].tolist()
    right = np.flatnonzero(predictions == labels)
    first = sorted(int(right[labels[right] == label][0]) for label in np.unique(labels[right]))
    return first[: images - len(wrong)] + wrong


def shown(frame: np.ndarray) -> np.ndarray:
    """Pixels uint8 ``[C, H, W]`` as they are; of spikes ``[T, C, H, W]`` how many, the most being bright, channels 1 and 0 (ON
    and OFF) in red and blue where there are two."""
    if frame.ndim == 3:
        return frame
    counts = np.abs(frame).sum(axis=0, dtype=np.int64)
    share = (counts * 255 // max(1, int(counts.max()))).astype(np.uint8)
    return np.stack([share[1], np.zeros_like(share[0]), share[0]]) if len(share) == 2 else share


def png(frame: np.ndarray) -> str:
    """A uint8 frame ``[C, H, W]`` of 1 or 3 channels (else the first) as a PNG data address."""
    channels, height, width = frame.shape
    shown = frame if channels == 3 else frame[:1]
    rows = np.ascontiguousarray(shown.transpose(1, 2, 0)).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _layer(name: str, spikes: np.ndarray, layers: int) -> dict[str, Any]:
    """``spikes`` int8 ``[T, C, H, W]``: the mean of each column's neurons in each step."""
    steps = min(len(spikes), _STEPS)
    flat = spikes[:steps].reshape(steps, -1).astype(np.float64)
    neurons = flat.shape[1]
    columns = min(neurons, _COLUMNS, max(1, _CELLS // (steps * layers)))
    ends = np.linspace(0, neurons, columns + 1).round().astype(int)
    means = np.add.reduceat(flat, ends[:-1], axis=1) / np.diff(ends)
    return {
        "layer": name,
        "neurons": neurons,
        "steps": steps,
        "of_steps": len(spikes),
        "ends": ends.tolist(),
        "spikes": int(np.abs(spikes).sum(dtype=np.int64)),
        "values": means.round(3).tolist(),
    }


def rasters(
    network: FixedPointNetwork,
    frames: np.ndarray,
    labels: np.ndarray,
    trace: SpikeTrace,
    numbers: Sequence[int],
    data: str,
) -> list[dict[str, Any]]:
    """As JSON values, one for each of the frames ``[N, C, H, W]`` or spikes ``[N, T, C, H, W]``, which are images ``numbers`` of data set ``data``.

    ``trace`` is theirs, with spikes. A layer with more neurons than columns shows the mean of neighbours, in the order
    (channel, y, x); at most ``_STEPS`` steps are shown.
    """
    assert trace.spikes is not None
    firing = [layer.name for layer in network.layers if layer.threshold is not None]
    names = CLASS_NAMES.get(data, ())

    def called(label: int) -> str:
        return f"{label} ({names[label]})" if label < len(names) else str(label)

    return [
        {
            "image": int(number),
            "picture": png(shown(frames[index])),
            "shape": list(frames.shape[-3:]),
            "label": called(int(labels[index])),
            "prediction": called(int(trace.predictions[index])),
            "right": bool(trace.predictions[index] == labels[index]),
            "signed": network.signed_spikes,
            "layers": [
                _layer(name, train[index], len(firing)) for name, train in zip(firing, trace.spikes, strict=True)
            ],
        }
        for index, number in enumerate(numbers)
    ]
