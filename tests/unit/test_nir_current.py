"""Synaptic currents of NIR that last: what is read is what the graph says, what is written reads back exactly, the rest is refused.

α and β are 1/2 and weights multiples of 1/16 where spikes are compared, so that all is exact in float32.
"""

import json
import math
import re

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden, oracle
from tests.nir_by_hand import agree, frames, options, run_by_hand, spikes_of
from tests.nir_graphs import chain, dense, fires, image, random_lasting
from tests.unit.test_nir_leak import EULER, li, lif
from toolchain import cli
from toolchain.checking import CheckOptions, check
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange import CURRENT_DRIVES, PRESETS, current_text, read_nir, to_nir, write_nir
from toolchain.leak import LEAK_ORDERS, Decay, time_constant
from toolchain.netfile import load_network, load_spiking
from toolchain.quantize import quantize

STEPS = 8


def cuba(size, slow=2.0, tau=2.0, *, r=None, w_in=None, v_leak=0.0, threshold=1.0, v_reset=0.0):
    """α = 1 − 1/slow and β = 1 − 1/tau by Euler with dt = 1, gains of 1."""
    shape = np.ones(size)
    return nir.CubaLIF(
        slow * shape, tau * shape, (tau if r is None else r) * shape, v_leak * shape, threshold * shape, v_reset * shape,
        w_in=(slow if w_in is None else w_in) * shape,
    )  # fmt: skip


def cubali(size, slow=2.0, tau=2.0, *, v_leak=0.0):
    shape = np.ones(size)
    return nir.CubaLI(slow * shape, tau * shape, tau * shape, v_leak * shape, w_in=slow * shape)


def lasting(last=None, **more):
    """CubaLIF twice, of which the second's current lasts one step, and a CubaLI as readout."""
    rng = np.random.default_rng(11)
    return chain(
        dense(rng, 9, 6), cuba(9, **{"threshold": 1.5, **more}), dense(rng, 7, 9), cuba(7, 1.0, threshold=0.75), dense(rng, 3, 7),
        cubali(3) if last is None else last,
    )  # fmt: skip


# --- what is read


@pytest.mark.parametrize("compare", ["ge", "gt"])
@pytest.mark.parametrize(
    ("reset", "order"), [("subtract", "reset_first"), ("subtract", "leak_first"), ("zero", "reset_first")]
)
def test_currents_that_last(compare, reset, order):
    network = agree(lasting(), (6, 1, 1), compare=compare, reset=reset, order=order, steps=STEPS)
    assert [(layer.current_leak, layer.leak) for layer in network.layers] == [(0.5, 0.5), (None, 0.5), (0.5, 0.5)]
    assert network.lasting and network.leak_order == order


def test_what_agree_holds_apart():
    """A current that lasts is another neuron than one that does not, and than one that the membrane takes a step later."""
    images = frames(6, 1, 1)
    lasts, short = (
        spikes_of(read_nir(lasting(slow=slow), options(time_steps=STEPS, **EULER)), images) for slow in (2.0, 1.0)
    )
    assert not np.array_equal(lasts[0], short[0])
    late = run_by_hand(lasting(), images, compare="ge", reset="subtract", steps=STEPS, late=True)
    assert not np.array_equal(late["1"], lasts[0].squeeze())


@pytest.mark.parametrize("drive", CURRENT_DRIVES)
@pytest.mark.parametrize("decay", ["euler", "exp"])
def test_drives_of_the_current(drive, decay):
    """w_in·dt/τ_syn, w_in·(1 − α), w_in and w_in·α, with w_in = 2."""
    tau = 1 / math.log(2) if decay == "exp" else 2.0
    gain = {"tau": 2 / tau, "share": 1.0, "whole": 2.0, "kept": 1.0}[drive]
    rng = np.random.default_rng(12)
    graph = chain(dense(rng, 9, 6), cuba(9, tau, tau, r=1.0, w_in=2.0, threshold=2.5), dense(rng, 3, 9))
    network = read_nir(graph, options(time_steps=STEPS, decay=decay, drive="whole", current_drive=drive))
    first, rules = network.layers[0], {"decay": decay, "drive": "whole", "current_drive": drive}
    assert (first.current_leak, first.leak) == (0.5, 0.5)
    assert np.array_equal(first.connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight * gain)
    assert np.array_equal(first.bias, graph.nodes["0"].bias * gain)
    seen = run_by_hand(graph, frames(6, 1, 1), compare="ge", reset="subtract", steps=STEPS, **rules)
    assert np.array_equal(spikes_of(network, frames(6, 1, 1))[0].squeeze(), seen["1"])


