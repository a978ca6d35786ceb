"""A comparison as files: CSV, JSON and picture, each written in one step."""

from pathlib import Path
from typing import Any

from toolchain import flow
from toolchain.compare.conclusion import conclusion
from toolchain.compare.measure import Comparison
from toolchain.errors import InvalidValue
from toolchain.netfile import check_writable, replacing

__all__ = ["check_targets", "write_comparison"]


def check_targets(csv: Path | None, js: Path | None, picture: Path | None) -> None:
    """Refuse files that ``write_comparison`` could not write; leaves no trace.

    Raises
    ------
    InvalidValue
        A picture of another format, a folder that cannot be written, two outputs that are one file.
    """
    if picture is not None:
        from toolchain.pictures import check_format  # matplotlib is heavy

        check_format(picture)
    given = [path for path in (csv, js, picture) if path is not None]
    for number, path in enumerate(given):
        check_writable(path)
        if path.resolve() in [other.resolve() for other in given[:number]]:
            raise InvalidValue(f"two outputs are to be written to {path}; name another file for one of them")


def write_comparison(
    comparison: Comparison, csv: Path | None = None, js: Path | None = None, picture: Path | None = None
) -> dict[str, Any]:
    """The comparison as JSON values, and as files where asked for."""
    content = {**comparison.content(), "conclusion": conclusion(comparison)}
    if csv is not None:
        with replacing(csv) as temporary:
            comparison.table().to_csv(temporary, index=False)
    if js is not None:
        flow.write_json(content, js)
    if picture is not None:
        from toolchain.compare.picture import draw

        draw(comparison, picture)
    return content
