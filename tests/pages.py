"""Energy reports of a small network over T, and what a page needs beside them."""

from dataclasses import replace

import numpy as np

from sim import golden
from tests.networks import frames_for, lively_network
from toolchain.cycles import cycles
from toolchain.datasets import Dataset
from toolchain.energy import energy_content, estimate, load_profile, observe
from toolchain.report import Evidence
from toolchain.reporting import examples

__all__ = ["HOSTILE", "VERIFIED", "evidence_of", "reports_of"]

HOSTILE = "</script><img src=x onerror=document.title='taken'>"
VERIFIED = {
    "images": 20, "spikes_compared": 1234, "spike_mismatches": 0, "score_mismatches": 0, "lanes": 4, "simulator": "verilator",
    "simulator_version": "5.48", "fingerprint": "", "counters_match": True, "passed": True, "cycles_per_image": 99.5,
    "lane_utilization": 0.5, "stall": 0.0, "breakdown": [],
}  # fmt: skip
LANES, IMAGES = 4, 12


def reports_of(
    steps=(1, 2, 4), profiles=("45nm-int", "45nm-fp32-legacy"), *, name="small", known_cycles=True, neuron=None
):
    """Reports for each T and profile, their JSON, and the data set; hostile names if ``name`` is."""
    start = lively_network(neuron or {"schedule": "two_phase", "input": "direct"}, 0)
    layers = tuple(replace(layer, name=name if name == HOSTILE else layer.name) for layer in start.layers)
    frames = frames_for(start, 7, IMAGES)
    reports, labels = [], None
    for t in steps:
        network = replace(start, name=name, layers=layers, time_steps=t)
        trace = golden.run(network, frames, "spikes")
        if labels is None:  # the last image is wrong
            labels = trace.predictions.copy()
            labels[-1] = (labels[-1] + 1) % network.shapes[-1][0]
        found = cycles(network, frames, trace, LANES)
        spent = np.column_stack([found.layers, found.latency - found.layers.sum(axis=1)])
        options = {"cycles": spent, "lanes": LANES, "clock_mhz": 50.0} if known_cycles else {}
        activity = observe(network, frames, golden.run(network, frames, "counts"))
        accuracy = 100 * float((trace.predictions == labels).mean())
        reports += [
            estimate(network, activity, profile=load_profile(p), accuracy=accuracy, **options) for p in profiles
        ]
    dataset = Dataset(name if name == HOSTILE else "bundled", frames, labels, start.shapes[-1][0])
    energy = {**energy_content(reports), "dataset": dataset.name, "images": IMAGES, "source": {}}
    return reports, energy, dataset


def evidence_of(reports, dataset, **more):
    """All that a page can show."""
    last = reports[-1].network
    given = {
        "provenance": {"method": HOSTILE if last.name == HOSTILE else "optimal", "accuracy_source": 91.25},
        "source": {"accuracy": 91.25, "images": 100, "data": "somewhere", "same_images": False},
        "verification": {k: v for k, v in VERIFIED.items() if k != "breakdown"} | {"fingerprint": last.fingerprint},
        "rasters": examples(last, dataset),
        "commands": [("This page:", "spikeloom report net.safetensors -o x")],
        "verify": ["spikeloom verify net.safetensors --json > verification.json"],
        "steps": last.time_steps,
    }
    return Evidence(**{**given, **more})
