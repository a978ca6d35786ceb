"""Account of the error between what a source network's layers give and what the spikes of its integers say.

For one neuron let z be the source's pre-activation and a its activation, θ the threshold, N the levels of a spike
train (T, or 2^T − 1 in ``radix``), and F(u) = θ/N·clip(⌊(N·u + V(0))/θ⌋, 0, N) the closed form of ``two_phase`` (design,
section 3; mirrored below 0 where negative spikes may prevail). The way from a to what the hardware gives:

- a, the source's activation;
- c = clip(a, 0, θ), from −θ where spikes may sum below 0;
- q = F(z + b′ − b), with b′ the layer's bias in the spiking network: what the neuron gives at best;
- p = F(u), with u the mean weighted input that the float spiking network really brought it;
- r, the value θ/N·Σ s of the spikes that it fired there;
- g, the same, of the float neuron that reads the spikes of the integer network's layers;
- f, the value θ/N·Σ s of the integer network's own spikes.

==============  =================  ========================================================================
part            is                 what it says
==============  =================  ========================================================================
clipping        c − a              activation outside of what a spike train can say
quantization    q − c              N levels instead of real numbers, and what a correction of b or V(0) adds
inherited       (p − q) + (g − r)  errors of the layers before, in the first layer of a random input code
unevenness      r − p              spikes in the wrong place in time; 0 outside ``stream``
fixed_point     f − g              this layer's weights, thresholds and offsets in integers
==============  =================  ========================================================================

They sum to the error e = f − a, exactly. The readout, which does not fire, has q = z + b′ − b + V(0)/N and no
clipping and no unevenness.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sim import golden
from sim.passage import closed_form, passages
from toolchain.convert.graph import Block
from toolchain.diagnose.source import SourceRun, pair
from toolchain.encoding import check_frames, input_values
from toolchain.errors import InvalidValue
from toolchain.ir import COUNTING_NEGATIVES, SCHEDULES, FixedPointNetwork, SpikingNetwork
from toolchain.quantize import quantize, score_scale

__all__ = ["PARTS", "TIE", "Diagnosis", "LayerAccount", "Stages", "diagnose", "stages"]

PARTS = ("clipping", "quantization", "inherited", "unevenness", "fixed_point")
"""In the order of the way from a to f."""
TIE = 0.5
"""Accuracy costs nearer than this many points are taken as equal."""
_BATCH = 32
_TRAIN_VALUES = 2**26
"""Spikes of all layers and steps held at once."""


@dataclass(frozen=True, eq=False)
class Stages:
    """One layer on one batch, float64 ``[N, C, H, W]`` each: the way from a to f."""

    activation: np.ndarray
    clipped: np.ndarray
    quantized: np.ndarray
    collected: np.ndarray
    fired: np.ndarray
    reread: np.ndarray
    integers: np.ndarray

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Each of ``PARTS``; their sum is ``integers − activation``."""
        return {
            "clipping": self.clipped - self.activation,
            "quantization": self.quantized - self.clipped,
            "inherited": (self.collected - self.quantized) + (self.reread - self.fired),
            "unevenness": self.fired - self.collected,
            "fixed_point": self.integers - self.reread,
        }


