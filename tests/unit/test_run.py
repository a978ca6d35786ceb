"""`spikeloom run` over a pseudo-terminal: images and loads to a board that answers, and what is said where it does not."""

import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from hdl.capacity import Capacity
from hdl.host import ErrorCode, PacketType
from sim import golden
from tests.bench.cell_counts import variant
from tests.fake_board import FakeBoard
from tests.networks import frames_for, random_network
from toolchain import cli
from toolchain.errors import InvalidValue, LinkFailed
from toolchain.host import Decoder, Host, encode
from toolchain.loading import load_packet, sealed, write_load
from toolchain.netfile import save_network
from toolchain.pooling import MaxPooling
from toolchain.quantize import quantize
from toolchain.trial import load_images

NETWORK = random_network(3)
FRAMES = frames_for(NETWORK, 1, 3)
EXPECTED = golden.run(NETWORK, FRAMES)
ERROR = PacketType.ERROR << 24 | 1


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "images.npy", FRAMES)
    save_network(NETWORK, tmp_path / "net.safetensors")
    return tmp_path


def spikeloom(capsys, *words):
    code = cli.run([str(word) for word in words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def test_run_prints_classes_scores_counters_and_latency(files, capsys):
    with FakeBoard(NETWORK) as board:
        code, out, _ = spikeloom(
            capsys, "run", "--port", board.path, files / "images.npy", "--net", files / "net.safetensors"
        )
    assert code == 0, out
    for image in range(3):
        assert " ".join(map(str, EXPECTED.scores[image])) in out
    assert "PASS 3 images" in out and "round trip" in out and NETWORK.fingerprint[:8] in out


def test_run_sends_spikes(tmp_path, capsys):
    """From a file of ``bin``'s form, in more steps than the network has; max pooling in the network, and every mistake in one line."""
    network = quantize(replace(variant({}, MaxPooling((2, 2), (2, 2))), input="spikes"), 8)
    save_network(network, tmp_path / "net.safetensors")
    spikes = (np.random.default_rng(0).random((2, 8, 1, 8, 8)) < 0.2).astype(np.int8)
    np.savez(tmp_path / "spikes.npz", spikes=spikes)
    np.savez(tmp_path / "odd.npz", spikes=spikes[:, :7])
    np.save(tmp_path / "images.npy", np.zeros((8, 8), np.uint8))
    expected = golden.run(network, spikes.reshape(2, 4, 2, 1, 8, 8).max(axis=2))
    net = ("--net", tmp_path / "net.safetensors")
    with FakeBoard(network) as board:
        port = ("run", "--port", board.path)
        code, out, _ = spikeloom(capsys, *port, tmp_path / "spikes.npz", *net)
        assert code == 0 and "PASS 2 images" in out
        assert all(" ".join(map(str, scores)) in out for scores in expected.scores)
        for words, message in (
            ((tmp_path / "spikes.npz",), "name its file with --net"),
            ((tmp_path / "odd.npz", *net), "must divide 7"),
            ((tmp_path / "images.npy", *net), "takes spikes, not pixels"),
            ((tmp_path / "images.npy",), "its network takes frames of another kind"),
        ):
            code, out, error = spikeloom(capsys, *port, *words)
            assert (code, out) == (2, "") and message in error and error.count("\n") == 1
    with FakeBoard(NETWORK) as board:
        save_network(NETWORK, tmp_path / "net.safetensors")
        code, _, error = spikeloom(capsys, "run", "--port", board.path, tmp_path / "spikes.npz", *net)
        assert code == 2 and "takes pixels, not spikes" in error


def test_run_as_json_without_a_network(files, capsys):
    np.save(files / "one.npy", FRAMES[1])
    with FakeBoard(NETWORK) as board:
        code, out, _ = spikeloom(capsys, "run", "--port", board.path, files / "one.npy", "--json")
    told = json.loads(out)
    assert code == 0 and told["compared"] is False and told["board"]["network_id"] == NETWORK.fingerprint[:8]
    (image,) = told["images"]
    assert image["scores"] == EXPECTED.scores[1].tolist() and image["prediction"] == EXPECTED.predictions[1]
    assert image["core_us"] > 0 and image["round_trip_ms"] > 0
    assert sum(layer["spikes"] for layer in image["layers"]) == EXPECTED.activity.spikes[1].sum()


@pytest.mark.parametrize("word", ["score", "prediction", "counter"])
def test_run_finds_a_planted_fault(files, capsys, word):
    classes = NETWORK.shapes[-1][0]
    place = {"score": 2, "prediction": 2 + classes, "counter": 2 + classes + 2}[word]

    def spoil(data, number):
        (packet,) = Decoder().feed(data)
        if number != 2:  # 0 is the identity, 2 the second image
            return data
        words = list(packet.words)
        words[place] ^= 1
        return encode(packet.tag, words)

    with FakeBoard(NETWORK, spoil=spoil) as board:
        options = ("run", "--port", board.path, files / "images.npy", "--net", files / "net.safetensors")
        code, out, _ = spikeloom(capsys, *options)
    assert code == 1
    assert "FAIL 1 differences" in out and f"{word}: image 1" in out


def test_run_goes_on_after_a_lost_byte(files, capsys):
    lost = []

    def hear(data):
        if not lost and len(data) > 20:
            lost.append(data[10])
            return data[:10] + data[11:]
        return data

    with FakeBoard(NETWORK, hear=hear) as board:
        code, out, _ = spikeloom(
            capsys, "run", "--port", board.path, files / "images.npy", "--net", files / "net.safetensors"
        )
    assert code == 0 and lost and "PASS" in out and "1 packets were damaged" in out


@pytest.fixture
def loads(tmp_path):
    """Two networks packed for one capacity, their images, and a board that takes them."""
    networks = (NETWORK, random_network(13))
    room = Capacity.of(*networks, lanes=4)
    packets = {}
    for name, network in zip("ab", networks, strict=True):
        save_network(network, tmp_path / f"{name}.safetensors")
        write_load(network, room, tmp_path / f"{name}.load")
        np.save(tmp_path / f"{name}.npy", frames_for(network, 1, 2))
        packets[tuple(load_packet(network, room).tolist())] = network
    return tmp_path, packets


def test_run_loads_one_network_after_another(loads, capsys):
    folder, packets = loads
    with FakeBoard(None, loads=packets) as board:
        for name in "aba":
            words = ("--load", folder / f"{name}.load", "--net", folder / f"{name}.safetensors")
            code, out, err = spikeloom(capsys, "run", "--port", board.path, folder / f"{name}.npy", *words)
            assert code == 0 and "PASS 2 images" in out, err
        # what is loaded stays; without a network the shape of the images counts
        code, out, _ = spikeloom(capsys, "run", "--port", board.path, folder / "a.npy", "--json")
        assert code == 0 and json.loads(out)["board"]["network_id"] == NETWORK.fingerprint[:8]


def test_run_loads_networks_of_pixels_and_of_spikes(tmp_path, capsys):
    networks = {"pixels": NETWORK, "spikes": random_network(7, neuron={"input": "spikes"})}
    room = Capacity.of(*networks.values(), lanes=4)
    frames = frames_for(networks["spikes"], 1, 2)
    np.savez(tmp_path / "spikes.npz", spikes=frames)
    np.savez(tmp_path / "wide.npz", spikes=np.repeat(frames, 2, axis=-1))
    np.save(tmp_path / "pixels.npy", FRAMES)
    packets = {tuple(load_packet(network, room).tolist()): network for network in networks.values()}
    for name, network in networks.items():
        save_network(network, tmp_path / f"{name}.safetensors")
        write_load(network, room, tmp_path / f"{name}.load")
    of_spikes = ("--net", tmp_path / "spikes.safetensors")
    with FakeBoard(None, loads=packets) as board:
        for name, ending in (("spikes", "npz"), ("pixels", "npy"), ("spikes", "npz")):
            words = ("--load", tmp_path / f"{name}.load", "--net", tmp_path / f"{name}.safetensors")
            code, out, err = spikeloom(capsys, "run", "--port", board.path, tmp_path / f"{name}.{ending}", *words)
            assert code == 0 and "PASS" in out, err
        cases = [
            ((tmp_path / "spikes.npz",), "spikes are packed for one network: name its file with --net"),
            ((tmp_path / "wide.npz", *of_spikes), "must be"),
            ((tmp_path / "pixels.npy", *of_spikes), "takes spikes, not pixels"),
            ((tmp_path / "pixels.npy", "--load", tmp_path / "spikes.load"), "network that the board holds takes"),
        ]
        for words, what in cases:
            code, out, err = spikeloom(capsys, "run", "--port", board.path, *words)
            assert code == 2 and err.count("\n") == 1 and what in err, err


def test_run_says_in_one_line_what_is_wrong_with_a_load(loads, capsys):
    folder, packets = loads
    good = (folder / "a.load").read_bytes()
    (folder / "cut.load").write_bytes(good[:-4])
    (folder / "spoilt.load").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    other = sealed(next(iter(packets))[1:-1])
    other[10] ^= 1
    other = sealed(other[1:-1])
    (folder / "other.load").write_bytes(other.astype("<u4").tobytes())
    np.save(folder / "flat.npy", np.zeros((4, 4), np.uint8))
    np.save(folder / "large.npy", np.zeros((1, 40, 40), np.uint8))
    with FakeBoard(None, loads=packets) as board, FakeBoard(NETWORK) as rom:
        a = folder / "a.npy"
        cases = [
            ((board, a), "holds no network yet; send one with --load"),
            ((board, a, "--net", folder / "a.safetensors"), "the board holds no network, the file is"),
            ((board, a, "--load", folder / "none.load"), "No such file"),
            ((board, a, "--load", folder / "a.safetensors"), "holds no load packet; spikeloom pack writes one"),
            ((board, a, "--load", folder / "cut.load"), "bytes, the packet in it"),
            ((board, a, "--load", folder / "spoilt.load"), "is damaged: its checksum is wrong"),
            ((board, a, "--load", folder / "other.load"), "the board refuses the network: the file's checksum is wrong"),
            ((rom, a, "--load", folder / "a.load"), "in ROM and takes no other; leave out --load"),
            ((board, a, "--load", folder / "b.load", "--net", folder / "a.safetensors"), "; send its --load"),
            ((board, folder / "flat.npy", "--load", folder / "a.load"), "must be [N, C, H, W] or [C, H, W]"),
            ((board, folder / "large.npy"), "the frame has 1600 pixels, the network that the board holds takes"),
        ]  # fmt: skip
        for (which, *words), what in cases:
            code, out, err = spikeloom(capsys, "run", "--port", which.path, *words)
            assert code == 2 and not out, words
            assert err.startswith("error: ") and err.count("\n") == 1 and what in err, (words, err)


@pytest.mark.parametrize(
    ("code", "what"), [(ErrorCode.FEATURES, "--core"), (10 | 2 << 8, "so many layers"), (99, "error 99")]
)
def test_a_refused_load_names_why(code, what):
    def refusing():
        conversation = Host(timeout=0.1).load([PacketType.LOAD << 24 | 1, 0])
        exchange = next(conversation)
        conversation.send(encode(Decoder().feed(exchange.send)[0].tag, [ERROR, int(code)]))

    with pytest.raises(LinkFailed, match=f"the board refuses the network: .*{what}"):
        refusing()


def test_run_says_in_one_line_what_is_wrong(files, capsys):
    other = random_network(5)
    save_network(other, files / "other.safetensors")
    np.save(files / "float.npy", FRAMES / 255)
    np.save(files / "empty.npy", FRAMES[:0])
    np.save(files / "wrong.npy", np.zeros((3, 2, 2), np.uint8))
    np.save(files / "object.npy", np.array([{}], object), allow_pickle=True)
    (files / "text.npy").write_text("no array")
    np.savez(files / "many.npz", FRAMES)
    good, silence = files / "images.npy", ("--timeout", "0.05")
    with (
        FakeBoard(NETWORK) as board,
        FakeBoard(NETWORK, spoil=lambda data, n: b"\x99" * 9) as noise,
        FakeBoard(NETWORK, hear=lambda data: b"") as silent,
    ):
        port = ("--port", board.path)
        cases = [
            ((*port, files / "none.npy"), "No such file"),
            ((*port, files), "Is a directory"),
            ((*port, files / "text.npy"), "is no array"),
            ((*port, files / "many.npz"), "holds no array spikes"),
            ((*port, files / "object.npy"), "is no array"),
            ((*port, files / "float.npy"), "holds float64, must be uint8"),
            ((*port, files / "empty.npy"), "no pixel in it"),
            ((*port, files / "wrong.npy"), "images have shape (3, 2, 2)"),
            ((*port, good, "--net", files / "other.safetensors"), "the board holds network"),
            ((*port, good, "--net", files / "text.npy"), "text.npy"),
            ((*port, good, "--baud", "0"), "baud is 0"),
            ((*port, good, "--timeout", "0"), "timeout is 0 s"),
            (("--port", "/dev/none", good), "cannot open /dev/none"),
            (("--port", str(good), good), "cannot open"),
            (("--port", silent.path, good, *silence), "no answer within 0.05 s"),
            (("--port", noise.path, good, "--timeout", "0.5"), "but no packet"),
            ((good,), "--port"),
        ]
        for words, what in cases:
            code, out, err = spikeloom(capsys, "run", *words)
            assert code == 2 and not out, words
            assert err.startswith("error: ") and err.count("\n") == 1 and what in err, (words, err)


def test_a_port_that_goes_away_is_one_line(files, capsys):
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.close(slave)

    closing = threading.Timer(0.3, os.close, [master])
    closing.start()
    code, _, err = spikeloom(capsys, "run", "--port", path, files / "images.npy", "--timeout", "5")
    closing.join()
    assert code == 2 and err.count("\n") == 1 and "is the board still plugged in?" in err


def test_images_are_never_unpickled(tmp_path):
    np.save(tmp_path / "object.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(InvalidValue, match="is no array"):
        load_images(tmp_path / "object.npy")
