"""Write a report: the page, the JSON and the CSV of one network over T, from energy reports that are at hand."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sim import golden
from toolchain.datasets import Dataset
from toolchain.energy import EnergyReport, energy_table
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import check_writable, make_folder, replacing
from toolchain.report import Evidence, choose, page_content, rasters, render, with_page

__all__ = ["FILES", "check_folder", "examples", "write_report"]

FILES = ("report.html", "energy.json", "energy.csv")
_SEARCHED = 200
"""First images of a data set among which examples are chosen."""


def examples(network: FixedPointNetwork, dataset: Dataset) -> list[dict[str, Any]]:
    """Spike rasters of a few images: right ones of different classes, and the first wrong one."""
    frames, labels = dataset.at(network.time_steps).frames[:_SEARCHED], dataset.labels[:_SEARCHED]
    numbers = choose(golden.run(network, frames).predictions, labels)
    trace = golden.run(network, np.ascontiguousarray(frames[numbers]), "spikes")
    return rasters(network, frames[numbers], labels[numbers], trace, numbers, dataset.name)


def check_folder(folder: Path) -> None:
    """Refuse a ``folder`` that ``write_report`` could not write into; leaves no trace.

    Raises
    ------
    InvalidValue
        A file stands there or on the way, or the folder or its files cannot be written.
    """
    if folder.is_dir():
        for name in FILES:
            check_writable(folder / name)
        return
    try:
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    except OSError as error:
        raise InvalidValue(f"cannot make folder {folder}: {error.strerror}; choose another") from error
    if not there.is_dir():
        raise InvalidValue(f"cannot make folder {folder}: {there} is a file; choose another")
    if not os.access(there, os.W_OK):
        raise InvalidValue(f"cannot make folder {folder}: {there} is not writable; choose another")


def write_report(
    folder: Path, reports: Sequence[EnergyReport], energy: Mapping[str, Any], evidence: Evidence
) -> dict[str, Any]:
    """``report.html``, ``energy.json`` and ``energy.csv`` in ``folder``, which is made if need be; returns the JSON.

    Nothing is replaced before all three are written. ``energy`` is the JSON of ``flow.write_energy`` for ``reports``; the CSV
    is of the first profile.

    Raises
    ------
    InvalidValue
        As ``check_folder``.
    """
    whole = with_page(reports, energy, evidence)
    first = [report for report in reports if report.profile.name == reports[0].profile.name]
    table = energy_table(first).to_csv(index=False)
    page = render(page_content(reports, whole, evidence), table)
    texts = dict(zip(FILES, (page, json.dumps(whole, indent=2) + "\n", table), strict=True))
    make_folder(folder)
    with ExitStack() as stack:
        for name, text in texts.items():
            temporary = stack.enter_context(replacing(folder / name))
            temporary.write_bytes(text.encode())
    return whole
