"""Installations that an earlier version has made and lived in, for the checkout's own code to carry on."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from streams.demo import demo
from streams.demo.demo import World
from streams.demo.month import Month
from tests.support import months
from tests.support.earlier import Earlier, EarlierProgram


@pytest.fixture(scope="session")
def month_harness() -> Any:
    """How a month is lived and how its end is compared (`tests/support/months.py`)."""
    return months


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    """Version 0.1.0."""
    return Earlier.unpack("0.1.0", tmp_path_factory.mktemp("earlier"))


@asynccontextmanager
async def lived_in(
    earlier: Earlier, plan: Month, folder: Path, fill: Callable[..., Awaitable[None]] | None = None, *filled: Any
) -> AsyncIterator[tuple[World, EarlierProgram]]:
    """An installation that the earlier version made: both sides filled (and more by `fill`), its program running, its
    gate open, the faults planted.
    """
    async with demo.sandbox(plan, folder) as world:
        await earlier.act("prepare", world, folder, plan)
        if fill is not None:
            await fill(world, *filled)
        program = earlier.program(folder)
        try:
            await program.start()
            await program.ready()
            await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), program.watch)
            await earlier.act("open_gate", world, folder, plan)
            await demo.plant(plan, world)
            yield world, program
        finally:
            await program.stop()


def command(folder: Path, *words: str) -> Any:
    """Run the checkout's command line on an installation; its answer's data."""
    config = ("--config", str(folder / "settings.toml"), "--json")
    ran = subprocess.run(
        [sys.executable, "-m", "streams.cli", *words, *config], capture_output=True, text=True, check=False, timeout=120
    )
    answer = json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {"ok": False, "error": ran.stderr}
    assert answer["ok"], (words, answer)
    return answer["data"]


@pytest.fixture(scope="session")
def compat() -> ModuleType:
    """This module, for the tests beside it."""
    return sys.modules[__name__]
