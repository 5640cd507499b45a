"""A company in memory: the rules, and both APIs reduced to the facts that their answers carry."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from domain import commands, events, ids, process
from domain.commands import Command
from domain.decisions import Decision
from domain.envelope import Event
from domain.policy import Accounts, Policy
from domain.state import State

START = "2026-03-02T09:00:00.000Z"

POLICY = Policy(
    version=1,
    accounts=Accounts(
        clearing={"GBP": "acc-clearing-gbp", "EUR": "acc-clearing-eur"},
        suspense={"GBP": "acc-suspense-gbp", "EUR": "acc-suspense-eur"},
        bank={"BA1": "acc-bank-gbp", "BA2": "acc-bank-eur"},
        fees="acc-fees",
        tax={"GB_VAT_1": "tax-20"},
        vendor="vendor-gc",
    ),
    match_by_email="auto",
    invite="auto",
)


class Company:
    """Feeds events to the rules, keeps every decision, and answers commands on request as the two APIs would."""

    def __init__(self) -> None:
        self.state = State("c1")
        self.now = START
        self.log: list[tuple[Event, Decision]] = []
        self.pending: list[Command] = []
        self.balances: dict[str, int] = {}
        self.refuse: dict[str, tuple[str, str]] = {}
        self._numbers = count(1)

    def tell(self, type_: str, data: Any, *, id_: str = "", happened_at: str = "") -> Decision:
        event = Event(
            id_ or f"t-{next(self._numbers)}", type_, "c1", happened_at or self.now, self.now, "test", data
        )
        known = {one.id for one, _ in self.log}
        if event.id in known:
            return Decision(event.id, "c1", self.now)
        decision = process.step(self.state, event)
        self.log.append((event, decision))
        self.pending += decision.commands
        return decision

    def gc(self, resource: str, action: str, *, at: str = "", id_: str = "", metadata: dict[str, str] | None = None, **details: Any) -> Decision:
        links = details.pop("links")
        data = events.GcEvent(resource, action, links, resource_metadata=metadata or {}, **details)
        return self.tell(events.gc_type(resource, action), data, id_=id_, happened_at=at)

    def take(self, type_: str) -> Command:
        found = next(command for command in self.pending if command.type == type_)
        self.pending.remove(found)
        return found

    def outcome(self, command: Command, kind: str = "succeeded", resource: str = "", **more: Any) -> Decision:
        data = events.Outcome(command.id, 1, kind, resource, **more)
        return self.tell("command.outcome", data, id_=ids.outcome_id(command.id, 1, kind + resource))

    # --- the two APIs, in facts ---

    def answer(self, command: Command) -> None:
        data: Any = command.data
        if command.type in self.refuse:
            reason, message = self.refuse[command.type]
            self.outcome(command, "refused", reason=reason, message=message, http_status=400)
            return
        answers: dict[str, Callable[[], str]] = {
            "gocardless.create_payment": lambda: self._make_payment(command, data),
            "gocardless.read_mandate_payments": lambda: self._no_payments(data),
            "zoho.list_open_invoices": self._list_open,
            "zoho.create_customer_payment": lambda: self._make_customer_payment(data),
            "zoho.create_transfer": lambda: f"zt-{data.marker}",
            "zoho.create_expense": lambda: f"ze-{data.reference}",
            "zoho.unapply_payment": lambda: data.payment,
            "zoho.refund_payment": lambda: f"zr-{data.reference}",
        }
        self.outcome(command, resource=answers[command.type]())

    def answer_all(self, limit: int = 1000) -> None:
        for _ in range(limit):
            if not self.pending:
                return
            self.answer(self.pending.pop(0))
        raise AssertionError("the rules keep asking")

    def _make_payment(self, command: Command, data: commands.CreatePayment) -> str:
        payment = f"PM-{data.invoice}-{command.attempt}"
        metadata = {"zoho_invoice_id": data.invoice, "zoho_invoice_number": data.invoice_number, "command": command.id}
        read = events.PaymentRead(
            payment, "pending_submission", data.amount_minor, data.currency, data.mandate, self.now, "2026-03-09", metadata=metadata
        )
        self.tell("gocardless.payment_read", read)
        return payment

    def _no_payments(self, data: commands.ReadMandatePayments) -> str:
        self.tell("gocardless.mandate_payments_read", events.MandatePaymentsRead(data.mandate, self.now, [], True))
        return ""

    def _list_open(self) -> str:
        keys = [key for key, row in self.state.invoices.items() if row.status in {"sent", "overdue"}]
        self.tell("zoho.invoices_listed", events.InvoicesListed("open", self.now, 1, keys, True))
        return ""

    def _make_customer_payment(self, data: commands.CreateCustomerPayment) -> str:
        key = f"zp-{data.unique_value}"
        applied = [
            events.AppliedInvoice(one.invoice, one.amount_minor, self.state.invoices[one.invoice].balance_minor - one.amount_minor)
            for one in data.applied
        ]
        used = sum(one.amount_minor for one in data.applied)
        read = events.CustomerPaymentRead(
            key, data.customer, data.amount_minor, data.amount_minor - used, data.currency, data.date, data.account, created=True,
            invoices=applied,
        )
        self.tell("zoho.customer_payment_read", read)
        return key

    # --- stories ---

    def open_gate(self, policy: Policy = POLICY) -> None:
        checked = events.ConnectionChecked(
            [], "org1", "GBP", "Europe/London", "CR1", "sandbox", {"EUR": "0.85"}, {"BA1": "GBP", "BA2": "EUR"}
        )
        self.tell("connection.checked", checked)
        self.tell("policy.set", events.PolicySet("finance", policy))
        self.tell("operator.gate_opened", events.GateOpened("finance"))
        self.answer_all()

    def customer(self, number: int = 1, *, scheme: str = "bacs", linked: bool = True) -> str:
        contact = f"c-{number}"
        self.tell("zoho.contact_seen", events.ContactFacts(contact, f"Name {number}", "active", "customer", START, f"a{number}@example.test"))
        if linked:
            self.tell("gocardless.payer_read", events.PayerRead(f"CU{number}", START, f"A{number}@example.test", f"Name {number}"))
            self.tell("gocardless.mandate_read", events.MandateRead(f"MD{number}", "active", scheme, f"CU{number}", START))
        return contact

    def invoice(self, key: str, contact: str = "c-1", amount_minor: int = 12_000, **more: Any) -> None:
        facts: dict[str, Any] = {
            "number": f"INV-{key}", "customer_id": contact, "status": "sent", "currency": "GBP", "total_minor": amount_minor,
            "balance_minor": amount_minor, "date": "2026-03-01", "due_date": "2026-03-03", "last_modified": START,
        }
        self.tell("zoho.invoice_seen", events.InvoiceFacts(key, **{**facts, **more}))

    def reach(self, moment: str) -> None:
        """Let due times up to `moment` come, in order."""
        while True:
            due = sorted((row.at, row.id) for row in self.state.timers.values() if row.at <= moment)
            if not due:
                break
            at, timer = due[0]
            self.now = max(self.now, at)
            self.tell("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))
            self.answer_all()
        self.now = max(self.now, moment)

    def collect(self, key: str = "1") -> str:
        """From an open invoice to a payment made at GoCardless."""
        self.open_gate()
        self.customer()
        self.invoice(key)
        self.reach("2026-03-03T12:00:00.000Z")
        return self.state.invoices[key].payment

    def clearing(self, currency: str = "GBP") -> int:
        row = self.state.balances.get(f"clearing:{currency}")
        return row.amount_minor if row else 0

    def check_books(self) -> None:
        """Debits equal credits per currency; clearing equals its open items."""
        sums: dict[str, int] = {}
        for row in self.state.balances.values():
            sums[row.currency] = sums.get(row.currency, 0) + row.amount_minor
        assert not any(sums.values()), sums
        for currency in sums:
            items = sum(row.amount_minor for row in self.state.open_items.values() if row.currency == currency)
            assert items == self.clearing(currency)

    def payout(self, key: str, items: list[events.PayoutItem], amount_minor: int, *, bank: str = "BA1", currency: str = "GBP") -> None:
        """A payout is paid: its event, then its reads."""
        self.gc("payouts", "paid", links={"payout": key}, id_=f"EV-{key}")
        command = self.take("gocardless.read_payout")
        read = events.PayoutRead(
            key, "paid", amount_minor, currency, self.now, arrival_date=self.now[:10], reference="ACME-REF", creditor_bank_account=bank
        )
        self.tell("gocardless.payout_read", read)
        self.outcome(command, resource=key)
        command = self.take("gocardless.read_payout_items")
        self.tell("gocardless.payout_items_read", events.PayoutItemsRead(key, 0, items, True))
        self.outcome(command, resource=key)


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture
def new_company() -> Callable[[], Company]:
    return Company


