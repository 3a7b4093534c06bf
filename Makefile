# make demo   a fresh Debian machine to a working federation making real calls, narrated, then cleaned up
# make test   everything CI runs      make check   format, lint, types, import contracts
# make bench  the numbers             make stories long simulations
# make deb    the Debian package, into dist/
SHELL := /bin/bash
PYTHON := .venv/bin/python
READY := .venv/.ready
unexport PYTHONDONTWRITEBYTECODE  # the lab starts hundreds of daemons: each would compile the whole package, two fifths of what its start costs
TOLD := -q --tb=short -rfEs  # what failed is named in the last lines, and what was skipped
LAB := tests/lab tests/lab_tools tests/docker
ALONE := tests/lab/test_load.py tests/lab/test_many.py tests/lab/test_rolling.py  # they need the whole machine
# Testers of the lab, each with a federation of its own that waits half of the time: five on two cores, if there are 1.5 GB for each
PBXFED_TESTERS ?= $(shell awk -v most=$$(($$(nproc) * 5 / 2)) '/^MemAvailable/ { n = int($$2 / 1.5e6); \
  if (n > most) n = most; print (n > 1 ? n : 1) }' /proc/meminfo)

.PHONY: demo test test-rules test-docker check bench stories unit deb clean

demo: $(READY)
	$(PYTHON) -m lab.demo

test: $(READY)
	$(MAKE) --no-print-directory -j 2 check test-rules
	$(PYTHON) -m pytest $(TOLD) -n $(PBXFED_TESTERS) --dist loadfile --no-loadscope-reorder tests/lab_tools tests/lab $(ALONE:%=--ignore=%) \
	  || { [ $$? = 1 ] && $(PYTHON) -m tests.again $(TOLD); }  # 1: tests failed, and nothing else
	$(PYTHON) -m pytest $(TOLD) $(ALONE)
	$(MAKE) --no-print-directory test-docker

# All that needs no lab.
test-rules: $(READY)
	$(PYTHON) -m pytest $(TOLD) -n $$(nproc) $(LAB:%=--ignore=%)

# The lab in containers, in a Docker engine of its own; where none can be started, that is said, with the reason.
test-docker: $(READY)
	$(PYTHON) -m pytest $(TOLD) tests/docker

check: $(READY)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: $(READY)
	$(PYTHON) -m pytest -q tests/core tests/wire

bench: $(READY)
	$(PYTHON) -m tests.bench

stories: $(READY)
	PBXFED_SEEDS=$${PBXFED_SEEDS:-1000} $(PYTHON) -m tests.stories
	PBXFED_EXAMPLES=$${PBXFED_EXAMPLES:-500} $(PYTHON) -m pytest -q tests/stories/test_laws.py
	PBXFED_FUZZ=1000000 $(PYTHON) -m pytest -q -s tests/wire/test_fuzz.py

# A virtual environment with what pyproject.toml names. Debian splits venv from Python: it is installed if it is missing.
# editable_mode=compat: a path, not a finder, whose imports would be half of each Python's start. Debian 12's pip knows no -C.
$(READY): pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "installing python3-venv"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null; }
	@echo "preparing .venv"
	@rm -rf .venv && python3 -m venv .venv
	@.venv/bin/pip install -q --disable-pip-version-check --config-settings editable_mode=compat -e '.[dev]'
	@touch $@

deb: $(READY)
	$(PYTHON) -m release.deb

clean:
	rm -rf .venv .lab dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
