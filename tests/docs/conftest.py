"""What the tests of the documents stand on: the documents themselves, and a log that holds public records."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from domain.publications import PAYMENTS, PaymentRecord
from streams.log import open_log
from streams.log.interface import NewRecord
from streams.log.topics import Topics

ROOT = Path(__file__).parents[2]


def payment(number: int, status: str, version: int) -> NewRecord:
    """A public record as the relay appends it."""
    record = PaymentRecord(
        "acme",
        f"PM{number}",
        f"46{number}",
        f"INV-{number:04d}",
        "c-1",
        1_200 * number,
        "GBP",
        status,
        "2026-03-06",
        f"98{number}",
        "PO1" if status == "reconciled" else "",
        "",
        f"EV{number}",
    )
    value = msgspec.json.encode({**msgspec.to_builtins(record), "version": version})
    return NewRecord(PAYMENTS, f"acme:PM{number}".encode(), value, partition=number % 2)


@pytest.fixture(scope="session")
def log_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log in which two payments were published: one collected and then reconciled, one collected."""
    url = f"sqlite://{tmp_path_factory.mktemp('public')}/log.db"

    async def fill() -> None:
        async with open_log(url) as log:
            await log.ensure_topics(Topics("", 2))
            await log.append([payment(1, "collected", 7), payment(2, "collected", 9), payment(1, "reconciled", 12)])

    asyncio.run(fill())
    return url


@pytest.fixture(scope="session")
def document() -> Callable[[str], str]:
    """The text of a document, by its place in the project."""
    return lambda name: (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def rows(document: Callable[[str], str]) -> Callable[[str, str], Iterator[list[str]]]:
    """The cells of each row of the tables under a heading of a document."""

    def of(name: str, heading: str) -> Iterator[list[str]]:
        (part,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", document(name), re.MULTILINE | re.DOTALL)
        for line in part.splitlines():
            if line.startswith("| ") and not line.startswith("|---"):
                yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]

    return of
