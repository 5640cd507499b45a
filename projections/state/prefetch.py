"""Which rows an event names: what a batch reads at once before the rules ask for it.

A hint only: a row that is not named here is read when it is asked for, one by one. So rows that the rules look for in
vain are named as well (is there a booking of this payment yet?): on a server each such question is a round trip, and
every second event would ask one.

`rows_named` are those that the event itself names; `rows_behind` those that the rows read so far lead to, the mandate
of an invoice's contact, say. They are asked for in rounds, as long as a round finds more (`ROUNDS`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from domain import events
from domain.envelope import Event

Named = Iterator[tuple[str, str]]

#: What a row is, where it has been read; None where it has not, or is not there.
Peek = Callable[[str, str], Any]

#: Rounds of reading what was read leads to: invoice, contact, the list of its payer's mandates, the mandate and who
#: waits for it. Lower: the last of them are read one by one. Higher: nothing.
ROUNDS: Final = 3

_LINKS: Final = {
    "payment": "payments",
    "mandate": "mandates",
    "customer": "payers",
    "payout": "payouts",
    "billing_request": "billing_requests",
    "new_mandate": "mandates",
}


#: What confirms a payment, and so asks for its first booking; and what takes it back.
_BOOKED_BY: Final = {"confirmed", "paid_out"}
_UNBOOKED_BY: Final = {"failed", "charged_back"}


def _gc(data: events.GcEvent) -> Named:
    for name, key in data.links.items():
        if kind := _LINKS.get(name):
            yield kind, key
    payment, payout = data.links.get("payment", ""), data.links.get("payout", "")
    if payment and data.action in _BOOKED_BY:
        yield "bookings", f"{payment}:1"
        yield "purposes", f"post:{payment}:1"
    if payment and data.action in _UNBOOKED_BY:
        yield "bookings", f"{payment}:1"
        yield "purposes", f"unapply:{payment}:1"
    if payout and not payment:
        yield "purposes", f"read_payout:{payout}"


def _payment(data: events.PaymentRead) -> Named:
    yield "payments", data.id
    yield "mandates", data.mandate
    yield "open_items", f"{data.currency}:{data.id}"
    if invoice := data.metadata.get("zoho_invoice_id"):
        yield "debit_counts", invoice


def _mandate_payments(data: events.MandatePaymentsRead) -> Named:
    yield "mandates", data.mandate
    for payment in data.payments:
        yield "payments", payment.id


def _mandate(data: events.MandateRead) -> Named:
    yield "mandates", data.id
    yield "payers", data.customer
    yield "purposes", f"view_mandate:{data.id}"
    yield "lists", f"mandates:{data.customer}"
    yield "elements", f"mandates:{data.customer}|{data.id}"


def _payer(data: events.PayerRead) -> Named:
    yield "payers", data.id
    yield "lists", f"contacts:payer:{data.id}"
    if data.email:
        yield from _shares("payers", f"email:{data.email.strip().lower()}", data.id)


def _shared(handle: str) -> Named:
    yield "lists", f"contacts:{handle}"
    yield "lists", f"payers:{handle}"


def _shares(side: str, handle: str, key: str) -> Named:
    yield from _shared(handle)
    yield "elements", f"{side}:{handle}|{key}"


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
    yield "elements", f"unmatched|{data.id}"
    if data.email:
        yield from _shares("contacts", f"email:{data.email.strip().lower()}", data.id)
    if data.reference:
        yield from _shares("contacts", f"reference:{data.reference}", data.id)


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


def _behind_invoice(key: str, at: str, peek: Peek) -> Named:
    """What a look at an invoice leads to: its contact, the payer's newest mandate, and what the ceilings count."""
    invoice = peek("invoices", key)
    if invoice is None:
        return
    yield "contacts", invoice.contact
    yield "debit_counts", key
    yield "commands", invoice.command
    yield "payments", invoice.payment
    contact = peek("contacts", invoice.contact)
    if contact is None or not contact.payer:
        return
    payer = contact.payer
    yield "payers", payer
    yield "payer_months", f"{at[:7]}:{payer}:{invoice.currency}"
    if contact.match_by == "email":
        yield from _shares("payers", f"email:{contact.email}", payer)
    yield "lists", f"mandates:{payer}"
    mandates = peek("lists", f"mandates:{payer}")
    if mandates is not None:
        yield "mandates", mandates.last
        yield "elements", f"mandates:{payer}|{mandates.last}"
        yield "lists", f"viewing:{mandates.last}"
        yield "elements", f"viewing:{mandates.last}|{key}"


def _behind_due(event: Event, peek: Peek) -> Named:
    about, _, key = event.data.timer.partition(":")
    if about in {"debit", "view"}:
        yield from _behind_invoice(key, event.learned_at, peek)


def _behind_listed(event: Event, peek: Peek) -> Named:
    for key in event.data.ids:
        yield from _behind_invoice(key, event.learned_at, peek)


def _behind_view(event: Event, peek: Peek) -> Named:
    name = f"viewing:{event.data.mandate}"
    yield "lists", name
    waiting = peek("lists", name)
    if waiting is not None:
        yield "elements", f"{name}|{waiting.first}"
        yield "invoices", waiting.first
        yield from _behind_invoice(waiting.first, event.learned_at, peek)


def _behind_payer(event: Event, peek: Peek) -> Named:
    if event.data.email:
        sharing = peek("lists", f"contacts:email:{event.data.email.strip().lower()}")
        if sharing is not None:
            yield "contacts", sharing.first
            yield "elements", f"unmatched|{sharing.first}"


_BEHIND: Final[dict[type, Callable[[Event, Peek], Named]]] = {
    events.DueReached: _behind_due,
    events.InvoicesListed: _behind_listed,
    events.MandatePaymentsRead: _behind_view,
    events.PayerRead: _behind_payer,
}


def rows_behind(event: Event, peek: Peek) -> Named:
    """(kind, key) of each row that what `peek` shows leads to; keys may repeat."""
    name = _BEHIND.get(type(event.data))
    if name is not None:
        for kind, key in name(event, peek):
            if key:
                yield kind, key
