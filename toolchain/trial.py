"""Run images on a board, and hold what comes back against the golden model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdl.host import COUNTERS
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison, Difference
from sim.packets import Result
from toolchain.cycles import cycles
from toolchain.encoding import check_frames
from toolchain.errors import InvalidValue
from toolchain.events import load_spikes, rebinned
from toolchain.host import Host, Identity, SerialPort
from toolchain.ir import FixedPointNetwork

__all__ = ["Trial", "as_frames", "frames_for", "load_images", "meet", "run_images"]


@dataclass(frozen=True, eq=False)
class Trial:
    """What a board answered.

    Members
    -------
    identity : Identity
    results : tuple of Result
    seconds : float64 [N]
        From sending a frame to the end of its answer, on the host's clock (measured).
    repeats : int
        Packets that were sent again because they were damaged on the way.
    differences : tuple of Difference or None
        From the golden model and the cycle model, the first ``sim.comparison.MAX_DIFFERENCES``; None if there was no network to
        compare with.
    """

    identity: Identity
    results: tuple[Result, ...]
    seconds: np.ndarray
    repeats: int
    differences: tuple[Difference, ...] | None

    @property
    def passed(self) -> bool:
        """Whether nothing differs, as far as was compared."""
        return not self.differences

    @property
    def core_seconds(self) -> np.ndarray:
        """From the last pixel to the scores, by the core's own cycle counters, float64 [N]."""
        return np.array([self.identity.core_seconds(result) for result in self.results])

    @property
    def mean_counters(self) -> np.ndarray:
        """``COUNTERS`` of each layer, mean over the images, float64 [layers, 4]."""
        return np.mean([result.counters for result in self.results], axis=0)

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": 1,
            "board": {**vars(self.identity), "network_id": f"{self.identity.network_id:08x}"},
            "images": [
                {
                    "prediction": result.prediction,
                    "scores": result.scores.tolist(),
                    "layers": [dict(zip(COUNTERS, row, strict=True)) for row in result.counters.tolist()],
                    "cycles": result.cycles,
                    "core_us": round(1e6 * core, 3),
                    "round_trip_ms": round(1e3 * spent, 3),
                }
                for result, core, spent in zip(
                    self.results, self.core_seconds.tolist(), self.seconds.tolist(), strict=True
                )
            ],
            "repeats": self.repeats,
            "compared": self.differences is not None,
            "passed": self.passed,
            "differences": [str(each) for each in self.differences or ()],
        }


def load_images(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file, uint8, of any shape, or the spikes of an ``.npz`` file, int8 ``[N, T, C, H, W]``; never unpickled.

    Raises
    ------
    InvalidValue
        No such file, not an array of uint8, or an empty one.
    DatasetMissing
        No such file of spikes.
    """
    if path.suffix.lower() == ".npz":
        return load_spikes(path).spikes
    try:
        with path.open("rb") as file:
            images = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror or error}; name a .npy file") from error
    except (ValueError, SyntaxError, MemoryError, OverflowError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} is no array: {error}; write it with numpy.save") from error
    if images.dtype != np.uint8:
        raise InvalidValue(
            f"{path} holds {images.dtype}, must be uint8 pixels of 0 to 255; save images.astype('uint8')"
        )
    if images.size == 0:
        raise InvalidValue(f"{path} has shape {images.shape}, there is no pixel in it")
    return images


def as_frames(images: np.ndarray, input_shape: tuple[int, int, int]) -> np.ndarray:
    """One image or several as ``[N, C, H, W]``; axes of length 1 may be left out.

    Raises
    ------
    InvalidValue
        Another shape.
    """
    bare = tuple(length for length in input_shape if length != 1)
    for one in (input_shape, input_shape[1:] if input_shape[0] == 1 else input_shape, bare):
        if images.shape == one or images.shape[1:] == one:
            return images.reshape(-1, *input_shape)
    raise InvalidValue(
        f"images have shape {images.shape}, must be [N, C, H, W] or [C, H, W] with (C, H, W) = {input_shape}"
    )


def frames_for(images: np.ndarray, identity: Identity, network: FixedPointNetwork | None) -> np.ndarray:
    """What ``load_images`` read as frames for the board: pixels ``[N, C, H, W]``, or spikes in the network's T.

    Raises
    ------
    InvalidValue
        Pixels for a network that takes spikes, or the other way round; spikes without ``network``, or of a shape or values that it
        does not take.
    """
    spikes = images.dtype == np.int8
    if spikes and network is None:
        raise InvalidValue("spikes are packed for one network: name its file with --net")
    if network is None or network.input != "spikes":
        if spikes:
            raise InvalidValue("the network takes pixels, not spikes; name a .npy file of uint8 images")
        if identity.loadable and network is not None:
            return as_frames(images, network.input_shape)
        if identity.loadable:
            if images.ndim not in (3, 4):
                raise InvalidValue(
                    f"images have shape {images.shape}, must be [N, C, H, W] or [C, H, W]: a board whose network is loaded does not "
                    "know the shape; name the network with --net"
                )
            return images.reshape(-1, *images.shape[-3:])
        return as_frames(images, identity.input_shape)
    if not spikes:
        raise InvalidValue("the network takes spikes, not pixels; name a .npz file of spikeloom bin")
    frames = rebinned(images, network.time_steps)
    check_frames(frames, network)
    return frames


def meet(
    port: SerialPort, *, timeout: float, network: FixedPointNetwork | None = None, load: Sequence[int] = ()
) -> tuple[Host, Identity]:
    """Ask the board at ``port`` who it is, send it the packet ``load`` if there is one; with ``network``, whether it holds that.

    Raises
    ------
    InvalidValue
        It holds another network, or ``timeout`` out of range.
    LinkFailed
        The board does not answer, or not as it should.
    """
    host = Host(timeout=timeout)
    identity = port.converse(host.connect())
    if load and not identity.loadable:
        raise InvalidValue(
            f"the board holds network {identity.network_id:08x} in ROM and takes no other; leave out --load, or build its bitstream with "
            "--memories loadable"
        )
    if load:
        identity = port.converse(host.load(load))
    if network is not None and int(network.fingerprint[:8], 16) != identity.network_id:
        held = f"network {identity.network_id:08x}" if identity.pixels else "no network"
        way_out = "send its --load" if identity.loadable else "build and program its bitstream"
        raise InvalidValue(
            f"the board holds {held}, the file is {network.fingerprint[:8]}; {way_out}, or name the file that it was made from"
        )
    return host, identity


def run_images(
    port: SerialPort,
    host: Host,
    identity: Identity,
    frames: np.ndarray,
    *,
    network: FixedPointNetwork | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Trial:
    """Send frames, one after the other, to the board that ``host`` has met, and compare the answers with what ``network`` says, if given.

    Parameters
    ----------
    frames : uint8 [N, C, H, W], or int8 spikes [N, T, C, H, W] if ``network`` takes them

    Raises
    ------
    LinkFailed
        The board does not answer, or not as it should.
    """
    results, packets, seconds = [], [], []
    packing = None if network is None else Program(network, identity.lanes).packing
    for frame in frames:
        start = time.perf_counter()
        result, words = port.converse(host.classify(frame, packing))
        seconds.append(time.perf_counter() - start)
        results.append(result)
        packets.append(words)
        progress(1)
    differences = None
    if network is not None:
        trace = golden.run(network, frames, "spikes")
        comparison = Comparison(network, identity.lanes, trace, cycles(network, frames, trace, identity.lanes))
        comparison.results(packets)
        differences = tuple(comparison.differences)
    return Trial(identity, tuple(results), np.array(seconds), host.repeats, differences)
