"""What it costs that a worker comes, goes or dies: how long nothing at all moves, and how long the partition that waits
longest does.

Workers of one group, each a process, read a topic of eight partitions into which records are written all the time, one
for each partition every 20 ms. Then a second worker joins; leaves cleanly; is killed; and, with a name that stays
(`kafka.instance`, static membership), is killed and started again within its session. The group's protocol is Kafka's
eager one: Faust gives up every partition before they are shared anew. Times are of the gaps between records handled, in
real seconds; the session is the shortest that the settings allow. Run: `python bench/kafka_rebalance.py [--rounds 2]`.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import NamedTuple

import msgspec
import uvloop
from _child import Child
from _kafka import ONE_BROKER, brokers, load, prefix

from streams.log.engines import open_log
from streams.log.interface import Log, NewRecord, RecordBatch
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker

PARTITIONS = 8
EVERY_S = 0.02
#: How long the group stands before and after each change. Lower: a change runs into the next one. Higher: the bench
#: takes longer.
STEADY_S = 1.5
#: A clean change of members may stop everything for so long.
AIM_S = 1.0
_LIMIT_S = 60.0

STAYS = "is killed and started again, under a name that stays"
_STARTED = "started"


# --- a worker ---------------------------------------------------------------------------------------------------------


async def member(url: str, topic: str, instance: str) -> None:
    """Handle records until the input ends; say `partition nanoseconds` of each batch."""

    async def handle(batch: RecordBatch) -> None:
        print(batch.tp.partition, time.monotonic_ns(), flush=True)

    kafka = msgspec.structs.replace(ONE_BROKER, instance=instance)
    async with open_log(url, kafka=kafka) as log, Worker(log, f"{topic}.group", [HandlerSpec("bench", topic, handle)]):
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, ended.set)  # nothing is ever said to it: readable means closed
        await ended.wait()


class Watched:
    """A worker's process, and what it has handled."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.handled: list[tuple[int, int]] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, url: str, topic: str, instance: str = "") -> "Watched":
        return cls(await Child.start(__file__, "--member", instance or "-", "--url", url, "--topic", topic))

    async def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the process has ended
            while True:
                partition, at_ns = (await self.child.says()).split()
                self.handled.append((int(partition), int(at_ns)))

    async def end(self) -> None:
        await self.child.end()
        await self._reading

    async def kill(self) -> None:
        await self.child.kill()
        await self._reading


# --- what happens to the group ----------------------------------------------------------------------------------------


class Gap(NamedTuple):
    """Seconds: nothing moved at all, in the longest such time; the partition that stood still longest."""

    all_s: float
    one_s: float


def gap(handled: list[tuple[int, int]], since_ns: int, until_ns: int) -> Gap:
    """The longest gaps between records handled, within a time."""
    by_partition: dict[int, list[int]] = {partition: [since_ns] for partition in range(PARTITIONS)}
    for partition, at_ns in sorted(handled, key=lambda one: one[1]):
        if since_ns <= at_ns <= until_ns:
            by_partition[partition].append(at_ns)
    return Gap(
        longest(sorted({at for times in by_partition.values() for at in times})),
        max(map(longest, by_partition.values())),
    )


def longest(times: list[int]) -> float:
    return max((later - earlier for earlier, later in pairwise(times)), default=0) / 1e9


class Group:
    """The workers of one topic, past and present."""

    def __init__(self, url: str, topic: str) -> None:
        self.url = url
        self.topic = topic
        self.all: list[Watched] = []

    async def add(self, instance: str = "") -> Watched:
        """Start one, and wait until it handles records."""
        made = await Watched.start(self.url, self.topic, instance)
        self.all.append(made)
        await self.until(lambda: bool(made.handled))
        return made

    async def until_shared(self) -> int:
        """Wait until every partition moves again; when it did."""
        since_ns = time.monotonic_ns()
        await self.until(
            lambda: {partition for partition, at_ns in self.handled() if at_ns > since_ns} == set(range(PARTITIONS))
        )
        return time.monotonic_ns()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_LIMIT_S):
            while not condition():  # noqa: ASYNC110 - other processes set no event here
                await asyncio.sleep(EVERY_S)

    def handled(self) -> list[tuple[int, int]]:
        return [one for watched in self.all for one in watched.handled]

    async def end(self) -> None:
        for watched in self.all:
            if watched.child.process.returncode is None:
                await watched.end()


