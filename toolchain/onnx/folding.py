"""Compute what depends on no frame: weights that a graph reshapes, and the shapes that exporters compute around a flattening.

A shape holds ``BATCH`` in the place of the batch size, in an array of objects; other constants are arrays of numbers.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.onnx.model import Node
from toolchain.onnx.tensors import NUMBERS

__all__ = ["BATCH", "FOLDED", "MAX_FOLDED", "fold", "numbers"]

MAX_FOLDED = 1 << 24
"""Values of one computed constant."""


class _Batch:
    """The batch size, which no constant may depend on but a shape."""

    def __repr__(self) -> str:
        return "N"


BATCH = _Batch()


def _plain(values: Any) -> np.ndarray:
    """Numbers where no batch is among them."""
    array = np.asarray(values)
    if array.dtype == object and not any(one is BATCH for one in array.ravel()):
        return array.astype(np.int64)
    return array


def _fits(node: Node, count: int) -> None:
    if count > MAX_FOLDED:
        raise UnsupportedModule(f"{node} computes a constant of {count:,} values, the limit is {MAX_FOLDED:,}")


def numbers(node: Node, what: str, values: np.ndarray | None) -> tuple[int, ...] | None:
    """Whole numbers of a one-dimensional constant; ``None`` where it is left out."""
    if values is None:
        return None
    if values.dtype.kind not in "iu" or values.ndim > 1 or values.size > 64:
        raise InvalidValue(f"{node}: {what} has shape {values.shape} of {values.dtype}, must be a few whole numbers")
    return tuple(int(one) for one in values.reshape(-1))


def _given(node: Node, inputs: Sequence[np.ndarray | None], what: str, place: int) -> tuple[int, ...] | None:
    """An argument that was an attribute in early opsets and is an input in later ones."""
    if what in node.attributes:
        return tuple(int(one) for one in node.attributes[what])
    return numbers(node, what, inputs[place] if place < len(inputs) else None)


def _axes(node: Node, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    if any(not -rank <= axis < rank for axis in axes):
        raise InvalidValue(f"{node}: axes {tuple(axes)} of {rank} axes")
    return tuple(axis % rank for axis in axes)


def _constant(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if len(node.attributes) == 1:
        ((name, value),) = node.attributes.items()
        if name == "value":
            return np.asarray(value)
        if name in kinds:
            return np.array(value, kinds[name])
    raise UnsupportedModule(f"{node} is no tensor or number; use one")


def _constant_of_shape(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    shape = numbers(node, "shape", inputs[0]) or ()
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if any(extent < 0 for extent in shape) or len(shape) > 8 or np.size(value) != 1:
        raise InvalidValue(f"{node}: shape {shape}, value of {np.size(value)} numbers")
    _fits(node, prod(shape))
    return np.full(shape, np.reshape(value, ()))


def _cast(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    (values,) = inputs
    assert values is not None
    to = node.attributes.get("to")
    if to not in NUMBERS or NUMBERS[to][0] == "bfloat16":
        raise UnsupportedModule(f"{node} makes data type {to}, which is not read; use float, float16 or double")
    if values.dtype == object:
        if NUMBERS[to][0] not in ("int32", "int64"):
            raise UnsupportedModule(f"{node} makes the batch size {NUMBERS[to][0]}; flatten with Flatten")
        return values
    with np.errstate(all="ignore"):
        return values.astype(NUMBERS[to][1])


def _reshape(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    values, shape = inputs[0], list(numbers(node, "shape", inputs[1]) or ())
    assert values is not None
    if not node.attributes.get("allowzero", 0):
        if any(extent == 0 and axis >= values.ndim for axis, extent in enumerate(shape)):
            raise InvalidValue(f"{node}: shape {tuple(shape)} copies an axis that {values.shape} has not")
        shape = [values.shape[axis] if extent == 0 else extent for axis, extent in enumerate(shape)]
    return values.reshape(shape)


def _transpose(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    (values,) = inputs
    assert values is not None
    order = node.attributes.get("perm", tuple(range(values.ndim))[::-1])
    if sorted(order) != list(range(values.ndim)):
        raise InvalidValue(f"{node}: perm {tuple(order)} of {values.ndim} axes")
    return values.transpose(order)


def _squeeze(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    values, axes = inputs[0], _given(node, inputs, "axes", 1)
    assert values is not None
    return np.squeeze(values, None if axes is None else _axes(node, axes, values.ndim))


def _unsqueeze(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    values, axes = inputs[0], _given(node, inputs, "axes", 1) or ()
    assert values is not None
    return np.expand_dims(values, _axes(node, axes, values.ndim + len(axes)))


def _concat(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    parts = [part for part in inputs if part is not None]
    _fits(node, sum(part.size for part in parts))
    return np.concatenate(parts, axis=node.attributes["axis"])


def _gather(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    values, places = inputs
    assert values is not None and places is not None
    if places.dtype.kind not in "iu":
        raise InvalidValue(f"{node}: places of {places.dtype}, must be whole numbers")
    axis = _axes(node, (node.attributes.get("axis", 0),), values.ndim)[0]
    _fits(node, values.size // max(values.shape[axis], 1) * places.size)
    taken: Any = np.take(values, places, axis=axis)
    return np.array(taken, object) if taken is BATCH else np.asarray(taken)


def _slice(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    values = inputs[0]
    assert values is not None
    starts, ends = _given(node, inputs, "starts", 1) or (), _given(node, inputs, "ends", 2) or ()
    axes = _given(node, inputs, "axes", 3) or tuple(range(len(starts)))
    steps = _given(node, inputs, "steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise InvalidValue(f"{node}: starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    index = [slice(None)] * values.ndim
    for axis, start, end, step in zip(_axes(node, axes, values.ndim), starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return values[tuple(index)]


def _arithmetic(call: Callable[..., np.ndarray]) -> Callable[[Node, Sequence[np.ndarray | None]], np.ndarray]:
    def compute(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
        operands = [one for one in inputs if one is not None]
        if any(one.dtype.kind not in "iuf" for one in operands) or len({one.dtype for one in operands}) != 1:
            raise UnsupportedModule(f"{node} computes with the batch size, or with several data types; use constants")
        _fits(node, prod(np.broadcast_shapes(*(one.shape for one in operands))))
        with np.errstate(all="ignore"):
            return np.asarray(call(*operands)).astype(operands[0].dtype)

    return compute


def _divide(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.dtype.kind == "f":
        return one / other
    if (other == 0).any():
        raise InvalidValue("division by 0")
    return np.asarray(np.abs(one) // np.abs(other) * np.sign(one) * np.sign(other))


FOLDED: dict[str, Callable[[Node, Sequence[np.ndarray | None]], np.ndarray]] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _arithmetic(_divide),
    "Gather": _gather,
    "Identity": lambda node, inputs: np.asarray(inputs[0]),
    "Mul": _arithmetic(np.multiply),
    "Neg": _arithmetic(np.negative),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _arithmetic(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Operators that are computed on constants."""


def fold(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    """The result of one operator on constants, ``None`` where an input is left out.

    Raises
    ------
    UnsupportedModule
        An operator that is not in ``FOLDED``, or a result of more than ``MAX_FOLDED`` values.
    InvalidValue
        Arguments that do not fit each other.
    """
    if node.op not in FOLDED:
        raise UnsupportedModule(
            f"{node} computes a constant in a way that is not read; simplify the model, as onnxsim does"
        )
    if any(one is None for one in inputs[:1]):
        raise InvalidValue(f"{node} has no first input")
    try:
        return _plain(FOLDED[node.op](node, inputs))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidValue):
            raise
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InvalidValue(f"{node} cannot be computed: {reason}") from error
