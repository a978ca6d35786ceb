"""Recordings of event cameras: streams, readers on made files, binning against a naive one, files of spikes, NIR's data."""

import json
import sys
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import InvalidValue, ToolMissing
from toolchain.events import (
    POLARITIES,
    Account,
    Binning,
    EventStream,
    Layout,
    Recording,
    Window,
    bin_windows,
    from_nir,
    open_recording,
    rebinned,
    to_nir,
)
from toolchain.events import npy as npy_reader

AEDAT = Path(__file__).parents[1] / "data" / "moving-bar.aedat4"
T, X, Y, P = (np.array(c) for c in ([5, 5, 9, 12, 30], [0, 3, 1, 1, 2], [2, 0, 1, 1, 2], [1, 0, 0, 1, 1]))


def stream(t=T, x=X, y=Y, p=P, width=4, height=3):
    return EventStream("made", t, x, y, p, width, height)


def columns(recording):
    parts = list(recording.chunks())
    return [np.concatenate([getattr(part, name) for part in parts]) for name in ("t", "x", "y", "polarity")]


def assert_events(recording):
    assert [c.tolist() for c in columns(recording)] == [T.tolist(), X.tolist(), Y.tolist(), P.astype(bool).tolist()]


def test_a_stream_is_immutable_and_takes_polarity_in_three_forms():
    for polarity in (P, 2 * P - 1, P.astype(bool), P.astype(np.float64)):
        events = stream(p=polarity)
        assert events.polarity.tolist() == [True, False, False, True, True]
    assert (events.t.dtype, events.x.dtype, events.polarity.dtype) == (np.int64, np.uint16, np.bool_)
    with pytest.raises(ValueError, match="read-only"):
        events.t[0] = 1
    assert [e.t.tolist() for e in (events.between(5, 9), events.between(6, 31), events.between(40, 50))] == [
        [5, 5], [9, 12, 30], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"t": T[::-1]}, r"event 1 at 12 µs comes after one at 30 µs; sort"),
        ({"t": T - 6}, "event 0 has time stamp -1 µs, must be 0 or later"),
        ({"t": T + 0.5}, r"event 0 has t 5.5, must be a whole number .* unit of time"),
        ({"t": np.array([1, 2, np.nan, 3, 4])}, "event 2 has t nan, must be a whole number"),
        ({"t": np.array([1, 2, 3, 4, np.inf])}, "event 4 has t inf"),
        ({"t": np.array([0, 0, 0, 0, 2**63], np.uint64)}, "event 4 has t 9223372036854775808"),
        ({"t": T[:4]}, r"shapes t \(4,\), x \(5,\), .* one length"),
        ({"t": T[None]}, r"t \(1, 5\)"),
        ({"t": T.astype(str)}, "t is <U21, must be numbers"),
        ({"t": T.astype(complex)}, "t is complex128, must be numbers"),
        ({"x": X + 1}, r"event 1 has x = 4, outside of the sensor of 4x3 \(0 to 3\); give"),
        ({"y": Y - 1}, "event 1 has y = -1, outside of the sensor"),
        ({"p": P + 1}, "event 0 has polarity 2, must be 0 or 1, or -1 or 1"),
        ({"p": P - 2}, "event 1 has polarity -2"),
        ({"p": np.array([-1, 0, 1, 1, 1])}, "polarities are -1, 0 and 1"),
        ({"width": 0}, "sensor is 0x3, each side must be 1 to 8192"),
        ({"height": 8193}, "sensor is 4x8193"),
    ],
)
def test_wrong_events_are_refused_with_their_number(wrong, message):
    with pytest.raises(InvalidValue, match=message) as refusal:
        stream(**wrong)
    assert str(refusal.value).startswith("made: ") and "\n" not in str(refusal.value)


def structured(fields, order="txyp"):
    rows = np.empty(len(T), [(fields[k], {"t": "<i8", "p": "i1"}.get(k, "<u2")) for k in order])
    for key, values in zip("txyp", (T, X, Y, P), strict=True):
        rows[fields[key]] = values
    return rows


