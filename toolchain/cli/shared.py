"""What the verbs share: the application, options that several take, progress bars, and loading of data."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from toolchain.errors import InvalidValue

if TYPE_CHECKING:
    import numpy as np

    from toolchain.datasets import Dataset
    from toolchain.ir import FixedPointNetwork

__all__ = [
    "Also", "AsJson", "Banks", "Bits", "Clipping", "Cores", "Cut", "Data", "DataFolder", "FramesFrom", "Lanes", "Memories", "MemoryBits",
    "MemoryTimeout", "NETLIST_DEVICE", "Network",
    "Pow2", "Room", "SimulatorName", "Source", "TrainingData", "WeightCache", "Weights", "app", "bar", "frames_of", "lanes_list", "listed", "load_dataset",
    "log", "names_in", "print_json", "source_name", "stages", "step_list",
    "swept", "use_threads",
]  # fmt: skip

app = typer.Typer(
    name="spikeloom",
    help="From a trained PyTorch network to verified Verilog of a spiking network, and the truth about its energy.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
log = Console(stderr=True, highlight=False)

NETLIST_DEVICE = "hx8k"
"""Whose netlist is verified if none is named: Yosys has a model of every iCE40 cell, block RAMs and multipliers too."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Network = Annotated[Path, typer.Argument(metavar="NET", help="Network file (.safetensors).")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="FILE.py:FUNCTION, FILE.onnx, FILE.safetensors of spikeloom train, or bundled."
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", help="State dict (.safetensors) for FILE.py.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="bundled, fashion-mnist, idx, mnist-subset, digits, cifar10, cifar100, events, or FILE.npz of images and labels, or of bin.",
    ),
]
TrainingData = Annotated[
    str, typer.Option("--data", help="fashion-mnist, idx, mnist-subset, digits, cifar10, cifar100 or events.")
]
FramesFrom = Annotated[str, typer.Option("--data", help="A data set as elsewhere, or random frames.")]
DataFolder = Annotated[Path | None, typer.Option("--data-folder", help="Folder of the data set's files.")]
Lanes = Annotated[int, typer.Option("--lanes", "-P", help="Neurons updated a cycle, 1 to 64.")]
Cores = Annotated[
    int, typer.Option("--cores", help="Cores in a row, each with its own layers, that work on several images at once.")
]
Cut = Annotated[
    str | None,
    typer.Option("--cut", help="List of layers that begin the cores behind the first, instead of a balanced split."),
]
Bits = Annotated[int, typer.Option("--weight-bits", "-b", help="Weight width, 2 to 16.")]
Clipping = Annotated[str, typer.Option("--clipping", help="Scale of a channel: max (nothing clipped) or mse.")]
Pow2 = Annotated[bool, typer.Option("--pow2", help="Make the thresholds of a layer one power of two.")]
Memories = Annotated[
    str,
    typer.Option(
        "--memories",
        help="rom: they hold the network; loadable: networks are loaded over the stream; external: weights are read from a "
        "memory outside (AXI4).",
    ),
]
WeightCache = Annotated[
    int | None,
    typer.Option(
        "--weight-cache",
        help="Words (a weight for each lane) on chip where memories are external; 4096 or what is needed.",
    ),
]
MemoryBits = Annotated[
    int | None,
    typer.Option(
        "--memory-bits", help="Of the external memory's port: 32, 64, 128, 256 or 512; a word each clock by default."
    ),
]
MemoryTimeout = Annotated[
    int | None,
    typer.Option(
        "--memory-timeout",
        help="Clocks of silence of the external memory after which a frame ends with an error; 0: never; 1048576 by default.",
    ),
]
Room = Annotated[
    str | None,
    typer.Option(
        "--capacity",
        help="What a loadable core has room for: list of network files, capacities (.json), up5k, ecp5-25k, ecp5-45k, "
        "ecp5-85k; NET alone by default.",
    ),
]
Banks = Annotated[
    int | None,
    typer.Option(
        "--banks", help="Of a loadable core: 2 (the default), or 1, where a load that fails leaves no network."
    ),
]
Also = Annotated[
    str | None,
    typer.Option(
        "--also",
        help="What a loadable core can beside what NET needs: list of groups, spikes (frames of them), pooling (maximum), "
        "leaks (of membranes), currents (synaptic, that last).",
    ),
]
SimulatorName = Annotated[str, typer.Option("--simulator", help="verilator or icarus.")]


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error; yields the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_interactive) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def stages(what: str) -> Iterator[Any]:
    """What is going on and for how long, on standard error; yields the function that says the stage."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_interactive) as progress:
        task = progress.add_task(what, total=None)
        yield lambda stage: progress.update(task, description=f"{what}: {stage}")


def print_json(content: Any) -> None:
    print(json.dumps(content, indent=2))


def load_dataset(data: str, folder: Path | None, split: str = "test", images: int | None = None) -> "Dataset":
    from toolchain import datasets

    dataset = datasets.load(data, split, folder)
    return dataset if images is None else dataset.take(images)


def source_name(source: str) -> str:
    """What networks and tables call a source: its file's name without folder and ending."""
    return Path(source.rpartition(":")[0] or source).stem


