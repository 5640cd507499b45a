"""The short month, lived once without a kill."""

import asyncio
from pathlib import Path

import pytest

from tests.support.months import SHORT, Ended, calm_month


@pytest.fixture(scope="session")
def short_month_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installation that the calm month leaves behind."""
    return tmp_path_factory.mktemp("calm")


@pytest.fixture(scope="session")
def short_month(short_month_folder: Path) -> Ended:
    """How the short month ends when nothing is killed."""
    return asyncio.run(calm_month(SHORT, short_month_folder))
