"""Leaky neurons of NIR: what is read leaks as the graph says, what is written reads back exactly, the rest is refused.

β is 1/2 and weights are multiples of 1/16 where spikes are compared, so that every membrane is exact in float32.
"""

import json
import math
import re

import nir
import numpy as np
import pytest

from sim import floating, golden, oracle
from sim.passage import passages
from tests.nir_by_hand import agree, frames, options, run_by_hand, spikes_of
from tests.nir_graphs import chain, dense, fires
from toolchain import cli
from toolchain.checking import CheckOptions, check
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange import DECAYS, DRIVES, ORDERS_OF_NIR, STARTS, leak_text, read_nir, to_nir, write_nir
from toolchain.leak import LEAK_ORDERS, Decay, time_constant
from toolchain.netfile import load_network, load_spiking
from toolchain.quantize import quantize

STEPS = 8
EULER = {"drive": "tau", "decay": "euler", "current_drive": "tau"}


def lif(size, tau=2.0, *, r=None, v_leak=0.0, threshold=1.0, v_reset=0.0):
    full = [np.full(size, value) for value in (tau, tau if r is None else r, v_leak, threshold, v_reset)]
    return nir.LIF(*full)


def li(size, tau=2.0, *, r=None, v_leak=0.0):
    return nir.LI(*(np.full(size, value) for value in (tau, tau if r is None else r, v_leak)))


def cuba(size, tau=2.0, *, v_leak=0.0, threshold=1.0):
    """Its synaptic current lasts one step."""
    full = [np.full(size, value) for value in (1.0, tau, tau, v_leak, threshold)]
    return nir.CubaLIF(*full)


def leaky(seed=11, **more):
    """LIF, CubaLIF, and an LI as readout."""
    rng = np.random.default_rng(seed)
    last = li(3, v_leak=more.get("v_leak", 0.0))
    return chain(dense(rng, 9, 6), lif(9, threshold=0.75, **more), dense(rng, 7, 9), cuba(7), dense(rng, 3, 7), last)


# --- what is read


@pytest.mark.parametrize("compare", ["ge", "gt"])
@pytest.mark.parametrize(
    ("reset", "order"), [("subtract", "reset_first"), ("subtract", "leak_first"), ("zero", "reset_first")]
)
def test_leaky_neurons_of_every_kind(compare, reset, order):
    network = agree(leaky(), (6, 1, 1), compare=compare, reset=reset, order=order, steps=STEPS)
    assert [layer.leak for layer in network.layers] == [0.5] * 3 and network.leak_order == order


