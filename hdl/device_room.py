"""What devices have room for, in plain numbers: the capacities that go by a device's name."""

from math import ceil

from hdl.capacity import NEURON, Capacity
from hdl.program import check_lanes
from toolchain.errors import InvalidValue
from toolchain.ir import MAX_RADIX_STEPS

__all__ = ["DEVICE_CAPACITIES", "POOLING_ROOM", "device_capacity"]

DEVICE_CAPACITIES: dict[str, dict[str, int]] = {
    # weights of 8 bits; neurons of the largest layer; spikes (neurons × T) held at once; output channels of all layers
    "up5k": {
        "weights": 65_536, "neurons": 512, "spikes": 4_096, "pixels": 1_024, "layers": 4, "channels": 128,
        "membrane_bits": 20,
    },
    "ecp5-25k": {
        "weights": 32_768, "neurons": 4_096, "spikes": 32_768, "pixels": 1_024, "layers": 16, "channels": 512,
        "membrane_bits": 24,
    },
    "ecp5-45k": {
        "weights": 65_536, "neurons": 8_192, "spikes": 65_536, "pixels": 3_072, "layers": 16, "channels": 512,
        "membrane_bits": 24,
    },
    "ecp5-85k": {
        "weights": 131_072, "neurons": 16_384, "spikes": 131_072, "pixels": 3_072, "layers": 32, "channels": 1_024,
        "membrane_bits": 24,
    },
}  # fmt: skip
"""Room that devices have for networks of 8-bit weights, in plain numbers; 24 bits of a membrane hold a sum of 784 pixels."""
POOLING_ROOM = {"window": 15, "places": 255}
"""Of max pooling, where no network says how much is needed."""


def device_capacity(
    name: str,
    *,
    lanes: int,
    schedule: str = "two_phase",
    grouped: bool = False,
    spikes: bool = False,
    pooling: bool = False,
    leaks: bool = False,
    currents: bool = False,
    banks: int = 2,
    **neuron: str,
) -> Capacity:
    """The named default for a device: what fits there, of one neuron.

    Parameters
    ----------
    grouped, spikes, pooling, leaks, currents : bool
        Whether it also runs convolutions with groups, frames of spikes beside pixels, max pooling, membranes that leak, and
        currents that last.
    neuron : str
        ``negative``, ``reset``, ``compare``, ``input``; the usual ones where they are not given.

    Raises
    ------
    InvalidValue
        No such device, ``lanes`` out of range, or a neuron that does not exist.
    """
    check_lanes(lanes)
    if name not in DEVICE_CAPACITIES:
        raise InvalidValue(f"no capacity is named {name!r}; there are {', '.join(DEVICE_CAPACITIES)}")
    room = DEVICE_CAPACITIES[name]
    layers, channels = room["layers"], room["channels"]
    entries = 32 * layers
    usual = {**{what: allowed[0] for what, allowed in NEURON.items()}, "schedule": schedule, **neuron}
    return Capacity(
        **{what: usual[what] for what in NEURON},
        lanes=lanes,
        grouped=grouped,
        spikes=spikes and usual["input"] != "spikes",
        banks=banks,
        pixels=0 if usual["input"] == "spikes" else room["pixels"],
        time_steps=MAX_RADIX_STEPS if schedule == "radix" else 32,
        layers=layers,
        classes=100,
        instructions=layers + layers // 2,
        rows=entries,
        columns=entries,
        channels=channels,
        parameter_words=layers + ceil(channels / lanes),
        weight_words=ceil(room["weights"] / lanes),
        membrane_words=ceil(room["neurons"] / lanes),
        spike_words=ceil(room["spikes"] / lanes),
        groups=max(3, ceil(channels / lanes)),
        taps=7,
        weight_bits=8,
        membrane_bits=room["membrane_bits"],
        window=POOLING_ROOM["window"] if pooling else 0,
        places=POOLING_ROOM["places"] if pooling else 0,
        leaks=leaks or currents,
        currents=currents,
    )
