"""Max pooling of a source network: behind the activation, where it commutes, and as one window for several in a row."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from toolchain.connection import Pair
from toolchain.pooling import MaxPooling

__all__ = ["ADAPTIVE_MAX_CALLS", "AMAX_CALLS", "MAX_CALLS", "move_behind", "stacked"]

_MAX_MODULES = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
MAX_CALLS: dict[Any, type[nn.MaxPool1d | nn.MaxPool2d]] = {
    F.max_pool1d: nn.MaxPool1d, torch.max_pool1d: nn.MaxPool1d, F.max_pool2d: nn.MaxPool2d, torch.max_pool2d: nn.MaxPool2d
}  # fmt: skip
ADAPTIVE_MAX_CALLS = {F.adaptive_max_pool1d, F.adaptive_max_pool2d}
AMAX_CALLS = {torch.amax, "amax"}


def _is_max_pooling(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node is a max pooling, as module or call."""
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _MAX_MODULES)
    return node.target in MAX_CALLS or node.target in ADAPTIVE_MAX_CALLS


def move_behind(graph: fx.Graph, modules: dict[str, nn.Module], rises: Callable[[fx.Node], bool]) -> None:
    """Swap each max pooling with the node behind it, as often as that is the only one and ``rises``.

    The maximum of f(x) is f of the maximum wherever f never falls, bit by bit, in floating point too: activations,
    batch norm with no factor below 0, Dropout. So the pooling comes to stand behind the activation, and its padding of
    −∞ becomes one of zeros.
    """
    for pooling in reversed([node for node in graph.nodes if _is_max_pooling(node, modules)]):
        while True:
            (operand,) = pooling.all_input_nodes or (None,)
            users = list(pooling.users)
            alone = len(users) == 1 and operand is not None and list(operand.users) == [pooling]
            if not alone or not rises(users[0]):
                break
            behind = users[0]
            behind.replace_input_with(pooling, operand)
            behind.replace_all_uses_with(pooling)
            pooling.replace_input_with(operand, behind)
            behind.append(pooling)
    graph.lint()


def _extent(extent: int, window: int, stride: int, padding: int, ceil: bool) -> int:
    """Places that come out along one axis, as torch counts them: with ``ceil`` a window may hang over, but not begin, behind."""
    found = (extent + 2 * padding - window + (stride - 1 if ceil else 0)) // stride + 1
    return found - 1 if ceil and (found - 1) * stride >= extent + padding else found


def _reached(ranges: list[range], below: list[range]) -> list[set[int]]:
    """Places of the frame under each window, whose places are windows of ``below``."""
    return [{place for window in places for place in below[window]} for places in ranges]


def stacked(
    size: Pair, below: MaxPooling | None, pads: tuple[Pair, Pair], window: Pair, stride: Pair, padding: Pair, ceil: bool
) -> MaxPooling | None:
    """One pooling for a ``window`` over what ``below``, another pooling or none, made of ``size`` places, with zeros ``pads`` around.

    ``None`` where no single window reaches the same places: where the poolings leave gaps or rims between them.
    """
    below = below or MaxPooling((1, 1), (1, 1))
    middle = below.output(size)
    found: dict[str, list[int]] = {"window": [], "stride": [], "padding": [], "padding_after": []}
    wanted = []
    for axis in (0, 1):
        outputs = _extent(middle[axis] + sum(pads[axis]), window[axis], stride[axis], padding[axis], ceil)
        before = padding[axis] + pads[axis][0]
        starts = [o * stride[axis] - before for o in range(outputs)]
        ranges = [range(max(0, s), max(0, min(s + window[axis], middle[axis]))) for s in starts]
        wanted.append(_reached(ranges, below.places(size, axis)))
        wide = (window[axis] - 1) * below.stride[axis] + below.window[axis]
        step, lead = stride[axis] * below.stride[axis], before * below.stride[axis] + below.padding[axis]
        found["window"].append(wide)
        found["stride"].append(step)
        found["padding"].append(lead)
        found["padding_after"].append(max(0, (outputs - 1) * step + wide - size[axis] - lead))
    pooling = MaxPooling(**{name: (values[0], values[1]) for name, values in found.items()})
    same = all([set(places) for places in pooling.places(size, axis)] == wanted[axis] for axis in (0, 1))
    return pooling if same else None
