"""Certify a network: every link of the chain on images, fingerprints of all that took part, in one document."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hdl.program import check_lanes
from sim import runner
from toolchain.bundle import PORTS_FILE, RtlBundle, load_bundle
from toolchain.certify.document import SCHEMA, passed, read_text, sealed, written
from toolchain.certify.fingerprints import digest_bundle, digest_data, digest_file, digest_module, library_versions
from toolchain.certify.links import (
    ORACLE_OPERATIONS,
    hardware_link,
    integer_link,
    left_out,
    oracle_images,
    oracle_link,
    source_link,
)
from toolchain.datasets import Dataset
from toolchain.emit import emit
from toolchain.encoding import check_frames
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.netfile import replacing
from toolchain.synth import Device, synthesize_netlist
from toolchain.tools import find_simulator, find_synthesis, yosys_share

__all__ = ["CERTIFICATE", "RTL_FOLDER", "TEXT", "Subject", "certify", "check"]

CERTIFICATE = "certificate.json"
TEXT = "certificate.txt"
RTL_FOLDER = "rtl"
"""Folder beside the certificate with the hardware that it is about."""
_NOT_COVERED = (
    "images other than these; but membrane widths are proven for every input",
    "place and route, delays and clock, and any device: nothing ran on silicon",
    "who made this certificate: its digest shows edits, it is no signature",
)


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be certified.

    Members
    -------
    network : FixedPointNetwork
    dataset : Dataset
        All images of the float links; hardware gets the first ``hardware_images``.
    labelled : bool
        Whether the labels mean anything; random frames have none.
    lanes, hardware_images : int
    device : Device or None
        Of the netlist; None leaves that link out.
    simulator : str
    spiking : SpikingNetwork or None
        What the integers were quantized from.
    source : nn.Module or None
        What ``spiking`` was converted from.
    files : dict
        Of ``network``, ``spiking`` and ``source``: the files they came from.
    commands : tuple of str
        That repeat the certificate, for the reader.
    """

    network: FixedPointNetwork
    dataset: Dataset
    labelled: bool
    lanes: int
    hardware_images: int
    device: Device | None
    simulator: str = "verilator"
    spiking: SpikingNetwork | None = None
    source: nn.Module | None = None
    files: dict[str, tuple[Path, ...]] | None = None
    commands: tuple[str, ...] = ()


def fingerprints(subject: Subject) -> dict[str, Any]:
    """SHA-256 of what went in: networks by content, files by bytes, images and labels."""
    files = {
        path.name: digest_file(path)
        for name in ("network", "spiking", "source")
        for path in (subject.files or {}).get(name, ())
    }
    return {
        "network": subject.network.fingerprint,
        "spiking": None if subject.spiking is None else subject.spiking.fingerprint,
        "source": None if subject.source is None else digest_module(subject.source),
        "data": digest_data(subject.dataset),
        "files": files,
    }


def _check(subject: Subject) -> None:
    """Refuse at once what would be refused after minutes of work."""
    check_lanes(subject.lanes)
    check_frames(subject.dataset.frames, subject.network)
    subject.dataset.take(subject.hardware_images)
    find_simulator(subject.simulator)
    if subject.device is not None:
        yosys_share(find_synthesis("yosys"))
    if subject.source is not None and subject.spiking is None:
        raise InvalidValue(
            "a source is given without the spiking network between it and the integers; give --spiking too"
        )


