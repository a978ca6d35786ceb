"""Commands to write down: as they were given, and as files say that they were made; of paths only the names."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from toolchain.ir import SpikingNetwork

__all__ = ["as_given", "conversion", "training", "written"]

_UNNAMED = ("as_json",)
"""Options that change no result."""
_TRAINED = {
    "architecture": ("-a", "cnn"),
    "activation": ("-A", "qcfs"),
    "dataset": ("--data", "fashion-mnist"),
    "epochs": ("--epochs", 30),
    "seed": ("--seed", 0),
    "warm_up": ("--warm-up", 0),
    "flip": ("--flip", False),
    "crop": ("--crop", False),
}
"""Members of a source's provenance: option of ``spikeloom train`` and its default."""
_LEVELS = {"qcfs": 4, "quantized_relu": 3}


def _bare(value: Any) -> str:
    """A value without the folders of this machine; those of FILE.py:FUNCTION too."""
    text = str(value)
    return Path(text).name or text if isinstance(value, Path) or "/" in text else text


def written(words: Sequence[Any]) -> str:
    """One line that a shell reads as ``words``."""
    return shlex.join(_bare(word) for word in words)


def as_given(context: typer.Context, without: Sequence[str] = ()) -> str:
    """The running verb with its arguments and every option that differs from its default, but for those ``without``."""
    words: list[Any] = ["spikeloom", context.info_name]
    for parameter in context.command.params:
        value, default = context.params.get(parameter.name or ""), parameter.default
        if parameter.name in (*_UNNAMED, *without) or value in (None, default) or (not value and not default):
            continue
        if parameter.param_type_name == "argument":
            words.append(value)
            continue
        option = min(parameter.opts, key=lambda name: (name.startswith("--"), len(name)))
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option] if one is True else [option, one]
    return written(words)


def training(provenance: Mapping[str, Any], name: str) -> str:
    """How ``spikeloom train`` makes a source again whose file says ``provenance``."""
    words: list[Any] = ["spikeloom", "train"]
    for member, (option, default) in _TRAINED.items():
        value = provenance.get(member, default)
        if value != default:
            words += [option] if value is True else [option, value]
    levels = provenance.get("levels")
    if levels is not None and levels != _LEVELS.get(provenance.get("activation", "qcfs")):
        words += ["-L", levels]
    return written([*words, "-o", name])


def conversion(network: "SpikingNetwork", source: str, name: str) -> str | None:
    """How ``spikeloom convert`` makes ``network`` again from its provenance; ``None`` if that does not say."""
    provenance = network.provenance
    if "method" not in provenance:
        return None
    words: list[Any] = ["spikeloom", "convert", source, "-m", provenance["method"], "-T", network.time_steps]
    words += ["--schedule", network.schedule]
    for option, usual in (("negative", "none"), ("reset", "subtract"), ("input", "direct")):
        if getattr(network, option) != usual:
            words += [f"--{option}", getattr(network, option)]
    if provenance.get("shift") is False:
        words.append("--no-shift")
    if "percentile" in provenance:
        words += ["--percentile", provenance["percentile"]]
    data, _, split = str(provenance.get("calibration_data", "")).partition(" ")
    if data:
        words += ["--data", data, *(["--split", split] if split else [])]
    if "calibration_images" in provenance:
        words += ["--images", provenance["calibration_images"]]
    return written([*words, "-o", name])
