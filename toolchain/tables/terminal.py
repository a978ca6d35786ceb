"""The terminal, and a plain table on it."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

__all__ = ["out", "print_table"]

out = Console(highlight=False, soft_wrap=True)
_UNLIMITED = 10_000
"""Columns of a terminal that cuts nothing off."""


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, narrow: bool = False) -> None:
    """Print a table, as wide as it needs to be: the first column to the left, numbers to the right."""
    table = Table(title=escape(title), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0) if narrow else table.padding
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a terminal breaks a line that is too long; a table that fits itself to it would cut numbers off
    natural = Measurement.get(out, out.options.update(width=_UNLIMITED), table).maximum
    table.width = natural if natural > out.width else None
    out.print(table)
