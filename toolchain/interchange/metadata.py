"""What NIR has no place for, kept in a graph's metadata by the exporter and believed by the importer, once checked."""

import json
from collections.abc import Mapping
from typing import Any

from toolchain.errors import InvalidValue
from toolchain.ir import SpikingNetwork

__all__ = ["own_metadata", "metadata_of"]

_KEY = "spikeloom"
_SCHEMA = 1
_KINDS = {
    "schema": int,
    "name": str,
    "layers": list,
    "time_steps": int,
    "input": str,
    "seed": int,
    "pixel_scale": float,
    "reset": str,
    "compare": str,
}


def metadata_of(network: SpikingNetwork) -> dict[str, str]:
    """Metadata of the exported graph: names, T, input, the semantics contract and which synapses are identities, as JSON.

    An identity is [layer, connection, groups]: in NIR a shortcut is a Conv2d or Linear like another. ``leaks`` is β of each
    layer, ``current_leaks`` α, or null; NIR has τ.
    """
    content = {
        "schema": _SCHEMA,
        "name": network.name,
        "layers": [layer.name for layer in network.layers],
        "time_steps": network.time_steps,
        "input": network.input,
        "seed": network.seed,
        "pixel_scale": float(network.pixel_scale),
        "reset": network.reset,
        "compare": network.compare,
        "leak_order": network.leak_order,
        "leaks": [layer.leak for layer in network.layers],
        "current_leaks": [layer.current_leak for layer in network.layers],
        "identities": [
            [index, number, connection.groups]
            for index, layer in enumerate(network.layers)
            for number, connection in enumerate(layer.connections)
            if connection.kind == "identity"
        ],
    }
    return {_KEY: json.dumps(content, sort_keys=True)}


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``metadata_of`` wrote; ``None``: the graph is not ours.

    Raises
    ------
    InvalidValue
        It was edited into something else.
    """
    text = metadata.get(_KEY)
    if text is None:
        return None
    damaged = InvalidValue("the file's Spikeloom metadata are damaged; choose --preset and -T to do without them")
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise damaged from error
    sound = isinstance(found, dict) and all(type(found.get(key)) is kind for key, kind in _KINDS.items())
    if not sound or found["schema"] != _SCHEMA or not all(isinstance(name, str) for name in found["layers"]):
        raise damaged
    identities = found.setdefault("identities", [])
    if not isinstance(identities, list) or not all(_is_identity(entry) for entry in identities):
        raise damaged
    found.setdefault("leak_order", "reset_first")
    for key in ("leaks", "current_leaks"):
        leaks = found.setdefault(key, [None] * len(found["layers"]))
        if not isinstance(leaks, list) or len(leaks) != len(found["layers"]) or not all(map(_is_leak, leaks)):
            raise damaged
    return dict(found)


def _is_leak(entry: Any) -> bool:
    return entry is None or (type(entry) is float and 0 < entry < 1)


def _is_identity(entry: Any) -> bool:
    whole = isinstance(entry, list) and len(entry) == 3 and all(type(value) is int for value in entry)
    return whole and min(entry[:2]) >= 0 and entry[2] > 0
