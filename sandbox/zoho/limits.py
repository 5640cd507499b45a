"""The three limits of an organisation (reference 2.6): 100 calls a minute, calls a day by plan, calls at once."""

from collections import deque
from datetime import date, datetime, timedelta

from sandbox.zoho.books import PLANS, Books
from sandbox.zoho.errors import ThrottledError

MINUTE_LIMIT = 100
_MINUTE = timedelta(seconds=60)
MINUTE_CODE, DAY_CODE, CONCURRENCY_CODE = 44, 45, 1070


class Limits:
    """Counts the calls that were let in. The day is the organisation's; the minute is the last sixty seconds."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.refused: dict[int, int] = {}
        self._minute: deque[datetime] = deque()
        self._day: date | None = None
        self._used = 0

    def enter(self, books: Books) -> None:
        """Lets a call in and counts it, or raises ThrottledError. The call itself is already in `in_flight`."""
        daily, at_once = daily_limit(books), _concurrency_limit(books)
        now = books.now()
        self._roll(books)
        while self._minute and self._minute[0] + _MINUTE <= now:
            self._minute.popleft()
        if self.in_flight > at_once:
            raise self._refuse(CONCURRENCY_CODE)
        if self._used >= daily:
            raise self._refuse(DAY_CODE, daily)
        if len(self._minute) >= (books.switches.minute_limit or MINUTE_LIMIT):
            raise self._refuse(MINUTE_CODE)
        self._minute.append(now)
        self._used += 1

    def headers(self, books: Books) -> dict[str, str]:
        """The three headers every answer carries: the daily figure, what is left, seconds to the organisation's
        midnight.
        """
        self._roll(books)
        daily = daily_limit(books)
        return {
            "x-rate-limit-limit": str(daily),
            "x-rate-limit-remaining": str(max(daily - self._used, 0)),
            "x-rate-limit-reset": str(books.seconds_to_midnight()),
        }

    def state(self) -> dict[str, object]:
        return {"used_today": self._used, "refused": {str(code): n for code, n in sorted(self.refused.items())}}

    def _roll(self, books: Books) -> None:
        today = books.today()
        if self._day != today:
            self._day, self._used = today, 0

    def _refuse(self, code: int, limit: int = 0) -> ThrottledError:
        self.refused[code] = self.refused.get(code, 0) + 1
        return ThrottledError(code, limit)


def daily_limit(books: Books) -> int:
    return books.switches.daily_limit or PLANS[books.org.plan.lower()][0]


def _concurrency_limit(books: Books) -> int:
    return books.switches.concurrency_limit or PLANS[books.org.plan.lower()][1]