@dataclass(frozen=True)
class LayerAccount:
    """The error of one layer over all frames and neurons.

    Members
    -------
    layer : str
    error : float
        Mean square of e, in % of the mean square of a; may exceed 100.
    contributions : dict of float
        For each of ``PARTS`` the mean of part·e, in % likewise: they sum to ``error``. One below 0
        makes up for others.
    own : float
        Mean square of what the layer itself adds, all parts but the inherited one (the first layer's counts,
        it is the input code's), in % likewise.
    own_contributions : dict of float
        For each of ``PARTS`` the mean of part·(own error), in % likewise: they sum to ``own``.
    biases : dict of float
        For each of ``PARTS`` its mean, on the source's scale.
    clipped : float
        Share of activations outside of ``[0, θ]`` (``[−θ, θ]``), in %; NaN for the readout.
    silent : float
        Share of neurons without a spike on any frame, in %; NaN for the readout.
    levels_used : float
        Mean of |c|·N/θ over the activations that are not 0; NaN for the readout.
    largest : float64 [C]
        Largest |a| of each channel.
    accuracy_cost : float
        Points lost on the frames if the source has just this layer's own error.
    """

    layer: str
    error: float
    contributions: dict[str, float]
    own: float
    own_contributions: dict[str, float]
    biases: dict[str, float]
    clipped: float
    silent: float
    levels_used: float
    largest: np.ndarray
    accuracy_cost: float

    @property
    def cause(self) -> str:
        """The part that contributes most to the layer's own error."""
        return max(self.own_contributions, key=self.own_contributions.__getitem__)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Accounts of all layers and accuracies in % on the same frames.

    ``accuracy_integers`` is ``None``, and the fixed-point parts are 0, for a schedule that exists in floating
    point only.
    """

    layers: tuple[LayerAccount, ...]
    images: int
    accuracy_source: float
    accuracy_spiking: float
    accuracy_integers: float | None

    @property
    def worst(self) -> int:
        """The layer that costs most points; of those within ``TIE`` of it the one of largest own error.

        If none costs as much as ``TIE``, that of all layers.
        """
        most = max(layer.accuracy_cost for layer in self.layers)
        close = [i for i, layer in enumerate(self.layers) if most < TIE or layer.accuracy_cost > most - TIE]
        return max(close, key=lambda index: self.layers[index].own)

    def table(self) -> pd.DataFrame:
        """A row for each layer, columns as in ``LayerAccount``; each part's contributions and its bias by name."""
        return pd.DataFrame([self._row(layer) for layer in self.layers])

    def _row(self, layer: LayerAccount) -> dict[str, Any]:
        return {
            "layer": layer.layer,
            "error": layer.error,
            **layer.contributions,
            "own": layer.own,
            **{f"own_{part}": value for part, value in layer.own_contributions.items()},
            **{f"bias_{part}": value for part, value in layer.biases.items()},
            "clipped": layer.clipped,
            "silent": layer.silent,
            "levels_used": layer.levels_used,
            "accuracy_cost": layer.accuracy_cost,
        }


def _values(network: FixedPointNetwork, spikes: np.ndarray) -> np.ndarray:
    """Values of spike trains ``[N, T, C, H, W]``, float64 ``[N, C, H, W]``."""
    steps = network.time_steps
    worth = 2.0 ** np.arange(steps - 1, -1, -1) if network.schedule == "radix" else np.ones(steps)
    return np.tensordot(spikes, worth, axes=(1, 0))


