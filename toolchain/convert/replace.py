"""Replace what does not convert by what does, before fine-tuning."""

from copy import deepcopy

from torch import nn

from toolchain.connection import Pair
from toolchain.errors import UnsupportedModule

__all__ = ["replace_max_pooling"]


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _average(name: str, m: nn.MaxPool1d | nn.MaxPool2d) -> nn.Module:
    kernel, stride, padding = (_pair(value) for value in (m.kernel_size, m.stride or m.kernel_size, m.padding))
    # on frames that the stride divides both give as many places
    fits = all(k - s <= 2 * p < k for k, s, p in zip(kernel, stride, padding, strict=True))
    if not fits or _pair(m.dilation) != (1, 1) or m.ceil_mode or m.return_indices:
        raise UnsupportedModule(
            f"{type(m).__name__} {name!r}: no average pooling gives as many places as kernel {m.kernel_size}, stride {m.stride}, "
            f"padding {m.padding}, dilation {m.dilation}, ceil_mode {m.ceil_mode}; write an AvgPool whose windows do not overlap"
        )
    return nn.AvgPool1d(stride[0]) if isinstance(m, nn.MaxPool1d) else nn.AvgPool2d(stride)


def replace_max_pooling(module: nn.Module) -> nn.Module:
    """A copy of ``module`` with average pooling in place of each ``nn.MaxPool1d`` and ``nn.MaxPool2d``.

    For schedules in which max pooling does not convert (all but ``two_phase``). Windows are as large as the strides were, so that they do not overlap and convert; on frames whose sides the strides
    divide, as many places come out. The copy computes something else until it is fine-tuned, with the loop that trained
    it: a maximum is at least the mean. Calls such as ``F.max_pool2d`` are no modules and stay; ``convert`` names them.

    Raises
    ------
    UnsupportedModule
        A pooling that no such windows match in the number of places, by name.
    """
    root = deepcopy(module)
    if isinstance(root, nn.MaxPool1d | nn.MaxPool2d):
        return _average("module", root)
    for name, parent in list(root.named_modules()):
        for child, m in parent.named_children():
            if isinstance(m, nn.MaxPool1d | nn.MaxPool2d):
                setattr(parent, child, _average(f"{name}.{child}".lstrip("."), m))
    return root
