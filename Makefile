# Every target is one command that works without make, too. Only Python 3.11, make, perl and g++ must be there.

PYTHON ?= python3
PACKAGES = amaranth cimarron_sim cocotb cocotbext.axi fusesoc matplotlib onnxruntime peakrdl_html pyright pytest ruff serial sklearn wavedrom xdist ziglang
PRESENT := $(shell $(PYTHON) -c "import importlib.util as u; print(all(map(u.find_spec, '$(PACKAGES)'.split())))" 2>&1)

# The active environment if it has every package, else one of our own.
ifeq ($(PRESENT),True)
PY := $(PYTHON)
READY :=
else
PY := .venv/bin/python
READY := .venv/ready
endif

ifdef TB
BENCHES := $(filter $(patsubst tb/tb_%.py,%,$(wildcard tb/*.py)),$(patsubst tests/test_%.py,%,$(wildcard tests/*.py)))
ifeq ($(filter $(TB),$(BENCHES)),)
$(error there is no bench '$(TB)': choose TB from $(BENCHES))
endif
ifeq ($(filter $(or $(SIM),verilator),verilator icarus),)
$(error there is no simulator '$(SIM)': choose SIM=verilator or SIM=icarus)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help sim test verilog bitstream lint firmware waves bench clean

help: ## list the targets
	@awk -F ' ?## ' '/^[a-z]+:.*## /{sub(":.*", "", $$1); printf "  make %-10s %s\n", $$1, $$2}' Makefile

sim: $(READY) ## run the digits on the simulated chip, or one bench: TB=macro SIM=icarus SEED=1 CASE=name WAVES=1
	$(PY) $(if $(TB),-m pytest -s -m cosim -k $(or $(SIM),verilator) tests/test_$(TB).py,examples/digits/run.py)

test: $(READY) ## run every test, on JOBS=n processes; ARGS="-k macro" chooses
	$(PY) -m pytest -n $(or $(JOBS),auto) --dist worksteal --junit-xml=build/test/results.xml $(ARGS)

verilog: $(READY) ## write the Verilog of every top into build/verilog
	$(PY) -m cimarron_sim verilog --top macro --top engine --top engine_axi --top soc --config $(or $(CONFIG),default) -o build/verilog

bitstream: $(READY) ## build for an FPGA board: BOARD=ulx3s CONFIG=file.toml SEED=1
	$(PY) -m cimarron_sim bitstream --board $(or $(BOARD),ulx3s) $(if $(CONFIG),--config $(CONFIG)) $(if $(SEED),--seed $(SEED))

lint: $(READY) ## check style and types
	$(PY) -m ruff check && $(PY) -m ruff format --check && $(PY) -m pyright --pythonpath $(PY)

firmware: $(READY) ## rebuild the firmware's prebuilt image
	$(PY) -m cimarron_sim.firmware.build

waves: $(READY) ## record a macro operation and an inference, with GTKWave save files, in build/waves
	$(PY) examples/waves.py

bench: $(READY) ## measure: one JSON per bench/*.py under build/bench
	@set -e; for bench in bench/*.py; do echo "$(PY) $$bench"; $(PY) $$bench; done

clean: ## remove what was built, but not the environment
	rm -rf build dist .pytest_cache .ruff_cache

.venv/ready: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed, this is ' + sys.version)"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv/bin/python -m pip install --quiet --editable ".[fpga,oracle,registers,report]" --group dev
	touch $@
