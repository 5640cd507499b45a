"""Decimals at the edge of Zoho's JSON: exact text in, exact numbers out, integer minor units everywhere else.

Zoho writes amounts as JSON numbers (`149.97`, `100`), sometimes as strings. They are read from the text of the number,
never through a binary float, and written as the same digits (`19.99`, not `19.990000000000002` and not `"19.99"`).
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from domain.errors import AmountError
from domain.money import decimal_from_minor, minor_from_decimal

#: Digits kept in all. `Decimal` computes with 28; more would be rounded silently.
_MAX_DIGITS: Final = 28

_NUMBER: Final = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,24})?(?:[eE][+-]?[0-9]{1,2})?\Z")


def decimal_of(text: str, what: str) -> Decimal:
    """The exact value of a number's text. Raises `AmountError` naming `what` when it is no number, or longer than can
    be exact.
    """
    if _NUMBER.match(text) is None:
        raise AmountError(f"{what} is not a decimal number" if text else f"{what} is missing")
    value = Decimal(text)
    if len(value.as_tuple().digits) > _MAX_DIGITS:
        raise AmountError(f"{what} has more digits than can be kept exactly")
    return value


def minor(text: str, currency: str, what: str) -> int:
    """An amount's text ("19.99", "GBP") → minor units (1999). Raises `AmountError` or `UnknownCurrencyError`; nothing
    is rounded.
    """
    value = decimal_of(text, what)
    try:
        return minor_from_decimal(value, currency)
    except AmountError:
        raise AmountError(f"{what} does not fit {currency} exactly, or is larger than is accepted") from None


def plain(text: str, what: str) -> str:
    """A decimal in its shortest plain form, so that equal values are equal texts: "1.0" and "1" → "1"; "8E-1" →
    "0.8".
    """
    value = decimal_of(text, what)
    return f"{value.normalize():f}" if value else "0"


def rate(text: str) -> str:
    """An exchange rate (base units per one foreign unit), plain. Raises `AmountError` unless it is above zero."""
    shown = plain(text, "exchange_rate")
    if shown == "0" or shown.startswith("-"):
        raise AmountError("exchange_rate is not above zero")
    return shown


def amount_number(amount_minor: int, currency: str) -> msgspec.Raw:
    """1999, "GBP" → the JSON number `19.99`."""
    return msgspec.Raw(f"{decimal_from_minor(amount_minor, currency):f}".encode())


def rate_number(text: str) -> msgspec.Raw:
    """A rate held as text → the JSON number of the same value."""
    return msgspec.Raw(rate(text).encode())
