"""A clock that a test sets."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.zoho_records import NOW


@pytest.fixture
def clock() -> Callable[..., Any]:
    """A settable clock: `clock()` tells the time, `clock.at` is it."""

    class Clock:
        at = NOW

        def __call__(self) -> str:
            return self.at

    return Clock()
