"""A company in memory for each test; how examples are drawn."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from domain.policy import Policy
from tests.support.company import POLICY, Company

settings.register_profile(
    "domain",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("domain")


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture(scope="session")
def new_company() -> Callable[[], Company]:
    """Makes a company: for tests that need several, and for properties."""
    return Company


@pytest.fixture(scope="session")
def policy() -> Policy:
    return POLICY