class _Batches:
    """Source, float spiking network and integers, run side by side."""

    def __init__(
        self,
        module: nn.Module,
        network: SpikingNetwork,
        fixed: FixedPointNetwork | None,
        score_scale: np.ndarray,
    ):
        self.network, self.fixed, self.score_scale = network, fixed, score_scale
        graph = pair(module, network)
        self.blocks = graph.blocks
        self.source = SourceRun(graph)

    def _sums(self, frames: np.ndarray, given: list[np.ndarray] | None) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """For each layer the weighted input of all levels and the value of its spikes, float32 ``[N, C, H, W]``."""
        network = self.network
        inputs = [np.zeros((len(frames), *shape), np.float32) for shape in network.shapes]
        spikes = [
            None if layer.threshold is None else np.zeros_like(x)
            for layer, x in zip(network.layers, inputs, strict=True)
        ]
        for passage in passages(network, frames, given=given):
            inputs[passage.layer][passage.frames] += passage.inputs.sum(dim=0).numpy()
            if (fired := spikes[passage.layer]) is not None and passage.spikes is not None:
                fired[passage.frames] += passage.spikes.sum(dim=0).numpy()
        return list(zip(inputs, spikes, strict=True))

    def run(self, frames: np.ndarray) -> list[Stages]:
        """Every layer on one batch of frames, uint8 ``[N, C, H, W]``."""
        network, fixed = self.network, self.fixed
        pixels = torch.tensor(input_values(network, frames)) * network.pixel_scale
        try:
            with torch.inference_mode():
                before, after = self.source.layers(pixels)
        except RuntimeError as error:
            raise InvalidValue(
                f"the source does not accept frames of shape {network.input_shape}: {str(error).splitlines()[0]}"
            ) from error
        floats = self._sums(frames, None)
        integers: list[np.ndarray] | None = None
        reread = floats
        if fixed is not None:
            trace = golden.run(fixed, frames, "spikes")
            assert trace.spikes is not None
            integers = [_values(fixed, spikes) for spikes in trace.spikes]
            stream = network.schedule == "stream"
            given = [np.moveaxis(s, 1, 0) for s in trace.spikes] if stream else [v[None] for v in integers]
            reread = self._sums(frames, given)
            integers.append(trace.scores[:, :, None, None] * self.score_scale[:, None, None])
        found = []
        for index, block in enumerate(self.blocks):
            shape = (len(frames), *network.shapes[index])
            z, a = before[index].reshape(shape), after[index].reshape(shape).double().numpy()
            found.append(
                self._layer(
                    index, block, z, a, floats[index], reread[index], None if integers is None else integers[index]
                )
            )
        return found

    def _layer(
        self,
        index: int,
        block: Block,
        z: Tensor,
        a: np.ndarray,
        float_sums: tuple[np.ndarray, np.ndarray | None],
        reread_sums: tuple[np.ndarray, np.ndarray | None],
        integers: np.ndarray | None,
    ) -> Stages:
        network, layer = self.network, self.network.layers[index]
        levels = network.levels
        corrected = (layer.bias - block.bias)[:, None, None]
        if layer.threshold is None:
            start = layer.initial[:, None, None]
            collected, reread = ((sums[0] + start) / levels for sums in (float_sums, reread_sums))
            best = z.double().numpy() + corrected + start / levels
            return Stages(a, a, best, collected, collected, reread, reread if integers is None else integers)
        threshold = layer.threshold[:, None, None]
        worth = threshold / levels
        below = network.signed_spikes and network.negative not in COUNTING_NEGATIVES
        whole = levels * (z + torch.tensor(corrected).float())
        assert float_sums[1] is not None and reread_sums[1] is not None
        reread = reread_sums[1] * worth
        return Stages(
            a,
            np.clip(a, -threshold if below else 0, threshold),
            closed_form(network, index, whole).numpy() * worth,
            closed_form(network, index, torch.tensor(float_sums[0])).numpy() * worth,
            float_sums[1] * worth,
            reread,
            reread if integers is None else integers * worth,
        )


class _Tally:
    """Sums over the batches of one layer."""

    def __init__(self, batches: _Batches, index: int):
        self.network, self.layer = batches.network, batches.network.layers[index]
        self.own = [part for part in PARTS if part != "inherited" or index == 0]
        self.signal = self.values = self.clipped = self.active = self.levels = 0.0
        self.contributions, self.own_contributions, self.totals = np.zeros((3, len(PARTS)))
        self.fired = np.zeros(batches.network.shapes[index], bool)
        self.largest = np.zeros(self.layer.channels)
        self.right = 0

    def add(self, stages: Stages) -> np.ndarray:
        """Take one batch; returns the layer's own error, ``[N, C, H, W]``."""
        a, parts = stages.activation, stages.parts
        error, own = stages.integers - a, sum((parts[name] for name in self.own), np.zeros_like(a))
        self.signal += float((a * a).sum())
        self.values += a.size
        self.contributions += [float((part * error).sum()) for part in parts.values()]
        self.own_contributions += [float((part * own).sum()) * (name in self.own) for name, part in parts.items()]
        self.totals += [float(part.sum()) for part in parts.values()]
        self.largest = np.maximum(self.largest, np.abs(a).max(axis=(0, 2, 3)))
        self.fired |= (stages.integers != 0).any(axis=0)
        if self.layer.threshold is not None:
            used = np.abs(stages.clipped) * self.network.levels / self.layer.threshold[:, None, None]
            self.clipped += float((stages.clipped != a).sum())
            self.active += float((used > 0).sum())
            self.levels += float(used.sum())
        return own

    def account(self, images: int, accuracy_source: float) -> LayerAccount:
        if not self.signal > 0:
            raise InvalidValue(
                f"layer {self.layer.name} of the source is silent on all {images} images, so its error has no measure; give "
                "more or other images"
            )
        share = 100 / self.signal
        fires = self.layer.threshold is not None

        def named(values: np.ndarray) -> dict[str, float]:
            return dict(zip(PARTS, map(float, values), strict=True))

        return LayerAccount(
            self.layer.name,
            float(self.contributions.sum() * share),
            named(self.contributions * share),
            float(self.own_contributions.sum() * share),
            named(self.own_contributions * share),
            named(self.totals / self.values),
            100 * self.clipped / self.values if fires else np.nan,
            100 * float((~self.fired).mean()) if fires else np.nan,
            self.levels / max(self.active, 1) if fires else np.nan,
            self.largest,
            accuracy_source - 100 * self.right / images,
        )


