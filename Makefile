# Two commands that set everything up from nothing. The tasks themselves: .venv/bin/inv -l
PYTHON ?= python3
export DEBIAN_FRONTEND = noninteractive

.PHONY: demo test

demo: .venv/ready
	@.venv/bin/inv lab --install
	@.venv/bin/inv demo $(if $(KEEP),--keep) $(if $(MIRROR),--mirror $(MIRROR))

test: .venv/ready
	@[ "$$(id -u)" != 0 ] || .venv/bin/inv lab --install
	@.venv/bin/inv test $(if $(ALL),--all) $(if $(AGAIN),--again)

# The virtual environment, with the project and its development tools in it.
.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'provisioner needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)'; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv; } || \
	  { echo 'python3-venv is missing: apt-get install python3-venv'; exit 3; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev,contract]'
	.venv/bin/python -m compileall -q provisioner roles
	@touch $@
