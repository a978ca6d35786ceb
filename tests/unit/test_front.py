"""The Pareto front, exactly, and places for labels."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.compare import dominates, dominators, front
from toolchain.compare.labels import Box, place

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda p: (float(p[0]), float(p[1]))), min_size=1)


def check_front(points, on):
    """No member is dominated, everybody else is by a member."""
    members = [point for point, kept in zip(points, on, strict=True) if kept]
    for point, kept in zip(points, on, strict=True):
        beaten = [m for m in members if m[0] <= point[0] and m[1] <= point[1] and (m[0] < point[0] or m[1] < point[1])]
        assert bool(beaten) != kept


@given(POINTS, st.randoms(use_true_random=False))
def test_front_has_the_undominated_and_no_others(points, random):
    on, over = front(points), dominators(points)
    check_front(points, on)
    assert any(on) and [by is None for by in over] == list(on)
    for point, by in zip(points, over, strict=True):
        assert by is None or (dominates(by, point) and by in [p for p, kept in zip(points, on, strict=True) if kept])
    order = list(range(len(points)))
    random.shuffle(order)
    shuffled = [points[i] for i in order]
    assert front(shuffled) == tuple(on[i] for i in order)
    assert dominators(shuffled) == tuple(over[i] for i in order)


@given(POINTS)
def test_a_wrong_front_is_noticed(points):
    on = front(points)
    for index in range(len(points)):
        wrong = [kept != (i == index) for i, kept in enumerate(on)]
        if wrong[index] or len([p for p, kept in zip(points, on, strict=True) if kept and p == points[index]]) == 1:
            with pytest.raises(AssertionError):
                check_front(points, wrong)


@given(st.lists(st.tuples(*[st.integers(0, 2).map(float)] * 4), min_size=1, max_size=12))
def test_dominance_is_an_order_in_any_dimension(points):
    for a, b, c in product(points, repeat=3):
        assert not (dominates(a, b) and dominates(b, a))
        assert dominates(a, c) or not (dominates(a, b) and dominates(b, c))


def test_ties_are_exact():
    assert front([(1.0, 2.0), (1.0, 2.0)]) == (True, True)
    assert front([(1.0, 2.0), (1.0, 2.0000000000000004)]) == (True, False)
    assert front([(1.0, 2.0), (1.0, 3.0), (0.0, 3.0)]) == (True, False, True)
    with pytest.raises(ValueError, match="zip"):
        dominates((1.0, 2.0), (1.0,))


BOUNDS = Box(0, 0, 900, 500)
PLACES = st.lists(st.tuples(st.floats(5, 895), st.floats(5, 495)), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(PLACES)
def test_labels_cover_nothing(points):
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    boxes = [box for box in place(points, [(60.0, 12.0)] * len(points), BOUNDS, hard=marks) if box is not None]
    for i, box in enumerate(boxes):
        assert box.left >= 0 and box.bottom >= 0 and box.right <= 900 and box.top <= 500
        assert not any(box.overlaps(other) for other in [*boxes[:i], *marks])
    if len(points) <= 8:
        assert len(boxes) == len(points)


def test_labels_without_room_are_left_out():
    boxes = place([(5.0, 5.0)] * 3, [(80.0, 80.0)] * 3, Box(0, 0, 100, 100))
    assert boxes[0] is not None and boxes[1:] == [None, None]
    clear = place([(450.0, 250.0)], [(60.0, 12.0)], BOUNDS)[0]
    moved = place([(450.0, 250.0)], [(60.0, 12.0)], BOUNDS, soft=[(clear, 5.0)])[0]
    assert not moved.overlaps(clear)
