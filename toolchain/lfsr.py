"""Random bytes of rate-coded input, from a linear-feedback shift register that hardware has for a few gates."""

import numpy as np

__all__ = ["MASK", "random_bytes"]

MASK = 0x80200003
"""Galois form of x³² + x²² + x² + x + 1, which runs through all 2³² − 1 states but 0."""


def random_bytes(seed: int, count: int) -> np.ndarray:
    """The first ``count`` bytes of a seed, uint8 ``[count]``: the low bytes after 0, 8, 16, … shifts.

    One shift is ``state ← state >> 1``, with ``MASK`` added (exclusive or) if the bit shifted out is 1.
    """
    state, values = seed, np.empty(count, np.uint8)
    for place in range(count):
        values[place] = state & 0xFF
        for _ in range(8):
            state = (state >> 1) ^ (MASK if state & 1 else 0)
    return values
