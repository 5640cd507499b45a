"""A shop of its own for each test, and what fills it."""

import copy
from typing import Any

import pytest

from tests.support.zoho_shop import POPULATION, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def population() -> dict[str, Any]:
    return copy.deepcopy(POPULATION)
