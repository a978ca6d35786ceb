"""Golden model, oracle, closed forms and bounds."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden, oracle
from tests.networks import NEURONS, fixed_point_networks, frames_for, random_network
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.geometry import fan_out
from toolchain.netfile import load_network, save_network


@settings(max_examples=400, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 1000))
def test_golden_equals_oracle_and_stays_in_the_proven_range(network, seed):
    frames = frames_for(network, seed, 2)
    fast, naive = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(fast.scores, naive.scores)
    assert fast.activity == naive.activity
    for ours, theirs in zip(fast.spikes + fast.counts, naive.spikes + naive.counts, strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs, proven in zip(fast.membranes, naive.membranes, network.ranges, strict=True):
        assert np.array_equal(ours, theirs)
        assert proven.low <= ours.min() and ours.max() <= proven.high


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), neuron=st.sampled_from([n for n in NEURONS if n["schedule"] != "stream"]))
def test_values_are_the_clipped_quotient(seed, neuron):
    """The closed forms of design section 3, on the oracle, which fires one step at a time."""
    network = random_network(seed, neuron=neuron)
    trace = oracle.run(network, frames_for(network, seed, 2))
    firing = [layer for layer in network.layers if layer.threshold is not None]
    radix, steps = neuron["schedule"] == "radix", network.time_steps
    worth = np.array([2 ** (steps - 1 - t) if radix else 1 for t in range(steps)])
    for layer, spikes, rest in zip(firing, trace.spikes, trace.membranes, strict=False):
        theta = layer.threshold[None, :, None, None]
        below = theta if layer.negative_threshold is None else layer.negative_threshold[None, :, None, None]
        values = (spikes * worth[None, :, None, None, None]).sum(axis=1)
        before = rest + values * np.where(values < 0, below, theta)
        divisor = np.where(before < 0, below, theta)
        magnitude = before if neuron["negative"] == "none" else np.abs(before)
        quotient = np.clip((magnitude - (neuron["compare"] == "gt")) // divisor, 0, 2**steps - 1 if radix else steps)
        signed = quotient if neuron["negative"] == "none" else np.sign(before) * quotient
        if neuron["negative"] == "floor":
            downwards = np.clip(before // theta, -steps, 0)
            upwards = np.clip((before - (neuron["compare"] == "gt")) // theta, 0, steps)
            signed = np.where(before < 0, downwards, upwards)
        assert np.array_equal(values, signed)


def test_fan_out_against_brute_force():
    for seed in range(60):
        network = random_network(seed)
        for layer in network.layers:
            for connection in layer.connections:
                source = network.source_shape(connection)
                output = connection.output(source)
                brute = np.zeros(source, int)
                for c, y, x in np.ndindex(source):
                    py, px = y // connection.pool[0], x // connection.pool[1]
                    if py >= source[1] // connection.pool[0] or px >= source[2] // connection.pool[1]:
                        continue
                    for o, oy, ox in np.ndindex(output):
                        ky = py + connection.padding[0] - oy * connection.stride[0]
                        kx = px + connection.padding[1] - ox * connection.stride[1]
                        inside = 0 <= ky < connection.kernel[0] and 0 <= kx < connection.kernel[1]
                        brute[c, y, x] += inside and connection.weight[o, c, ky, kx] != 0
                assert np.array_equal(fan_out(connection, source, effective=True), brute)


def test_network_file_round_trip_and_tampering(tmp_path):
    network = next(network for network in map(random_network, count()) if network.weight_bits == 8)
    path = tmp_path / "net.safetensors"
    save_network(network, path)
    assert load_network(path).fingerprint == network.fingerprint
    raw = path.read_bytes()
    for broken in (raw[:-1], raw[:40], b"", raw.replace(b"random", b"ramdon")):
        path.write_bytes(broken)
        with pytest.raises(NetworkFileError):
            load_network(path)
    # the lowest bit of the last weight: a network like any other, but not this one
    path.write_bytes(raw[:-4] + bytes([raw[-4] ^ 1]) + raw[-3:])
    with pytest.raises(NetworkFileError, match="was edited: fingerprint"):
        load_network(path)


@pytest.mark.parametrize("frames", [np.zeros((1, 9, 9, 9), np.uint8), np.zeros((1, 2, 2), np.float32)])
def test_wrong_frames_are_refused(frames):
    with pytest.raises(InvalidValue, match="frames"):
        golden.run(random_network(5), frames)
