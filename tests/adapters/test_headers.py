"""What stands in a header is a value within its bounds, or nothing: never an error, whatever the text is."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import headers
from adapters.budgets import MAX_AHEAD_S
from domain import times

NEARLY = st.text(alphabet=st.sampled_from("0123456789²٣ :,.+-eEGMTSunNovFri\x00\udcff"), max_size=80)
TEXTS = st.text() | NEARLY | st.text(alphabet="0123456789", max_size=6_000)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - naive by the strategy's contract


@given(TEXTS)
def test_any_text_at_all_gives_a_value_within_its_bounds_or_none(text):
    number, seconds, moment = headers.whole(text, 1_000), headers.seconds(text), headers.moment(text)
    assert number is None or 0 <= number <= 1_000
    assert seconds is None or 0 <= seconds < 10**9
    assert moment is None or times.EARLIEST <= moment <= times.LATEST


@given(TEXTS, TEXTS, TEXTS)
def test_a_days_limit_is_whole_and_within_bounds_or_not_there(limit, left, reset):
    said = headers.day_limit({"x-rate-limit-limit": limit, "x-rate-limit-remaining": left, "x-rate-limit-reset": reset})
    assert said is None or (max(said[:2]) <= headers.MAX_CALLS and said[2] <= MAX_AHEAD_S)


@given(st.dictionaries(st.sampled_from([*headers.READERS, "server"]), TEXTS))
def test_what_is_ignored_is_named_and_nothing_else_is(found):
    named = headers.unreadable(found)
    assert set(named) <= found.keys() & headers.READERS.keys()
    assert all(headers.READERS[name](found[name]) is None for name in named)


@given(st.integers(0, 10**9))
def test_a_number_is_read_as_it_stands(number):
    assert headers.whole(f" {number} ", 10**9) == number
    assert headers.whole(str(number).encode(), 10**9) == number
    assert headers.whole(str(number), number - 1) is None


@given(MOMENTS)
def test_every_date_that_http_can_write_is_read(moment):
    second = moment.replace(microsecond=0)
    assert headers.moment(format_datetime(second, usegmt=True)) == second
    assert headers.moment(format_datetime(second.astimezone(timezone(timedelta(hours=-4))))) in (second, None)


@pytest.mark.parametrize("text", ["²", "٣", "1_000", "+1", "-1", "1.0", "0x1", "", "1" * 5_000, "1001", b"\xb2"])
def test_what_is_not_a_plain_number_within_bounds_is_none(text):
    assert headers.whole(text, 1_000) is None


def test_a_leap_second_is_read_as_the_second_before_it():
    assert headers.moment("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 31 Nov 2026 09:00:00 GMT",
        "Mon, 02 Mar 99999 09:00:00 GMT",
        "Mon, 02 Mar 9999 09:00:00 GMT",
        "Mon, 02 Mar 1969 09:00:00 GMT",
        "Mon, 02 Mar 2026 25:00:00 GMT",
        "Mon, 02 Mar 2026 09:00:61 GMT",
        "Mon, 02 Mar 2026 09:00:00 +999999999",
        "soon",
        "",
        "Mon, 02 Mar 2026 09:00:00 GMT" + " " * 100,
    ],
)
def test_a_date_that_cannot_be_is_none(text):
    assert headers.moment(text) is None
