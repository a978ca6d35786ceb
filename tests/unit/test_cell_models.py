"""Models of cells: cut out of what Yosys ships, word for word, or Spikeloom's own; none for what nobody describes."""

import pytest

from toolchain.errors import InvalidValue, ToolMissing
from toolchain.synth.models import cell_models
from toolchain.tools import Tool, find_synthesis, yosys_share

LIBRARY = """`define START 0
`include "more.vh"
(* blackbox *)
module PLL(output O);
endmodule
(* keep, blackbox *)
module
  SPLIT(output O);
endmodule
module WHOLE(input I, output O);
  INNER made(.I(I), .O(O)); // endmodules are words too
endmodule
(* abc9_box *) module UNUSED(input I); endmodule
module TIMED(input I, output O); // assign nothing, always
  specify
    (I => O) = 3;
  endspecify
endmodule
"""
MORE = "module INNER(input I, output O);\n  assign O = ~I;\nendmodule\n"


@pytest.fixture
def share(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "cells_sim.v").write_text(LIBRARY)
    (tmp_path / "toy" / "more.vh").write_text(MORE)
    return tmp_path


def test_used_cells_and_what_they_are_made_of(share):
    models = cell_models("toy", share, ["WHOLE"])
    assert models.origin == {"WHOLE": "yosys"}
    assert models.text.startswith("`define START 0\n")
    assert LIBRARY[LIBRARY.index("module WHOLE") : LIBRARY.index("(* abc9_box")].strip() in models.text
    assert MORE.strip() in models.text
    assert "UNUSED" not in models.text and "PLL" not in models.text
    assert cell_models("toy", share, ["WHOLE", "WHOLE"]) == models


@pytest.mark.parametrize("kind", ["PLL", "SPLIT", "TIMED", "NOWHERE"])
def test_a_cell_without_a_model_is_refused_by_name(share, kind):
    with pytest.raises(InvalidValue, match=rf"no simulation model of {kind}: .* verify the netlist of another device"):
        cell_models("toy", share, ["WHOLE", kind])


def test_libraries_that_are_not_there(share, tmp_path):
    (share / "toy" / "more.vh").unlink()
    with pytest.raises(ToolMissing, match=r"cannot read .*more\.vh: No such file"):
        cell_models("toy", share, ["WHOLE"])
    alone = Tool("yosys", "0.70", str(tmp_path / "bin" / "yosys"))
    with pytest.raises(
        ToolMissing, match=r"yosys comes without its cell libraries, looked for in .*share/yosys; install"
    ):
        yosys_share(alone)
    beside = tmp_path / "share" / "yosys"
    beside.mkdir(parents=True)
    (beside / "simcells.v").touch()
    assert yosys_share(alone) == beside


def test_what_the_real_yosys_describes_and_what_we_do():
    share = yosys_share(find_synthesis("yosys"))
    whole = cell_models(
        "ice40", share, ["SB_LUT4", "SB_RAM40_4K", "SB_MAC16", "SB_DFFESR", "SB_CARRY", "SB_SPRAM256KA"]
    )
    assert set(whole.origin.values()) == {"yosys"}
    shared = cell_models("ecp5", share, ["LUT4", "CCU2C", "TRELLIS_FF", "DP16KD", "MULT18X18D"])
    assert {kind for kind, origin in shared.origin.items() if origin == "spikeloom"} == {"DP16KD", "MULT18X18D"}
    with pytest.raises(InvalidValue, match="no simulation model of RAMB18E1"):
        cell_models("xilinx", share, ["LUT6", "RAMB18E1"])