TABLE = np.stack([T, X, Y, P], axis=1)
ARRAYS = {
    "metavision": (structured({"t": "t", "x": "x", "y": "y", "p": "p"}, "xypt"), None),
    "tonic": (structured({"t": "timestamp", "x": "X", "y": "Y", "p": "Polarity"}, "pytx"), None),
    "table": (TABLE, None),
    "table of floats": (TABLE.astype(np.float32), None),
    "columns": (np.asfortranarray(TABLE), None),
    "tonic's table": (TABLE[:, [1, 2, 3, 0]], Layout("xypt")),
    "milliseconds": (TABLE * [0.001, 1, 1, 1], Layout(unit=1e3)),
    "seconds": (TABLE * [1e-6, 1, 1, 1], Layout(unit=1e6)),
    "nanoseconds": (TABLE * [1000, 1, 1, 1], Layout(unit=1e-3)),
    "big-endian": (TABLE.astype(">i4"), None),
}


@pytest.mark.parametrize("chunk", [2, 1 << 18])
@pytest.mark.parametrize(("array", "layout"), ARRAYS.values(), ids=ARRAYS)
def test_numpy_files(tmp_path, monkeypatch, array, layout, chunk):
    monkeypatch.setattr(npy_reader, "CHUNK", chunk)
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", events=array)
    np.savez_compressed(tmp_path / "y.npz", events=array)
    for name in ("x.npy", "x.npz", "y.npz"):
        recording = open_recording(tmp_path / name, (4, 3), layout)
        assert_events(recording)
        assert (span := recording.span()) and (span.first, span.last, span.events) == (5, 30, 5)
        assert len(list(recording.chunks())) == (3 if chunk == 2 else 1)


def test_npz_of_columns(tmp_path):
    np.savez(tmp_path / "x.npz", ts=T, x=X, y=Y, pol=P * 2 - 1, extrinsics=np.eye(4))
    assert_events(open_recording(tmp_path / "x.npz", (4, 3)))


def test_nmnist_file(tmp_path):
    """By hand from the format's description; the clock wraps once, which adds 2^13 µs."""
    rows = [(7, 2, 1, 5), (0, 240, 0, 0), (33, 33, 0, 6), (1, 0, 1, 0x1FFFF)]
    raw = b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in rows)
    (tmp_path / "x.bin").write_bytes(raw)
    t, x, y, p = columns(open_recording(tmp_path / "x.bin"))
    assert t.tolist() == [5, 6 + 2**13, 0x1FFFF + 2**13] and x.tolist() == [7, 33, 1]
    assert y.tolist() == [2, 33, 0] and p.tolist() == [True, False, True]
    (tmp_path / "x.bin").write_bytes(raw[:-1])
    with pytest.raises(InvalidValue, match=r"has 19 bytes, .* 5 for each event"):
        columns(open_recording(tmp_path / "x.bin"))


def test_a_real_aedat4_file():
    """Written by iniVation's dv-processing; see tests/bench/make_aedat4.py, which has the same events."""
    from tests.bench.make_aedat4 import SENSOR, moving_bar

    recording = open_recording(AEDAT)
    assert (recording.width, recording.height) == SENSOR
    assert np.array_equal(np.stack(columns(recording), axis=1), moving_bar())


