"""Read a trained network from an ONNX file as a module that ``toolchain.convert`` takes; the file is data, nothing in it runs."""

from pathlib import Path

from toolchain.errors import SpikeloomError
from toolchain.onnx.model import LEAST_OPSET, MOST_OPSET, load_model
from toolchain.onnx.network import OnnxNetwork
from toolchain.onnx.translate import module_of, translate

__all__ = ["LEAST_OPSET", "MOST_OPSET", "OnnxNetwork", "problems", "read_onnx"]


def read_onnx(path: Path) -> OnnxNetwork:
    """The module of an ONNX file, in evaluation mode, with float32 weights; frames come in as ``[N, C, H, W]``.

    Raises
    ------
    NetworkFileError
        The file cannot be read, is damaged or too large, or its graph is not one.
    UnsupportedModule, InvalidValue
        The first node without an exact spiking counterpart, or whose attributes do not fit, by name.
    ToolMissing
        The package ``onnx`` is not installed.
    """
    return module_of(load_model(path)).eval()


def problems(path: Path) -> list[str]:
    """Everything that keeps an ONNX file from being converted, a line each, in the order of its nodes; empty if nothing was found.

    What only the layers together show (an addition without an activation behind it) is not in it; ``convert`` names that.
    """
    try:
        model = load_model(path)
    except SpikeloomError as error:
        return [str(error)]
    return [str(error) for error in translate(model).problems]
