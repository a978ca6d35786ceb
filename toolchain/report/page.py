"""The page: one HTML file that holds all it needs and may not reach the network, and the JSON and CSV beside it."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from toolchain.report.canvas import THEMES
from toolchain.report.numbers import at, shown

__all__ = ["render"]

_TEMPLATES = "template"


def _script_json(content: Any) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _packed(text: str) -> Markup:
    """gzip and base64, the same bytes for the same text."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode())


@cache
def _library() -> str:
    return get_plotlyjs()


@cache
def _packed_library() -> Markup:
    return _packed(_library())


def _asset(name: str) -> str:
    return (files("toolchain.report") / _TEMPLATES / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """As a content security policy names an inline script."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _numbers(energy: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """What the template writes numbers with: each element names its place in the JSON and holds its exact value."""

    def num(place: str, kind: str = "number") -> Markup:
        value = at(energy, place)
        text = shown(value, kind, unit) if value is None or isinstance(value, int | float) else str(value)
        return Markup('<span class="n" data-at="{}" data-kind="{}" data-value="{}">{}</span>').format(
            place, kind, json.dumps(value), text
        )

    def number_or_dash(place: str, kind: str = "number") -> Markup:
        try:
            return num(place, kind)
        except (KeyError, IndexError):
            return Markup('<span class="n none">–</span>')

    def sort(place: str) -> str:
        try:
            value = at(energy, place)
        except (KeyError, IndexError):
            return ""
        return "" if value is None else repr(value)

    def least(place: str) -> Markup:
        """Low and high of a list of two."""
        return num(f"{place}/0", "energy") + Markup('<span class="to"> to </span>') + num(f"{place}/1", "energy")

    return {
        "num": num,
        "maybe": number_or_dash,
        "sort": sort,
        "bounds": least,
        "value": lambda place: at(energy, place),
    }


def render(content: Mapping[str, Any], table: str) -> str:
    """The page of ``page_content`` as HTML; ``table`` is the CSV that it offers beside the JSON.

    It loads nothing: the chart library is packed into it, and its content security policy allows its own scripts, by
    their digests, and no connection. All text is escaped by the template engine.
    """
    environment = Environment(
        loader=PackageLoader("toolchain.report", _TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    script = _asset("page.js")
    environment.globals.update(_numbers(content["energy"], content["unit"]))
    environment.filters["fixed"] = lambda value: shown(value)
    data = {
        "T": str(content["T"]),
        "pair": content["pair"],
        "themes": THEMES,
        "figures": content["figures"],
        "name": "energy",
    }
    return environment.get_template("page.html").render(
        **content,
        style=Markup(_asset("page.css")),
        script=Markup(script),
        hashes=" ".join([_hash(script), _hash(_library())]),
        data=_script_json(data),
        library=_packed_library(),
        energy_file=_packed(json.dumps(content["energy"], indent=2) + "\n"),
        table_file=_packed(table),
    )
