"""The generated hardware: ``Core`` and the blocks it is made of.

``Core`` is imported when it is asked for: what only plans memories and programs need not load Amaranth.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdl.core import Core

__all__ = ["Core"]


def __getattr__(name: str) -> Any:
    if name != "Core":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hdl.core import Core

    return Core