def _prepare(folder: Path) -> None:
    """A folder without the certificate of a run before."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CERTIFICATE, TEXT):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidValue(
            f"cannot write folder {folder}: {error.strerror}; choose a folder that is writable"
        ) from error
    if not os.access(folder, os.W_OK):
        raise InvalidValue(f"cannot write folder {folder}: it is not writable; choose another")


def _float_links(subject: Subject, say: Callable[[str], None]) -> list[dict[str, Any]]:
    if subject.spiking is None:
        reason = "no --spiking network was given"
        return [left_out("source-spiking", reason), left_out("spiking-integers", reason)]
    links = [left_out("source-spiking", "no --source was given")]
    if subject.source is not None:
        say("source against spiking network")
        links = [source_link(subject.source, subject.spiking.with_time_steps(subject.network.time_steps), subject.dataset, subject.labelled)]  # fmt: skip
    say("spiking network against integers")
    return [*links, integer_link(subject.spiking, subject.network, subject.dataset, subject.labelled)]


def _oracle(subject: Subject, say: Callable[[str], None]) -> dict[str, Any]:
    frames = subject.dataset.frames[: subject.hardware_images]
    images = oracle_images(subject.network, frames)
    if images == 0:
        return left_out(
            "integers-oracle",
            f"one image takes more than {ORACLE_OPERATIONS:,} operations and neuron steps, too many for nested loops",
        )
    say("integers against the naive oracle")
    return oracle_link(subject.network, frames[:images])


def certify(subject: Subject, folder: Path, *, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Look at every link and write ``CERTIFICATE`` and ``TEXT`` into ``folder``, the hardware into ``RTL_FOLDER`` in it.

    The certificate has no date and no times: the same inputs and tool versions give the same bytes. Both files appear at
    the end, whole, whether it passed or not.

    Raises
    ------
    InvalidValue
        Options or images that do not fit, networks that do not belong together, a folder that cannot be written.
    UnsupportedModule, ToolMissing
        A source that does not convert; a tool is missing or fails.
    """
    say = progress or (lambda stage: None)
    _check(subject)
    network = subject.network
    frames = subject.dataset.frames[: subject.hardware_images]
    prints = fingerprints(subject)
    links = _float_links(subject, say)  # networks that do not belong together leave the folder as it was
    _prepare(folder)
    links.append(_oracle(subject, say))
    say("generating Verilog")
    bundle = emit(network, folder / RTL_FOLDER, lanes=subject.lanes)
    say(f"simulating Verilog on {subject.simulator}")
    result = runner.verify(bundle, network, frames, simulator=subject.simulator)
    links.append(hardware_link("integers-rtl", result))
    prints["verilog"] = digest_bundle(bundle)
    tools = {**library_versions(), result.simulator: result.simulator_version}
    prints["netlist"] = {}
    if subject.device is None:
        links.append(left_out("integers-netlist", "no device was named"))
    else:
        name = subject.device.name
        level = synthesize_netlist(
            bundle, subject.device, bundle.folder / f"netlist-{name}", progress=lambda stage: say(f"yosys: {stage}")
        )
        say(f"simulating the netlist for {name} on {subject.simulator}")
        gates = runner.verify(level.bundle, network, frames, simulator=subject.simulator)
        links.append(hardware_link("integers-netlist", gates, gate_level=level.describe()))
        prints["netlist"] = digest_bundle(level.bundle)
        tools["yosys"] = level.yosys
    content = sealed(
        {
            "kind": "spikeloom certificate",
            "schema": SCHEMA,
            "passed": passed(links),
            "network": {
                "name": network.name,
                "schedule": network.schedule,
                "time_steps": network.time_steps,
                "weight_bits": network.weight_bits,
                "membrane_bits": network.membrane_bits,
                "layers": [layer.name for layer in network.layers],
            },
            "lanes": subject.lanes,
            "data": {
                "name": subject.dataset.name,
                "images": len(subject.dataset.frames),
                "hardware_images": subject.hardware_images,
                "labelled": subject.labelled,
            },
            "links": links,
            "fingerprints": prints,
            "tools": tools,
            "commands": list(subject.commands),
            "not_covered": list(_NOT_COVERED),
        }
    )
    texts = {CERTIFICATE: written(content), TEXT: read_text(content)}
    with ExitStack() as stack:
        for name, text in texts.items():
            stack.enter_context(replacing(folder / name)).write_text(text)
    return content


def _row(what: str, expected: str | None, seen: str | None) -> dict[str, Any]:
    state = "not given" if seen is None else "same" if seen == expected else "differs"
    return {"what": what, "state": state, "expected": expected, "seen": seen}


def _hardware_rows(name: str, expected: dict[str, str], bundle: RtlBundle | None) -> list[dict[str, Any]]:
    seen = {} if bundle is None else {path.name: digest_file(path) for path in bundle.sources if path.is_file()}
    rows = [_row(f"{name} {file}", digest, seen.get(file)) for file, digest in expected.items()]
    if bundle is not None:  # a file that should be there is no file that was not given
        rows = [{**row, "state": "differs"} if row["seen"] is None else row for row in rows]
    return rows


def check(
    content: dict[str, Any],
    folder: Path,
    *,
    network: FixedPointNetwork,
    rtl: Path | None = None,
    spiking: SpikingNetwork | None = None,
    source: nn.Module | None = None,
    dataset: Dataset | None = None,
) -> list[dict[str, Any]]:
    """Whether a certificate belongs to these things, by their fingerprints alone: seconds, no simulation.

    Parameters
    ----------
    content : dict
        Of ``load_certificate``.
    folder : Path
        Where the certificate lies; hardware in ``RTL_FOLDER`` there is looked at, unless ``rtl`` names another folder.
    network, spiking, source, dataset
        What is given is compared.

    Returns
    -------
    list of dict
        ``what``, ``state`` (``same``, ``differs``, ``not given``), ``expected``, ``seen``; the certificate belongs to what was
        given if no state is ``differs``.
    """
    said = content["fingerprints"]
    hardware = rtl or folder / RTL_FOLDER
    bundle = load_bundle(hardware) if rtl is not None or (hardware / PORTS_FILE).is_file() else None
    device = next((link["gate_level"]["device"] for link in content["links"] if "gate_level" in link), None)
    gates = hardware / f"netlist-{device}"
    level = load_bundle(gates) if device is not None and (gates / PORTS_FILE).is_file() else None
    return [
        _row("network", said["network"], network.fingerprint),
        _row("spiking network", said["spiking"], None if spiking is None else spiking.fingerprint),
        _row("source", said["source"], None if source is None else digest_module(source)),
        _row("data", said["data"], None if dataset is None else digest_data(dataset)),
        *_hardware_rows("Verilog", said["verilog"], bundle),
        *_hardware_rows("netlist", said["netlist"], level),
    ]
