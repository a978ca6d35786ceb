"""The state of a training run on disk, one safetensors file with a JSON header, so that it can go on where it stopped."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.netfile import check_writable, replacing

__all__ = ["Checkpoint"]

_HEADER = "spikeloom_checkpoint"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Keeps weights, buffers, momentum, learning rate and random state of a run with ``options`` in ``path``.

    ``options`` are JSON values that decide every bit of the result; ``resume`` after ``save`` gives the
    run that was never interrupted. Random numbers must come from torch's CPU generator only.
    """

    path: Path
    options: dict[str, Any]
    module: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def save(self, epochs: int) -> None:
        """Write the state after ``epochs`` whole epochs, replacing the last one in one step."""
        optimizer = self.optimizer.state_dict()
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        for index, state in optimizer["state"].items():
            if state["momentum_buffer"] is not None:
                tensors[f"momentum.{index}"] = state["momentum_buffer"]
        tensors["random"] = torch.get_rng_state()
        header = {
            "options": self.options,
            "epochs": epochs,
            "groups": optimizer["param_groups"],
            "schedule": self.schedule.state_dict(),
        }
        raw = save({name: value.cpu().contiguous() for name, value in tensors.items()}, {_HEADER: json.dumps(header)})
        with replacing(self.path) as temporary:
            temporary.write_bytes(raw)

    def resume(self) -> int:
        """Restore the state in place if ``path`` exists; returns the number of epochs done.

        Raises
        ------
        InvalidValue
            The run in the file had other options, or the file could not be replaced.
        NetworkFileError
            The file is no checkpoint.
        """
        check_writable(self.path)
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, "pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
            self._check_options(header["options"])
            self._restore(header, load(self.path.read_bytes()))
            return int(header["epochs"])
        except InvalidValue:
            raise
        except OSError as error:
            raise NetworkFileError(f"cannot read checkpoint {self.path}: {error.strerror or error}") from error
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise NetworkFileError(
                f"{self.path} is not a checkpoint of spikeloom train; name another file or remove it"
            ) from error

    def _check_options(self, saved: dict[str, Any]) -> None:
        for name, value in self.options.items():
            if saved[name] != value:
                raise InvalidValue(
                    f"{name} is {value}, the training in checkpoint {self.path} has {saved[name]}; give the same options, "
                    "or name another checkpoint or remove it to start afresh"
                )

    def _restore(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        state = {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
        self.module.load_state_dict(state)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        momentum = {
            # in the parameter's memory order, in which it was computed
            index: {"momentum_buffer": torch.empty_like(p).copy_(tensors[f"momentum.{index}"])}
            for index, p in enumerate(parameters)
            if f"momentum.{index}" in tensors
        }
        self.optimizer.load_state_dict({"state": momentum, "param_groups": header["groups"]})
        self.schedule.load_state_dict(header["schedule"])
        torch.set_rng_state(tensors["random"])
