"""The rates at which one currency is exchanged for another, where a scenario names none.

GoCardless collects in a currency and pays it out in another when the creditor has no account of the first
(reference 5.4), and states the VAT of fees in the currency of the creditor's country (reference 5.3): so any two of its
currencies may meet in a payout.
"""

from fractions import Fraction
from typing import Final

# Pounds for one unit of each currency that has a payout account at GoCardless (reference 2.12). Invented, of the size
# of the real ones, and fixed: a seed gives one world. A creditor is not paid out in a currency that is missing here.
_POUNDS_FOR_ONE: Final = {
    "AUD": Fraction("0.5102"),
    "CAD": Fraction("0.5647"),
    "DKK": Fraction("0.1148"),
    "EUR": Fraction("0.8562"),
    "GBP": Fraction(1),
    "NZD": Fraction("0.4683"),
    "SEK": Fraction("0.0761"),
    "USD": Fraction("0.7813"),
}
CURRENCIES: Final = frozenset(_POUNDS_FOR_ONE)

# Decimal places of a rate. Lower: a rate of small and large units (a krona in pounds) is told with few digits. Higher
# than ten: the API does not show so many, and amounts would be computed with another rate than the one shown.
_PLACES: Final = 6


def default_rate(source: str, target: str) -> Fraction:
    """Give how many of `target` one `source` buys, to six decimal places. KeyError: GoCardless has no such currency."""
    exact = _POUNDS_FOR_ONE[source] / _POUNDS_FOR_ONE[target]
    return Fraction(round(exact * 10**_PLACES), 10**_PLACES)


def read_rates(document: dict[str, str]) -> dict[tuple[str, str], Fraction]:
    """Read `{"target/source": rate as text}` ("GBP/EUR": pounds for one euro) as (source, target) -> rate.

    ValueError: a currency that GoCardless does not have, or a rate that is not a number above zero.
    """
    rates = {}
    for pair, text in document.items():
        target, _, source = pair.partition("/")
        if not {source, target} <= CURRENCIES:
            raise ValueError(f"{pair} is not target/source of two of {', '.join(sorted(CURRENCIES))}")
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"the rate {text!r} of {pair} is not a number") from None
        if rate <= 0:
            raise ValueError(f"the rate of {pair} must be above zero")
        rates[source, target] = rate
    return rates
