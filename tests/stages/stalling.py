"""A worker under watch, in a process of its own: `stalling.py FOLDER running|stopping`. From the third record on its
consumer has its partition and fetches nothing. It ends as `run` ends; with `stopping`, what hung hangs at the stop as
well.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from streams.cli.run import _failed, log_to_stderr
from streams.log.interface import NewRecord
from streams.log.sqlite import SqliteLog
from streams.log.sqlite.transport import Consumer
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker
from streams.process.stall_watch import LastResort, Stalled, Watch
from streams.stages.metrics import Metrics

_take = Consumer._take
taken = asyncio.Event()


def _take_two(self, tp, offset, limit, max_bytes):
    return _take(self, tp, offset, 1, max_bytes) if offset < 2 else []


async def _handle(batch) -> None:
    sys.stdout.write(f"{batch.first_offset}\n")
    sys.stdout.flush()
    if batch.next_offset == 2:
        taken.set()


async def main(folder: Path, how: str) -> None:
    log_to_stderr()
    Consumer._take = _take_two
    async with AsyncExitStack() as stack:
        last_resort = LastResort(70, grace_s=0.5)
        stack.callback(last_resort.cancel)
        if how == "stopping":
            stack.push_async_callback(asyncio.Event().wait)
        log = await stack.enter_async_context(SqliteLog(folder / "log.db"))
        await log.ensure_topics([TopicSpec("t", "connection", 1, None, "a test")])
        await log.append([NewRecord("t", b"k", b"v")] * 3)
        worker = await stack.enter_async_context(Worker(log, "g", [HandlerSpec("quick", "t", _handle)]))
        watch = Watch(log, worker, Metrics(), 0.4)
        try:
            async with asyncio.timeout(20):
                await taken.wait()
                await watch.run()
        except Stalled as error:
            last_resort.start()
            raise _failed(error) from error


try:
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
except Exception as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(error.exit_code) from error
