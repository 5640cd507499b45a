"""Poller: walks over the lists of one API, each page a delivery. The source of truth where a webhook was lost.

Rows that look as they did when they were last delivered are left out of the events; a page with nothing new is kept as
its digest. The cursor advances when all pages are durable, so a crash repeats a walk and never skips one.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from adapters import budgets
from adapters.deliveries import DeliveryMeta, PageInfo
from adapters.errors import CredentialError, TransportError
from adapters.gocardless import pages as gocardless
from adapters.http import Answer, Call
from adapters.interface import Pages
from adapters.zoho import pages as zoho
from domain import commands, ids
from domain.customers import HEADS
from domain.state import ConnectionRow
from domain.times import add_seconds
from domain.vocabulary import Api
from projections.queries import Queries
from projections.state.batch import processed
from projections.store.errors import LeaseLost
from projections.work.halts import Halts
from projections.work.polls import Poll, Polls
from streams import failpoints
from streams.log.records import delivery_record
from streams.settings import Calls, Polling
from streams.stages.api_access import ApiAccess
from streams.stages.context import StageContext
from streams.stages.executor import WALK_KEPT_S
from streams.stages.freshness import compare, digests_of, whole_digest

PAGES: Final[dict[Api, Pages]] = {"gocardless": gocardless, "zoho": zoho}

#: What is walked, in this order: who is there before what they owe, so that a first run matches before it invites.
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "gocardless": ("gocardless.customers", "gocardless.mandates", "gocardless.events"),
    "zoho": ("zoho.currencies", "zoho.contacts", "zoho.invoices"),
}

#: Lists whose rows carry ids of events: known ones are told by the store, not by a digest per row.
_OF_EVENTS: Final = "gocardless.events"


class _Walk(NamedTuple):
    """A walk that waits for its budget: the next call and its page, when it began, from which cursor, and the digest of
    the last page.
    """

    call: Call
    page: int
    as_of: str
    cursor: str
    seen: str


class Poller:
    """The walks of one API, for every connection whose lease it holds."""

    def __init__(
        self, context: StageContext, api: Api, accesses: Mapping[str, ApiAccess], polling: Polling, calls: Calls
    ) -> None:
        self._context = context
        self._api = api
        self._accesses = accesses
        self._calls = calls
        self._every = {kind: int(getattr(polling, kind.replace(".", "_") + "_s")) for kind in KINDS[api]}
        self._polls = Polls(context.store)
        self._halts = Halts(context.store)
        self._queries = Queries(context.store)
        self._walks: dict[tuple[str, str], _Walk] = {}
        #: Lists of connections of which the rules have been told: that stays so, whatever is rebuilt.
        self._heads: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """The name of its loop."""
        return f"poller.{self._api}"

    async def turn(self) -> str | None:
        """Walk what is due; the instant of the next walk."""
        now = self._context.clock.now()
        behind = {one.connection: one.required_at for one in self._halts.catch_ups() if one.api == self._api}
        due: list[str] = []
        for access in self._accesses.values():
            try:
                due.append(await self._round(access, now, behind.get(access.connection, "")))
            except LeaseLost:  # in the middle of a walk, which is the new owner's now
                due.append(now if access.hold() else access.retry_at)
        return min(due, default=None)

    async def _round(self, access: ApiAccess, now: str, required_at: str) -> str:
        """Walk what is due for one connection, if its lease can be had; the instant to look again at. Raises
        `LeaseLost`.
        """
        kinds = KINDS[self._api]
        polls = self._polls.of(access.connection, kinds)
        if any(_is_due(poll, now, required_at) for poll in polls):
            mine = access.keep()
            if not access.hold():
                return access.retry_at
            for place, kind in enumerate(kinds):
                if not mine:  # read again: another owner, or the executor, may have written it until a moment ago
                    polls[place] = self._polls.get(access.connection, kind)
                if _is_due(polls[place], now, required_at):
                    polls[place] = await self._walk(access, polls[place], now)
                    mine = False
        if required_at:  # what is required from now on is no affair of walks that began before
            self._release(access.connection)
        return min(poll.due_at for poll in polls)

    def _release(self, connection: str) -> None:
        """Executors that had to wait for a full walk of every list may run (design rule 5)."""
        for one in self._halts.catch_ups():
            if (one.connection, one.api) == (connection, self._api):
                heads = [self._polls.get(connection, kind).head_at for kind in KINDS[self._api]]
                if all(head >= one.required_at for head in heads):
                    self._halts.caught_up(connection, self._api)
                    self._context.wakeups.wake(f"executor.{self._api}")

    async def _walk(self, access: ApiAccess, poll: Poll, as_of: str) -> Poll:
        """All pages since the cursor. Cut short, the poll is due again soon and its cursor stays; where only the budget
        cut it, it goes on with the page that it had come to.
        """
        module = PAGES[self._api]
        walk = self._walks.pop((poll.connection, poll.kind), None)
        if walk is not None and walk.cursor == poll.cursor and add_seconds(walk.as_of, WALK_KEPT_S) > as_of:
            call, page, as_of, _, seen = walk
        else:
            call, page, seen = module.first(poll.kind, poll.cursor), 1, poll.digest
        while True:
            wait = access.may_go(commands.PRIORITY_SWEEP)
            if wait is not None:
                if page > 1:
                    self._walks[poll.connection, poll.kind] = _Walk(call, page, as_of, poll.cursor, seen)
                return self._again(access, poll, wait or add_seconds(self._context.clock.now(), 1))
            answer = await self._ask(access, call)
            if answer is None or not module.is_page(poll.kind, answer):
                wait_s = budgets.THROTTLED_S
                if answer is not None and answer.status == 429:
                    access.close(wait_s, "throttled")
                shut_until = access.may_go(commands.PRIORITY_SWEEP) if access.shut else None
                return self._again(access, poll, shut_until or add_seconds(self._context.clock.now(), int(wait_s)))
            failpoints.hit("poller.after_call")
            following = module.next_page(poll.kind, call, answer, poll.cursor)
            tell_head = following is None and self._is_news(poll)
            info = PageInfo(poll.kind, page, as_of, following is None, answer.status, tell_head=tell_head)
            seen = await self._keep(access, poll, answer, info)
            if following is None:
                break
            call, page = following, page + 1
        done = Poll(poll.connection, poll.kind, as_of, add_seconds(as_of, self._every[poll.kind]), seen, as_of)
        self._polls.save(done)
        failpoints.hit("poller.after_save")
        self._context.metrics.polls.labels(poll.kind).inc()
        return done

    def _is_news(self, poll: Poll) -> bool:
        """Whether the rules have yet to be told that this list was read to its end: who is unique is judged only
        then.
        """
        if poll.kind not in HEADS:
            return False
        if (poll.connection, poll.kind) in self._heads:
            return False
        own = self._queries.row("connections", poll.connection, poll.connection)
        if not isinstance(own, ConnectionRow) or poll.kind not in own.heads:
            return True
        self._heads.add((poll.connection, poll.kind))
        return False

    def _again(self, access: ApiAccess, poll: Poll, due_at: str) -> Poll:
        """Due again at `due_at`. Where the API refuses our credentials it stays due: to be walked once it takes them,
        and at a start.
        """
        later = msgspec.structs.replace(poll, due_at=due_at)
        if not access.shut:
            self._polls.save(later)
        return later

    async def _ask(self, access: ApiAccess, call: Call) -> Answer | None:
        access.begin(commands.PRIORITY_SWEEP)
        try:
            return await access.call(call, self._context.machine.uptime_s() + self._calls.deadline_s)
        except (TransportError, CredentialError):
            return None
        finally:
            access.end()

    async def _keep(self, access: ApiAccess, poll: Poll, answer: Answer, info: PageInfo) -> str:
        """Append the page: whole when something in it is new, else its digest. Returns the digest."""
        rows = PAGES[self._api].rows(poll.kind, answer.body)
        remembered: dict[str, bytes] = {}
        if poll.kind == _OF_EVENTS:
            known = processed(self._context.store, access.connection, [key for key, _ in rows])
            fresh = [place for place, (key, _) in enumerate(rows) if key not in known]
            whole = whole_digest(digests_of(rows))
        else:
            fresh, remembered, whole = compare(self._polls, access.connection, poll.kind, rows)
        now = self._context.clock.now()
        meta = DeliveryMeta(
            id=f"pg-{ids.digest(access.connection, poll.kind, info.as_of, str(info.page), whole)}",
            connection=access.connection,
            api=access.api,
            kind="page",
            received_at=now,
            content_type=answer.headers.get("content-type", ""),
            page=msgspec.structs.replace(info, fresh=fresh),
            same_as="" if fresh else whole,
        )
        await self._context.append([delivery_record(self._context.topics, meta, answer.body if fresh else b"")])
        failpoints.hit("poller.after_append")
        if remembered and fresh:
            self._polls.save(poll, remembered)
        return whole


def _is_due(poll: Poll, now: str, required_at: str) -> bool:
    """Whether to walk it: its time has come; or it must catch up with `required_at`, which does not wait for its usual
    time, only for the short wait after a walk that was cut off.
    """
    hurried = poll.head_at < required_at and poll.due_at > add_seconds(now, int(budgets.THROTTLED_S))
    return poll.due_at <= now or hurried
