"""An ONNX model in hardware: golden model = naive oracle = RTL on integers of its weights, and not of others."""

import numpy as np
import pytest

from sim import golden, oracle, runner
from tests.onnx_models import residual
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.onnx import read_onnx
from toolchain.quantize import quantize


@pytest.mark.usefixtures("fast_compile")
def test_a_residual_model_in_hardware(tmp_path):
    """Projection, identity, clip, global pooling; and another model's hardware is found out."""
    networks = []
    for seed in (1, 2):
        path = tmp_path / "m.onnx"
        path.write_bytes(residual(np.random.default_rng(seed)).SerializeToString())
        frames = np.random.default_rng(3).integers(0, 256, (16, 2, 6, 6)).astype(np.uint8)
        networks.append(quantize(convert(read_onnx(path), frames.astype(np.float32) / 255, "optimal", 4), 8))
    network, other = networks
    trace, exact = golden.run(network, frames[:3], "spikes"), oracle.run(network, frames[:3])
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)
    result = runner.verify(emit(network, tmp_path / "rtl", lanes=4), network, frames[:3])
    assert result.passed, result.differences
    assert not np.array_equal(golden.run(other, frames[:3]).scores, trace.scores)
