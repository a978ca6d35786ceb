"""Parts that a network read from a file is made of, as modules, so that errors can name them: its frame, additions, subsampling."""

from math import prod

from torch import Tensor, nn

from toolchain.errors import InvalidValue

__all__ = ["PARTS", "Addition", "Frame", "Row", "Subsampling", "Unread"]


class Frame(nn.Module):
    """The input of a network that says what it takes; frames come in as ``[N, C, H, W]`` whatever that is.

    ``shape`` is ``(C, H, W)``, ``(C, L)`` for series, which come in as frames (C, 1, L) or as they are, or ``(F,)`` for vectors,
    which are any frames of so many values, flattened. ``flattened`` frames may have any shape of their size, since the
    network does nothing with them but flatten them.

    Raises
    ------
    InvalidValue
        ``forward`` or ``check`` of other frames.
    """

    def __init__(self, shape: tuple[int, ...], flattened: bool = False):
        super().__init__()
        self.shape = shape
        self.flattened = flattened or len(shape) == 1

    def check(self, found: tuple[int, ...]) -> None:
        """Refuse frames whose shape without the batch is not the one it takes."""
        series = len(self.shape) == 2 and found == (self.shape[0], 1, self.shape[1])
        fits = prod(found) == prod(self.shape) if self.flattened else found == self.shape or series
        if not fits:
            raise InvalidValue(
                f"frames have shape {found}, the model takes {self.shape}; choose data of that shape, or export the model for "
                "frames of the data"
            )

    def forward(self, x: Tensor) -> Tensor:
        self.check(tuple(x.shape[1:]))
        return x.flatten(1) if self.flattened else x.flatten(2) if len(self.shape) == 2 else x

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.shape))


class Addition(nn.Module):
    """``one + other``, of equal shapes: a residual join."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


class Row(nn.Module):
    """Series ``[N, C, L]`` as frames of one row, ``[N, C, 1, L]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2)


class Subsampling(nn.Module):
    """Every n-th place, ``x[:, :, ::steps[0], ::steps[1]]``: a shortcut without weights; ``steps`` has one entry for [N, C, L]."""

    def __init__(self, steps: tuple[int, ...]):
        super().__init__()
        self.steps = steps

    @property
    def places(self) -> tuple[slice, ...]:
        """The index that it takes, batch and channels included."""
        return (slice(None), slice(None), *(slice(None, None, step) for step in self.steps))

    def forward(self, x: Tensor) -> Tensor:
        return x[self.places]

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.steps))


class Unread(nn.Module):
    """Stands where a node ``op`` of a file was refused, so that what follows can be looked at; it never converts."""

    def __init__(self, op: str):
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return x


PARTS = (Addition, Frame, Row, Subsampling, Unread)
"""Every part of this module."""
