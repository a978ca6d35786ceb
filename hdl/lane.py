"""The arithmetic of one neuron lane: weighted integration and firing.

Only what the network's neuron needs is built: no sign, counter or shifter otherwise.
"""

from collections.abc import Sequence

from amaranth import Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.decay import DecayAdders, DecayShifters
from hdl.layouts import width_for
from hdl.leak_word import LEAK_BITS
from hdl.weighing import Neuron
from toolchain.ir import BELOW_ZERO, COUNTING_NEGATIVES
from toolchain.leak import Decay

__all__ = ["Lane"]


class Lane(wiring.Component):
    """``V ← V + w·a`` with forwarding, and ``if V ≥ θ: s = 1, V ← V − θ`` with its variants (design, section 3).

    What ``amplitude`` is stands in ``hdl.weighing.amplitude_bits``; the synapse multiplies, shifts or adds.

    Integration, one synapse a cycle: ``weight`` in one cycle, ``amplitude`` and the old ``membrane`` in the
    next; with ``add`` in the third cycle, ``sum`` shows the new one in the fourth, otherwise 0. Both
    memories end in a register here that nothing stands before, so that a block RAM's own can be it. A value that memory
    does not give yet stands for ``membrane``: ``forward_before``, given with it, takes the sum of the last synapse but one,
    ``forward_written`` takes ``written``, what was written while the memory was read; ``forward_last``, given with ``add``,
    takes the last sum. ``given``, a cycle after ``membrane``, is that with nothing forwarded, for whoever reads while nothing is added.

    Firing: ``load`` takes ``U ← held + addend`` and θ; in each following cycle ``spike`` and
    ``after`` show one firing of U, and ``step`` moves on to the next, adding the loaded membrane
    again if ``constant_current``. Without ``fires``, nothing is subtracted and ``spike`` stays 0.
    ``negative`` marks a spike of −1. In ``radix`` the first firing is against ``θ·2^(T−1)`` and each
    step halves that instead of doubling V, which decides the same and needs no wider membrane.
    ``correcting`` and ``memory`` take ``count``, the sum of the spikes so far, with ``load``; ``counted`` is the new one.
    ``asymmetric`` has a ``negative_threshold`` beside ``threshold``.
    Where membranes leak a register stands behind the firing: a cycle later ``rest`` shows ``after``, and ``kept`` what stays of it
    for the next step by the decay that ``leak`` chooses (``DecayAdders``) or holds (``DecayShifters``); with ``leak_first`` that is ``decay(U) − θ`` where U
    fired, instead of ``decay(U − θ)``. ``follow``, given then, goes on from ``kept``; ``step`` still goes on from ``after``.
    With ``lasting``, a ``load`` with ``behind_current`` takes ``U ← held + U`` instead, U being the current that the one before took.

    No overflow: all values lie in the range proven by ``FixedPointNetwork.ranges``.

    Parameters
    ----------
    weight_bits, membrane_bits : int
        Signed widths; ``threshold`` is unsigned, one bit narrower than the membrane.
    amplitude : Shape
        Of an event; ``weighing``: what it does, as in ``Program``.
    network : Neuron
        Its schedule, negative, reset, compare and T; outside ``stream`` the fire pass adds nothing to
        the membrane and needs no adder there.
    preshifted : int
        Bits that thresholds of ``radix`` are wider, where they come as ``θ·2^(T−1)``; 0: they are θ, and T is the network's.
    decays, leak_first : sequence of Decay, bool
        Of membranes that leak, and whether they do before a reset.
    loaded_leaks : bool
        Whether shifts come with ``leak`` instead, and ``leaks_first`` says the order, where there are two.
    frame_leaks : sequence of bool
        Where membranes leak: what there is of layers that read the frame, which alone fire several times at once; True: such
        that leak, and ``follow``; False: such that do not, and ``step``.
    lasting : bool
        Whether currents last.
    """

    def __init__(
        self,
        *,
        weight_bits: int,
        membrane_bits: int,
        amplitude: Shape,
        weighing: str,
        network: Neuron,
        preshifted: int = 0,
        decays: Sequence[Decay] = (),
        leak_first: bool = False,
        loaded_leaks: bool = False,
        frame_leaks: Sequence[bool] = (),
        lasting: bool = False,
    ):
        self._lasting, self._loaded_leaks = lasting, loaded_leaks
        self._network, self._weighing, self._preshifted = network, weighing, preshifted
        self._decays, self._leak_first, self._frame_leaks = tuple(decays), leak_first, tuple(frame_leaks)
        threshold = unsigned(membrane_bits - 1 + preshifted)
        count_bits = width_for(network.time_steps)
        self._leaks = loaded_leaks or bool(self._decays)
        self._orders = loaded_leaks and network.reset == "subtract"
        super().__init__(
            {
                "weight": In(signed(weight_bits)),
                "amplitude": In(amplitude),
                "membrane": In(signed(membrane_bits)),
                "add": In(1),
                "forward_last": In(1),
                "forward_before": In(1),
                "forward_written": In(1),
                "written": In(signed(membrane_bits)),
                "given": Out(signed(membrane_bits)),
                "sum": Out(signed(membrane_bits)),
                "load": In(1),
                "step": In(1),
                "fires": In(1),
                "constant_current": In(1),
                "threshold": In(threshold),
                **({"negative_threshold": In(threshold)} if network.negative == "asymmetric" else {}),
                "addend": In(signed(membrane_bits)),
                "spike": Out(1),
                **({"negative": Out(1)} if network.signed_spikes else {}),
                "after": Out(signed(membrane_bits)),
                **(
                    {
                        "leak": In(unsigned(LEAK_BITS if loaded_leaks else width_for(len(self._decays)))),
                        "rest": Out(signed(membrane_bits)),
                        "kept": Out(signed(membrane_bits)),
                        "follow": In(1),
                    }
                    if self._leaks
                    else {}
                ),
                **({"leaks_first": In(1)} if self._orders else {}),
                **({"behind_current": In(1)} if lasting else {}),
                **(
                    {"count": In(unsigned(count_bits)), "counted": Out(unsigned(count_bits))}
                    if network.negative in COUNTING_NEGATIVES
                    else {}
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.membrane)
        weight = Signal(self.weight.shape(), reset_less=True)
        membrane = Signal(self.membrane.shape(), reset_less=True)
        held = Signal(self.membrane.shape())
        product = Signal(signed(width))
        forwarded = Signal(signed(width))
        forward = Signal()
        m.d.sync += [
            weight.eq(self.weight),
            product.eq(self._weighed(weight)),
            membrane.eq(self.membrane),
            forwarded.eq(Mux(self.forward_before, self.sum, self.written)),
            forward.eq(self.forward_before | self.forward_written),
            self.sum.eq(0),
        ]
        m.d.comb += [self.given.eq(membrane), held.eq(Mux(forward, forwarded, membrane))]
        with m.If(self.add):
            m.d.sync += self.sum.eq(Mux(self.forward_last, self.sum, held) + product)

        self._fire(m, held)
        return m

    def _weighed(self, weight: Signal) -> Value:
        if self._weighing == "multiply":
            return weight * self.amplitude
        signed_spikes = self._network.signed_spikes
        exponent = self.amplitude[: len(self.amplitude) - signed_spikes]
        value = weight << exponent if self._weighing == "shift" else weight
        return Mux(self.amplitude[-1], -value, value) if signed_spikes else value

    def _fire(self, m: Module, held: Signal) -> None:
        network, width = self._network, len(held)
        shift = network.time_steps - 1 if network.schedule == "radix" and not self._preshifted else 0
        potential = Signal(signed(width))
        threshold = Signal(len(self.threshold) + shift)
        excess = Signal(signed(max(width, len(threshold) + 1) + 1))
        fired = Signal()
        m.d.comb += [
            excess.eq(potential - threshold),
            fired.eq(self.fires & ((excess >= 0) if network.compare == "ge" else (excess > 0))),
            self.spike.eq(fired),
            self.after.eq(Mux(fired, excess if network.reset == "subtract" else 0, potential)),
        ]
        if network.signed_spikes:
            self._fire_negative(m, potential, self._negative_threshold(m, threshold, shift), fired)
        if network.schedule == "stream":
            current = Signal(signed(width))
            following = self.after + Mux(self.constant_current, current, 0)
            loaded = held + self.addend
            if self._lasting:
                loaded = held + Mux(self.behind_current, potential, self.addend)
            with m.If(self.load):
                m.d.sync += current.eq(held)
            if self._leaks:
                self._leak(m, potential, current)
        else:
            following, loaded = self.after, held
        with m.If(self.load):
            m.d.sync += [potential.eq(loaded), threshold.eq(self.threshold.shift_left(shift))]
        with m.Elif(self.step if not self._leaks or False in self._frame_leaks else Const(0)):
            m.d.sync += potential.eq(following)
            if shift or self._preshifted:
                m.d.sync += threshold.eq(threshold >> 1)

    def _leak(self, m: Module, potential: Signal, current: Signal) -> None:
        """What stays, out of a register behind the firing; and the next firing of a layer that reads the frame."""
        decay: DecayAdders | DecayShifters
        if self._loaded_leaks:
            decay = DecayShifters(membrane_bits=len(potential))
        else:
            decay = DecayAdders(membrane_bits=len(potential), decays=self._decays, apart=self._leak_first)
        m.submodules.decay = decay
        m.d.sync += self.rest.eq(self.after)
        m.d.comb += [decay.leak.eq(self.leak), self.kept.eq(decay.left)]
        if self._leak_first:
            unreset = Signal.like(potential)
            m.d.sync += unreset.eq(potential)
            m.d.comb += decay.value.eq(unreset)
        elif self._orders:
            leaking = Signal.like(potential)
            m.d.sync += leaking.eq(Mux(self.leaks_first, potential, self.after))
            m.d.comb += decay.value.eq(leaking)
        else:
            m.d.comb += decay.value.eq(self.rest)
        if self._leak_first or self._loaded_leaks:
            m.d.comb += decay.whole.eq(self.rest)
        if True in self._frame_leaks:
            with m.If(self.follow):
                m.d.sync += potential.eq(self.kept + current)

    def _negative_threshold(self, m: Module, threshold: Signal, shift: int) -> Signal:
        """The threshold itself, or θ⁻, kept beside it."""
        if self._network.negative != "asymmetric":
            return threshold
        below = Signal.like(threshold)
        with m.If(self.load):
            m.d.sync += below.eq(self.negative_threshold.shift_left(shift))
        if shift or self._preshifted:
            with m.Elif(self.step):
                m.d.sync += below.eq(below >> 1)
        return below

    def _fire_negative(self, m: Module, potential: Signal, threshold: Signal, fired: Signal) -> None:
        network = self._network
        deficit = Signal(signed(max(len(potential), len(threshold) + 1) + 1))
        m.d.comb += deficit.eq(potential + threshold)
        below = (deficit <= 0) if network.compare == "ge" else (deficit < 0)
        if network.negative in BELOW_ZERO:
            below = potential < 0
        if network.negative in COUNTING_NEGATIVES:
            count = Signal.like(self.count)
            with m.If(self.load):
                m.d.sync += count.eq(self.count)
            with m.Elif(self.step):
                m.d.sync += count.eq(self.counted)
            m.d.comb += self.counted.eq(count + fired - self.negative)
            below = below & count.any()
        m.d.comb += [
            self.negative.eq(self.fires & ~fired & below),
            self.spike.eq(fired | self.negative),
        ]
        with m.If(self.negative):
            m.d.comb += self.after.eq(deficit)
