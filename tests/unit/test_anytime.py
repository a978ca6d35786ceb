"""One run of the integers against a run for each T."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden
from tests.networks import NEURONS, frames_for, random_network
from toolchain.errors import InvalidValue

STREAM = [neuron for neuron in NEURONS if neuron["schedule"] == "stream"]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    neuron=st.sampled_from(STREAM),
    steps=st.sets(st.integers(1, 20), min_size=1, max_size=5),
)
def test_anytime_is_one_run_for_each_t(seed, neuron, steps):
    network, steps = random_network(seed, neuron=neuron), sorted(steps)
    frames = frames_for(network, seed, 3)
    for t, found in zip(steps, golden.anytime(network, frames, steps), strict=True):
        separate = replace(network, time_steps=t)
        expected = golden.run(separate, frames)
        assert found.fingerprint == separate.fingerprint
        assert np.array_equal(found.scores, expected.scores) and found.activity == expected.activity


def test_chunks_change_nothing(monkeypatch):
    network = random_network(5, neuron=STREAM[0])
    frames = frames_for(network, 5, 40)
    whole = golden.anytime(network, frames, (2, 9))
    monkeypatch.setattr(golden, "_CHUNK_VALUES", 1000)
    for a, b in zip(whole, golden.anytime(network, frames, (2, 9)), strict=True):
        assert np.array_equal(a.scores, b.scores) and a.activity == b.activity
    assert whole[1].activity.spikes.sum() > whole[0].activity.spikes.sum() > 0


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        ("two_phase", (1, 2), "schedule is two_phase, must be stream; quantize and run the network for each T"),
        ("stream", (), r"time steps are \[\], must be at least one"),
        ("stream", (4, 2), "in increasing order"),
        ("stream", (1, 1025), "time steps is 1025, must be 1 to 1024"),
    ],
)
def test_anytime_refuses(schedule, steps, message):
    network = random_network(5, schedule=schedule)
    with pytest.raises(InvalidValue, match=message):
        golden.anytime(network, frames_for(network, 5, 1), steps)
