"""One executor of Zoho's for ten connections, of which one may be told to wait: what `kafka_scale.py` measures."""

import asyncio
import time
from itertools import count

import orjson

from adapters.clock import SystemClock
from adapters.http import Answer, Call
from adapters.senders import Send
from domain import commands
from domain.decisions import Decision
from domain.envelope import Event
from domain.events import DayBegan
from domain.state import CommandRow
from projections.state.batch import take
from projections.store.store import Store
from projections.work import queue
from streams.log.interface import Log
from streams.log.topics import Topics
from streams.settings import Calls
from streams.stages.activity import Activity, Wakeups
from streams.stages.api_access import ApiAccess
from streams.stages.context import StageContext
from streams.stages.core import STAGE
from streams.stages.executor import Executor
from streams.stages.metrics import Metrics

CONNECTIONS = 10
#: Reads of a connection that Zoho's budget lets go at once.
COMMANDS = 18
_CALLS = Calls()
_partitions = count()
_LIMIT_S = 60.0
_JSON = {"content-type": "application/json"}
_TOO_MANY = Answer(429, _JSON, orjson.dumps({"code": 44, "message": "the number of calls per minute is exceeded"}))


def shown(call: Call) -> Answer:
    """The invoice that was asked for."""
    invoice = {
        "invoice_id": call.path.rsplit("/", 1)[1],
        "invoice_number": "INV-1",
        "customer_id": "c-1",
        "status": "sent",
        "currency_code": "GBP",
        "total": 12,
        "balance": 12,
        "date": "2026-03-01",
        "due_date": "2026-03-02",
        "exchange_rate": 1,
        "last_modified_time": "2026-03-01T09:00:00+0000",
    }
    return Answer(200, _JSON, orjson.dumps({"code": 0, "invoice": invoice}))


class Limited:
    """Connections of one run, under names of their own."""

    def __init__(self, log: Log, topics: Topics, store: Store, run: str) -> None:
        clock = SystemClock()
        self._context = StageContext(log, topics, store, clock, Wakeups(Activity(clock)), Metrics("executor"), {})
        self._names = [f"{run}-{number}" for number in range(CONNECTIONS)]
        self._run = run
        self._left = 0
        self._all_answered = asyncio.Event()
        self._told = asyncio.Event()

    async def rate(self, *, waiting: bool) -> float:
        """Calls a second of all connections but the first; that one has nothing to do, or is told to wait with all its
        commands due.
        """
        first, *others = self._names
        for name in others:
            self._ask(name)
        self._left = len(others) * COMMANDS
        accesses = {name: self._access(name, self._answer) for name in others}
        if waiting:
            self._ask(first)
            accesses = {first: self._access(first, self._refuse), **accesses}
        executor = Executor(self._context, "zoho", accesses, _CALLS)
        if waiting:
            await self._until_told(Executor(self._context, "zoho", {first: accesses[first]}, _CALLS))
        began_s = time.perf_counter()
        running = asyncio.create_task(self._context.wakeups.loop(executor.name, executor.turn))
        try:
            async with asyncio.timeout(_LIMIT_S):
                await self._all_answered.wait()
            return len(others) * COMMANDS / (time.perf_counter() - began_s)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await executor.drain()
            for access in accesses.values():
                access.release()

    async def _until_told(self, executor: Executor) -> None:
        """Its first calls are answered with 429: from then on it waits."""
        await executor.turn()
        await self._told.wait()
        await executor.drain()

    def _ask(self, name: str) -> None:
        """Commands that are due now, as if the rules had decided them and the relay had published them."""
        context = self._context
        partition = next(_partitions)
        own = take(context.store, STAGE, context.topics.events.name, partition)
        now = context.clock.now()
        asked = [
            commands.Command(
                f"cm-{name}-{number}", f"invoices:{number}", f"read:{number}", commands.ReadInvoice(str(number))
            )
            for number in range(COMMANDS)
        ]
        event = Event(f"EV-{name}", "clock.day_began", name, now, now, "bench", DayBegan(now[:10]))
        with own.batch(own.position) as batch:
            rows = batch.state(name).commands
            for one in asked:
                rows[one.id] = CommandRow(one.id, type=one.type, purpose=one.purpose, about=one.about)
            batch.record(0, event, Decision(event.id, name, now, commands=asked))
            batch.commit(1)
        with context.store.write() as connection:
            queue.publish(context.store, connection, partition, [0])

    def _access(self, name: str, send: Send) -> ApiAccess:
        return ApiAccess(self._context, name, "zoho", send, f"bench-{self._run}", _CALLS)

    async def _answer(self, call: Call, deadline_s: float) -> Answer:
        del deadline_s
        self._left -= 1
        if not self._left:
            self._all_answered.set()
        return shown(call)

    async def _refuse(self, call: Call, deadline_s: float) -> Answer:
        del call, deadline_s
        self._told.set()
        return _TOO_MANY
