"""Fixtures of several files."""

import pytest


@pytest.fixture
def read(tmp_path):
    """Reads an ONNX model, or the bytes of one, by way of ``m.onnx`` in the test's folder."""
    from toolchain.onnx import read_onnx

    def read(model):
        path = tmp_path / "m.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return read_onnx(path)

    return read
