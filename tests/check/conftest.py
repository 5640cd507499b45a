"""A connection over both simulators for each test."""

import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from adapters.vault import new_key
from projections.store.store import open_store
from sandbox.server import SandboxConfig, running_sandbox
from tests.support.office import START, CheckedConnection


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made once: each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    open_store(f"sqlite:///{path}", now=START).close()
    return path


@pytest.fixture
async def office(tmp_path: Path, empty_store: Path) -> AsyncIterator[CheckedConnection]:
    """Both simulators, empty, and a new store."""
    shutil.copy(empty_store, tmp_path / "store.db")
    (tmp_path / "keys.txt").write_text(new_key("k1"))
    (tmp_path / "keys.txt").chmod(0o600)
    config = SandboxConfig(seed=5, start=datetime.fromisoformat(START))
    async with running_sandbox(config) as sandbox, aiohttp.ClientSession() as http:
        made = CheckedConnection(tmp_path, sandbox, http)
        yield made
        made.store.close()
