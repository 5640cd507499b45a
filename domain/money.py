"""Exact money: integer minor units, and tenths of them where GoCardless gives tenths.

`Decimal` appears only at Zoho's JSON: `minor_from_decimal` on the way in, `decimal_from_minor` on the way out. An
amount that does not fit its currency's minor unit is refused, never rounded.
"""

import re
from decimal import Context, Decimal, Inexact
from typing import Final

from domain.currencies import exponent
from domain.errors import AmountError

#: Largest amount accepted from outside, in minor units. Higher: SQLite's and PostgreSQL's 64-bit integers would
#: overflow in sums of many rows. Lower than 10**13: a large IDR or VND invoice would be refused.
MAX_MINOR: Final = 10**15

#: Scaling never rounds: an amount with more digits than this is refused. Lower than 34: a whole amount with many zeros
#: after it would be.
_EXACT: Final = Context(prec=50, traps=[Inexact])

_TENTHS: Final = re.compile(r"(-?)(\d{1,16})(?:\.(\d)0*)?\Z")
_CARRIED_SIGN: Final = {"": 1, "-": -1}


def minor_from_decimal(amount: Decimal, currency: str) -> int:
    """`Decimal("19.99")`, "GBP" → 1999. Raises `AmountError` when it does not fit exactly, or exceeds `MAX_MINOR`."""
    if not amount.is_finite():
        raise AmountError(f"{currency} amount is not a finite number")
    if amount.adjusted() > 18:  # before scaling, so that 1E+999999 costs nothing
        raise AmountError(f"{currency} amount exceeds the largest amount accepted")
    try:
        scaled = amount.scaleb(exponent(currency), _EXACT)
    except Inexact:
        raise AmountError(
            f"an amount of more than {_EXACT.prec} digits does not fit {currency}; nothing is rounded"
        ) from None
    minor = int(scaled)
    if minor != scaled:
        raise AmountError(
            f"{amount} does not fit {currency}, which has {exponent(currency)} minor digits; nothing is rounded"
        )
    if abs(minor) > MAX_MINOR:
        raise AmountError(f"{currency} amount exceeds the largest amount accepted")
    return minor


def decimal_from_minor(amount_minor: int, currency: str) -> Decimal:
    """1999, "GBP" → `Decimal("19.99")`."""
    return Decimal(amount_minor).scaleb(-exponent(currency))


def format_minor(amount_minor: int, currency: str) -> str:
    """1999, "GBP" → "19.99": plain, for descriptions and for people."""
    return f"{decimal_from_minor(amount_minor, currency):f}"


def tenths_from_text(text: str) -> int:
    """A payout item's amount, minor units with one decimal ("-45.5") → tenths (-455).

    Source: GoCardless API reference, payout items: `amount` is a string, signed, "in the lowest denomination, with one
    decimal". Raises `AmountError` on anything finer or that is not a number.
    """
    match = _TENTHS.match(text)
    if match is None:
        raise AmountError("payout item amount is not a decimal of minor units with at most one digit")
    sign, whole, tenth = match.groups()
    tenths = _CARRIED_SIGN[sign] * (int(whole) * 10 + int(tenth or 0))
    if abs(tenths) > MAX_MINOR * 10:
        raise AmountError("payout item amount exceeds the largest amount accepted")
    return tenths


def minor_from_tenths(tenths: int) -> int:
    """Tenths → minor units, half away from zero: -455 → -46, 454 → 45."""
    whole, rest = divmod(abs(tenths), 10)
    rounded = whole + (1 if rest >= 5 else 0)
    return rounded if tenths >= 0 else -rounded


def require_positive(amount_minor: int, what: str) -> int:
    """The amount, when it is a possible debit; `AmountError` otherwise."""
    if not 0 < amount_minor <= MAX_MINOR:
        raise AmountError(f"{what} must be above zero and at most {MAX_MINOR} minor units")
    return amount_minor
