"""Whether a model converts, layer by layer, all at once, and with which integers to size it."""

from toolchain.checking.finding import VERDICTS, Checked, Finding
from toolchain.checking.kinds import KINDS, check
from toolchain.checking.options import CheckOptions

__all__ = ["KINDS", "VERDICTS", "CheckOptions", "Checked", "Finding", "check"]
