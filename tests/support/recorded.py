"""The recorded bodies of `tests/fixtures`."""

from pathlib import Path
from typing import Any

import orjson

_FIXTURES = Path(__file__).parents[1] / "fixtures"


def raw(name: str) -> bytes:
    """A file as it is."""
    return (_FIXTURES / name).read_bytes()


def load(name: str) -> Any:
    """A file of JSON, read."""
    return orjson.loads(raw(name))
