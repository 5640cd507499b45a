"""Builders of what a batch of the store is given: events, and what was decided of them."""

from domain.commands import Command, CreatePayment, ReadInvoice
from domain.decisions import Decision, Entry, Line
from domain.envelope import Event
from domain.events import Outcome, PaymentRead

NOW = "2026-03-02T09:00:00.000Z"


def event(number: int, connection: str = "acme") -> Event:
    data = PaymentRead(f"PM{number:06d}", "confirmed", 1000, "GBP", "MD1", NOW)
    return Event(f"EV{number:06d}", "gocardless.payment_read", connection, NOW, NOW, "test", data)


def outcome(number: int, command: str, kind: str = "succeeded", connection: str = "acme") -> Event:
    return Event(f"OC{number:06d}", "command.outcome", connection, NOW, NOW, "test", Outcome(command, 1, kind, "PM1"))


def command(name: str, priority: int = 2) -> Command:
    data = CreatePayment("inv-1", "INV-1", "MD1", 1000, "GBP") if priority == 0 else ReadInvoice("inv-1")
    return Command(name, "invoices:inv-1", f"purpose:{name}", data, priority)


def entry(
    name: str,
    amount_minor: int = 1000,
    *,
    about: str = "payments:PM1",
    date: str = "2026-03-02",
    account: str = "receivables",
) -> Entry:
    lines = [Line("clearing", "GBP", amount_minor, "PM1", "payment"), Line(account, "GBP", -amount_minor)]
    return Entry(name, date, "Payment confirmed", about, lines)


def decision(
    event: Event,
    *,
    commands: tuple[Command, ...] = (),
    entries: tuple[Entry, ...] = (),
    resends: tuple[str, ...] = (),
    at: str = NOW,
) -> Decision:
    return Decision(
        event.id, event.connection, at, commands=list(commands), entries=list(entries), resends=list(resends)
    )