def test_alpha_is_no_beta():
    """Each its own, in an image too; what is fed by a pixel, a bias or spikes goes the same way."""
    graph = image(np.random.default_rng(1))
    for name, shape in (("1", (3, 8, 8)), ("5", (4, 4, 4))):
        graph.nodes[name] = cuba(shape, 2.0, 4.0, threshold=2.0)
    network = agree(graph, (2, 8, 8), steps=STEPS)
    assert [(layer.current_leak, layer.leak) for layer in network.layers[:2]] == [(0.5, 0.75)] * 2


def test_membranes_that_do_not_leak_and_start_elsewhere():
    """The first membrane is V(0), the first current 0; v_leak is nothing where all of a membrane stays."""
    whole = {"r": np.inf, "v_leak": 0.5, "v_reset": -0.25}
    graph = chain(
        dense(np.random.default_rng(2), 5, 6), cuba(5, 2.0, np.inf, **whole), dense(np.random.default_rng(3), 3, 5)
    )
    chosen = {"dt": 1.0, "reset": "value", "leak_order": "reset_first", "time_steps": STEPS}
    for start, told in (("zero", 0.25), ("reset", 0.0), ("leak", 0.75)):
        layer = read_nir(graph, options(preset="snntorch", start=start, **chosen)).layers[0]
        assert (layer.leak, layer.current_leak) == (None, 0.5)
        assert (layer.initial == told).all() and np.array_equal(layer.bias, graph.nodes["0"].bias)
    leaky = agree(lasting(v_leak=0.25, v_reset=0.25), (6, 1, 1), reset="value", start="leak", steps=STEPS)
    assert (leaky.layers[0].threshold == 1.25).all() and not leaky.layers[0].initial.any()
    first = agree(lasting(v_leak=-0.5, v_reset=-0.5), (6, 1, 1), reset="value", start="zero", steps=STEPS).layers[0]
    assert (first.initial == 0.25).all(), "half of V(0) = 0 above −0.5 stays for the first step"


def test_a_current_of_one_step_is_none_whatever_tau_syn_rounds_to():
    """τ_syn = dt of float32 in float64 would leave −2.5e-8 or 1e-8 of it."""
    for dt in (1e-4, 1e-3, 3e-4):
        slow = float(np.float32(dt))
        assert 1 - dt / slow != 0
        graph = chain(dense(np.random.default_rng(0), 3, 6), cuba(3, slow, 2 * dt, r=2.0, w_in=slow / dt))
        layer = read_nir(graph, options(preset="snntorch", dt=dt)).layers[0]
        assert layer.current_leak is None and layer.leak == pytest.approx(0.5)
        assert np.array_equal(layer.connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight)


# --- a LI before a neuron


@pytest.mark.parametrize("neuron", [fires(9, threshold=1.5), lif(9, threshold=1.25)])
def test_an_li_before_neurons_is_their_synaptic_current(neuron):
    """With a Scale before it, and one before the readout; the same as CubaLIF of the same numbers."""
    rng, scale = np.random.default_rng(11), nir.Scale(np.full(9, 2.0))
    nodes = dense(rng, 9, 6), scale, li(9, r=1.0), neuron, dense(rng, 3, 9), li(3), li(3, 4.0)
    network = agree(chain(*nodes), (6, 1, 1), steps=STEPS)
    assert [layer.current_leak for layer in network.layers] == [0.5, 0.5]
    assert [layer.leak for layer in network.layers] == [0.5 if isinstance(neuron, nir.LIF) else None, 0.75]
    assert np.array_equal(network.layers[0].connections[0].weight[:, :, 0, 0], nodes[0].weight)
    if isinstance(neuron, nir.LIF):
        one = chain(*nodes[:2], cuba(9, w_in=1.0, threshold=1.25), nodes[4], cubali(3, 2.0, 4.0))
        assert read_nir(one, options(time_steps=STEPS, **EULER)).fingerprint == network.fingerprint


