"""The world: one clock, one seed, one queue of things that will happen, shared by both simulators.

Simulated time moves when the barrier calls `World.move_to`, or by itself where it was told to flow (`flow`).
Everything that happens at a time (a bank answers, a payout is paid) is a plain function put on the heap with
`World.at`. Chance comes from named streams and ids from causes, so one seed and one sequence of calls give one world,
byte for byte, whatever the machine does in between, as long as time does not flow.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol

from aiohttp import web

from sandbox.faults import Faults
from sandbox.flow import Flow
from sandbox.webhooks import Post, WebhookSender

# A fixed Monday, so that a world without a stated start is still the same world every time.
DEFAULT_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

# Crockford's base 32, the alphabet of GoCardless's own ids: digits and capitals without I, L, O, U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Api(Protocol):
    """What a simulator offers the kernel once it has put itself into `World.apis`."""

    def state(self) -> dict[str, Any]:
        """Give everything the simulator holds, as JSON, for assertions on what really happened."""

    def configure(self, document: dict[str, Any]) -> None:
        """Apply `POST /_sandbox/config`'s part for this API: endpoints to call, switches. ValueError: refused."""

    def fault_response(self, kind: str) -> web.Response:
        """Give the API's own words for `500_*` and `429_*`."""

    def fault_effect(self, kind: str) -> None:
        """Do what `token_death` or `token_revoked` means here."""


class World:
    """Simulated time, chance, order and the two simulators of one run.

    `now` is aware and in UTC. `activity` rises at every completed API request and every webhook delivery attempt;
    together with `now` it is what a participant's word "I am quiet" is valid for. `in_flight` counts API requests
    being handled at this moment. `post`: how webhooks are posted; None: over real HTTP.
    """

    def __init__(self, *, seed: int = 0, start: datetime = DEFAULT_START, post: Post | None = None) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a world must name its time zone")
        self.seed = seed
        self.now = start.astimezone(UTC)
        self.start = self.now
        self.activity = 0
        self.in_flight = 0
        self.apis: dict[str, Api] = {}
        self.calls: dict[str, Counter[str]] = {}
        self.faults = Faults()
        self.flow = Flow()
        self.listeners: list[Callable[[], None]] = []
        self.webhooks = WebhookSender(clock=lambda: self.now, attempted=self.happened, keep_up=self.keep_up, post=post)
        self._heap: list[tuple[datetime, int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._streams: dict[str, random.Random] = {}
        self._counters: Counter[str] = Counter()
        self._date: tuple[datetime, str] = (self.now, http_date(self.now))

    def at(self, when: datetime, what: Callable[[], None], order: int = 0) -> None:
        """Let `what` happen at `when`; at one time the lower `order` goes first, then the earlier put. A past time
        means now.
        """
        self._sequence += 1
        heapq.heappush(self._heap, (max(when, self.now), order, self._sequence, what))

    def next_action_at(self) -> datetime | None:
        """Say when the next thing on the heap happens."""
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> None:
        """Let everything happen that is due at the present time, and what that in turn makes due."""
        while self._heap and self._heap[0][0] <= self.now:
            heapq.heappop(self._heap)[3]()

    def move_to(self, when: datetime) -> None:
        """Move time to `when` and run what is due there. Callers move to the next action at the most, never past it."""
        if when < self.now:
            raise ValueError("time does not go back")
        next_at = self.next_action_at()
        if next_at is not None and next_at < when:
            raise ValueError("time would jump over something that has to happen first")
        self.now = when
        self.run_due()

    def catch_up(self) -> None:
        """Where time flows by itself, move it to where it has come, through everything that is due on the way."""
        if not self.flow.flowing:
            return
        reached = self.flow.reached()
        while (next_at := self.next_action_at()) is not None and next_at <= reached:
            self.move_to(next_at)
        self.move_to(max(reached, self.now))

    def keep_up(self) -> None:
        """Where time flows by itself, have the listeners (the barrier) take it to where it has come."""
        if self.flow.flowing:
            self.changed()

    def rng(self, name: str) -> random.Random:
        """Give the stream of chance called `name`: one more draw in one stream moves nothing in another."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = random.Random(f"{self.seed}/{name}")
        return stream

    def counter(self, name: str) -> int:
        """Count up the counter called `name`, from 1: ids in order of creation."""
        self._counters[name] += 1
        return self._counters[name]

    def chance(self, *parts: object) -> float:
        """Give a number in [0, 1) that depends on the seed and `parts` alone, hence not on the order of calls."""
        return self._hash(*parts) / float(1 << 64)

    def opaque(self, *parts: object, length: int) -> str:
        """Give `length` capitals and digits (at most 12) that depend on the seed and `parts` alone."""
        number = self._hash(*parts)
        letters = []
        for _ in range(length):
            number, place = divmod(number, 32)
            letters.append(_ALPHABET[place])
        return "".join(letters)

    def happened(self) -> None:
        """Count one activity, and tell whoever waits for a change."""
        self.activity += 1
        self.changed()

    def changed(self) -> None:
        """Tell the listeners (the barrier) to look again."""
        for listener in self.listeners:
            listener()

    def count_call(self, api: str, endpoint: str) -> None:
        """Count one call of `endpoint` ("POST /payments")."""
        self.calls.setdefault(api, Counter())[endpoint] += 1

    def date_header(self) -> str:
        """Give the HTTP date of simulated time."""
        if self._date[0] != self.now:
            self._date = (self.now, http_date(self.now))
        return self._date[1]

    def _hash(self, *parts: object) -> int:
        text = "\x1f".join((str(self.seed), *(str(part) for part in parts)))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(when: datetime) -> str:
    """Write a moment in UTC as HTTP does; the standard library's `format_datetime` takes ten times as long."""
    day, month = _DAYS[when.weekday()], _MONTHS[when.month - 1]
    return f"{day}, {when.day:02} {month} {when.year:04} {when.hour:02}:{when.minute:02}:{when.second:02} GMT"


def iso_utc(moment: datetime) -> str:
    """Write a moment as the barrier does: ISO 8601, microseconds, `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_utc(text: object) -> datetime:
    """Read an ISO 8601 moment with a zone. ValueError: it is not one."""
    if not isinstance(text, str):
        raise ValueError("a moment is ISO 8601 text")  # noqa: TRY004 - callers answer 400 to one kind of error
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment must name its time zone")
    return moment.astimezone(UTC)
