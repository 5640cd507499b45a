"""How many events a second go through the Faust agents with the whole core and the store, beside a bare loop over the
same log.

The log is filled first: a month of many invoices of several companies, collected, confirmed, booked and paid out. Then
the program's own worker runs over it: Faust's delivery, decode, evolve, decide, and state, decisions and position
committed durably, batch by batch. The bare loop reads the same records, decodes them with orjson and folds them into
one dict: what any reader must pay. Run: `python bench/agents.py [--invoices 250] [--connections 8] [--rounds 3]
[--quick]`.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import orjson
import uvloop
from _company import fill, month, turns

from adapters.clock import SystemClock
from projections.store.store import open_store
from streams.log.engines import open_log
from streams.log.interface import Log
from streams.log.topics import Topics
from streams.log.worker import HandlerSpec, Worker
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.core import Core
from streams.stages.metrics import Metrics

AIM_EVENTS_S = 10_000
TOPICS = Topics("", 4)


def bare(log: Log) -> float:
    """Seconds to read, decode and fold every event, and nothing else."""
    began = time.perf_counter()
    state: dict[tuple[str, str], Any] = {}
    for partition in range(TOPICS.partitions):
        for records in log.scan(TOPICS.events.name, partition):
            for record in records:
                event = orjson.loads(record.value or b"")
                state[event["connection"], event["id"]] = event
    return time.perf_counter() - began


async def agents(log: Log, store_url: str, group: str) -> float:
    """Seconds from the start of the worker until every event is decided and committed."""
    clock = SystemClock()
    with open_store(store_url, now=clock.now()) as store:
        store.bind_log(log.incarnation)
        core = Core(StageContext(log, TOPICS, store, clock, Wakeups(Activity(clock)), Metrics(), {}))
        worker = Worker(log, group, [HandlerSpec("core", TOPICS.events.name, core.handle, core.resume_at)])
        began = time.perf_counter()
        async with worker:
            await worker.until_idle()
            return time.perf_counter() - began


async def measure(invoices: int, connections: int, rounds: int) -> tuple[float, float]:
    """Events a second of both: medians over rounds in which the two take turns."""
    story = month(invoices).story
    with tempfile.TemporaryDirectory() as folder:
        async with open_log(f"sqlite://{folder}/log.db") as log:
            await log.ensure_topics(TOPICS)
            events = await fill(log, TOPICS, turns(story, connections))
            print(
                f"{events:,} events of {connections} connections, {invoices} invoices each, {TOPICS.partitions} "
                f"partitions"
            )
            ours, beside = [], []
            for number in range(rounds):
                beside.append(bare(log))
                ours.append(await agents(log, f"sqlite:///{folder}/store-{number}.db", f"bench-{number}"))
    return events / statistics.median(ours), events / statistics.median(beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invoices", type=int, default=250)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    size = (10, 2, 1) if options.quick else (options.invoices, options.connections, options.rounds)
    ours, beside = uvloop.run(measure(*size))  # as the program does
    print(f"agents with core and store: {ours:,.0f} events/s")
    print(f"bare loop (orjson, dict): {beside:,.0f} events/s, {beside / ours:.1f} times ours")
    print(
        f"aim {AIM_EVENTS_S:,} events/s: ratio {ours / AIM_EVENTS_S:.2f} "
        f"({'met' if ours >= AIM_EVENTS_S else 'missed'})"
    )


if __name__ == "__main__":
    main()
