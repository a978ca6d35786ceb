"""What a source network is read into: blocks of synapses and an activation."""

from dataclasses import dataclass, field

import numpy as np
from torch import fx

from toolchain.connection import Connection, Shape

__all__ = ["Activation", "Block", "SourceGraph"]


@dataclass(frozen=True)
class Activation:
    """An activation of the source network.

    ``kind`` is ``relu``, ``threshold`` (clipped at ``limit``), ``strelu`` (clipped at ±``limit``), ``leaky``
    (multiplied by ``slope`` below 0, then clipped at ±``limit`` unless that is ``None``), or ``qcfs`` and
    ``quantized`` (clipped at λ = ``limit``, quantized to ``levels``); ``node`` is its place in the fx graph.
    """

    name: str
    kind: str
    node: fx.Node
    limit: float | None = None
    levels: int | None = None
    slope: float | None = None


@dataclass(frozen=True)
class Block:
    """The synapses of one spiking layer, batch norm and pooling folded in, and the activation behind them.

    ``connections`` have float64 weights and read earlier blocks by their index; ``bias`` float64 [C_out].
    """

    name: str
    connections: tuple[Connection, ...]
    bias: np.ndarray
    activation: Activation | None


@dataclass
class SourceGraph:
    """The traced module and its blocks, input to readout.

    Max poolings that stood before an activation stand behind it in ``module``; ``maxima`` names all of them, kind and name.
    """

    module: fx.GraphModule
    input_shape: Shape
    blocks: list[Block] = field(default_factory=list)
    maxima: list[str] = field(default_factory=list)
