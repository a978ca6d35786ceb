"""Boards: a core with its serial link on a real board's pins, clock and lights, down to the bitstream."""

from toolchain.boards.catalog import BOARDS, Board, find_board
from toolchain.boards.job import RESULT, BoardResult, build

__all__ = ["BOARDS", "RESULT", "Board", "BoardResult", "build", "find_board"]