def _parts_of(frames: np.ndarray, network: SpikingNetwork) -> Iterator[slice]:
    batch = max(1, min(_BATCH, _TRAIN_VALUES // (network.neurons * network.time_steps)))
    return (slice(start, min(start + batch, len(frames))) for start in range(0, len(frames), batch))


def _batches(module: nn.Module, network: SpikingNetwork, weight_bits: int, clipping: str, pow2: bool) -> _Batches:
    if network.leaks or network.lasting:
        first = next(layer.name for layer in network.layers if layer.leak is not None or layer.current_leak is not None)
        raise InvalidValue(
            f"network {network.name} leaks (layer {first}): how often a leaky neuron fires is no activation of a source, which is "
            "what errors are measured against here; spikeloom quantize says what rounds of each leak, and spikeloom certify "
            "--spiking how far the spikes of integers are, layer by layer; or diagnose it without its leaks"
        )
    if network.schedule not in SCHEDULES:
        return _Batches(module, network, None, np.ones(network.layers[-1].channels))
    fixed = quantize(network, weight_bits, clipping=clipping, pow2=pow2)
    return _Batches(module, network, fixed, score_scale(network, weight_bits, clipping=clipping, pow2=pow2))


def stages(
    module: nn.Module,
    network: SpikingNetwork,
    frames: np.ndarray,
    weight_bits: int = 8,
    *,
    clipping: str = "max",
    pow2: bool = False,
) -> list[Stages]:
    """The way from a to f of every neuron of every layer, for a few frames, uint8 ``[N, C, H, W]``: all is kept.

    Raises
    ------
    As ``diagnose``.
    """
    return _batches(module, network, weight_bits, clipping, pow2).run(frames)


def diagnose(
    module: nn.Module,
    network: SpikingNetwork,
    frames: np.ndarray,
    labels: np.ndarray,
    weight_bits: int = 8,
    *,
    clipping: str = "max",
    pow2: bool = False,
    progress: Callable[[int], None] = lambda images: None,
) -> Diagnosis:
    """Account of every layer, over frames in batches and in bounded memory.

    Parameters
    ----------
    module, network : nn.Module, SpikingNetwork
        The source, and the result of ``toolchain.convert`` for it.
    frames, labels : uint8 [N, C, H, W], int64 [N]
    weight_bits, clipping, pow2
        Of the integers, as of ``toolchain.quantize.quantize``; ignored where the schedule has none.
    progress : callable
        Called with the number of images finished since the last call.

    Raises
    ------
    InvalidValue, UnsupportedModule
        ``network`` is no conversion of ``module``, or leaks; frames of the wrong type or shape, or that leave a layer of the
        source silent; weights that do not fit.
    """
    check_frames(frames, network)
    batches = _batches(module, network, weight_bits, clipping, pow2)
    tallies = [_Tally(batches, index) for index in range(len(network.layers))]
    right = np.zeros(3, int)
    for part in _parts_of(frames, network):
        truth = labels[part]
        found = batches.run(frames[part])
        readout = found[-1]
        for index, stage in enumerate((readout.activation, readout.fired, readout.integers)):
            right[index] += int((stage[:, :, 0, 0].argmax(axis=1) == truth).sum())
        for index, (tally, layer) in enumerate(zip(tallies, found, strict=True)):
            erring = torch.tensor(layer.activation + tally.add(layer)).float()
            scores = erring if index == len(found) - 1 else batches.source.scores_with(index, erring)
            tally.right += int((scores.flatten(1).argmax(dim=1).numpy() == truth).sum())
        progress(part.stop - part.start)
    images = len(frames)
    source, spiking, integers = (100 * float(count) / images for count in right)
    return Diagnosis(
        tuple(tally.account(images, source) for tally in tallies),
        images,
        source,
        spiking,
        None if batches.fixed is None else integers,
    )
