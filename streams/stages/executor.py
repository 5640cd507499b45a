"""Executor: published commands to one API, one owner per connection, and their answers back into the log.

An intent is committed before each call. What may have happened is looked up before it is sent again (design rule 5);
what must not be sent any more (its view is stale, its invoice changed) is withheld, which is an outcome too. Attempts,
due times and intents are rows, so a restart goes on where this process died.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from adapters import budgets
from adapters.deliveries import CallInfo, DeliveryMeta
from adapters.errors import CredentialError, TransportError
from adapters.gocardless import perform as gocardless
from adapters.http import Answer, Call
from adapters.interface import Perform
from adapters.verdicts import ABSENT, Done, Retry, Step, Unknown, Verdict
from adapters.zoho import pages as zoho_pages
from adapters.zoho import perform as zoho
from domain import commands, events, ids, invoices
from domain.envelope import Event
from domain.times import add_seconds
from domain.vocabulary import Api
from projections.queries import Queries
from projections.state.mappings import read_state
from projections.store.errors import LeaseLost
from projections.work.polls import Polls
from projections.work.queue import Queue, Queued
from streams import failpoints
from streams.log.records import delivery_record
from streams.settings import Calls
from streams.stages.api_access import NO_TOKEN, ApiAccess
from streams.stages.context import StageContext
from streams.stages.freshness import Compared, compare

PERFORM: Final[dict[Api, Perform]] = {"gocardless": gocardless, "zoho": zoho}

#: Calls that one claim may lead to (pages, a resource that a conflict names). Lower than 200: a long list would never
#: be complete.
_MAX_FOLLOWS: Final = 250

#: Seconds until a call that the credentials do not reach for is tried again. Lower: calls that cannot succeed. Higher:
#: after a person has repaired it, work waits on.
_CREDENTIALS_S: Final = 900

#: Seconds for which a walk over pages that waits for its budget goes on where it was. Lower: a long list behind a small
#: budget begins again and again, and never ends. Higher: rows that move from page to page meanwhile are missed.
WALK_KEPT_S: Final = 900

#: Why nothing was done, where it was not the command's fault: the credentials are refused as a whole.
_REFUSED: Final = frozenset({"unauthorized", "credentials", NO_TOKEN})

#: What a row says between the two look-ups that must find nothing (design rule 5: search, wait, search again): before a
#: write that no key of the API's protects is sent again, and before any write is given up, since the first one may just
#: be late.
_ABSENT_ONCE: Final = "absent once"

#: Seconds between looks for calls that another process had begun before it died, where nothing tells of that. Lower: a
#: look at the queue (by its indexes) for nothing. Higher: what was begun is looked up that much later when the process
#: does not come back.
_LOOK_S: Final = 60

#: The list whose rows are remembered, whichever walk showed them.
_INVOICES: Final = "zoho.invoices"


class _Walk(NamedTuple):
    """A walk over pages that waits for its budget: the next call, how many it took so far, and when it began."""

    step: Step
    call: Call
    sent: int
    as_of: str


class Executor:
    """Sends the commands of one API, for every connection whose lease it holds."""

    def __init__(
        self,
        context: StageContext,
        api: Api,
        accesses: Mapping[str, ApiAccess],
        calls: Calls,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self._context = context
        self._api = api
        self._accesses = accesses
        self._calls = calls
        self._draw = draw or context.machine.draw
        self._queue = Queue(context.store)
        self._queries = Queries(context.store)
        self._walks: dict[tuple[str, str], _Walk] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    @property
    def name(self) -> str:
        """The name of its loop."""
        return f"executor.{self._api}"

    async def turn(self) -> str | None:
        """Start everything that may go now; the instant to look again at."""
        if self._failed is not None:
            raise self._failed
        now = self._context.clock.now()
        waits = [add_seconds(now, _LOOK_S)] if any(access.has_fellows for access in self._accesses.values()) else []
        sharing = self._queries.sharing(self._accesses) if len(self._accesses) > 1 else {}
        for connection in self._with_work(now):
            access = self._accesses.get(connection)
            if access is None or connection in sharing:  # what stands still for that says so in `/ready` and `status`
                continue
            waits.extend(self._start(access, now) if access.hold() else [access.retry_at])
        due = self._queue.next_due(self._api, now)
        return min([*waits, due] if due is not None else waits, default=None)

    def _with_work(self, now: str) -> list[str]:
        """Connections with something due; and those with calls that were begun by another: they become due when the
        lease is taken.
        """
        due = self._queue.due_connections(now, self._api)
        mine = {name for name, access in self._accesses.items() if access.holds()}
        if len(mine) == len(self._accesses):
            return due
        return due + [one for one in self._queue.begun(self._api) if one not in mine and one not in due]

    def _start(self, access: ApiAccess, now: str) -> list[str]:
        """Begin what may go for a connection whose lease is held; the instants to look again at."""
        chosen: list[Queued] = []
        waits: list[str] = []
        for claim in self._queue.claim(now, access.connection, self._api, limit=20):
            until = access.may_go(claim.command.priority)
            if until is not None:
                waits += [until] if until else []
                break
            access.begin(claim.command.priority)
            chosen.append(claim)
        if not chosen:
            return waits
        assert access.lease is not None, "hold() has just seen to it"
        deadline_at = add_seconds(now, int(self._calls.deadline_s) + 1)
        # From before the intent: a successor, which cannot come before that is committed, waits for as long and from
        # later on.
        last_moment_s = self._context.machine.uptime_s() + self._calls.deadline_s
        try:
            granted = {
                one.command.id: one for one in self._queue.record_intents(access.lease, now, deadline_at, chosen)
            }
        except LeaseLost:
            for _ in chosen:
                access.end()
            access.lose()
            return [*waits, now if access.hold() else access.retry_at]
        failpoints.hit("executor.after_intent")
        for claim in chosen:
            if claim.command.id not in granted:
                access.end()
                continue
            task = asyncio.create_task(self._run(access, claim, granted[claim.command.id], last_moment_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return waits

    async def drain(self) -> None:
        """Wait for the calls in flight, at a clean stop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._calls.deadline_s + 1)

    async def _run(self, access: ApiAccess, before: Queued, claim: Queued, last_moment_s: float) -> None:
        with self._context.activity.work(self.name):
            try:
                key = (access.connection, claim.command.id)
                performance = _Performance(
                    self._context,
                    self._queue,
                    access,
                    before,
                    claim,
                    last_moment_s,
                    self._calls,
                    self._draw,
                    self._walks.pop(key, None),
                )
                waits = await performance.play()
                if waits is not None:
                    oldest = add_seconds(self._context.clock.now(), -WALK_KEPT_S)
                    self._walks = {one: walk for one, walk in self._walks.items() if walk.as_of > oldest} | {key: waits}
            except asyncio.CancelledError:
                raise
            except BaseException as fault:  # noqa: BLE001 - a lost store or log must end the loop, not die in a task
                self._failed = fault
            finally:
                access.end()
                self._context.wakeups.wake(self.name)


