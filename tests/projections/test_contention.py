"""A worker, a relay and an executor of different processes write the same commands at the same time, and none has to
give way.
"""

import os
import random
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Final

import psycopg

from projections.state.batch import take
from projections.state.store_behind_log import went_back
from projections.store.errors import StoreFenced
from projections.store.store import open_store
from projections.work.leases import Lease, Leases
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make

#: Seconds of it. Two transactions that lock in different orders meet within the first one.
FOR_S: Final = float(os.environ.get("CONTENTION_S", "3"))
NAMES: Final = ("acme", "birch")

Work = Callable[[str, float, random.Random], int]


def worker(url: str, until: float, chance: random.Random) -> int:
    """Asks, ends and asks again, in whatever order."""
    with open_store(url) as store:
        own = take(store, "core", "events", 0)
        while monotonic() < until:
            begin = own.position
            with own.batch(begin) as batch:
                for offset in range(begin, begin + 20):
                    name = chance.choice(NAMES)
                    asked = [f"cm-{name}-{chance.randrange(max(offset - 300, 0), offset + 1)}" for _ in range(3)]
                    event = make.outcome(offset, asked[0], chance.choice(["succeeded", "parked"]), name)
                    command = make.command(f"cm-{name}-{offset}")
                    batch.record(offset, event, make.decision(event, commands=(command,), resends=(asked[1], asked[2])))
                batch.commit(begin + 20)
        return own.position


def relay(url: str, until: float, chance: random.Random) -> int:
    """Publishes, in whatever order."""
    published = 0
    with open_store(url) as store:
        outbox = Outbox(store)
        while monotonic() < until:
            waiting = outbox.unpublished(0, 100)
            chance.shuffle(waiting)
            outbox.mark_published(waiting)
            published += len(waiting)
    return published


def executor(url: str, until: float, chance: random.Random) -> int:
    """Notes intents and results, and takes the lease anew now and then."""
    called = 0
    with open_store(url) as store:
        queue, leases = Queue(store), Leases(store)
        held: dict[str, Lease] = {}
        while monotonic() < until:
            name = chance.choice(NAMES)
            if name not in held or chance.random() < 0.1:
                lease = leases.acquire(name, "zoho", "me", make.NOW, 600)
                assert isinstance(lease, Lease)
                held[name] = lease
                queue.abandoned(lease, make.NOW, make.NOW)
            claims = queue.claim(make.NOW, name, "zoho", 30)
            chance.shuffle(claims)
            for one in queue.record_intents(held[name], make.NOW, make.NOW, claims):
                called += 1
                match chance.randrange(4):
                    case 0:
                        queue.retry_at(name, one.command.id, one.calls, make.NOW, "refused")
                    case 1:
                        queue.unknown(name, one.command.id, one.calls, make.NOW, "timeout")
                    case 2:
                        queue.answered(name, one.command.id, one.calls)
                    case _:
                        pass
    return called


def taker(url: str, until: float, chance: random.Random) -> int:
    """Takes the partition, finds the log ahead, and is fenced by the next one that does."""
    found = 0
    while monotonic() < until:
        with open_store(url) as store:
            own = take(store, "core", "events", chance.randrange(3))
            found += went_back(own, own.position + found + chance.randrange(100), NAMES, make.NOW)
    return found


def _together(url: str, works: list[Work], *, fenced: bool) -> list[int]:
    """What each of these did in a process of its own; every error but being fenced (where that is part of it) fails the
    test.
    """
    reader, writer = os.pipe()
    children = []
    for place, work in enumerate(works):
        child = os.fork()
        if child == 0:
            try:
                done, until = 0, monotonic() + FOR_S
                while monotonic() < until:
                    try:
                        done += work(url, until, random.Random(place))
                    except StoreFenced:
                        if not fenced:
                            raise
                os.write(writer, f"{place} {done}\n".encode())
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(writer)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    with os.fdopen(reader) as pipe:
        said = sorted(pipe.read().splitlines())
    assert ended == [0] * len(works)
    return [int(line.split()[1]) for line in said]


def _deadlocks(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_worker_relay_and_executor_never_wait_for_each_other_in_a_ring(stored_url: str) -> None:
    before = _deadlocks(stored_url)
    done = _together(stored_url, [worker, relay, executor], fenced=False)
    assert min(done) > 0
    assert _deadlocks(stored_url) == before


def test_nor_with_one_that_begins_new_generations(stored_url: str) -> None:
    before = _deadlocks(stored_url)
    done = _together(stored_url, [worker, relay, executor, taker], fenced=True)
    assert done[3] > 0
    assert _deadlocks(stored_url) == before
