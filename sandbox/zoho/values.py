"""Reading request bodies: each reader takes a body, a field and what it may hold, and raises an ApiError if it doesn't.

A field that is absent, null or "" is absent (reference 2.1: empty values are "").
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sandbox.zoho.errors import InvalidError, MissingError, TooLongError
from sandbox.zoho.money import minor, number

Body = Mapping[str, Any]

REFERENCE_MAX = 100
NAME_MAX = 200
NOTES_MAX = 5000


def given(body: Body, field: str) -> bool:
    """Whether the body names the field with a value."""
    return body.get(field) not in (None, "")


def text(body: Body, field: str, default: str = "", *, limit: int = NAME_MAX) -> str:
    """A text; an explicit "" empties the field."""
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise InvalidError(field)
        value = str(value)
    if len(value) > limit:
        raise TooLongError(field, limit)
    return value


def needed_text(body: Body, field: str, *, limit: int = NAME_MAX) -> str:
    if not given(body, field):
        raise MissingError(field)
    return text(body, field, limit=limit)


def day(body: Body, field: str, default: date | None = None) -> date:
    """A day as yyyy-mm-dd. Without a default the field is needed."""
    if not given(body, field):
        if default is None:
            raise MissingError(field)
        return default
    return parsed_day(body[field], field)


def parsed_day(value: Any, field: str) -> date:
    if not isinstance(value, str) or len(value) != len("2026-01-05"):
        raise InvalidError(field)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidError(field) from None


def moment(value: str, field: str) -> datetime:
    """A time with an offset, as in answers (2026-01-05T08:00:00+0000). An unescaped `+` of a query arrives as a blank
    and is refused.
    """
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidError(field) from None
    if found.tzinfo is None:
        raise InvalidError(field)
    return found.astimezone(UTC)


def amount_minor(body: Body, field: str, precision: int, default: int | None = None) -> int:
    """An amount in minor units, not negative. Without a default the field is needed."""
    if not given(body, field):
        if default is None:
            raise MissingError(field)
        return default
    found = minor(number(body[field], field), precision)
    if found < 0:
        raise InvalidError(field)
    return found


def positive_minor(body: Body, field: str, precision: int) -> int:
    found = amount_minor(body, field, precision)
    if found == 0:
        raise InvalidError(field)
    return found


def rate(body: Body, default: Decimal) -> Decimal:
    """`exchange_rate`: base units per one unit of the record's currency, above zero."""
    if not given(body, "exchange_rate"):
        return default
    found = number(body["exchange_rate"], "exchange_rate")
    if found <= 0:
        raise InvalidError("exchange_rate")
    return found


def flag(body: Body, field: str, *, default: bool = False) -> bool:
    value = body.get(field)
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise InvalidError(field)


def whole(body: Body, field: str, default: int) -> int:
    if not given(body, field):
        return default
    found = number(body[field], field)
    if found != int(found):
        raise InvalidError(field)
    return int(found)


def rows(body: Body, field: str) -> list[dict[str, Any]]:
    """A list of objects; absent and "" are an empty list."""
    value = body.get(field)
    if value in (None, ""):
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InvalidError(field)
    return value
