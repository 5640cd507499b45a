"""Webhooks: takes signed bodies from the simulators and delivers them at their simulated due times: over real HTTP,
or by whatever way of posting it is given.

One delivery is under way at a time, in the order (due time, order of posting), so a seed gives one order of
deliveries; where time flows by itself, those that fall due meanwhile go out as soon as it has ended. An answer that is
not 2xx, a refused connection or no answer within ten real seconds is tried again after growing simulated intervals.
Redirects are not followed. Rules can drop, duplicate, delay or reorder what is sent.
"""

import asyncio
import heapq
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import aiohttp
import msgspec

# GoCardless: "up to 8 attempts at growing intervals" (support article 360000989989 names 1, 2 and 10 minutes); the
# rest of the ladder is a guess.
GOCARDLESS_RETRIES_S: tuple[int, ...] = (60, 120, 600, 1800, 3600, 7200, 14400)

# Support: an endpoint has ten seconds. Lower would fail a slow machine's tests; higher would let a dead receiver hold
# the run.
_TIMEOUT_S = 10.0
# Kept of an answer, for GET /webhooks. GoCardless cuts bodies too.
_ANSWER_BYTES_MAX = 4096
# Copies of a reordered message wait this long when the rule names no time: longer than any delivery lag, so what
# comes later overtakes it.
_REORDER_S = 300
# What a rule's second copy waits when the rule names no time.
_DUPLICATE_S = 30
_RULES_MAX = 200
# Attempts remembered for the state document; older ones are forgotten, their counts stay.
_ATTEMPTS_KEPT = 2000

#: (status, headers, body) of an answer; None: nobody answered, or nobody in time.
PostAnswer = tuple[int, Mapping[str, str], bytes] | None
#: Posts (url, headers, body). It raises nothing but `TimeoutError`, which means that nobody answered.
Post = Callable[[str, Mapping[str, str], bytes], Awaitable[PostAnswer]]


class WebhookRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule, as posted to `/_sandbox/webhooks`. `match` is a regular expression on "resource_type.action"; empty
    means any.
    """

    api: str
    kind: Literal["duplicate", "drop", "delay", "reorder"]
    match: str = ""
    skip: int = 0
    times: int = 1
    delay_s: float = 0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.skip < 0 or self.times < 0 or self.delay_s < 0:
            raise ValueError("skip, times and delay_s count from 0")
        re.compile(self.match)


class Attempt(msgspec.Struct, kw_only=True):
    """How one delivery attempt went. `status` None: nobody answered."""

    at: datetime
    api: str
    url: str
    number: int
    status: int | None
    headers: dict[str, str]
    body: str

    @property
    def successful(self) -> bool:
        """Say whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


class Delivery(msgspec.Struct, kw_only=True):
    """One message for one address, with the same bytes at every attempt."""

    api: str
    url: str
    headers: dict[str, str]
    body: bytes
    attempts: int = 0
    on_attempt: Callable[[Attempt], None] | None = None


