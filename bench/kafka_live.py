"""The live path on Kafka and PostgreSQL: events a second, beside a Quix Streams application that keeps one count per
key.

The topic `events` is filled first: months of several companies, made by the rules themselves. Ours is the program's
worker over it: Faust's delivery from the broker, decode, evolve, decide, and state, decisions and position committed
durably to PostgreSQL, batch by batch. The peer reads the same topic from the same broker and counts the events of each
key in its state store. Both from their first event to their last one; ours with the last commit, the peer's without.
They take turns; medians are shown. Run: `python bench/kafka_live.py [--invoices 300] [--connections 8] [--rounds 3]
[--quick]`.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from _child import Child
from _company import fill, month, turns
from _kafka import brokers, database, databases, load, opened, prefix, servers_of
from _peers import QUIX, NoPeer, python_of

from adapters.clock import SystemClock
from projections.store.store import open_store
from streams.log.interface import Log, RecordBatch
from streams.log.topics import Topics
from streams.log.worker import HandlerSpec, Worker
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.core import Core
from streams.stages.metrics import Metrics

PARTITIONS = 4


async def ours(log: Log, topics: Topics, store_url: str, group: str) -> float:
    """Seconds from the first event until every one is decided and committed."""
    clock = SystemClock()
    began_s = 0.0
    with open_store(store_url, now=clock.now()) as store:
        store.bind_log(log.incarnation)
        core = Core(StageContext(log, topics, store, clock, Wakeups(Activity(clock)), Metrics("worker"), {}))

        async def handle(batch: RecordBatch) -> None:
            nonlocal began_s
            began_s = began_s or time.perf_counter()
            await core.handle(batch)

        async with Worker(log, group, [HandlerSpec("core", topics.events.name, handle, core.resume_at)]) as worker:
            await worker.until_idle()
            return time.perf_counter() - began_s


async def quix(python: Path, url: str, topic: str, events: int) -> float:
    """The same of the peer, as it says itself."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).parent / "peers" / "quix_count.py"
        child = await Child.start("-W", "ignore", script, servers_of(url)[0], topic, str(events), folder, python=python)
        seconds, seen = (await child.says()).split()
        await child.end()
    if int(seen) != events:
        raise RuntimeError(f"the peer saw {seen} of {events} events")
    return float(seconds)


async def measure(url: str, peer: Path | None, invoices: int, connections: int, rounds: int) -> None:
    story = month(invoices).story
    with prefix(url) as named, databases() as server:
        topics = Topics(named, PARTITIONS)
        async with opened(url, topics) as log:
            events = await fill(log, topics, turns(story, connections))
            print(
                f"{events:,} events of {connections} connections, {invoices} invoices each, {PARTITIONS} partitions; "
                f"{load()}",
                flush=True,
            )
            mine: list[float] = []
            beside: list[float] = []
            for number in range(rounds):
                if peer is not None:
                    beside.append(events / await quix(peer, url, topics.events.name, events))
                with database(server) as store_url:
                    mine.append(events / await ours(log, topics, store_url, f"{named}{number}"))
    show(mine, beside)
    print(load())


def show(mine: list[float], beside: list[float]) -> None:
    rate = statistics.median(mine)
    print(f"worker with core on PostgreSQL: {rate:,.0f} events/s")
    if beside:
        ratio = statistics.median(one / other for one, other in zip(mine, beside, strict=True))
        print(f"Quix Streams, one count per key: {statistics.median(beside):,.0f} events/s")
        print(f"aim, faster than it: ratio {ratio:.2f} ({'met' if ratio > 1 else 'missed'})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invoices", type=int, default=300)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a small run that only shows that it works; the peer only if it is there"
    )
    options = parser.parse_args()
    size = (10, 2, 1) if options.quick else (options.invoices, options.connections, options.rounds)
    peer: Path | None = None
    with brokers() as url:
        try:
            peer = python_of(QUIX, make=not options.quick)
        except NoPeer as reason:
            print(f"the peer is not run: {reason}; no ratio beside the aim")
        uvloop.run(measure(url, peer, *size))  # as the program does


if __name__ == "__main__":
    main()
