import zoneinfo
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import times
from domain.errors import DomainError


def test_an_instant_has_one_text_form():
    moment = datetime(2026, 3, 2, 9, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=-4)))
    assert times.instant(moment) == "2026-03-02T13:00:00.123Z"


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:00:00.000Z",
        "2026-03-02T10:00:00+01:00",
        "2026-03-02T05:00:00-0400",
        "2026-03-02T09:00:00.0009Z",
    ],
)
def test_every_way_to_write_an_instant_is_brought_to_it(text):
    assert times.normalise(text) == "2026-03-02T09:00:00.000Z"


@pytest.mark.parametrize(
    "text", ["", "now", "2026-03-02", "2026-03-02T09:00:00", "2026-13-02T09:00:00Z", "2026-02-29T09:00:00Z"]
)
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(times.TimeError):
        times.parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:30:00-01:00"])
def test_an_offset_that_leads_out_of_the_years_is_refused(text):
    with pytest.raises(times.TimeError, match="beyond"):
        times.normalise(text)


def test_what_would_lie_beyond_the_years_is_refused():
    for compute in (
        lambda: times.add_days("9999-12-31", 1),
        lambda: times.add_days("2026-01-01", 10**12),
        lambda: times.add_seconds("9999-12-31T23:59:59.000Z", 1),
        lambda: times.add_seconds("2026-01-01T00:00:00.000Z", -(10**15)),
        lambda: times.local_day("9999-12-31T23:30:00.000Z", "Asia/Kolkata"),
        lambda: times.local_day("0001-01-01T00:30:00.000Z", "America/New_York"),
        lambda: times.local_instant("0001-01-01", 0, "Asia/Kolkata"),
    ):
        with pytest.raises(times.TimeError, match="beyond"):
            compute()


@pytest.mark.parametrize("text", ["1969-12-31", "9998-12-31", "0001-01-01", "9999-12-31", "yesterday", ""])
def test_a_day_from_outside_that_cannot_be_is_refused(text):
    with pytest.raises(times.TimeError):
        times.believable_day(text)


@pytest.mark.parametrize(
    "text", ["1969-12-31T23:59:59.999Z", "9998-12-30T00:00:00.001Z", "0001-01-01T00:00:00+23:59", "now"]
)
def test_an_instant_from_outside_that_cannot_be_is_refused(text):
    with pytest.raises(times.TimeError):
        times.believable_instant(text)


@pytest.mark.parametrize("text", ["1970-01-01", "2026-03-02", "9998-12-30"])
def test_what_is_believable_can_be_computed_with_in_every_zone(text):
    assert times.believable_day(text) == text
    at = times.believable_instant(f"{text}T00:00:00Z")
    for zone in sorted(zoneinfo.available_timezones()):
        times.local_instant(times.add_days(times.local_day(at, zone), 90), 23, zone)
        times.local_instant(times.add_days(text, -90), 0, zone)


def test_the_first_years_sort_as_text_too():
    assert times.normalise("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00.000Z"
    assert times.normalise("9999-12-31T23:59:59Z") == "9999-12-31T23:59:59.000Z"


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(times.TimeError):
        times.instant(datetime(2026, 3, 2))  # noqa: DTZ001 - the missing zone is what is refused


@pytest.mark.parametrize("text", ["", "2026-2-1", "2026-02-30", "02/03/2026"])
def test_what_is_no_day_is_refused(text):
    with pytest.raises(times.TimeError):
        times.day(text)


def test_an_unknown_zone_is_refused_and_named():
    with pytest.raises(times.TimeError, match="Europe/Nowhere"):
        times.local_day("2026-03-02T09:00:00.000Z", "Europe/Nowhere")
    with pytest.raises(DomainError):
        times.local_instant("2026-03-02", 6, "../etc/passwd")


@pytest.mark.parametrize(
    ("at", "zone", "day"),
    [
        ("2026-03-30T23:30:00.000Z", "Europe/London", "2026-03-31"),
        ("2026-03-28T23:30:00.000Z", "Europe/London", "2026-03-28"),
        ("2026-03-02T03:00:00.000Z", "America/New_York", "2026-03-01"),
        ("2026-03-02T12:30:00.000Z", "Pacific/Auckland", "2026-03-03"),
        ("2026-03-02T18:30:00.000Z", "Asia/Kolkata", "2026-03-03"),
    ],
)
def test_a_day_is_the_organisations(at, zone, day):
    assert times.local_day(at, zone) == day


@pytest.mark.parametrize(
    ("day", "hour", "zone", "at"),
    [
        ("2026-03-28", 6, "Europe/London", "2026-03-28T06:00:00.000Z"),
        ("2026-03-29", 6, "Europe/London", "2026-03-29T05:00:00.000Z"),  # the clocks went forward that night
        ("2026-10-25", 6, "Europe/London", "2026-10-25T06:00:00.000Z"),  # and back
        ("2026-03-08", 2, "America/New_York", "2026-03-08T07:00:00.000Z"),  # an hour that does not exist
        ("2026-03-02", 0, "Pacific/Auckland", "2026-03-01T11:00:00.000Z"),
    ],
)
def test_an_hour_of_a_day_follows_the_zone(day, hour, zone, at):
    assert times.local_instant(day, hour, zone) == at


def test_days_and_seconds_are_added_over_the_ends_of_months():
    assert times.add_days("2024-02-28", 1) == "2024-02-29"
    assert times.add_days("2026-01-01", -1) == "2025-12-31"
    assert times.add_seconds("2026-12-31T23:59:59.500Z", 1) == "2027-01-01T00:00:00.500Z"


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds are naive by the strategy's contract


@given(moments, moments)
def test_instants_sort_as_text_as_they_do_in_time(one, other):
    left, right = times.instant(one), times.instant(other)
    assert (left < right) == (times.parse(left) < times.parse(right))
    assert times.normalise(left) == left
