"""Amounts: integer minor units inside, JSON numbers outside; and the currencies an organisation can know.

Rounding is half up at the currency's precision (reference 3.12). Rates are base units per one foreign unit.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

from sandbox.zoho.errors import InvalidError

# Larger is no amount of a book but a mistake, and would make Decimal arithmetic inexact (28 digits).
MAX_MAJOR = Decimal(10) ** 15
ONE = Decimal(1)


class CurrencyFacts(NamedTuple):
    name: str
    symbol: str
    precision: int
    format: str


_PLAIN = "1,234,567.89"
KNOWN_CURRENCIES: dict[str, CurrencyFacts] = {
    "AED": CurrencyFacts("UAE Dirham", "AED", 2, _PLAIN),
    "AUD": CurrencyFacts("Australian Dollar", "$", 2, _PLAIN),
    "BND": CurrencyFacts("Brunei Dollar", "$", 2, _PLAIN),
    "CAD": CurrencyFacts("Canadian Dollar", "$", 2, _PLAIN),
    "CHF": CurrencyFacts("Swiss Franc", "CHF", 2, _PLAIN),
    "CNY": CurrencyFacts("Yuan Renminbi", "CNY", 2, _PLAIN),
    "DKK": CurrencyFacts("Danish Krone", "kr", 2, "1.234.567,89"),
    "EUR": CurrencyFacts("Euro", "€", 2, "1.234.567,89"),
    "GBP": CurrencyFacts("Pound Sterling", "£", 2, _PLAIN),
    "INR": CurrencyFacts("Indian Rupee", "₹", 2, "12,34,567.89"),
    "JPY": CurrencyFacts("Japanese Yen", "¥", 0, "1,234,567"),
    "KWD": CurrencyFacts("Kuwaiti Dinar", "KD", 3, "1,234,567.899"),
    "NOK": CurrencyFacts("Norwegian Krone", "kr", 2, "1.234.567,89"),
    "NZD": CurrencyFacts("New Zealand Dollar", "$", 2, _PLAIN),
    "SAR": CurrencyFacts("Saudi Riyal", "SAR", 2, _PLAIN),
    "SEK": CurrencyFacts("Swedish Krona", "kr", 2, "1.234.567,89"),
    "USD": CurrencyFacts("United States Dollar", "$", 2, _PLAIN),
    "ZAR": CurrencyFacts("South African Rand", "R", 2, _PLAIN),
}
# A new organisation knows these; NZD, SEK, DKK and others must be added (reference 3.8).
PRELOADED = ("AED", "AUD", "BND", "CAD", "CNY", "EUR", "GBP", "INR", "JPY", "SAR", "USD", "ZAR")


def precision_of(currency: str) -> int:
    return KNOWN_CURRENCIES[currency].precision


def number(value: Any, field: str) -> Decimal:
    """A JSON number, or a text that holds one, as an exact decimal. Raises InvalidError."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise InvalidError(field)
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise InvalidError(field) from None
    if not found.is_finite() or abs(found) > MAX_MAJOR:
        raise InvalidError(field)
    return found


def minor(value: Decimal, precision: int) -> int:
    """Major units, rounded half up to the currency's precision, as an integer of minor units."""
    return int(value.scaleb(precision).quantize(ONE, rounding=ROUND_HALF_UP))


@lru_cache(maxsize=65536)
def major(amount_minor: int, precision: int) -> Decimal:
    """Minor units as the decimal the wire shows: 59800 at 2 is 598.00."""
    return Decimal(amount_minor).scaleb(-precision)


def in_base(amount_minor: int, currency: str, rate: Decimal, base: str) -> int:
    """An amount of `currency` in minor units of the base currency at `rate` base units per one unit."""
    if rate == ONE and precision_of(currency) == precision_of(base):
        return amount_minor
    return minor(major(amount_minor, precision_of(currency)) * rate, precision_of(base))


def from_base(base_amount_minor: int, base: str, currency: str, rate: Decimal) -> int:
    """An amount of base currency as minor units of `currency`, at base units per one unit of it."""
    return minor(major(base_amount_minor, precision_of(base)) / rate, precision_of(currency))


def share(amount_minor: int, percentage: Decimal, *, inclusive: bool) -> int:
    """The tax on an amount: contained in it when inclusive, on top of it otherwise; half up."""
    whole = Decimal(amount_minor) * percentage / (percentage + 100 if inclusive else Decimal(100))
    return int(whole.quantize(ONE, rounding=ROUND_HALF_UP))


def shown(amount_minor: int, currency: str) -> str:
    """An amount with its symbol, as the `_formatted` fields show it."""
    facts = KNOWN_CURRENCIES[currency]
    return f"{facts.symbol}{major(amount_minor, facts.precision):,}"
