"""``spikeloom check``: every problem of a model in one run, with its way out; exit codes; sizes."""

import json
import re
from dataclasses import replace

import nir
import numpy as np
import pytest
from torch import nn

from tests.bench.cell_counts import variant
from tests.nir_graphs import chain, dense, fires, image
from tests.onnx_models import SOUND
from tests.onnx_models import chain as onnx_chain
from toolchain import cli, zoo
from toolchain.checking import KINDS, VERDICTS, Checked, CheckOptions, Finding, check
from toolchain.checking.torch_source import NOTES, check_module
from toolchain.convert import convert
from toolchain.convert.graph import read_module
from toolchain.errors import SpikeloomError
from toolchain.ir import SpikingNetwork
from toolchain.netfile import save_network
from toolchain.nn import StReLU
from toolchain.onnx import read_onnx
from toolchain.quantize import quantize
from toolchain.sizing import USUAL, predict
from toolchain.synth import find_device

PLAIN = CheckOptions()


class Wrong(nn.Module):
    """Many things that do not convert, with layers between them that do."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect")
        self.norm1 = nn.BatchNorm2d(8)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2, dilation=2)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.gelu = nn.GELU()
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.AvgPool2d(3, 2)
        self.fc = nn.Linear(8 * 12 * 12, 10)
        self.softmax = nn.Softmax(1)

    def forward(self, x):
        x = self.pool1(self.relu1(self.norm1(self.conv1(x))))
        x = self.pool2(self.relu2(self.up(self.gelu(self.conv2(x)))))
        return self.softmax(self.fc(x.flatten(1)) + 1)


WRONG = {
    "conv1": ("change", "padding mode is reflect", "use zero padding"),
    "pool1": ("change", "dilation 2", "only windows without gaps"),
    "gelu": ("no", "GELU", "use Conv2d"),
    "up": ("change", "ConvTranspose2d", "use Conv2d"),
    "pool2": ("change", r"kernel \(3, 3\), stride \(2, 2\)", "do not overlap"),
    "add": ("change", "computes with a constant", "move the constant"),
    "softmax": ("change", "Softmax", "leave it out"),
}


def test_all_problems_of_a_module_at_once():
    checked = check_module("wrong", Wrong(), (1, 28, 28), PLAIN)
    told = {finding.layer: finding for finding in checked.findings}
    assert {name for name, finding in told.items() if not finding.fine} == set(WRONG)
    for name, (verdict, reason, way_out) in WRONG.items():
        assert told[name].verdict == verdict and re.search(reason, told[name].reason) and way_out in told[name].way_out
    assert (told["conv2"].verdict, told["norm1"].verdict, told["relu1"].verdict) == ("exact", "exact", "rounds")
    assert not checked.converts and checked.network is None


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_architectures_convert_untrained(name):
    if name == "vgg16":
        pytest.skip("as vgg11, but larger")
    checked = check(name, PLAIN)
    assert checked.converts and {f.verdict for f in checked.findings} == {"exact"}
    assert "random weights" in checked.assumed and any("T = 4" in text for text in checked.assumed)
    module = zoo.build(name)
    assert checked.network is not None
    # the kernels are those of the module, plus the 1 × 1 kernels of identity shortcuts
    own = sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    identities = sum(
        c.weight.size for layer in checked.network.layers for c in layer.connections if c.kind == "identity"
    )
    assert checked.network.weights - identities == own
    assert [f.kind for f in checked.findings].count("Conv2d") == sum(isinstance(m, nn.Conv2d) for m in module.modules())


def test_check_agrees_with_convert():
    """What it lets pass converts, and what convert refuses is the first of its problems."""
    rng = np.random.default_rng(0)
    frames = rng.random((4, 1, 28, 28), np.float32)
    modules = {
        "relu": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(676, 10)),
        "tanh": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(2704, 10)),
        "two in a row": nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.Linear(20, 10)),
        "no scores": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
        "nothing": nn.Sequential(nn.Flatten()),
        "ends pooled": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(26), nn.Flatten()),
        "mixed": nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.LeakyReLU(), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 3)
        ),
        "not finite": nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
    }
    nn.init.constant_(modules["not finite"][1].weight, float("nan"))
    for name, module in modules.items():
        checked = check_module(name, module, (1, 28, 28), PLAIN)
        try:
            network = convert(module, frames, "leaky_relu" if name == "mixed" else "optimal", 4)
        except SpikeloomError as error:
            assert not checked.converts, name
            first = checked.problems[0]
            assert name == "mixed" or str(error).startswith(first.reason), (str(error), first)
        else:
            assert checked.converts and checked.network is not None, name
            assert [layer.name for layer in checked.network.layers] == [layer.name for layer in network.layers]
            assert checked.network.shapes == network.shapes


def test_read_module_still_raises_at_the_first():
    with pytest.raises(SpikeloomError, match="padding mode is reflect"):
        read_module(Wrong(), (1, 28, 28))


def pooled(activation, **pooling):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), activation, nn.MaxPool2d(2, **pooling), nn.Flatten(), nn.Linear(784, 10)
    )


def test_max_pooling_is_exact_and_sized():
    checked = check_module("max", pooled(nn.ReLU()), (1, 28, 28), PLAIN)
    assert checked.converts and checked.network is not None
    assert {f.layer: f.verdict for f in checked.findings}["2"] == "exact"
    assert checked.network.layers[1].connections[0].maximum is not None
    assert predict(checked.network, find_device("ecp5-25k"), 4, USUAL).beyond == ("max pooling",)


@pytest.mark.parametrize("module", [pooled(StReLU(1.0)), pooled(nn.LeakyReLU())])
def test_max_pooling_that_is_refused_alone_still_gets_sizes(module):
    checked = check_module("max", module, (1, 28, 28), PLAIN)
    assert [f.layer for f in checked.problems] == ["2"] and checked.problems[0].verdict == "change"
    assert checked.network is not None and checked.assumed[0] == "average pooling in place of max pooling"
    assert all(c.maximum is None for layer in checked.network.layers for c in layer.connections)
    with pytest.raises(SpikeloomError, match="maximum of spikes is not a maximum of rates"):
        method = "strelu" if isinstance(module[1], StReLU) else "leaky_relu"
        convert(module, np.random.default_rng(0).random((4, 1, 28, 28), np.float32), method, 4)


def test_branches_in_place_and_lazy_layers_are_all_told():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.out = nn.Linear(3136, 10)

        def forward(self, x):
            y = self.conv(x)
            z = self.relu(y)
            return self.out((z * y).flatten(1))

    told = check_module("b", Branching(), (1, 28, 28), PLAIN).problems
    assert [f.layer for f in told] == ["relu", "mul", "mul"] or [f.layer for f in told] == [
        "relu",
        "relu",
        "mul",
        "mul",
    ]
    assert "in place" in told[0].reason and "product of two branches" in told[-1].way_out


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "has no values yet"),
        (type("Branch", (nn.Module,), {"forward": lambda self, x: x if x.sum() > 0 else -x})(), "cannot trace"),
    ],
)
def test_modules_that_cannot_be_traced_or_run(module, reason):
    try:
        checked = check_module("m", module, (1, 28, 28), PLAIN)
    except SpikeloomError as error:
        pytest.fail(str(error))
    assert any(reason in f.reason for f in checked.problems)


def test_every_note_belongs_to_a_kind_that_is_read():
    assert {"Conv2d", "Linear", "add", "Flatten"} <= set(NOTES) and all(NOTES.values())


# ---- NIR -----------------------------------------------------------------------------------


def leaky(size):
    """Each channel leaks otherwise."""
    return nir.LIF(tau=np.linspace(2e-4, 1e-3, size), r=np.ones(size), v_leak=np.zeros(size), v_threshold=np.ones(size))


def test_all_problems_of_a_nir_graph_at_once(tmp_path):
    rng = np.random.default_rng(0)
    graph = chain(
        dense(rng, 5, 6), leaky(5), nir.Delay(np.full(5, 1.0)), dense(rng, 4, 5), dense(rng, 4, 4), fires(4, threshold=-1.0),
        dense(rng, 3, 4),
    )  # fmt: skip
    nir.write(tmp_path / "wrong.nir", graph)
    checked = check(str(tmp_path / "wrong.nir"), CheckOptions(time_steps=4))
    told = {f.layer: f for f in checked.findings}
    assert {name for name, f in told.items() if not f.fine} == {"1", "2", "4", "5"}
    assert (told["1"].verdict, told["2"].verdict) == ("change", "no")
    assert "keeps 0.5 of its membrane in a step of 0.0001 in channel 0, 0.75 in channel 1" in told["1"].reason
    assert told["1"].way_out == "train with one β a layer, or import one step with -T 1"
    assert told["2"].way_out == "train without delays"
    assert "follows another weighted node" in told["4"].reason and "multiply the two" in told["4"].way_out
    assert "threshold less reset value" in told["5"].reason and told["5"].way_out == "it must be above 0"
    assert checked.network is None
    # in one step all channels are alike
    once = {f.layer for f in check(str(tmp_path / "wrong.nir"), CheckOptions(time_steps=1)).problems}
    assert once == {"2", "4", "5"}


def test_what_stands_behind_an_unreadable_node_is_said_to_be_unknown(tmp_path):
    graph = image(np.random.default_rng(0))
    pool = nir.AvgPool2d(np.array([3, 3]), np.array([2, 2]), np.array([0, 0]))
    nir.write(tmp_path / "wrong.nir", nir.NIRGraph({**graph.nodes, "2": pool}, graph.edges, type_check=False))
    told = {f.layer: f.verdict for f in check(str(tmp_path / "wrong.nir"), CheckOptions(time_steps=4)).findings}
    assert told["1"] == "exact" and told["2"] == "change" and told["3"] == told["output"] == "unknown"


def test_edges_that_dangle_and_cycles_are_told_with_the_nodes(tmp_path):
    graph = chain(dense(np.random.default_rng(0), 6, 6), fires(6), shape=(6,), out=(6,))
    cyclic = nir.NIRGraph(graph.nodes, [*graph.edges, ("1", "0")], type_check=False)
    nir.write(tmp_path / "cycle.nir", cyclic)
    told = check(str(tmp_path / "cycle.nir"), CheckOptions(time_steps=4)).findings
    assert "cycle" in told[0].reason and told[0].verdict == "no" and {f.verdict for f in told[1:]} == {"unknown"}


def test_a_sound_nir_graph_is_sized(tmp_path):
    nir.write(tmp_path / "net.nir", image(np.random.default_rng(0)))
    checked = check(str(tmp_path / "net.nir"), CheckOptions(time_steps=9, weight_bits=6, preset="sinabs"))
    assert checked.converts and checked.network is not None
    assert (checked.network.time_steps, checked.network.weight_bits) == (9, 6)
    assert not any("-T" in text or "-b" in text for text in checked.assumed)
    usual = check(str(tmp_path / "net.nir"), CheckOptions(preset="sinabs"))
    assert any("T = 4" in text for text in usual.assumed) and any("8-bit" in text for text in usual.assumed)


# ---- ONNX ----------------------------------------------------------------------------------


def onnx_file(folder, *steps, **weights):
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}
    path = folder / "m.onnx"
    path.write_bytes(onnx_chain(*steps, weights=arrays).SerializeToString())
    return str(path)


SAME = ("Conv", ["w"], {"pads": [1] * 4})
HALF = ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})
END = [("Flatten", [], {}), ("MatMul", ["d"], {})]


@pytest.mark.parametrize("name", SOUND)
def test_sound_onnx_models(name, tmp_path):
    (tmp_path / "m.onnx").write_bytes(SOUND[name](np.random.default_rng(0)).SerializeToString())
    checked = check(str(tmp_path / "m.onnx"), PLAIN)
    assert checked.converts and checked.network is not None and checked.kind.startswith("ONNX model of opset")
    assert all(f.layer.startswith("the_") for f in checked.findings)
    shapes = read_module(read_onnx(tmp_path / "m.onnx"), checked.network.input_shape)
    assert [layer.name for layer in checked.network.layers] == [block.name for block in shapes.blocks]


def test_an_onnx_model_is_sized_with_max_pooling(run, tmp_path):
    path = onnx_file(tmp_path, SAME, HALF, ("Relu", [], {}), *END, w=(4, 1, 3, 3), d=(64, 5))
    code, told, _ = run(path, "-d", "ecp5-25k", "-P", "4", "--json")
    content = json.loads(told)
    assert code == 0 and [layer["kind"] for layer in content["layers"]] == [
        "Conv",
        "MaxPool",
        "Relu",
        "Flatten",
        "MatMul",
    ]
    assert content["predictions"][0]["beyond_built_points"] == ["max pooling"]
    code, _, wrong = run(path, "--input-shape", "3,8,8")
    assert code == 2 and "the model says (1, 8, 8)" in wrong and wrong.count("\n") == 1


def test_all_problems_of_an_onnx_model_at_once(run, tmp_path):
    """A refused activation keeps its shape: what only the layers together show is told behind it too."""
    path = onnx_file(
        tmp_path, SAME, ("Sigmoid", [], {}), ("Conv", ["v"], {}), ("Relu", [], {}),
        ("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2]}), w=(4, 1, 3, 3), v=(4, 4, 1, 1),
    )  # fmt: skip
    told = {f.layer: f for f in check(path, PLAIN).findings}
    assert {name: f.verdict for name, f in told.items()} == {
        "the_v0": "exact", "the_v1": "change", "the_v2": "exact", "the_v3": "rounds", "the_y": "change",
    }  # fmt: skip
    assert "Clip" in told["the_v1"].way_out and "overlap" in told["the_y"].way_out
    path = onnx_file(
        tmp_path, SAME, ("Tanh", [], {}), ("Pad", ["p"], {}), ("Relu", [], {}), HALF, *END, ("Softmax", [], {}),
        w=(4, 1, 3, 3), d=(64, 5), p=(8,),
    )  # fmt: skip
    checked = check(path, PLAIN)
    verdicts = {f.layer: f.verdict for f in checked.findings}
    assert verdicts["the_v1"] == verdicts["the_y"] == "change" and verdicts["the_v3"] == "unknown"
    assert not checked.converts and checked.network is None and run(path)[0] == 1


def test_an_onnx_model_without_sizes_is_a_problem_of_the_whole(tmp_path):
    model = SOUND["plain"](np.random.default_rng(0))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    checked = check(str(tmp_path / "m.onnx"), PLAIN)
    assert [f.kind for f in checked.problems] == ["model"] and checked.network is None


# ---- network files and the command line ------------------------------------------------------


def test_all_layers_that_do_not_become_integers_are_told(tmp_path):
    spiking = variant({})
    tiny = [replace(layer, threshold=layer.threshold * 1e-9) for layer in spiking.layers[:2]]
    save_network(replace(spiking, layers=(*tiny, spiking.layers[2])), tmp_path / "net.safetensors")
    checked = check(str(tmp_path / "net.safetensors"), PLAIN)
    assert [f.layer for f in checked.problems] == ["conv1", "conv2"] and checked.network is None
    assert all("rounds to 0" in f.reason and "more weight bits" in f.way_out for f in checked.problems)


def test_all_membranes_that_are_too_wide_are_told(tmp_path):
    wide = variant({"schedule": "stream"})
    readout = wide.layers[2]
    alike = replace(readout.connections[0], weight=np.ones_like(readout.connections[0].weight))
    layers = (*wide.layers[:2], replace(readout, connections=(alike,)))
    save_network(replace(wide, layers=layers, time_steps=1024), tmp_path / "net.safetensors")
    checked = check(str(tmp_path / "net.safetensors"), CheckOptions(weight_bits=16))
    assert [f.layer for f in checked.problems] == ["conv1", "readout"]
    assert all("membrane" in f.reason and "fewer" in f.way_out for f in checked.problems)


def test_a_schedule_without_integers(tmp_path):
    save_network(replace(variant({}), schedule="switched"), tmp_path / "net.safetensors")
    checked = check(str(tmp_path / "net.safetensors"), PLAIN)
    assert [f.kind for f in checked.problems] == ["schedule"] and "two_phase" in checked.problems[0].way_out


@pytest.fixture
def run(capfd):
    def call(*arguments):
        code = cli.run(["check", *map(str, arguments)])
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


def test_command_line(run, tmp_path):
    path = tmp_path / "net.safetensors"
    save_network(quantize(variant({}), 8), path)
    code, told, _ = run(path, "--device", "ecp5-25k,hx8k", "-P", "2,4")
    assert code == 0 and "Every layer converts" in told and told.count("Recommended on") == 2
    assert "Estimated, not synthesized" in told and "--density" in told
    code, told, _ = run(path)
    assert code == 0 and "ecp5-85k" in told and "gw2a-18" in told and "…" not in told  # nothing is cut at 80 columns
    code, told, _ = run(path, "--json", "-d", "ecp5-25k", "-P", "2,4", "--density", "0.1", "--pixels", "0.2")
    content = json.loads(told)
    assert code == 0 and content["passed"] and content["converts"] and content["recommended"] == {"ecp5-25k": 4}
    assert [each["lanes"] for each in content["predictions"]] == [2, 4]
    assert content["predictions"][0]["activity"] == {"spikes": 0.1, "pixels": 0.2}
    memory = content["memory"]
    assert memory["weight_memory_bits"] == 8 * memory["weights"] and len(memory["layers"]) == 3
    # (8 channels of 8 × 8 and 16 of 4 × 4 spike in T = 4 steps; the second layer reads the first)
    assert memory["spike_buffer_bits"] == 4 * (8 * 64 + 16 * 16)
    # (with weights from outside the second layer writes over what it has read)
    _, told, _ = run(path, "--json", "-d", "ecp5-25k", "-P", "4", "--memories", "external")
    assert json.loads(told)["memory"]["spike_buffer_bits"] == 4 * 8 * 64


def test_a_network_that_no_device_asked_for_holds(run):
    code, told, _ = run("resnet20", "--device", "up5k", "-P", "4")
    assert code == 1 and "needs" in told and "up5k with 4 lanes: needs " in told


def test_numbers_are_not_cut_off_where_the_terminal_is_narrow(run):
    _, shown, _ = run("vgg16", "-d", "ecp5-85k", "-P", "16")
    (row,) = (line for line in shown.splitlines() if line.startswith(" ecp5-85k ") and line.endswith(" no "))
    assert len(row) > 80 and "…" not in row


def test_a_model_with_problems_exits_with_1(run, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(2704, 10), "
        "nn.Softmax(1))\n"
    )
    code, told, _ = run(f"{tmp_path}/net.py:build", "--input-shape", "1,28,28")
    assert code == 1 and "2 of 5 layers do not convert" in told and "No sizes" in told
    code, told, _ = run(f"{tmp_path}/net.py:build", "--input-shape", "1,28,28", "--json")
    content = json.loads(told)
    assert code == 1 and not content["passed"] and content["memory"] is None and content["predictions"] == []
    assert [layer["verdict"] for layer in content["layers"]] == ["exact", "no", "exact", "exact", "change"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nosuch", "no model 'nosuch'; there are files, bundled, FILE.py:FUNCTION, and untrained cnn"),
        ("net.xyz", "no kind of model ends in .xyz; these do: .safetensors"),
        ("nosuch.safetensors", "cannot read network file nosuch.safetensors"),
        ("nosuch.nir", "nosuch.nir"),
        ("nosuch.onnx", "cannot read ONNX model nosuch.onnx"),
        ("nosuch.py:build --input-shape 1,2,3", "no Python file nosuch.py"),
        ("cnn --device nosuch", "no device 'nosuch'; there are ecp5-25k"),
        ("cnn --device xczu3eg", "is not predicted"),
        ("cnn -P 0", "lanes is 0, must be 1 to 64"),
        ("cnn -P x", "lanes 'x' is not a list such as 4,16"),
        ("cnn -T 0", "time steps is 0, must be 1 to 1024"),
        ("cnn --memories flash", "--memories is 'flash', must be one of rom, loadable, external"),
        ("cnn --memory-bits 64", "--weight-cache and --memory-bits need --memories external"),
        ("cnn --memories external --memory-bits 48", "48 bits, must be one of 32"),
        ("cnn --memories external --weight-cache 1", "1 words, must be 2"),
        ("cnn --memories external --weight-cache 40", "take --weight-cache"),
        ("cnn --capacity up5k", "--capacity, --banks and --also need --memories loadable"),
        ("cnn --memories loadable --capacity hx8k", "no capacity is named 'hx8k'"),
        ("cnn -b 1", "weight bits is 1, must be 2 to 16"),
        ("cnn --density 2", "share of spikes is 2, must be 0 to 1"),
        ("cnn --input-shape 1,28", "input shape '1,28' is not C,H,W"),
        ("cnn --input-shape 3,28,28", "the module does not accept a frame of shape (3, 28, 28)"),
        ("cnn -A nosuch", "no activation 'nosuch'"),
        ("bundled -A relu", "--activation relu goes with an untrained architecture"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message):
    code, told, wrong = run(*arguments.split())
    assert code == 2 and told == "" and message in wrong and wrong.count("\n") == 1


def test_a_network_in_integers_keeps_its_bits(run, tmp_path):
    save_network(quantize(variant({}), 8), tmp_path / "net.safetensors")
    code, _, wrong = run(tmp_path / "net.safetensors", "-b", "4")
    assert code == 2 and "whose -b is 8, not 4" in wrong


def test_another_kind_of_model_joins_by_an_entry(run, tmp_path, monkeypatch):
    def reader(path, options):
        return Checked(path.name, "toy", (Finding("a", "toy", "change", "too small", "grow it"),), None)

    monkeypatch.setitem(KINDS, ".toy", reader)
    code, told, _ = run(tmp_path / "net.toy")
    assert code == 1 and VERDICTS["change"] in told and "grow it" in told


def test_checkpoints_and_spiking_files_are_told_apart(tmp_path):
    assert check("bundled", PLAIN).kind.startswith("PyTorch module")
    assert check(str(zoo.BUNDLED_WEIGHTS), PLAIN).kind.startswith("PyTorch module")
    spiking: SpikingNetwork = variant({})
    save_network(spiking, tmp_path / "net.safetensors")
    assert check(str(tmp_path / "net.safetensors"), PLAIN).kind == "spiking network"


def test_external_weights_are_sized_and_offered(run, tmp_path):
    save_network(quantize(variant({}), 8), tmp_path / "net.safetensors")
    code, told, _ = run(tmp_path / "net.safetensors", "-d", "ecp5-85k", "-P", "4", "--memories", "external", "--json")
    (found,) = json.loads(told)["predictions"]
    memory = found["external_memory"]
    assert code == 0 and found["beyond_built_points"] == ["weights from external memory"]
    assert memory["status"] == "estimated" and memory["bytes_per_image"] > 0 and memory["data_bits"] == 32
    assert abs(memory["bytes_per_second"] / (memory["bytes_per_image"] * found["images_per_second"]) - 1) < 0.01


def test_resnet18_fits_where_tiles_share_entries(run):
    code, told, _ = run("resnet18", "-T", "4", "-d", "ecp5-85k", "-P", "8,16", "--memories", "external", "--json")
    found = json.loads(told)["predictions"]
    assert code == 0 and [each["lanes"] for each in found if each["fits"]] == [8, 16]
    assert max(each["resources"]["bram"]["used"] for each in found) <= 208


def test_where_weights_do_not_fit_external_ones_are_offered(run):
    code, told, _ = run("vgg11", "-d", "ecp5-85k,up5k", "-P", "8")
    assert code == 1 and "with --memories external these hold the core" in told
    assert "External weights, ecp5-85k, 8 lanes (estimated): cache 9,216 words, port 64 bits" in told
    code, told, _ = run("vgg11", "-d", "up5k", "-P", "1")
    assert code == 1 and "Nor does one hold the core with --memories external" in told
    code, told, _ = run("vgg11", "-d", "up5k", "-P", "1", "--memories", "external")
    assert code == 1 and "stay on chip" in told
