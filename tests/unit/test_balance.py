"""Where a network can be cut and how its layers are shared out among cores."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.networks import frames_for, random_network
from tests.unit.test_integers import make_layer, make_network
from toolchain import flow
from toolchain.balance import balance, named_cuts, split_at
from toolchain.cli import app
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT
from toolchain.netfile import save_network
from toolchain.segments import cut_places, segments


def deep(widths, schedule="two_phase"):
    """Dense layers of ``widths`` outputs, the last the readout, on 3 pixels."""
    rng = np.random.default_rng(len(widths))
    layers, inputs = [], 3
    for index, width in enumerate(widths):
        readout = index == len(widths) - 1
        threshold = None if readout else np.full(width, 12)
        layers.append(
            replace(
                make_layer(index - 1, rng.integers(-5, 12, (width, inputs)), threshold, np.full(width, 3)),
                name=f"l{index}",
            )
        )
        inputs = width
    return make_network(schedule, 3, (3, 1, 1), *layers)


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 6])
def test_no_other_split_has_a_faster_slowest_core(cores):
    network = deep([9, 40, 2, 17, 30, 4])
    frames = frames_for(network, 1, 3)
    found = balance(network, frames, lanes=2, cores=cores)
    tried = [split_at(network, frames, lanes=2, cuts=cuts) for cuts in combinations(cut_places(network), cores - 1)]
    assert found.cycles == min(split.cycles for split in tried)
    assert len(found.stages) == cores == len(found.cuts) + 1


def test_a_cut_is_where_one_layer_alone_crosses():
    rng = np.random.default_rng(0)

    def conv(source, fires=True):
        return make_layer(source, rng.integers(-5, 9, (2, 2, 1, 1)), [9, 9] if fires else None, [1, 1])

    joined = conv(1)
    joined = replace(joined, connections=(*joined.connections, conv(0).connections[0]))
    last = make_layer(3, rng.integers(-5, 9, (2, 2, 2, 2)), None, [0, 0], kind="linear")
    # 0 → 1 → 2 with 0 joined, 2 → 3 → readout: within the block 0 and 1 both cross
    network = make_network("stream", 2, (2, 2, 2), conv(INPUT), conv(0), joined, conv(2), last)
    assert cut_places(network) == (1, 3, 4)  # before 1 only layer 0 crosses, and the block's join reads it there too
    first, block, end = segments(network, (1, 3))
    assert [len(part.layers) for part in (first, block, end)] == [1, 2, 2]
    assert [c.source for c in block.layers[1].connections] == [0, INPUT]
    assert (first.input, block.input, end.input) == ("direct", "spikes", "spikes")
    with pytest.raises(InvalidValue, match="cannot be cut before layer from 1: only the spikes of a single layer"):
        segments(network, (2,))
    with pytest.raises(InvalidValue, match="must be a readout without threshold"):
        replace(network, layers=network.layers[:2])


def test_two_layers_that_read_the_frame_keep_together():
    rng = np.random.default_rng(0)
    a, b = (make_layer(INPUT, rng.integers(-5, 9, (2, 3)), [9, 9], [1, 1]) for _ in range(2))
    end = make_layer(0, rng.integers(-5, 9, (2, 2)), None, [0, 0])
    end = replace(end, connections=(*end.connections, replace(end.connections[0], source=1)))
    network = make_network("two_phase", 2, (3, 1, 1), a, b, end)
    assert cut_places(network) == ()
    with pytest.raises(
        InvalidValue, match=r"cores is 2, the network can be shared out among 1 at most: .*before layers none"
    ):
        balance(network, frames_for(network, 1, 1), lanes=1, cores=2)


def test_segments_of_random_networks_hold_every_layer_once():
    for seed in range(60):
        network = random_network(seed)
        parts = segments(network, cut_places(network))
        names = [layer.name for part in parts for layer in part.layers]
        assert names == [layer.name for layer in network.layers]
        for before, behind in pairwise(parts):
            assert before.shapes[-1] == behind.input_shape
        assert max(part.membrane_bits for part in parts) == network.membrane_bits


def test_what_is_asked_for_wrongly():
    network = deep([4, 4, 4])
    frames = frames_for(network, 1, 2)
    wrong = [
        ({"cores": 4}, "cores is 4, the network can be shared out among 3 at most: .* before layers l1, l2"),
        ({"cores": 0}, "cores is 0, must be at least 1"),
        ({"cut": ["l7"]}, "cut before layer 'l7': the network has 0 layers of that name; it has l0, l1, l2"),
        ({"cut": ["l0"]}, "cannot be cut before layer l0: .*possible before l1, l2"),
        ({"cut": ["l2", "l1"]}, r"cuts are before layers \[2, 1\], must be different ones in the network's order"),
        ({"cores": 2, "cut": ["l1", "l2"]}, "cores is 2, but 2 cuts make 3; leave out --cores"),
    ]
    for options, message in wrong:
        with pytest.raises(InvalidValue, match=message):
            flow.shared_out(network, frames, lanes=2, **options)
    assert flow.shared_out(network, frames, lanes=2) is None
    assert named_cuts(network, ["l1"]) == (1,)
    assert flow.shared_out(network, frames, lanes=2, cut=["l1"]).cuts == (1,)


def test_command_line_generates_a_chain_and_refuses_in_one_line(tmp_path):
    save_network(deep([4, 4, 4]), path := tmp_path / "net.safetensors")
    run = CliRunner().invoke(
        app, ["generate", str(path), "-P", "2", "--cores", "3", "-o", str(tmp_path / "rtl")], catch_exceptions=False
    )
    assert run.exit_code in (None, 0), run.output
    text = (tmp_path / "rtl" / "spikeloom_core.v").read_text()
    assert "3 cores, cut before layers [1, 2]" in text and "spike2_done" in text
    with pytest.raises(InvalidValue, match="generated already; leave out --cores and --cut"):
        CliRunner().invoke(
            app, ["verify", str(tmp_path / "rtl"), "--data", "random", "--cores", "2"], catch_exceptions=False
        )
    with pytest.raises(InvalidValue, match="cut '4,,8' is not a list of layers such as 4,8"):
        CliRunner().invoke(
            app, ["generate", str(path), "--cut", "4,,8", "-o", str(tmp_path / "x")], catch_exceptions=False
        )
