"""``python tests/bench/leaky_network.py NET.safetensors [α]``: integers of a small leaky network, for ``spikeloom synth``.

20 inputs, 24 and 12 leaky neurons (β = 0.85, the leak before the reset) and a readout of 5, seeded and not trained, as snnTorch
exports them (``tests.leaky_exports``); T = 6, 8-bit weights. With α the synaptic currents of the leaky neurons last, and keep α
a step. The clocks of leaky cores in reports/synthesis are of it.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.leaky_exports import exported
from toolchain.interchange import read_nir
from toolchain.netfile import save_network
from toolchain.quantize import quantize

__all__ = ["BETA", "STEPS", "main"]

BETA, STEPS = 0.85, 6


def main(target: Path, current: float | None = None) -> None:
    network = read_nir(*exported("snntorch", BETA, STEPS))
    layers = tuple(replace(layer, current_leak=current if layer.leak else None) for layer in network.layers)
    fixed = quantize(replace(network, layers=layers), 8)
    save_network(fixed, target)
    print(f"{target}: fingerprint {fixed.fingerprint[:16]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
