"""The host's side of a board: packets to bytes, what to say and how to understand the answer, and the serial port."""

from toolchain.host.conversation import Conversation, Exchange, Host, Identity
from toolchain.host.framing import Damaged, Decoder, Packet, encode
from toolchain.host.port import DEFAULT_BAUD, SerialPort

__all__ = [
    "DEFAULT_BAUD", "Conversation", "Damaged", "Decoder", "Exchange", "Host", "Identity", "Packet", "SerialPort", "encode",
]  # fmt: skip
