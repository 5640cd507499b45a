"""A due date that came in can always be computed with: in every zone, under every policy that the settings accept."""

import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.deliveries import DeliveryMeta
from adapters.zoho.translate import translate
from domain import events, invoices, times
from domain.policy import Policy

ZONES = sorted(zoneinfo.available_timezones())
ROW = b"""{"invoice":{"invoice_id":"1","invoice_number":"INV-1","customer_id":"2","status":"sent","currency_code":"GBP","total":1,"balance":1,
"date":"%s","due_date":"%s","exchange_rate":1,"last_modified_time":"2026-03-01T09:00:00+0000"}}"""

#: Every year that can be written, with most at the ends of what is believed, and beyond them.
EDGES = st.sampled_from(
    ["0001-01-01", "1969-12-31", "1970-01-01", "9998-12-30", "9998-12-31", "9999-12-31", "0000-00-00", "9999-99-99"]
)
DAYS = EDGES | st.dates().map(lambda day: day.isoformat())
POLICIES = st.builds(Policy, version=st.just(1), send_days_before_due=st.integers(0, 90), send_hour=st.integers(0, 23))
NOW = "2026-03-02T09:00:00.000Z"


def shown(day):
    """The invoice of a webhook with this due date, None when it is parked."""
    found = translate(DeliveryMeta("wh-1", "acme", "zoho", "webhook", NOW), ROW % (b"2026-03-01", day.encode()))
    assert len(found.events) + len(found.parked) == 1
    return found.events[0].data if found.events else None


@given(
    DAYS,
    st.sampled_from(ZONES),
    POLICIES,
    st.datetimes(min_value=times.EARLIEST.replace(tzinfo=None), timezones=st.just(times.UTC)),
)
def test_no_due_date_that_the_translator_lets_through_makes_the_slot_raise(day, zone, policy, at):
    invoice = shown(day)
    if invoice is not None and times.is_believable(at):
        assert isinstance(invoice, events.InvoiceFacts)
        now = times.instant(at)
        assert invoices.send_time(policy, zone, invoice.due_date, now) > now


@pytest.mark.parametrize(
    ("day", "read"), [("1970-01-01", True), ("9998-12-30", True), ("1969-12-31", False), ("9998-12-31", False)]
)
def test_the_bounds_of_a_due_date_are_the_ones_stated(day, read):
    assert (shown(day) is not None) == read
