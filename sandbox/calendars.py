"""Calendars: on which days the banks of a scheme work, and what time it is in London.

Working days: Bacs and Faster Payments follow the bank holidays of England and Wales, SEPA the TARGET closing days,
the others their country's public holidays.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

_LONDON = ZoneInfo("Europe/London")
_ONE_DAY = timedelta(days=1)
_SATURDAY = 5

# scheme -> the calendar of the `holidays` library that its banks follow.
_CALENDARS = {
    "bacs": "GB",
    "faster_payments": "GB",
    "sepa_core": "TARGET",
    "sepa_cor1": "TARGET",
    "ach": "US",
    "pad": "CA",
    "autogiro": "SE",
    "betalingsservice": "DK",
    "becs": "AU",
    "becs_nz": "NZ",
}


@cache
def _closed_days(calendar: str, year: int) -> frozenset[date]:
    if calendar == "TARGET":
        return frozenset(holidays.financial_holidays("ECB", years=year))
    subdivision = "ENG" if calendar == "GB" else None
    return frozenset(holidays.country_holidays(calendar, subdiv=subdivision, years=year))


def is_working_day(day: date, scheme: str) -> bool:
    """Say whether the banks of `scheme` work on `day`."""
    return day.weekday() < _SATURDAY and day not in _closed_days(_CALENDARS[scheme], day.year)


def working_day_on_or_after(day: date, scheme: str) -> date:
    """Give `day`, or the next day on which the banks of `scheme` work."""
    while not is_working_day(day, scheme):
        day += _ONE_DAY
    return day


def add_working_days(day: date, count: int, scheme: str) -> date:
    """Go `count` working days from `day`: forward, or back when negative."""
    step = _ONE_DAY if count > 0 else -_ONE_DAY
    for _ in range(abs(count)):
        day += step
        while not is_working_day(day, scheme):
            day += step
    return day


def london_time(day: date, at: time) -> datetime:
    """Give the moment, in UTC, at which London's clocks show `at` on `day`."""
    return datetime.combine(day, at, tzinfo=_LONDON).astimezone(UTC)


def london_day(moment: datetime) -> date:
    """Give the date in London at `moment`."""
    return moment.astimezone(_LONDON).date()
