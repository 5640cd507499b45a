"""What one event costs after 10⁴, 10⁵ and 10⁶ events of history: CPU time of the core's batches, and the ratio to the
first.

The history is one connection's: months of invoices collected, confirmed, booked and paid out, written into the store as
the core left them. Then the same new months go through the real core over each store, in turns, so that whatever else
the machine does meets all of them: decode, look for duplicates, read the rows, decide, write, commit. Run: `python
bench/history.py [--sizes 10000 100000 1000000] [--invoices 100] [--rounds 15] [--quick]`.
"""

import argparse
import asyncio
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from _company import CONNECTION, CompanyInMemory, api_id, month

from adapters.clock import SystemClock
from projections.state.batch import Facts, event_digest, take
from projections.store.rows import CODECS
from projections.store.store import Store, open_store
from projections.store.tables import STATE
from streams.gc_pause import without_collector
from streams.log.engines import open_log
from streams.log.interface import Log, Record, RecordBatch, TopicPartition
from streams.log.records import event_record
from streams.log.topics import Topics
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.core import STAGE, Core
from streams.stages.metrics import Metrics

AIM_RATIO = 1.1
TOPICS = Topics("", 1)
EVENTS = TopicPartition(TOPICS.events.name, 0)
NOW = "2026-06-01T00:00:00.000Z"

#: Events of one batch: what the program takes when it is behind, so that the fixed price of a commit does not hide the
#: rest.
BATCH = 500
#: Rows that a connection has once, however long its history: they come from the first month alone.
SHARED = ("connections", "balances", "timers")

_IDS = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{16}")

Columns = dict[str, list[Any]]


class History:
    """A month as the store has it afterwards, to be written again and again under other ids."""

    def __init__(self, invoices: int) -> None:
        company = month(invoices)
        self.events = len(company.story)
        rows = {
            kind: [CODECS[kind].values(CONNECTION, row) for row in company.state.mapping(kind).values()]
            for kind in STATE
        }
        self.shared = {kind: rows.pop(kind) for kind in SHARED}
        self.shared["connections"] = [opened(company)]
        facts = Facts()
        for offset, (event, decision) in enumerate(company.story):
            facts.add(event_digest(CONNECTION, event.id), (0, offset), event, None if decision.empty else decision)
        columns: Columns = {
            "entries": facts.entries,
            "lines": facts.lines,
            "queue": facts.commands,
            "endings": facts.endings,
            **rows,
        }
        self._packed = msgspec.msgpack.encode(columns)
        self._digests = [digest for digest, _ in facts.ids]

    def write(self, store: Store, block: int) -> None:
        """The month once more, with ids of its own, where the months before it end."""
        first = block * self.events
        columns = msgspec.msgpack.decode(_IDS.sub(renamed(block), self._packed), type=Columns)
        facts = Facts()
        facts.ids = [
            (blake2b(digest, key=str(block).encode(), digest_size=16).digest(), first) for digest in self._digests
        ]
        facts.entries = [(row[0], row[1] + first, *row[2:]) for row in columns.pop("entries")]
        facts.lines = [(row[0], row[1] + first, *row[2:]) for row in columns.pop("lines")]
        facts.commands = [(*row[:-1], row[-1] + first) for row in columns.pop("queue")]
        facts.endings = [tuple(row) for row in columns.pop("endings")]
        with store.write() as connection:
            for kind, rows in columns.items():
                if rows:
                    connection.exec_driver_sql(store.upsert(STATE[kind]), sorted(tuple(row) for row in rows))
            facts.write(store, connection)

    def begin(self, store: Store) -> None:
        """What a connection has once."""
        with store.write() as connection:
            for kind, rows in self.shared.items():
                if rows:
                    connection.exec_driver_sql(store.insert(STATE[kind]), rows)


def opened(company: CompanyInMemory) -> tuple[Any, ...]:
    """The connection's row as it stood when its gate was opened: a month that follows finds nothing under way."""
    own = msgspec.structs.replace(company.state.own, open_listed_at="", sweep_asked_at="")
    return CODECS["connections"].values(CONNECTION, own)


