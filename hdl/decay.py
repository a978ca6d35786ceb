"""The adders of a leak: what stays of a membrane from one step to the next."""

from collections.abc import Mapping, Sequence

from amaranth import Module, Signal, signed, unsigned
from amaranth.hdl import Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import width_for
from hdl.leak_word import LEAK_BITS, SHIFT_BITS, TERM_BITS
from toolchain.leak import MAX_TERMS, Decay

__all__ = ["DecayAdders", "DecayShifters"]


class DecayAdders(wiring.Component):
    """``left = U − Σ ±(V >> k)`` (``toolchain.leak``), combinational, without any shifter: a shift is wires.

    As many adders as the decay of most terms has, whatever the number of decays, no more than two behind one another: the
    second and third term are added up beside the first. Before each stands a multiplexer of constant shifts. V − (V >> 0)
    takes none where U is V: V is left out. No overflow: the result lies in the range proven by
    ``FixedPointNetwork.ranges``, and what is cut off on the way comes back.

    Parameters
    ----------
    membrane_bits : int
        Signed width of U and V.
    decays : sequence of Decay
        At least one.
    apart : bool
        Whether U is another value than V: the membrane after the reset, where what leaks is that before it.

    Members
    -------
    value : In, V
    whole : In, U, if ``apart``; otherwise V
    leak : In, 0: ``left = U``; n: the n-th decay
    left : Out
    """

    def __init__(self, *, membrane_bits: int, decays: Sequence[Decay], apart: bool = False):
        self._decays, self._apart = tuple(decays), apart
        super().__init__(
            {
                "value": In(signed(membrane_bits)),
                **({"whole": In(signed(membrane_bits))} if apart else {}),
                "leak": In(unsigned(width_for(len(self._decays)))),
                "left": Out(signed(membrane_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        emptied = set() if self._apart else {code for code, decay in enumerate(self._decays, 1) if decay.terms[0] == 0}
        terms = {code: decay.terms[1 if code in emptied else 0 :] for code, decay in enumerate(self._decays, 1)}
        whole = (
            self.whole if self._apart else self._chosen(m, "whole", dict.fromkeys({0, *terms} - emptied, self.value))
        )
        places = max(map(len, terms.values()))
        parts = [
            self._chosen(m, f"part_{place}", {code: self.value >> abs(of[place]) for code, of in terms.items() if place < len(of)})
            for place in range(places)
        ]  # fmt: skip
        takes = [{code: of[place] >= 0 for code, of in terms.items() if place < len(of)} for place in range(places)]
        if places == 3:  # the third is added to the second, or taken off where their signs differ
            unlike = {code: takes[1][code] != third for code, third in takes[2].items()}
            parts[1] = self._sum(m, "parts", parts[1], parts[2], unlike)
        left: Value = whole
        for place, part in enumerate(parts[:2]):
            left = self._sum(m, f"left_{place}", left, part, takes[place])
        m.d.comb += self.left.eq(left)
        return m

    def _sum(self, m: Module, name: str, left: Value, part: Value, takes: Mapping[int, bool]) -> Signal:
        """``left − part`` for the codes that take it off, otherwise ``left + part``."""
        total = Signal.like(self.value, name=name)
        backs = {code for code, taken in takes.items() if not taken}
        if not backs:
            m.d.comb += total.eq(left - part)
        elif len(backs) == len(takes):
            m.d.comb += total.eq(left + part)
        else:
            back = self._chosen(m, f"{name}_back", dict.fromkeys(backs, Value.cast(1)), 1)
            m.d.comb += total.eq(left + (part ^ ~back.replicate(len(part))).as_signed() + ~back)
        return total

    def _chosen(self, m: Module, name: str, values: Mapping[int, ValueLike], bits: int | None = None) -> Signal:
        """The value of the leak's code, 0 where there is none; ``bits`` wide, unsigned, or like V."""
        chosen = Signal.like(self.value, name=name) if bits is None else Signal(bits, name=name)
        with m.Switch(self.leak):
            for code, value in sorted(values.items()):
                with m.Case(code):
                    m.d.comb += chosen.eq(value)
        return chosen


class DecayShifters(wiring.Component):
    """``left = U − Σ ±(V >> k)`` (``toolchain.leak``), combinational, of whatever shifts and signs come with it.

    A barrel shifter for each of ``MAX_TERMS`` terms, and three adders, no more than two behind one another: the second and third
    term are added up beside the first. No overflow, as in ``DecayAdders``.

    Parameters
    ----------
    membrane_bits : int
        Signed width of U and V.

    Members
    -------
    value : In, V
    whole : In, U: V, or the membrane after the reset where what leaks is that before it
    leak : In, ``hdl.leak_word.leak_word``; 0: ``left = U``
    left : Out
    """

    def __init__(self, *, membrane_bits: int):
        super().__init__(
            {
                "value": In(signed(membrane_bits)),
                "whole": In(signed(membrane_bits)),
                "leak": In(unsigned(LEAK_BITS)),
                "left": Out(signed(membrane_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.value)
        parts, backs = [], []
        for place in range(MAX_TERMS):
            term = self.leak.word_select(place, TERM_BITS)
            part = Signal.like(self.value, name=f"part_{place}")
            with m.If(term[SHIFT_BITS]):
                m.d.comb += part.eq(self.value >> term[:SHIFT_BITS])
            parts.append(part)
            backs.append(term[SHIFT_BITS + 1])
        behind = Signal.like(self.value)
        less = Signal.like(self.value)
        unlike, takes = backs[1] ^ backs[2], ~backs[1]
        m.d.comb += [
            behind.eq(parts[1] + (parts[2] ^ unlike.replicate(width)).as_signed() + unlike),
            less.eq(self.whole - parts[0]),
            self.left.eq(less + (behind ^ takes.replicate(width)).as_signed() + takes),
        ]
        return m