def test_the_orders_of_reset_and_leak_differ():
    """What ``agree`` holds apart: both orders, and leak against none."""
    images = frames(6, 1, 1)
    trains = [
        spikes_of(read_nir(graph, options(time_steps=STEPS, leak_order=order, **EULER)), images)
        for graph, order in ((leaky(), "reset_first"), (leaky(), "leak_first"), (leaky(tau=1e9, r=1e9), "reset_first"))
    ]
    assert not any(np.array_equal(trains[a][0], trains[b][0]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("start", STARTS)
def test_resets_leaks_and_starts_elsewhere_than_zero(start):
    """v_leak, v_reset and V(0), each its own: a bias, a shift of the threshold, and a first membrane that has leaked once."""
    graph = leaky(v_leak=0.25, v_reset=-0.5)
    graph.nodes["3"].v_leak[:] = -0.125
    network = agree(graph, (6, 1, 1), reset="value", start=start, steps=STEPS)
    first, second, last = network.layers
    assert (first.threshold == 1.25).all() and (second.threshold == 1).all()
    assert np.array_equal(first.bias, graph.nodes["0"].bias + 0.375)
    assert np.array_equal(second.bias, graph.nodes["2"].bias - 0.0625)
    told = {"zero": (0.25, 0, 0), "reset": (0, 0, 0), "leak": (0.375, -0.0625, 0.125)}[start]
    assert [layer.initial[0] for layer in (first, second, last)] == list(told)


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("decay", DECAYS)
def test_drives_and_decays(drive, decay):
    """r·dt/τ, r·(1 − β), r and r·dt/(τ·β); 1 − dt/τ and exp(−dt/τ)."""
    tau = 1 / math.log(2) if decay == "exp" else 2.0
    gain = {"tau": 1 / tau, "share": 0.5, "whole": 1.0, "decayed": 1 / tau / 0.5}[drive]
    rng = np.random.default_rng(12)
    graph = chain(dense(rng, 9, 6), lif(9, tau, r=1.0, threshold=0.5), dense(rng, 3, 9), li(3, tau, r=1.0))
    images = frames(6, 1, 1)
    network = read_nir(graph, options(time_steps=STEPS, decay=decay, drive=drive))
    assert [layer.leak for layer in network.layers] == [0.5, 0.5]
    assert np.array_equal(network.layers[0].connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight * gain)
    seen = run_by_hand(graph, images, compare="ge", reset="subtract", steps=STEPS, decay=decay, drive=drive)
    assert np.array_equal(spikes_of(network, images)[0].squeeze(), seen["1"])
    scores = floating.run(network, images) * STEPS
    assert np.allclose(scores, seen["3"][-1], rtol=1e-6, atol=1e-6)  # r·dt/τ is no dyadic number where τ is 1/ln 2


def test_dt_is_the_time_step_of_leaky_neurons_too():
    graph = chain(dense(np.random.default_rng(2), 5, 6), lif(5), dense(np.random.default_rng(3), 3, 5))
    network = read_nir(graph, options(dt=0.5, decay="euler", drive="tau"))
    assert network.layers[0].leak == 0.75
    assert np.array_equal(network.layers[0].connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight * 0.5)
    agree(
        chain(dense(np.random.default_rng(2), 5, 6), lif(5, 1.0, r=2.0), dense(np.random.default_rng(3), 3, 5)),
        (6, 1, 1),
        dt=0.5,
        steps=STEPS,
    )


def test_readouts_of_leaky_neurons():
    """Spikes are counted without leak; a membrane that does not fire leaks; a current is added up."""
    rng = np.random.default_rng(13)
    nodes = dense(rng, 5, 6), lif(5, threshold=0.5), dense(rng, 3, 5), lif(3)
    counted = agree(chain(*nodes), (6, 1, 1), steps=STEPS)
    assert [layer.leak for layer in counted.layers] == [0.5, 0.5, None]
    chosen = options(time_steps=STEPS, drive="tau", decay="euler")
    silent = read_nir(chain(*nodes), options(**{**vars(chosen), "readout": "membrane"}))
    assert silent.fingerprint == read_nir(chain(*nodes[:3], li(3)), chosen).fingerprint
    assert [layer.leak for layer in read_nir(chain(*nodes[:3]), chosen).layers] == [0.5, None]


def test_a_share_comes_back_as_it_was_before_it_was_a_time_constant():
    """In float32, as snnTorch computes τ: rounded to the file's precision 1 − dt/τ is β again, to the last bit."""
    shares = np.random.default_rng(0).uniform(0.5, 1, 400).astype(np.float32)
    exact = 0
    for share in shares:
        tau = np.float32(1e-4) / (1 - share)
        graph = chain(
            nir.Linear(np.ones((1, 6))), nir.LI(tau[None], (tau / np.float32(1e-4))[None], np.zeros(1)), out=(1,)
        )
        layer = read_nir(graph, options(preset="snntorch")).layers[0]
        assert layer.leak == float(share) and (layer.connections[0].weight == 1).all()
        exact += 1 - 1e-4 / float(tau) == float(share)
    assert exact < len(shares) / 10, "it is the rounding that does it"


def test_one_step_of_neurons_whose_leak_nothing_here_has():
    """In one step there is nothing to share out: any leak is read, and the network then holds for T = 1 only."""
    weight = dense(np.random.default_rng(0), 3, 6)
    exact = read_nir(chain(weight, fires(3), nir.Linear(np.eye(3))), options(time_steps=1))
    ends = {"decay": "euler", "drive": "tau", "time_steps": 1}
    for tau in (np.array([2.0, 4.0, 8.0]), np.full(3, 1.0), np.full(3, 0.5)):
        network = read_nir(chain(weight, lif(3, tau), nir.Linear(np.eye(3))), options(**ends))
        assert network.fingerprint == exact.fingerprint and network.provenance["fixed_time_steps"] == 1
        with pytest.raises(InvalidValue, match=r"time steps is 2, must be 1.*would leak"):
            network.with_time_steps(2)
        with pytest.raises(InvalidValue, match="T = 1 only"):
            to_nir(network)
    drawn = chain(weight, lif(3, np.array([2.0, 4.0, 8.0]), v_leak=0.5), nir.Linear(np.eye(3)))
    bias = read_nir(drawn, options(**ends)).layers[0].bias - weight.bias
    assert bias.tolist() == [0.25, 0.125, 0.0625]
    alike = read_nir(chain(weight, lif(3, 4.0), nir.Linear(np.eye(3))), options(**ends))
    assert alike.layers[0].leak == 0.75 and "fixed_time_steps" not in alike.provenance
    assert alike.with_time_steps(2).layers[0].leak == 0.75, "a leak that is there needs no fixed T"


# --- what is said


def test_the_contract_and_the_error_of_the_shifts_are_said_and_kept(tmp_path, capsys):
    nir.write(
        tmp_path / "x.nir", chain(dense(np.random.default_rng(0), 4, 6), lif(4, 1e-3, r=10.0), li(4, 1e-3, r=10.0))
    )
    graph = chain(
        dense(np.random.default_rng(0), 4, 6),
        lif(4, 1e-3, r=10.0),
        dense(np.random.default_rng(1), 3, 4),
        li(3, 5e-4, r=5.0),
    )
    nir.write(tmp_path / "x.nir", graph)
    target = tmp_path / "snn.safetensors"
    assert cli.run(["import", str(tmp_path / "x.nir"), "-T", "8", "--preset", "snntorch", "-o", str(target)]) == 0
    told = capsys.readouterr().out
    for part in (
        "leaky neurons: V = β·V + (1 − β)·v_leak + gain·(Σ w·s + b), β = 1 − dt/τ, dt = 0.0001, gain = r·dt/τ",
        "the membrane leaks before the reset, which comes a step later: V = β·V − θ·s",
        "1 keeps β = 0.9 of its membrane in a step (τ = 9.491 steps); in integers 1 − 2^−3 + 2^−5 − 2^−7 = 0.898438, "
        "off by -0.0016, τ by -1.6%",
        "3 keeps β = 0.8 of its membrane in a step (τ = 4.481 steps); in integers 1 − 2^−2 + 2^−4 − 2^−6 = 0.796875",
    ):
        assert part in told
    network = load_spiking(target)
    assert network.provenance["nir"]["contract"]["leak_order"] == "leak_first" == network.leak_order
    assert sum("keeps β" in note for note in network.provenance["nir"]["notes"]) == 2
    made = tmp_path / "net.safetensors"
    assert cli.run(["quantize", str(target), "--no-table", "-o", str(made)]) == 0
    fixed = load_network(made)
    assert [layer.leak.terms for layer in fixed.layers] == [(3, -5, 7), (2, -4, 6)]
    capsys.readouterr()
    assert cli.run(["export", str(target), "-o", str(tmp_path / "y.nir")]) == 0
    assert "the membrane leaks before the reset, V = β·V − θ·s, β = 1 − dt/τ" in " ".join(
        capsys.readouterr().out.split()
    )
    assert read_nir(tmp_path / "y.nir").fingerprint == network.fingerprint


def test_what_the_shifts_miss_is_what_the_integers_do():
    for share in (0.5, 0.6, 0.9, 0.95, 0.99):
        text, decay = leak_text(share), Decay.nearest(share)
        found = float(re.search(r"= ([0-9.]+), off", text).group(1))
        assert found == pytest.approx(decay.share, abs=1e-6)
        missed = 100 * (time_constant(decay.share) / time_constant(share) - 1)
        assert float(re.search(r"τ by ([-+0-9.e]+)%", text).group(1)) == pytest.approx(missed, rel=0.06, abs=1e-9)


def test_flags_and_choices():
    assert ORDERS_OF_NIR == LEAK_ORDERS
    contract = read_nir(leaky(), options(**{**EULER, "drive": "whole"}, leak_order="leak_first")).provenance["nir"][
        "contract"
    ]
    assert (contract["drive"], contract["readout_drive"], contract["decay"], contract["leak_order"]) == (
        "whole", "whole", "euler", "leak_first",
    )  # fmt: skip
    for wrong, message in (
        ({"drive": "half"}, "drive is 'half', must be one of tau, share, whole, decayed"),
        ({"decay": "linear"}, "decay is 'linear', must be one of euler, exp"),
        ({"leak_order": "never"}, "leak_order is 'never', must be one of reset_first, leak_first"),
        ({"start": "rest"}, "start is 'rest', must be one of zero, reset, leak"),
    ):
        with pytest.raises(InvalidValue, match=message):
            read_nir(leaky(), options(**wrong))


def test_what_a_file_hides_of_leaks_is_warned_of_where_something_leaks():
    """And only there."""
    plain = chain(dense(np.random.default_rng(0), 3, 6), fires(3))
    for preset, part in ((None, "without --dt it is 1e-4"), ("sinabs", "norm_input"), ("norse", "product of the two")):
        told = [
            " ".join(read_nir(graph, options(preset=preset, dt=1.0)).provenance["nir"]["warnings"])
            for graph in (chain(dense(np.random.default_rng(0), 3, 6), lif(3)), plain)
        ]
        assert part in told[0] and part not in told[1]
    both = chain(dense(np.random.default_rng(0), 3, 6), lif(3, 1e-3, r=10.0))
    assert (
        "(like snntorch or spikingjelly, by r = τ/1e-4)"
        in read_nir(both, options(preset=None)).provenance["nir"]["warnings"][0]
    )


def test_check_says_that_a_leak_is_rounded_and_by_how_much(tmp_path):
    rng = np.random.default_rng(1)
    nodes = dense(rng, 5, 6), lif(5, 1e-3), dense(rng, 3, 5), lif(3, 4e-4)
    nir.write(tmp_path / "net.nir", chain(*nodes))
    checked = check(str(tmp_path / "net.nir"), CheckOptions(time_steps=8, preset="snntorch"))
    verdicts = {f.layer: (f.verdict, f.reason) for f in checked.findings}
    assert checked.converts and verdicts["0"][0] == verdicts["2"][0] == "exact"
    assert verdicts["1"][0] == "rounds" and verdicts["3"][0] == "exact"
    assert verdicts["3"][1].endswith("in integers 1 − 2^−2 = 0.75, off by +0, τ by +0%")
    assert re.match(
        r"keeps β = 0\.9 of its membrane.*1 − 2\^−3 \+ 2\^−5 − 2\^−7 = 0\.898438, off by -0\.0016", verdicts["1"][1]
    )


# --- what is written


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_leaky_networks_read_back_exactly(tmp_path, order):
    """β comes back to the last bit, whatever τ = 1/(1 − β) rounds to."""
    rng = np.random.default_rng(5)
    moved = 0
    for _ in range(60):
        tau = float(rng.uniform(1.1, 60))
        graph = chain(dense(rng, 4, 6), lif(4, tau, threshold=0.7), dense(rng, 3, 4), li(3, 1 + tau))
        network = read_nir(graph, options(time_steps=6, drive="tau", decay="exp", leak_order=order))
        written = to_nir(network)
        back = read_nir(written)
        assert back.fingerprint == network.fingerprint and back.leak_order == order
        moved += any(1 - 1 / written.nodes[f"{i}_neuron"].tau[0] != network.layers[i].leak for i in (0, 1))
    assert moved, "the metadata are there for a reason"
    write_nir(network, tmp_path / "x.nir")
    assert read_nir(tmp_path / "x.nir").fingerprint == network.fingerprint
    seen = run_by_hand(written, frames(6, 1, 1), compare="ge", reset="subtract", steps=6, order=order)
    assert np.array_equal(spikes_of(network, frames(6, 1, 1))[0].squeeze(), seen["0_neuron"])


def test_a_time_constant_that_was_changed_since_is_believed():
    network = read_nir(leaky(), options(**EULER))
    graph = to_nir(network)
    graph.nodes["0_neuron"].tau[:] = graph.nodes["0_neuron"].r[:] = 4.0
    assert [layer.leak for layer in read_nir(graph).layers] == [0.75, 0.5, 0.5]
    told = json.loads(graph.metadata["spikeloom"])
    for spoilt in ({"leaks": [0.5]}, {"leaks": 3}, {"leaks": [2.0, 0.5, 0.5]}, {"leaks": ["0.5", None, None]}):
        graph.metadata["spikeloom"] = json.dumps({**told, **spoilt})
        with pytest.raises(InvalidValue, match="metadata are damaged"):
            read_nir(graph)
    graph.metadata["spikeloom"] = json.dumps({**told, "leak_order": "never"})
    with pytest.raises(InvalidValue, match="leak_order is 'never'"):
        read_nir(graph)
    graph.metadata["spikeloom"] = json.dumps({k: v for k, v in told.items() if k not in ("leaks", "leak_order")})
    assert read_nir(graph).layers[0].leak == 0.75, "without the entries the node's own τ holds"


# --- in integers


@pytest.mark.parametrize(
    ("reset", "order"), [("subtract", "reset_first"), ("subtract", "leak_first"), ("zero", "reset_first")]
)
def test_golden_model_and_oracle_agree_on_imported_leaks(reset, order):
    chosen = options(reset=reset, leak_order=order, time_steps=STEPS, **EULER)
    network = quantize(read_nir(leaky(tau=3.0, v_leak=-0.125), chosen), 8)
    images = frames(6, 1, 1)
    trace, exact = golden.run(network, images, "spikes"), oracle.run(network, images)
    assert np.array_equal(trace.scores, exact.scores)
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)


# --- what is refused


ONES, EYE = np.ones(3), nir.Linear(np.eye(3))
FIRST = nir.Linear(np.ones((3, 6)))
UNLIKE = np.array([2.0, 2.0, 4.0])
REFUSED = {
    "channels that leak unlike": (chain(FIRST, lif(3, UNLIKE)), {"decay": "euler"}, r"node '1' \(LIF\) keeps 0\.5 of its membrane in a step of 1 in channel 0, 0\.75 in channel 2: a layer here has one leak; train with one β a layer"),
    "a channel that does not leak": (chain(FIRST, lif(3, np.array([2.0, np.inf, 2.0]), r=UNLIKE)), {"drive": "whole", "decay": "euler"}, r"keeps 0\.5 .* in channel 0, 1 in channel 1"),
    "nothing stays": (chain(FIRST, lif(3, 1.0)), {"decay": "euler"}, r"keeps 0 of its membrane in a step of 1, must be above 0: τ is no longer than the step; choose --dt"),
    "less than nothing": (chain(FIRST, lif(3, 1e-3)), {"decay": "euler"}, r"keeps -999 of its membrane"),
    "exp of nothing": (chain(FIRST, lif(3, 1e-3)), {}, r"keeps 0 of its membrane"),
    "τ in a channel": (chain(nir.Conv2d(None, np.ones((3, 2, 3, 3)), 1, 0, 1, 1, ONES), nir.LIF(np.arange(2.0, 110).reshape(3, 6, 6), *(np.ones((3, 6, 6)),) * 3), shape=(2, 8, 8)), {}, r"tau differs within channel 0"),
    "LI inside": (chain(FIRST, li(3), EYE, fires(3)), {}, r"\(LI\) hands its membrane on to 2.*only the Output may follow it"),
    "synaptic neuron, late reset to zero": (chain(FIRST, cuba(3)), {"preset": "snntorch", "dt": 1.0, "reset": "zero"}, r"\(CubaLIF\): where a reset to zero waits.*drops the input.*--leak-order reset_first"),
    "v_leak NaN": (chain(FIRST, lif(3, v_leak=np.nan)), {}, r"v_leak holds NaN"),
    "v_leak infinite": (chain(FIRST, lif(3, v_leak=np.inf)), {}, r"v_leak holds infinite values"),
    "v_leak too large": (chain(FIRST, lif(3, 1e300, r=1e300, v_leak=-1.7e308, v_reset=1.7e308, threshold=1.75e308)), {"reset": "value", "drive": "tau"}, r"v_leak and v_reset overflow"),
    "r infinite": (chain(FIRST, lif(3, r=np.inf)), {}, r"r is infinite and τ is not"),
    "τ = 0": (chain(FIRST, lif(3, 0.0)), {}, r"τ is 0, must be above 0"),
    "threshold above v_reset": (chain(FIRST, lif(3, v_reset=2.0)), {"reset": "value"}, r"threshold less reset value is -1"),
    "v_reset and subtract": (chain(FIRST, lif(3, v_reset=-1.0)), {}, r"v_reset is -1, which reset subtract contradicts"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    spoilt, chosen, message = REFUSED[case]
    with pytest.raises((UnsupportedModule, InvalidValue), match=message) as error:
        read_nir(spoilt, options(**chosen))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_synaptic_neuron_that_is_reset_to_zero_at_once_is_read():
    chosen = options(preset="snntorch", dt=1.0, reset="zero", leak_order="reset_first")
    network = read_nir(chain(FIRST, cuba(3)), chosen)
    assert (network.reset, network.leak_order, network.layers[0].leak) == ("zero", "reset_first", 0.5)
    plain = read_nir(chain(FIRST, lif(3)), options(preset="snntorch", dt=1.0, reset="zero"))
    assert plain.leak_order == "reset_first", "a reset to zero that waits still comes before the leak"
    assert plain.fingerprint == network.fingerprint


def test_passages_of_a_leaky_import_are_those_of_its_file(tmp_path):
    network = read_nir(leaky(), options(time_steps=STEPS, **EULER))
    from toolchain.netfile import save_network

    save_network(network, tmp_path / "x.safetensors")
    again = load_spiking(tmp_path / "x.safetensors")
    pairs = zip(passages(network, frames(6, 1, 1)), passages(again, frames(6, 1, 1)), strict=True)
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in pairs)


def test_rockpools_gain_is_one():
    """Its exporter writes r = τ/dt·exp(−dt/τ) of LIFNeuronTorch, whose membrane takes the input whole: V = exp(−dt/τ)·V + x."""
    tau, dt = 6e-3, 1e-3
    graph = chain(
        dense(np.random.default_rng(3), 9, 6),
        lif(9, tau, r=tau / dt * math.exp(-dt / tau)),
        dense(np.random.default_rng(4), 3, 9),
    )
    network = read_nir(graph, options(preset="rockpool", time_steps=STEPS))
    assert np.array_equal(network.layers[0].connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight)
    assert network.layers[0].leak == pytest.approx(math.exp(-dt / tau))
    with pytest.raises(
        InvalidValue, match=r"nothing stays of its membrane, so that its gain r·dt/\(τ·β\) is open; choose --drive"
    ):
        read_nir(graph, options(preset="rockpool", time_steps=1, decay="euler", dt=tau))
