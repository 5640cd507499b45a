"""How long the program takes to be ready with a million events in its log and store, beside the aim of one second.

The whole program is started, in a process of its own: log, store, gateway, Faust's worker, every stage, without
connections to call for. Ready is when all of that runs and the gateway answers over HTTP. A start of an empty
installation goes before it in the same process, so that Python's imports are not in the figure; the whole way from the
shell, with them, is told beside. Run: `python bench/startup.py [--events 1000000] [--rounds 5] [--quick]`.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop
from _company import fill, month, turns
from history import History, grow

from adapters.vault import new_key
from domain import codec
from projections.state.batch import take
from projections.store.store import open_store
from streams.log.engines import open_log
from streams.log.interface import NewRecord, TopicPartition
from streams.log.records import decision_records
from streams.log.topics import Topics
from streams.process.program import Program
from streams.settings import Settings, decode
from streams.stages.core import STAGE

AIM_S = 1.0
PARTITIONS = 8
TOPICS = Topics("", PARTITIONS)
#: Invoices of the month that is repeated in log and store.
INVOICES = 100
#: Published decisions of each partition: more than a start looks back over.
DECISIONS = 2_000


def settings_in(folder: Path) -> Settings:
    """An installation in a folder; its key is made when it is not there."""
    keys = folder / "keys"
    if not keys.exists():
        keys.write_text(new_key("bench") + "\n")
        keys.chmod(0o600)
    tree = {
        "log": f"sqlite://{folder}/log.db",
        "store": f"sqlite:///{folder}/store.db",
        "keys": f"file:{keys}",
        "partitions": PARTITIONS,
        "gateway": {"port": 0},
    }
    return decode(tree, "the bench")


async def prepare(folder: Path, events: int) -> int:
    """A log of so many events, their last decisions, and a store that has handled them all; returns how many there
    are.
    """
    settings, story = settings_in(folder), month(INVOICES).story
    history = History(INVOICES)
    grow(folder / "store.db", history, 0, max(1, round(events / history.events)))
    async with open_log(settings.log) as log:
        await log.ensure_topics(TOPICS)
        done = await fill(log, TOPICS, turns(story, max(1, round(events / len(story)))))
        with open_store(settings.store) as store:
            store.bind_log(log.incarnation)
            for partition in range(PARTITIONS):
                end = await log.end_offset(TopicPartition(TOPICS.events.name, partition))
                take(store, STAGE, TOPICS.events.name, partition, start=end)
                decisions = [decision for _, decision in story if not decision.empty][: min(end, DECISIONS)]
                records: list[NewRecord] = []
                for offset, decision in enumerate(decisions, end - len(decisions)):
                    records.append(decision_records(TOPICS, codec.encode_decision(decision), offset, partition)[0])
                if records:
                    await log.append(records)
    return done


async def start(folder: Path) -> float:
    """Seconds from nothing to a gateway that answers."""
    settings = settings_in(folder)
    began = time.perf_counter()
    async with Program(settings) as program, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{program.port}/health") as answer:
            assert answer.status == 200
        ready_s = time.perf_counter() - began
        assert program.health.started
        return ready_s


def child(folder: Path, *, warm: bool) -> None:
    """In a process of its own: start, after an empty installation if the imports are to lie behind; print the
    seconds.
    """
    with tempfile.TemporaryDirectory() as empty:
        if warm:
            uvloop.run(start(Path(empty)))
        print(uvloop.run(start(folder)))


def started(folder: Path, *, warm: bool) -> tuple[float, float]:
    """Seconds that a child says, and seconds from its launch to its end."""
    began = time.perf_counter()
    words = [sys.executable, __file__, "--start", str(folder), *(["--warm"] if warm else [])]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return float(said.splitlines()[-1]), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        child(options.start, warm=options.warm)
        return
    events, rounds = (2_000, 1) if options.quick else (options.events, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(prepare(Path(folder), events))
        size = sum((Path(folder) / name).stat().st_size for name in ("log.db", "store.db"))
        print(f"{done:,} events, {size / 1e6:,.0f} MB of log and store, {PARTITIONS} partitions", flush=True)
        ready = statistics.median(started(Path(folder), warm=True)[0] for _ in range(rounds))
        whole = statistics.median(started(Path(folder), warm=False)[1] for _ in range(rounds))
    print(f"start-up to ready, beyond Python's imports: {ready:.2f} s")
    print(f"aim {AIM_S:g} s: ratio {ready / AIM_S:.2f} ({'met' if ready <= AIM_S else 'missed'})")
    print(f"from the shell to ready and stopped again, with Python and its imports: {whole:.2f} s")


if __name__ == "__main__":
    main()
