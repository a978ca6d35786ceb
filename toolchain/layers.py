"""One layer of a network: its connections and a value per channel, in floating point and in integers."""

from dataclasses import dataclass, field

import numpy as np

from toolchain.connection import Connection, frozen
from toolchain.errors import InvalidValue
from toolchain.leak import Decay, check_share

__all__ = ["FixedPointLayer", "Layer", "SpikingLayer"]


@dataclass(frozen=True, eq=False)
class Layer:
    """What both kinds of layer share: a name, its connections and one value per output channel.

    Members
    -------
    connections : tuple of Connection
        Summed into the membrane.
    threshold : [C] or None
        ``None`` for the readout, which never fires.
    bias : [C]
    negative_threshold : [C] or None
        θ⁻ of ``asymmetric``; a spike of −1 takes it back and is worth ``−threshold`` all the same.
    leak : float, of integers Decay, or None
        What stays of the membrane from one step to the next (``toolchain.leak``); ``None``: all of it.
    current_leak : float, of integers Decay, or None
        What stays of the synaptic current, to which ``connections`` and ``bias`` then add; ``None``: nothing, so that they
        add to the membrane.
    """

    name: str
    connections: tuple[Connection, ...]
    threshold: np.ndarray | None
    bias: np.ndarray
    negative_threshold: np.ndarray | None = field(default=None, kw_only=True)
    leak: float | Decay | None = field(default=None, kw_only=True)
    current_leak: float | Decay | None = field(default=None, kw_only=True)

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.bias.shape[0])

    @property
    def states(self) -> int:
        """Values that a neuron keeps from one step to the next: its membrane, and its current where that lasts."""
        return 1 if self.current_leak is None else 2

    def arrays(self) -> dict[str, np.ndarray]:
        """The layer's arrays under their names in a network file."""
        arrays = {f"weight.{index}": c.weight for index, c in enumerate(self.connections)}
        if self.threshold is not None:
            arrays["threshold"] = self.threshold
        if self.negative_threshold is not None:
            arrays["negative_threshold"] = self.negative_threshold
        return {**arrays, "bias": self.bias}

    def _freeze(self, dtype: type, *names: str) -> None:
        if not self.connections:
            raise InvalidValue(f"layer {self.name} has no connection")
        for name in names:
            value = getattr(self, name)
            if value is None:
                continue
            value = np.asarray(value)
            if value.shape != (self.connections[0].weight.shape[0],):
                raise InvalidValue(
                    f"layer {self.name}: {name} has shape {value.shape}, must be "
                    f"({self.connections[0].weight.shape[0]},), one value for each output channel"
                )
            if not np.isfinite(value).all():
                raise InvalidValue(f"layer {self.name}: {name} holds NaN or infinite values")
            object.__setattr__(self, name, frozen(value, dtype))
        for connection in self.connections:
            if not np.isfinite(connection.weight).all():
                raise InvalidValue(f"layer {self.name}: weight holds NaN or infinite values")
        for kind, values in (("threshold", self.threshold), ("negative threshold", self.negative_threshold)):
            if values is not None and not (values > 0).all():
                worst = int(np.argmin(values))
                raise InvalidValue(f"layer {self.name}: {kind} of channel {worst} is {values[worst]}, must be above 0")


@dataclass(frozen=True, eq=False)
class SpikingLayer(Layer):
    """Floating-point layer, independent of T: a train of value ``n`` is worth ``n / levels · threshold``.

    ``initial`` [C] is the membrane before the first input, for a threshold of ``threshold``.
    """

    initial: np.ndarray
    leak: float | None = field(default=None, kw_only=True)
    current_leak: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.leak is not None:
            object.__setattr__(self, "leak", check_share(f"layer {self.name}", self.leak))
        if self.current_leak is not None:
            share = check_share(f"layer {self.name}", self.current_leak, current=True)
            object.__setattr__(self, "current_leak", share)
        self._freeze(np.float64, "threshold", "bias", "initial", "negative_threshold")

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), "initial": self.initial}


@dataclass(frozen=True, eq=False)
class FixedPointLayer(Layer):
    """Integer layer (design, section 3): ``offset`` [C] is added once, ``bias`` [C] every step.

    ``bias`` is zero in ``two_phase``.
    """

    offset: np.ndarray
    leak: Decay | None = field(default=None, kw_only=True)
    current_leak: Decay | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for leak in (self.leak, self.current_leak):
            if not isinstance(leak, Decay | None):
                raise InvalidValue(f"layer {self.name}: a fixed-point leak must be a Decay, not {leak}")
        for connection in self.connections:
            if connection.weight.dtype != np.int32:
                raise InvalidValue(f"layer {self.name}: fixed-point weights must be integers")
        self._freeze(np.int64, "threshold", "bias", "offset", "negative_threshold")

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), "offset": self.offset}
