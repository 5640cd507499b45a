"""An access: everything that one connection's calls to one API share. The lease, the budget, the calls in flight, the
client.

Every call goes through here, polls included, so one owner per connection and API and one budget hold for all of them
(design rule 6).

Of several processes, whichever has work for a access first takes its lease; the others stand by until that lapses, and
ask for it again only if there is work then. An owner without work lets it lapse: the next then waits for nothing. What
an owner leaves behind when it dies, or is stopped for too long, are calls that were begun; its successor counts them as
unknown, and looks them up once the deadline and the settle time have passed since it took the lease.
"""

import math
from typing import Final

from adapters import budgets, headers
from adapters.errors import CredentialError, TransportError
from adapters.gocardless.client import UNAUTHORISED
from adapters.http import Answer, Call, nothing_sent_after
from adapters.senders import Send
from domain import times
from domain.times import add_seconds
from domain.vocabulary import Api
from projections.store.errors import LeaseLost
from projections.work.budgets import Budgets
from projections.work.leases import Held, Lease, Leases
from projections.work.queue import Queue
from streams.settings import Calls
from streams.stages.context import StageContext

#: How long a lease runs without being renewed; at least twice the deadline of a call, so that a call ends under the
#: lease it began with. Lower: more renewals, and a short stall loses it. Higher: a take-over waits longer.
LEASE_S: Final = 60

#: The same under the lock of the embedded log, whose end the kernel sees to: nobody has to wait for it to lapse. Lower:
#: a durable write each time. Higher: nothing.
EMBEDDED_LEASE_S: Final = 86_400

#: Real seconds between two writes of the budget row. Lower: a durable write for each call. Higher: after a crash or a
#: take-over, that many seconds of calls are forgotten at the most; the API's own headers correct the day.
_SPENT_EVERY_S: Final = 1.0

#: The owner's name on the embedded engine: one process at a time, which a lock on the log's file sees to. Elsewhere
#: each start of a process has a name of its own.
EMBEDDED_OWNER: Final = "embedded"

#: Zoho's token service gave none, and did not say that it never will.
NO_TOKEN: Final = "no_token"  # noqa: S105 - a reason, not a token

LIMITS: Final = {"gocardless": budgets.GOCARDLESS, "zoho": budgets.ZOHO}