def test_an_li_may_feed_several_neurons():
    rng = np.random.default_rng(4)
    parts = {
        "w": dense(rng, 5, 6),
        "s": li(5),
        "a": fires(5),
        "b": lif(5, threshold=2.0),
        "x": dense(rng, 3, 5),
        "y": dense(rng, 3, 5),
    }
    edges = [
        ("input", "w"),
        ("w", "s"),
        ("s", "a"),
        ("s", "b"),
        ("a", "x"),
        ("b", "y"),
        ("x", "output"),
        ("y", "output"),
    ]
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([3]))}
    network = agree(nir.NIRGraph({**ends, **parts}, edges, type_check=False), (6, 1, 1), steps=STEPS)
    assert [(layer.current_leak, layer.leak) for layer in network.layers] == [(0.5, None), (0.5, 0.5), (None, None)]
    joined = nir.NIRGraph({**ends, **parts}, [*edges, ("w", "a")], type_check=False)
    with pytest.raises(
        UnsupportedModule, match=r"'s' \(LI\) hands its membrane on to a, b: .*only neurons .* that it alone feeds"
    ):
        read_nir(joined, options(**EULER))


# --- T = 1, readouts


def test_one_step_of_currents_that_nothing_here_has():
    """No current has had time to last: any α is read, and the network then holds for T = 1 only."""
    weight = dense(np.random.default_rng(0), 3, 6)
    unlike = nir.CubaLIF(
        *(np.array(v) for v in ([2.0, 4.0, 8.0], *[[2.0] * 3] * 2, [0.0] * 3, [1.0] * 3)),
        w_in=np.array([2.0, 4.0, 8.0]),
    )
    exact = read_nir(chain(weight, fires(3), nir.Linear(np.eye(3))), options(time_steps=1))
    ends = {**EULER, "time_steps": 1}
    for node in (unlike, cuba(3, 0.5)):
        network = read_nir(chain(weight, node, nir.Linear(np.eye(3))), options(**ends))
        assert network.provenance["fixed_time_steps"] == 1 and not network.lasting
        assert np.array_equal(network.layers[0].connections[0].weight, exact.layers[0].connections[0].weight)
    drawn = read_nir(chain(weight, cuba(3, v_leak=0.5), nir.Linear(np.eye(3))), options(**ends))
    assert (
        drawn.provenance["fixed_time_steps"] == 1
        and not drawn.lasting
        and (drawn.layers[0].bias == weight.bias + 0.25).all()
    )
    before = read_nir(chain(weight, li(3, np.array([2.0, 4.0, 8.0])), fires(3), nir.Linear(np.eye(3))), options(**ends))
    assert before.provenance["fixed_time_steps"] == 1 and not before.lasting
    alike = read_nir(chain(weight, cuba(3), nir.Linear(np.eye(3))), options(**ends))
    assert alike.layers[0].current_leak == 0.5 and "fixed_time_steps" not in alike.provenance


def test_readouts():
    """The spikes of CubaLIF are counted; without firing it is a CubaLI."""
    rng = np.random.default_rng(13)
    nodes = dense(rng, 5, 6), cuba(5, threshold=1.5), dense(rng, 3, 5), cuba(3)
    counted = agree(chain(*nodes), (6, 1, 1), steps=STEPS)
    assert [layer.current_leak for layer in counted.layers] == [0.5, 0.5, None]
    chosen = {"time_steps": STEPS, **EULER}
    silent = read_nir(chain(*nodes), options(readout="membrane", **chosen))
    assert silent.fingerprint == read_nir(chain(*nodes[:3], cubali(3)), options(**chosen)).fingerprint


# --- what is said


def test_the_contract_and_the_error_of_the_shifts_are_said_and_kept(tmp_path, capsys):
    rng = np.random.default_rng(0)
    node = nir.CubaLIF(*(np.full(4, v) for v in (2.5e-4, 1e-3, 10.0, 0.0, 1.0)), w_in=np.full(4, 2.5))
    nir.write(tmp_path / "x.nir", chain(dense(rng, 4, 6), node, dense(rng, 3, 4)))
    target = tmp_path / "snn.safetensors"
    assert cli.run(["import", str(tmp_path / "x.nir"), "-T", "8", "--preset", "snntorch", "-o", str(target)]) == 0
    told = capsys.readouterr().out
    for part in (
        "synaptic currents (CubaLIF, CubaLI, a LI before a neuron): I = α·I + c·(Σ w·s + b), α = 1 − dt/τ_syn, c = w_in·dt/τ_syn",
        "then V takes gain·I in the same step; no reset touches I",
        "1 keeps α = 0.6 of its synaptic current in a step (τ_syn = 1.958 steps); in integers 1 − 2^−1 + 2^−3 − 2^−5 = 0.59375, "
        "off by -0.0062, τ_syn by -2%",
        "1 keeps β = 0.9 of its membrane in a step",
    ):
        assert part in told
    network = load_spiking(target)
    assert network.provenance["nir"]["contract"]["current_drive"] == "tau"
    made = tmp_path / "net.safetensors"
    assert cli.run(["quantize", str(target), "--no-table", "-o", str(made)]) == 0
    first = load_network(made).layers[0]
    assert (first.current_leak.terms, first.leak.terms) == ((1, -3, 5), (3, -5, 7))
    capsys.readouterr()
    assert cli.run(["export", str(target), "-o", str(tmp_path / "y.nir")]) == 0
    assert "synaptic currents reach the membrane in the same step, α = 1 − dt/τ" in " ".join(
        capsys.readouterr().out.split()
    )
    assert read_nir(tmp_path / "y.nir").fingerprint == network.fingerprint


