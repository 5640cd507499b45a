# Two commands on a fresh machine with Python 3.11 or later: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MAN ?= build/man
PREFIX ?= $(HOME)/.local
INSTALLED := $(PREFIX)/lib/zoho-gocardless
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test soak coverage lint docs format bench man lock clean

help:  ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(READY)

install:  ## The program alone, in PREFIX/lib, and its command in PREFIX/bin; again, to upgrade it
	$(PYTHON) -m venv $(INSTALLED)
	$(INSTALLED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-run.lock
	rm -rf build/lib build/bdist.*
	$(INSTALLED)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps .
	mkdir -p $(PREFIX)/bin
	ln -sf $(INSTALLED)/bin/zoho-gocardless $(PREFIX)/bin/zoho-gocardless

demo: $(READY)  ## A company's month, collected and reconciled by the real program
	$(BIN)/zoho-gocardless demo

test: $(READY)  ## All tests but those that take over two minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(READY)  ## What takes longer: whole months, killed thirty times
	$(BIN)/python -m pytest -m soak

coverage: $(READY)  ## The tests again, and which lines none of them runs; twice as slow
	$(BIN)/python -m pytest -n 2 --dist loadfile --timeout 300 --cov --cov-report term

lint: $(READY)  ## Style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## The documents as a site, in site/; a link that leads nowhere fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(READY)  ## Format the code, and repair what lint can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Our figures beside a limit's or a peer's, as ratios
	@for each in bench/[a-z]*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

man: $(READY)  ## The manual pages, one for each command: `make man MAN=~/.local/share/man/man1`
	$(BIN)/click-man zoho-gocardless --target $(MAN)

lock:  ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra test --extra docs --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --constraint requirements.lock \
		--no-emit-index-url --no-header --quiet --output-file requirements-run.lock
	echo 'setuptools>=77' | uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements-build.lock

clean:  ## Remove the environment, the demo and the site
	rm -rf $(VENV) .demo site
