"""What a host says to a board, and how it understands the answers, without any input or output of its own.

The methods of ``Host`` are generators: they yield an ``Exchange``, whoever drives them sends its bytes and sends the bytes
that come back into the generator. The same conversation so runs over a serial port (``toolchain.host.port``) and
within a simulation (``sim.board_bench``).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hdl.capacity import DIMENSIONS, HEADER
from hdl.host import ErrorCode, PacketType
from hdl.link import IDENTITY, LINK_VERSION, LinkError, LinkPacket
from hdl.packing import SpikePacking
from sim.packets import Result, frame_packet, read_result, spike_packet
from toolchain.errors import InvalidValue, LinkFailed
from toolchain.host.framing import END, Damaged, Decoder, encode

__all__ = ["Conversation", "Exchange", "Host", "Identity"]

_T = TypeVar("_T")
_QUIET_S = 0.05
"""Silence after which a line has nothing more to say, and the pause before a packet is repeated."""
_BABBLE = 1 << 16
"""Bytes that a line may say before it is no answer."""
_LINK_ERRORS = {
    LinkError.CHECKSUM: "a wrong checksum",
    LinkError.FRAMING: "bytes that are none",
    LinkError.BUSY: "a packet while it was busy",
    LinkError.OVERRUN: "packets faster than it takes them",
}
_CORE_ERRORS = {
    ErrorCode.TYPE: "its network takes frames of another kind, spikes or pixels; name its file with --net",
    ErrorCode.SIZE: "the frame has another number of pixels than its network takes",
    ErrorCode.SHORT: "the packet is shorter than it says",
    ErrorCode.LONG: "the packet is longer than it says",
    ErrorCode.MEMORY: "its external memory answered a read of weights with an error",
    ErrorCode.TIMEOUT: "its external memory did not answer a read of weights in time; see that it runs, then send the frame again",
    ErrorCode.NETWORK: "it holds no network yet; send one with --load",
}
_LOAD_ERRORS = {
    ErrorCode.TYPE: "its network is in ROM; build its bitstream with --memories loadable",
    ErrorCode.SHORT: "the file is shorter than it says; pack it again",
    ErrorCode.LONG: "the file is longer than it says; pack it again",
    ErrorCode.SIZE: "the file has another length than it says; pack it again",
    ErrorCode.VERSION: "it speaks another version of load packets; build its bitstream with this version",
    ErrorCode.FEATURES: "the file was packed for a core of another capacity; pack it with --core naming the folder of this bitstream",
    ErrorCode.CHECKSUM: "the file's checksum is wrong; pack it again",
}


def _refused_load(code: int) -> str:
    """Why a board refuses a load packet, and the way out."""
    if code & 0xFF == ErrorCode.CAPACITY:
        names = list(DIMENSIONS.values())
        what = names[code >> 8] if code >> 8 < len(names) else "network"
        return f"there is no room for so many {what}; build with a larger --capacity"
    return {int(each): why for each, why in _LOAD_ERRORS.items()}.get(code, f"error {code}")


@dataclass(frozen=True)
class Exchange:
    """Send the bytes, then wait up to ``seconds`` for an answer; any bytes that are there by then are the reply, or none."""

    send: bytes
    seconds: float


Conversation = Generator[Exchange, bytes, _T]
"""Yields exchanges, takes the bytes that came, returns what it was for."""


@dataclass(frozen=True)
class Identity:
    """What a board says that it is; members as in ``hdl.link.IDENTITY``."""

    version: int
    network_id: int
    channels: int
    height: int
    width: int
    classes: int
    layers: int
    time_steps: int
    lanes: int
    clock_hz: int
    baud: int

    @property
    def loadable(self) -> bool:
        """Whether its network is loaded: then what it says is about the network that was loaded last, 0 before any."""
        return self.channels == 0 and self.height == 0

    @property
    def pixels(self) -> int:
        """Values of a frame; of a network of frames of spikes that was loaded, its spike words."""
        return self.width if self.loadable else self.channels * self.height * self.width

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a frame; of a board whose network is loaded only ``pixels`` is known."""
        return self.channels, self.height, self.width

    def core_seconds(self, result: Result) -> float:
        """Time from the last pixel to the scores: the cycles of all layers; those of the line are not in it."""
        return float(result.counters[:, 0].sum()) / self.clock_hz