def test_what_the_shifts_miss_is_what_the_integers_do():
    for share in (0.5, 0.6, 0.9, 0.99):
        text, decay = current_text(share), Decay.nearest(share)
        assert text.startswith(f"α = {share:g} of its synaptic current in a step")
        assert float(re.search(r"= ([0-9.]+), off", text).group(1)) == pytest.approx(decay.share, abs=1e-6)
        missed = 100 * (time_constant(decay.share) / time_constant(share) - 1)
        assert float(re.search(r"τ_syn by ([-+0-9.e]+)%", text).group(1)) == pytest.approx(missed, rel=0.06, abs=1e-9)


def test_flags_and_presets(tmp_path, capsys):
    assert {name: preset.contract.current_drive for name, preset in PRESETS.items()} == {
        "nir": "tau", "snntorch": "tau", "spikingjelly": "tau", "sinabs": "kept", "norse": "whole", "rockpool": "kept",
    }  # fmt: skip
    with pytest.raises(InvalidValue, match="current_drive is 'half', must be one of tau, share, whole, kept"):
        read_nir(lasting(), options(current_drive="half"))
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InvalidValue, match=r"τ_syn is .*, must be above 0 and at most 1e6"):
            read_nir(lasting(), options(tau_syn=wrong))
    nir.write(
        tmp_path / "x.nir", chain(dense(np.random.default_rng(0), 4, 6), lif(4), dense(np.random.default_rng(1), 3, 4))
    )
    more = ["-T", "8", "--preset", "sinabs", "-o", str(tmp_path / "x.safetensors")]
    assert cli.run(["import", str(tmp_path / "x.nir"), *more, "--tau-syn", "3", "--current-drive", "whole"]) == 0
    assert "c = w_in, of LI its gain, of every LIF τ_syn = 3; then" in capsys.readouterr().out
    layer = load_spiking(tmp_path / "x.safetensors").layers[0]
    assert layer.current_leak == pytest.approx(math.exp(-1 / 3)) and layer.leak == pytest.approx(math.exp(-1 / 2))


def test_what_a_file_hides_of_currents_is_warned_of_where_there_is_one():
    dry = chain(dense(np.random.default_rng(0), 3, 6), lif(3))
    wet = chain(dense(np.random.default_rng(0), 3, 6), cuba(3))
    for preset, part in (
        (None, "in the step of its input"),
        ("norse", "a step later are not read"),
        ("rockpool", "has_rec=True"),
    ):
        told = [" ".join(read_nir(g, options(preset=preset, dt=1.0)).provenance["nir"]["warnings"]) for g in (wet, dry)]
        assert part in told[0] and part not in told[1]


def test_check_says_how_a_current_is_rounded(tmp_path):
    rng = np.random.default_rng(1)
    nodes = dense(rng, 5, 6), cuba(5, 2.0, 10.0), dense(rng, 5, 5), li(5, 2.5), fires(5), dense(rng, 3, 5), cubali(3)
    for node in (graph := chain(*nodes)).nodes.values():
        for name in ("tau", "tau_syn", "tau_mem"):
            if hasattr(node, name):
                setattr(node, name, getattr(node, name) * 1e-4)
    nir.write(tmp_path / "net.nir", graph)
    checked = check(str(tmp_path / "net.nir"), CheckOptions(time_steps=8, preset="spikingjelly"))
    verdicts = {f.layer: (f.verdict, f.reason) for f in checked.findings}
    assert checked.converts and verdicts["6"][0] == "exact" and verdicts["1"][0] == verdicts["3"][0] == "rounds"
    assert re.match(
        r"keeps α = 0\.5 of its synaptic current.* off by \+0, .*; keeps β = 0\.9 of its membrane", verdicts["1"][1]
    )
    assert (
        re.match(r"keeps α = 0\.6 of its synaptic current.*off by -0\.0062", verdicts["3"][1])
        and verdicts["4"][0] == "exact"
    )


