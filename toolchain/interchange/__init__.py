"""Networks from and for other frameworks: NIR graphs in, under a contract that is said out loud, and out."""

from toolchain.interchange.notes import current_text, leak_text
from toolchain.interchange.reading import (
    READOUTS,
    Look,
    Options,
    import_graph,
    load_graph,
    look_at_graph,
    read_nir,
)
from toolchain.interchange.semantics import (
    CURRENT_DRIVES,
    DECAYS,
    DRIVES,
    ORDERS_OF_NIR,
    PRESETS,
    RESETS_OF_NIR,
    STARTS,
    Contract,
)
from toolchain.interchange.writing import to_nir, write_nir

__all__ = [
    "CURRENT_DRIVES",
    "DECAYS",
    "DRIVES",
    "ORDERS_OF_NIR",
    "PRESETS",
    "READOUTS",
    "RESETS_OF_NIR",
    "STARTS",
    "Contract",
    "Look",
    "Options",
    "current_text",
    "import_graph",
    "leak_text",
    "load_graph",
    "look_at_graph",
    "read_nir",
    "to_nir",
    "write_nir",
]
