"""How often an API may be called: pure arithmetic. State in, verdict out; the caller keeps the state in a row and
brings the clock.

The minute is kept by the generic cell rate algorithm: one number (when the next call would be due if all calls were
evenly spaced) stands for the whole window, so the state survives a restart in a few bytes and is exact: in no stretch
of 60 seconds are more than `burst` + 60 000 / `interval_ms` calls let through, wherever the API's own minute begins.
Each priority may use only a part of the burst and of the day, so that sweeps stop first, reads next, and money-bearing
writes never find the budget eaten by polls.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from domain.commands import PRIORITY_SWEEP
from domain.times import add_seconds, instant, parse

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400

#: First wait's ceiling, seconds. Lower: a struggling API is hit again at once. Higher: one lost packet delays a posting
#: for no reason.
BACKOFF_BASE_S: Final = 1.0

#: Longest wait's ceiling, seconds. Lower: an API that is down for hours is called thousands of times. Higher: after it
#: is back, work waits on.
BACKOFF_CAP_S: Final = 300.0

#: Seconds to stay away after "too many requests" that names no end (both APIs count by the minute; neither documents
#: the block's length). Lower: the same minute is hit again. Higher: lost throughput.
THROTTLED_S: Final = 60.0


#: First wait after the API has refused our credentials, seconds; each further refusal doubles it. Lower: more calls
#: that cannot succeed. Higher: a token that is refused by mistake for a moment stops a connection for longer.
REFUSED_BASE_S: Final = 60

#: Longest of these waits. Lower: more than some thirty calls a day for a token that is dead. Higher: a new one is tried
#: later.
REFUSED_CAP_S: Final = 3_600

#: Why an API is closed whose credentials are refused.
REFUSED: Final = "refused"

#: Furthest end that is believed of a day or of a closure, seconds: a little over a day. Lower than 86,400: a day would
#: end before the API's does. Higher: a senseless header, or a row that was written while the clock was wrong, would
#: keep an API closed for longer.
MAX_AHEAD_S: Final = 90_000


class Limits(msgspec.Struct, frozen=True):
    """What an API allows one connection. The tuples are indexed by priority (debit, money, read, sweep).

    `interval_ms`: the even spacing of calls. `burst`: calls that may go at once after a pause; `burst_kept`: how many
    of them a priority must leave to those before it. `at_once`: calls in flight; `at_once_kept` likewise. `day`: calls
    a day until the API's answers say better (0: no daily limit); `day_kept_percent`: the share of the day a priority
    must leave.
    """

    interval_ms: int
    burst: int
    burst_kept: tuple[int, int, int, int]
    at_once: int
    at_once_kept: tuple[int, int, int, int]
    day: int = 0
    day_kept_percent: tuple[int, int, int, int] = (0, 0, 0, 0)


#: GoCardless documents 1,000 requests a minute for all that shares an organisation (API reference, "Rate limiting"; a
#: newer page says 1,600 but still advises to plan for 1,000). 750 evenly + 150 at once = 900 in the worst minute: the
#: rest is left to the merchant's other tools. No concurrency limit is documented; ten calls of 0.3 s keep up with the
#: rate.
GOCARDLESS: Final = Limits(
    interval_ms=80, burst=150, burst_kept=(0, 10, 50, 100), at_once=10, at_once_kept=(0, 0, 2, 4)
)

#: Zoho Books allows 100 requests a minute for the organisation (code 44), 1,000 a day on the smallest plan (code 45;
#: each answer names the real figure) and 5 at once there (code 1070), shared with the company's other integrations. 60
#: evenly + 30 at once = 90 in the worst minute. Of the day, sweeps leave three tenths and reads one tenth.
ZOHO: Final = Limits(
    interval_ms=1000,
    burst=30,
    burst_kept=(0, 2, 10, 20),
    at_once=4,
    at_once_kept=(0, 0, 1, 2),
    day=1000,
    day_kept_percent=(0, 2, 10, 30),
)


class Spent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has been used; a row's JSON. `arrival_ms`: when an evenly spaced next call would be due, milliseconds since
    1970. `day_left` of `day_limit` calls until `day_ends` ("": no day begun). Nothing goes before `closed_until`, for
    the reason `closed_why`. Our credentials have been refused `refusals` times in a row since the instant
    `refused_since` ("": they are not), because `refused_why`.
    """

    arrival_ms: int = 0
    day_limit: int = 0
    day_left: int = 0
    day_ends: str = ""
    closed_until: str = ""
    closed_why: str = ""
    refused_since: str = ""
    refused_why: str = ""
    refusals: int = 0


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Spent).decode


class Go(msgspec.Struct, frozen=True):
    """One call may go now; `spent` is the state to keep before it goes."""

    spent: Spent


