"""Which rows an event names: what a batch reads at once before the rules ask for it.

A hint only: a row that is not named here is read when it is asked for, one by one. So rows that the rules look for in vain are named as
well (is there a booking of this payment yet?): on a server each such question is a round trip, and every second event would ask one.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from domain import events
from domain.envelope import Event

Named = Iterator[tuple[str, str]]

_LINKS: Final = {
    "payment": "payments",
    "mandate": "mandates",
    "customer": "payers",
    "payout": "payouts",
    "billing_request": "billing_requests",
    "new_mandate": "mandates",
}


#: What confirms a payment, and so asks for its first booking.
_BOOKED_BY: Final = {"confirmed", "paid_out"}


def _gc(data: events.GcEvent) -> Named:
    for name, key in data.links.items():
        if kind := _LINKS.get(name):
            yield kind, key
    payment, payout = data.links.get("payment", ""), data.links.get("payout", "")
    if payment and data.action in _BOOKED_BY:
        yield "bookings", f"{payment}:1"
        yield "purposes", f"post:{payment}:1"
    if payout and not payment:
        yield "purposes", f"read_payout:{payout}"


def _payment(data: events.PaymentRead) -> Named:
    yield "payments", data.id
    yield "mandates", data.mandate
    yield "open_items", f"{data.currency}:{data.id}"


def _mandate_payments(data: events.MandatePaymentsRead) -> Named:
    yield "mandates", data.mandate
    for payment in data.payments:
        yield "payments", payment.id


def _mandate(data: events.MandateRead) -> Named:
    yield "mandates", data.id
    yield "payers", data.customer
    yield "purposes", f"view_mandate:{data.id}"


def _payer(data: events.PayerRead) -> Named:
    yield "payers", data.id
    yield "handles", f"payer:{data.id}"
    if data.email:
        yield "handles", f"email:{data.email.lower()}"


def _payout(data: events.PayoutRead) -> Named:
    yield "payouts", data.id
    for purpose in ("read_payout_items", "transfer", "expense"):
        yield "purposes", f"{purpose}:{data.id}"


def _payout_items(data: events.PayoutItemsRead) -> Named:
    yield "payouts", data.payout
    for number, item in enumerate(data.items):
        yield "payout_items", f"{data.payout}:{data.first + number:06d}"
        yield "payments", item.payment


def _invoice(data: events.InvoiceFacts) -> Named:
    yield "invoices", data.id
    yield "contacts", data.customer_id
    yield "timers", f"debit:{data.id}"


def _listed(data: events.InvoicesListed) -> Named:
    for key in data.ids:
        yield "invoices", key


def _contact(data: events.ContactFacts) -> Named:
    yield "contacts", data.id
    yield "payers", data.payer_link
    if data.email:
        yield "handles", f"email:{data.email.lower()}"


def _outcome(data: events.Outcome) -> Named:
    yield "commands", data.command


def _due(data: events.DueReached) -> Named:
    yield "timers", data.timer
    about, _, key = data.timer.partition(":")
    if about in {"debit", "view"}:
        yield "invoices", key
        yield "timers", f"view:{key}"
        yield "purposes", f"debit:{key}"
    elif about == "payout":
        yield "payouts", key


_NAMED: Final[dict[type, Callable[[Any], Named]]] = {
    events.GcEvent: _gc,
    events.PaymentRead: _payment,
    events.MandatePaymentsRead: _mandate_payments,
    events.MandateRead: _mandate,
    events.PayerRead: _payer,
    events.PayoutRead: _payout,
    events.PayoutItemsRead: _payout_items,
    events.InvoiceFacts: _invoice,
    events.InvoicesListed: _listed,
    events.ContactFacts: _contact,
    events.Outcome: _outcome,
    events.DueReached: _due,
}


def rows_named(event: Event) -> Named:
    """(kind, key) of each row the event names; keys may repeat."""
    yield "connections", event.connection
    name = _NAMED.get(type(event.data))
    if name is not None:
        for kind, key in name(event.data):
            if key:
                yield kind, key
