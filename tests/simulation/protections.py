"""Protections of the program that can be taken out, one at a time: each as small as the mistake that would undo it."""

import asyncio
import contextlib
import dataclasses
import email.utils
import itertools
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
import sqlalchemy as sa
from aiohttp import web

from adapters import budgets, headers
from adapters.gocardless import perform as gocardless
from adapters.gocardless import webhook as gocardless_webhook
from adapters.zoho import webhook as zoho_webhook
from domain import codec, draft, onboarding
from domain.times import add_seconds
from projections.queries import Queries
from projections.state.batch import Batch
from projections.store.errors import StoreFenced
from projections.store.tables import command_queue
from projections.work.queue import Queue
from streams import failpoints
from streams.simulation.log_disk import LogDisk
from streams.stages import executor, poller
from streams.stages.gateway import Gateway
from streams.stages.relay import Relay

Removal = Callable[[pytest.MonkeyPatch], None]

#: Higher than any size or number of a run.
_NO_BOUND: Final = 10**9


# --- what is sent ---


def objection(patch: pytest.MonkeyPatch) -> None:
    """The rules are not asked once more right before a write."""
    patch.setattr(executor._Performance, "_objection", lambda self, command: "")


def look_up(patch: pytest.MonkeyPatch) -> None:
    """What may have happened is sent again without a look-up."""
    patch.setattr(executor._Performance, "_first", lambda self, command: ("send", self._perform.send_call(command)))


def settle_time(patch: pytest.MonkeyPatch) -> None:
    """One look-up that finds nothing is enough, at once: nobody waits for a request that is late."""
    patch.setattr(executor._Performance, "_search_again", lambda self, objection: False)


def intents(patch: pytest.MonkeyPatch) -> None:
    """An intent does not outlive the process: what it had begun is as if it had not been."""

    def abandoned(self: Queue, lease: Any, now: str, due_at: str) -> int:
        c = command_queue.c
        begun = sa.and_(c.connection == lease.connection, c.api == lease.api, c.state == "sent")
        with self._store.write() as connection:
            changed = sa.update(command_queue).where(begun).values(state="ready", due_at=now)
            return connection.execute(changed).rowcount

    patch.setattr(Queue, "abandoned", abandoned)


def key(patch: pytest.MonkeyPatch) -> None:
    """Each try of a debit has a key of its own."""
    send_call, number = gocardless.send_call, itertools.count()

    def with_new_key(command: Any) -> Any:
        call = send_call(command)
        if "Idempotency-Key" not in call.headers:
            return call
        return dataclasses.replace(call, headers={"Idempotency-Key": f"{command.key}-{next(number)}"})

    patch.setattr(gocardless, "send_call", with_new_key)


# --- who may call, and how often ---


def budget(patch: pytest.MonkeyPatch) -> None:
    """Every call may go."""
    patch.setattr(budgets, "may_go", lambda limits, spent, **_: budgets.Go(spent))


def second_try(patch: pytest.MonkeyPatch) -> None:
    """An API that has refused our credentials once is never asked again."""

    def refuse(spent: budgets.Spent, at: str, why: str) -> budgets.Spent:
        closed = budgets.close(spent, add_seconds(at, _NO_BOUND), budgets.REFUSED)
        return msgspec.structs.replace(closed, refused_since=at, refused_why=why)

    patch.setattr(budgets, "refuse", refuse)
    patch.setattr(budgets, "MAX_AHEAD_S", _NO_BOUND)


def one_owner(patch: pytest.MonkeyPatch) -> None:
    """Two connections may collect for one company."""
    patch.setattr(Queries, "sharing", lambda self, connections: {})
    patch.setattr(onboarding, "_single", lambda *given: None)


# --- what comes in ---


def header_guard(patch: pytest.MonkeyPatch) -> None:
    """The library reads the dates of headers, and raises what it likes."""
    patch.setattr(headers, "moment", lambda text: email.utils.parsedate_to_datetime(text) if text else None)


def header_bounds(patch: pytest.MonkeyPatch) -> None:
    """Numbers of headers are read as they stand there."""
    patch.setattr(headers, "whole", lambda text, most: int(text) if text.strip("-").isdigit() else None)


def append_before_answer(patch: pytest.MonkeyPatch) -> None:
    """A webhook is acknowledged, and is durable with the next flush."""

    durable = Gateway._keep

    async def keep(self: Gateway, api: Any, *given: Any) -> web.Response:
        async def flush() -> None:
            await asyncio.sleep(1)
            await durable(self, api, *given)

        flushing = asyncio.get_running_loop().create_task(flush())
        flushing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return web.Response(status=204 if api == "gocardless" else 200)

    patch.setattr(Gateway, "_keep", keep)


def signature(patch: pytest.MonkeyPatch) -> None:
    """Any signature is good."""
    patch.setattr(gocardless_webhook, "verify", lambda headers, body, secrets: "main")
    patch.setattr(zoho_webhook, "verify", lambda headers, body, query, secrets: "main")


def page_before_cursor(patch: pytest.MonkeyPatch) -> None:
    """What a page showed is remembered before the page is durable."""
    compare = poller.compare

    def compared(polls: Any, connection: str, kind: str, rows: Any) -> Any:
        shown = compare(polls, connection, kind, rows)
        if shown.fresh:
            polls.save(polls.get(connection, kind), shown.digests)
            failpoints.hit("poller.after_save")
        return shown

    patch.setattr(poller, "compare", compared)


# --- what is decided, and published ---


def bounds(patch: pytest.MonkeyPatch) -> None:
    """A decision may be of any size, and wakes whatever waits at once."""
    patch.setattr(codec, "encode_decision", msgspec.json.Encoder(order="deterministic").encode)
    patch.setattr(draft, "range", lambda _: range(_NO_BOUND), raising=False)


def append_before_mark(patch: pytest.MonkeyPatch) -> None:
    """A decision is marked as published before it is."""

    async def append(self: Relay, records: Any, decisions: Any) -> None:
        failpoints.hit("relay.before_append")
        self._mark(decisions)
        failpoints.hit("relay.after_mark")
        await self._context.append(records)

    patch.setattr(Relay, "_append", append)


# --- whose the partition is ---


def log_lock(patch: pytest.MonkeyPatch) -> None:
    """The log's lock keeps nobody out, as on a file system that has none."""
    hold_group = LogDisk.hold_group

    def hold(self: LogDisk, group: str, power: Any) -> Callable[[], None]:
        self._holds.pop(group, None)
        return hold_group(self, group, power)

    patch.setattr(LogDisk, "hold_group", hold)


def compare_and_set(patch: pytest.MonkeyPatch) -> None:
    """A commit goes through though another owner has taken the partition, or has come further."""
    proves = Batch._compare_and_set

    def writes_anyway(self: Batch, connection: Any, next_offset: int) -> None:
        with contextlib.suppress(StoreFenced):
            proves(self, connection, next_offset)

    patch.setattr(Batch, "_compare_and_set", writes_anyway)
