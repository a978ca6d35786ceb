"""Devices that networks are synthesized for, as data: how the tools are called, and what a device holds."""

from dataclasses import dataclass, field

from toolchain.errors import InvalidValue

__all__ = ["DEVICES", "FAMILIES", "RESOURCES", "Device", "Family", "find_device"]

RESOURCES = {
    "lut": "LUT4",
    "ff": "flip-flops",
    "carry": "carry cells",
    "bram": "block RAMs",
    "dsp": "multipliers",
    "lutram": "LUT RAMs",
    "spram": "single-port RAMs",
}
"""Resources of a design and what messages call them."""


@dataclass(frozen=True)
class Family:
    """What the devices of one architecture have in common.

    Members
    -------
    name : str
    placer : str or None
        Its nextpnr, a key of ``toolchain.tools.SYNTHESIS``; None where place and route needs the vendor's tool.
    cells : dict
        For each resource, the cell types of Yosys's netlist and how much of the resource one takes.
    sites : dict
        For each resource, what nextpnr calls it in its utilization.
    bram_bits : int
        Bits of one block RAM.
    lut : str
        What ``lut`` counts here.
    memory_stage : str
        The stage of Yosys's command that chooses memories; empty where the command is not divided.
    """

    name: str
    placer: str | None
    cells: dict[str, dict[str, int]]
    sites: dict[str, str]
    bram_bits: int
    lut: str = "LUT4"
    memory_stage: str = "map_ram"


def _ones(*kinds: str) -> dict[str, int]:
    return dict.fromkeys(kinds, 1)


def _flip_flops(prefix: str, *kinds: str) -> dict[str, int]:
    return {prefix + kind: 1 for kind in kinds}


_XILINX_LUTS = {f"LUT{inputs}": 1 for inputs in range(1, 7)}
_XILINX_LUT_RAMS = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "RAM256X1D": 8, "SRL16E": 1, "SRLC32E": 1,
}  # fmt: skip

