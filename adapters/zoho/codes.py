"""What Zoho's status and code mean for the call that got them: the one table of its refusals.

`code` decides; the status is only asked where there is no code. A refusal by limit, token or organisation means that
nothing happened; a 5xx, or an answer that is not the API's, means that a write may have happened. Source: Zoho Books
API v3, introduction (errors, limits).
"""

import re
from typing import Final

from adapters.budgets import MAX_AHEAD_S
from adapters.headers import seconds
from adapters.http import Answer
from adapters.texts import clip
from adapters.verdicts import Done, Retry, Unknown, Verdict
from adapters.zoho import wire

#: Codes with a meaning of their own. 57 is also what a missing scope, or a missing role of the user, looks like.
MINUTE_LIMIT: Final = 44
DAY_LIMIT: Final = 45
CONCURRENCY_LIMIT: Final = 1070
UNAUTHORISED: Final = frozenset({14, 57})
OTHER_ORGANISATION: Final = 6041
INTERNAL: Final = 1000
NOT_THERE: Final = 1002

#: Seconds. Lower: Zoho's block of a minute, whose length it does not state, is hit again and again. Higher: throughput
#: is lost.
_MINUTE_WAIT_S: Final = 60.0

#: Seconds until a place among the concurrent calls may be free. Lower: the calls still running are hit again. Higher:
#: idle time.
_CONCURRENCY_WAIT_S: Final = 5.0

#: Seconds when the day's limit names no reset. Lower: refused calls pile up. Higher: an hour of a new day is lost.
_DAY_WAIT_S: Final = 3600.0

#: Seconds until a refused token is tried again. Lower: more refreshes than Zoho allows (10 in ten minutes). Higher: a
#: longer stop.
_TOKEN_WAIT_S: Final = 60.0

#: Seconds until a user who is not in the organisation is tried again: a person must act. Lower: wasted calls. Higher: a
#: slow recovery.
_ORGANISATION_WAIT_S: Final = 600.0

#: Characters kept of a refusal's message.
_MESSAGE_LENGTH: Final = 200

_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'|“[^”]*”|\S+@\S+")


def examine(answer: Answer, *, writes: bool) -> wire.Body | Verdict:
    """The body of an answer that says "done", or what any other answer means. `writes`: an unclear answer leaves the
    outcome unknown.
    """
    try:
        found = wire.body(answer.body)
    except wire.WireError:
        found = wire.Body(None, "", {})
    waiting = _refused_for_now(answer, found.code)
    if waiting is not None:
        return waiting
    if answer.status >= 500 or found.code == INTERNAL:
        return unclear("server_error", writes=writes)
    if found.code is None or answer.status == 408 or not 200 <= answer.status < 500 or 300 <= answer.status < 400:
        return unclear("not_an_api_answer", writes=writes)
    if found.code != 0:
        return Done("refused", reason=str(found.code), message=impersonal(found.message))
    if answer.status >= 400:
        return unclear("contradiction", writes=writes)
    return found


def unclear(reason: str, *, writes: bool) -> Verdict:
    """An answer that says nothing: a write must be looked up, a read is simply asked again."""
    return Unknown(reason) if writes else Retry(reason)


def _refused_for_now(answer: Answer, code: int | None) -> Retry | None:
    """Limits, tokens and organisation: the call was not carried out, and the same call will do later."""
    if code == DAY_LIMIT:
        return Retry("day_limit", _seconds(answer, "x-rate-limit-reset", _DAY_WAIT_S), "api")
    if code == CONCURRENCY_LIMIT:
        return Retry("concurrency_limit", _seconds(answer, "retry-after", _CONCURRENCY_WAIT_S), "command")
    if code == MINUTE_LIMIT or answer.status == 429:
        return Retry("minute_limit", max(_MINUTE_WAIT_S, _seconds(answer, "retry-after", _MINUTE_WAIT_S)), "api")
    if code in UNAUTHORISED or answer.status == 401:
        return Retry("token", _TOKEN_WAIT_S, "api")
    if code == OTHER_ORGANISATION:
        return Retry("organisation", _ORGANISATION_WAIT_S, "api")
    return None


def _seconds(answer: Answer, header: str, otherwise: float) -> float:
    found = seconds(answer.headers.get(header, ""))
    return otherwise if found is None else min(max(found, 1.0), MAX_AHEAD_S)


def impersonal(message: str) -> str:
    """A refusal's text, fit to be kept: what it quotes (names of customers) and addresses are left out, and it is
    cut.
    """
    return clip(_QUOTED.sub("…", message[: 4 * _MESSAGE_LENGTH]), _MESSAGE_LENGTH)
