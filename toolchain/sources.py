"""Find the trained PyTorch module that a user names on the command line."""

import importlib.util
from pathlib import Path
from textwrap import shorten

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from toolchain import zoo
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError

__all__ = ["load_module"]


def _call(path: Path, function: str) -> nn.Module:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InvalidValue(
            f"no Python file {path}; name a source as FILE.py:FUNCTION or as a .safetensors or .onnx file"
        )
    namespace = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(namespace)
        module = getattr(namespace, function)()
    except SpikeloomError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise InvalidValue(f"{path}:{function}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise InvalidValue(f"{path}:{function}() returned {type(module).__name__}, must return a torch.nn.Module")
    return module


_SAVE = "in Python, safetensors.torch.save_file(module.state_dict(), '{}.safetensors')"


def _way_out(source: str) -> str:
    """What to give in place of a ``source`` of no kind."""
    path = Path(source)
    if path.suffix == ".py":
        return f"name the function that returns the module too: {source}:FUNCTION"
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return (
            f"pickled files are code and are not read: save the weights as safetensors ({_SAVE.format(path.stem)}) "
            f"and give FILE.py:FUNCTION --weights {path.stem}.safetensors"
        )
    return "see spikeloom convert --help"


def load_module(source: str, weights: Path | None = None) -> nn.Module:
    """Load ``FILE.safetensors`` (written by ``spikeloom train``), ``FILE.onnx`` or ``bundled``, or call ``FILE.py:FUNCTION``.

    ``weights`` is a safetensors state dict for the latter. Pickled weights are not read: a file from
    outside is data, never code; the Python file is the user's own and runs.

    Raises
    ------
    InvalidValue, NetworkFileError, UnsupportedModule, ToolMissing
        The source or its weights cannot be loaded.
    """
    if source == "bundled":
        source = str(zoo.BUNDLED_WEIGHTS)
    model = source.lower().endswith(".onnx")
    if model or source.endswith(".safetensors"):
        if weights is not None:
            raise InvalidValue(f"--weights {weights} goes with FILE.py:FUNCTION only; {source} holds its own weights")
        # each only where it is needed: readers of all formats take longer to load than a module to check
        if model:
            from toolchain.onnx import read_onnx

            return read_onnx(Path(source))
        from toolchain.train import load_source

        return load_source(Path(source)).module
    if source.lower().endswith(".nir"):
        raise InvalidValue(
            f"source {source!r} is a NIR graph, a spiking network and no source of activations: spikeloom import reads it; name "
            "the network of activations that it was made from, or leave the source out"
        )
    name, separator, function = source.rpartition(":")
    if not separator:
        raise InvalidValue(
            f"source {source!r} is neither FILE.safetensors nor FILE.onnx nor FILE.py:FUNCTION; {_way_out(source)}"
        )
    module = _call(Path(name), function)
    if weights is not None:
        try:
            module.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise NetworkFileError(
                f"cannot load weights {weights}: {shorten(str(error), 300, placeholder=' …')}; they must be the module's state dict "
                f"as safetensors: {_SAVE.format('weights')}"
            ) from error
    return module
