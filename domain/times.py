"""Instants and days as text that sorts: "2026-03-02T09:00:00.000Z", "2026-03-02".

Instants are compared as text, so each is brought to one form on entry. The organisation's day of an instant needs its
time zone, whose rules come from the pinned `tzdata`.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import DomainError

#: First and last moment, and the days between them, that are believed of anything outside. Lower than a company's
#: oldest invoice: it would never be seen. Nearer to the years 1 and 9999: days and zones added to what came in would
#: lead out of what can be computed with.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9998, 12, 30, tzinfo=UTC)

_BEYOND: Final = "beyond the years 1 to 9999"
_NOT_BELIEVED: Final = f"before {EARLIEST:%Y-%m-%d} or after {LATEST:%Y-%m-%d}"


class TimeError(DomainError):
    """A text that is not an instant or a day, or a zone that does not exist."""


def instant(moment: datetime) -> str:
    """An aware datetime → the one text form, UTC, milliseconds (cut, not rounded)."""
    if moment.tzinfo is None:
        raise TimeError("a moment without a time zone has no place in the log")
    if moment.tzinfo is not UTC:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            raise TimeError(_BEYOND) from None
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"  # instead of "+00:00"


def parse(text: str) -> datetime:
    """Any ISO 8601 instant with an offset ("...Z", "+01:00", Zoho's "-0400") → aware datetime. Raises `TimeError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimeError("not an ISO 8601 instant") from None
    if moment.tzinfo is None:
        raise TimeError("an instant without an offset is not accepted")
    return moment


def is_believable(moment: datetime) -> bool:
    """Whether an aware moment from outside lies within `EARLIEST` and `LATEST`."""
    return EARLIEST <= moment <= LATEST


def believable_instant(text: str) -> str:
    """An ISO 8601 instant from outside → the one text form. Raises `TimeError`, also when it lies beyond `EARLIEST` or
    `LATEST`.
    """
    moment = parse(text)
    if not is_believable(moment):
        raise TimeError(_NOT_BELIEVED)
    return instant(moment)


def believable_day(text: str) -> str:
    """A day from outside, as text → "2026-03-02". Raises `TimeError`, also when it lies beyond `EARLIEST` or
    `LATEST`.
    """
    found = day(text)
    if not EARLIEST.date() <= found <= LATEST.date():
        raise TimeError(_NOT_BELIEVED)
    return found.isoformat()


def normalise(text: str) -> str:
    """Any ISO 8601 instant → the one text form. Raises `TimeError`, also where the offset leads out of the years 1 to
    9999.
    """
    return instant(parse(text))


def day(text: str) -> date:
    """A day as text ("2026-03-02") → date. Raises `TimeError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TimeError("not a day of the form YYYY-MM-DD") from None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeError(f"unknown time zone {name[:64]!r}: expected an IANA name such as Europe/London") from None


@lru_cache(maxsize=4096)
def local_day(at: str, zone: str) -> str:
    """The organisation's day of an instant: 23:30Z on 30 March is 31 March in Europe/London."""
    try:
        return parse(at).astimezone(_zone(zone)).date().isoformat()
    except OverflowError:
        raise TimeError(_BEYOND) from None


@lru_cache(maxsize=4096)
def to_minute(at: str) -> str:
    """An instant as people read it: "2026-03-02 09:00", in UTC."""
    return at[:16].replace("T", " ")


def local_instant(on: str, hour: int, zone: str) -> str:
    """`hour` o'clock on a day in the organisation's zone, as an instant."""
    start = day(on)
    return instant(datetime(start.year, start.month, start.day, hour, tzinfo=_zone(zone)))


def add_days(on: str, days: int) -> str:
    """A day some days later (or earlier). Raises `TimeError`."""
    try:
        return (day(on) + timedelta(days=days)).isoformat()
    except OverflowError:
        raise TimeError(_BEYOND) from None


def add_seconds(at: str, seconds: int) -> str:
    """An instant some seconds later (or earlier). Raises `TimeError`."""
    try:
        return instant(parse(at) + timedelta(seconds=seconds))
    except OverflowError:
        raise TimeError(_BEYOND) from None