FAMILIES = {
    "ecp5": Family(
        "ecp5",
        "nextpnr-ecp5",
        {
            # a carry cell takes two LUTs, a LUT RAM four
            "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
            "ff": _ones("TRELLIS_FF"),
            "carry": _ones("CCU2C"),
            "bram": _ones("DP16KD", "PDPW16KD"),
            "dsp": _ones("MULT18X18D"),
            "lutram": _ones("TRELLIS_DPR16X4"),
        },
        {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "bram": "DP16KD", "dsp": "MULT18X18D", "lutram": "TRELLIS_RAMW"},
        18 * 1024,
    ),
    "ice40": Family(
        "ice40",
        "nextpnr-ice40",
        {
            "lut": _ones("SB_LUT4"),
            "ff": _flip_flops("SB_DFF", *(e + r for e in ("", "E") for r in ("", "R", "S", "SR", "SS"))),
            "carry": _ones("SB_CARRY"),
            "bram": _flip_flops("SB_RAM40_4K", "", "NR", "NW", "NRNW"),
            "dsp": _ones("SB_MAC16"),
            "spram": _ones("SB_SPRAM256KA"),
        },
        {"lut": "ICESTORM_LC", "bram": "ICESTORM_RAM", "dsp": "ICESTORM_DSP", "spram": "ICESTORM_SPRAM"},
        4 * 1024,
        "logic cells (LUT4, carry and flip-flop)",
    ),
    "gowin": Family(
        "gowin",
        "nextpnr-himbaechel",
        {
            "lut": _ones("LUT1", "LUT2", "LUT3", "LUT4"),
            "ff": _flip_flops("DFF", *(e for e in ("", "E", "S", "SE", "R", "RE", "P", "PE", "C", "CE"))),
            "carry": _ones("ALU"),
            "bram": _ones(
                "SP", "SPX9", "SDP", "SDPB", "SDPX9", "SDPX9B", "DP", "DPB", "DPX9", "DPX9B", "pROM", "pROMX9"
            ),
            # in halves: a block of 18×18 is two multipliers of 9×9
            "dsp": {"MULT9X9": 1, "MULT18X18": 2, "MULTALU18X18": 2, "MULT36X36": 8},
            "lutram": _ones("RAM16SDP1", "RAM16SDP2", "RAM16SDP4"),
        },
        {"lut": "LUT4", "ff": "DFF", "carry": "ALU", "bram": "BSRAM", "lutram": "RAM16SDP4"},
        18 * 1024,
    ),
    "xilinx": Family(
        "xilinx",
        None,
        {
            "lut": {**_XILINX_LUTS, **_XILINX_LUT_RAMS},
            "ff": _ones("FDRE", "FDSE", "FDCE", "FDPE"),
            "carry": _ones("CARRY4", "CARRY8"),
            "bram": {"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2},
            "dsp": _ones("DSP48E1", "DSP48E2"),
            "lutram": _XILINX_LUT_RAMS,
        },
        {},
        18 * 1024,
        "LUT6",
        "",
    ),
}
"""Architectures by name."""


@dataclass(frozen=True)
class Device:
    """One device in one package and speed grade.

    Members
    -------
    name, title : str
    family : Family
    has : dict
        Of each resource that can run out. The numbers are the data sheets'; where nextpnr counts, its count is used.
    synthesis : tuple of str
        Yosys's command and its options.
    place : tuple of str
        Options of nextpnr.
    pins : dict
        Locations of the harness's pins, where the placer does not choose them.
    part : str
        The vendor's order code.
    clock_mhz : float
        The target when none is given: what the tools aim at.
    """

    name: str
    title: str
    family: Family
    has: dict[str, int]
    synthesis: tuple[str, ...]
    part: str
    clock_mhz: float
    place: tuple[str, ...] = ()
    pins: dict[str, str] = field(default_factory=dict)

    @property
    def bram_kbit(self) -> float:
        """Block RAM, in kbit."""
        return self.has["bram"] * self.family.bram_bits / 1024


_PINS = ("clk", "reset", "i_bit", "i_shift", "i_offer", "o_shift", "o_release", "i_full", "o_bit", "o_full")


def _ecp5(size: str, part: str, luts: int, brams: int, dsps: int) -> Device:
    return Device(
        f"ecp5-{size}",
        f"Lattice {part}, CABGA381, speed grade 6",
        FAMILIES["ecp5"],
        {"lut": luts, "ff": luts, "bram": brams, "dsp": dsps},
        ("synth_ecp5",),
        f"{part}-6BG381C",
        100.0,
        (f"--{size}", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
    )


def _ice40(name: str, title: str, package: str, clock: float, yosys: tuple[str, ...], **has: int) -> Device:
    return Device(
        name,
        title,
        FAMILIES["ice40"],
        {"ff": has["lut"], **has},
        ("synth_ice40", *yosys),
        title.split()[-1],
        clock,
        (f"--{name}", "--package", package, "--pcf-allow-unconstrained"),
    )


def _gowin(name: str, part: str, yosys: str, nextpnr: str, pins: str, **has: int) -> Device:
    return Device(
        name,
        f"Gowin {part}",
        FAMILIES["gowin"],
        has,
        ("synth_gowin", "-family", yosys),
        part,
        50.0,
        ("--device", part, "--vopt", f"family={nextpnr}"),
        dict(zip(_PINS, pins.split(), strict=True)),
    )


def _xilinx(name: str, title: str, family: str, part: str, clock: float, **has: int) -> Device:
    # flat, as the commands of the other families do by themselves: module by module, ABC9 of Yosys 0.70 gives two wires one name
    yosys = ("synth_xilinx", "-family", family, "-noiopad", "-flatten")
    return Device(name, f"AMD {title}", FAMILIES["xilinx"], has, yosys, part, clock)


DEVICES = {
    device.name: device
    for device in (
        _ecp5("25k", "LFE5U-25F", 24_288, 56, 28),
        _ecp5("45k", "LFE5U-45F", 43_848, 108, 72),
        _ecp5("85k", "LFE5U-85F", 83_640, 208, 156),
        _ice40(
            "up5k", "Lattice iCE40UP5K", "sg48", 16.0, ("-device", "u", "-dsp", "-spram"),
            lut=5_280, bram=30, dsp=8, spram=4,
        ),
        _ice40("hx8k", "Lattice iCE40HX8K", "ct256", 50.0, ("-device", "hx"), lut=7_680, bram=32, dsp=0),
        _gowin(
            "gw1n-9", "GW1NR-LV9QN88PC6/I5", "gw1n", "GW1N-9C", "52 4 25 26 27 28 29 10 11 13",
            lut=8_640, ff=6_480, carry=6_480, bram=26, dsp=40, lutram=270,
        ),
        _gowin(
            "gw2a-18", "GW2A-LV18PG256C8/I7", "gw2a", "GW2A-18", "H11 T10 T3 T2 C13 A13 N16 N14 L14 L16",
            lut=20_736, ff=15_552, carry=15_552, bram=46, dsp=96, lutram=648,
        ),
        _xilinx("xc7a35t", "Artix-7 XC7A35T", "xc7", "xc7a35tcpg236-1", 100.0, lut=20_800, ff=41_600, bram=100, dsp=90),
        _xilinx(
            "xc7a100t", "Artix-7 XC7A100T", "xc7", "xc7a100tcsg324-1", 100.0,
            lut=63_400, ff=126_800, bram=270, dsp=240,
        ),
        _xilinx(
            "xc7z020", "Zynq-7000 XC7Z020", "xc7", "xc7z020clg400-1", 100.0, lut=53_200, ff=106_400, bram=280, dsp=220
        ),
        _xilinx(
            "xczu3eg", "Zynq UltraScale+ XCZU3EG", "xcup", "xczu3eg-sbva484-1-e", 150.0,
            lut=70_560, ff=141_120, bram=432, dsp=360,
        ),
        _xilinx(
            "xcku5p", "Kintex UltraScale+ XCKU5P", "xcup", "xcku5p-ffvb676-1-e", 150.0,
            lut=216_960, ff=433_920, bram=960, dsp=1_824,
        ),
    )
}  # fmt: skip
"""Devices by name."""


def find_device(name: str) -> Device:
    """One of ``DEVICES``.

    Raises
    ------
    InvalidValue
        Unknown name.
    """
    device = DEVICES.get(name.lower())
    if device is None:
        raise InvalidValue(f"no device {name!r}; there are {', '.join(DEVICES)}")
    return device
