"""The arithmetic of one neuron lane: weighted integration and firing."""

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Lane"]


class Lane(wiring.Component):
    """``V ← V + w·a`` with forwarding, and ``if V ≥ θ: s = 1, V ← V − θ``.

    Integration, one synapse a cycle: ``weight`` and ``amplitude`` in one cycle, the old ``membrane``
    in the next, the new one on ``sum`` in the one after. While a sum is not yet readable from
    memory, ``forward_last`` (the sum one cycle old) or ``forward_before`` (two cycles old) stands
    for ``membrane``.

    Firing: ``load`` takes ``U ← membrane + addend`` and θ; in each following cycle ``spike`` and
    ``after`` show one firing of U, and ``step`` moves on to the next, adding the loaded membrane
    again if ``constant_current``. Without ``fires``, nothing is subtracted and ``spike`` stays 0.

    No overflow: all values lie in the range proven by ``FixedPointNetwork.ranges``.

    Parameters
    ----------
    weight_bits, membrane_bits : int
        Signed widths; ``threshold`` is unsigned, one bit narrower than the membrane.
    stream : bool
        Whether the fire pass adds anything to the membrane; ``two_phase`` needs no adder there.
    """

    def __init__(self, *, weight_bits: int, membrane_bits: int, stream: bool):
        self._stream = stream
        super().__init__(
            {
                "weight": In(signed(weight_bits)),
                "amplitude": In(unsigned(8)),
                "membrane": In(signed(membrane_bits)),
                "forward_last": In(1),
                "forward_before": In(1),
                "sum": Out(signed(membrane_bits)),
                "load": In(1),
                "step": In(1),
                "fires": In(1),
                "constant_current": In(1),
                "threshold": In(unsigned(membrane_bits - 1)),
                "addend": In(signed(membrane_bits)),
                "spike": Out(1),
                "after": Out(signed(membrane_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.membrane.shape().width
        product = Signal(signed(width))
        before = Signal(signed(width))
        old = Mux(self.forward_last, self.sum, Mux(self.forward_before, before, self.membrane))
        m.d.sync += [
            product.eq(self.weight * self.amplitude),
            self.sum.eq(old + product),
            before.eq(self.sum),
        ]

        potential = Signal(signed(width))
        threshold = Signal.like(self.threshold)
        excess = Signal(signed(width + 1))
        m.d.comb += [
            excess.eq(potential - threshold),
            self.spike.eq(self.fires & (excess >= 0)),
            self.after.eq(Mux(self.spike, excess, potential)),
        ]
        if self._stream:
            current = Signal(signed(width))
            following = self.after + Mux(self.constant_current, current, 0)
            loaded = self.membrane + self.addend
            with m.If(self.load):
                m.d.sync += current.eq(self.membrane)
        else:
            following, loaded = self.after, self.membrane
        with m.If(self.load):
            m.d.sync += [potential.eq(loaded), threshold.eq(self.threshold)]
        with m.Elif(self.step):
            m.d.sync += potential.eq(following)
        return m