def test_damaged_aedat4_is_one_line(tmp_path, monkeypatch):
    raw = AEDAT.read_bytes()
    path = tmp_path / "x.aedat4"
    huge = raw[:14] + b"\xff\xff\xff\xff" + raw[18:]
    for damaged in (b"", b"AEDAT", raw[: len(raw) // 2], b"x" + raw, raw.replace(b"EVTS", b"EVTX"), huge):
        path.write_bytes(damaged)
        with pytest.raises(InvalidValue) as refusal:
            columns(open_recording(path))
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    monkeypatch.setitem(sys.modules, "aedat", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'spikeloom\[events\]'"):
        open_recording(AEDAT)


def header(shape, dtype="<i8", fortran=False):
    text = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a whole numpy file"),
        (b"PNG" * 40, "not a whole numpy file"),
        (header((5, 4))[:50], "not a whole numpy file"),
        (header((5, 4)) + bytes(100), "cut short: 100 of 160 bytes"),
        (header((1 << 40, 4)), r"the limit is 1073741824 events"),
        (header((-1, 4)), "not a whole numpy file|has shape"),
        (header((5, 3)) + bytes(120), r"shape \(5, 3\), a table of events must be \[M, 4\]"),
        (header((5,)) + bytes(40), r"must be \[M, 4\], or \[M\] with named fields"),
        (header((5, 4), "|O") + bytes(160), "Python objects, which are not read"),
        (header((1 << 27, 4), fortran=True), "column by column and has 4294967296 bytes"),
        (header((2,), [("t", "<i8"), ("x", "<i2"), ("y", "<i2")]) + bytes(24), "no field for p among t, x, y"),
        (header((2,), [("t", "<i8"), ("ts", "<i8")]) + bytes(32), "2 fields for t among t, ts"),
    ],
)
def test_broken_numpy_files(tmp_path, raw, message):
    path = tmp_path / "x.npy"
    path.write_bytes(raw)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("events.npy", raw)
    for file in (path, tmp_path / "x.npz"):
        with pytest.raises(InvalidValue, match=message) as refusal:
            columns(open_recording(file, (4, 3)))
        assert str(file) in str(refusal.value) and "\n" not in str(refusal.value)


def test_what_is_no_recording(tmp_path):
    for name, message in {
        "x.raw": "metavision_file_to_csv",
        "x.aedat": "AEDAT 2 and 3 are not read",
        "x.png": "no kind of recording that is read; there are .npy, .npz, .aedat4, .bin",
        "x.npz": "not a whole numpy file",
    }.items():
        (tmp_path / name).write_bytes(b"\0" * 10)
        with pytest.raises(InvalidValue, match=message):
            columns(open_recording(tmp_path / name, (4, 3)))
    with pytest.raises(InvalidValue, match=r"no recording .*nothing.npy"):
        open_recording(tmp_path / "nothing.npy", (4, 3))
    np.save(tmp_path / "x.npy", TABLE)
    with pytest.raises(InvalidValue, match=r"how large the sensor is: give --sensor"):
        open_recording(tmp_path / "x.npy")
    with pytest.raises(InvalidValue, match=r"leave out --columns and --time-unit"):
        open_recording(AEDAT, layout=Layout())
    np.save(tmp_path / "x.npy", TABLE[:0])
    with pytest.raises(InvalidValue, match="holds no event"):
        open_recording(tmp_path / "x.npy", (4, 3)).span()


def test_time_must_not_fall_back_between_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_reader, "CHUNK", 2)
    np.save(tmp_path / "x.npy", np.concatenate([TABLE[3:], TABLE[:3]]))
    with pytest.raises(InvalidValue, match="event 2 at 5 µs comes after one at 30 µs"):
        columns(open_recording(tmp_path / "x.npy", (4, 3)))
    np.save(tmp_path / "x.npy", TABLE + np.array([0, 1, 0, 0]))
    with pytest.raises(InvalidValue, match="event 1 has x = 4"):
        columns(open_recording(tmp_path / "x.npy", (4, 3)))


