import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.zoho import amounts, wire
from domain.currencies import EXPONENTS
from domain.errors import AmountError, UnknownCurrencyError
from domain.money import MAX_MINOR


@given(st.integers(-MAX_MINOR, MAX_MINOR), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_out_and_in_again_is_exact(minor, currency):
    number = bytes(amounts.amount_number(minor, currency)).decode()
    assert "e" not in number.lower()
    assert json.loads(number, parse_float=Decimal, parse_int=Decimal).scaleb(EXPONENTS[currency]) == minor
    assert amounts.minor(number, currency, "total") == minor


@pytest.mark.parametrize(
    ("minor", "currency", "number"),
    [(1999, "GBP", b"19.99"), (5, "GBP", b"0.05"), (100, "JPY", b"100"), (0, "EUR", b"0.00"), (1, "KWD", b"0.001")],
)
def test_written_as_a_number_of_the_same_digits(minor, currency, number):
    assert bytes(amounts.amount_number(minor, currency)) == number


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.99", "GBP", 1999),
        ("100", "GBP", 10000),
        ("598.000000", "GBP", 59800),
        ("1e3", "GBP", 100000),
        ("-0.0", "GBP", 0),
        ("5.0", "JPY", 5),
    ],
)
def test_read_exactly(text, currency, minor):
    assert amounts.minor(text, currency, "total") == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "19,99",
        "£1",
        "NaN",
        "Infinity",
        "1_000",
        "19.990000000000002",
        "0.001",
        "1e99",
        "9" * 24,
        " 1",
        "1.",
        ".5",
        "0x1",
        "\u0661",
    ],
)
def test_nothing_is_rounded_or_guessed(text):
    with pytest.raises(AmountError) as caught:
        amounts.minor(text, "GBP", "total")
    assert "total" in str(caught.value)


def test_more_digits_than_decimal_computes_with_are_refused_not_rounded():
    with pytest.raises(AmountError):
        amounts.minor("100.000000000000000000000001", "GBP", "total") or amounts.minor(
            "100000000.000000000000000000000001", "GBP", "total"
        )


def test_an_unknown_currency_is_refused():
    with pytest.raises(UnknownCurrencyError):
        amounts.minor("1", "XXQ", "total")


@pytest.mark.parametrize(
    ("text", "shown"), [("1.0", "1"), ("8E-1", "0.8"), ("100", "100"), ("0.00", "0"), ("-0", "0"), ("1.10", "1.1")]
)
def test_equal_decimals_are_equal_texts(text, shown):
    assert amounts.plain(text, "quantity") == shown


@pytest.mark.parametrize("text", ["0", "-1", "", "0.000"])
def test_a_rate_is_above_zero(text):
    with pytest.raises(AmountError):
        amounts.rate(text)


def test_a_rate_leaves_as_a_plain_number():
    assert bytes(amounts.rate_number("0.0000001")) == b"0.0000001"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"19.990000000000000001", "19.990000000000000001"),
        (b"1.10", "1.10"),
        (b"260815000000097001123456789", "260815000000097001123456789"),
        (b'"x"', "x"),
    ],
)
def test_a_scalar_keeps_its_digits(raw, text):
    assert wire.scalar(raw) == text


@pytest.mark.parametrize(("raw", "text"), [(b"null", ""), (b'""', ""), (b"true", "true"), (b"false", "false")])
def test_a_scalar_of_any_kind_is_text(raw, text):
    assert wire.scalar(raw) == text


@pytest.mark.parametrize("raw", [b"{}", b"[1]", b"nonsense", b"\xff", b'"\xff"', b"[" * 100_000])
def test_what_is_no_scalar_is_refused(raw):
    with pytest.raises(wire.WireError):
        wire.scalar(raw)


def test_empty_lists_come_in_three_forms():
    assert wire.elements(b'""') == wire.elements(b"") == wire.elements(b"null") == []
    with pytest.raises(wire.WireError):
        wire.elements(b"{}")


def test_a_key_is_found_as_a_whole_only():
    assert wire.shows_key(["fees [live:PO1:1]"], "live:PO1:1")
    assert not wire.shows_key(["fees [live:PO1:12]"], "live:PO1:1")
    assert not wire.shows_key(["fees xlive:PO1:1"], "live:PO1:1")