class Wait(msgspec.Struct, frozen=True):
    """Not before `until` (an instant), or, when "", not before a call in flight ends. `reason`: "closed", "at_once",
    "minute", "day".
    """

    reason: str
    until: str


def encode(spent: Spent) -> str:
    """As a row keeps it."""
    return _encode(spent).decode()


def decode(row: str) -> Spent:
    """From a row, also one of an earlier version."""
    return _decode(row)


def may_go(limits: Limits, spent: Spent, *, at: str, in_flight: int, priority: int) -> Go | Wait:
    """Whether one more call of this priority may go at the instant `at`, with `in_flight` calls of the connection under
    way.
    """
    rank = min(max(priority, 0), PRIORITY_SWEEP)
    if at < spent.closed_until <= add_seconds(at, MAX_AHEAD_S):
        return Wait(spent.closed_why or "closed", spent.closed_until)
    if in_flight >= (1 if spent.refused_since else limits.at_once - limits.at_once_kept[rank]):
        return Wait("at_once", "")
    now_ms = _milliseconds(at)
    # After a clock went back, a due time further ahead than a full burst is not believed.
    arrival_ms = min(spent.arrival_ms, now_ms + limits.burst * limits.interval_ms)
    tolerance_ms = (limits.burst - limits.burst_kept[rank] - 1) * limits.interval_ms
    if arrival_ms - tolerance_ms > now_ms:
        return Wait("minute", _instant(arrival_ms - tolerance_ms))
    today = _today(limits, spent, at)
    if limits.day and today.day_left <= today.day_limit * limits.day_kept_percent[rank] // 100:
        return Wait("day", today.day_ends)
    return Go(
        msgspec.structs.replace(
            today,
            arrival_ms=max(arrival_ms, now_ms) + limits.interval_ms,
            day_left=max(today.day_left - 1, 0),
            closed_until="",
            closed_why="",
        )
    )


def close(spent: Spent, until: str, why: str = "closed") -> Spent:
    """No call before `until`: the API said so (throttled, token refused, down). A later end that is already held stays.

    An end further away than `MAX_AHEAD_S` holds nothing: `may_go` does not believe it.
    """
    if until <= spent.closed_until:
        return spent
    return msgspec.structs.replace(spent, closed_until=until, closed_why=why)


def refuse(spent: Spent, at: str, why: str) -> Spent:
    """The API has refused our credentials: no call for a while that grows with each refusal, then one call at a time
    until one succeeds.

    What several calls under way at once are told counts once.
    """
    if at < spent.closed_until and spent.closed_why == REFUSED:
        return spent
    wait_s = min(REFUSED_BASE_S * 2 ** min(spent.refusals, 10), REFUSED_CAP_S)
    return msgspec.structs.replace(
        close(spent, add_seconds(at, wait_s), REFUSED),
        refused_since=spent.refused_since or at,
        refused_why=why,
        refusals=spent.refusals + 1,
    )


def accept(spent: Spent) -> Spent:
    """A call has succeeded: the credentials are good again."""
    return msgspec.structs.replace(try_at_once(spent), refused_since="", refused_why="", refusals=0)


def try_at_once(spent: Spent) -> Spent:
    """Without the wait after a refusal; any other closure stays."""
    return msgspec.structs.replace(spent, closed_until="", closed_why="") if spent.closed_why == REFUSED else spent


def learn_day(spent: Spent, *, limit: int, left: int, ends: str) -> Spent:
    """What an answer says about the day: it counts the calls of the company's other integrations as well, so it beats
    our own count.
    """
    return msgspec.structs.replace(spent, day_limit=max(limit, 0), day_left=max(left, 0), day_ends=ends)


def backoff_s(attempt: int, draw: float) -> float:
    """Seconds before attempt number `attempt` + 1: exponential with full jitter, `draw` uniform in [0, 1).

    Full jitter, because many connections that failed together must not come back together.
    """
    exponent = min(max(attempt, 1) - 1, 30)
    return draw * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0**exponent)


def _today(limits: Limits, spent: Spent, at: str) -> Spent:
    """The state with a day that goes on. The API says where a day ends; until it does, one lasts 24 hours from its
    first call.
    """
    if not limits.day or at < spent.day_ends <= add_seconds(at, MAX_AHEAD_S):
        return spent
    limit = spent.day_limit or limits.day
    ends = add_seconds(at, _DAY_S)
    return msgspec.structs.replace(spent, day_limit=limit, day_left=limit, day_ends=ends)


def _milliseconds(at: str) -> int:
    return (parse(at) - _EPOCH) // timedelta(milliseconds=1)


def _instant(milliseconds: int) -> str:
    return instant(_EPOCH + timedelta(milliseconds=milliseconds))
