"""Which of several points no other one beats: the Pareto front, exactly, ties included.

A point is a tuple of costs, less is better in each; what should be large goes in with its sign changed. One
point dominates another if it is nowhere larger and somewhere smaller. Equal points do not dominate each other, so
either all of them are on the front or none is.
"""

from collections.abc import Sequence

__all__ = ["Point", "dominates", "dominators", "front"]

Point = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Whether ``one`` is nowhere larger than ``other`` and somewhere smaller.

    Raises
    ------
    ValueError
        Points of different length.
    """
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def front(points: Sequence[Point]) -> tuple[bool, ...]:
    """For each point whether none of the others dominates it."""
    return tuple(not any(dominates(other, point) for other in points) for point in points)


def dominators(points: Sequence[Point]) -> tuple[Point | None, ...]:
    """For each point the one on the front that dominates it, ``None`` for those on the front.

    Of several the one that is least in the last cost, then in the one before it, and so on: whatever the order of the input.
    """
    best = [point for point, on in zip(points, front(points), strict=True) if on]
    found: list[Point | None] = []
    for point in points:
        over = [other for other in best if dominates(other, point)]
        found.append(min(over, key=lambda other: other[::-1]) if over else None)
    return tuple(found)
