"""The verb ``certify``: the chain from a source network to a netlist, compared link by link, in one document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolchain.cli.commands import as_given
from toolchain.cli.shared import (
    NETLIST_DEVICE,
    AsJson,
    DataFolder,
    SimulatorName,
    Weights,
    app,
    load_dataset,
    print_json,
    stages,
)
from toolchain.errors import InvalidValue
from toolchain.tables import out

if TYPE_CHECKING:
    from torch import nn

    from toolchain.datasets import Dataset
    from toolchain.ir import FixedPointNetwork, SpikingNetwork

__all__: list[str] = []

_FLOAT_IMAGES = 200


def _dataset(network: "FixedPointNetwork", data: str, folder: Path | None, images: int | None, seed: int) -> "Dataset":
    """So many images, or ``_FLOAT_IMAGES`` of those there are."""
    import numpy as np

    from toolchain import flow
    from toolchain.datasets import Dataset

    if data == "random":
        frames = flow.random_frames(network, _FLOAT_IMAGES if images is None else images, seed)
        return Dataset("random", frames, np.zeros(len(frames), np.int64))
    whole = load_dataset(data, folder)
    return whole.take(min(_FLOAT_IMAGES, len(whole.frames)) if images is None else images)


def _float_networks(
    spiking: Path | None, source: str | None, weights: Path | None
) -> "tuple[SpikingNetwork | None, nn.Module | None]":
    from toolchain.netfile import load_spiking
    from toolchain.sources import load_module

    if weights is not None and source is None:
        raise InvalidValue(f"--weights {weights} is for --source; add that, or leave it out")
    return (
        None if spiking is None else load_spiking(spiking),
        None if source is None else load_module(source, weights),
    )


def _source_files(source: str | None, weights: Path | None) -> tuple[Path, ...]:
    from toolchain.zoo import BUNDLED_WEIGHTS

    if source is None:
        return ()
    file = (
        BUNDLED_WEIGHTS
        if source == "bundled"
        else Path(source if source.endswith(".safetensors") else source.rpartition(":")[0])
    )
    return (file, *((weights,) if weights is not None else ()))


@app.command(short_help="Compare every link from source to netlist; a certificate.")
def certify(
    context: typer.Context,
    network: Annotated[Path, typer.Argument(metavar="NET", help="Network file, or a folder of spikeloom generate.")],
    spiking: Annotated[
        Path | None, typer.Option("--spiking", help="What NET was quantized from: a file of spikeloom convert.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="What --spiking was converted from, named as for convert.")
    ] = None,
    weights: Weights = None,
    images: Annotated[int, typer.Option("--images", help="Images that hardware runs, 1 or more.")] = 3,
    float_images: Annotated[
        int | None,
        typer.Option(
            "--float-images", help=f"Images of the float networks; {_FLOAT_IMAGES} or all there are by default."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A data set as elsewhere, or random frames; bundled by default.")
    ] = None,
    data_folder: DataFolder = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of random frames.")] = 0,
    lanes: Annotated[
        int | None, typer.Option("--lanes", "-P", help="1 to 64; those of the folder, or 16, by default.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", "-d", help="Of the netlist, as in synth; none leaves the netlist out.")
    ] = NETLIST_DEVICE,
    simulator: SimulatorName = "verilator",
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for certificate.json, certificate.txt and the hardware.")
    ] = Path("build/certificate"),
    checked: Annotated[
        Path | None, typer.Option("--check", help="A certificate: does it belong to NET and what else is given?")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare every link from the source network to a netlist, and write a certificate.

    Float links tell errors; from the integers on (golden model, naive oracle, Verilog, netlist) every bit must be equal. Exit
    code 1 if one differs. The same inputs and tools give the same certificate, byte by byte. With --check nothing is
    simulated: fingerprints are compared, exit code 1 if one differs.

    Example: spikeloom certify net.safetensors --spiking snn.safetensors --source bundled -P 4
    """
    from toolchain import flow
    from toolchain.bundle import load_bundle
    from toolchain.certify import CERTIFICATE, Subject, read_text
    from toolchain.certify import certify as make
    from toolchain.synth import find_device

    if checked is not None:
        return _check(checked, network, spiking, source, weights, data, data_folder, seed, as_json)
    target = None if device == "none" else find_device(device)
    fixed = flow.network_of(network)
    if network.is_dir():
        bundle = load_bundle(network)
        if bundle.cores > 1 or bundle.memories != "rom" or bundle.netlist:
            raise InvalidValue(
                f"{network} holds {bundle.title}; a certificate is about one core with its network in ROM: name {bundle.network}"
            )
    chosen = load_bundle(network).lanes if lanes is None and network.is_dir() else lanes
    before, module = _float_networks(spiking, source, weights)
    subject = Subject(
        fixed,
        _dataset(fixed, data or "bundled", data_folder, float_images, seed),
        data != "random",
        flow.DEFAULT_LANES if chosen is None else chosen,
        images,
        target,
        simulator,
        before,
        module,
        {
            "network": (load_bundle(network).network if network.is_dir() else network,),
            "spiking": () if spiking is None else (spiking,),
            "source": _source_files(source, weights),
        },
        (as_given(context, without=("folder",)),),
    )
    with stages(f"certify {fixed.name}") as say:
        content = make(subject, folder, progress=say)
    if as_json:
        print_json(content)
    else:
        out.print(read_text(content), markup=False, end="")
        out.print(f"Written to {folder / CERTIFICATE}", markup=False)
    return 0 if content["passed"] else 1


def _check(
    certificate: Path,
    network: Path,
    spiking: Path | None,
    source: str | None,
    weights: Path | None,
    data: str | None,
    data_folder: Path | None,
    seed: int,
    as_json: bool,
) -> int:
    from toolchain import flow
    from toolchain.certify import check, load_certificate

    content = load_certificate(certificate)
    fixed = flow.network_of(network)
    before, module = _float_networks(spiking, source, weights)
    rows = check(
        content,
        certificate.parent,
        network=fixed,
        rtl=network if network.is_dir() else None,
        spiking=before,
        source=module,
        dataset=None if data is None else _dataset(fixed, data, data_folder, content["data"]["images"], seed),
    )
    belongs = all(row["state"] != "differs" for row in rows)
    if as_json:
        print_json({"belongs": belongs, "passed": content["passed"], "rows": rows})
        return 0 if belongs and content["passed"] else 1
    for row in rows:
        out.print(f"{row['what']}: {row['state']}", markup=False)
    verdict = "PASSED" if content["passed"] else "FAILED"
    out.print(
        f"The certificate belongs to what was given; it says {verdict}"
        if belongs
        else "The certificate belongs to something else"
    )
    return 0 if belongs and content["passed"] else 1
