"""A company in memory: the rules, and both APIs reduced to the facts that their answers carry."""

from collections.abc import Callable
from itertools import count
from typing import Any

from domain import codec, commands, customers, events, ids, routing
from domain.commands import Command
from domain.decisions import Decision
from domain.envelope import Event
from domain.invoices import OPEN
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

#: Which read of GoCardless or Zoho answers with which fact, and which field of the command names the resource.
READS = {
    "gocardless.read_payment": ("gocardless.payment_read", "payment"),
    "gocardless.read_mandate": ("gocardless.mandate_read", "mandate"),
    "gocardless.read_payer": ("gocardless.payer_read", "payer"),
    "gocardless.read_billing_request": ("gocardless.billing_request_read", "billing_request"),
    "gocardless.read_payout": ("gocardless.payout_read", "payout"),
    "gocardless.read_payout_items": ("gocardless.payout_items_read", "payout"),
    "zoho.read_invoice": ("zoho.invoice_read", "invoice"),
    "zoho.read_contact": ("zoho.contact_read", "contact"),
}


class Company:
    """Feeds events to the rules, keeps every decision, and answers commands on request as the two APIs would.

    `world` is what a read finds: "<command type>:<id>" → the facts of its answer. What is not there is answered with
    404. `refuse` answers a type of command with (reason, message) instead.
    """

    def __init__(self) -> None:
        self.state = State("c1")
        self.now = START
        self.log: list[tuple[Event, Decision]] = []
        self.pending: list[Command] = []
        self.refuse: dict[str, tuple[str, str]] = {}
        self.world: dict[str, list[Any]] = {}
        self._known: set[str] = set()
        self._numbers = count(1)

    def tell(self, type_: str, data: Any, *, id_: str = "", happened_at: str = "") -> Decision:
        """One event; one of a known id is left out, as the store does."""
        event = Event(id_ or f"t-{next(self._numbers)}", type_, "c1", happened_at or self.now, self.now, "test", data)
        if event.id in self._known:
            return Decision(event.id, "c1", self.now)
        self._known.add(event.id)
        decision = routing.step(self.state, event)
        self.log.append((event, decision))
        self.pending += decision.commands
        return decision

    def gc(
        self,
        resource: str,
        action: str,
        *,
        at: str = "",
        id_: str = "",
        metadata: dict[str, str] | None = None,
        **details: Any,
    ) -> Decision:
        """One of GoCardless's own events."""
        links = details.pop("links")
        data = events.GcEvent(resource, action, links, resource_metadata=metadata or {}, **details)
        return self.tell(events.gc_type(resource, action), data, id_=id_, happened_at=at)

    def pay(self, payment: str, action: str, at: str = "", **details: Any) -> Decision:
        """One event of a payment."""
        return self.gc("payments", action, at=at, links={"payment": payment}, **details)

    def take(self, type_: str) -> Command:
        """The oldest unanswered command of a type."""
        found = next(command for command in self.pending if command.type == type_)
        self.pending.remove(found)
        return found

    @property
    def pending_types(self) -> list[str]:
        """The types of the commands that wait for their answers, in order."""
        return [command.type for command in self.pending]

    def asked(self, type_: str) -> list[Command]:
        """Every command of a type ever decided, in order."""
        return [command for _, decision in self.log for command in decision.commands if command.type == type_]

    def outcome(
        self, command: Command, kind: str = "succeeded", resource: str = "", *, call: int = 1, **more: Any
    ) -> Decision:
        """A command ended."""
        data = events.Outcome(command.id, call, kind, resource, **more)
        return self.tell("command.outcome", data, id_=ids.outcome_id(command.id, call, kind + resource))

    # --- the two APIs, in facts ---

    def answer(self, command: Command) -> None:
        """Answer one command as its API would."""
        data: Any = command.data
        if command.type in self.refuse:
            reason, message = self.refuse[command.type]
            self.outcome(command, "refused", reason=reason, message=message, http_status=400)
        elif command.type in READS:
            self._read(command)
        else:
            answers: dict[str, Callable[[], str]] = {
                "gocardless.create_billing_request": lambda: self._make_billing_request(data),
                "gocardless.create_flow": lambda: self._make_flow(data),
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
        """Answer until nothing is asked, and let rules that have more to do go on."""
        for _ in range(limit):
            self.go_on()
            if not self.pending:
                return
            self.answer(self.pending.pop(0))
        raise AssertionError("the rules keep asking")

    def go_on(self) -> None:
        """The further events that rules asked for, which the clock tells at once."""
        while more := sorted(
            (row.id, row.at) for row in self.state.timers.values() if row.id.startswith("more:") and row.at <= self.now
        ):
            timer, at = more[0]
            self.tell("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))

    def _read(self, command: Command) -> None:
        type_, field = READS[command.type]
        key = getattr(command.data, field)
        found = self.world.get(f"{command.type}:{key}")
        if found is None and command.type == "zoho.read_invoice" and key in self.state.invoices:
            found = [self._same_invoice(key)]
        for fact in found or ():
            self.tell(type_, fact)
        if found:
            self.outcome(command, resource=key)
        else:
            self.outcome(command, "refused", reason="resource_not_found", http_status=404)

    def _same_invoice(self, key: str) -> events.InvoiceFacts:
        row = self.state.invoices[key]
        return events.InvoiceFacts(
            key,
            row.number,
            row.contact,
            row.status,
            row.currency,
            row.total_minor,
            row.balance_minor,
            row.date,
            row.due_date,
            row.last_modified,
            as_of=self.now,
        )

    def _make_billing_request(self, data: commands.CreateBillingRequest) -> str:
        key = f"BRQ-{data.contact}"
        metadata = {"zoho_contact_id": data.contact}
        read = events.BillingRequestRead(
            key, "pending", self.now, data.payer or f"CU-{data.contact}", metadata=metadata
        )
        self.tell("gocardless.billing_request_read", read)
        return key

    def _make_flow(self, data: commands.CreateFlow) -> str:
        key = f"BRF-{data.contact}"
        self.tell("gocardless.flow_read", events.FlowRead(key, data.billing_request, f"https://pay.example.test/{key}"))
        return key

    def _make_payment(self, command: Command, data: commands.CreatePayment) -> str:
        payment = f"PM-{data.invoice}-{command.attempt}"
        self.tell("gocardless.payment_read", self.payment_read(payment, command))
        return payment

    def payment_read(self, payment: str, command: Command, **changes: Any) -> events.PaymentRead:
        """A payment that a command of ours made, as GoCardless holds it."""
        data: Any = command.data
        metadata = {"zoho_invoice_id": data.invoice, "zoho_invoice_number": data.invoice_number, "command": command.id}
        facts: dict[str, Any] = {
            "status": "pending_submission",
            "amount_minor": data.amount_minor,
            "currency": data.currency,
            "mandate": data.mandate,
            "created_at": self.now,
            "charge_date": "2026-03-09",
            "metadata": metadata,
        }
        return events.PaymentRead(payment, **{**facts, **changes})

    def _no_payments(self, data: commands.ReadMandatePayments) -> str:
        self.tell(
            "gocardless.mandate_payments_read", events.MandatePaymentsRead(data.mandate, self.now, [], complete=True)
        )
        return ""

    def _list_open(self) -> str:
        keys = [key for key, row in self.state.invoices.items() if row.status in OPEN]
        self.tell("zoho.invoices_listed", events.InvoicesListed("open", self.now, 1, keys, complete=True))
        return ""

    def _make_customer_payment(self, data: commands.CreateCustomerPayment) -> str:
        key = f"zp-{data.unique_value}"
        applied = [
            events.AppliedInvoice(
                one.invoice, one.amount_minor, self.state.invoices[one.invoice].balance_minor - one.amount_minor
            )
            for one in data.applied
        ]
        used = sum(one.amount_minor for one in data.applied)
        read = events.CustomerPaymentRead(
            key,
            data.customer,
            data.amount_minor,
            data.amount_minor - used,
            data.currency,
            data.date,
            data.account,
            created=True,
            invoices=applied,
        )
        self.tell("zoho.customer_payment_read", read)
        return key

    # --- stories ---

    def open_gate(self, policy: Policy = POLICY) -> None:
        """The check has run, a policy is set, and a person has opened the gate."""
        self.check()
        self.read_to_heads()
        self.tell("policy.set", events.PolicySet("finance", policy))
        self.tell("operator.gate_opened", events.GateOpened("finance"))
        self.answer_all()

    def read_to_heads(self) -> None:
        """Both sides have been read to their heads."""
        for kind in customers.HEADS:
            self.tell("poll.head_reached", events.HeadReached(kind, self.now))

    def check(self, *findings: events.Finding, **changes: Any) -> Decision:
        """The first-run check."""
        facts: dict[str, Any] = {
            "organization_id": "org1",
            "base_currency": "GBP",
            "time_zone": "Europe/London",
            "creditor": "CR1",
            "environment": "sandbox",
            "rates": {"EUR": "0.85"},
            "creditor_bank_accounts": {"BA1": "GBP", "BA2": "EUR"},
        }
        return self.tell("connection.checked", events.ConnectionChecked(list(findings), **{**facts, **changes}))

    def contact(
        self, key: str = "c-1", email: str = "a1@example.test", type_: str = "zoho.contact_seen", **changes: Any
    ) -> Decision:
        """A contact as Zoho shows it."""
        facts: dict[str, Any] = {
            "name": f"Name {key}",
            "status": "active",
            "contact_type": "customer",
            "last_modified": START,
        }
        return self.tell(type_, events.ContactFacts(key, email=email, **{**facts, **changes}))

    def payer(self, key: str = "CU1", email: str = "A1@example.test", link: str = "") -> Decision:
        """A payer as GoCardless shows it."""
        metadata = {"zoho_contact_id": link} if link else {}
        return self.tell("gocardless.payer_read", events.PayerRead(key, START, email, f"Name {key}", metadata=metadata))

    def mandate(
        self, key: str = "MD1", payer: str = "CU1", status: str = "active", scheme: str = "bacs", **changes: Any
    ) -> Decision:
        """A mandate as GoCardless shows it."""
        return self.tell("gocardless.mandate_read", events.MandateRead(key, status, scheme, payer, START, **changes))

    def customer(self, number: int = 1, *, scheme: str = "bacs", linked: bool = True) -> str:
        """A contact, and when linked its payer and mandate."""
        contact = f"c-{number}"
        self.contact(contact, f"a{number}@example.test")
        if linked:
            self.payer(f"CU{number}", f"A{number}@example.test")
            self.mandate(f"MD{number}", f"CU{number}", scheme=scheme)
        return contact

    def invoice(
        self,
        key: str,
        contact: str = "c-1",
        amount_minor: int = 12_000,
        *,
        type_: str = "zoho.invoice_seen",
        **more: Any,
    ) -> Decision:
        """An invoice as Zoho shows it."""
        facts: dict[str, Any] = {
            "number": f"INV-{key}",
            "customer_id": contact,
            "status": "sent",
            "currency": "GBP",
            "total_minor": amount_minor,
            "balance_minor": amount_minor,
            "date": "2026-03-01",
            "due_date": "2026-03-03",
            "last_modified": START,
        }
        return self.tell(type_, events.InvoiceFacts(key, **{**facts, **more}))

    def reach(self, moment: str, *, answer: bool = True) -> None:
        """Let due times up to `moment` come, in order."""
        while due := sorted((row.at, row.id) for row in self.state.timers.values() if row.at <= moment):
            at, timer = due[0]
            self.now = max(self.now, at)
            self.tell("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))
            if answer:
                self.answer_all()
        self.now = max(self.now, moment)

    def ready(self, key: str = "1", policy: Policy = POLICY, **more: Any) -> None:
        """An open gate, a customer with a mandate and an invoice that is scheduled."""
        self.open_gate(policy)
        self.customer()
        self.invoice(key, **more)

    def collect(self, key: str = "1", policy: Policy = POLICY, **more: Any) -> str:
        """From an open invoice to a payment made at GoCardless."""
        self.ready(key, policy, **more)
        self.reach("2026-03-03T12:00:00.000Z")
        return self.state.invoices[key].payment

    def confirmed(self, key: str = "1", policy: Policy = POLICY, **more: Any) -> str:
        """From an open invoice to a payment confirmed and in Zoho."""
        payment = self.collect(key, policy, **more)
        self.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
        self.answer_all()
        return payment

    def payout(self, key: str, items: list[events.PayoutItem], amount_minor: int, **changes: Any) -> None:
        """A payout is paid: its event, then its reads."""
        facts: dict[str, Any] = {
            "status": "paid",
            "currency": "GBP",
            "created_at": self.now,
            "arrival_date": self.now[:10],
            "reference": "ACME-REF",
            "creditor_bank_account": "BA1",
        }
        self.gc("payouts", "paid", links={"payout": key}, id_=f"EV-{key}")
        command = self.take("gocardless.read_payout")
        self.tell("gocardless.payout_read", events.PayoutRead(key, amount_minor=amount_minor, **{**facts, **changes}))
        self.outcome(command, resource=key)
        command = self.take("gocardless.read_payout_items")
        self.tell("gocardless.payout_items_read", events.PayoutItemsRead(key, 0, items, complete=True))
        self.outcome(command, resource=key)

    # --- what holds ---

    def clearing(self, currency: str = "GBP") -> int:
        """The clearing balance."""
        return self.balance(f"clearing:{currency}")

    def balance(self, account: str) -> int:
        """Debits minus credits of "account:CUR"."""
        row = self.state.balances.get(account)
        return row.amount_minor if row else 0

    def open_codes(self) -> set[str]:
        """Codes of the discrepancies that are open."""
        return {row.code for row in self.state.discrepancies.values() if not row.closed_at}

    def check_books(self) -> None:
        """Debits equal credits per currency; clearing equals its open items."""
        sums: dict[str, int] = {}
        for row in self.state.balances.values():
            sums[row.currency] = sums.get(row.currency, 0) + row.amount_minor
        assert not any(sums.values()), sums
        for currency in sums:
            items = sum(row.amount_minor for row in self.state.open_items.values() if row.currency == currency)
            assert items == self.clearing(currency)

    def check_commands(self) -> None:
        """No command id twice; no idempotency key of GoCardless for two purposes, nor for two attempts at one."""
        sent = [command for _, decision in self.log for command in decision.commands]
        assert len({command.id for command in sent}) == len(sent)
        keyed = [
            command
            for command in sent
            if command.type in {"gocardless.create_payment", "gocardless.create_billing_request"}
        ]
        assert len({command.key for command in keyed}) == len({(command.purpose, command.attempt) for command in keyed})

    def check_replay(self) -> None:
        """Over the wire and back: deciding afresh gives the same bytes, and the recorded decisions give the same rows."""
        afresh, rebuilt = State("c1"), State("c1")
        for event, decision in self.log:
            wire = codec.encode_decision(decision)
            again = codec.decode_event(codec.encode_event(event))
            assert codec.encode_decision(routing.step(afresh, again)) == wire
            routing.restep(rebuilt, again, None if decision.empty else codec.decode_decision(wire))
        assert list(afresh.rows()) == list(self.state.rows())
        assert list(rebuilt.rows()) == list(self.state.rows())


def events_of(company: Company) -> list[Event]:
    """The events that a company has told so far."""
    return [event for event, _ in company.log]