class WebhookSender:
    """All deliveries of a world: due, under way, to be retried.

    `retries_s[api]` is the ladder of intervals between attempts (an API without one gets a single attempt).
    `attempted` is called after each attempt, `keep_up` before its end is noted, since time may have flowed meanwhile.
    `post`: how a message is posted; None: over real HTTP.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        attempted: Callable[[], None],
        keep_up: Callable[[], None] = lambda: None,
        post: Post | None = None,
    ) -> None:
        self.retries_s: dict[str, tuple[int, ...]] = {"gocardless": GOCARDLESS_RETRIES_S}
        self.rules: list[WebhookRule] = []
        self.attempts: list[Attempt] = []
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._attempted = attempted
        self._keep_up = keep_up
        self._due: list[tuple[datetime, int, Delivery]] = []
        self._sequence = 0
        self._http = HttpClient()
        self._post = self._http.post if post is None else post
        self._task: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> bool:
        """Say whether a delivery is under way."""
        return self._task is not None

    def next_due_at(self) -> datetime | None:
        """Say when the next delivery is due; None: none waits."""
        return self._due[0][0] if self._due else None

    def enqueue(
        self,
        api: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        delay: timedelta = timedelta(),
        label: str | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        """Post `body` to `url` in `delay` of simulated time; with a `label` ("invoice.created") the rules are asked
        about it.
        """
        for extra in self.copies(api, label) if label is not None else (timedelta(),):
            delivery = Delivery(api=api, url=url, headers=dict(headers), body=body, on_attempt=on_attempt)
            self._put(self._clock() + delay + extra, delivery)

    def copies(self, api: str, label: str) -> list[timedelta]:
        """Ask the rules about one message: the extra delay of each copy to send; an empty list drops it."""
        for rule in self.rules:
            if rule.hits >= rule.times or rule.api != api or re.search(rule.match, label) is None:
                continue
            rule.seen += 1
            if rule.seen <= rule.skip:
                continue
            rule.hits += 1
            if rule.kind == "drop":
                return []
            if rule.kind == "duplicate":
                return [timedelta(), timedelta(seconds=rule.delay_s or _DUPLICATE_S)]
            return [timedelta(seconds=rule.delay_s or _REORDER_S)]
        return [timedelta()]

    def add_rules(self, documents: Iterable[object]) -> None:
        """Add rules as they came in JSON. ValueError (msgspec.ValidationError is one): a rule is malformed, and none
        is added.
        """
        rules = [msgspec.convert(document, WebhookRule) for document in documents]
        if len(self.rules) + len(rules) > _RULES_MAX:
            raise ValueError(f"at most {_RULES_MAX} rules")
        self.rules.extend(rules)

    def pump(self) -> None:
        """Start the next delivery that is due, unless one is under way."""
        if self._task is None and self._due and self._due[0][0] <= self._clock():
            delivery = heapq.heappop(self._due)[2]
            self._task = asyncio.get_running_loop().create_task(self._deliver(delivery))

    async def close(self) -> None:
        """Stop what is under way and close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._http.close()

    def state(self) -> dict[str, Any]:
        """Give counts, rules, attempts (the latest ones) and the number of deliveries still waiting."""
        return {
            "counts": dict(sorted(self.counts.items())),
            "waiting": len(self._due),
            "rules": [msgspec.to_builtins(rule) for rule in self.rules],
            "attempts": [msgspec.to_builtins(attempt) for attempt in self.attempts],
        }

    def _put(self, due_at: datetime, delivery: Delivery) -> None:
        self._sequence += 1
        heapq.heappush(self._due, (due_at, self._sequence, delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        delivery.attempts += 1
        try:
            attempt = await self._attempt(delivery)
        finally:
            self._task = None
        self._remember(attempt)
        ladder = self.retries_s.get(delivery.api, ())
        if not attempt.successful and delivery.attempts <= len(ladder):
            self._put(self._clock() + timedelta(seconds=ladder[delivery.attempts - 1]), delivery)
        if delivery.on_attempt is not None:
            delivery.on_attempt(attempt)
        self._attempted()

    async def _attempt(self, delivery: Delivery) -> Attempt:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._post(delivery.url, delivery.headers, delivery.body)
        except TimeoutError:
            answer = None
        status, headers, body = (None, {}, b"") if answer is None else answer
        self._keep_up()
        return Attempt(
            at=self._clock(),
            api=delivery.api,
            url=delivery.url,
            number=delivery.attempts,
            status=status,
            headers=dict(headers),
            body=body[:_ANSWER_BYTES_MAX].decode("utf-8", "replace"),
        )

    def _remember(self, attempt: Attempt) -> None:
        self.counts[f"{attempt.api}.{'delivered' if attempt.successful else 'refused'}"] += 1
        self.attempts.append(attempt)
        if len(self.attempts) > _ATTEMPTS_KEPT:
            del self.attempts[0]


class HttpClient:
    """Posts over real HTTP, with one session for all. Redirects are not followed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """Post `body`; None: nobody is there. The deadline is the caller's."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                read = await answer.content.read(_ANSWER_BYTES_MAX)
                return answer.status, {str(name): value for name, value in answer.headers.items()}, read
        except aiohttp.ClientError:
            # An outcome of the attempt: told by None.
            return None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
