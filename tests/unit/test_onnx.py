"""ONNX models as sources."""

import numpy as np
import pytest
import torch

from sim import golden, oracle
from tests.onnx_models import SOUND, frames_of, reference
from toolchain.convert import convert
from toolchain.onnx import problems, read_onnx
from toolchain.quantize import quantize


@pytest.fixture
def read(tmp_path):
    def read(model):
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return read_onnx(path)

    return read


@pytest.mark.parametrize("name", SOUND)
def test_forward(name, read):
    model = SOUND[name](np.random.default_rng(1))
    frames = frames_of(model, 3)
    found = read(model)(torch.tensor(frames.astype(np.float32))).detach().numpy()
    wanted = reference(model, frames)
    assert found.shape == wanted.shape and np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(
        found, wanted, rtol=2e-2 if name == "separable" else 1e-4, atol=1e-2 if name == "separable" else 1e-5
    )


@pytest.mark.parametrize("name", SOUND)
def test_convert(name, read):
    model = SOUND[name](np.random.default_rng(1))
    frames = frames_of(model, 16).astype(np.float32)
    network = quantize(convert(read(model), np.round(frames * 255) / 255, "optimal", 4), 8)
    print(network.input_shape, [l.name for l in network.layers])
