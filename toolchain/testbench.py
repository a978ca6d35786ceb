"""Write test benches beside generated hardware, one for cocotb and one in C++, that run without Spikeloom."""

import json

import numpy as np

from hdl.capacity import Capacity
from hdl.host import COUNTERS, PacketType, result_words
from hdl.program import Program
from hdl.tiles import program_of
from sim import golden
from sim.packets import input_packet
from toolchain.bundle import RtlBundle
from toolchain.emit import install
from toolchain.errors import InvalidValue
from toolchain.integration import TEMPLATES, cpp_files
from toolchain.ir import FixedPointNetwork
from toolchain.loading import load_packet, loaded_answer
from toolchain.segments import segments

__all__ = ["write_testbench"]


def _answers(network: FixedPointNetwork, frames: np.ndarray) -> list[list[int | None]]:
    """Words of the result packets that the integers ask for; ``None`` for cycles, which they do not know."""
    trace = golden.run(network, frames)
    following = result_words(network.shapes[-1][0], len(network.layers))
    head = [PacketType.RESULT << 24 | following, int(network.fingerprint[:8], 16)]
    answers = []
    for image, prediction in enumerate(trace.predictions.tolist()):
        scores = (trace.scores[image] & 0xFFFFFFFF).tolist()
        layers = zip(*(getattr(trace.activity, name)[image].tolist() for name in COUNTERS[1:]), strict=True)
        counters = [word for layer in layers for word in (None, *layer)]
        answers.append([*head, *scores, prediction, *counters, None])
    return answers


def write_testbench(bundle: RtlBundle, network: FixedPointNetwork, frames: np.ndarray) -> None:
    """Write ``test_core.py``, ``run.py`` and ``vectors.json`` into ``bundle.folder``, and the bench in C++ (``toolchain.integration``).

    ``python run.py`` there compiles and runs the first, ``make run`` the second, which there is only for cores that hold
    their weights.

    Parameters
    ----------
    frames : uint8 [N, C, H, W], or int8 spikes [N, T, C, H, W]
        Sent by the bench; the golden model gives the answers to expect.

    Raises
    ------
    InvalidValue
        The bundle belongs to another network, wrong frames, or a folder that cannot be written.
    """
    capacity = None if bundle.capacity is None else Capacity.restored(bundle.capacity)
    if capacity is None and bundle.fingerprint != network.fingerprint:
        raise InvalidValue(f"{bundle.folder} was generated from another network; generate it again")
    answers = _answers(network, frames)
    program = program_of(bundle.external, network, bundle.lanes)
    loads = [] if capacity is None else [load_packet(network, capacity).tolist()]
    loaded: list[list[int | None]] = [] if capacity is None else [[*loaded_answer(network)]]
    packets = [input_packet(frame, program) for frame in frames]
    parts = segments(network, bundle.cuts)
    longest = program.longest_inference
    if len(parts) > 1:
        longest = sum(Program(part, bundle.lanes).longest_inference for part in parts)
    vectors = {
        "fingerprint": network.fingerprint,
        "longest_inference": longest,
        "prediction_at": 2 + network.shapes[-1][0],
        "vectors": [
            *({"load": packet, "answer": answer} for packet, answer in zip(loads, loaded, strict=True)),
            *({"frame": packet, "answer": answer} for packet, answer in zip(packets, answers, strict=True)),
        ],
    }
    patience = 2 * (longest + max(map(len, [*loads, *packets]))) + 1000
    with install(bundle.folder) as staged:
        for name in ("test_core.py", "run.py"):
            (staged / name).write_text((TEMPLATES / name).read_text())
        (staged / "vectors.json").write_text(json.dumps(vectors) + "\n")
        if bundle.external is not None:  # the bench in C++ has no memory
            return
        for name, content in cpp_files([*loads, *packets], [*loaded, *answers], patience).items():
            (staged / name).write_text(content)