def naive(events, window, binning):
    """Spikes as a set of (step, c, y, x), and the account; one event after the other."""
    width, height = events.width, events.height
    left, top, across, down = binning.crop or (0, 0, width, height)
    inside = [
        e for e in zip(events.t, events.x, events.y, events.polarity, strict=True) if window.start <= e[0] < window.end
    ]
    kept = []
    for t, x, y, p in inside:
        column, row = (int(x) - left), (int(y) - top)
        if binning.polarity in ("on", "off") and p != (binning.polarity == "on"):
            continue
        if not (0 <= column < across // binning.pool * binning.pool and 0 <= row < down // binning.pool * binning.pool):
            continue
        kept.append((int(t), int(p) if binning.polarity == "both" else 0, row // binning.pool, column // binning.pool))
    places = Counter()
    for number, (t, c, y, x) in enumerate(kept):
        if binning.by == "time":
            step = (t - window.start) * binning.steps // (window.end - window.start)
        else:
            step = number * binning.steps // len(kept)
        places[step, c, y, x] += 1
    return set(places), Account(len(inside), len(places), len(kept) - len(places), len(inside) - len(kept))


def random_stream(rng, width, height, count):
    t = np.sort(rng.integers(0, 60, count)) + 1_700_000_000_000_000
    return EventStream(
        "made",
        t,
        rng.integers(0, width, count),
        rng.integers(0, height, count),
        rng.integers(0, 2, count),
        width,
        height,
    )


def in_parts(events, rng):
    """The same events, in pieces of random lengths, some of them empty."""
    cuts = np.sort(rng.integers(0, len(events) + 1, rng.integers(0, 5)))

    def parts():
        for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True):
            yield {"t": events.t[a:b], "x": events.x[a:b], "y": events.y[a:b], "p": events.polarity[a:b]}

    return Recording("made", events.width, events.height, parts)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 7),
    by=st.sampled_from(["time", "events"]),
    polarity=st.sampled_from(POLARITIES),
    pool=st.integers(1, 3),
    cropped=st.booleans(),
)
def test_binning_equals_a_naive_one(seed, steps, by, polarity, pool, cropped):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(3, 9, 2).tolist()
    events = random_stream(rng, width, height, int(rng.integers(1, 80)))
    crop = (int(rng.integers(0, width - 2)), int(rng.integers(0, height - 2)), 3, 3) if cropped else None
    binning = Binning(steps, by, polarity, crop, pool)
    cuts = np.unique(rng.integers(0, 70, 4)) + 1_700_000_000_000_000
    windows = [Window(int(a), int(b), 1) for a, b in pairwise(cuts)]
    found = list(bin_windows(in_parts(events, rng), windows, binning))
    assert [sample.window for sample in found] == windows
    for sample, window in zip(found, windows, strict=True):
        spikes, account = naive(events, window, binning)
        assert set(map(tuple, np.argwhere(sample.spikes).tolist())) == spikes
        assert sample.account == account
        assert account.events == account.spikes + account.merged + account.left_out
        assert sample.spikes.dtype == np.int8 and sample.spikes.shape == (steps, *binning.shape(width, height))
        assert not sample.spikes.flags.writeable


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), by=st.sampled_from(["time", "events"]), factor=st.integers(1, 4))
def test_fewer_steps_of_the_same_events(seed, by, factor):
    """Joining neighbouring steps gives what binning into fewer gives."""
    rng = np.random.default_rng(seed)
    recording = Recording.of(random_stream(rng, 5, 4, int(rng.integers(1, 99))))
    window = [Window(1_700_000_000_000_000, 1_700_000_000_000_000 + int(rng.integers(1, 99)))]
    (few,) = bin_windows(recording, window, Binning(3, by))
    (many,) = bin_windows(recording, window, Binning(3 * factor, by))
    assert np.array_equal(rebinned(many.spikes[None], 3)[0], few.spikes)


def test_very_long_windows_do_not_overflow():
    events = EventStream("made", [0, 2**61, 2**62 - 1], [0, 1, 2], [0, 0, 0], [1, 1, 1], 3, 1)
    (sample,) = bin_windows(Recording.of(events), [Window(0, 2**62)], Binning(1000, polarity="merged"))
    assert np.argwhere(sample.spikes).tolist() == [[0, 0, 0, 0], [500, 0, 0, 1], [999, 0, 0, 2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "time steps is 0, must be 1 to 1024"),
        ({"steps": 1025}, "time steps is 1025"),
        ({"by": "frames"}, "by is 'frames', must be one of time, events"),
        ({"polarity": "none"}, "polarity is 'none', must be one of both, on, off, merged"),
        ({"pool": 0}, "pool is 0, must be at least 1"),
        ({"pool": 4}, "pool 4 is more than the 4x3 pixels"),
        ({"crop": (0, 0, 0, 1)}, "crop is .* width and height from 1"),
        ({"crop": (2, 0, 3, 1)}, "crop 2,0,3,1 reaches beyond the sensor of 4x3"),
    ],
)
def test_wrong_binning_is_refused(options, message):
    with pytest.raises(InvalidValue, match=message):
        list(bin_windows(Recording.of(stream()), [Window(0, 9)], Binning(**{"steps": 2, **options})))


def test_windows_must_not_overlap_and_samples_must_fit_in_memory():
    with pytest.raises(InvalidValue, match=r"window 8 to 20 µs begins before the one of 0 to 9 µs ends"):
        list(bin_windows(Recording.of(stream()), [Window(0, 9), Window(8, 20)], Binning(2)))
    with pytest.raises(InvalidValue, match="must start at 0 or later and end behind that"):
        Window(5, 5)
    with pytest.raises(InvalidValue, match="137438953472 places, the limit is 268435456; crop or pool it"):
        Binning(1024).shape(8192, 8192)


