"""Optimal conversion: a clipped source, half a step of shift, or both.

Source: Deng & Gu, "Optimal conversion of conventional artificial neural networks to spiking neural
networks", ICLR 2021, sections 4 and 5: θ = largest activation seen in the layer, b + θ/(2T), which is
V(0) = θ/2. The shift can hurt at T ≥ 200.
"""

from collections.abc import Sequence

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options, largest

__all__ = ["OPTIMAL"]


def _variant(activations: Sequence[Activation], options: Options) -> dict[str, str]:
    """The paper's name: T for a source whose activations are all clipped, S for the shift, TS for both."""
    clipped = all(activation.limit is not None for activation in activations)
    return {"variant": ("T" if clipped else "") + ("S" if options.shift else "") or "none"}


OPTIMAL = Method(largest, notes=_variant)