# --- what is written


def moving(rng):
    """A time constant whose share exp(−1/τ) is another after 1/(1 − share), as some are."""
    while True:
        slow = float(rng.uniform(1.1, 60))
        share = float(np.exp(-1 / slow))
        if 1 - 1 / (1 / (1 - share)) != share:
            return slow


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_currents_read_back_exactly(tmp_path, order):
    """α and β come back to the last bit; CubaLIF where the membrane leaks, a LI and an IF where it does not, likewise as readout."""
    rng = np.random.default_rng(5)
    for number in range(20):
        slow, tau = moving(rng), float(rng.uniform(1.1, 60))
        ends = [[cubali(3, 1 + slow, tau)], [li(3, tau)], [li(3, tau), nir.I(np.ones(3))]][number % 3]
        first, second = cuba(4, slow, tau, threshold=0.7), (li(5, slow), fires(5, threshold=0.3))
        graph = chain(dense(rng, 4, 6), first, dense(rng, 5, 4), *second, dense(rng, 3, 5), *ends)
        network = read_nir(graph, options(time_steps=6, leak_order=order, **{**EULER, "decay": "exp"}))
        written = to_nir(network)
        found = [
            type(written.nodes[name]).__name__ for _, name in written.edges if name.endswith(("current", "neuron"))
        ]
        last = [["CubaLI"], ["LI"], ["LI", "I"]][number % 3]
        assert found == ["CubaLIF", "LI", "IF", *last]
        assert 1 - 1 / written.nodes["0_neuron"].tau_syn[0] != network.layers[0].current_leak, (
            "it came through the metadata"
        )
        back = read_nir(written)
        assert back.fingerprint == network.fingerprint and back.leak_order == order
    write_nir(network, tmp_path / "x.nir")
    assert read_nir(tmp_path / "x.nir").fingerprint == network.fingerprint
    seen = run_by_hand(written, frames(6, 1, 1), compare="ge", reset="subtract", steps=6, order=order)
    for mine, name in zip(spikes_of(network, frames(6, 1, 1)), ("0_neuron", "1_neuron"), strict=True):
        assert 0 < mine.mean() < 1 and np.array_equal(mine.squeeze(), seen[name])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_read_back_exactly(seed):
    """Images or vectors, joins and identities too."""
    network = random_lasting(seed)
    back = read_nir(to_nir(network))
    assert back.fingerprint == network.fingerprint
    assert [layer.current_leak for layer in back.layers] == [layer.current_leak for layer in network.layers]


def test_nir_reads_what_is_written(tmp_path):
    """Its package too, and its types are sound."""
    for seed in range(8):
        nodes = write_nir(random_lasting(seed), tmp_path / "x.nir")
        assert len(nir.read(tmp_path / "x.nir", type_check=False).nodes) == sum(nodes.values())
    network = read_nir(lasting(), options(**EULER))
    write_nir(network, tmp_path / "x.nir")
    assert read_nir(nir.read(tmp_path / "x.nir")).fingerprint == network.fingerprint


def test_a_time_constant_that_was_changed_since_is_believed():
    network = read_nir(lasting(), options(**EULER))
    graph = to_nir(network)
    graph.nodes["0_neuron"].tau_syn[:] = graph.nodes["0_neuron"].w_in[:] = 4.0
    assert [layer.current_leak for layer in read_nir(graph).layers] == [0.75, None, 0.5]
    told = json.loads(graph.metadata["spikeloom"])
    for spoilt in ([0.5], 3, [2.0, None, 0.5], ["0.5", None, None]):
        graph.metadata["spikeloom"] = json.dumps({**told, "current_leaks": spoilt})
        with pytest.raises(InvalidValue, match="metadata are damaged"):
            read_nir(graph)
    graph.metadata["spikeloom"] = json.dumps({k: v for k, v in told.items() if k != "current_leaks"})
    assert read_nir(graph).layers[0].current_leak == 0.75, "without the entry the node's own τ_syn holds"


# --- in integers


@pytest.mark.parametrize(
    ("reset", "order"), [("subtract", "reset_first"), ("subtract", "leak_first"), ("zero", "reset_first")]
)
def test_golden_model_and_oracle_agree_on_imported_currents(reset, order):
    chosen = options(reset=reset, leak_order=order, time_steps=STEPS, **EULER)
    network = quantize(read_nir(lasting(slow=2.5, tau=3.0), chosen), 8)
    assert network.lasting and network.layers[0].current_leak.terms == (1, -3, 5)
    images = frames(6, 1, 1)
    trace, exact = golden.run(network, images, "spikes"), oracle.run(network, images)
    assert np.array_equal(trace.scores, exact.scores)
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)


