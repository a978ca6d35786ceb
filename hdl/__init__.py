"""The generated hardware: ``Core`` and the blocks it is made of."""

from hdl.core import Core

__all__ = ["Core"]
