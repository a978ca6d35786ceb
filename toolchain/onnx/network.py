"""The module that an ONNX graph becomes: named layers, run in the order of the graph."""

from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["OnnxNetwork", "Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """One layer: its unique name without dots, and the steps whose results it takes, in order."""

    name: str
    module: nn.Module
    sources: tuple[int, ...]


class OnnxNetwork(nn.Module):
    """A network of ``steps``, each of which reads earlier ones; step 0 reads the frames ``[N, C, H, W]``, the last gives the scores.

    An ordinary module: it can be converted, trained on, and its parts replaced. Weights are float32.
    """

    def __init__(self, steps: list[Step]):
        super().__init__()
        for step in steps:
            self.add_module(step.name, step.module)
        self._plan = [(step.name, step.sources) for step in steps]
        last = {source: place for place, step in enumerate(steps) for source in step.sources}
        self._done = [[source for source, end in last.items() if end == place] for place in range(len(steps))]

    def forward(self, x: Tensor) -> Tensor:
        known: dict[int, Tensor] = {}
        for place, (name, sources) in enumerate(self._plan):
            module = self._modules[name]
            assert module is not None
            known[place] = module(*([known[source] for source in sources] or [x]))
            for source in self._done[place]:
                del known[source]
        return known[len(self._plan) - 1]
