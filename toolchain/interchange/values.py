"""Values of NIR nodes, checked: finite weights, whole numbers, one value for each channel."""

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node

__all__ = ["MAX_PLACES", "extents", "in_file", "numbers", "pair", "per_channel", "weights", "whole"]

MAX_PLACES = 1 << 26
"""Values of one signal, channels times places."""


def numbers(node: Node, name: str) -> np.ndarray:
    """A value as float64, any shape.

    Raises
    ------
    InvalidValue
        It is missing or no array of numbers, or holds NaN.
    """
    value = node.values.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or not value.size:
        raise InvalidValue(f"{node}: {name} is no array of numbers; export the graph again")
    array = value.astype(np.float64)
    if np.isnan(array).any():
        raise InvalidValue(f"{node}: {name} holds NaN; train or export the network again")
    return array


def in_file(node: Node, name: str, values: np.ndarray) -> np.ndarray:
    """What belongs to a value of the node, rounded to the precision that this has in the file; float64 of any shape.

    Exporters make τ of β and dt in float32. With dt rounded so, and what follows of both too, β comes back as it was, and not
    as a neighbour 1e-8 beside it.
    """
    dtype = node.values[name].dtype
    return values.astype(dtype).astype(np.float64) if dtype.kind == "f" else values


def weights(node: Node, name: str, *dims: int) -> np.ndarray:
    """A finite value with one of some numbers of dimensions.

    Raises
    ------
    InvalidValue
        As ``numbers``; or it holds infinite values, or has other dimensions.
    """
    array = numbers(node, name)
    if not np.isfinite(array).all():
        raise InvalidValue(f"{node}: {name} holds infinite values; train or export the network again")
    if dims and array.ndim not in dims:
        raise InvalidValue(
            f"{node}: {name} has shape {array.shape}, must have {' or '.join(map(str, dims))} dimensions"
        )
    return array


def whole(node: Node, name: str, low: int, high: int) -> list[int]:
    """One or more whole numbers.

    Raises
    ------
    InvalidValue
        Not whole, or outside ``low`` to ``high``.
    """
    array = numbers(node, name).reshape(-1)
    if array.size > 8 or not ((array == np.floor(array)) & (array >= low) & (array <= high)).all():
        shown = array[:4].tolist()
        raise InvalidValue(f"{node}: {name} is {shown}, must be whole numbers of {low} to {high}")
    return [int(value) for value in array]


def pair(node: Node, name: str, low: int, high: int) -> tuple[int, int]:
    """A value for y and x; one number stands for both.

    Raises
    ------
    InvalidValue
        As ``whole``; or more than two numbers.
    """
    found = whole(node, name, low, high)
    if len(found) > 2:
        raise InvalidValue(f"{node}: {name} has {len(found)} numbers, must have one or two")
    return (found[0], found[-1])


def extents(node: Node) -> tuple[int, ...]:
    """Shape of an Input or Output.

    Raises
    ------
    InvalidValue
        Not one to four sizes, or too large.
    """
    shape = tuple(whole(node, "shape", 1, 1 << 20))
    if not 1 <= len(shape) <= 4 or np.prod(shape, dtype=np.float64) > MAX_PLACES:
        raise InvalidValue(f"{node}: shape {shape} must be one to four sizes, at most {MAX_PLACES} values in all")
    return shape


def per_channel(node: Node, name: str, shape: tuple[int, ...], *, infinite: bool = False) -> np.ndarray:
    """One value for each channel of a signal of ``shape`` (C, …), float64 ``[C]``.

    Raises
    ------
    UnsupportedModule
        The values differ within a channel.
    InvalidValue
        The shape fits neither the signal nor its channels; NaN, or infinite values where ``infinite`` is not set.
    """
    array = numbers(node, name) if infinite else weights(node, name)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    if array.size == 1:
        return np.full(shape[0], array.reshape(-1)[0])
    if array.shape == shape[:1]:
        return array
    if array.shape not in (shape, (shape[0],) + (1,) * (len(shape) - 1)):
        raise InvalidValue(f"{node}: {name} has shape {array.shape}, its input {shape}; export the graph again")
    rows = array.reshape(shape[0], -1)
    if not (rows == rows[:, :1]).all():
        channel = int(np.argmax((rows != rows[:, :1]).any(axis=1)))
        raise UnsupportedModule(
            f"{node}: {name} differs within channel {channel}: hardware keeps one value for each channel; "
            "train with one value a channel"
        )
    return np.ascontiguousarray(rows[:, 0])
