"""The installations of `tests/stages`, and the recorded bodies of `tests/fixtures`."""

import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from projections.store.store import open_store

_TESTS = Path(__file__).parents[1]


def _installation():
    spec = util.spec_from_file_location("gateway_installation", _TESTS / "stages" / "installation.py")
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_parts = _installation()


@pytest.fixture(scope="session")
def parts():
    """The module with the helpers."""
    return _parts


@pytest.fixture(scope="session")
def recorded():
    """`raw(name)` and `load(name)` of a fixture file."""
    folder = _TESTS / "fixtures"
    return SimpleNamespace(raw=lambda name: (folder / name).read_bytes(), load=lambda name: orjson.loads((folder / name).read_bytes()))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A new store, made once: each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
async def gateway_program(tmp_path, empty_store):
    """The gateway on a real port over a real log; `worker()` makes the stages behind it."""
    async with _parts.GatewayProgram(tmp_path, empty_store) as made:
        yield made
