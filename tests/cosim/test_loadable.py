"""One compiled core, many networks: loaded one after another, each verified; wrong loads change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.capacity import Capacity
from hdl.host import PacketType
from sim import golden, runner, verilator
from sim.packets import frame_packet, read_result
from tests.cosim.test_verify import SIMULATORS
from tests.loads import differences, loads_and_frames
from tests.malformed import malformed_loads
from tests.networks import frames_for, lasting, leaky, random_network
from tests.pooled_networks import pooled_network
from toolchain.emit import emit
from toolchain.errors import InvalidValue
from toolchain.flow import generate
from toolchain.leak import LEAK_ORDERS
from toolchain.loading import load_packet

LANES = 4


def network_of(seed):
    """Of five networks one takes frames of spikes, one has max pooling, behind pixels or spikes, and one leaks; some currents last."""
    if seed % 5 == 4:
        return replace(pooled_network(seed, input="spikes" if seed % 2 else "direct"), compare="ge")
    if seed % 5 == 3:
        neuron = {"schedule": "stream", "input": "direct" if seed % 2 else "spikes"}
        network = leaky(random_network(seed, neuron=neuron | {"leak_order": LEAK_ORDERS[seed % 4 // 2]}), seed)
        return lasting(network, seed) if seed % 15 == 3 else network
    return random_network(seed, neuron={"input": "spikes" if seed % 5 == 2 else "direct"}, unusual=bool(seed % 2))


NETWORKS = [network_of(seed) for seed in range(50)]
CAPACITY = Capacity.of(*NETWORKS, lanes=LANES)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The core, compiled without optimization."""
    options = tuple("OPT_FAST=-O0" if option.startswith("OPT_FAST") else option for option in verilator.MAKE_OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verilator, "MAKE_OPTIONS", options)
        yield emit(NETWORKS[0], tmp_path_factory.mktemp("loadable"), lanes=LANES, capacity=CAPACITY)


@pytest.mark.parametrize("stall", [0.0, 0.2])
def test_fifty_networks_are_loaded_and_verified_one_after_another(bundle, stall):
    frames = [frames_for(network, seed, 2) for seed, network in enumerate(NETWORKS)]
    packets = loads_and_frames(NETWORKS, frames, CAPACITY)
    answers = runner.exchange(bundle, packets, patience=100_000, stall=stall, seed=5)
    assert len(answers.packets) == len(packets) == 150
    assert {network.schedule for network in NETWORKS} == {"stream", "two_phase"}
    assert len({network.time_steps for network in NETWORKS}) == 8
    assert sum(network.input == "spikes" for network in NETWORKS) == 20 and CAPACITY.window == 3
    assert {network.leak_order for network in NETWORKS if network.leaks} == set(LEAK_ORDERS)
    assert sum(network.leaks for network in NETWORKS) == 10 and sum(network.lasting for network in NETWORKS) == 4
    assert not differences(NETWORKS, frames, LANES, answers.packets, answers.spike_words())


def test_wrong_loads_are_refused_and_the_network_before_runs(bundle):
    network, other = NETWORKS[13], NETWORKS[9]
    frames = frames_for(network, 1, 1)
    frame = frame_packet(frames[0])
    assert network.leaks and CAPACITY.leaks
    wrong = malformed_loads(other, CAPACITY)
    packets = [load_packet(network, CAPACITY).tolist(), *(p for bad, _ in wrong.values() for p in (bad, frame))]
    answers = runner.exchange(bundle, packets, patience=20_000).packets
    expected = golden.run(network, frames).scores[0]
    for (name, (_, code)), error, answer in zip(wrong.items(), answers[1::2], answers[2::2], strict=True):
        assert error == [PacketType.ERROR << 24 | 1, code], name
        result = read_result(answer, classes=len(expected), layers=len(network.layers))
        assert result.network_id == int(network.fingerprint[:8], 16), name
        assert np.array_equal(result.scores, expected), name


def test_verify_loads_the_network_that_it_is_given(bundle):
    for network in (NETWORKS[0], NETWORKS[2], NETWORKS[3], NETWORKS[4]):
        result = runner.verify(bundle, network, frames_for(network, 3, 2), stall=0.1)
        assert result.passed and result.images == 2, result.differences
    with pytest.raises(InvalidValue, match=r"does not fit the core: it needs schedule radix: the core has stream"):
        radix = random_network(3, neuron={"schedule": "radix", "input": "direct"})
        runner.verify(bundle, radix, frames_for(radix, 3, 1))


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_generated_core_of_other_neurons(tmp_path, simulator):
    neuron = {"schedule": "radix", "negative": "asymmetric", "input": "bitplane"}
    first, second = (random_network(seed, neuron=neuron, time_steps=2 + seed) for seed in (1, 4))
    capacity = Capacity.of(first, second, lanes=3)
    made = generate(first, tmp_path, lanes=3, frames=frames_for(first, 1, 2), capacity=capacity)
    for network in (first, second):
        assert runner.verify(made, network, frames_for(network, 2, 2), simulator=simulator).passed
    # the hardware depends on the capacity, not on the network in the folder
    again = emit(second, tmp_path / "again", lanes=3, capacity=capacity)
    assert again.verilog.read_bytes() == made.verilog.read_bytes()
    assert again.load.read_bytes() != made.load.read_bytes()
