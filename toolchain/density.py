"""How many multiply-accumulates of a source network have an operand other than 0, measured on the source itself."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from toolchain.convert.graph import SourceGraph, read_module
from toolchain.diagnose.source import SourceRun
from toolchain.encoding import input_values
from toolchain.energy.counts import pooled_any, reached
from toolchain.errors import InvalidValue
from toolchain.geometry import fan_out
from toolchain.ir import Network
from toolchain.train import pixels_to_input

__all__ = ["source_macs"]

_BATCH = 250
_LEVELS = 255
"""Of int8 activations: those that round to 0 on the scale of a layer's largest are 0."""


def _activations(
    graph: SourceGraph, network: Network[Any], frames: np.ndarray, progress: Callable[[int], None]
) -> Iterator[list[np.ndarray]]:
    """The frame and what each firing layer gives, batch by batch, float32 ``[B, C, H, W]``."""
    run = SourceRun(graph)
    for start in range(0, len(frames), _BATCH):
        values = torch.tensor(input_values(network, frames[start : start + _BATCH]))
        inputs = values if network.input == "spikes" else pixels_to_input(values)
        with torch.inference_mode():
            _, given = run.layers(inputs)
        yield [inputs.numpy(), *(values.numpy() for values in given[:-1])]
        progress(len(inputs))


def source_macs(
    module: nn.Module, network: Network[Any], frames: np.ndarray, progress: Callable[[int], None] = lambda _: None
) -> np.ndarray:
    """Effective multiply-accumulates of the source in int8 on frames (uint8 ``[N, C, H, W]``, or spikes worth 1 in every step), int64 ``[N, layers]``.

    An activation is 0 if it rounds to 0 in steps of 1/255 of the layer's largest over all frames; a pooled one is 0
    if all of its window is. ``progress`` counts every image twice.

    Raises
    ------
    UnsupportedModule, InvalidValue
        A source that does not convert, or that ``network`` is no conversion of.
    """
    graph = read_module(module, network.input_shape)
    found, wanted = (
        [
            [
                (c.source, c.weight.shape, c.stride, c.pads, c.dilation, c.groups, c.pool, c.maximum)
                for c in layer.connections
            ]
            for layer in layers
        ]
        for layers in (graph.blocks, network.layers)
    )
    if found != wanted:
        raise InvalidValue(
            f"the source, {len(found)} layers, is not that of the network, {len(wanted)} layers; give the one that it was converted "
            "from"
        )
    largest = np.zeros(len(found))
    for values in _activations(graph, network, frames, progress):
        largest = np.maximum(largest, [np.abs(v).max() for v in values])
    parts = []
    for values in _activations(graph, network, frames, progress):
        macs = np.zeros((len(values[0]), len(found)), np.int64)
        for index, layer in enumerate(network.layers):
            for c in (c for c in layer.connections if c.kind != "identity"):
                shape, most = network.source_shape(c), largest[c.source + 1]
                active = np.abs(values[c.source + 1]).reshape(-1, *shape) * _LEVELS >= most / 2
                active &= most > 0
                places = fan_out(c.unpooled(), c.pooled(shape))
                macs[:, index] += reached(pooled_any(active, c, shape), places)
        parts.append(macs)
    return np.concatenate(parts)