class Host:
    """One side of the link to a board.

    A packet that was damaged on its way, in either direction, is repeated; answers are known by their tag, so that a late one
    is never taken for another.

    Parameters
    ----------
    timeout : float
        Seconds in which an answer must begin.
    attempts : int
        Times that a packet is sent before that is an error.

    Members
    -------
    identity : Identity or None
        After ``connect``.
    repeats : int
        Packets that were sent again.
    """

    def __init__(self, *, timeout: float = 2.0, attempts: int = 3):
        if not 0.001 <= timeout <= 3600:
            raise InvalidValue(f"timeout is {timeout:g} s, must be 0.001 to 3600")
        if not 1 <= attempts <= 100:
            raise InvalidValue(f"attempts is {attempts}, must be 1 to 100")
        self.timeout, self.attempts = timeout, attempts
        self.identity: Identity | None = None
        self.repeats = 0
        self._decoder = Decoder()
        self._tag = 0

    def connect(self) -> Conversation[Identity]:
        """End what another host may have left half said, listen until the line is quiet, and ask the board who it is.

        Raises
        ------
        LinkFailed
            Nothing answers, or not as a Spikeloom board of this version does.
        """
        heard = 0
        send = END
        while heard <= _BABBLE:
            came = yield Exchange(send, _QUIET_S)
            send = b""
            heard += len(came)
            if not came:
                break
        self._decoder = Decoder()
        words = yield from self._ask([LinkPacket.IDENTIFY << 24])
        if words[0] != LinkPacket.IDENTITY << 24 | len(IDENTITY) or len(words) != 1 + len(IDENTITY):
            raise LinkFailed(f"the board answers {words[0]:#010x} to who it is; build its bitstream with this version")
        if words[1] != LINK_VERSION:
            raise LinkFailed(
                f"the board speaks version {words[1]} of the link, this host version {LINK_VERSION}; build its bitstream again"
            )
        self.identity = Identity(*words[1:])
        return self.identity

    def load(self, packet: Sequence[int]) -> Conversation[Identity]:
        """Send a load packet (``toolchain.loading``); what the board is with that network.

        Raises
        ------
        LinkFailed
            No answer, or the board refuses it: the network before runs on, if the board has two banks.
        """
        words = yield from self._ask(packet)
        if words[0] >> 24 == PacketType.ERROR:
            code = words[1] if len(words) > 1 else 0
            raise LinkFailed(f"the board refuses the network: {_refused_load(code)}")
        network_id = packet[1 + HEADER.index("network_id")]
        if words != [PacketType.LOADED << 24 | 1, network_id]:
            raise LinkFailed(f"the board answers {words[0]:#010x} to a load; build its bitstream with this version")
        identity = yield from self.connect()
        if identity.network_id != network_id:
            raise LinkFailed(
                f"the board took network {network_id:08x} and says it holds {identity.network_id:08x}; build its bitstream with this version"
            )
        return identity

    def classify(
        self, frame: np.ndarray, packing: SpikePacking | None = None
    ) -> Conversation[tuple[Result, list[int]]]:
        """Send one frame; the result, and the words of its packet.

        Parameters
        ----------
        frame : uint8 [C, H, W], or int8 spikes [T, C, H, W] with ``packing``
        packing : SpikePacking, optional
            Of a board whose network takes spikes (``hdl.program.Program.packing``).

        Raises
        ------
        InvalidValue
            Another shape than the board's network takes.
        LinkFailed
            No answer, an error, or one of another network.
        """
        identity = self.identity or (yield from self.connect())
        kind, form, steps = (
            ("uint8", "(C, H, W)", ()) if packing is None else ("int8", "(T, C, H, W)", (packing.steps,))
        )
        shape = packing.shape if identity.loadable and packing is not None else identity.input_shape
        wanted: tuple[int, ...] = (*steps, *shape)
        known = frame.ndim == 3 if packing is None else frame.shape == wanted
        if identity.loadable and frame.dtype == kind and known:
            if not identity.pixels:
                raise LinkFailed(f"the board refuses the frame: {_CORE_ERRORS[ErrorCode.NETWORK]}")
            size, what = (frame.size, "pixels") if packing is None else (packing.fields, "spike words")
            if size != identity.pixels:
                raise InvalidValue(
                    f"the frame has {size} {what}, the network that the board holds takes {identity.pixels}"
                )
        elif frame.dtype != kind or frame.shape != wanted:
            raise InvalidValue(
                f"the frame is {frame.dtype} of shape {frame.shape}, the board's network takes {kind} of {form} = {wanted}"
            )
        words = yield from self._ask(frame_packet(frame) if packing is None else spike_packet(frame, packing))
        if words[0] >> 24 == PacketType.ERROR:
            code = words[1] if len(words) > 1 else 0
            reasons = {int(each): why for each, why in _CORE_ERRORS.items()}
            why = reasons.get(code, f"error {code}")
            raise LinkFailed(f"the board refuses the frame: {why}")
        try:
            result = read_result(words, classes=identity.classes, layers=identity.layers)
        except InvalidValue as error:
            raise LinkFailed(f"the board's answer is not what it said it sends: {error}") from error
        if result.network_id != identity.network_id:
            raise LinkFailed(
                f"the board says it holds network {identity.network_id:08x} and answers for {result.network_id:08x}"
            )
        return result, words

    def _next_tag(self) -> int:
        self._tag = self._tag % 255 + 1
        return self._tag

    def _ask(self, words: Sequence[int]) -> Conversation[list[int]]:
        """Send a packet until its answer comes; the answer's words."""
        tags: set[int] = set()
        heard = 0
        complaint = ""
        for attempt in range(self.attempts):
            if attempt:
                self.repeats += 1
            tag = self._next_tag()
            tags.add(tag)
            send, wait = encode(tag, words), self.timeout
            budget = _BABBLE
            while budget > 0:
                came = yield Exchange(send, wait)
                send = b""
                if not came:
                    break
                heard += len(came)
                budget -= len(came)
                for packet in self._decoder.feed(came):
                    if isinstance(packet, Damaged):
                        complaint, wait = f"what comes back is damaged ({packet.why})", _QUIET_S
                        continue
                    code = packet.words[1] if packet.words[0] == PacketType.ERROR << 24 | 1 else 0
                    if code in _LINK_ERRORS and packet.tag in (0, *tags):
                        complaint = f"the board received {_LINK_ERRORS[LinkError(code)]}"
                        wait = self.timeout if code == LinkError.BUSY else _QUIET_S
                    elif packet.tag in tags:
                        return list(packet.words)
        times = f"{self.attempts} attempts" if self.attempts > 1 else "one attempt"
        if complaint:
            raise LinkFailed(f"no good answer in {times}: {complaint}; check --baud, or build with a lower one")
        if heard:
            raise LinkFailed(
                f"{heard} bytes came in {times}, but no packet; is it a Spikeloom board, and --baud its own?"
            )
        raise LinkFailed(
            f"no answer within {self.timeout:g} s in {times}; is the board programmed, is this its port, and --baud its own?"
        )
