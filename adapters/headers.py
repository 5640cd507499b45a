"""Numbers and dates in header text. Total: whatever stands there, there is a value within the bounds, or None.

What an API's answers say about themselves (its clock, its limits) is text that a proxy between us may have made up. A
value outside its bounds is ignored, as if the header were not there; `unreadable` names it, so that it can be counted.
Source: RFC 9110, 5.6.7 (dates) and 10.2.3 (`Retry-After`); Zoho Books API v3, introduction; GoCardless API reference,
"Rate limiting".
"""

import email.utils
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from adapters.budgets import MAX_AHEAD_S
from domain import times

#: Longest text that is read as a date. Lower: the longest legal form (RFC 850 with "Wednesday") would not fit. Higher:
#: time spent on noise.
_MAX_DATE: Final = 64

#: Most calls a day that a header can speak of. Lower: a large plan's figure would be ignored, and our small guess used.
#: Higher: nothing.
MAX_CALLS: Final = 100_000_000

#: Largest count of ours that comes back as text (a page, the rows before it). Lower: a long walk would lose count.
#: Higher: nothing.
MAX_COUNT: Final = 999_999_999

#: Fractions of a second are read to three digits.
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?\Z")

_LEAP_SECOND: Final = 60


def whole(text: str | bytes, most: int) -> int | None:
    """A whole number of ASCII digits from 0 to `most`, or None."""
    shown = (text.decode("latin-1") if isinstance(text, bytes) else text).strip()
    if len(shown) > len(str(most)) or not (shown.isascii() and shown.isdigit()):
        return None
    found = int(shown)
    return found if found <= most else None


def seconds(text: str) -> float | None:
    """A number of seconds, "90" or "0.5", below 10⁹; or None. A date, which `Retry-After` may be too, is not read."""
    shown = text.strip()
    return float(shown) if _SECONDS.match(shown) is not None else None


def moment(text: str) -> datetime | None:
    """A date of HTTP, in UTC; None when it is none, or not believable (`times.EARLIEST`). A leap second is read as the
    one before it.
    """
    return _moment(text) if len(text) <= _MAX_DATE else None


@lru_cache(maxsize=64)  # each answer's date is asked for several times
def _moment(text: str) -> datetime | None:
    try:
        said = email.utils.parsedate_tz(text)
        if said is None:
            return None
        year, month, day, hour, minute, second = said[:6]
        found = datetime(year, month, day, hour, minute, 59 if second == _LEAP_SECOND else second, tzinfo=UTC)
        found -= timedelta(seconds=said[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError):  # the library's own reader is not total
        return None
    return found if times.is_believable(found) else None


def _day_s(text: str) -> int | None:
    return whole(text, MAX_AHEAD_S)


def _calls(text: str) -> int | None:
    return whole(text, MAX_CALLS)


#: Every header that is read for a number or a date → its reader.
READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "date": moment,
    "ratelimit-reset": moment,
    "retry-after": seconds,
    "x-rate-limit-limit": _calls,
    "x-rate-limit-remaining": _calls,
    "x-rate-limit-reset": _day_s,
}


def day_limit(headers: Mapping[str, str]) -> tuple[int, int, int] | None:
    """(calls a day, calls left, seconds until the day ends) as Zoho's answers say them; None when one is missing or out
    of bounds.
    """
    limit, left = (_calls(headers.get(f"x-rate-limit-{name}", "")) for name in ("limit", "remaining"))
    ends_s = _day_s(headers.get("x-rate-limit-reset", ""))
    return None if limit is None or left is None or ends_s is None else (limit, left, ends_s)


def unreadable(headers: Mapping[str, str]) -> list[str]:
    """Names of the headers that are there, and are ignored for their value. `headers`: names in lower case."""
    return [name for name, read in READERS.items() if name in headers and read(headers[name]) is None]
