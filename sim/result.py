"""The outcome of a verification: differences, what the hardware counted, where its cycles went."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim.comparison import Difference
from toolchain.trace import Activity

__all__ = ["VerificationResult"]


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """Outcome of comparing hardware with golden model, image by image.

    ``cycles`` int64 are the clocks from the first word of a frame to the last word of its result, both
    included, for each image that was answered; ``activity`` and ``layer_cycles`` int64 [N, layers] are
    what the hardware counted for ``layers`` (their names); ``layer_spikes`` int64 [layers, 2] are spikes compared
    and spikes that differ; ``netlist`` is the device whose cells the hardware was made of, empty for RTL; ``clocks_per_second`` is
    measured over the whole simulation, bench included. ``interval`` is the mean number of clocks from one answer to the next, ``None``
    for one image; of a chain of ``cores``, which works on several images at once, it is what an image costs.
    """

    simulator: str
    simulator_version: str
    fingerprint: str
    lanes: int
    images: int
    spikes_compared: int
    spike_mismatches: int
    score_mismatches: int
    counter_mismatches: int
    differences: tuple[Difference, ...]
    cycles: np.ndarray
    activity: Activity
    layers: tuple[str, ...]
    layer_cycles: np.ndarray
    stall: float
    seed: int
    clocks_per_second: float
    layer_spikes: np.ndarray
    netlist: str = ""
    interval: float | None = None
    cores: int = 1

    @property
    def passed(self) -> bool:
        """Whether not one bit differs."""
        return not self.differences

    @property
    def cycles_per_image(self) -> float:
        """Mean of ``cycles``, 0 without any answer."""
        return float(self.cycles.mean()) if len(self.cycles) else 0.0

    @property
    def operations_per_image(self) -> float:
        """Synaptic operations and input multiply-accumulates, mean."""
        return float(self.activity.operations.sum()) / self.images

    @property
    def lane_utilization(self) -> float:
        """(SOPs + input MACs) / (lanes × all cycles, frame and result transfer included).

        Of a chain all cycles are ``interval``, once it is full, and the lanes those of all cores; 0 for one image.
        """
        if self.cores > 1:
            return self.operations_per_image / (self.lanes * self.cores * self.interval) if self.interval else 0.0
        return float(self.activity.operations.sum()) / (self.lanes * max(1.0, float(self.cycles.sum())))

    def breakdown(self) -> list[dict[str, Any]]:
        """Where the cycles go: means for each image, a row for each layer and one for the two transfers.

        ``idle_lane_cycles`` is lanes × cycles less operations: what a full array would have saved.
        """
        operations = self.activity.operations.mean(axis=0)
        cycles = self.layer_cycles.mean(axis=0)
        rows = zip(
            (*self.layers, "frame and result transfer" if self.cores == 1 else "transfers and waits"),
            (*cycles, self.cycles_per_image - cycles.sum()),
            (*operations, 0.0),
            strict=True,
        )
        return [
            {
                "part": part,
                "cycles": round(float(spent), 1),
                "operations": round(float(done), 1),
                "utilization": round(float(done / (self.lanes * spent)), 4) if spent else 0.0,
                "idle_lane_cycles": round(float(self.lanes * spent - done), 1),
            }
            for part, spent, done in rows
        ]

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "simulator": self.simulator,
            "simulator_version": self.simulator_version,
            "fingerprint": self.fingerprint,
            "netlist": self.netlist or None,
            "images": self.images,
            "spikes_compared": self.spikes_compared,
            "spike_mismatches": self.spike_mismatches,
            "layer_mismatches": {
                name: int(wrong) for name, (seen, wrong) in zip(self.layers, self.layer_spikes, strict=True) if seen
            },
            "score_mismatches": self.score_mismatches,
            "counters_match": self.counter_mismatches == 0,
            "cycles_per_image": round(self.cycles_per_image, 1),
            "sops_per_image": round(self.operations_per_image, 1),
            "cores": self.cores,
            "cycles_between_answers": None if self.interval is None else round(self.interval, 1),
            "lanes": self.lanes,
            "lane_utilization": round(self.lane_utilization, 4),
            "breakdown": self.breakdown(),
            "stall": self.stall,
            "seed": self.seed,
            "clocks_per_second": round(self.clocks_per_second),
            "passed": self.passed,
            "differences": [asdict(d) for d in self.differences],
        }
