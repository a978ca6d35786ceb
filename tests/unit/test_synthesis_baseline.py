"""The synthesis figures kept in reports/: whole, and (slow) what the tools still answer, within 5 %."""

from pathlib import Path

import pytest
import torch

from tests.bench import digits_mlp
from tests.bench.synthesis_table import KEY, MOVING, POINTS, VARIANTS, Point, base, measure, moved, read_table
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.quantize import quantize
from toolchain.synth import find_device, find_tools
from toolchain.train import calibration, load_source, train

TABLE = read_table(Path(__file__).parents[2] / "reports" / "synthesis" / "points.csv")
ROWS = TABLE.to_dict(orient="records")


def test_table_is_whole():
    assert not TABLE.duplicated(list(KEY)).any()
    known = set(map(str, POINTS))
    assert {f"{row['network']}/{row['device']}/{row['lanes']}" for row in ROWS} <= known
    for row in ROWS:
        device = find_device(row["device"])
        placed = row["status"] == "simulated"
        assert placed == (row["fmax_mhz"] > 0) and row["cycles"] > 0
        assert placed <= (device.family.placer is not None)
        assert row["fits"] == row["verdict"].startswith("fits")
        if placed:
            assert row["images_per_second"] == pytest.approx(row["fmax_mhz"] * 1e6 / row["cycles"], rel=1e-3, abs=1)


def test_what_has_moved_is_found():
    row = dict(ROWS[0])
    assert moved(row, row) == []
    for name in MOVING:
        if row[name]:
            assert moved({**row, name: row[name] * 1.06}, row)[0].startswith(f"{name} is ")
            assert moved({**row, name: row[name] * 0.94}, row)
            assert moved({**row, name: row[name] * 1.04}, row) == []
    assert moved({**row, "fmax_mhz": None}, row) and moved({**row, "lut": 3}, {**row, "lut": 0})
    assert moved({**row, "fits": not row["fits"]}, row) and moved({**row, "fingerprint": "0"}, row)


@pytest.fixture(scope="module")
def networks():
    """Made on demand by name, as the commands in the report make them."""
    made = {}

    def module(name):
        if name == "digits":
            return digits_mlp.trained()
        if name == "cnn":
            return load_source(zoo.BUNDLED_WEIGHTS).module
        torch.set_num_threads(1)  # the result depends on it
        data = (datasets.load("mnist-subset", split) for split in ("train", "test"))
        return train("mlp", *data, epochs=200, crop=True, device="cpu").module

    def get(name):
        if name not in made:
            chosen = {"cnn": ("bundled",), "mlp": ("mnist-subset", "train"), "digits": ("digits",)}
            of = base(name)
            spiking = convert(module(of), calibration(datasets.load(*chosen[of]), 250), "qcfs", 4)
            made[name] = VARIANTS[name].make(spiking) if name in VARIANTS else quantize(spiking, 8)
        return made[name]

    return get


@pytest.mark.slow
@pytest.mark.parametrize("kept", ROWS, ids=lambda row: f"{row['network']}-{row['device']}-{row['lanes']}")
def test_figures_stand(kept, networks, tmp_path):
    tools = find_tools(find_device(kept["device"]))
    versions = {"yosys" if name == "yosys" else "nextpnr": tool.version for name, tool in tools.items()}
    if any(kept[name] != version for name, version in versions.items()):
        pytest.skip(f"kept for {kept['yosys']} and {kept['nextpnr']}, here are {versions}")
    point = Point(kept["network"], kept["device"], int(kept["lanes"]))
    now = measure(point, networks(point.network), tmp_path)
    assert moved(now, kept) == [], "run tests/bench/synthesis_table.py and keep its rows, or find out why"
