"""ANN-SNN conversion: a trained ``nn.Module`` becomes a floating-point ``SpikingNetwork``."""

import numpy as np
import torch
from torch import Tensor, fx, nn

from sim.passage import convolved
from toolchain.buffers import last_reads
from toolchain.convert.graph import SourceGraph, read_module
from toolchain.convert.methods import METHODS, Options, check_layer
from toolchain.convert.replace import replace_max_pooling
from toolchain.convert.statistics import Observed, Recorder
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.fixedpoint import round_half_up
from toolchain.ir import DEFAULT_SEED, INPUT, PIXEL_MAX, SpikingLayer, SpikingNetwork

__all__ = ["METHODS", "convert", "replace_max_pooling"]

_BATCH = 250


def _check_calibration(calibration: Tensor | np.ndarray, limit: float, *, signed: bool) -> Tensor:
    """As float32; values to ``limit``, from ``-limit`` if ``signed``."""
    batch = torch.as_tensor(calibration)
    if batch.ndim not in (2, 3, 4):
        raise InvalidValue(
            f"calibration has shape {tuple(batch.shape)}, must be [N, C, H, W] frames, [N, C, L] series or [N, C] vectors"
        )
    if batch.shape[0] == 0 or batch.numel() == 0:
        raise InvalidValue("calibration is empty, at least 1 frame is needed")
    if not batch.is_floating_point():
        raise InvalidValue(f"calibration is {batch.dtype}, must be floating point: pixel * pixel_scale")
    if not torch.isfinite(batch).all():
        raise InvalidValue("calibration holds NaN or infinite values")
    low, high = float(batch.min()), float(batch.max())
    most = limit * (1 + 1e-5)  # float32 rounding of pixel * pixel_scale
    if low < (-most if signed else 0) or high > most:
        raise InvalidValue(
            f"calibration lies in [{low:.4g}, {high:.4g}], must lie in [{-limit if signed else 0:.4g}, {limit:.4g}] = pixel * "
            "pixel_scale; move any normalization into the first layer or set pixel_scale"
        )
    return batch.float()


def _check_maxima(graph: SourceGraph, neuron: dict[str, str]) -> None:
    """Refuse max pooling where the OR of spike trains is not the train of the maximum."""
    schedule, negative = neuron["schedule"], neuron["negative"]
    if graph.maxima and (schedule != "two_phase" or negative != "none"):
        where = schedule if negative == "none" else f"{schedule} with negative spikes {negative}"
        raise UnsupportedModule(
            f"{graph.maxima[0]}: in schedule {where} a maximum of spikes is not a maximum of rates; convert with "
            "schedule two_phase and negative none (methods optimal, qcfs, ...), where it is exact, or fine-tune a copy with average "
            "pooling (toolchain.convert.replace_max_pooling)"
        )


def _activate(module: fx.GraphModule, node: fx.Node, x: Tensor) -> Tensor:
    """Run one traced activation, whatever its kind, on other values."""
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda source: x.float())
    result: Tensor = getattr(fx.Interpreter(module), node.op)(node.target, args, kwargs)
    return result.double()


def _check_folding(network: SpikingNetwork, graph: SourceGraph, batch: Tensor, expected: Tensor) -> None:
    """Compare the blocks, run as an ordinary network, with the module they were read from."""
    outputs: dict[int, Tensor] = {INPUT: batch.double().reshape(-1, *network.input_shape)}
    last = last_reads(network)
    for index, (layer, block) in enumerate(zip(network.layers, graph.blocks, strict=True)):
        x = torch.tensor(layer.bias)[:, None, None]
        for c in layer.connections:
            x = x + convolved(c, torch.tensor(c.weight), outputs[c.source])
        if block.activation is not None:
            x = _activate(graph.module, block.activation.node, x)
        outputs = {source: kept for source, kept in outputs.items() if source == INPUT or last[source] > index}
        outputs[index] = x
    difference = float((x.flatten(1) - expected.flatten(1).double()).abs().max())
    scale = float(expected.abs().max()) + 1e-12
    # float32 rounding before a quantizing activation may move single outputs by a level, so the
    # check is on the typical output, where a folding error would show at once
    typical = float((x.flatten(1) - expected.flatten(1).double()).abs().median())
    if not typical <= 1e-3 * scale:
        raise InvalidValue(
            f"the module computes something its layers do not show (outputs differ by up to {difference:.3g}); "
            "forward must compute with its layers and additions only"
        )


def _observe(graph: SourceGraph, batch: Tensor, histograms: bool) -> tuple[Recorder, list[Tensor]]:
    """Run the calibration set, batch by batch; returns what was recorded and the scores of each batch."""
    recorder = Recorder(graph)
    with torch.inference_mode():
        try:
            outputs = [recorder.run(part) for part in batch.split(_BATCH)]
            recorder.histograms = True
            for part in batch.split(_BATCH) if histograms else ():
                recorder.run(part)
        except RuntimeError as error:
            raise InvalidValue(
                f"the module does not accept calibration of shape {tuple(batch.shape)}: {str(error).splitlines()[0]}"
            ) from error
    if not isinstance(outputs[0], Tensor):
        raise UnsupportedModule(
            f"forward returns a {type(outputs[0]).__name__}, must return one tensor, the class scores"
        )
    return recorder, outputs


