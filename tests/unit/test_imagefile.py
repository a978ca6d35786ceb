"""Images of one's own in a file, as a data set: what is read, and what is refused."""

import io
import zipfile

import numpy as np
import pytest

from toolchain import cli, datasets
from toolchain.errors import DatasetMissing, InvalidValue
from toolchain.imagefile import load_images
from toolchain.npz import array_names

GREY = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
COLOURS = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)


def file(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("images", "expected"), [(GREY, GREY[:, None]), (COLOURS, COLOURS), (np.asfortranarray(COLOURS), COLOURS)]
)
@pytest.mark.parametrize("labels", [np.array([0, 2]), np.array([0, 2], np.uint8)])
def test_round_trip(tmp_path, images, expected, labels):
    path = file(tmp_path, images=images, labels=labels)
    dataset = datasets.load(str(path))
    assert dataset.frames.dtype == np.uint8 and np.array_equal(dataset.frames, expected)
    assert dataset.labels.dtype == np.int64 and dataset.labels.tolist() == [0, 2]
    assert (dataset.name, dataset.classes, dataset.steps) == ("mine.npz", 3, None)
    assert np.array_equal(datasets.load_frames(str(path)), expected)


def test_frames_need_no_labels(tmp_path):
    path = file(tmp_path, images=COLOURS)
    assert load_images(path)[1] is None
    assert np.array_equal(datasets.load_frames(str(path)), COLOURS)
    with pytest.raises(InvalidValue, match=r"mine\.npz holds no labels, .* save labels \[2\] beside the images"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": COLOURS / 255}, r"images of float64, must be uint8.*\(255 \* images\)"),
        ({"images": COLOURS.astype(int)}, "images of int64, must be uint8"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, r"channels last.*transpose\(0, 3, 1, 2\)"),
        ({"images": np.zeros(5, np.uint8)}, r"of shape \(5,\), must be \[N, C, H, W\]"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, r"of shape \(0, 8, 8\), must be"),
        ({"images": GREY, "labels": np.array([0, 1, 2])}, r"labels of int64 and shape \(3,\), must be .* \[2\]"),
        ({"images": GREY, "labels": np.array([0, -1])}, "must be whole numbers from 0"),
        ({"images": GREY, "labels": np.array([0.0, 1.0])}, "labels of float64"),
        ({"images": GREY, "labels": np.array([0, 1 << 40])}, "label 1099511627776, must be below"),
        ({"x": GREY, "y": GREY}, r"holds x, y, must hold images .* or spikes .*numpy\.savez"),
        ({"images": np.array([{}, {}])}, "holds Python objects, which are not read"),
    ],
)
def test_refused(tmp_path, arrays, message):
    with pytest.raises(InvalidValue, match=message):
        datasets.load(str(file(tmp_path, **arrays)))


def test_size_is_refused_before_it_is_read(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 3, 1 << 10, 1 << 10)}
    )
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(InvalidValue, match=r"3298534883328 bytes, the limit is 2147483648; make several files"):
        datasets.load(str(path))


def test_cut_and_missing(tmp_path):
    path = file(tmp_path, images=GREY, labels=np.array([0, 1]))
    path.write_bytes(path.read_bytes()[:-40])
    assert array_names(path) == frozenset()
    for read in (load_images, lambda damaged: datasets.load(str(damaged))):
        with pytest.raises(InvalidValue, match=r"is not a whole \.npz file"):
            read(path)
    with pytest.raises(DatasetMissing, match=r"none\.npz"):
        load_images(tmp_path / "none.npz")


def test_calibrates_a_network(tmp_path, capfd):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))\n"
    )
    rng = np.random.default_rng(0)
    path = file(tmp_path, images=rng.integers(0, 256, (20, 3, 8, 8), np.uint8), labels=rng.integers(0, 3, 20))
    target = tmp_path / "snn.safetensors"
    arguments = f"convert {tmp_path}/net.py:build -m optimal --data {path} --images 20 -o {target}"
    assert cli.run(arguments.split()) == 0
    assert "on 20 images of" in capfd.readouterr().out and target.is_file()
