"""The table of the README: each construct of NIR that is not supported, or ambiguous, by name."""

import nir
import numpy as np
import pytest

from tests.nir_by_hand import options
from tests.nir_graphs import chain, fires
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.interchange import read_nir
from toolchain.interchange.graph import FIELDS, MAX_NODES, graph_of

THREE, SIX = np.ones(3), np.ones((3, 6))
LINEAR = nir.Linear(SIX)
CONV = {
    "input_shape": None,
    "weight": np.ones((3, 2, 3, 3)),
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
    "bias": THREE,
}
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}


def conv(**changed):
    return chain(
        nir.Conv2d(**{**CONV, **changed}),
        fires(3, 6, 6),
        nir.Flatten(None, 0, -1),
        nir.Linear(np.ones((3, 108))),
        shape=(2, 8, 8),
    )


def pool(**changed):
    return chain(
        nir.Conv2d(**CONV),
        fires(3, 6, 6),
        nir.SumPool2d(**{**POOL, **changed}),
        nir.Flatten(None, 0, -1),
        nir.Linear(np.ones((3, 27))),
        shape=(2, 8, 8),
    )


def graph(nodes, *edges):
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([3]))}
    return nir.NIRGraph({**ends, **nodes}, list(edges), type_check=False)


def spread(**changed):
    values = {"r": np.ones((3, 6, 6)), "v_threshold": np.ones((3, 6, 6)), **changed}
    return chain(
        nir.Conv2d(**CONV), nir.IF(**values), nir.Flatten(None, 0, -1), nir.Linear(np.ones((3, 108))), shape=(2, 8, 8)
    )


