"""Boards that bitstreams are made for, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from toolchain.boards.clocks import Pll, ecp5_pll, ice40_pll
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.synth import Device, find_device

__all__ = ["BOARDS", "Board", "find_board"]


@dataclass(frozen=True)
class Board:
    """A board: its device, what is on it that the top level uses, and the steps to its bitstream.

    Members
    -------
    name, title : str
    platform : tuple of str
        Module and class of ``amaranth_boards``.
    device_name : str
        A key of ``toolchain.synth.DEVICES``.
    oscillator_hz, clock_hz : int
        What the board has, and what the core runs at unless another is asked for.
    pll : callable or None
        Settings for (oscillator, clock); None where the core runs at the oscillator's.
    button : (str, int)
        Resource whose button resets the core.
    lights : int
        LEDs: busy, error, then the lowest bits of the class.
    lanes : int
        Unless another number is asked for.
    constraints : str
        File of the pins, as Amaranth's platform writes it.
    place : tuple of str
        Options of nextpnr; ``PLACED`` among them is its output.
    packer : str
        A key of ``toolchain.tools.PACKERS``.
    pack : tuple of str
        Its arguments; the bitstream is called ``spikeloom`` with ``suffix``.
    suffix : str
    program : str
        Command that puts the bitstream onto the board.
    """

    name: str
    title: str
    platform: tuple[str, str]
    device_name: str
    oscillator_hz: int
    clock_hz: int
    pll: Callable[[int, int], Pll] | None
    button: tuple[str, int]
    lights: int
    lanes: int
    constraints: str
    place: tuple[str, ...]
    packer: str
    pack: tuple[str, ...]
    suffix: str
    program: str

    @property
    def device(self) -> Device:
        """What is on it."""
        return find_device(self.device_name)

    @property
    def bitstream(self) -> str:
        """Name of the file."""
        return f"spikeloom{self.suffix}"

    def clocking(self, clock_hz: int) -> Pll | None:
        """Settings that make the core's clock; None if that is the oscillator's.

        Raises
        ------
        InvalidValue
            The board does not make that clock.
        """
        if clock_hz == self.oscillator_hz:
            return None
        if self.pll is None:
            raise InvalidValue(
                f"clock is {clock_hz / 1e6:g} MHz, {self.name} runs at its oscillator's {self.oscillator_hz / 1e6:g} only; "
                "leave out --clock"
            )
        return self.pll(self.oscillator_hz, clock_hz)

    def make_platform(self) -> Any:
        """A fresh Amaranth platform.

        Raises
        ------
        ToolMissing
            ``amaranth-boards`` is not installed.
        """
        module, name = self.platform
        try:
            platform = getattr(import_module(module), name)()
        except ImportError as error:
            raise ToolMissing(f"cannot import {module}: {error}; pip install 'spikeloom[boards]'") from error
        if hasattr(platform, "break_off_pmod"):  # iCEBreaker's five more LEDs
            platform.add_resources(platform.break_off_pmod)
        return platform


BOARDS = {
    board.name: board
    for board in (
        Board(
            "ulx3s",
            "Radiona ULX3S 85F",
            ("amaranth_boards.ulx3s", "ULX3S_85F_Platform"),
            "ecp5-85k",
            25_000_000,
            50_000_000,
            ecp5_pll,
            ("button_fire", 0),
            8,
            16,
            "top.lpf",
            ("--85k", "--package", "CABGA381", "--speed", "6", "--lpf", "top.lpf", "--textcfg", "top.config"),
            "ecppack",
            ("--compress", "top.config"),
            ".bit",
            "openFPGALoader -b ulx3s",
        ),
        Board(
            "icebreaker",
            "1BitSquared iCEBreaker",
            ("amaranth_boards.icebreaker", "ICEBreakerPlatform"),
            "up5k",
            12_000_000,
            12_000_000,
            ice40_pll,
            ("button", 0),
            7,
            4,
            "top.pcf",
            ("--up5k", "--package", "sg48", "--pcf", "top.pcf", "--asc", "top.asc"),
            "icepack",
            ("top.asc",),
            ".bin",
            "iceprog",
        ),
        Board(
            "tangnano9k",
            "Sipeed Tang Nano 9K",
            ("amaranth_boards.tang_nano_9k", "TangNano9kPlatform"),
            "gw1n-9",
            27_000_000,
            27_000_000,
            None,
            ("button", 0),
            6,
            4,
            "top.cst",
            (
                *("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C", "--vopt", "cst=top.cst"),
                *("--write", "top.pnr.json"),
            ),
            "gowin_pack",
            # the SPI pins of the configuration are ordinary ones on this board: LEDs hang on some
            ("-d", "GW1N-9C", "--sspi_as_gpio", "--mspi_as_gpio", "top.pnr.json", "-o"),
            ".fs",
            "openFPGALoader -b tangnano9k",
        ),
    )
}
"""Boards by name."""


def find_board(name: str) -> Board:
    """One of ``BOARDS``.

    Raises
    ------
    InvalidValue
        Unknown name.
    """
    board = BOARDS.get(name.lower())
    if board is None:
        raise InvalidValue(f"no board {name!r}; there are {', '.join(BOARDS)}")
    return board
