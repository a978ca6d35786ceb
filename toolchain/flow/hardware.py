"""Hardware in a folder: what ``generate`` writes and what ``verify`` finds there, and frames for both."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hdl.capacity import Capacity
from hdl.tiles import ExternalWeights, TiledProgram
from sim import golden
from toolchain.bandwidth import waiting
from toolchain.bundle import PORTS_FILE, RtlBundle, load_bundle
from toolchain.emit import emit
from toolchain.encoding import check_frames
from toolchain.errors import InvalidValue
from toolchain.flow.cores import DEFAULT_LANES, capacity_for, external_for
from toolchain.flow.files import write_json
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import load_fixed_point
from toolchain.synth import Device, GateLevel, synthesize_netlist
from toolchain.testbench import write_testbench
from toolchain.timeline import LATENCY, Waiting

__all__ = ["bundle_for", "generate", "netlist_for", "network_of", "random_frames", "waits"]


def random_frames(network: FixedPointNetwork, images: int, seed: int) -> np.ndarray:
    """Frames of any shape, half of the pixels 0, uint8 ``[N, C, H, W]``: enough to compare hardware with integers.

    For input ``spikes`` int8 ``[N, T, C, H, W]``, a spike in one step of five, a third of them negative if they may be.
    """
    if not 1 <= images <= 100_000:
        raise InvalidValue(f"images is {images}, must be 1 to 100000")
    rng = np.random.default_rng(seed)
    if network.input == "spikes":
        drawn = rng.random((images, *network.frame_shape))
        below = 1 / 15 if network.signed_spikes else 0.0
        return np.where(drawn < 0.2, np.where(drawn < below, -1, 1), 0).astype(np.int8)
    frames = rng.integers(0, 256, (images, *network.input_shape))
    return np.where(rng.random(frames.shape) < 0.5, 0, frames).astype(np.uint8)


def waits(
    bundle: RtlBundle, network: FixedPointNetwork, frames: np.ndarray, *, latency: int = LATENCY
) -> Waiting | None:
    """How long the layers wait for weights on ``frames``, estimated; None for a core that holds its weights."""
    if bundle.external is None:
        return None
    program = TiledProgram(network, bundle.lanes, external=ExternalWeights(**bundle.external))
    return waiting(program, frames, golden.run(network, frames, "spikes"), latency=latency)


def generate(
    network: FixedPointNetwork,
    folder: Path,
    *,
    lanes: int,
    frames: np.ndarray,
    cuts: Sequence[int] = (),
    capacity: Capacity | None = None,
    external: ExternalWeights | None = None,
) -> RtlBundle:
    """Hardware, and a test bench beside it that sends ``frames`` (uint8 ``[N, C, H, W]``).

    With ``cuts`` a chain of cores, with a capacity one into which the network is loaded, with ``external`` one whose weights
    come from external memory; its port map then says how long layers wait for them.
    """
    check_frames(frames, network)  # before anything is written
    bundle = emit(network, folder, lanes=lanes, cuts=cuts, capacity=capacity, external=external)
    write_testbench(bundle, network, frames)
    found = waits(bundle, network, frames)
    if found is not None:
        path = folder / PORTS_FILE
        ports = json.loads(path.read_text())
        write_json({**ports, "external_memory": {**ports["external_memory"], "waiting": found.describe()}}, path)
    return bundle


def network_of(path: Path) -> FixedPointNetwork:
    """The integers that ``verify`` is about: of a network file, or of a folder of ``spikeloom generate``."""
    return load_fixed_point(load_bundle(path).network if path.is_dir() else path)


def bundle_for(
    network: Path,
    *,
    lanes: int | None = None,
    folder: Path | None = None,
    cuts: Sequence[int] = (),
    memories: str | None = None,
    listed: str | None = None,
    banks: int | None = None,
    also: str | None = None,
    weight_cache: int | None = None,
    memory_bits: int | None = None,
    memory_timeout: int | None = None,
) -> tuple[RtlBundle, FixedPointNetwork]:
    """The hardware to verify: a folder of ``spikeloom generate``, or a network file generated on the way.

    Raises
    ------
    InvalidValue
        ``lanes`` or ``memories`` other than those of the folder, or as ``capacity_for`` and ``external_for``.
    """
    if network.is_dir():
        bundle = load_bundle(network)
        if memories not in (None, bundle.memories) or any(
            option is not None for option in (listed, banks, also, weight_cache, memory_bits, memory_timeout)
        ):
            raise InvalidValue(
                f"{network} has memories {bundle.memories} already; generate it again or leave out --memories, --capacity, "
                "--banks, --also, --weight-cache, --memory-bits and --memory-timeout"
            )
        if lanes not in (None, bundle.lanes):
            raise InvalidValue(f"{network} has {bundle.lanes} lanes, not {lanes}; generate it again or leave out -P")
        return bundle, load_fixed_point(bundle.network)
    fixed = load_fixed_point(network)
    lanes = DEFAULT_LANES if lanes is None else lanes
    capacity = capacity_for(fixed, lanes=lanes, memories=memories or "rom", listed=listed, banks=banks, also=also)
    external = external_for(
        fixed,
        lanes=lanes,
        memories=memories or "rom",
        weight_cache=weight_cache,
        memory_bits=memory_bits,
        memory_timeout=memory_timeout,
    )
    kind = "".join(f"-{cut}" for cut in cuts) + ("" if memories in (None, "rom") else f"-{memories}")
    target = folder or Path("build") / f"verify-{fixed.fingerprint[:12]}-{lanes}{kind}"
    return emit(fixed, target, lanes=lanes, cuts=cuts, capacity=capacity, external=external), fixed


def netlist_for(bundle: RtlBundle, device: Device, *, progress: Callable[[str], None] | None = None) -> GateLevel:
    """The netlist of ``bundle`` for a device, in the folder ``netlist-DEVICE`` beside its Verilog."""
    return synthesize_netlist(bundle, device, bundle.folder / f"netlist-{device.name}", progress=progress)
