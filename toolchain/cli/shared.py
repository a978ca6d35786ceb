"""What the verbs share: the application, options that several take, progress bars, and loading of data."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toolchain.errors import InvalidValue

if TYPE_CHECKING:
    import numpy as np

    from toolchain.datasets import Dataset
    from toolchain.ir import FixedPointNetwork

__all__ = [
    "AsJson", "Bits", "Clipping", "Data", "DataFolder", "FramesFrom", "Lanes", "Network", "Pow2", "SimulatorName", "Source",
    "TrainingData", "Weights", "app", "bar", "frames_of", "lanes_list", "listed", "load_dataset", "log", "print_json", "source_name", "step_list",
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

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Network = Annotated[Path, typer.Argument(metavar="NET", help="Network file (.safetensors).")]
Source = Annotated[str, typer.Argument(help="FILE.safetensors of spikeloom train, bundled, or FILE.py:FUNCTION.")]
Weights = Annotated[Path | None, typer.Option("--weights", help="State dict (.safetensors) for FILE.py.")]
Data = Annotated[
    str, typer.Option("--data", help="bundled, fashion-mnist, idx, mnist-subset, digits, cifar10 or cifar100.")
]
TrainingData = Annotated[
    str, typer.Option("--data", help="fashion-mnist, idx, mnist-subset, digits, cifar10 or cifar100.")
]
FramesFrom = Annotated[str, typer.Option("--data", help="A data set as elsewhere, or random frames.")]
DataFolder = Annotated[Path | None, typer.Option("--data-folder", help="Folder of the data set's files.")]
Lanes = Annotated[int, typer.Option("--lanes", "-P", help="Neurons updated a cycle, 1 to 64.")]
Bits = Annotated[int, typer.Option("--weight-bits", "-b", help="Weight width, 2 to 16.")]
Clipping = Annotated[str, typer.Option("--clipping", help="Scale of a channel: max (nothing clipped) or mse.")]
Pow2 = Annotated[bool, typer.Option("--pow2", help="Make the thresholds of a layer one power of two.")]
SimulatorName = Annotated[str, typer.Option("--simulator", help="verilator or icarus.")]


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error; yields the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_interactive) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


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
    """Frames to run hardware on, uint8 ``[images, C, H, W]``."""
    from toolchain import flow

    if data == "random":
        return flow.random_frames(network, images, seed)
    return load_dataset(data, folder, images=images).frames


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
