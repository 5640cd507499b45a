"""How fast a log goes through the rules in bulk: events a second beside a bare loop over the same log, with and without
the store.

The log is a synthetic company's months (invoices collected, some failing after they were confirmed, paid out, booked),
repeated for many connections. The bare loop reads the same records, decodes them with orjson and folds them into one
dict: what any replay must cost. Run: `python bench/replay.py [--connections 40] [--invoices 50]`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))  # the company is one that the tests use too

from domain import codec, routing
from domain.decisions import Decision
from domain.envelope import Event
from domain.events import PayoutItem
from domain.state import State
from projections.store.store import open_store
from streams.gc_pause import without_collector
from streams.log.engines import open_log
from streams.log.interface import Log, NewRecord
from streams.log.records import decision_records, event_record
from streams.log.topics import Topics
from streams.operate.replay import Decisions, decision_of, events_of, rebuild
from tests.support.company import Company

AIM_EVENTS_S = 50_000
TOPICS = Topics("", 4)
NOW = "2026-06-01T00:00:00.000Z"


def months(invoices: int) -> list[tuple[Event, Decision]]:
    """One company's log: every invoice is collected, every twentieth is taken back, all are paid out."""
    one = Company()
    one.open_gate()
    for number in range(1, invoices + 1):
        one.customer(number)
        one.invoice(str(number), f"c-{number}")
    one.reach("2026-03-03T12:00:00.000Z")
    payments = [one.state.invoices[str(number)].payment for number in range(1, invoices + 1)]
    for payment in payments:
        one.pay(payment, "submitted", "2026-03-04T16:00:00.000Z")
        one.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
        one.answer_all()
    one.now = "2026-03-09T09:30:00.000Z"
    for start in range(0, invoices, 25):
        some = payments[start : start + 25]
        items = [PayoutItem("payment_paid_out", 120_000, payment) for payment in some]
        fees = [PayoutItem("gocardless_fee", -1_400, payment) for payment in some]
        one.payout(f"PO{start}", [*items, *fees], len(some) * 11_860)
        one.answer_all()
    for payment in payments[::20]:
        one.pay(payment, "charged_back", "2026-03-12T11:40:00.000Z")
        one.answer_all()
    return list(one.log)


async def write(log: Log, story: list[tuple[Event, Decision]], connections: int, topics: Topics = TOPICS) -> int:
    """The same story under many names, with its decisions published."""
    await log.ensure_topics(topics)
    for number in range(connections):
        name = f"company-{number}"
        events = [event_record(topics, msgspec.structs.replace(event, connection=name)) for event, _ in story]
        places = [
            place for start in range(0, len(events), 5_000) for place in await log.append(events[start : start + 5_000])
        ]
        records: list[NewRecord] = []
        for place, (_, decision) in zip(places, story, strict=True):
            if not decision.empty:
                value = codec.encode_decision(msgspec.structs.replace(decision, connection=name))
                records.append(decision_records(topics, value, place.offset, place.partition)[0])
        for start in range(0, len(records), 5_000):
            await log.append(records[start : start + 5_000])
    return len(story) * connections


def bare(log: Log) -> int:
    """Read, decode, fold: nothing else."""
    count = 0
    state: dict[tuple[str, str], Any] = {}
    for topic in (TOPICS.events.name, TOPICS.decisions.name):
        for partition in range(TOPICS.partitions):
            for records in log.scan(topic, partition):
                for record in records:
                    found = orjson.loads(record.value or b"")
                    state[found["connection"], found.get("id") or found["event"]] = found
                count += len(records) if topic == TOPICS.events.name else 0
    return count


def rules(log: Log, topics: Topics = TOPICS) -> int:
    """The rules over dictionaries, with the recorded decisions."""
    count = 0
    states: dict[str, State] = {}
    for partition in range(topics.partitions):
        decisions = Decisions(log, topics, partition)
        for chunk in events_of(log, topics, partition):
            for offset, event in chunk:
                state = states.get(event.connection)
                if state is None:
                    state = states[event.connection] = State(event.connection)
                value = decisions.take(offset)
                routing.restep(state, event, None if value is None else decision_of(value, event, offset))
            count += len(chunk)
    return count


def timed(name: str, work: Any, log: Log, beside: float | None = None) -> float:
    with without_collector():
        began = time.perf_counter()
        count = work(log)
        rate = count / (time.perf_counter() - began)
    ratio = "" if beside is None else f", {beside / rate:.1f} times the bare loop's time"
    print(f"{name}: {rate:,.0f} events/s{ratio}")
    return rate


async def measure(connections: int, invoices: int) -> float:
    story = months(invoices)
    with tempfile.TemporaryDirectory() as folder:
        async with open_log(f"sqlite://{folder}/log.db") as log:
            count = await write(log, story, connections)
            print(f"{count:,} events, {connections} connections, {invoices} invoices each")
            beside = timed("bare loop (orjson, dict)", bare, log)
            timed("rules over dictionaries", rules, log, beside)
            with open_store(f"sqlite:///{folder}/store.db") as store:
                return timed("rebuild into the store", lambda log: rebuild(log, TOPICS, store, NOW).events, log, beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--invoices", type=int, default=50)
    options = parser.parse_args()
    rate = asyncio.run(measure(options.connections, options.invoices))
    print(f"aim {AIM_EVENTS_S:,} events/s with the store: {'met' if rate >= AIM_EVENTS_S else 'missed'}")


if __name__ == "__main__":
    main()