def test_nir_events_are_binned_as_nir_does():
    rng = np.random.default_rng(0)
    idx = rng.integers(-1, 2 * 3 * 4, (5, 40))
    time = np.where(idx < 0, np.inf, rng.uniform(0, 2.0, (5, 40)))
    data = nir.EventData(idx, time, 24, 2.0)
    for steps in (1, 4, 7):
        spikes = from_nir(data, (2, 3, 4), steps)
        theirs = data.to_time_gridded(2.0 / steps)
        assert theirs.n_time_steps == steps
        assert np.array_equal(spikes.reshape(5, steps, 24), theirs.data)
        assert np.array_equal(from_nir(theirs, (2, 3, 4)), spikes)
        back = to_nir(spikes, 2.0 / steps)
        assert np.array_equal(back.data, theirs.data) and back.t_max == 2.0
    assert np.array_equal(from_nir(data.to_time_gridded(0.25), (2, 3, 4), 4), from_nir(data, (2, 3, 4), 4))


def test_nir_data_through_a_file(tmp_path):
    spikes = np.random.default_rng(1).integers(0, 2, (3, 4, 2, 3, 4)).astype(np.int8)
    nodes = nir.NIRGraphData({"input": nir.NIRNodeData({"spikes": to_nir(spikes, 1e-3)})})
    nir.write_data(tmp_path / "x.nir", nodes)
    read = nir.read_data(tmp_path / "x.nir").nodes["input"].observables["spikes"]
    assert np.array_equal(from_nir(read, (2, 3, 4)), spikes)


NONE = np.full((1, 1), -1)
NIR_REFUSED = {
    "values": (nir.ValuedEventData(NONE, NONE * 1.0, 4, 1.0, NONE), 2, "carries a value"),
    "no steps": (nir.EventData(NONE, NONE * 1.0, 4, 1.0), None, "say how many"),
    "neurons": (nir.EventData(NONE, NONE * 1.0, 5, 1.0), 2, r"5 neurons, input shape \(1, 2, 2\)"),
    "index": (nir.EventData(NONE + 5, NONE + 1.0, 4, 1.0), 2, "indices outside of 0 to 3"),
    "time": (nir.EventData(NONE + 2, NONE + 2.0, 4, 1.0), 2, "times outside of 0 to t_max = 1.0"),
    "NaN": (nir.EventData(NONE + 2, NONE * np.nan, 4, 1.0), 2, "times outside"),
    "t_max": (nir.EventData(NONE, NONE * 1.0, 4, 0.0), 2, "t_max 0.0, must be above 0"),
    "floats": (nir.EventData(NONE * 1.0, NONE * 1.0, 4, 1.0), 2, "indices float64"),
    "gridded values": (nir.TimeGriddedData(np.full((1, 2, 4), 0.5), 1.0), None, "values other than 0 and 1"),
    "gridded steps": (nir.TimeGriddedData(np.zeros((1, 4, 4)), 1.0), 3, "4 steps cannot be had in 3"),
    "no data": ([1, 2], None, "is list, must be EventData or TimeGriddedData"),
}


@pytest.mark.parametrize(("data", "steps", "message"), NIR_REFUSED.values(), ids=NIR_REFUSED)
def test_nir_data_that_is_no_spikes(data, steps, message):
    with pytest.raises(InvalidValue, match=message):
        from_nir(data, (1, 2, 2), steps)


def test_a_file_of_spikes(tmp_path):
    from toolchain.events import Job, load_spikes, write_samples

    recording = Recording.of(stream())
    written = write_samples(
        [Job(recording, (Window(0, 10, 3), Window(20, 21, 0)))], Binning(2), tmp_path / "x.npz", {"a": 1}
    )
    assert written.shape == (2, 2, 2, 3, 4) and (written.classes, written.empty) == (4, 1)
    spikes = load_spikes(tmp_path / "x.npz")
    assert spikes.labels.tolist() == [3, 0] and spikes.spikes.shape == written.shape
    assert np.argwhere(spikes.spikes).tolist() == [[0, 1, 0, 0, 3], [0, 1, 0, 1, 1], [0, 1, 1, 2, 0]]
    assert spikes.about["samples"] == json.loads(json.dumps(written.summary())) and spikes.about["a"] == 1
    assert written.account == Account(events=3, spikes=3) and written.density == 3 / 96
    first = (tmp_path / "x.npz").read_bytes()
    write_samples([Job(recording, (Window(0, 10, 3), Window(20, 21, 0)))], Binning(2), tmp_path / "x.npz", {"a": 1})
    assert (tmp_path / "x.npz").read_bytes() == first  # no time of writing
    with np.load(tmp_path / "x.npz") as arrays:  # any numpy reads it
        assert np.array_equal(arrays["spikes"], spikes.spikes)
