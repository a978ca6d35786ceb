"""Conversations over a serial port."""

import os
import time
from types import TracebackType
from typing import Self, TypeVar

import serial

from toolchain.errors import InvalidValue, LinkFailed
from toolchain.host.conversation import Conversation

__all__ = ["DEFAULT_BAUD", "SerialPort"]

_T = TypeVar("_T")
DEFAULT_BAUD = 1_000_000
"""Divides the clocks of all boards here, and every USB bridge on them makes it."""
_STUCK_S = 10
"""Seconds beyond its time on the line after which a packet that is not taken is an error."""


class SerialPort:
    """A serial port, 8N1, no flow control, for nobody else while it is open.

    Parameters
    ----------
    path : str
        Such as ``/dev/ttyUSB0``.
    baud : int

    Raises
    ------
    InvalidValue
        It cannot be opened, or not at this rate.
    """

    def __init__(self, path: str, baud: int = DEFAULT_BAUD):
        if not 1 <= baud <= 100_000_000:
            raise InvalidValue(f"baud is {baud}, must be 1 to 100000000")
        self._path = path
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=_STUCK_S, exclusive=True)
        except (OSError, ValueError, NotImplementedError, OverflowError) as error:
            number = getattr(error, "errno", None)
            why = os.strerror(number) if number else str(error)
            raise InvalidValue(
                f"cannot open {path} at {baud} baud: {why}; name the board's serial port, which you may read and write"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()

    def converse(self, conversation: Conversation[_T]) -> _T:
        """Run a conversation to its end.

        Raises
        ------
        LinkFailed
            As the conversation does, or the port went away.
        """
        try:
            exchange = next(conversation)
            while True:
                exchange = conversation.send(self._exchange(exchange.send, exchange.seconds))
        except StopIteration as end:
            result: _T = end.value
            return result

    def _exchange(self, send: bytes, seconds: float) -> bytes:
        try:
            if send:
                self._port.write_timeout = _STUCK_S + 20 * len(send) / self._port.baudrate  # twice what the line needs
                self._port.write(send)
                self._port.flush()
            until = time.monotonic() + seconds
            while True:
                self._port.timeout = max(
                    0.0, min(until - time.monotonic(), 0.1)
                )  # never long without a look at signals
                came: bytes = self._port.read(1)
                if came:
                    return came + self._port.read(self._port.in_waiting)
                if time.monotonic() >= until:
                    return b""
        except OSError as error:  # pyserial's errors are OSErrors
            why = error.strerror or str(error)
            raise LinkFailed(f"lost {self._path}: {why}; is the board still plugged in?") from error