class _Performance:
    """One claim, from its first call to what is known of it at the end."""

    def __init__(
        self,
        context: StageContext,
        queue: Queue,
        access: ApiAccess,
        before: Queued,
        claim: Queued,
        last_moment_s: float,
        calls: Calls,
        draw: Callable[[], float],
        walk: _Walk | None = None,
    ) -> None:
        self._context = context
        self._queue = queue
        self._access = access
        self._command = claim.command
        self._before = before
        self._call_number = claim.calls
        self._attempts = claim.attempts
        self._last_moment_s = last_moment_s
        self._calls = calls
        self._draw = draw
        self._perform = PERFORM[access.api]
        self._polls = Polls(context.store)
        self._as_of = context.clock.now()
        self._sent = 0
        self._walk = walk if walk is not None and add_seconds(walk.as_of, WALK_KEPT_S) > self._as_of else None

    async def play(self) -> _Walk | None:
        """Look up if need be, then send, then follow; leave the row in a state that says what is known. A walk that has
        to wait for its budget is given back, to go on with.
        """
        command = self._command
        if self._attempts >= self._calls.park_after:
            await self._conclude("parked", f"gave up after {self._attempts} tries: {self._before.last_error}"[:200])
            return None
        if self._walk is not None:
            step, call, self._sent, self._as_of = self._walk
        else:
            step, call = self._first(command)
        objection = self._objection(command) if step == "send" else ""
        if objection:
            await self._conclude("withheld", objection)
            return None
        while True:
            answer, verdict = await self._once(step, call)
            if answer is None:
                self._unanswered(verdict, step)
                return None
            if isinstance(verdict, Retry):
                if verdict.reason == ABSENT:
                    objection = self._objection(command)
                    if self._search_again(objection):
                        return None
                    if objection:
                        await self._conclude("withheld", objection)
                        return None
                    step, call = "send", self._perform.send_call(command)
                    continue
                self._later(verdict)
                return None
            await self._deliver(answer, step, call)
            if isinstance(verdict, Done):
                self._queue.answered(self._access.connection, command.id, self._call_number)
                failpoints.hit("executor.after_answered")
                return None
            if isinstance(verdict, Unknown):
                self._unknown(verdict.reason)
                return None
            if self._sent > _MAX_FOLLOWS:
                await self._conclude("parked", "the list has no end")
                return None
            step, call = "follow", verdict.call
            until = self._access.next_page(command.priority)
            if until is not None:
                state = "unknown" if command.writes else "ready"  # a write may have had its effect already
                self._queue.goes_on(self._access.connection, command.id, self._call_number, until, state=state)
                return _Walk(step, call, self._sent, self._as_of)

    def _first(self, command: commands.Command) -> tuple[Step, Call]:
        if command.writes and (self._before.state == "unknown" or command.look_up_first):
            look_up = self._perform.look_up_call(command)
            if look_up is not None:
                return "look_up", look_up
        return "send", self._perform.send_call(command)

    def _objection(self, command: commands.Command) -> str:
        """What the rules say, asked once more right before the write (design rule 7); "" when it may be sent."""
        with read_state(self._context.store, self._access.connection) as state:
            return invoices.objection(state, command, self._context.clock.now())

    async def _once(self, step: Step, call: Call) -> tuple[Answer | None, Verdict]:
        self._sent += 1
        try:
            # Reads may go on; a write is never begun after the deadline that its intent names (design rule 6).
            first = self._sent == 1 or step == "send"
            answer = await self._access.call(
                call, self._last_moment_s if first else max(self._last_moment_s, self._context.machine.uptime_s() + 5)
            )
        except LeaseLost:  # the row may be the new owner's already; then what is noted here changes nothing
            return None, Retry("lease_lost")
        except TransportError as error:
            doubtful = error.sent and self._command.writes and step == "send"
            return None, Unknown(error.reason) if doubtful else Retry(error.reason)
        except CredentialError as error:
            return None, Retry("scope", _CREDENTIALS_S) if error.one_call else Retry("credentials", scope="api")
        failpoints.hit("executor.after_call")
        return answer, self._perform.verdict(self._command, step, call, answer)

    def _unanswered(self, verdict: Verdict, step: Step) -> None:
        if isinstance(verdict, Retry) and self._not_let_in(verdict):
            self._later(verdict)
        elif isinstance(verdict, Unknown) or (step == "look_up" and self._before.state == "unknown"):
            self._unknown(verdict.reason if isinstance(verdict, Unknown | Retry) else "")
        elif isinstance(verdict, Retry):
            self._later(verdict)

    def _search_again(self, objection: str) -> bool:
        """Whether to search once more, since the first write may just be late. GoCardless's key makes sending safe, but
        not giving up: a debit that was thought absent would come on top of the next one.
        """
        keyed = self._access.api == "gocardless" and not objection
        if self._before.state != "unknown" or keyed or self._before.last_error == _ABSENT_ONCE:
            return False
        due = add_seconds(self._context.clock.now(), self._calls.lookup_again_s)
        self._queue.unknown(self._access.connection, self._command.id, self._call_number, due, _ABSENT_ONCE)
        return True

    def _not_let_in(self, verdict: Retry) -> bool:
        return self._access.refused and verdict.reason in _REFUSED

    def _later(self, verdict: Retry) -> None:
        counted = not self._not_let_in(verdict)
        if not counted:  # it stays due: the access says when, and at once when the API lets us in again
            due = self._context.clock.now()
        elif verdict.scope == "api":
            wait_s = verdict.after_s if verdict.after_s is not None else budgets.THROTTLED_S
            due = self._access.close(wait_s, verdict.reason)
        else:
            wait_s = (
                verdict.after_s if verdict.after_s is not None else budgets.backoff_s(self._attempts + 1, self._draw())
            )
            due = add_seconds(self._context.clock.now(), max(1, round(wait_s)))
        known = self._queue.unknown if self._before.state == "unknown" else self._queue.retry_at
        known(self._access.connection, self._command.id, self._call_number, due, verdict.reason[:200], counted=counted)

    def _unknown(self, reason: str) -> None:
        wait_s = max(1, round(budgets.backoff_s(self._attempts + 1, self._draw())))
        due = add_seconds(self._context.clock.now(), wait_s)
        self._queue.unknown(self._access.connection, self._command.id, self._call_number, due, reason[:200])

    async def _deliver(self, answer: Answer, step: Step, call: Call) -> None:
        """The answer enters the log like everything else from outside."""
        page = self._compare(answer)
        info = CallInfo(
            self._command,
            self._call_number,
            step,
            call.method,
            call.path,
            dict(call.query),
            answer.status,
            self._as_of,
            page.fresh if page is not None else None,
        )
        digest = ids.digest(answer.body.hex())
        meta = DeliveryMeta(
            id=f"an-{ids.digest(self._command.id, str(self._call_number), step, str(self._sent), digest)}",
            connection=self._access.connection,
            api=self._access.api,
            kind="answer",
            received_at=self._context.clock.now(),
            headers={name: answer.headers[name] for name in ("date", "content-type") if name in answer.headers},
            content_type=answer.headers.get("content-type", ""),
            call=info,
        )
        await self._context.append([delivery_record(self._context.topics, meta, answer.body)])
        failpoints.hit("executor.after_append")
        if page is not None and page.fresh:
            self._polls.save(self._polls.get(self._access.connection, _INVOICES), page.digests)

    def _compare(self, answer: Answer) -> Compared | None:
        """Of the list of open invoices, which rows differ from what was delivered before, by a walk of whichever
        list.
        """
        if not isinstance(self._command.data, commands.ListOpenInvoices) or not zoho_pages.is_page(_INVOICES, answer):
            return None
        return compare(self._polls, self._access.connection, _INVOICES, zoho_pages.rows(_INVOICES, answer.body))

    async def _conclude(self, kind: Literal["withheld", "parked"], reason: str) -> None:
        """An outcome that no answer tells: withheld before the write, or given up."""
        now = self._context.clock.now()
        outcome = events.Outcome(self._command.id, self._call_number, kind, reason=reason)
        event = Event(
            ids.outcome_id(self._command.id, self._call_number, f"{kind}:{reason}"),
            "command.outcome",
            self._access.connection,
            now,
            now,
            "executor",
            outcome,
            causation_id=self._command.id,
            correlation_id=self._command.about,
        )
        await self._context.tell(event)
        self._queue.answered(self._access.connection, self._command.id, self._call_number)
