"""Errors that a user can act on: one line each, shown by the command line with exit code 2."""

__all__ = [
    "DatasetMissing",
    "InvalidValue",
    "LinkFailed",
    "NetworkFileError",
    "NoCounterpart",
    "SpikeloomError",
    "ToolMissing",
    "UnsupportedModule",
]


class SpikeloomError(Exception):
    """Base of every error caused by input or environment: what, where, the limit, the way out."""


class InvalidValue(SpikeloomError, ValueError):
    """A value lies outside its limits.

    ``also`` are further errors of the same check, for those who report all.
    """

    also: "tuple[InvalidValue, ...]" = ()


class UnsupportedModule(SpikeloomError):
    """A module or operation of the source network has no exact spiking counterpart here."""


class NoCounterpart(UnsupportedModule):
    """Nothing here does the same, whatever is changed around it: it must be left out or replaced, and the network trained again."""


class NetworkFileError(SpikeloomError):
    """A network file is truncated, edited, or not a network file."""


class DatasetMissing(SpikeloomError):
    """A data set is not on this machine; the message says how to get it."""


class ToolMissing(SpikeloomError):
    """An external tool (simulator, compiler) is missing or failed; the message says what to do."""


class LinkFailed(SpikeloomError):
    """A board does not answer, or not as it should; the message says what to check."""
