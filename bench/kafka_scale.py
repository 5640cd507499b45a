"""Scale: fifty connections over eight partitions with 1, 2 and 4 workers; and whether one that waits for Zoho's limit
slows another.

Workers are the program's own processes (`run --role worker`) over one broker and one PostgreSQL: they decide, commit,
and publish what was decided. They run and have shared the partitions out before the events are appended; the time runs
from the first append until every event is committed. Brokers and database share the machine's cores with the workers.
Then one executor calls for ten connections, first all of them open, then one that Zoho has told to wait while its
commands are due: the calls a second of the other nine. Zoho answers at once; the budget per minute is the API's own,
and the commands fit into it. Run: `python bench/kafka_scale.py [--invoices 20] [--workers 1 2 4] [--rounds 5]
[--quick]`.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from _company import fill, month, turns
from _kafka import ONE_BROKER, brokers, database, databases, load, prefix, servers_of
from _limited import Limited
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.clock import SystemClock
from adapters.vault import new_key
from projections.store.store import Store, open_store
from streams.demo import demo
from streams.log.engines import open_log
from streams.log.topics import Topics
from streams.operate.replay import positions_of
from streams.settings import GROUP
from tests.support.fleet import command

PARTITIONS = 8
CONNECTIONS = 50
#: The others' rate beside a connection that waits, as a part of their rate without it.
AIM = 0.9
_SHARED_S = 60.0
_LOOK_S = 0.02
#: After the group is stable each worker still finds its place in the store.
_SETTLE_S = 2.0


def install(folder: Path, url: str, store: str, named: str) -> None:
    """An installation without connections: only workers run."""
    keys = folder / "keys"
    keys.write_text(new_key("bench") + "\n")
    keys.chmod(0o600)
    lines = [
        f'log = "{url}"',
        f'store = "{store}"',
        f'keys = "file:{keys}"',
        f'topic_prefix = "{named}"',
        f"partitions = {PARTITIONS}",
    ]
    kafka = ["[kafka]", "replication = 1", "min_insync = 1", f"session_timeout_s = {ONE_BROKER.session_timeout_s:g}"]
    (folder / "settings.toml").write_text("\n".join([*lines, *kafka]) + "\n")


async def until_shared(url: str, named: str, workers: int) -> None:
    """Wait until the group is stable with so many members."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers_of(url))
    await admin.start()
    try:
        async with asyncio.timeout(_SHARED_S):
            while not await _is_shared(admin, f"{named}{GROUP}", workers):  # noqa: ASYNC110 - other processes set no event here
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
    await asyncio.sleep(_SETTLE_S)


async def _is_shared(admin: AIOKafkaAdminClient, group: str, workers: int) -> bool:
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except KafkaError:  # a cluster without any group before this one makes the place for them first
        return False
    ((_, _, state, _, _, members, *_),) = answer.groups
    return bool(state == "Stable" and len(members) == workers)


async def decided(store: Store, topics: Topics, events: int) -> None:
    """Wait until the core has committed so many events."""
    while sum(positions_of(store, topics).values()) < events:  # noqa: ASYNC110 - other processes set no event here
        await asyncio.sleep(_LOOK_S)


async def scaled(url: str, store_url: str, invoices: int, workers: int) -> float:
    """Events a second of so many workers."""
    story = month(invoices).story
    with (
        tempfile.TemporaryDirectory() as made,
        prefix(url) as named,
        open_store(store_url, now=SystemClock().now()) as store,
    ):
        folder, topics = Path(made), Topics(named, PARTITIONS)
        install(folder, url, store_url, named)
        await command(folder, "topics", "apply")
        running = [
            demo.ProgramProcess(folder, "worker", f"worker-{number}", demo.free_port()) for number in range(workers)
        ]
        try:
            for program in running:
                await program.start()
            for program in running:
                await program.ready()
            await until_shared(url, named, workers)
            async with open_log(url, kafka=ONE_BROKER, prefix=named) as log:
                began_s = time.perf_counter()
                events = await fill(log, topics, turns(story, CONNECTIONS))
                await decided(store, topics, events)
                rate = events / (time.perf_counter() - began_s)
            for program in running:
                program.watch()
        finally:
            await asyncio.gather(*(program.stop() for program in running))
    print(
        f"{workers} workers: {rate:,.0f} events/s ({events:,} events of {CONNECTIONS} connections, {PARTITIONS} "
        f"partitions)",
        flush=True,
    )
    return rate


async def limited(url: str, store_url: str, rounds: int) -> None:
    """The executor's part."""
    with prefix(url) as named, open_store(store_url, now=SystemClock().now()) as store:
        async with open_log(url, kafka=ONE_BROKER, prefix=named) as log:
            await log.ensure_topics(Topics(named, PARTITIONS))
            alone: list[float] = []
            beside: list[float] = []
            for number in range(rounds + 1):
                for waiting, rates in (
                    ((False, alone), (True, beside)) if number % 2 else ((True, beside), (False, alone))
                ):
                    rate = await Limited(
                        log, Topics(named, PARTITIONS), store, f"r{number}{'w' if waiting else 'o'}"
                    ).rate(waiting=waiting)
                    if number:  # the first is to warm up
                        rates.append(rate)
    ratio = statistics.median(one / other for one, other in zip(beside, alone, strict=True))
    print(
        f"nine connections: {statistics.median(alone):,.0f} calls/s; beside one that waits for its limit: "
        f"{statistics.median(beside):,.0f}"
    )
    print(f"aim {AIM:g} of the rate without it: ratio {ratio:.2f} ({'met' if ratio >= AIM else 'missed'})")


async def measure(url: str, invoices: int, workers: list[int], rounds: int) -> None:
    with databases() as server:
        rates: dict[int, float] = {}
        for number in workers:
            with database(server) as store_url:
                rates[number] = await scaled(url, store_url, invoices, number)
        first = workers[0]
        for number in workers[1:]:
            print(
                f"{number} workers beside {first}: {rates[number] / rates[first]:.2f} times, on {os.cpu_count()} cores"
            )
        with database(server) as store_url:
            await limited(url, store_url, rounds)
    print(load())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invoices", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    size = (2, [1], 1) if options.quick else (options.invoices, options.workers, options.rounds)
    with brokers() as url:
        uvloop.run(measure(url, *size))


if __name__ == "__main__":
    main()
