# Two commands on a fresh machine with Python 3.11 or later: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: demo test soak lint docs format bench lock clean

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(READY)

demo: $(READY)  ## A company's month, collected and reconciled by the real program
	$(BIN)/zoho-gocardless demo

test: $(READY)  ## Everything that takes under two minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(READY)  ## What takes longer: whole months, killed thirty times
	$(BIN)/python -m pytest -m soak

lint: $(READY)  ## Style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## The documents as a site, in site/; a link that leads nowhere fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Our figures beside a limit's or a peer's, as ratios
	@for each in bench/[a-z]*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

lock:  ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra test --extra docs --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --constraint requirements.lock \
		--no-emit-index-url --no-header --quiet --output-file requirements-run.lock
	echo 'setuptools>=77' | uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements-build.lock

clean:
	rm -rf $(VENV) .demo site
