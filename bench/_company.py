"""The log that the benches measure on: a company's months, made by the rules themselves.

Every invoice is seen, falls due, is looked at again, collected, confirmed, booked and paid out; every twentieth is
taken back. What the APIs would answer is told as the facts that their answers carry, so that the mix of events is that
of the running program. Ids rise with time and differ by chance within a day, as those of both APIs do, since that is
what the indexes of the store feel.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import count, islice
from typing import Any

from msgspec.structs import replace

from domain import commands, customers, events, ids, routing, times
from domain.commands import Command
from domain.decisions import Decision
from domain.envelope import Event
from domain.policy import Accounts, Policy
from domain.state import State
from streams.log.interface import Log
from streams.log.records import event_record
from streams.log.topics import Topics

CONNECTION = "acme"
POLICY = Policy(
    version=1,
    accounts=Accounts(
        clearing={"GBP": "460000000000001"},
        suspense={"GBP": "460000000000002"},
        bank={"BA1": "460000000000003"},
        fees="460000000000004",
        vendor="460000000000005",
    ),
)
AMOUNT_MINOR = 12_000
FEE_MINOR = 140

#: Payments of one payout; about a day's of a small company.
PAYOUT_PAYMENTS = 25
#: One invoice in so many is charged back after its payout.
CHARGED_BACK = 20

#: Events of one connection before the next has its turn: about what one webhook or page brings.
_TURN = 50
#: Events of one append while a log is filled.
_APPEND = 5_000

Story = list[tuple[Event, Decision]]


def api_id(block: int, *parts: str) -> str:
    """Sixteen hex digits: six that rise with the blocks, ten that look drawn by chance, the same on every run."""
    return f"{block:06x}{blake2b('/'.join((str(block), *parts)).encode(), digest_size=5).hexdigest()}"


class CompanyInMemory:
    """A connection in memory. `block` keeps the ids of one month's story apart from another's of the same
    connection.
    """

    def __init__(self, block: int, opens_at: str) -> None:
        self.state = State(CONNECTION)
        self.block = block
        self.now = opens_at
        self.story: Story = []
        self.setting_up = 0
        self._pending: list[Command] = []
        self._numbers = count(1)
        self._paid_out: dict[str, list[str]] = {}

    def id(self, kind: str, *parts: str) -> str:
        """An id of this block: "PM" and sixteen digits."""
        return kind + api_id(self.block, kind, *parts)

    def tell(self, type_: str, data: Any, id_: str = "") -> None:
        """One event, decided."""
        name = id_ or self.id("EV", str(next(self._numbers)))
        event = Event(name, type_, CONNECTION, self.now, self.now, "translate", data)
        decision = routing.step(self.state, event)
        self.story.append((event, decision))
        self._pending += decision.commands

    def gc(self, resource: str, action: str, links: dict[str, str]) -> None:
        """One of GoCardless's own events."""
        data = events.GcEvent(
            resource, action, links, origin="gocardless", cause=f"{resource[:-1]}_{action}", scheme="bacs"
        )
        self.tell(events.gc_type(resource, action), data)

    def answer_all(self) -> None:
        """Answer what was asked, until nothing is."""
        while self._pending:
            command = self._pending.pop(0)
            resource = ANSWERS[command.type](self, command, command.data)
            outcome = events.Outcome(command.id, 1, "succeeded", resource)
            self.tell("command.outcome", outcome, ids.outcome_id(command.id, 1, resource))

    # --- answers: what a call tells, and the resource it made or found ---

    def view_mandate(self, command: Command, data: commands.ReadMandatePayments) -> str:
        del command
        self.tell(
            "gocardless.mandate_payments_read", events.MandatePaymentsRead(data.mandate, self.now, [], complete=True)
        )
        return ""

    def list_open(self, command: Command, data: commands.ListOpenInvoices) -> str:
        del command, data
        owing = [key for key, row in self.state.invoices.items() if row.balance_minor]
        for page in range(0, max(1, len(owing)), 200):
            rows = owing[page : page + 200]
            last = page + 200 >= len(owing)
            self.tell(
                "zoho.invoices_listed", events.InvoicesListed("open", self.now, page // 200 + 1, rows, complete=last)
            )
        return ""

    def debit(self, command: Command, data: commands.CreatePayment) -> str:
        payment = self.id("PM", data.invoice)
        metadata = {"zoho_invoice_id": data.invoice, "zoho_invoice_number": data.invoice_number, "command": command.id}
        read = events.PaymentRead(
            payment,
            "pending_submission",
            data.amount_minor,
            data.currency,
            data.mandate,
            self.now,
            times.add_days(self.now[:10], 3),
            metadata=metadata,
        )
        self.tell("gocardless.payment_read", read)
        return payment

    def book(self, command: Command, data: commands.CreateCustomerPayment) -> str:
        del command
        key = self.id("ZP", data.unique_value)
        applied = [events.AppliedInvoice(one.invoice, one.amount_minor, 0) for one in data.applied]
        unused = data.amount_minor - sum(one.amount_minor for one in data.applied)
        facts = (key, data.customer, data.amount_minor, unused, data.currency, data.date, data.account)
        self.tell(
            "zoho.customer_payment_read",
            events.CustomerPaymentRead(*facts, key=data.unique_value, created=True, invoices=applied),
        )
        for one in data.applied:
            self.invoice(one.invoice, "zoho.invoice_notified", status="paid", balance_minor=0, last_modified=self.now)
        return key

    def read_payout(self, command: Command, data: commands.ReadPayout) -> str:
        del command
        net = len(self._paid_out[data.payout]) * (AMOUNT_MINOR - FEE_MINOR)
        arrival = times.add_days(self.now[:10], 1)
        read = events.PayoutRead(
            data.payout,
            "paid",
            net,
            "GBP",
            self.now,
            arrival_date=arrival,
            reference="ACME-REF",
            creditor_bank_account="BA1",
        )
        self.tell("gocardless.payout_read", read)
        return data.payout

    def read_payout_items(self, command: Command, data: commands.ReadPayoutItems) -> str:
        del command
        payments = self._paid_out[data.payout]
        items = [events.PayoutItem("payment_paid_out", AMOUNT_MINOR * 10, one) for one in payments]
        items += [events.PayoutItem("gocardless_fee", -FEE_MINOR * 10, one) for one in payments]
        self.tell("gocardless.payout_items_read", events.PayoutItemsRead(data.payout, 0, items, complete=True))
        return data.payout

    # --- the month ---

    def open(self) -> None:
        """The check has run, a policy is set, and a person has opened the gate."""
        facts = events.ConnectionChecked(
            [], "20000000001", "GBP", "Europe/London", "CR1", "sandbox", {}, {"BA1": "GBP"}
        )
        self.tell("connection.checked", facts)
        self.tell("policy.set", events.PolicySet("finance", POLICY))
        for kind in customers.HEADS:
            self.tell("poll.head_reached", events.HeadReached(kind, self.now))
        self.setting_up = len(self.story)
        self.tell("operator.gate_opened", events.GateOpened("finance"))
        self.answer_all()

    def customer(self, number: int) -> str:
        """A contact with its payer and mandate."""
        contact, payer, mandate = (self.id(kind, str(number)) for kind in ("ZC", "CU", "MD"))
        email = f"accounts@{contact}.example"
        self.tell(
            "zoho.contact_seen",
            events.ContactFacts(contact, "Ada Archer", "active", "customer", self.now, email, currency="GBP"),
        )
        self.tell("gocardless.payer_read", events.PayerRead(payer, self.now, email, "Ada Archer", "GB"))
        self.tell("gocardless.mandate_read", events.MandateRead(mandate, "active", "bacs", payer, self.now))
        self.gc("mandates", "active", {"mandate": mandate})
        return contact

    def invoice(self, key: str, type_: str = "zoho.invoice_seen", *, contact: str = "", **changes: Any) -> None:
        """An invoice as Zoho shows it."""
        held = self.state.invoices.get(key)
        facts: dict[str, Any] = {
            "number": f"INV-{key[2:]}",
            "customer_id": contact or (held.contact if held else ""),
            "status": "sent",
            "currency": "GBP",
            "total_minor": AMOUNT_MINOR,
            "balance_minor": AMOUNT_MINOR,
            "date": self.now[:10],
            "due_date": held.due_date if held else times.add_days(self.now[:10], 1),
            "last_modified": self.now,
        }
        self.tell(type_, events.InvoiceFacts(key, **{**facts, **changes}))

    def reach(self, moment: str) -> None:
        """Let due times come, in order."""
        while due := sorted((row.at, row.id) for row in self.state.timers.values() if row.at <= moment):
            for at, timer in due:
                self.now = max(self.now, at)
                self.tell("clock.due_reached", events.DueReached(timer, at), ids.clock_id(CONNECTION, timer, at))
            self.answer_all()
        self.now = moment

    def month(self, invoices: int) -> None:
        """Invoices sent, collected, confirmed, paid out, some charged back; within eleven days."""
        keys = [self.id("ZI", str(number)) for number in range(invoices)]
        for number, key in enumerate(keys):
            self.invoice(key, contact=self.customer(number))
        first = self.now[:10]
        self.reach(f"{times.add_days(first, 1)}T12:00:00.000Z")
        payments = [self.state.invoices[key].payment for key in keys]
        for day, action in ((1, "created"), (2, "submitted"), (5, "confirmed")):
            self.now = f"{times.add_days(first, day)}T16:00:00.000Z"
            for payment in payments:
                self.gc("payments", action, {"payment": payment})
            self.answer_all()
        self.now = f"{times.add_days(first, 8)}T09:30:00.000Z"
        self._paid_out = {
            self.id("PO", str(start)): payments[start : start + PAYOUT_PAYMENTS]
            for start in range(0, invoices, PAYOUT_PAYMENTS)
        }
        for payout, some in self._paid_out.items():
            for payment in some:
                self.gc("payments", "paid_out", {"payment": payment, "payout": payout})
            self.gc("payouts", "paid", {"payout": payout})
            self.answer_all()
        self.now = f"{times.add_days(first, 11)}T11:40:00.000Z"
        for payment in payments[::CHARGED_BACK]:
            self.gc("payments", "charged_back", {"payment": payment})
        self.answer_all()


ANSWERS: dict[str, Callable[[CompanyInMemory, Command, Any], str]] = {
    "gocardless.read_mandate_payments": CompanyInMemory.view_mandate,
    "gocardless.create_payment": CompanyInMemory.debit,
    "gocardless.read_payout": CompanyInMemory.read_payout,
    "gocardless.read_payout_items": CompanyInMemory.read_payout_items,
    "zoho.list_open_invoices": CompanyInMemory.list_open,
    "zoho.create_customer_payment": CompanyInMemory.book,
    "zoho.create_transfer": lambda company, _, data: company.id("ZT", data.marker),
    "zoho.create_expense": lambda company, _, data: company.id("ZE", data.reference),
    "zoho.unapply_payment": lambda _company, _, data: str(data.payment),
    "zoho.refund_payment": lambda company, _, data: company.id("ZR", data.reference),
}


def month(invoices: int, *, block: int = 0) -> CompanyInMemory:
    """One company's month. Blocks follow each other by fourteen days."""
    company = CompanyInMemory(block, f"{times.add_days('2026-03-02', 14 * block)}T09:00:00.000Z")
    company.open()
    company.month(invoices)
    return company


def named(story: Story, connection: str) -> Iterator[Event]:
    """The same events as another connection's."""
    return (replace(event, connection=connection) for event, _ in story)


def turns(story: Story, connections: int) -> Iterator[Event]:
    """The same story under many names, which take turns as companies do that are busy on the same day."""
    for start in range(0, len(story), _TURN):
        for number in range(connections):
            yield from named(story[start : start + _TURN], f"company-{number}")


async def fill(log: Log, topics: Topics, events_: Iterator[Event]) -> int:
    """Append events as they would lie there; returns how many."""
    done = 0
    while records := [event_record(topics, event) for event in islice(events_, _APPEND)]:
        await log.append(records)
        done += len(records)
    return done
