"""Identities, the shortcuts of residual joins, on vectors: NIR convolves frames only, so that there they go as dense matrices."""

from dataclasses import replace

import numpy as np

from toolchain.connection import Connection
from toolchain.errors import InvalidValue

__all__ = ["as_identity", "as_matrix"]


def as_matrix(connection: Connection, weight: np.ndarray) -> np.ndarray:
    """``weight`` [C_out, C_in / groups, 1, 1] of a 1 × 1 connection as [C_out, C_in], zeros between the groups."""
    groups, runs = connection.groups, np.arange(connection.groups)
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    matrix = np.zeros((groups, outputs, groups, inputs))
    matrix[runs, :, runs] = weight.reshape(groups, outputs, inputs)
    return matrix.reshape(groups * outputs, groups * inputs)


def as_identity(connection: Connection, groups: int) -> Connection:
    """A connection that was exported from an identity of so many groups as that identity; one that is none stays as it is.

    Its weights may have been changed since: what has two weights in a row, or one outside its group, is no identity.
    """
    try:
        if connection.kind != "linear":
            return replace(connection, kind="identity") if connection.groups == groups else connection
        outputs, inputs, *size = connection.weight.shape
        if size != [1, 1] or outputs % groups or inputs % groups:
            return connection
        runs = np.arange(groups)
        blocks = connection.weight.reshape(groups, outputs // groups, groups, inputs // groups)[runs, :, runs]
        if np.count_nonzero(blocks) < np.count_nonzero(connection.weight):
            return connection
        weight = blocks.reshape(outputs, inputs // groups, 1, 1)
        return replace(connection, weight=weight, kind="identity", groups=groups)
    except InvalidValue:
        return connection
