"""A network whose synaptic currents last, by the command line to Verilog: every spike, score and counter; a fault is caught."""

import json

import numpy as np
import pytest

import toolchain.emit
from sim import golden, runner
from tests.cosim.planted import faulty_core
from tests.networks import frames_for, lively_lasting_network
from toolchain import cli
from toolchain.cycles import cycles
from toolchain.netfile import save_network

pytestmark = pytest.mark.usefixtures("fast_compile")


def lasting():
    """Network, the leak before the reset, and frames on which its currents' own shifts show in spikes."""
    network = lively_lasting_network(
        {"schedule": "stream", "reset": "subtract", "compare": "ge", "leak_order": "leak_first", "input": "direct"}, 0
    )
    assert network.leaks and all(layer.current_leak for layer in network.layers)
    return network, frames_for(network, int(network.name.removeprefix("lasting")), 2)


def test_verify(tmp_path, capsys):
    network, frames = lasting()
    save_network(network, tmp_path / "net.safetensors")
    np.savez(tmp_path / "data.npz", images=frames, labels=np.zeros(len(frames), np.int64))
    options = ["--data", str(tmp_path / "data.npz"), "--images", "2", "-P", "4", "--stall", "0.2", "-o", str(tmp_path)]
    assert cli.run(["verify", str(tmp_path / "net.safetensors"), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and told["fingerprint"] == network.fingerprint
    assert told["spikes_compared"] == len(frames) * network.time_steps * sum(
        int(np.prod(s)) for s in network.shapes[:-1]
    )
    trace = golden.run(network, frames, "spikes")
    exact = cycles(network, frames, trace, 4).layers.mean(axis=0)
    assert [row["cycles"] for row in told["breakdown"][:-1]] == [round(float(spent), 1) for spent in exact]


def test_membranes_shifts_for_the_current_are_caught(tmp_path, monkeypatch):
    network, frames = lasting()
    healthy = "Mux(sweep.holds_currents, self.current_leak, self.leak)"
    with faulty_core("hdl.neurons", ((healthy, "self.leak"),)) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = toolchain.emit.emit(network, tmp_path, lanes=4)
    result = runner.verify(bundle, network, frames)
    assert not result.passed and result.spike_mismatches
