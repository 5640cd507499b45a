"""Readers: each takes one field out of a request's body, checks it, and refuses it in the API's words."""

from datetime import date
from typing import Any

from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import invalid

_METADATA_KEYS_MAX = 3
_METADATA_KEY_MAX = 50
_METADATA_VALUE_MAX = 500


def read_metadata(envelope: str, body: Doc) -> dict[str, str]:
    """Read and check `metadata`: at most 3 keys of 50 letters, values texts of at most 500. Refusal 422."""
    given = body.get("metadata")
    if given is None:
        return {}
    problem = _metadata_problem(given)
    if problem is not None:
        raise invalid(envelope, ("metadata", problem))
    return dict(given)


def _metadata_problem(given: object) -> str | None:
    if not isinstance(given, dict):
        return "must be an object"
    if len(given) > _METADATA_KEYS_MAX:
        return f"must have at most {_METADATA_KEYS_MAX} keys"
    if any(len(key) > _METADATA_KEY_MAX for key in given):
        return f"keys must be at most {_METADATA_KEY_MAX} characters long"
    if any(not isinstance(value, str) or len(value) > _METADATA_VALUE_MAX for value in given.values()):
        return f"values must be strings of at most {_METADATA_VALUE_MAX} characters"
    return None


def read_amount(envelope: str, body: Doc, field: str = "amount") -> int:
    """Read a positive integer of minor units. Refusal 422."""
    value = body.get(field)
    if value is None:
        raise invalid(envelope, (field, "is required"))
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(envelope, (field, "must be a number"))
    if value <= 0:
        raise invalid(envelope, (field, "must be greater than 0"))
    return value


def read_date(envelope: str, body: Doc, field: str) -> date | None:
    """Read a date, None when not given. Refusal 422."""
    value = body.get(field)
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise invalid(envelope, (field, "is not a valid date")) from None


def read_text(envelope: str, body: Doc, field: str, *, longest: int = 255) -> str | None:
    """Read a text, None when not given. Refusal 422."""
    value: Any = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(envelope, (field, "must be a string"))
    if len(value) > longest:
        raise invalid(envelope, (field, f"is too long (maximum is {longest} characters)"))
    return value
