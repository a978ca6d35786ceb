"""A board that is none: answers on the other end of a pseudo-terminal what the golden model says."""

import os
import select
import threading
import tty

import numpy as np

from hdl.host import COUNTERS, ErrorCode, PacketType, result_words
from hdl.link import IDENTITY, LINK_VERSION, LinkError, LinkPacket
from hdl.program import Program
from sim import golden
from sim.packets import frame_packet
from toolchain.cycles import cycles
from toolchain.host.framing import Damaged, Decoder, encode
from toolchain.loading import loaded_answer

__all__ = ["FakeBoard", "answer_words", "identity_words"]

CLOCK_HZ, BAUD = 12_000_000, 1_000_000


def identity_words(network, lanes):
    """What the board of a network says that it is."""
    shape = network.input_shape
    told = (LINK_VERSION, int(network.fingerprint[:8], 16), *shape, network.shapes[-1][0], len(network.layers))
    return [LinkPacket.IDENTITY << 24 | len(IDENTITY), *told, network.time_steps, lanes, CLOCK_HZ, BAUD]


def loaded_identity(network, lanes):
    """Likewise of a board whose networks are loaded; of no network before any."""
    if network is None:
        return [LinkPacket.IDENTITY << 24 | len(IDENTITY), LINK_VERSION, *[0] * 7, lanes, CLOCK_HZ, BAUD]
    words = identity_words(network, lanes)
    packing = Program(network, lanes).packing
    return [*words[:3], 0, 0, int(np.prod(network.input_shape)) if packing is None else packing.fields, *words[6:]]


def unpacked(packing, words):
    """Spikes ``[T, C, H, W]`` of a packet's words, each bit looked up by its place as the format has it."""
    width = packing.shape[2]
    spikes = np.zeros((packing.steps, *packing.shape), np.int8)
    for (t, c, y, x), _ in np.ndenumerate(spikes):
        field = ((y * width + x) * packing.groups + c // packing.lanes) * packing.steps + t
        bit = packing.words_a_field * 32 * field if packing.words_a_field > 1 else packing.field_bits * field
        bit += c % packing.lanes
        fired = words[bit // 32] >> bit % 32 & 1
        sign = bit + packing.used
        spikes[t, c, y, x] = -fired if packing.signed and words[sign // 32] >> sign % 32 & 1 else fired
    return spikes


def answer_words(network, lanes, words):
    """The core's answer to a packet."""
    pixels = int(np.prod(network.input_shape))
    packing = Program(network, lanes).packing
    if words[0] >> 24 != (PacketType.FRAME if packing is None else PacketType.SPIKES):
        return [PacketType.ERROR << 24 | 1, ErrorCode.TYPE]
    if words[0] & 0xFFFFFF != (pixels if packing is None else packing.fields):
        return [PacketType.ERROR << 24 | 1, ErrorCode.SIZE]
    if packing is None:
        flat = np.array(words[1:], "<u4").view(np.uint8)[:pixels]
        channels, height, width = network.input_shape
        frame = np.moveaxis(flat.reshape(height, width, channels), -1, 0)[None]
    else:
        frame = unpacked(packing, words[1:])[None]
    trace = golden.run(network, frame, "spikes")
    spent = cycles(network, frame, trace, lanes)
    counted = [spent.layers[0], *(getattr(trace.activity, name)[0] for name in COUNTERS[1:])]
    following = result_words(network.shapes[-1][0], len(network.layers))
    return [
        PacketType.RESULT << 24 | following,
        int(network.fingerprint[:8], 16),
        *(trace.scores[0] & 0xFFFFFFFF).tolist(),
        int(trace.predictions[0]),
        *np.stack(counted, axis=1).ravel().tolist(),
        int(spent.layers.sum()) + 10_000,
    ]


class FakeBoard:
    """A thread behind a pseudo-terminal; ``path`` is the port, within ``with``.

    Parameters
    ----------
    spoil : callable
        Gets each answer's bytes and its number, returns what goes onto the line instead.
    hear : callable
        Likewise for what the host sends, by pieces as they come.
    loads : dict, optional
        Networks that the board takes, by load packet; it refuses others with ``CHECKSUM``, and ``network`` may be None.
    """

    def __init__(self, network, lanes=4, *, spoil=lambda data, number: data, hear=lambda data: data, loads=None):
        self.network, self.lanes, self._spoil, self._hear = network, lanes, spoil, hear
        self._loads = loads
        self.answers = 0

    def __enter__(self):
        # the cycle model is compiled at its first use, which can take longer than a host waits
        for network in (self._loads or {0: self.network}).values():
            answer_words(network, self.lanes, frame_packet(np.zeros(network.input_shape, np.uint8)))
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.write(self._stopped, b".")
        self._thread.join()
        for handle in (self._master, self._slave, self._stop, self._stopped):
            os.close(handle)

    def _load(self, words):
        if words not in self._loads:
            return [PacketType.ERROR << 24 | 1, ErrorCode.CHECKSUM]
        self.network = self._loads[words]
        return loaded_answer(self.network)

    def _serve(self):
        decoder = Decoder()
        while True:
            ready, _, _ = select.select([self._master, self._stop], [], [])
            if self._stop in ready:
                return
            for packet in decoder.feed(self._hear(os.read(self._master, 4096))):
                if isinstance(packet, Damaged):
                    data = encode(0, [PacketType.ERROR << 24 | 1, LinkError.CHECKSUM])
                elif packet.words == (LinkPacket.IDENTIFY << 24,):
                    identity = identity_words if self._loads is None else loaded_identity
                    data = encode(packet.tag, identity(self.network, self.lanes))
                elif self._loads is not None and packet.words[0] >> 24 == PacketType.LOAD:
                    data = encode(packet.tag, self._load(packet.words))
                elif self.network is None:
                    data = encode(packet.tag, [PacketType.ERROR << 24 | 1, ErrorCode.NETWORK])
                else:
                    data = encode(packet.tag, answer_words(self.network, self.lanes, packet.words))
                data = self._spoil(data, self.answers)
                self.answers += 1
                while data:
                    data = data[os.write(self._master, data) :]
