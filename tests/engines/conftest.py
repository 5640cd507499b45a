"""An embedded log of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.log.interface import NewRecord, TopicPartition
from streams.log.sqlite import SqliteLog
from streams.log.topics import TopicSpec

SPEC = TopicSpec("t", "connection", 1, None, "a test")


@pytest.fixture
def tp() -> TopicPartition:
    return TopicPartition("t", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    async with SqliteLog(path) as opened:
        await opened.ensure_topics([SPEC])
        yield opened


@pytest.fixture
async def filled(path: Path) -> Path:
    """The file of a stopped log with 100 records, the last of them large."""
    async with SqliteLog(path) as opened:
        await opened.ensure_topics([SPEC])
        await opened.append([NewRecord("t", b"k", b"value-%03d" % number * 9) for number in range(99)])
        await opened.append([NewRecord("t", b"k", bytes(range(256)) * 300, (("id", b"1"),))])
    return path
