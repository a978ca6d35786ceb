"""What a spiking network is compared with: the same network without spikes, four ways (energy model, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.energy.counts import LayerCounts
from toolchain.energy.profiles import Profile
from toolchain.fixedpoint import signed_width, weight_limit
from toolchain.ir import INPUT, PIXEL_MAX, FixedPointNetwork

__all__ = ["BASELINES", "FAIREST", "Baseline", "accumulator_bits", "baselines"]

BASELINES = {
    "fp32_dense": "FP32 dense (legacy)",
    "int8_dense": "int8 dense",
    "int8_zero_skipping": "int8, zeros skipped",
    "equal_information_dense": "equal information, dense",
    "equal_information_zero_skipping": "equal information, zeros skipped",
}
"""Names and labels. Equal information: the network's own weights, activations as wide as the value of a spike train."""
FAIREST = "equal_information_zero_skipping"
"""The one that verdicts are about: it knows what the spiking network knows, and wastes nothing on zeros either."""


@dataclass(frozen=True)
class Baseline:
    """One of ``BASELINES`` for one network.

    ``activation_bits`` are those each layer reads, ``output_bits`` those it writes; ``zeros`` says where skipped zeros
    were counted: ``source``, ``spiking network``, or ``None`` where none is skipped. Its activation
    functions, poolings and biases cost nothing, which favours it.
    """

    name: str
    weight_bits: int
    activation_bits: tuple[int, ...]
    output_bits: tuple[int, ...]
    accumulator_bits: int
    zeros: str | None
    float32: bool = False

    @property
    def label(self) -> str:
        """For people."""
        return BASELINES[self.name]

    def mac_energy(self, profile: Profile, index: int) -> float:
        """pJ of one multiply-accumulate of layer ``index``."""
        if self.float32:
            assert profile.mac_float32 is not None
            return profile.mac_float32
        return profile.mac(self.weight_bits, self.activation_bits[index], self.accumulator_bits)

    def macs(self, counts: Sequence[LayerCounts], source_macs: np.ndarray | None) -> list[np.ndarray]:
        """Effective multiply-accumulates of each layer, float64 ``[N]``."""
        found = []
        for index, count in enumerate(counts):
            if self.zeros is None:
                macs = np.full(len(count.sop), count.synapses)
            elif self.zeros == "source":
                assert source_macs is not None
                macs = source_macs[:, index]
            else:
                assert count.mac_nonzero is not None
                macs = count.mac_nonzero
            found.append(macs.astype(np.float64))
        return found


def accumulator_bits(network: FixedPointNetwork, weight_bits: int | None = None, largest: int = PIXEL_MAX) -> int:
    """Accumulator of the same network as an ANN: width proven for every input, biases aside.

    Weights keep their width, or are scaled to ``weight_bits``; activations reach ``largest`` (negative ones too if
    spikes are signed and ``largest`` is that of a spike train), pixels of a frame ``PIXEL_MAX``.
    """
    limit, wanted = weight_limit(network.weight_bits), weight_limit(weight_bits or network.weight_bits)
    widest = 0
    for layer in network.layers:
        frame = network.reads_frame(layer)
        high = low = np.zeros(layer.channels, np.int64)
        for c in layer.connections:
            # average pooling divides in the ANN what arrives k² times here
            window = c.pool[0] * c.pool[1]
            up, down = (s // window * wanted // limit for s in c.extremes(network.source_shape(c)))
            if weight_bits is None and network.signed_spikes and (c.source != INPUT or network.input == "spikes"):
                up = down = up + down
            high, low = high + up, low + down
        most = PIXEL_MAX if frame else largest
        widest = max(widest, signed_width(-most * int(low.max()), most * int(high.max())))
    return widest


def baselines(
    network: FixedPointNetwork, counts: Sequence[LayerCounts], profile: Profile, *, source: bool
) -> tuple[Baseline, ...]:
    """Those that the profile can charge and the counts can tell, in the order of ``BASELINES``.

    ``source``: zeros of the source network were counted. A ``float32`` profile knows one only; one of kind ``cycles`` none,
    since the cycles of an ANN are unknown.
    """
    layers = len(network.layers)
    found = []
    if profile.mac_float32 is not None:
        wide = (32,) * layers
        found.append(Baseline("fp32_dense", 32, wide, wide, 32, None, float32=True))
    if profile.kind != "integer":
        return tuple(found)
    counted = None if any(count.mac_nonzero is None for count in counts) else "spiking network"
    bytes_, accumulator = (8,) * layers, accumulator_bits(network, 8)
    found.append(Baseline("int8_dense", 8, bytes_, bytes_, accumulator, None))
    if source or counted:
        found.append(Baseline("int8_zero_skipping", 8, bytes_, bytes_, accumulator, "source" if source else counted))
    value_bits = network.levels.bit_length() + network.signed_spikes  # ⌈log2(levels + 1)⌉, and a sign
    read = tuple(8 if network.reads_frame(layer) else value_bits for layer in network.layers)
    own = (network.weight_bits, read, (value_bits,) * layers, accumulator_bits(network, None, network.levels))
    found.append(Baseline("equal_information_dense", *own, None))
    if counted:
        found.append(Baseline("equal_information_zero_skipping", *own, counted))
    return tuple(found)
