"""Golden model against spikingjelly, images per second: same network, batch and threads, in one run, interleaved.

    make bench

spikingjelly runs multi-step with the first convolution computed once for all steps, which favours it. Both
start their membranes at θ/2, and before anything is timed their predictions are compared.
"""

import json
import statistics
import time
from importlib.metadata import version

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from sim import floating, golden
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.ir import SpikingNetwork
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source, pixels_to_input

STEPS, IMAGES, ROUNDS = 4, 200, 7


def their_network(network: SpikingNetwork) -> tuple[nn.Module, nn.Module]:
    """The same layers with soft-reset IF neurons; weights scaled so that every threshold is 1."""
    blocks: list[nn.Module] = []
    first: nn.Module | None = None
    worth = 1.0
    for spiking in network.layers:
        c = spiking.connections[0]
        if c.pool != (1, 1) and first is not None:
            blocks.append(layer.AvgPool2d(c.pool[0], step_mode="m"))
        theta = 1.0 if spiking.threshold is None else float(spiking.threshold[0])
        shape, kernel = c.weight.shape, c.kernel
        if c.kind == "linear":
            blocks.append(layer.Flatten(step_mode="m"))
            synapse = layer.Linear(shape[1] * kernel[0] * kernel[1], shape[0], step_mode="m")
        elif first is None:
            synapse = nn.Conv2d(shape[1], shape[0], kernel, padding=c.padding)
        else:
            synapse = layer.Conv2d(shape[1], shape[0], kernel, padding=c.padding, step_mode="m")
        scale = worth * c.pool[0] * c.pool[1] / theta
        synapse.weight.data = (torch.tensor(c.weight).float() * scale).reshape(synapse.weight.shape)
        synapse.bias.data = torch.tensor(spiking.bias / theta).float()
        if first is None:
            first = synapse
        else:
            blocks.append(synapse)
        if spiking.threshold is not None:
            blocks.append(neuron.IFNode(v_threshold=1.0, v_reset=None, step_mode="m"))
        worth = theta
    assert first is not None
    return first.eval(), nn.Sequential(*blocks).eval()


def main() -> None:
    """Measure and print one JSON object."""
    dataset = datasets.load("bundled").take(IMAGES)
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    batch = calibration(datasets.load("bundled"), 50)
    networks = {s: convert(module, batch, "qcfs", STEPS, schedule=s) for s in ("two_phase", "stream")}
    fixed = {s: quantize(n) for s, n in networks.items()}
    first, rest = their_network(networks["stream"])
    hidden = [block for block in rest if isinstance(block, neuron.IFNode)]
    # every threshold is 1 there; a membrane of another shape than the input's would be taken for 0
    starts = [torch.full((IMAGES, *shape), 0.5) for shape in networks["stream"].shapes[:-1]]
    x = pixels_to_input(torch.tensor(dataset.frames))

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            functional.reset_net(rest)
            for node, start in zip(hidden, starts, strict=True):
                node.v = start
            current = first(x)
            return rest(current.unsqueeze(0).expand(STEPS, *current.shape)).sum(dim=0)

    jobs = {
        "two_phase counts": lambda: golden.run(fixed["two_phase"], dataset.frames, "counts"),
        "stream spikes": lambda: golden.run(fixed["stream"], dataset.frames, "spikes"),
        "spikingjelly": theirs,
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    agreement = float(
        (theirs().argmax(dim=1).numpy() == floating.run(networks["stream"], dataset.frames).argmax(axis=1)).mean()
    )
    # both compute in float32 with other orders of summation, so that a membrane near its threshold may differ
    assert agreement >= 0.99, f"spikingjelly predicts something else on {1 - agreement:.1%} of the images"
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - begun)
    ratios = {
        name: statistics.median(b / a for a, b in zip(seconds[name], seconds["spikingjelly"], strict=True))
        for name in ("two_phase counts", "stream spikes")
    }
    print(
        json.dumps(
            {
                "command": "make bench",
                "status": "measured",
                "time_steps": STEPS,
                "batch": IMAGES,
                "threads": torch.get_num_threads(),
                "same_predictions_as_our_float_simulation": agreement,
                "images_per_second": {n: round(IMAGES / statistics.median(s), 1) for n, s in seconds.items()},
                "times_spikingjelly": {n: round(r, 2) for n, r in ratios.items()},
                "versions": {n: version(n) for n in ("torch", "spikingjelly")},
                "fingerprint": fixed["two_phase"].fingerprint,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
