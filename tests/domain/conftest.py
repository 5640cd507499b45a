"""A company in memory for each test; how examples are drawn."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.company import Company

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