class ApiAccess:
    """One connection's calls to one API."""

    def __init__(self, context: StageContext, connection: str, api: Api, send: Send, owner: str, calls: Calls) -> None:
        self.connection = connection
        self.api = api
        self.lease: Lease | None = None
        self.in_flight = 0
        self.trouble = ""
        """What the credentials do not reach for. That they are refused altogether stands in the budget, for other
        processes as well.
        """
        self.retry_at = ""
        """When to ask for the lease again, after it was refused."""
        simulated = context.clock.simulated
        self._context = context
        self._send = send
        self._owner = owner
        self._lease_s = EMBEDDED_LEASE_S if owner == EMBEDDED_OWNER else max(LEASE_S, 2 * math.ceil(calls.deadline_s))
        self._look_up_after_s = math.ceil(calls.deadline_s) + calls.settle_s
        self._leases = Leases(context.store, simulated=simulated)
        self._queue = Queue(context.store)
        self._budgets = Budgets(context.store)
        self._row = self._budgets.get(connection, api)
        self._spent = budgets.try_at_once(_spent(self._row))
        self._held_up = False
        self._saved_at = 0.0
        self._renew_at = ""
        self._lapses_at = ""

        #: Whether another process may die and leave begun calls to this one, of which nothing would tell. Not with
        #: simulated time, where each look would be a step of time, and where a process that dies is started again: its
        #: first turn looks.
        self.has_fellows = owner != EMBEDDED_OWNER and not simulated

    # --- the lease ---

    def hold(self) -> bool:
        """Hold the lease for the next calls: to be asked when there is work. False while another process has it, until
        `retry_at`.

        A new owner counts what was begun as unknown, and wakes the executor to it.
        """
        if self.keep():
            return True
        now = self._context.clock.now()
        if now < self.retry_at:
            return False
        taken = self._leases.acquire(self.connection, self.api, self._owner, now, self._lease_s)
        if isinstance(taken, Held):
            self.retry_at = add_seconds(now, taken.left_s)
            return False
        self._have(taken, now)
        self._reload()
        try:
            begun = self._queue.abandoned(taken, now, add_seconds(now, self._look_up_after_s))
        except LeaseLost:
            self.lose()
            self.retry_at = now
            return False
        if begun:
            self._context.wakeups.wake(f"executor.{self.api}")
        return True

    def keep(self) -> bool:
        """Go on holding the lease, with a renewal once half of it is over, or when it lapsed and nobody has taken it.
        False: not held.
        """
        if self.lease is None:
            return False
        now = self._context.clock.now()
        if now >= self._renew_at:
            try:
                self._have(self._leases.renew(self.lease, now, self._lease_s), now)
            except LeaseLost:
                self.lose()
                return False
        return True

    def holds(self) -> bool:
        """Whether it is held and has not lapsed, as far as this process can tell by itself."""
        return self.lease is not None and self._context.clock.now() < self._lapses_at

    def lose(self) -> None:
        """Another has it, said the store."""
        self.lease = None
        self.retry_at = ""

    def release(self) -> None:
        """Give the lease back at a clean stop, and write the budget."""
        self._save()
        if self.lease is not None and not self.in_flight:
            self._leases.release(self.lease, self._context.clock.now())
            self.lease = None

    def _have(self, lease: Lease, since: str) -> None:
        """`since`: this process's instant from before the store was asked, so that by its own clock the lease never
        runs too long.
        """
        self.lease = lease
        self._renew_at = add_seconds(since, self._lease_s // 2)
        self._lapses_at = add_seconds(since, self._lease_s)

    # --- the budget ---

    def may_go(self, priority: int) -> str | None:
        """None: one call of this priority may go now. Otherwise the instant to ask again at, "" when a call in flight
        must end first.
        """
        verdict = budgets.may_go(
            LIMITS[self.api], self._spent, at=self._context.clock.now(), in_flight=self.in_flight, priority=priority
        )
        if isinstance(verdict, budgets.Go):
            return None
        self._held_up = self._held_up or not verdict.until
        return verdict.until

    @property
    def refused(self) -> bool:
        """Whether the API refuses our credentials, as far as the last call showed."""
        return bool(self._spent.refused_since)

    @property
    def shut(self) -> bool:
        """Whether nothing is sent just now because of that."""
        return self._spent.closed_why == budgets.REFUSED and self._context.clock.now() < self._spent.closed_until

    def _refuse(self, why: str) -> None:
        """Kept at once, as `close`: whoever asks how we stand reads it in the store."""
        self._spent = budgets.refuse(self._spent, self._context.clock.now(), why)
        self._save()

    def _accept(self) -> None:
        self._spent = budgets.accept(self._spent)
        self._save()
        self._wake()

    def _wake(self) -> None:
        for loop in ("executor", "poller"):
            self._context.wakeups.wake(f"{loop}.{self.api}")

    def close(self, seconds: float, why: str) -> str:
        """No call for so long; the instant until which. Kept at once: neither a restart nor a successor must forget
        it.
        """
        until = add_seconds(self._context.clock.now(), max(1, round(seconds)))
        self._spent = budgets.close(self._spent, until, why)
        self._save()
        return until

    def _save(self) -> None:
        """Keep the budget, unless the row is another owner's to write."""
        if self.holds():
            self._row = budgets.encode(self._spent)
            self._budgets.put(self.connection, self.api, self._row)
            self._saved_at = self._context.machine.monotonic_s()

    def _reload(self) -> None:
        """Go on from what the former owner spent, up to the last second of it."""
        row = self._budgets.get(self.connection, self.api)
        if row != self._row:
            self._row, self._spent = row, _spent(row)

    # --- calls ---

    def begin(self, priority: int) -> None:
        """Take a place and a part of the budget for one call; `end` gives the place back."""
        self.in_flight += 1
        now = self._context.clock.now()
        verdict = budgets.may_go(LIMITS[self.api], self._spent, at=now, in_flight=0, priority=priority)
        if isinstance(verdict, budgets.Go):
            self._spent = verdict.spent

    def next_page(self, priority: int) -> str | None:
        """Take a part of the budget for one more call in the place that is held: None, it may go now; else the instant
        to go on at.
        """
        now = self._context.clock.now()
        verdict = budgets.may_go(LIMITS[self.api], self._spent, at=now, in_flight=self.in_flight - 1, priority=priority)
        if isinstance(verdict, budgets.Go):
            self._spent = verdict.spent
            return None
        return verdict.until or add_seconds(now, 1)

    def end(self) -> None:
        """The call's place is free again."""
        self.in_flight -= 1
        if self._held_up:
            self._held_up = False
            self._wake()
        if self._context.machine.monotonic_s() - self._saved_at > _SPENT_EVERY_S:
            self._save()

    async def call(self, call: Call, last_moment_s: float) -> Answer:
        """Send one call under the lease; answer or raise by `last_moment_s`, an instant of `uptime_s`, after which
        nothing is sent.

        Raises:
            LeaseLost: another process has the lease. Nothing was sent.
            TransportError, CredentialError: as the client's.

        """
        if not self.keep():
            raise LeaseLost(
                f"the lease of {self.api} for {self.connection} was lost", self._context.store.where, "acquire it anew"
            )
        try:
            with nothing_sent_after(last_moment_s):
                answer = await self._send(call, last_moment_s - self._context.machine.uptime_s())
        except TransportError as error:
            self._context.metrics.calls.labels(self.api, error.reason).inc()
            if error.reason == NO_TOKEN and self.refused:
                self._refuse(self._spent.refused_why)
            raise
        except CredentialError as error:
            self._context.metrics.calls.labels(self.api, "credentials").inc()
            if error.one_call:
                self.trouble = str(error)
            else:
                self._refuse(str(error))
            raise
        self.trouble = ""
        # Zoho's own 401 may mean one kind of call, or a token that the client is about to replace.
        refused = self.api == "gocardless" and answer.status == UNAUTHORISED
        self._context.metrics.calls.labels(self.api, "credentials" if refused else f"{answer.status // 100}xx").inc()
        self._learn(answer)
        if refused:
            self._refuse("it does not accept the access token")
        elif self.refused and 200 <= answer.status < 300:
            self._accept()
        return answer

    def _learn(self, answer: Answer) -> None:
        now = self._context.clock.now()
        day = headers.day_limit(answer.headers) if self.api == "zoho" else None
        if day is not None:
            limit, left, ends_s = day
            self._spent = budgets.learn_day(self._spent, limit=limit, left=left, ends=add_seconds(now, ends_s))
        said = headers.moment(answer.headers.get("date", ""))
        if said is not None:
            self._context.skews[f"{self.connection}/{self.api}"] = (said - times.parse(now)).total_seconds()
        for name in headers.unreadable(answer.headers):
            self._context.metrics.ignored_headers.labels(self.api, name).inc()


def _spent(row: str | None) -> budgets.Spent:
    return budgets.Spent() if row is None else budgets.decode(row)
