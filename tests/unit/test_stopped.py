"""Runs that end early: by Ctrl-C, by a kill, by lack of memory; and help that says what every verb does."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tests.networks import random_network
from toolchain import cli, datasets, startup, tables
from toolchain import emit as emitting
from toolchain.errors import InvalidValue
from toolchain.netfile import replacing


@pytest.fixture
def handlers():
    """Puts the handlers of this process back."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_ctrl_c_says_so(monkeypatch, capfd, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupted)
    target = tmp_path / "x.safetensors"
    assert cli.run(["convert", "bundled", "-o", str(target)]) == 130
    assert capfd.readouterr().err == "stopped\n"
    assert list(tmp_path.iterdir()) == []


def test_lack_of_memory_is_one_line(monkeypatch, capfd, tmp_path):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(datasets, "load", exhausted)
    assert cli.run(["convert", "bundled", "-o", str(tmp_path / "x.safetensors")]) == 2
    assert capfd.readouterr().err == "error: memory ran out; take fewer --images, or free some\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_ends_a_run_as_ctrl_c_does(handlers, number):
    signal.signal(number, signal.SIG_DFL)
    startup.stop_alike()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_nohup_ignores_stays_ignored(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    startup.stop_alike()
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_closed_pipe_is_no_failed_check():
    command = [sys.executable, "-c", "from toolchain import startup; startup.main()", "check", "cnn", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_disk_names_the_file(tmp_path):
    target = tmp_path / "x.safetensors"
    with (
        pytest.raises(InvalidValue, match=r"cannot write .*x\.safetensors: .*; choose a folder with more room"),
        replacing(target),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_narrow_terminal_cuts_no_words(monkeypatch, capfd):
    monkeypatch.setattr(tables.out, "_width", 30)
    assert cli.run(["check", "mlp", "-d", "ecp5-85k", "-P", "4"]) == 0
    text = capfd.readouterr().out
    assert "converts exactly" in text and "what becomes of it" in text


def test_list_of_verbs_is_whole(capfd):
    assert cli.run(["--help"]) == 0
    text = capfd.readouterr().out
    assert "verify" in text and "..." not in text.partition("Commands:")[2]


def test_a_folder_is_refused_before_the_work(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(emitting, "_verilog", lambda *_: pytest.fail("the Verilog was made"))
    for folder in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(InvalidValue, match=r"cannot write folder .*file.*; choose a folder that is writable"):
            emitting.emit(random_network(1), folder, lanes=1)
