"""Find places for the labels of points so that none covers another, in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Box", "place"]

_ANGLES = np.arange(24) * (2 * np.pi / 24)
_RINGS = np.concatenate([np.arange(1.0, 6.0), np.arange(6.0, 60.0, 2.0)])


@dataclass(frozen=True)
class Box:
    """A rectangle with sides along the axes, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Whether both share an area; touching is none."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each of ``[P, 4]`` boxes shares with each of ``[Q, 4]``, float64 ``[P, Q]``."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


def _rows(boxes: Sequence[Box]) -> np.ndarray:
    return np.array([[b.left, b.bottom, b.right, b.top] for b in boxes], np.float64).reshape(-1, 4)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    *,
    hard: Sequence[Box] = (),
    soft: Sequence[tuple[Box, float]] = (),
    gap: float = 6.0,
) -> list[Box | None]:
    """A box of its size near each point, within ``bounds``, off all ``hard`` boxes and off each other.

    Points come in order of importance: earlier ones choose first, and what finds no place gets ``None``. Of the free
    places the nearest is taken; each square pixel of a ``soft`` box that one covers counts as so many pixels farther.
    """
    kept = _rows(hard)
    lines, weights = _rows([box for box, _ in soft]), np.array([weight for _, weight in soft])
    found: list[Box | None] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        distance = np.repeat(_RINGS * gap, len(_ANGLES))
        angle = np.tile(_ANGLES, len(_RINGS))
        # the box's edge, not its centre, lies at the distance
        centre_x = x + np.cos(angle) * (distance + width / 2)
        centre_y = y + np.sin(angle) * (distance + height / 2)
        half = np.array([width, height]) / 2
        centres = np.stack([centre_x, centre_y], axis=1)
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        inside = (boxes[:, 0] >= bounds.left) & (boxes[:, 1] >= bounds.bottom)
        inside &= (boxes[:, 2] <= bounds.right) & (boxes[:, 3] <= bounds.top)
        free = inside & ~(_shared(boxes, kept) > 0).any(axis=1)
        if not free.any():
            found.append(None)
            continue
        cost = np.where(free, distance + _shared(boxes, lines) @ weights, np.inf)
        chosen = boxes[int(np.argmin(cost))]
        kept = np.concatenate([kept, chosen[None]])
        found.append(Box(*(float(edge) for edge in chosen)))
    return found
