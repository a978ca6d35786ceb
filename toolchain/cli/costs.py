"""What verbs about cost share: their options, and the counting that those ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.shared import bar, load_dataset, step_list, swept
from toolchain.errors import InvalidValue

if TYPE_CHECKING:
    from torch import nn

    from toolchain.datasets import Dataset
    from toolchain.energy import EnergyReport, Memory, Profile
    from toolchain.ir import FixedPointNetwork, SpikingNetwork

__all__ = [
    "AnnMemory", "BaselineName", "Clock", "Costs", "Cycles", "Events", "OwnClipping", "Profiles", "RunImages", "SnnMemory",
    "Steps", "Sweep", "WeightBits", "WeightsIn", "ZerosOf",
]  # fmt: skip

_USUAL = (1, 2, 4, 8, 16)
Steps = Annotated[
    str | None, typer.Option("--time-steps", "-T", help="List 1,2,4 or range 1..8; 1,2,4,8,16 by default.")
]
Sweep = Annotated[str | None, typer.Option("--sweep", help="The same as T=1,2,4 or T=1..8.")]
WeightBits = Annotated[int | None, typer.Option("--weight-bits", "-b", help="2 to 16; 8 by default.")]
OwnClipping = Annotated[str | None, typer.Option("--clipping", help="max (default) or mse.")]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        help="45nm-int (default), 45nm-fp32-legacy, ice40up5k or a TOML file; repeatable, the CSV is of the first.",
    ),
]
SnnMemory = Annotated[str, typer.Option("--snn-memory", help="In the CSV: event_driven or stationary.")]
AnnMemory = Annotated[str, typer.Option("--ann-memory", help="In the CSV: no_reuse or ideal_reuse.")]
Events = Annotated[str, typer.Option("--events", help="Spikes kept as bitmap or list.")]
WeightsIn = Annotated[str, typer.Option("--weights-in", help="sram or dram.")]
BaselineName = Annotated[
    str | None,
    typer.Option("--baseline", help="The ANN of ratios and verdicts; equal_information_zero_skipping by default."),
]
ZerosOf = Annotated[
    str | None, typer.Option("--source", help="The source network, as in convert: its own zeros count for int8.")
]
Cycles = Annotated[
    float | None, typer.Option("--cycles", help="Clock cycles of an image on another core; ours are counted.")
]
Clock = Annotated[float | None, typer.Option("--clock", help="MHz, for latency and static power.")]
RunImages = Annotated[int | None, typer.Option("--images", help="Images to run; all by default.")]


def _usual_steps(dataset: "Dataset") -> list[int]:
    """The T of a sweep that none are named for; of spikes the T of the data, since the source has learnt the shares of
    steps in which a place spikes, and those differ with T."""
    return list(_USUAL) if dataset.steps is None else [dataset.steps]


@dataclass(frozen=True, eq=False)
class Costs:
    """Options that were read and checked, with the network, data set and source that they name.

    ``times`` is what a spiking network is swept over; a fixed-point one has its own T.
    """

    network: "SpikingNetwork | FixedPointNetwork"
    times: Sequence[int]
    weight_bits: int
    clipping: str
    pow2: bool
    profiles: "Sequence[Profile]"
    memory: "Memory"
    baseline: str | None
    cycles: float | None
    lanes: int
    clock: float | None
    module: "nn.Module | None"
    dataset: "Dataset"

    @staticmethod
    def of(
        network: Path,
        *,
        steps: str | None,
        sweep: str | None,
        weight_bits: int | None,
        clipping: str | None,
        pow2: bool,
        profile: Sequence[str] | None,
        memory: tuple[str, str, str, str],
        baseline: str | None,
        source: str | None,
        weights: Path | None,
        cycles: float | None,
        lanes: int,
        clock: float | None,
        data: str,
        data_folder: Path | None,
        images: int | None,
    ) -> "Costs":
        """Read everything before anything is counted.

        Raises
        ------
        InvalidValue
            An option that is wrong in itself, or does not go with the network or with another option.
        """
        from toolchain.energy import BASELINES, Memory, load_profile
        from toolchain.ir import SpikingNetwork
        from toolchain.netfile import load_network
        from toolchain.sources import load_module

        chosen = [load_profile(name) for name in profile or ("45nm-int",)]
        policies = Memory(*memory)
        if baseline is not None and baseline not in BASELINES:
            raise InvalidValue(f"no baseline {baseline!r}; there are {', '.join(BASELINES)}")
        if sweep is not None:
            steps = swept(sweep, steps)
        loaded = load_network(network)
        dataset = load_dataset(data, data_folder, images=images)
        times = _usual_steps(dataset) if steps is None else step_list(steps)
        if not isinstance(loaded, SpikingNetwork):
            if (steps, weight_bits, clipping, pow2) != (None, None, None, False):
                raise InvalidValue(
                    f"{network} is a fixed-point network with its own T, weight bits, clipping and thresholds: leave out -T, "
                    "-b, --clipping and --pow2, or give the spiking network"
                )
            times = [loaded.time_steps]
        if cycles is not None and len(times) > 1:
            raise InvalidValue(
                f"cycles {cycles:g} are those of one T, not of {len(times)}: give one T, or a fixed-point network"
            )
        return Costs(
            loaded,
            times,
            8 if weight_bits is None else weight_bits,
            clipping or "max",
            pow2,
            chosen,
            policies,
            baseline,
            cycles,
            lanes,
            clock,
            None if source is None else load_module(source, weights),
            dataset,
        )

    def fixed(self, steps: int) -> "FixedPointNetwork":
        """The integers at T = ``steps``, of a spiking network one of ``times``."""
        from toolchain.ir import SpikingNetwork
        from toolchain.quantize import quantize

        if isinstance(self.network, SpikingNetwork):
            integers = self.network.with_time_steps(steps)
            return quantize(integers, self.weight_bits, clipping=self.clipping, pow2=self.pow2)
        return self.network

    def count(self) -> "list[EnergyReport]":
        """Run every T on all images, under a progress bar."""
        from toolchain import flow
        from toolchain.density import source_macs
        from toolchain.ir import SpikingNetwork

        frames = self.dataset.frames
        with bar("counting", (len(self.times) + (0 if self.module is None else 2)) * len(frames)) as move:
            seen = self.dataset.at(self.network.time_steps).frames
            macs = None if self.module is None else source_macs(self.module, self.network, seen, move)
            options: dict[str, Any] = {
                "profiles": self.profiles,
                "progress": move,
                "memory": self.memory,
                "baseline": self.baseline,
                "cycles": self.cycles,
                "lanes": self.lanes,
                "clock_mhz": self.clock,
                "source_macs": macs,
            }
            if isinstance(self.network, SpikingNetwork):
                return flow.energy_sweep(
                    self.network,
                    self.dataset,
                    time_steps=self.times,
                    weight_bits=self.weight_bits,
                    clipping=self.clipping,
                    pow2=self.pow2,
                    **options,
                )
            return flow.fixed_energy(self.network, self.dataset, **options)
