"""A desk: everything that one connection's calls to one API share. The lease, the budget, the calls in flight, the client.

Every call goes through here, polls included, so one owner per connection and API and one budget hold for all of them (design rule 6).
"""

import email.utils
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Literal

import msgspec

from adapters import budgets
from adapters.errors import CredentialError, TransportError
from adapters.verdicts import Answer, Call
from domain import times
from domain.times import add_seconds
from projections.budgets import Budgets
from projections.leases import Lease, Leases
from projections.queue import Queue
from streams.settings import Calls
from streams.stages.shop import Shop

#: How long a lease runs without being renewed. Lower: more renewals, and a short stall loses it. Higher: a take-over waits longer.
LEASE_S: Final = 60

#: The same under the lock of the embedded log, whose end the kernel sees to: nobody has to wait for it to lapse. Lower: a durable write
#: each time. Higher: nothing.
EMBEDDED_LEASE_S: Final = 86_400

#: Real seconds between two writes of the budget row. Lower: a durable write for each call. Higher: after a crash, that many seconds of
#: calls are counted twice at the most, or forgotten; the API's own headers correct the day.
_SPENT_EVERY_S: Final = 1.0

#: The owner's name on the embedded engine: one process at a time, which a lock on the log's file sees to.
EMBEDDED_OWNER: Final = "embedded"

Api = Literal["gocardless", "zoho"]
Send = Callable[[Call, float], Awaitable[Answer]]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(budgets.Spent).decode

LIMITS: Final = {"gocardless": budgets.GOCARDLESS, "zoho": budgets.ZOHO}


class Desk:
    """One connection's calls to one API."""

    def __init__(self, shop: Shop, connection: str, api: Api, send: Send, owner: str, calls: Calls) -> None:
        self.connection = connection
        self.api = api
        self.lease: Lease | None = None
        self.in_flight = 0
        self.trouble = ""
        self._shop = shop
        self._send = send
        self._owner = owner
        self._lease_s = EMBEDDED_LEASE_S if owner == EMBEDDED_OWNER else LEASE_S
        self._calls = calls
        self._leases = Leases(shop.store)
        self._queue = Queue(shop.store)
        self._budgets = Budgets(shop.store)
        held = self._budgets.get(connection, api)
        self._spent = budgets.Spent() if held is None else _decode(held)
        self._saved_at = 0.0

    # --- the lease ---

    def hold(self) -> bool:
        """Hold the lease for the next calls; False while another process has it. A new owner counts what was begun as unknown."""
        now = self._shop.clock.now()
        if self.lease is not None:
            if self.lease.until <= add_seconds(now, self._lease_s // 2):
                self.lease = self._leases.renew(self.lease, now, self._lease_s)
            return True
        lease = self._leases.acquire(self.connection, self.api, self._owner, now, self._lease_s)
        if lease is None:
            return False
        self.lease = lease
        settled = int(self._calls.deadline_s) + self._calls.settle_s
        # Of an owner that was this very process's predecessor under the process lock, nothing can be under way but at the API.
        since = now if lease.after == "" or self._owner == EMBEDDED_OWNER else max(now, lease.after)
        self._queue.abandoned(lease, now, add_seconds(since, settled))
        return True

    def release(self) -> None:
        """Give the lease back at a clean stop, and write the budget."""
        self._save()
        if self.lease is not None and not self.in_flight:
            self._leases.release(self.lease, self._shop.clock.now())
            self.lease = None

    # --- the budget ---

    def may_go(self, priority: int) -> str | None:
        """None: one call of this priority may go now. Otherwise the instant to ask again at, "" when a call in flight must end first."""
        verdict = budgets.may_go(LIMITS[self.api], self._spent, at=self._shop.clock.now(), in_flight=self.in_flight, priority=priority)
        return None if isinstance(verdict, budgets.Go) else verdict.until

    def close(self, seconds: float, why: str) -> str:
        """No call for so long; the instant until which. Kept at once: a restart must not forget it."""
        until = add_seconds(self._shop.clock.now(), max(1, round(seconds)))
        self._spent = budgets.close(self._spent, until, why)
        self._save()
        return until

    def _save(self) -> None:
        self._budgets.put(self.connection, self.api, _encode(self._spent).decode())
        self._saved_at = monotonic()

    # --- calls ---

    def begin(self, priority: int) -> None:
        """Take a place and a part of the budget for one call; `end` gives the place back."""
        self.in_flight += 1
        now = self._shop.clock.now()
        verdict = budgets.may_go(LIMITS[self.api], self._spent, at=now, in_flight=0, priority=priority)
        if isinstance(verdict, budgets.Go):
            self._spent = verdict.spent

    def end(self) -> None:
        """The call's place is free again."""
        self.in_flight -= 1
        if monotonic() - self._saved_at > _SPENT_EVERY_S:
            self._save()

    async def call(self, call: Call, deadline: float) -> Answer:
        """Send one call, answer or raise by `deadline` (monotonic). Raises `TransportError`, `CredentialError`."""
        try:
            answer = await self._send(call, deadline - monotonic())
        except TransportError as error:
            self._shop.metrics.calls.labels(self.api, error.reason).inc()
            raise
        except CredentialError as error:
            self._shop.metrics.calls.labels(self.api, "credentials").inc()
            self.trouble = str(error)
            raise
        self.trouble = ""
        self._shop.metrics.calls.labels(self.api, f"{answer.status // 100}xx").inc()
        self._learn(answer)
        return answer

    def _learn(self, answer: Answer) -> None:
        now = self._shop.clock.now()
        limit, left, reset = (answer.headers.get(f"x-rate-limit-{name}", "") for name in ("limit", "remaining", "reset"))
        if self.api == "zoho" and limit.isdigit() and left.isdigit() and reset.isdigit():
            self._spent = budgets.learn_day(self._spent, limit=int(limit), left=int(left), ends=add_seconds(now, int(reset)))
        said = email.utils.parsedate(answer.headers.get("date"))
        if said is not None:
            moment = datetime(*said[:6], tzinfo=UTC)
            self._shop.skews[f"{self.connection}/{self.api}"] = (moment - times.parse(now)).total_seconds()
