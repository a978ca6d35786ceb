"""Folders, tables of labels and windows become samples; files of spikes become data sets; the verb ``bin``."""

import json
import re
import zipfile

import numpy as np
import pytest

from tests.unit.test_events import AEDAT, header
from toolchain import cli, datasets
from toolchain.errors import DatasetMissing, InvalidValue
from toolchain.events import (
    Span,
    Window,
    WindowRule,
    find_recordings,
    labelled,
    load_spikes,
    read_labels,
    rebinned,
    spikefile,
)
from toolchain.netfile import load_spiking
from toolchain.train import load_source

RNG = np.random.default_rng(0)


def table(count=20, start=0):
    """[M, 4] of t, x, y, p on a sensor of 6 × 5."""
    t = np.sort(RNG.integers(0, 100, count)) + start
    return np.stack([t, RNG.integers(0, 6, count), RNG.integers(0, 5, count), RNG.integers(0, 2, count)], axis=1)


@pytest.fixture
def folder(tmp_path):
    """train/CLASS/N.npy as N-MNIST is laid out, and recordings beside each other in flat/."""
    for name in ("0", "2", "10"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(2):
            np.save(tmp_path / "train" / name / f"{number}.npy", table())
    (tmp_path / "flat").mkdir()
    for name in "abc":
        np.save(tmp_path / "flat" / f"{name}.npy", table(start=1000))
    return tmp_path


def test_folders_say_classes(folder):
    found, classes = find_recordings([folder / "train"])
    assert [(one.path.parent.name, one.label) for one in found] == [("0", 0), ("10", 10), ("2", 2)] * 2
    assert [one.path.stem for one in found] == ["0"] * 3 + ["1"] * 3
    assert classes == {"0": 0, "10": 10, "2": 2}
    (folder / "train" / "hand").mkdir()
    np.save(folder / "train" / "hand" / "x.npy", table())
    found, classes = find_recordings([folder / "train"])
    assert classes == {"0": 0, "10": 1, "2": 2, "hand": 3} and found[3].label == 3
    found, classes = find_recordings([folder / "flat", AEDAT])
    assert [one.path.name for one in found] == ["a.npy", "b.npy", "c.npy", "moving-bar.aedat4"] and not classes


def test_folders_that_do_not_say_it(folder):
    with pytest.raises(InvalidValue, match="in folders of classes and some are not"):
        find_recordings([folder / "train", AEDAT])
    np.save(folder / "train" / "x.npy", table())
    with pytest.raises(InvalidValue, match="recordings beside folders of recordings"):
        find_recordings([folder / "train"])
    (folder / "train" / "x.npy").unlink()
    (folder / "train" / "empty").mkdir()
    with pytest.raises(InvalidValue, match=r"empty holds no recording; there are \.npy"):
        find_recordings([folder / "train"])
    with pytest.raises(InvalidValue, match="holds no recording"):
        find_recordings([folder / "train" / "empty"])


def labels_of(folder, text):
    path = folder / "labels.csv"
    path.write_text(text)
    return labelled(find_recordings([folder / "flat"])[0], read_labels(path))


def test_tables_of_labels(folder):
    np.save(folder / "labels.npy", np.array([3, 1, 2], np.uint8))
    by_order = labelled(find_recordings([folder / "flat"])[0], read_labels(folder / "labels.npy"))
    assert [one.label for one in by_order] == [3, 1, 2]
    assert [one.label for one in labels_of(folder, "3\n1\n2\n")] == [3, 1, 2]
    assert [one.label for one in labels_of(folder, "label\n3\n1\n2\n")] == [3, 1, 2]
    assert [one.label for one in labels_of(folder, "file,class\nc.npy,7\na.npy,0\nb.npy,1\nz.npy,9\n")] == [0, 1, 7]
    rows = "file,start,end,label,note\na.npy,50,60,1,x\na.npy,10,20,2,y\nb.npy,0,1,3,\nc.npy,0,9,4,\n"
    assert labels_of(folder, rows)[0].windows == (Window(10, 20, 2), Window(50, 60, 1))
    assert labels_of(folder, rows.replace("end", "duration"))[0].windows == (Window(10, 30, 2), Window(50, 110, 1))
    (folder / "gesture.csv").write_text("class,startTime_usec,endTime_usec\n1,5,9\n2,20,30\n")
    (one,) = labelled(find_recordings([folder / "flat" / "a.npy"])[0], read_labels(folder / "gesture.csv"))
    assert one.windows == (Window(5, 9, 1), Window(20, 30, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no label"),
        ("label\n", "holds no label"),
        ("1\n2\n", "holds 2 labels, there are 3 recordings"),
        ("label\n1\n2\nx\n", "row 4: label is 'x', must be a number from 0 to 65535"),
        ("label\n1\n2\n-1\n", "row 4: label is '-1'"),
        ("label\n1\n2\n65536\n", "label is '65536'"),
        ("name,kind\n1,2\n", "begins with 'name,kind', must name its columns: label"),
        ("label,class\n1,2\n", "must name its columns"),
        ("file,label\na.npy,1\nb.npy\n", "row 3 has 1 columns, the first has 2"),
        ("file,label\na.npy,1\nb.npy,2\n", r"says nothing of c.npy \(1 of 3 recordings\)"),
        ("file,label\na.npy,1\na.npy,2\n", "names a file twice without start"),
        ("start,end,label\n1,2,3\n", "names no files, there are 3 recordings; add a column file"),
        ("start,label\n1,2\n", "has a column start, must have either end or duration"),
        ("file,start,end,label\na.npy,5,5,1\n", "row 2: window is 5 to 5 µs, must start"),
        ("file,start,end,label\na.npy,x,5,1\n", "row 2: start is 'x', must be whole µs"),
        ("label\nÿ\n", "label is 'ÿ', must be"),
    ],
)
def test_wrong_tables(folder, text, message):
    with pytest.raises(InvalidValue, match=message) as refusal:
        labels_of(folder, text)
    assert "\n" not in str(refusal.value)


def test_wrong_label_files(folder):
    path = folder / "labels.npy"
    for raw, message in {
        header((3,), "<f8") + bytes(24): "float64 of shape .*, labels must be whole numbers",
        header((3, 1)) + bytes(24): "labels must be whole numbers",
        header((3,)) + bytes(23): "cut short: it holds 23 of 24 bytes of labels",
        header((1 << 40,)): "labels must be whole numbers",
        header((1,)) + b"\xff" * 8: "label 0: label is '-1'",
    }.items():
        path.write_bytes(raw)
        with pytest.raises(InvalidValue, match=message):
            read_labels(path)
    with pytest.raises(InvalidValue, match=r"cannot read labels .*No such file"):
        read_labels(folder / "none.csv")
    (folder / "x.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValue, match="no table of text"):
        read_labels(folder / "x.csv")


def test_windows_of_a_recording():
    span = Span(100, 199, 7)
    assert WindowRule().windows(span, 1, "x") == (Window(100, 200, 1),)
    assert WindowRule(10).windows(span, None, "x") == (Window(110, 200),)
    assert WindowRule(10, 500).windows(span, None, "x") == (Window(110, 610),)
    assert WindowRule(10, 40, True).windows(span, 2, "x") == (Window(110, 150, 2), Window(150, 190, 2))
    assert len(WindowRule(0, 100, True).windows(span, 2, "x")) == 1
    for rule, message in {
        WindowRule(100): "start 100 µs is behind the last event, 99 µs after the first",
        WindowRule(1, 100, True): "99 µs hold no whole sample of 100 µs",
    }.items():
        with pytest.raises(InvalidValue, match=message):
            rule.windows(span, None, "x")
    for wrong, message in {(-1,): "start is -1", (0, 0): "duration is 0", (0, None, True): "splitting needs"}.items():
        with pytest.raises(InvalidValue, match=message):
            WindowRule(*wrong)


def run(capfd, *arguments, code=0):
    """What a command printed, and on standard error."""
    capfd.readouterr()
    assert cli.run([str(a) for a in arguments]) == code
    return capfd.readouterr()


def test_bin_and_the_data_set_that_it_makes(folder, capfd):
    for name in ("train", "test"):
        options = ("-T", 4, "--sensor", "6x5", "--duration", "100us", "-o", folder / f"{name}.npz", "--json")
        told = json.loads(run(capfd, "bin", folder / "train", *options).out)
    assert (told["samples"], told["time_steps"], told["channels"], told["height"], told["width"]) == (6, 4, 2, 5, 6)
    assert told["classes"] == 11 and told["events"] == 120 == told["spikes"] + told["merged"]
    assert told["class_names"] == {"0": 0, "10": 10, "2": 2}
    dataset = datasets.load("events", "train", folder)
    assert (dataset.steps, dataset.classes, dataset.name) == (4, 11, "events")
    assert dataset.labels.tolist() == [0, 10, 2, 0, 10, 2] and dataset.frames.sum() == told["spikes"]
    assert np.array_equal(dataset.at(2).frames, rebinned(dataset.frames, 2)) and dataset.take(3).steps == 4
    assert np.array_equal(datasets.load(str(folder / "test.npz")).frames, dataset.frames)
    text = run(capfd, "bin", AEDAT, "-T", 3, "--pool", 2, "--split", "--duration", "0.02s", "-o", folder / "x.npz").out
    assert "4 samples of 3 x 2 x 15 x 20 [T, C, H, W], no labels" in " ".join(text.split())
    assert datasets.load_frames(str(folder / "x.npz")).shape == (4, 3, 2, 15, 20)
    with pytest.raises(InvalidValue, match="holds no labels, which are needed here"):
        datasets.load(str(folder / "x.npz"))


def test_the_verbs_take_events(folder, capfd):
    for name in ("train", "test"):
        run(capfd, "bin", folder / "train", "-T", 4, "--sensor", "6x5", "--by", "events", "-o", folder / f"{name}.npz")
    data = ("--data", "events", "--data-folder", folder)
    source, snn, net = (folder / f"{name}.safetensors" for name in ("source", "snn", "net"))
    run(capfd, "train", "-a", "mlp", *data, "--epochs", 2, "--flip", "-o", source)
    trained = load_source(source)
    assert trained.provenance["time_steps"] == 4 and trained.provenance["input_shape"] == [2, 5, 6]
    assert trained.provenance["classes"] == 11
    shown = " ".join(run(capfd, "convert", source, *data, "--images", 6, "-o", snn).out.split())
    assert "T = 4, two_phase" in shown and "on 6 images of events test" in shown
    assert load_spiking(snn).input == "spikes" and load_spiking(snn).frame_shape == (4, 2, 5, 6)
    run(capfd, "quantize", snn, *data, "--images", 6, "-o", net)
    one = ("--data", folder / "test.npz")
    told = json.loads(run(capfd, "energy", snn, *one, "--json").out)
    assert [report["T"] for report in told["reports"]] == [4]
    told = json.loads(run(capfd, "energy", snn, *one, "-T", "2,4", "--source", source, "--json").out)
    assert [report["T"] for report in told["reports"]] == [2, 4]
    run(capfd, "report", snn, *one, "--source", source, "-o", folder / "page")
    assert "data:image/png" in (folder / "page" / "report.html").read_text()
    run(capfd, "compare", f"{snn}@T=2,4", net, *one)
    run(capfd, "diagnose", source, snn, *one, "--images", 6)
    run(capfd, "early-exit", snn, *one, "-T", "2,4")
    run(capfd, "convert", source, *data, "--images", 6, "--target-loss", 100, "-o", snn)
    assert load_spiking(snn).time_steps == 1
    run(capfd, "generate", net, *one, "-o", folder / "rtl", "-P", 2)
    wrong = run(capfd, "generate", net, "--data", "digits", "-o", folder / "rtl2", code=2).err
    assert "must be int8 spikes" in wrong and "\n" not in wrong.strip()
    wrong = run(capfd, "energy", snn.with_name("net.safetensors"), *one, "--images", 7, code=2).err
    assert "7 images asked of data set test.npz, it has 1 to 6" in wrong


BIN = "bin IN/flat -T 4 --sensor 6x5 -o OUT/x.npz"
REFUSED = {
    "sensor": (BIN.replace("6x5", "6by5"), "sensor '6by5' is not WIDTHxHEIGHT, such as 128x128"),
    "sensor too small": (BIN.replace("6x5", "2x5"), r"outside of the sensor of 2x5"),
    "no sensor": (BIN.replace(" --sensor 6x5", ""), "give --sensor, such as"),
    "crop": (f"{BIN} --crop 1,2,3", "crop '1,2,3' is not LEFT,TOP,WIDTH,HEIGHT"),
    "crop beyond": (f"{BIN} --crop 3,0,4,2", "crop 3,0,4,2 reaches beyond the sensor of 6x5"),
    "pool": (f"{BIN} --pool 6", "pool 6 is more than the 6x5 pixels"),
    "polarity": (f"{BIN} --polarity up", "polarity is 'up', must be one of both, on, off, merged"),
    "by": (f"{BIN} --by frames", "by is 'frames'"),
    "steps": (f"{BIN} -T 0", "time steps is 0, must be 1 to 1024"),
    "duration": (f"{BIN} --duration 1h", r"duration '1h' is not a whole time in µs, such as 100ms"),
    "duration part": (f"{BIN} --duration 0.5us", "duration '0.5us' is not a whole time"),
    "split": (f"{BIN} --split", "splitting needs the duration of a sample"),
    "start": (f"{BIN} --start 1s", "start 1000000 µs is behind the last event"),
    "columns": (f"{BIN} --columns t,x,y,z", "columns are 'txyz', must be an order of t, x, y and p"),
    "wrong columns": (f"{BIN} --columns x,y,p,t", "a.npy: event .*check the order of columns|after one at"),
    "time unit": (f"{BIN} --time-unit h", "time unit is 'h', must be one of ns, us, ms, s"),
    "ending": (BIN.replace("x.npz", "x.npy"), r"x.npy must end in .npz, which --data goes by"),
    "no folder": (BIN.replace("OUT", "OUT/none"), "cannot write .*choose a folder that exists"),
    "no recording": ("bin IN/none.npy -T 4 -o OUT/x.npz", "no recording .*none.npy"),
    "labels twice": (
        f"{BIN.replace('flat', 'train')} --labels IN/l.csv",
        "folders say the classes: leave out --labels",
    ),
    "windows twice": (f"{BIN} --labels IN/w.csv --start 1", r"says where samples start and end: leave out --start"),
    "number of labels": (f"{BIN} --labels IN/l.csv", "holds 1 labels, there are 3 recordings"),
    "no data folder": ("train --data events -o OUT/x.safetensors", "needs a folder of train.npz and test.npz"),
    "no data": ("train --data events --data-folder IN -o OUT/x.safetensors", "no file of spikes .*train.npz; make it"),
    "one file": (
        "train --data IN/small/train.npz -o OUT/x.safetensors",
        "is one set, training needs two: --data events",
    ),
    "too small": (
        "train --data events --data-folder IN/small --epochs 1 -o OUT/x.safetensors",
        "architecture cnn takes frames from 8x8, not 5x6; crop or pool less",
    ),
    "steps differ": (
        "train -a mlp --data events --data-folder IN/differ --epochs 1 -o OUT/x.safetensors",
        "have 4 and 2 time steps; bin both with the same -T",
    ),
    "pixels for spikes": ("convert bundled --input spikes -o OUT/x.safetensors", "input spikes needs data of spikes"),
    "spikes for pixels": (
        "convert bundled --data IN/small/train.npz --input rate -o OUT/x.safetensors",
        "input rate is made of pixels, .* leave out --input",
    ),
    "radix": (
        "convert bundled --data IN/small/train.npz --schedule radix -o OUT/x.safetensors",
        r"in radix that of step t would be worth 2\^\(T-1-t\)",
    ),
    "steps of data": (
        "convert bundled --data IN/small/train.npz -T 3 -o OUT/x.safetensors",
        "spikes of 4 steps cannot be had in 3: that must divide 4",
    ),
    "survey": (
        "survey bundled --data IN/small/train.npz --calibration-images 2 -o OUT/x.csv",
        "holds spikes, a survey takes pixels",
    ),
    "images": ("convert bundled --data IN/small/train.npz --images 99 -o OUT/x.safetensors", "99 images asked"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("flat", "train/0", "small", "differ"):
        (folder / name).mkdir(parents=True)
    for name in "abc":
        np.save(folder / "flat" / f"{name}.npy", table())
    np.save(folder / "train" / "0" / "a.npy", table())
    (folder / "l.csv").write_text("label\n1\n")
    (folder / "w.csv").write_text("file,start,end,label\na.npy,1,2,1\nb.npy,1,2,1\nc.npy,1,2,1\n")
    (folder / "classes.csv").write_text("0\n1\n1\n")
    for split, steps in (("train", "4"), ("test", "2")):
        options = ["--sensor", "6x5", "--labels", str(folder / "classes.csv")]
        for target, of in (("small", "4"), ("differ", steps)):
            path = str(folder / target / f"{split}.npz")
            assert cli.run(["bin", str(folder / "flat"), "-T", of, *options, "-o", path]) == 0
    return folder


@pytest.mark.parametrize(("command", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(inputs, tmp_path, capfd, command, message):
    words = command.replace("IN", str(inputs)).replace("OUT", str(tmp_path)).split()
    lines = run(capfd, *words, code=2).err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    assert re.search(message, lines[0]), lines[0]
    assert list(tmp_path.iterdir()) == []


def archive(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, raw in entries.items():
            file.writestr(f"{name}.npy", raw)
    return path


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, r"holds no array spikes \[N, T, C, H, W\]; make it with spikeloom bin"),
        ({"spikes": header((2, 3))}, r"spikes must be whole numbers \[N, T, C, H, W\]"),
        ({"spikes": header((1, 1, 1, 1, 1), "<f4") + bytes(4)}, "is float32 of shape"),
        ({"spikes": header((1, 1, 1, 1, 1), "|O") + bytes(8)}, "Python objects, which are not read"),
        ({"spikes": header((0, 1, 1, 1, 1), "|i1")}, "each at least 1"),
        ({"spikes": header((1 << 20, 1 << 20, 1, 1, 1), "|i1")}, "1099511627776 bytes, the limits are"),
        ({"spikes": header((1, 1 << 29, 1, 1, 1), "<i8")}, "has 4294967296 bytes, the limit is 2147483648; save"),
        ({"spikes": header((1, 2, 1, 1, 1), "|i1") + b"\0"}, "not as long as its header says: 2 bytes"),
        ({"spikes": header((1, 2, 1, 1, 1), "|i1") + b"\0\1\0"}, "not as long as its header says: 2 bytes"),
        ({"spikes": header((1, 2, 1, 1, 1), "|u1") + b"\0\2"}, "holds 2, spikes are 0 or 1"),
        ({"spikes": header((1, 2, 1, 1, 1), "|i1") + b"\0\xfe"}, "holds -2, spikes are 0 or 1"),
        ({"spikes": header((2, 1, 1, 1, 1), "|i1") + b"\0\1", "labels": header((1,)) + bytes(8)}, r"must be \[2\]"),
        ({"spikes": header((1, 1, 1, 1, 1), "|i1") + b"\1", "labels": header((1,)) + b"\xff" * 8}, "and from 0"),
        ({"spikes": b"PNG"}, "not a whole numpy file"),
    ],
)
def test_broken_files_of_spikes(tmp_path, entries, message):
    path = archive(tmp_path / "x.npz", **entries)
    with pytest.raises(InvalidValue, match=message) as refusal:
        load_spikes(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_damaged_archives(tmp_path):
    path = archive(tmp_path / "x.npz", spikes=header((9, 9, 9, 9, 9), "|i1") + np.zeros(9**5, np.int8).tobytes())
    raw = path.read_bytes()
    for damaged in (b"", raw[: len(raw) // 2], raw[:100] + bytes(10) + raw[110:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidValue, match="not a whole"):
            load_spikes(path)
    path.unlink()
    with pytest.raises(DatasetMissing, match=r"no file of spikes .*x.npz; make it with spikeloom bin"):
        load_spikes(path)
    path.mkdir()
    with pytest.raises(InvalidValue, match=r"cannot read .*Is a directory"):
        load_spikes(path)


def test_files_of_other_programs(tmp_path):
    spikes = RNG.integers(0, 2, (3, 4, 1, 2, 2))
    np.savez(tmp_path / "x.npz", spikes=np.asfortranarray(spikes).astype(bool), labels=np.array([0, 1, 0], np.uint8))
    dataset = datasets.load(str(tmp_path / "x.npz"))
    assert np.array_equal(dataset.frames, spikes) and dataset.frames.dtype == np.int8 and dataset.classes == 2


def test_limits_are_checked_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(spikefile, "MAX_BYTES", 100)
    np.save(tmp_path / "a.npy", table())
    assert cli.run(["bin", str(tmp_path / "a.npy"), "-T", "4", "--sensor", "6x5", "-o", str(tmp_path / "x.npz")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
