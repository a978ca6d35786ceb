"""A serial line, 8N1, to a simulated board: for cocotb, one Python step a bit, none for each clock."""

from collections.abc import Callable
from typing import Any, TypeVar

import cocotb
from cocotb.triggers import Event, FallingEdge, SimTimeoutError, Timer, with_timeout

from toolchain.host import Conversation

__all__ = ["SerialLine"]

_T = TypeVar("_T")


class SerialLine:
    """The host's end of the line.

    Parameters
    ----------
    rx, tx : handles
        The board's pins: what it receives and what it sends.
    bit_ns : float
        Length of a bit.

    Members
    -------
    sending_ns, receiving_ns : float
        Length of a bit each way; a test changes them to be a host of another baud rate.
    spoil : callable
        What becomes of the bytes of an exchange on their way to the board.
    broken : int
        Bytes received without a stop bit.
    """

    def __init__(self, rx: Any, tx: Any, bit_ns: float):
        self._rx, self._tx = rx, tx
        self.sending_ns = self.receiving_ns = bit_ns
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        self.broken = 0
        self._received = bytearray()
        self._came = Event()
        rx.value = 1
        cocotb.start_soon(self._receive())

    async def _wait(self, ns: float) -> None:
        await Timer(round(ns * 1000), "ps")

    async def send(self, data: bytes) -> None:
        """Send bytes, with nothing between them."""
        for byte in data:
            for bit in (0, *(byte >> place & 1 for place in range(8)), 1):
                self._rx.value = bit
                await self._wait(self.sending_ns)

    async def _receive(self) -> None:
        while True:
            if self._tx.value != 0:
                await FallingEdge(self._tx)
            await self._wait(1.5 * self.receiving_ns)
            byte = 0
            for place in range(8):
                byte |= int(self._tx.value) << place
                await self._wait(self.receiving_ns)
            if self._tx.value == 1:
                self._received.append(byte)
                self._came.set()
            else:
                self.broken += 1

    async def exchange(self, send: bytes, seconds: float) -> bytes:
        """Send, then wait up to ``seconds`` of simulated time for bytes; all that came, or none."""
        await self.send(self.spoil(send))
        if not self._received:
            self._came.clear()
            try:
                await with_timeout(self._came.wait(), round(seconds * 1e9), "ns")
            except SimTimeoutError:
                return b""
        came = bytes(self._received)
        self._received.clear()
        return came

    async def converse(self, conversation: Conversation[_T]) -> _T:
        """Run a conversation of ``toolchain.host`` to its end; raises what it raises."""
        try:
            exchange = next(conversation)
            while True:
                exchange = conversation.send(await self.exchange(exchange.send, exchange.seconds))
        except StopIteration as end:
            result: _T = end.value
            return result