def renamed(block: int) -> Callable[[re.Match[bytes]], bytes]:
    """Ids of one month ↦ those of another, of the same shape: ids of the APIs rise with the months, digests are
    anywhere.
    """
    table: dict[bytes, bytes] = {}

    def other(match: re.Match[bytes]) -> bytes:
        held = match.group()
        found = table.get(held)
        if found is None:
            digest = blake2b(held, key=str(block).encode(), digest_size=16).hexdigest()
            found = table[held] = (digest if len(held) == 32 else api_id(block, held.decode())).encode()
        return found

    return other


def grow(path: Path, history: History, first: int, last: int) -> None:
    """Months `first` to `last` into the store, quickly: what is lost in a power cut is made again."""
    with open_store(f"sqlite:///{path}", now=NOW) as store, without_collector():
        with store.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA synchronous = OFF")
            driver.execute("PRAGMA cache_size = -2000000")
        if first == 0:
            history.begin(store)
        for block in range(first, last):
            history.write(store, block)


def stories(invoices: int, rounds: int, first: int) -> list[list[Record]]:
    """Months after all history, as the log would hand them over; without the setting up, which lies behind."""
    found = []
    for block in range(first, first + rounds):
        company = month(invoices, block=block)
        made = [event_record(TOPICS, event) for event, _ in company.story[company.setting_up + 1 :]]
        found.append([Record(one.topic, 0, 0, 0, one.key, one.value, one.headers) for one in made])
    return found


class Measured:
    """A store with its history, and the core over it."""

    def __init__(self, log: Log, path: Path, events: int) -> None:
        self.store = open_store(f"sqlite:///{path}", now=NOW)
        self.store.bind_log(log.incarnation)
        self.events = events
        take(self.store, STAGE, EVENTS.topic, EVENTS.partition, start=events)
        clock = SystemClock()
        self._core = Core(StageContext(log, TOPICS, self.store, clock, Wakeups(Activity(clock)), Metrics(), {}))
        self._next = events

    async def run(self, story: list[Record]) -> float:
        """CPU seconds of one month."""
        if self._next == self.events:
            await self._core.resume_at(EVENTS)
        spent = 0.0
        for start in range(0, len(story), BATCH):
            records = [
                msgspec.structs.replace(record, offset=self._next + number)
                for number, record in enumerate(story[start : start + BATCH])
            ]
            self._next += len(records)
            began = time.process_time()
            await self._core.handle(RecordBatch(EVENTS, records))
            spent += time.process_time() - began
        return spent


async def measure(sizes: list[int], invoices: int, rounds: int) -> list[list[float]]:
    """Microseconds of CPU per event, by size and round."""
    history = History(invoices)
    blocks = [max(1, round(size / history.events)) for size in sizes]
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        before = 0
        for number, block in enumerate(blocks):
            path = Path(folder) / f"store-{number}.db"
            if paths:
                shutil.copy(paths[-1], path)
            grow(path, history, before, block)
            before = block
            paths.append(path)
            print(f"{block * history.events:,} events of history: {path.stat().st_size / 1e6:,.0f} MB", flush=True)
        todo = stories(invoices, rounds + 1, blocks[-1])
        async with open_log(f"sqlite://{folder}/log.db") as log:
            await log.ensure_topics(TOPICS)
            over = [Measured(log, path, block * history.events) for path, block in zip(paths, blocks, strict=True)]
            times = [[await one.run(story) / len(story) * 1e6 for one in over] for story in todo]
            for one in over:
                one.store.close()
    return [
        list(column) for column in zip(*times[1:], strict=True)
    ]  # the first round reads the upper pages of the trees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--invoices", type=int, default=100, help="of one month; the history is many such months")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    sizes, invoices, rounds = (
        ([400, 1_200], 10, 1) if options.quick else (options.sizes, options.invoices, options.rounds)
    )
    costs = asyncio.run(measure(sizes, invoices, rounds))
    for size, cost in zip(sizes, costs, strict=True):
        ratio = statistics.median(one / first for one, first in zip(cost, costs[0], strict=True))
        said = (
            f"{ratio:.2f} times the first ({'met' if ratio <= AIM_RATIO else 'missed'}: aim {AIM_RATIO:g})"
            if size != sizes[0]
            else ""
        )
        print(f"after {size:>9,} events: {statistics.median(cost):6.1f} µs of CPU per event  {said}")


if __name__ == "__main__":
    main()
