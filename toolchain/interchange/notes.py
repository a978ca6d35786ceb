"""What an import says of itself: what the Input receives, and what integers will make of each leak."""

from collections.abc import Iterable, Iterator

from toolchain.ir import SpikingLayer
from toolchain.leak import Decay, time_constant

__all__ = ["current_text", "input_note", "leak_notes", "leak_text"]


def input_note(code: str, scale: float) -> str:
    """What the graph's Input receives of input ``code``, a pixel step or spike worth ``scale``."""
    if code == "rate":
        return (
            f"input: a pixel p spikes with probability p/256 in each step, worth {256 * scale:g} on the graph's Input"
        )
    if code == "spikes":
        return f"input: the graph's Input receives the spikes of each step, {scale:g} each"
    return f"input: the graph's Input receives pixel·{scale:g} in every step"


def leak_notes(layers: Iterable[SpikingLayer]) -> Iterator[str]:
    """What integers will make of each leak."""
    for layer in layers:
        if layer.current_leak is not None:
            yield f"{layer.name} keeps {current_text(layer.current_leak)}"
        if layer.leak is not None:
            yield f"{layer.name} keeps {leak_text(layer.leak)}"


def leak_text(share: float) -> str:
    """A leak, the shifts that stand for it in integers, and what these miss of β and of the time constant, as words."""
    return _share_text("β", share, "membrane", "τ")


def current_text(share: float) -> str:
    """The same of a synaptic current."""
    return _share_text("α", share, "synaptic current", "τ_syn")


def _share_text(letter: str, share: float, what: str, tau: str) -> str:
    decay = Decay.nearest(share)
    there, here = time_constant(share), time_constant(decay.share)
    return (
        f"{letter} = {share:.6g} of its {what} in a step ({tau} = {there:.4g} steps); in integers {decay.text()} = "
        f"{decay.share:.6g}, off by {decay.share - share:+.2g}, {tau} by {100 * (here / there - 1):+.2g}%"
    )