UNEVEN = np.ones((3, 6, 6))
UNEVEN[1, 2, 3] = 2
PATH = ("input", "w"), ("w", "n"), ("n", "output")
SOUND = {"w": LINEAR, "n": fires(3)}
REFUSED = {
    # neurons
    "CubaLIF, current": (chain(LINEAR, nir.CubaLIF(np.inf * THREE, 2 * THREE, 2 * THREE, 0 * THREE, THREE, w_in=np.inf * THREE)), {"preset": "snntorch", "dt": 1.0}, r"keeps 1 of its synaptic current in a step of 1, must be 0 or more and below 1: it never fades"),
    "LIF, gain open": (chain(LINEAR, nir.LIF(np.inf * THREE, np.inf * THREE, 0 * THREE, THREE)), {}, r"τ and r are infinite.*presets snntorch"),
    "LIF, no input": (chain(LINEAR, nir.LIF(np.inf * THREE, THREE, 0 * THREE, THREE)), {}, r"τ is infinite and r is not"),
    "Threshold": (chain(LINEAR, nir.Threshold(THREE)), {}, r"\(Threshold\) keeps no membrane.*-T 1"),
    "I inside": (chain(LINEAR, nir.I(THREE), nir.Linear(np.eye(3)), fires(3)), {}, r"\(I\) hands its membrane on to 2"),
    "Delay": (chain(LINEAR, nir.Delay(THREE), fires(3)), {}, r"\(Delay\) is not supported.*without delays"),
    "CubaLI inside": (chain(LINEAR, nir.CubaLI(2 * THREE, 2 * THREE, THREE, 0 * THREE), fires(3)), {}, r"\(CubaLI\) hands its membrane on to 2: .*only the Output may follow it"),
    "thresholds in a channel": (spread(v_threshold=UNEVEN), {}, r"v_threshold differs within channel 1: hardware keeps one"),
    "r in a channel": (spread(r=UNEVEN), {}, r"r differs within channel 1"),
    "threshold 0": (chain(LINEAR, fires(3, threshold=0.0)), {}, r"threshold less reset value is 0 in channel 0"),
    "threshold below reset": (chain(LINEAR, fires(3, v_reset=2 * THREE)), {"reset": "value"}, r"threshold less reset value is -1"),
    "v_reset and subtract": (chain(LINEAR, fires(3, v_reset=-THREE)), {}, r"v_reset is -1, which reset subtract contradicts; choose --reset value"),
    "NaN threshold": (chain(LINEAR, fires(3, threshold=np.nan)), {}, r"v_threshold holds NaN"),
    "neuron shape": (chain(LINEAR, fires(4)), {}, r"node '1' \(IF\): r has shape \(4,\), its input \(3,\)"),
    "time step": (chain(LINEAR, fires(3, r=5.0)), {"preset": None}, r"r is 5 and NIR does not say the time step: choose --dt, or --preset"),
    "clamp": (chain(LINEAR, fires(3)), {"clamp": "-1"}, r"clamp is '-1', must be none.*min_v_mem=None"),
    "reset": (chain(LINEAR, fires(3)), {"reset": "none"}, r"reset is 'none', must be one of subtract, zero, value"),
    "preset": (chain(LINEAR, fires(3)), {"preset": "brian"}, r"no preset 'brian'; there are nir, snntorch"),
    "T": (chain(LINEAR, fires(3)), {"time_steps": None}, r"does not say for how many time steps; choose -T|how many time steps it runs; choose -T"),
    "T = 0": (chain(LINEAR, fires(3)), {"time_steps": 0}, r"time steps is 0, must be 1 to 1024"),
    # synapses
    "groups": (conv(groups=2, weight=np.ones((3, 1, 3, 3))), {}, r"\(Conv2d\): connection groups is 2, must .* divide the 3 output"),
    "groups of the input": (conv(groups=3, weight=np.ones((3, 1, 3, 3))), {}, r"weight has 1 input channels in each of 3 groups, its input 2"),
    "groups, several": (conv(groups=np.array([2, 1])), {}, r"groups has several numbers, must have one"),
    "groups 0": (conv(groups=0), {}, r"groups is \[0\.0\], must be whole numbers of 1"),
    "dilation": (conv(dilation=(2, 4)), {}, r"node '0' \(Conv2d\): source \(2, 8, 8\).* smaller than the kernel \(5, 9\)"),
    "dilation 0": (conv(dilation=(0, 1)), {}, r"dilation is \[0\.0, 1\.0\], must be whole numbers of 1 to 1024"),
    "dilation, same": (conv(padding="same", dilation=(1024, 1), weight=np.ones((3, 2, 4, 1))), {}, r"connection padding is \(1536, 0\), must be"),
    "same, stride": (conv(padding="same", stride=(2, 2)), {}, r"padding same needs stride 1"),
    "stride 0": (conv(stride=(0, 1)), {}, r"stride is \[0\.0, 1\.0\], must be whole numbers of 1 to 1024"),
    "padding −1": (conv(padding=(-1, 0)), {}, r"padding is \[-1\.0, 0\.0\]"),
    "channels": (conv(weight=np.ones((3, 5, 3, 3))), {}, r"weight has 5 input channels, its input 2"),
    "kernel too large": (conv(weight=np.ones((3, 2, 9, 9))), {}, r"node '0' \(Conv2d\): source \(2, 8, 8\).* smaller than the kernel"),
    "input_shape": (chain(nir.Conv2d(**{**CONV, "input_shape": (9, 9)}), fires(3, 6, 6), shape=(2, 8, 8)), {}, r"input_shape is \(9, 9\), its input \(2, 8, 8\)"),
    "NaN weight": (chain(nir.Linear(np.full((3, 6), np.nan)), fires(3)), {}, r"node '0' \(Linear\): weight holds NaN"),
    "infinite weight": (chain(nir.Linear(np.full((3, 6), np.inf)), fires(3)), {}, r"weight holds infinite values"),
    "weight shape": (chain(nir.Linear(np.ones((3, 5))), fires(3)), {}, r"weight has shape \(3, 5\), its input \(6,\)"),
    "bias shape": (chain(nir.Affine(SIX, np.ones(4)), fires(3)), {}, r"bias has shape \(4,\), must be \(3,\)"),
    "no Flatten": (chain(nir.Linear(np.ones((3, 6))), fires(3), shape=(1, 2, 3)), {}, r"its input \(1, 2, 3\); put a Flatten before it"),
    "two synapses": (chain(LINEAR, nir.Linear(np.eye(3)), fires(3)), {}, r"node '1' \(Linear\) follows another weighted node with no neuron between"),
    "overlapping pooling": (pool(stride=np.array([1, 1])), {}, r"windows \(2, 2\) at stride \(1, 1\)"),
    "padded pooling": (pool(padding=np.array([1, 1])), {}, r"\(SumPool2d\) has padding"),
    "pooling too large": (pool(kernel_size=np.array([9, 9]), stride=np.array([9, 9])), {}, r"its windows \(9, 9\) are larger"),
    "Scale in a channel": (chain(nir.Conv2d(**CONV), fires(3, 6, 6), nir.Scale(UNEVEN), nir.Conv2d(**{**CONV, "weight": np.ones((3, 3, 3, 3))}), fires(3, 4, 4), shape=(2, 8, 8)), {}, r"a Scale before it differs within a channel"),
    "Scale of a current": (chain(nir.Conv2d(**CONV), nir.Scale(UNEVEN), fires(3, 6, 6), shape=(2, 8, 8)), {}, r"\(Scale\) differs within a channel of a current"),
    "Scale shape": (chain(LINEAR, nir.Scale(np.ones(4)), fires(3)), {}, r"scale has shape \(4,\), its input \(3,\)"),
    "partial Flatten": (chain(nir.Conv2d(**CONV), fires(3, 6, 6), nir.Flatten(None, 1, -1), nir.Linear(np.ones((3, 36))), shape=(2, 8, 8)), {}, r"makes \(3, 36\) of \(3, 6, 6\); only flattening into a vector"),
    # the graph
    "recurrent": (graph({**SOUND, "back": nir.Linear(np.eye(3))}, *PATH, ("n", "back"), ("back", "n")), {}, r"has a cycle, (n → back → n|back → n → back): recurrent connections have no hardware"),
    "self-loop": (graph(SOUND, *PATH, ("n", "n")), {}, r"has a cycle, n → n"),
    "dangling edge": (graph(SOUND, *PATH, ("n", "ghost")), {}, r"edge 'n' → 'ghost' dangles: there is no node 'ghost'"),
    "double edge": (graph(SOUND, *PATH, ("w", "n")), {}, r"edge 'w' → 'n' stands twice"),
    "into the Input": (graph(SOUND, *PATH, ("n", "input")), {}, r"leads into the Input"),
    "not fed": (graph({**SOUND, "idle": LINEAR}, *PATH, ("idle", "n")), {}, r"node 'idle' \(Linear\) is not fed by the Input"),
    "leads nowhere": (graph({**SOUND, "idle": LINEAR}, *PATH, ("input", "idle")), {}, r"node 'idle' \(Linear\) does not lead to the Output"),
    "no Input": (nir.NIRGraph({"w": LINEAR, "output": nir.Output(THREE)}, [("w", "output")], type_check=False), {}, r"has no Input node, must have exactly one"),
    "no Output": (nir.NIRGraph({"input": nir.Input(np.array([6])), "w": LINEAR}, [("input", "w")], type_check=False), {}, r"has no Output node"),
    "two Inputs": (graph({**SOUND, "more": nir.Input(np.array([6]))}, *PATH, ("more", "w")), {}, r"has 2 Input nodes \('input', 'more'\)"),
    "two Outputs": (graph({**SOUND, "more": nir.Output(np.array([3]))}, *PATH, ("n", "more")), {}, r"has 2 Output nodes"),
    "joined shapes": (graph({"w": LINEAR, "n": fires(3), "v": nir.Linear(np.ones((4, 6)))}, *PATH, ("input", "v"), ("v", "n")), {}, r"edges into it have different shapes, \(3,\), \(4,\)"),
    "frame joins spikes": (graph({**SOUND, "u": nir.Linear(np.eye(3)), "v": nir.Linear(SIX), "m": fires(3)}, ("input", "w"), ("w", "n"), ("n", "u"), ("u", "m"), ("input", "v"), ("v", "m"), ("m", "output")), {}, r"layer m mixes the input frame with spikes"),
    "Output shape": (chain(LINEAR, fires(3), out=(4,)), {}, r"\(Output\) has shape \(4,\), what leads to it \(3,\)"),
    "image scores": (chain(nir.Conv2d(**CONV), shape=(2, 8, 8), out=(3, 6, 6)), {}, r"is an image, \(3, 6, 6\); scores must be a vector"),
    "no layer": (chain(out=(6,)), {}, r"reads the Input with no layer between"),
    "batch": (chain(LINEAR, fires(3), shape=(4, 1, 1, 6)), {}, r"has four sizes; export one example"),
    "huge input": (chain(LINEAR, fires(3), shape=(1 << 20, 1 << 20)), {}, r"at most 67108864 values"),
    "input shape": (chain(LINEAR, fires(3)), {"input_shape": (1, 2, 2)}, r"input shape \(1, 2, 2\) does not fit"),
    "readout": (chain(LINEAR, fires(3)), {"readout": "rank"}, r"readout is 'rank', must be one of count, membrane"),
    "seed": (chain(LINEAR, fires(3)), {"seed": 5}, r"seed 5 is for input rate"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    spoilt, chosen, message = REFUSED[case]
    with pytest.raises(SpikeloomError, match=message) as error:
        read_nir(spoilt, options(**chosen))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_too_many_nodes():
    many = {str(i): fires(3) for i in range(MAX_NODES)}
    with pytest.raises(InvalidValue, match=f"has {MAX_NODES + 4} nodes, must have 1 to {MAX_NODES}"):
        read_nir(graph({**SOUND, **many}, *PATH), options())


def test_an_unknown_kind_and_a_missing_value():
    content = {
        "type": "NIRGraph",
        "nodes": {"input": {"type": "Input", "shape": THREE}, "x": {"type": "Izhikevich"}},
        "edges": [],
    }
    with pytest.raises(
        UnsupportedModule, match=rf"node 'x' \(Izhikevich\) is of no kind that is read; these are: {', '.join(FIELDS)}"
    ):
        graph_of(content)
    content["nodes"]["x"] = {"type": "Affine", "weight": SIX}
    with pytest.raises(InvalidValue, match="node 'x' \\(Affine\\) has no bias"):
        graph_of(content)