async def write(log: Log, topic: str) -> None:
    """One record for each partition, again and again."""
    while True:
        await log.append([NewRecord(topic, b"k", b"v", partition=partition) for partition in range(PARTITIONS)])
        await asyncio.sleep(EVERY_S)


@contextlib.asynccontextmanager
async def running(log: Log, url: str, topic: str) -> AsyncIterator[Group]:
    """A group over a topic of its own that is written to."""
    await log.ensure_topics([TopicSpec(topic, "connection", PARTITIONS, None, "a bench")])
    writing = asyncio.create_task(write(log, topic))
    group = Group(url, topic)
    try:
        yield group
    finally:
        await group.end()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def changes(log: Log, url: str, topic: str) -> dict[str, Gap]:
    """Every change once, in turn."""
    found: dict[str, Gap] = {}
    async with running(log, url, topic) as group:
        first = await group.add()
        second: Watched | None = None
        for name in ("joins", "leaves cleanly", "joins again", "is killed"):
            await group.until_shared()
            await asyncio.sleep(STEADY_S)
            since_ns = time.monotonic_ns()
            if name.startswith("joins"):
                second = await group.add()
            elif second is not None:
                await (second.kill() if name == "is killed" else second.end())
            await asyncio.sleep(STEADY_S)
            until_ns = await group.until_shared()
            found[name] = gap(group.handled(), since_ns, until_ns)
        assert first.child.process.returncode is None
    found.pop("joins again")
    return found


async def restarts(log: Log, url: str, topic: str) -> dict[str, Gap]:
    """With names that stay: one is killed, and started again at once."""
    async with running(log, url, topic) as group:
        await group.add("first")
        second = await group.add("second")
        await group.until_shared()
        await asyncio.sleep(STEADY_S)
        since_ns = time.monotonic_ns()
        await second.kill()
        again = await group.add("second")
        await asyncio.sleep(STEADY_S)
        until_ns = await group.until_shared()
        started_s = (again.handled[0][1] - since_ns) / 1e9
        return {STAYS: gap(group.handled(), since_ns, until_ns), _STARTED: Gap(0.0, started_s)}


async def measure(url: str, named: str, rounds: int) -> None:
    found: dict[str, list[Gap]] = {}
    async with open_log(url, kafka=ONE_BROKER) as log:
        for number in range(rounds):
            for gaps in (
                await changes(log, url, f"{named}{number}"),
                await restarts(log, url, f"{named}static-{number}"),
            ):
                for name, one in gaps.items():
                    found.setdefault(name, []).append(one)
    started_s = statistics.median(one.one_s for one in found.pop(_STARTED))
    session_s = ONE_BROKER.session_timeout_s
    print(
        f"two workers, {PARTITIONS} partitions, session {session_s:g} s; medians of {rounds} rounds, the worst in "
        f"brackets"
    )
    for name, some in found.items():
        everything, single = ([one[place] for one in some] for place in (0, 1))
        print(
            f"a worker {name}: nothing moves for {statistics.median(everything):.2f} s ({max(everything):.2f}), "
            f"one partition stands still for {statistics.median(single):.2f} s ({max(single):.2f})"
        )
    print(
        f"from that kill until the new process has handled its first record: {started_s:.2f} s, Python's imports among "
        f"them"
    )
    clean = statistics.median(one.all_s for name in ("joins", "leaves cleanly") for one in found[name])
    print(
        f"aim {AIM_S:g} s without progress at a clean change: ratio {clean / AIM_S:.2f} "
        f"({'met' if clean <= AIM_S else 'missed'})"
    )
    print(load())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    for hidden in ("--member", "--url", "--topic"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        uvloop.run(member(options.url, options.topic, options.member.strip("-")))
        return
    with brokers() as url, prefix(url) as named:
        asyncio.run(measure(url, named, options.rounds))


if __name__ == "__main__":
    main()
