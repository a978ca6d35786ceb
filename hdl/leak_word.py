"""A decay as bits of an instruction, for cores into which networks are loaded.

Plain Python: no signals here.
"""

from hdl.widths import width_for
from toolchain.leak import MAX_DECAY_SHIFT, MAX_TERMS, Decay

__all__ = ["LEAK_BITS", "SHIFT_BITS", "TERM_BITS", "leak_word"]

SHIFT_BITS = width_for(MAX_DECAY_SHIFT)
TERM_BITS = SHIFT_BITS + 2
LEAK_BITS = MAX_TERMS * TERM_BITS
"""Of ``leak_word``."""


def leak_word(decay: Decay | None) -> int:
    """The terms of a decay side by side, the first in the lowest bits; 0 where nothing leaks.

    A term has its shift in the lowest ``SHIFT_BITS``, above them a bit that it is there, and the highest one if it is given
    back instead of taken off, which the first one never is.
    """
    terms = () if decay is None else decay.terms
    words = (abs(term) | 1 << SHIFT_BITS | int(term < 0) << SHIFT_BITS + 1 for term in terms)
    return sum(word << TERM_BITS * place for place, word in enumerate(words))
