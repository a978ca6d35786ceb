"""The verb ``check``: what converts, what does not and why, and what it would take of a device, before any training."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.interchange import shape_of
from toolchain.cli.shared import (
    Also,
    AsJson,
    Banks,
    MemoryBits,
    Room,
    WeightCache,
    app,
    lanes_list,
    listed,
    print_json,
    stages,
)
from toolchain.errors import InvalidValue
from toolchain.tables import out, show_layers, show_outside, show_predictions

if TYPE_CHECKING:
    from hdl.capacity import Capacity
    from toolchain.ir import FixedPointNetwork
    from toolchain.sizing import External

__all__: list[str] = []


def _memory(network: "FixedPointNetwork", *, external: bool) -> dict[str, Any]:
    """Sizes that every device must hold, whatever its lanes; with weights ``external`` spikes go over those that were read."""
    from toolchain.buffers import freed, last_reads, peak

    last = last_reads(network)
    spikes = [
        0 if layer.threshold is None else prod(shape) * network.time_steps * (1 + network.signed_spikes)
        for layer, shape in zip(network.layers, network.shapes, strict=True)
    ]
    largest = max(layer.states * prod(shape) for layer, shape in zip(network.layers, network.shapes, strict=True))
    return {
        "time_steps": network.time_steps,
        "weights": network.weights,
        "weight_bits": network.weight_bits,
        "weight_memory_bits": network.weights * network.weight_bits,
        "neurons": network.neurons,
        "membrane_bits": network.membrane_bits,
        "membrane_memory_bits": largest * network.membrane_bits,
        "spike_buffer_bits": peak(spikes, freed(last) if external else last),
        "frame_bits": prod(network.input_shape) * (network.time_steps if network.input == "spikes" else 8),
        "layers": [
            {"layer": layer.name, "shape": list(shape), "membrane_bits": ranges.bits}
            for layer, shape, ranges in zip(network.layers, network.shapes, network.ranges, strict=True)
        ],
    }


def _external(memories: str, weight_cache: int | None, memory_bits: int | None) -> "External | None":
    """What a core has whose weights are external; None where they are on chip."""
    from hdl.tiles import ExternalWeights
    from toolchain.capacities import MEMORIES
    from toolchain.sizing import External

    if memories not in MEMORIES:
        raise InvalidValue(f"--memories is {memories!r}, must be one of {', '.join(MEMORIES)}")
    if memories != "external":
        if weight_cache is not None or memory_bits is not None:
            raise InvalidValue("--weight-cache and --memory-bits need --memories external")
        return None
    ExternalWeights(2 if weight_cache is None else weight_cache, 32 if memory_bits is None else memory_bits)
    return External(weight_cache, memory_bits)


def _kbit(bits: int) -> str:
    return f"{bits / 1024:,.1f} kbit"


@app.command(short_help="Will it convert, and will it fit? Before any training.")
def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Network file, NIR graph (.nir), ONNX model (.onnx), checkpoint of spikeloom train, bundled, FILE.py:FUNCTION, or cnn, mlp, vgg11, "
            "vgg16, resnet18, resnet20, untrained.",
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="List of devices, as for spikeloom synth; else all that would hold it."),
    ] = None,
    lanes: Annotated[str | None, typer.Option("--lanes", "-P", help="List such as 4,16; else 1 to 64.")] = None,
    time_steps: Annotated[
        int | None, typer.Option("--time-steps", "-T", help="T, where the model is not in integers yet.")
    ] = None,
    weight_bits: Annotated[
        int | None, typer.Option("--weight-bits", "-b", help="Weight width, likewise; 8 by default.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="C,H,W of the frames, for FILE.py:FUNCTION and NIR vectors.")
    ] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="State dict (.safetensors) for FILE.py.")] = None,
    activation: Annotated[
        str | None, typer.Option("--activation", "-A", help="Of an untrained architecture; qcfs by default.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Rules for a NIR graph, as for spikeloom import.")
    ] = None,
    density: Annotated[
        float | None,
        typer.Option("--density", help="Share of neurons that fire in a step, for the cycles; 0.15 assumed."),
    ] = None,
    pixels: Annotated[
        float | None, typer.Option("--pixels", help="Share of pixels that are not 0, likewise; 0.5 assumed.")
    ] = None,
    memories: Annotated[
        str,
        typer.Option(
            "--memories",
            help="rom; loadable: a core into which networks are loaded; external: weights from a memory outside.",
        ),
    ] = "rom",
    capacity: Room = None,
    banks: Banks = None,
    also: Also = None,
    weight_cache: WeightCache = None,
    memory_bits: MemoryBits = None,
    as_json: AsJson = False,
) -> int:
    """Whether a model converts, layer by layer with the way out, and what it will take of a device; nothing is trained or synthesized.

    Exit code 1 if a layer does not convert as it is, or no device asked for holds the network. Sizes are estimated by
    a model of built cores (reports/synthesis); spikeloom synth tells for certain. Where no device holds the weights, it says which would
    hold the core with --memories external, and what that asks of the memory's port.

    Example: spikeloom check resnet20 --device ecp5-85k -P 4,16
    """
    from toolchain.capacities import listed_capacity
    from toolchain.checking import CheckOptions
    from toolchain.checking import check as check_model
    from toolchain.sizing import CANDIDATES, USUAL, Activity, External, holding, predict, recommended
    from toolchain.synth.targets import find_device

    external = _external(memories, weight_cache, memory_bits)
    if memories != "loadable" and any(option is not None for option in (capacity, banks, also)):
        raise InvalidValue(
            f"--capacity, --banks and --also need --memories loadable: {memories} holds just the one network"
        )
    devices = [] if device is None else [find_device(name) for name in listed(device, "device")]
    numbers = CANDIDATES if lanes is None else tuple(sorted(lanes_list(lanes)))
    activity = Activity(USUAL.spikes if density is None else density, USUAL.pixels if pixels is None else pixels)
    with stages(f"check {Path(model).name}") as say:
        say("layer by layer")
        checked = check_model(
            model, CheckOptions(time_steps, weight_bits, shape_of(input_shape), weights, activation, preset)
        )
        network = checked.network
        room: dict[int, Capacity | External | None] = dict.fromkeys(numbers, external)
        if network is not None and memories == "loadable":
            room = {
                number: listed_capacity(network, lanes=number, listed=capacity, banks=banks, also=also)
                for number in numbers
            }
        say("sizes and cycles")
        told = (
            []
            if network is None
            else [
                [predict(network, each, number, activity, room.get(number)) for number in numbers] for each in devices
            ]
        )
        held = {} if network is None or devices else holding(network, activity, numbers, room.get)
        chosen = {each.name: recommended(predictions) for each, predictions in zip(devices, told, strict=False)}
        if network is None:
            enough = True
        else:
            enough = any(best is not None for best in chosen.values()) if devices else bool(held)
        outside = (
            holding(network, activity, numbers, lambda lanes: External(), devices or None)
            if network is not None and not enough and memories != "external"
            else {}
        )
    good = checked.converts and enough
    if as_json:
        print_json(
            {
                **checked.describe(),
                "memory": None if network is None else _memory(network, external=external is not None),
                "predictions": [each.describe() for predictions in told for each in predictions],
                "recommended": {name: None if best is None else best.lanes for name, best in chosen.items()},
                "holding": {name: best.describe() for name, best in held.items()},
                "holding_with_external_weights": {name: best.describe() for name, best in outside.items()},
                "passed": good,
            }
        )
        return 0 if good else 1
    show_layers(checked)
    if network is None:
        out.print("No sizes: they need a network whose layers all convert.")
        return 1
    sizes = _memory(network, external=external is not None)
    out.print(
        f"Needs: weights {sizes['weights']:,} × {network.weight_bits} bits = {_kbit(sizes['weight_memory_bits'])}, membranes of the "
        f"largest layer {_kbit(sizes['membrane_memory_bits'])} ({network.membrane_bits} bits each), spike buffers "
        f"{_kbit(sizes['spike_buffer_bits'])}, frame {_kbit(sizes['frame_bits'])}; {network.neurons:,} neurons, T = {network.time_steps}",
        markup=False,
    )
    for predictions in told:
        show_predictions(predictions, chosen[predictions[0].device.name])
    if not devices:
        show_predictions(list(held.values()), None)
    if not enough:
        show_outside(list(outside.values()), tried=external is not None)
    assumed = [*checked.assumed]
    if density is None or pixels is None:
        assumed.append(
            f"cycles for {100 * activity.spikes:g} % of neurons firing a step (--density) and {100 * activity.pixels:g} % of pixels not 0 (--pixels)"
        )
    for text in assumed:
        out.print(f"Assumed: {text}.", markup=False)
    return 0 if good else 1
