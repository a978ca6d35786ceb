"""The golden model's sums: max pooling, pooling, im2col and one matrix product, and how many synapses a spike reaches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from toolchain.connection import Connection, Shape
from toolchain.pooling import MaxPooling

__all__ = ["Synapses", "maximum"]


def _pool(x: Tensor, pool: tuple[int, int]) -> Tensor:
    """Sum of each pooling window, ``[M, H, W, C]``; the rim is dropped."""
    if pool == (1, 1):
        return x
    height, width = x.shape[1] // pool[0] * pool[0], x.shape[2] // pool[1] * pool[1]
    rows = sum(x[:, dy : height : pool[0], :width] for dy in range(pool[0]))
    assert isinstance(rows, Tensor)
    pooled = sum(rows[:, :, dx :: pool[1]] for dx in range(pool[1]))
    assert isinstance(pooled, Tensor)
    return pooled


def maximum(x: Tensor, pooling: MaxPooling | None) -> Tensor:
    """Largest value of each window, ``[M, H, W, C]``: of counts, whose trains are so many spikes and then none."""
    if pooling is None:
        return x
    rows, columns = pooling.output((x.shape[1], x.shape[2]))
    (top, left), (bottom, right) = pooling.padding, pooling.padding_after
    padded = F.pad(x, (0, 0, left, right, top, bottom))
    windows = padded.unfold(1, pooling.window[0], pooling.stride[0]).unfold(2, pooling.window[1], pooling.stride[1])
    assert windows.shape[1:3] == (rows, columns)
    return windows.amax(dim=(4, 5))


class Synapses:
    """One connection as pooling, im2col and matrix product on ``[M, H, W, C]`` counts."""

    def __init__(self, connection: Connection, source: Shape, dtype: torch.dtype, device: str):
        self.connection = connection
        self.output = connection.output(source)
        weight = torch.tensor(connection.weight, dtype=dtype, device=device)
        # [groups, K_y, K_x, C_in / groups, C_out / groups], flattened to the order of the im2col columns
        grouped = weight.view(connection.groups, -1, *weight.shape[1:]).permute(0, 3, 4, 2, 1)
        self.matrix = grouped.reshape(connection.groups, -1, self.output[0] // connection.groups).contiguous()
        self.fan_out = self._fan_out(source).to(device)

    def _fan_out(self, source: Shape) -> Tensor:
        """Synapses that a spike at each source place, behind the max pooling, reaches, float64 ``[H, W]``."""
        c = self.connection
        source = c.reduced(source)
        height, width = source[1] // c.pool[0], source[2] // c.pool[1]
        taps = torch.ones(1, c.kernel[0] * c.kernel[1], self.output[1] * self.output[2], dtype=torch.float64)
        (top, _), (left, _) = c.pads
        # what fold sees behind the padded frame's last window is never reached
        covered = tuple((o - 1) * s + w for o, s, w in zip(self.output[1:], c.stride, c.window, strict=True))
        reached = F.fold(taps, covered, c.kernel, dilation=c.dilation, stride=c.stride)[0, 0]
        behind = (max(left + width - covered[1], 0), max(top + height - covered[0], 0))
        reached = F.pad(reached, (0, behind[0], 0, behind[1]))[top : top + height, left : left + width]
        spread = reached.repeat_interleave(c.pool[0], 0).repeat_interleave(c.pool[1], 1)
        rim = (0, source[2] - spread.shape[1], 0, source[1] - spread.shape[0])
        return F.pad(spread, rim) * (self.output[0] // c.groups)

    def __call__(self, x: Tensor) -> Tensor:
        """Weighted sums of one presentation, ``[M, H_out, W_out, C_out]``."""
        c = self.connection
        x = _pool(maximum(x, c.maximum), c.pool)
        channels, height, width = self.output
        if c.kind == "linear":
            return (x.flatten(1) @ self.matrix[0]).view(-1, 1, 1, channels)
        (top, bottom), (left, right) = c.pads
        x = F.pad(x, (0, 0, left, right, top, bottom)).contiguous()
        columns = self._columns(x, height, width)
        if c.groups == 1:
            return (columns.view(-1, self.matrix.shape[1]) @ self.matrix[0]).view(-1, height, width, channels)
        # [groups, M·H·W, K_y·K_x·C_in / groups], one product for each group
        split = columns.view(len(x) * height * width, c.kernel[0] * c.kernel[1], c.groups, -1)
        sums = torch.bmm(split.permute(2, 0, 1, 3).reshape(c.groups, split.shape[0], -1), self.matrix)
        return sums.permute(1, 0, 2).reshape(-1, height, width, channels)

    def _columns(self, x: Tensor, height: int, width: int) -> Tensor:
        """im2col of a padded ``[M, H, W, C]``: what each output place sees, in the order (k_y, k_x, c)."""
        c = self.connection
        image, row, place, _ = x.stride()
        # all channels of neighbouring taps stand side by side
        runs, run = (1, c.kernel[1] * x.shape[3]) if c.dilation[1] == 1 else (c.kernel[1], x.shape[3])
        columns = x.new_empty((len(x), height, width, c.kernel[0], runs, run))
        strides = (image, row * c.stride[0], place * c.stride[1], place * c.dilation[1], 1)
        for ky in range(c.kernel[0]):
            start = x.storage_offset() + ky * row * c.dilation[0]
            columns[:, :, :, ky] = x.as_strided((len(x), height, width, runs, run), strides, start)
        return columns

    def activity(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Events and synaptic operations of each image, from ``[N, H, W, C]`` spike counts."""
        at_place = maximum(counts, self.connection.maximum).sum(dim=3, dtype=torch.float64)
        events = (at_place * (self.fan_out > 0)).sum(dim=(1, 2))
        return events, (at_place * self.fan_out).sum(dim=(1, 2))
