"""The cycle model by hand, and what it refuses."""

import numpy as np
import pytest

from hdl.program import Program
from sim import golden
from tests.networks import frames_for, random_network
from tests.unit.test_integers import make_layer, make_network, two_neurons
from toolchain.cycles import cycles
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT

FRAME = np.array([10, 4], np.uint8).reshape(1, 2, 1, 1)

# initialization, scan, fire, control of the two layers; each event takes a lane 2 cycles
BY_HAND = [
    # two pixels: taken in cycles 10 and 12, done in 14, written in 19; spikes 1110 0000 in 8 words: 10, 12, 14, done in 16
    (two_neurons("two_phase", [5, 7]), [5, 5], [19, 21], [2 * 4 + 5, 0], [6, 6]),
    # spikes 0110 0101: in step 0 only two words are read; in step 3 the event is in the second
    (two_neurons("stream", [25, 10], [1, 0], [0, 1]), [5, 5], [19, 7 + 19 + 17 + 18], [2 * 4 + 5, 0], [6, 4 * 5 + 1]),
]


@pytest.mark.parametrize(("network", "initialization", "scan", "fire", "control"), BY_HAND)
def test_cycles_by_hand(network, initialization, scan, fire, control):
    counts = cycles(network, FRAME, golden.run(network, FRAME, "spikes"), 1)
    layers = np.sum([initialization, scan, fire, control], axis=0)
    assert [counts.initialization.tolist(), counts.scan.tolist()] == [[initialization], [scan]]
    assert [counts.fire.tolist(), counts.control.tolist()] == [[fire], [control]]
    assert np.array_equal(counts.layers, [layers])
    assert counts.total.tolist() == [sum(layers) + 1 + 3]
    assert counts.latency.tolist() == [sum(layers) + 1 + 3 + 4 + 3 * 2 + 2 * 2 + 10 * 2]
    assert sum(counts.breakdown().values()) == counts.latency[0]


def test_images_do_not_depend_on_each_other():
    network = random_network(7)
    frames = frames_for(network, 7, 4)
    together = cycles(network, frames, golden.run(network, frames, "spikes"), 3).layers
    alone = [cycles(network, f[None], golden.run(network, f[None], "spikes"), 3).layers[0] for f in frames]
    assert np.array_equal(together, alone)


def test_wrong_traces_and_lanes_are_refused():
    network = BY_HAND[0][0]
    trace = golden.run(network, FRAME, "spikes")
    other = golden.run(BY_HAND[1][0], FRAME, "spikes")
    for wrong, frames in (
        (other, FRAME),
        (golden.run(network, FRAME, "counts"), FRAME),
        (trace, np.repeat(FRAME, 2, axis=0)),
    ):
        with pytest.raises(InvalidValue, match="trace of this network and these frames with record='spikes'"):
            cycles(network, frames, wrong, 1)
    with pytest.raises(InvalidValue, match="lanes is 65, must be 1 to 64"):
        cycles(network, FRAME, trace, 65)


@pytest.mark.parametrize("lanes", [1, 3])
def test_no_frame_exceeds_the_longest_inference(lanes):
    """One spike, then many classes: the result takes longer than the network."""
    classes = 400
    readout = make_layer(0, np.ones((classes, 1), int), None, np.zeros(classes, int))
    network = make_network("two_phase", 1, (1, 1, 1), make_layer(INPUT, [[1]], [1], [0]), readout)
    frame = np.full((1, 1, 1, 1), 9, np.uint8)
    counts = cycles(network, frame, golden.run(network, frame, "spikes"), lanes)
    assert counts.latency[0] <= Program(network, lanes).longest_inference
