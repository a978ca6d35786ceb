"""What a check says of one layer, and of a whole model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolchain.errors import NoCounterpart, SpikeloomError
from toolchain.ir import FixedPointNetwork

__all__ = ["VERDICTS", "Checked", "Finding", "finding_of"]

VERDICTS = {
    "exact": "converts exactly",
    "rounds": "converts, rounded",
    "change": "converts with this change",
    "no": "does not convert",
    "unknown": "not looked at",
}
"""Verdicts of a layer and what reports call them. ``rounds``: an activation becomes one of T levels, or a leak shifts and adders."""


@dataclass(frozen=True)
class Finding:
    """One layer, call or node.

    Members
    -------
    layer, kind : its name, and what it is
    verdict : a key of ``VERDICTS``
    reason : what becomes of it, or why it does not convert
    way_out : what to do about it; empty where nothing is amiss
    """

    layer: str
    kind: str
    verdict: str
    reason: str
    way_out: str = ""

    @property
    def fine(self) -> bool:
        """Whether it converts as it is."""
        return self.verdict in ("exact", "rounds")


def finding_of(layer: str, kind: str, error: SpikeloomError) -> Finding:
    """What an error says: errors read ``reason; way out``, or ``value, must be …``, or ``reason: way out``."""
    text = str(error)
    reason, way_out = text, ""
    for separator, start in (("; ", ""), (", must ", "it must "), (": ", "")):
        before, found, behind = text.rpartition(separator)
        if found:
            reason, way_out = before, start + behind
            break
    lost = isinstance(error, NoCounterpart) or not way_out
    return Finding(layer, kind, "no" if lost else "change", reason, way_out)


@dataclass(frozen=True)
class Checked:
    """A model, layer by layer.

    Members
    -------
    source, kind : its name, and what kind of model it is
    findings : tuple of Finding
    network : FixedPointNetwork or None
        Integers for sizes, where all layers convert.
    assumed : tuple of str
        What the sizes rest on that the model does not say.
    """

    source: str
    kind: str
    findings: tuple[Finding, ...]
    network: FixedPointNetwork | None
    assumed: tuple[str, ...] = ()

    @property
    def converts(self) -> bool:
        """Whether every layer does as it is."""
        return all(finding.fine for finding in self.findings)

    @property
    def problems(self) -> Sequence[Finding]:
        """Layers that need a change, do not convert, or were not looked at."""
        return [finding for finding in self.findings if not finding.fine]

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "source": self.source,
            "kind": self.kind,
            "converts": self.converts,
            "layers": [asdict(finding) for finding in self.findings],
            "assumed": list(self.assumed),
        }
