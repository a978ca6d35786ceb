"""The source network beside its spiking one: are they a pair, and what does it compute layer by layer."""

from itertools import takewhile

import numpy as np
import torch
from torch import Tensor, fx, nn

from toolchain.convert.graph import SourceGraph, read_module
from toolchain.errors import InvalidValue
from toolchain.ir import SpikingNetwork

__all__ = ["SourceRun", "pair"]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Up to what folding batch norm on another machine may change."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6 * float(np.abs(b).max()))


def pair(module: nn.Module, network: SpikingNetwork) -> SourceGraph:
    """The traced source, whose folded layers must be those of ``network``.

    Biases may differ where the method corrects them, which is where the provenance says ``calibrated_for``.

    Raises
    ------
    UnsupportedModule, InvalidValue
        A source that does not convert, or that ``network`` is no conversion of.
    """
    graph = read_module(module, network.input_shape)
    way_out = "give the source that the spiking network was converted from, or convert it anew"
    if len(graph.blocks) != len(network.layers):
        raise InvalidValue(
            f"the source has {len(graph.blocks)} layers, the spiking network {len(network.layers)}; {way_out}"
        )
    for block, layer in zip(graph.blocks, network.layers, strict=True):
        if [c.source for c in block.connections] != [c.source for c in layer.connections]:
            raise InvalidValue(
                f"layer {layer.name} of the spiking network reads other layers than in the source; {way_out}"
            )
        for expected, found in zip(block.connections, layer.connections, strict=True):
            for what in ("stride", "padding", "padding_after", "dilation", "groups", "pool", "maximum"):
                if getattr(found, what) != getattr(expected, what):
                    raise InvalidValue(
                        f"layer {layer.name}: {what} is {getattr(found, what)}, in the source {getattr(expected, what)}; {way_out}"
                    )
            if found.weight.shape != expected.weight.shape:
                raise InvalidValue(
                    f"layer {layer.name}: weights have shape {found.weight.shape}, in the source {expected.weight.shape}; {way_out}"
                )
        same_weights = all(
            _equal(f.weight, e.weight) for f, e in zip(layer.connections, block.connections, strict=True)
        )
        same_bias = "calibrated_for" in network.provenance or _equal(layer.bias, block.bias)
        if not same_weights or not same_bias:
            raise InvalidValue(f"layer {layer.name}: weights or biases are not those of the source; {way_out}")
    return graph


class SourceRun(fx.Interpreter):
    """Runs the source on one batch, keeps all that it computed, and repeats parts of it on other values."""

    def __init__(self, graph: SourceGraph):
        super().__init__(graph.module, garbage_collect_values=False)
        self.nodes = [block.activation.node for block in graph.blocks if block.activation is not None]
        self.before: dict[fx.Node, Tensor] = {}
        self.kept: dict[fx.Node, object] = {}

    def run_node(self, n: fx.Node) -> object:
        if n in self.nodes:  # a copy, since the activation may work in place
            self.before[n] = self.env[n.all_input_nodes[0]].clone()
        return super().run_node(n)

    def layers(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Pre-activations and activations of each layer for inputs ``x``, the scores last in both."""
        scores: Tensor = self.run(x)
        self.kept = self.env
        return (
            [*(self.before[node] for node in self.nodes), scores],
            [*(self.kept[node] for node in self.nodes), scores],  # type: ignore[list-item]
        )

    def scores_with(self, index: int, activation: Tensor) -> Tensor:
        """Scores of the last batch if layer ``index`` had given ``activation``, any shape of its size."""
        node = self.nodes[index]
        computed = self.kept[node]
        assert isinstance(computed, Tensor)
        known = dict(takewhile(lambda item: item[0] is not node, self.kept.items()))
        with torch.inference_mode():
            scores: Tensor = self.run(initial_env={**known, node: activation.reshape(computed.shape)})
        return scores
