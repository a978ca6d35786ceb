"""Candidates of a comparison: settings behind an @, and what is refused."""

import re

import pytest

from tests.compared_networks import spiking, write_networks
from toolchain import cli
from toolchain.compare import Settings, candidates_of, number_list
from toolchain.compare.candidates import split_request
from toolchain.quantize import quantize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the networks of ``tests.compared_networks``."""
    folder = tmp_path_factory.mktemp("networks")
    write_networks(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("4", (4,)), ("1,2,4", (1, 2, 4)), ("1..4", (1, 2, 3, 4)), ("8,1..3,2", (8, 1, 2, 3)), (" 2 , 3", (2, 3))],
)
def test_lists_of_numbers(text, numbers):
    assert number_list(text, "time steps", 1, 10) == numbers


def test_settings_behind_an_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, name, found in [
        ("a.safetensors", "a.safetensors", Settings()),
        ("a@T=4", "a", Settings((4,))),
        ("a@T=1..3,b=4,8", "a", Settings((1, 2, 3), (4, 8))),
        ("a@b=8,T=1,2,4", "a", Settings((1, 2, 4), (8,))),
        ("x@y/a@clipping=mse,max,pow2=yes", "x@y/a", Settings((), (), ("mse", "max"), (True,))),
    ]:
        path, given_ = split_request(text)
        assert (str(path), given_) == (name, found)
    (tmp_path / "a@T=4").touch()
    assert split_request("a@T=4") == (tmp_path.joinpath("a@T=4").relative_to(tmp_path), Settings())


def names(requests, folder, **common):
    return [one.name for one in candidates_of([f"{folder}/{request}" for request in requests], Settings(**common))]


def test_candidates(folder):
    assert names(["snn.safetensors@T=1,2,b=4,8"], folder) == [f"snn@T={t},b={b}" for t in (1, 2) for b in (4, 8)]
    assert names(["snn.safetensors", "net.safetensors"], folder) == ["snn@T=4,b=8", "net"]
    # common settings fill what is open, each by itself, and leave fixed-point networks alone
    requests = ["snn.safetensors@T=2", "radix.safetensors", "net.safetensors"]
    assert names(requests, folder, time_steps=(1, 3), weight_bits=(5,)) == [
        "snn@T=2,b=5", "radix@T=1,b=5", "radix@T=3,b=5", "net",
    ]  # fmt: skip
    # the same file in the same setting is one candidate, by whatever path
    same = ["snn.safetensors@T=1..2", "sub/../snn.safetensors@T=2,3"]
    assert names(same, folder) == [f"snn@T={t},b=8" for t in (1, 2, 3)]
    # names stay apart: by path, and a file whose name has an @ is that file
    two = ["snn.safetensors@T=2", "sub/snn.safetensors@T=2"]
    assert names(two, folder) == [f"{folder}/snn.safetensors@T=2,b=8", f"{folder}/sub/snn.safetensors@T=2,b=8"]
    file, other = candidates_of([f"{folder}/copy.safetensors@T=2", f"{folder}/copy.safetensors@T=3"])
    assert (file.name, other.name) == (f"{folder}/copy.safetensors@T=2", "copy@T=3,b=8")
    assert (file.network.time_steps, file.network.weight_bits, file.setting) == (8, 4, "")
    mse, pow2 = candidates_of(
        [f"{folder}/radix.safetensors@T=2,b=4,clipping=mse", f"{folder}/radix.safetensors@pow2=yes"]
    )
    assert (mse.name, pow2.name) == ("radix@T=2,b=4,clipping=mse", "radix@T=4,b=8,pow2=yes")
    assert (
        mse.network.fingerprint == quantize(spiking(schedule="radix").with_time_steps(2), 4, clipping="mse").fingerprint
    )
    assert pow2.network.fingerprint == quantize(spiking(schedule="radix"), 8, pow2=True).fingerprint


REFUSED = {
    "one candidate": ("IN/snn.safetensors", r"there is 1 candidate, snn@T=4,b=8, at least 2 are needed; give another"),
    "same twice": ("IN/snn.safetensors IN/snn.safetensors@T=4", "there is 1 candidate"),
    "classes": ("IN/snn.safetensors IN/classes.safetensors", "number of classes is 3 in the first and 4 in the second"),
    "shape": (
        "IN/side.safetensors IN/snn.safetensors",
        r"input shape is \(1, 6, 6\) in the first and \(1, 8, 8\) in the",
    ),
    "fixed with settings": (
        "IN/net.safetensors@T=4 IN/snn.safetensors",
        "fixed-point network with its own T.*leave out",
    ),
    "nothing to set": (
        "IN/net.safetensors IN/snn.safetensors@T=2,b=4 -T 4",
        "-T, -b, --clipping .* there is none: leave",
    ),
    "no file": ("IN/none.safetensors IN/snn.safetensors", r"cannot read network file .*none\.safetensors: No such"),
    "no file with settings": ("IN/none@T=2 IN/snn.safetensors", "cannot read network file .*none: No such"),
    "no settings": (
        "IN/snn.safetensors@fast",
        r"@fast: no such file, and 'fast' is no setting such as T=4 .* T, b, clip",
    ),
    "unknown key": ("IN/snn.safetensors@steps=4", r"@steps=4: no setting 'steps'; there are T, b, clipping, pow2"),
    "key twice": ("IN/snn.safetensors@T=4,T=5", "T stands there twice; give it once"),
    "T 0": ("IN/snn.safetensors@T=0,1", "@T=0,1: time steps is 0, must be 1 to 1024"),
    "T range": ("IN/snn.safetensors@T=4..1", "time steps '4..1' is not a list such as 1,2,4 or a range such as 1..8"),
    "T empty": ("IN/snn.safetensors@T=", "time steps '' is not a list"),
    "bits": ("IN/snn.safetensors@b=17,8", "weight bits is 17, must be 2 to 16"),
    "clipping": ("IN/snn.safetensors@clipping=best", "no clipping 'best'; there are max, mse"),
    "pow2": ("IN/snn.safetensors@pow2=2", "pow2 is '2', must be yes or no"),
    "common T": ("IN/snn.safetensors -T x", "time steps 'x' is not a list"),
    "common bits": ("IN/snn.safetensors -b 1..4", "weight bits is 1, must be 2 to 16"),
    "radix steps": ("IN/radix.safetensors@T=8..11", r"radix\.safetensors@T=11,b=8: time steps is 11, must be 1 to 10"),
    "too many": ("IN/snn.safetensors@T=1..101", "there are 101 candidates with .*must be 2 to 100; give fewer"),
    "too many together": ("IN/snn.safetensors IN/radix.safetensors@T=1..10,b=2..16", "there are 151 candidates"),
    "against": (
        "IN/snn.safetensors -T 1,2 --against speed",
        "'speed' is not known; there are energy, cycles, size, sop",
    ),
    "baseline": ("IN/snn.safetensors -T 1,2 --baseline fp16", "no baseline 'fp16'; there are fp32_dense"),
    "baseline of profile": (
        "IN/snn.safetensors -T 1,2 --profile 45nm-fp32-legacy --baseline int8_dense",
        "no baseline 'int8_dense' under profile 45nm-fp32-legacy",
    ),
    "profile": ("IN/snn.safetensors -T 1,2 --profile 7nm", "no energy profile '7nm'"),
    "no clock": ("IN/snn.safetensors -T 1,2 --profile ice40up5k", "has static power: give the clock in MHz"),
    "clock": ("IN/snn.safetensors -T 1,2 --clock 0", r"clock is 0\.0 MHz, must be above 0"),
    "lanes": ("IN/snn.safetensors -T 1,2 -P 65", "lanes is 65, must be 1 to 64"),
    "images": (
        "IN/snn.safetensors -T 1,2 --data bundled",
        r"images of bundled are \(1, 28, 28\), the networks take \(1, 8, 8\); choose",
    ),
    "picture": ("IN/snn.safetensors -T 1,2 --picture OUT/x.gif", r"ends in '\.gif', must end in \.svg"),
    "csv nowhere": ("IN/snn.safetensors -T 1,2 --csv OUT/none/x.csv", "cannot write .*; choose a folder"),
    "one file for two": ("IN/snn.safetensors -T 1,2 --csv OUT/x --json-file OUT/x", "two outputs are to be written to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, folder, tmp_path, capfd):
    command, message = REFUSED[case]
    command = f"compare --data digits --images 5 {command}".replace("IN", str(folder)).replace("OUT", str(tmp_path))
    if "bundled" in command:
        command = command.replace("--data digits ", "")
    assert cli.run(command.split()) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and not list(tmp_path.iterdir())
    assert re.search(message, error)
