"""An earlier version whose installations the checkout's own code carries on."""

import pytest

from tests.support.earlier import Earlier


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    """Version 0.1.0."""
    return Earlier.unpack("0.1.0", tmp_path_factory.mktemp("earlier"))
