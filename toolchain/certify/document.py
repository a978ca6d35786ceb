"""The certificate as a document: its schema, its digest, reading it back, and the same in words."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from toolchain.certify.fingerprints import digest_text
from toolchain.errors import InvalidValue

__all__ = ["SCHEMA", "load_certificate", "passed", "read_text", "sealed", "schema", "written"]

SCHEMA = 1
"""Version of the format; ``schema.json`` beside this module describes it."""


@cache
def schema() -> dict[str, Any]:
    """The JSON schema (draft 7) that every certificate meets."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text())
    return content


@cache
def _validator() -> Any:
    return fastjsonschema.compile(schema())


def passed(links: list[dict[str, Any]]) -> bool:
    """Whether nothing that must be equal differs; errors of float links have no say."""
    return all(link.get("mismatches", 0) == 0 and link.get("requantized", True) for link in links)


def _digest(content: dict[str, Any]) -> str:
    return digest_text(json.dumps({k: v for k, v in content.items() if k != "digest"}, sort_keys=True))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` with ``digest``, by which an edit or a damage shows; it is no signature and says not who wrote it."""
    whole = {**content, "digest": _digest(content)}
    _validator()(whole)
    return whole


def written(content: dict[str, Any]) -> str:
    """The bytes of ``certificate.json``: the same content gives the same file."""
    return json.dumps(content, indent=2) + "\n"


def load_certificate(path: Path) -> dict[str, Any]:
    """Read a certificate back.

    Raises
    ------
    InvalidValue
        The file cannot be read, is no certificate, is one of another schema, or was edited.
    """
    way_out = "give a certificate.json of spikeloom certify"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}; {way_out}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path} is not JSON; {way_out}") from error
    if not isinstance(content, dict) or content.get("kind") != "spikeloom certificate":
        raise InvalidValue(f"{path} is no certificate; {way_out}")
    if content.get("schema") != SCHEMA:
        raise InvalidValue(
            f"{path} has schema {content.get('schema')!r}, this version reads {SCHEMA}; certify the network again"
        )
    try:
        _validator()(content)
    except fastjsonschema.JsonSchemaValueException as error:
        raise InvalidValue(f"{path} is no whole certificate: {error.message}; certify the network again") from error
    if content["digest"] != _digest(content) or content["passed"] != passed(content["links"]):
        raise InvalidValue(f"{path} was edited: its digest is not that of its content; certify the network again")
    return content


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _link_lines(link: dict[str, Any]) -> list[str]:
    title = f"{link['from']} to {link['to']}"
    if not link["done"]:
        return [f"  {title}: not done: {link['reason']}"]
    images = f"{link['images']:,} image" + ("" if link["images"] == 1 else "s")
    if link["kind"] == "error":
        lines = [f"  {title} ({images}): same prediction on {_share(link['predictions_agree'], link['images'])}"]
        if link["right_before"] is not None:
            lines[0] += f"; right on {link['right_before']:,} before, {link['right_after']:,} after"
        if "requantized" in link:
            lines[0] += "; quantized again: " + ("the same integers" if link["requantized"] else "OTHER INTEGERS")
        for row in link["layers"]:
            error = "-" if row["error_percent"] is None else f"{row['error_percent']:g} %"
            other = ""
            if "neurons" in row:
                other = f", {_share(row['neurons_different'], row['neurons'])} neurons sum to other spikes"
            lines.append(f"    layer {row['layer']}: error {error}{other}")
        return lines
    head = f"  {title} ({images}{', ' + link['simulator'] if 'simulator' in link else ''}): "
    if "gate_level" in link:
        level = link["gate_level"]
        head = f"  {title} for {level['device']} ({images}, {link['simulator']}): "
    lines = [f"{head}{link['mismatches']:,} mismatches ({link['what']})"]
    lines += [
        f"    layer {row['layer']}: {row['mismatches']:,} of {row['compared']:,} values differ"
        for row in link["layers"]
    ]
    lines.append(
        f"    scores and predictions: {link['score_mismatches']:,} differ; counters: {link['counter_mismatches']:,} differ"
    )
    if "gate_level" in link:
        cells = link["gate_level"]["cells"]
        ours = [kind for kind, cell in cells.items() if cell["model"] == "spikeloom"]
        number = sum(cell["number"] for cell in cells.values())
        said = f"models of {', '.join(ours)} are Spikeloom's own" if ours else "models of all of them are Yosys's"
        lines.append(f"    {number:,} cells, {link['gate_level']['command']}; {said}")
    return lines


def read_text(content: dict[str, Any]) -> str:
    """The certificate in words, as ``certificate.txt`` holds it."""
    network, data = content["network"], content["data"]
    verdict = "PASSED: nothing that must be equal differs" if content["passed"] else "FAILED: see the mismatches below"
    lines = [
        f"Spikeloom certificate: {verdict}",
        "",
        f"Network {network['name']}: {network['schedule']}, T = {network['time_steps']}, {network['weight_bits']}-bit weights, "
        f"{network['membrane_bits']}-bit membranes, {content['lanes']} lanes",
        f"Images: {data['name']}, {data['images']:,} in float and integers, {data['hardware_images']:,} in hardware",
        "",
        "The chain",
        *(line for link in content["links"] for line in _link_lines(link)),
        "",
        "SHA-256",
    ]
    for name, value in content["fingerprints"].items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        lines += [
            f"  {name.replace('_', ' ')}{' ' + file if file else ''}: {digest or '-'}" for file, digest in entries
        ]
    lines += ["", "Versions", *(f"  {name} {number}" for name, number in content["tools"].items())]
    lines += ["", "Commands", *(f"  {command}" for command in content["commands"])]
    lines += ["", "Not covered", *(f"  {text}" for text in content["not_covered"]), "", f"Digest {content['digest']}"]
    return "\n".join(lines) + "\n"
