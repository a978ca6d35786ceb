"""The adders of a leak: what stays of a membrane from one step to the next."""

from collections.abc import Sequence

from amaranth import Module, Signal, signed, unsigned
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import width_for
from toolchain.leak import Decay

__all__ = ["DecayAdders"]


class DecayAdders(wiring.Component):
    """``left = V − Σ ±(V >> k)`` (``toolchain.leak``), combinational, without any shifter: a shift is wires.

    One chain of as many adders as the decay of most terms has, whatever the number of decays; before each of them a
    multiplexer of constant shifts. V − (V >> 0) takes none: V is left out. No overflow: the result lies in the range
    proven by ``FixedPointNetwork.ranges``, and what is cut off on the way comes back.

    Parameters
    ----------
    membrane_bits : int
        Signed width of V.
    decays : sequence of Decay
        At least one.

    Members
    -------
    value : In, V
    leak : In, 0: ``left = V``; n: the n-th decay
    left : Out
    """

    def __init__(self, *, membrane_bits: int, decays: Sequence[Decay]):
        self._decays = tuple(decays)
        super().__init__(
            {
                "value": In(signed(membrane_bits)),
                "leak": In(unsigned(width_for(len(self._decays)))),
                "left": Out(signed(membrane_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        emptied = {code for code, decay in enumerate(self._decays, 1) if decay.terms[0] == 0}
        terms = {code: decay.terms[1 if code in emptied else 0 :] for code, decay in enumerate(self._decays, 1)}
        left = self._chosen(m, "whole", dict.fromkeys({0, *terms} - emptied, self.value))
        for place in range(max(map(len, terms.values()))):
            here = {code: of[place] for code, of in terms.items() if place < len(of)}
            part = self._chosen(m, f"part_{place}", {code: self.value >> abs(term) for code, term in here.items()})
            total = Signal.like(self.value, name=f"left_{place}")
            backs = {code for code, term in here.items() if term < 0}
            if not backs:
                m.d.comb += total.eq(left - part)
            elif len(backs) == len(here):
                m.d.comb += total.eq(left + part)
            else:
                back = self._chosen(m, f"back_{place}", {code: Value.cast(1) for code in backs}, Signal(1))
                m.d.comb += total.eq(left + (part ^ ~back.replicate(len(part))).as_signed() + ~back)
            left = total
        m.d.comb += self.left.eq(left)
        return m

    def _chosen(self, m: Module, name: str, values: dict[int, Value], like: Signal | None = None) -> Signal:
        """The value of the leak's code, 0 where there is none."""
        chosen = Signal.like(self.value if like is None else like, name=name)
        with m.Switch(self.leak):
            for code, value in sorted(values.items()):
                with m.Case(code):
                    m.d.comb += chosen.eq(value)
        return chosen