def use_threads(threads: int) -> None:
    """Have torch use so many CPU threads."""
    import torch

    if not 1 <= threads <= 1024:
        raise InvalidValue(f"threads is {threads}, must be 1 to 1024")
    torch.set_num_threads(threads)


def frames_of(network: "FixedPointNetwork", data: str, folder: Path | None, images: int, seed: int) -> "np.ndarray":
    """Frames to run hardware on, uint8 ``[images, C, H, W]``, or spikes int8 ``[images, T, C, H, W]`` in the network's T."""
    from toolchain import datasets, flow
    from toolchain.events import rebinned

    if data == "random":
        return flow.random_frames(network, images, seed)
    frames = datasets.load_frames(data, folder=folder)
    if not 1 <= images <= len(frames):
        raise InvalidValue(f"{images} images asked of data set {data}, it has 1 to {len(frames)}")
    part = frames[:images]
    return rebinned(part, network.time_steps) if part.ndim == 5 and network.input == "spikes" else part


def names_in(text: str | None) -> list[str]:
    """The names in a list such as ``4,8``; none for ``None``."""
    names = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(names):
        raise InvalidValue(f"cut {text!r} is not a list of layers such as 4,8")
    return names


def listed(text: str, what: str) -> list[str]:
    """``a,b`` as its parts, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InvalidValue(f"{what} {text!r} is not a list such as {'4,16' if what == 'lanes' else 'ecp5-85k,up5k'}")
    return list(dict.fromkeys(parts))


def lanes_list(text: str) -> list[int]:
    """``4,16`` as numbers of lanes."""
    from hdl.program import check_lanes

    parts = listed(text, "lanes")
    try:
        lanes = [int(part) for part in parts]
    except ValueError as error:
        raise InvalidValue(f"lanes {text!r} is not a list such as 4,16") from error
    for number in lanes:
        check_lanes(number)
    return lanes


def step_list(text: str) -> list[int]:
    """``1,2,4`` or ``1..8`` as a list of T."""
    from toolchain.ir import MAX_TIME_STEPS

    steps: Sequence[int]
    try:
        first, dots, last = text.partition("..")
        steps = range(int(first), int(last) + 1) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        steps = []
    if not steps:
        raise InvalidValue(f"time steps {text!r} is not a list such as 1,2,4 or a range such as 1..8")
    for step in (steps[0], steps[-1]) if dots else steps:
        if not 1 <= step <= MAX_TIME_STEPS:
            raise InvalidValue(f"time steps is {step}, must be 1 to {MAX_TIME_STEPS}")
    return list(steps)


def swept(text: str, steps: str | None) -> str:
    """The list of T in ``T=1,2,4``."""
    if steps is not None:
        raise InvalidValue(f"--sweep {text} and -T {steps} say the same thing twice: leave out one")
    name, equals, values = text.partition("=")
    if (name.strip(), equals) != ("T", "="):
        raise InvalidValue(f"sweep {text!r} is not T= with a list or range, such as T=1,2,4 or T=1..8")
    return values