def _observed(recorder: Recorder, graph: SourceGraph, scores: list[Tensor], pixels: Tensor) -> Observed:
    """The calibration set, ``pixels`` [N, C, H, W] before rounding, for methods that run the spiking network."""
    activations = [block.activation for block in graph.blocks if block.activation is not None]
    means = [recorder.distribution(activation.node).mean for activation in activations]
    total = sum(part.double().numpy().sum(axis=0) for part in scores)
    return Observed(round_half_up(pixels.numpy()).astype(np.uint8), (*means, total / len(pixels)))


def convert(
    module: nn.Module,
    calibration: Tensor | np.ndarray,
    method: str = "qcfs",
    time_steps: int | None = None,
    *,
    schedule: str | None = None,
    negative: str | None = None,
    reset: str | None = None,
    input: str | None = None,
    seed: int | None = None,
    shift: bool = True,
    percentile: float | None = None,
    pixel_scale: float | None = None,
    name: str | None = None,
) -> SpikingNetwork:
    """Convert a trained network; batch norm and average pooling are folded, the module is not changed.

    Max pooling becomes the OR of spike trains: exact, in ``two_phase`` without negative spikes only.

    A network on series ``[N, C, L]`` becomes one on frames ``(C, 1, L)``. Where branches are added, all of their
    connections feed one layer, whose channels have one scale each.

    Parameters
    ----------
    module : nn.Module
        Of layers and additions that ``toolchain.convert.graph.read_module`` handles.
    calibration : float [N, C, H, W], [N, C, L] or [N, C]
        Inputs as the module sees them, ``pixel · pixel_scale``, or of input ``spikes`` ``input_values · pixel_scale``
        (``toolchain.encoding``); read batch by batch.
    method : str
        A name of ``METHODS``.
    time_steps : int
        T; ``None`` takes the method's usual one, 4 for most.
    schedule, negative, reset, input : str
        The neuron and the input (design, section 3); ``None`` takes the method's usual one. A reset to
        ``zero`` exists in ``stream`` only and loses what lies above the threshold.
    seed : int
        Of input ``rate``; ``None`` takes a fixed one.
    shift : bool
        Start the membranes at θ/2, where the method leaves a choice.
    percentile : float
        Of ``robust_norm`` and ``channel_norm``, above 0 to 100; ``None`` takes 99.9.
    pixel_scale : float
        Activation that one step of an 8-bit pixel stands for, 1/255 unless said otherwise; with input ``spikes`` that of
        a train that fires in every step, 1.

    Raises
    ------
    UnsupportedModule
        A layer without an exact spiking counterpart, by name.
    InvalidValue
        Bad calibration data, method, schedule, T, seed, or NaN and infinite weights.
    """
    if method not in METHODS:
        raise InvalidValue(f"no conversion method {method!r}; there are {', '.join(METHODS)}")
    chosen = METHODS[method]
    neuron = chosen.choose(method, schedule=schedule, negative=negative, reset=reset, input=input)
    if seed is not None and neuron["input"] != "rate":
        raise InvalidValue(f"seed {seed} is for input rate, the input is {neuron['input']}")
    share = chosen.percentile_of(method, percentile)
    options = Options(shift, share, chosen.time_steps if time_steps is None else time_steps)
    shifted = chosen.shifts(method, options)
    spikes = neuron["input"] == "spikes"
    if pixel_scale is None:
        pixel_scale = 1.0 if spikes else 1 / PIXEL_MAX
    limit = pixel_scale if spikes else PIXEL_MAX * pixel_scale
    batch = _check_calibration(calibration, limit, signed=spikes and neuron["negative"] != "none")
    channels, *size = batch.shape[1:]
    height, width = [1] * (2 - len(size)) + size
    shape = (int(channels), int(height), int(width))
    graph = read_module(module, shape, None if batch.ndim == 4 else batch.ndim - 2)
    _check_maxima(graph, neuron)
    recorder, scores = _observe(graph, batch, chosen.histograms)
    layers, activations = [], []
    for block in graph.blocks:
        threshold = below = None
        initial = np.zeros_like(block.bias)
        if block.activation is not None:
            values = recorder.distribution(block.activation.node)
            check_layer(method, block.name, block.activation, values)
            activations.append(block.activation)
            threshold = chosen.thresholds(block.activation, values, options)
            below = None if chosen.below is None else chosen.below(block.activation, values, options)
            initial = threshold / 2 if shifted else initial
        layers.append(
            SpikingLayer(
                name=block.name,
                connections=block.connections,
                threshold=threshold,
                bias=block.bias,
                initial=initial,
                negative_threshold=below,
            )
        )
    network = SpikingNetwork(
        name=name or type(module).__name__.lower(),
        input_shape=shape,
        time_steps=options.time_steps,
        layers=tuple(layers),
        **neuron,
        seed=DEFAULT_SEED if seed is None else seed,
        provenance={
            "method": method,
            "shift": shifted,
            **({} if share is None else {"percentile": share}),
            "calibration_images": len(batch),
            **chosen.notes(activations, options),
        },
        pixel_scale=pixel_scale,
    )
    with torch.inference_mode():
        _check_folding(network, graph, batch[:_BATCH], scores[0])
    if chosen.refine is None:
        return network
    observed = _observed(recorder, graph, scores, batch.reshape(-1, *shape) / pixel_scale)
    return chosen.refine(network, observed, options)
