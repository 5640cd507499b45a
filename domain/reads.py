"""Which rows the rules will read for an event, so that whoever keeps the rows can read those of many events at once.

A hint only: a row that is not named here is read when a rule asks for it, one by one. So rows that the rules look for
in vain are named as well (is there a booking of this payment yet?): on a server each such question is a round trip, and
every second event would ask one.

`rows_named` are those that the event itself names; `rows_behind` those that the rows read so far lead to, the mandate
of an invoice's contact, say. They are asked for in rounds, as long as a round finds more (`ROUNDS`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from domain import ceilings, customers, events, lists, refs
from domain.envelope import Event
from domain.refs import Handle, ListName
from domain.vocabulary import RowKind

Named = Iterator[tuple[RowKind, str]]

#: What a row is, where it has been read; None where it has not, or is not there.
Peek = Callable[[RowKind, str], Any]

#: Rounds of reading what was read leads to: invoice, contact, the list of its payer's mandates, the mandate and who
#: waits for it. Lower: the last of them are read one by one. Higher: nothing.
ROUNDS: Final = 3

_LINKS: Final[dict[str, RowKind]] = {
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
        yield "bookings", refs.booking(payment, 1)
        yield "purposes", refs.purpose("post", refs.booking(payment, 1))
    if payment and data.action in _UNBOOKED_BY:
        yield "bookings", refs.booking(payment, 1)
        yield "purposes", refs.purpose("unapply", refs.booking(payment, 1))
    if payout and not payment:
        yield "purposes", refs.purpose("read_payout", payout)


def _payment(data: events.PaymentRead) -> Named:
    yield "payments", data.id
    yield "mandates", data.mandate
    yield "open_items", refs.open_item(data.currency, data.id)
    if invoice := data.metadata.get("zoho_invoice_id"):
        yield "debit_counts", invoice


def _mandate_payments(data: events.MandatePaymentsRead) -> Named:
    yield "mandates", data.mandate
    for payment in data.payments:
        yield "payments", payment.id


def _mandate(data: events.MandateRead) -> Named:
    yield "mandates", data.id
    yield "payers", data.customer
    yield "purposes", refs.purpose("view_mandate", data.id)
    yield from _in_list(refs.list_of("mandates", data.customer), data.id)


def _payer(data: events.PayerRead) -> Named:
    yield "payers", data.id
    yield "lists", refs.list_of("contacts", refs.handle("payer", data.id))
    if data.email:
        yield from _shares("payers", refs.handle("email", customers.comparable(data.email)), data.id)


def _in_list(name: ListName, key: str) -> Named:
    yield "lists", name
    yield "elements", lists.element(name, key)


def _shares(side: Literal["contacts", "payers"], handle: Handle, key: str) -> Named:
    yield "lists", refs.list_of("contacts", handle)
    yield "lists", refs.list_of("payers", handle)
    yield "elements", lists.element(refs.list_of(side, handle), key)


def _payout(data: events.PayoutRead) -> Named:
    yield "payouts", data.id
    yield "purposes", refs.purpose("read_payout_items", data.id)
    yield "purposes", refs.purpose("transfer", data.id)
    yield "purposes", refs.purpose("expense", data.id)


def _payout_items(data: events.PayoutItemsRead) -> Named:
    yield "payouts", data.payout
    for number, item in enumerate(data.items):
        yield "payout_items", refs.payout_item(data.payout, data.first + number)
        yield "payments", item.payment


def _invoice(data: events.InvoiceFacts) -> Named:
    yield "invoices", data.id
    yield "contacts", data.customer_id
    yield "timers", refs.timer("debit", data.id)


def _listed(data: events.InvoicesListed) -> Named:
    for key in data.ids:
        yield "invoices", key


def _contact(data: events.ContactFacts) -> Named:
    yield "contacts", data.id
    yield "payers", data.payer_link
    yield "elements", lists.element(customers.UNMATCHED, data.id)
    if data.email:
        yield from _shares("contacts", refs.handle("email", customers.comparable(data.email)), data.id)
    if data.reference:
        yield from _shares("contacts", refs.handle("reference", data.reference), data.id)


def _outcome(data: events.Outcome) -> Named:
    yield "commands", data.command


def _due(data: events.DueReached) -> Named:
    yield "timers", data.timer
    about, key = refs.split(data.timer)
    if about in {"debit", "view"}:
        yield "invoices", key
        yield "timers", refs.timer("view", key)
        yield "purposes", refs.purpose("debit", key)
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
    yield "payer_months", ceilings.month_key(at[:10], payer, invoice.currency)
    if contact.match_by == "email":
        yield from _shares("payers", refs.handle("email", contact.email), payer)
    name = refs.list_of("mandates", payer)
    yield "lists", name
    mandates = peek("lists", name)
    if mandates is not None:
        yield "mandates", mandates.last
        yield "elements", lists.element(name, mandates.last)
        yield from _in_list(refs.list_of("viewing", mandates.last), key)


def _behind_due(event: Event, peek: Peek) -> Named:
    about, key = refs.split(event.data.timer)
    if about in {"debit", "view"}:
        yield from _behind_invoice(key, event.learned_at, peek)


def _behind_listed(event: Event, peek: Peek) -> Named:
    for key in event.data.ids:
        yield from _behind_invoice(key, event.learned_at, peek)


def _behind_view(event: Event, peek: Peek) -> Named:
    name = refs.list_of("viewing", event.data.mandate)
    yield "lists", name
    waiting = peek("lists", name)
    if waiting is not None:
        yield "elements", lists.element(name, waiting.first)
        yield "invoices", waiting.first
        yield from _behind_invoice(waiting.first, event.learned_at, peek)


def _behind_payer(event: Event, peek: Peek) -> Named:
    if event.data.email:
        sharing = peek("lists", refs.list_of("contacts", refs.handle("email", customers.comparable(event.data.email))))
        if sharing is not None:
            yield "contacts", sharing.first
            yield "elements", lists.element(customers.UNMATCHED, sharing.first)


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