# --- what is refused


FIRST, EYE = nir.Linear(np.ones((3, 6))), nir.Linear(np.eye(3))
UNLIKE = np.array([2.0, 2.0, 4.0])
REFUSED = {
    "channels whose currents last unlike": (cuba(3, UNLIKE), {}, r"node '1' \(CubaLIF\) keeps 0\.5 of its synaptic current in a step of 1 in channel 0, 0\.75 in channel 2: a layer here has one share; train with one α a layer, or import one step with -T 1"),
    "less than nothing": (cuba(3, 0.25), {}, r"keeps -3 of its synaptic current in a step of 1, must be 0 or more and below 1: its time constant is shorter than the step; choose --dt"),
    "never fades": (cuba(3, np.inf, w_in=1.0), {"current_drive": "whole"}, r"keeps 1 of its synaptic current .*: it never fades; train with α < 1"),
    "τ_syn = 0": (cuba(3, 0.0), {}, r"τ_syn is 0, must be above 0"),
    "w_in infinite": (cuba(3, w_in=np.inf), {}, r"w_in is infinite and τ_syn is not"),
    "w_in NaN": (cuba(3, w_in=np.nan), {}, r"w_in holds NaN"),
    "no input, τ_syn infinite": (cuba(3, np.inf, w_in=1.0), {}, r"τ_syn is infinite, so that no input arrives; choose --current-drive"),
    "no input, nothing stays": (cuba(3, 1.0), {"current_drive": "kept"}, r"nothing stays of its synaptic current, so that no input arrives; choose --current-drive"),
    "channels that leak unlike": (cuba(3, tau=UNLIKE), {}, r"keeps 0\.5 of its membrane .* in channel 2: a layer here has one leak"),
    "v_leak": (cuba(3, v_leak=0.5), {}, r"leaks towards v_leak = 0\.5 and is reset to 0, and its synaptic current lasts: nothing but the current adds"),
    "v_leak and v_reset": (cuba(3, v_leak=0.5, v_reset=-1.0), {"reset": "value"}, r"leaks towards v_leak = 0\.5 and is reset to -1"),
    "v_leak of CubaLI": (cubali(3, v_leak=0.5), {}, r"\(CubaLI\) leaks towards v_leak = 0\.5"),
    "late reset to zero": (cuba(3), {"preset": "snntorch", "dt": 1.0, "reset": "zero"}, r"drops the input of that step.*--leak-order reset_first"),
    "τ_syn of a LIF": (lif(3), {"tau_syn": 0.25}, r"\(CubaLIF\) keeps -3 of its synaptic current"),
    "LI before CubaLIF": ([li(3), cuba(3)], {}, r"\(LI\) hands its membrane on to 2: .*only neurons \(IF, LIF, I, LI\) that it alone feeds"),
    "LI before LI before IF": ([li(3), li(3), fires(3)], {}, r"node '2' \(LI\) takes its input from another LI: a neuron here has one synaptic current"),
    "LI towards v_leak": ([li(3, v_leak=0.5), fires(3)], {}, r"node '1' \(LI\): before a neuron it is a synaptic current, which fades to 0 and not to v_leak = 0\.5"),
    "LI that never fades": ([li(3, np.inf, r=1.0), fires(3)], {"drive": "whole"}, r"node '1' \(LI\) keeps 1 of its synaptic current .*never fades"),
    "LI of unlike shares": ([li(3, UNLIKE), fires(3)], {}, r"node '1' \(LI\) keeps 0\.5 of its synaptic current .* train with one α"),
    "LI before a LIF with v_leak": ([li(3), lif(3, v_leak=0.5)], {}, r"node '2' \(LIF\) leaks towards v_leak = 0\.5"),
    "LI before a Linear": ([li(3), EYE, fires(3)], {}, r"\(LI\) hands its membrane on to 2"),
    "CubaLI before a neuron": ([cubali(3), fires(3)], {}, r"\(CubaLI\) hands its membrane on to 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    nodes, chosen, message = REFUSED[case]
    with pytest.raises((UnsupportedModule, InvalidValue), match=message) as error:
        read_nir(chain(FIRST, *(nodes if isinstance(nodes, list) else [nodes])), options(**{**EULER, **chosen}))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
