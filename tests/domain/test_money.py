from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import currencies, money
from domain.errors import AmountError, UnknownCurrencyError


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.99", "GBP", 1999),
        ("19.990000", "GBP", 1999),
        ("-0.01", "EUR", -1),
        ("-0", "GBP", 0),
        ("500", "JPY", 500),
        ("5E2", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("10000000000000", "GBP", 10**15),
    ],
)
def test_a_decimal_becomes_minor_units_of_its_currency(text, currency, minor):
    assert money.minor_from_decimal(Decimal(text), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("19.999", "GBP"),
        ("0.5", "JPY"),
        ("1.2345", "KWD"),
        ("1E-999999", "GBP"),
        ("1." + "0" * 35 + "1", "GBP"),
        ("1." + "0" * 60 + "1", "GBP"),
        ("NaN", "GBP"),
        ("sNaN", "GBP"),
        ("Infinity", "GBP"),
        ("-Infinity", "GBP"),
        ("1E+999999", "GBP"),
        ("10000000000000.01", "GBP"),
        ("-10000000000000.01", "GBP"),
        ("1" * 200, "JPY"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_rounded(text, currency):
    with pytest.raises(AmountError) as refused:
        money.minor_from_decimal(Decimal(text), currency)
    assert not refused.value.retriable


@pytest.mark.parametrize("currency", ["", "gbp", "XXX", "GBPX"])
def test_a_currency_without_a_minor_unit_is_refused(currency):
    with pytest.raises(UnknownCurrencyError):
        money.minor_from_decimal(Decimal(1), currency)


def test_an_unknown_currency_is_cut_in_the_message():
    assert len(str(UnknownCurrencyError("x" * 10_000))) < 120


@pytest.mark.parametrize(("currency", "text"), [("JPY", "1999"), ("GBP", "19.99"), ("KWD", "1.999")])
def test_minor_units_are_shown_plain(currency, text):
    assert money.format_minor(1999, currency) == text
    assert money.format_minor(-1999, currency) == f"-{text}"


@given(st.integers(-money.MAX_MINOR, money.MAX_MINOR), st.sampled_from(sorted(currencies.EXPONENTS)))
def test_there_and_back_is_exact(minor, currency):
    assert money.minor_from_decimal(money.decimal_from_minor(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("text", "tenths"),
    [("10000.0", 100_000), ("-45.5", -455), ("-144", -1440), ("0.0", 0), ("-0.0", 0), ("45.50", 455), ("0.1", 1)],
)
def test_a_payout_items_amount_is_tenths(text, tenths):
    assert money.tenths_from_text(text) == tenths


@pytest.mark.parametrize(
    "text",
    ["", "-", "1.25", "1.", ".5", "+1.0", "1e3", "NaN", " 1.0", "1.0\n", "1,0", "--1", "9" * 17, "1" + "0" * 15 + ".1"],
)
def test_a_payout_items_amount_finer_than_tenths_or_no_number_is_refused(text):
    with pytest.raises(AmountError):
        money.tenths_from_text(text)


@pytest.mark.parametrize(
    ("tenths", "minor"), [(455, 46), (-455, -46), (454, 45), (-454, -45), (0, 0), (-5, -1), (4, 0)]
)
def test_tenths_round_half_away_from_zero(tenths, minor):
    assert money.minor_from_tenths(tenths) == minor


@given(st.integers(-(10**9), 10**9))
def test_rounding_is_symmetric_and_within_half_a_unit(tenths):
    minor = money.minor_from_tenths(tenths)
    assert minor == -money.minor_from_tenths(-tenths)
    assert abs(minor * 10 - tenths) <= 5


def test_a_debit_must_be_above_zero_and_bounded():
    assert money.require_positive(1, "a debit") == 1
    assert money.require_positive(money.MAX_MINOR, "a debit") == money.MAX_MINOR
    for amount in (0, -1, money.MAX_MINOR + 1):
        with pytest.raises(AmountError, match="a debit"):
            money.require_positive(amount, "a debit")


def test_every_currency_that_a_scheme_collects_has_two_digits_and_an_invitation_scheme():
    for currency in set(currencies.SCHEME_CURRENCY.values()):
        assert currencies.exponent(currency) == 2
        assert currencies.SCHEME_CURRENCY[currencies.CURRENCY_SCHEME[currency]] == currency
