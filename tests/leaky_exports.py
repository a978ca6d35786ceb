"""A small leaky network of each framework that exports NIR: seeded, two dense layers that fire and a readout."""

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import nir
import torch
from torch import nn

from toolchain.interchange import Options

__all__ = ["EXPORTERS", "INPUTS", "exported"]

INPUTS = 20
SIZES = (INPUTS, 24, 12, 5)
_SCALE = 1 / 256


def _seeded(net: nn.Module, gain: float) -> nn.Module:
    """Normal weights; ``gain`` makes some neurons fire and others not."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=gain / module.in_features**0.5)
            nn.init.normal_(module.bias, mean=0.05 * gain, std=0.05 * gain)
    return net.requires_grad_(False)


def _dense(*neurons: nn.Module) -> list[nn.Module]:
    """A Linear before each neuron, and one behind the last."""
    linear = [nn.Linear(before, after) for before, after in itertools.pairwise(SIZES)]
    return [module for pair in zip(linear, neurons, strict=False) for module in pair] + linear[len(neurons) :]


def _snntorch(beta: float, alpha: float | None) -> nir.NIRGraph:
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    def fires(size: int) -> nn.Module:
        values: dict[str, Any] = {"beta": torch.full((size,), beta), "threshold": torch.ones(size), "init_hidden": True}
        return snn.Leaky(**values) if alpha is None else snn.Synaptic(alpha=torch.full((size,), alpha), **values)

    net = nn.Sequential(*_dense(*map(fires, SIZES[1:3])))
    return export_to_nir(_seeded(net, _faded(3 * (1 - beta) ** 0.5, alpha)), torch.zeros(1, INPUTS), ignore_dims=[0])


def _spikingjelly(beta: float, alpha: float | None) -> nir.NIRGraph:
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    def fires() -> nn.Module:
        if alpha is None:
            return neuron.LIFNode(tau=1 / (1 - beta))
        return neuron.CUBALIFNode(c_decay=alpha, v_decay=beta, v_threshold=1.0)

    gain = 3 / (1 - beta) ** 0.5 if alpha is None else 3 * (1 - beta) ** 0.5
    net = nn.Sequential(*_dense(fires(), fires()))
    return export_to_nir(_seeded(net, _faded(gain, alpha)), torch.zeros(1, INPUTS))


def _sinabs(beta: float, alpha: float | None) -> nir.NIRGraph:
    from sinabs import activation, layers
    from sinabs.nir import to_nir

    def leaks(size: int) -> torch.Tensor:
        return torch.full((size,), -1 / math.log(beta))

    def fires(size: int) -> nn.Module:
        theta = torch.ones(size)
        more = {} if alpha is None else {"tau_syn": torch.full((size,), -1 / math.log(alpha))}
        return layers.LIFSqueeze(
            batch_size=1, tau_mem=leaks(size), spike_threshold=theta, spike_fn=activation.SingleSpike, **more
        )

    ends = layers.ExpLeakSqueeze(batch_size=1, tau_mem=leaks(SIZES[3]))
    net = nn.Sequential(*_dense(*map(fires, SIZES[1:3]), ends))
    return to_nir(_seeded(net, _faded(3 / (1 - beta) ** 0.5, alpha)), torch.zeros(1, INPUTS))


def _norse(beta: float, alpha: float | None) -> nir.NIRGraph:
    import norse.torch as norse

    inverse = torch.tensor(1000 * (1 - beta))

    def fires() -> nn.Module:
        if alpha is None:
            return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=inverse))
        return norse.LIFCell(norse.LIFParameters(tau_mem_inv=inverse, tau_syn_inv=torch.tensor(1000 * (1 - alpha))))

    ends = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=inverse))
    net = norse.SequentialState(*_dense(fires(), fires(), ends))
    return norse.to_nir(_seeded(net, _faded(3 / (1 - beta) ** 0.5, alpha)), torch.zeros(1, INPUTS))


def _faded(gain: float, alpha: float | None) -> float:
    """Less where currents add up."""
    return gain if alpha is None else gain * (1 - alpha)


EXPORTERS: dict[str, Callable[[float, float | None], nir.NIRGraph]] = {
    "snntorch": _snntorch,
    "spikingjelly": _spikingjelly,
    "sinabs": _sinabs,
    "norse": _norse,
}
"""By preset: a graph of neurons that keep β in a step, and α of their synaptic current."""


def exported(
    preset: str, beta: float, time_steps: int, *, alpha: float | None = None, **more: Any
) -> tuple[nir.NIRGraph, Options]:
    """What a framework's own exporter writes of its network, and the options to import it with; ``alpha`` None: no current lasts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = EXPORTERS[preset](beta, alpha)
    if preset == "norse":
        more = {"input_shape": (INPUTS, 1, 1), **more}
    if preset == "sinabs" and alpha is not None:
        more = {"tau_syn": -1 / math.log(alpha), **more}
    return graph, Options(preset, time_steps=time_steps, pixel_scale=_SCALE, **more)
