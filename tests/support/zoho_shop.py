"""A shop whose books the tests write in: a simulator with two currencies, spoken to call by call without HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.world import World
from sandbox.zoho.simulator import Simulator

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

POPULATION: dict[str, Any] = {
    "organization": {
        "name": "Fern & Tide",
        "time_zone": "Europe/London",
        "currency_code": "GBP",
        "plan": "professional",
    },
    "currencies": {"EUR": "0.85"},
    "accounts": [
        {"name": "Clearing GBP", "type": "bank", "currency_code": "GBP", "key": "clearing"},
        {"name": "Clearing EUR", "type": "bank", "currency_code": "EUR", "key": "clearing_eur"},
        {"name": "Current account", "type": "bank", "currency_code": "GBP", "key": "bank"},
        {"name": "Collection fees", "type": "expense", "key": "fees"},
    ],
    "taxes": [{"name": "Standard", "percentage": "20", "key": "vat20"}],
    "custom_fields": [
        {"module": "customerpayments", "api_name": "cf_collector_key", "unique": True},
        {"module": "expenses", "api_name": "cf_collector_key", "unique": True},
        {"module": "contacts", "api_name": "cf_mandate", "unique": False},
        {"module": "invoices", "api_name": "cf_state", "unique": False},
    ],
    "contacts": [
        {"contact_name": "Aster Ltd", "email": "ap@aster.example", "company_name": "Aster Ltd"},
        {"contact_name": "Birch GmbH", "email": "pay@birch.example", "currency_code": "EUR"},
    ],
}


@dataclass(frozen=True)
class Reply:
    status: int
    document: dict[str, Any]
    headers: Mapping[str, str]
    raw: bytes

    def __getitem__(self, key: str) -> Any:
        return self.document[key]

    @property
    def code(self) -> int:
        return int(self.document["code"])


class Shop:
    """Calls the simulator as an API client with full access would."""

    def __init__(self, seed: int = 1, population: dict[str, Any] | None = None) -> None:
        self.world = World(seed=seed, start=START)
        self.simulator = Simulator(self.world)
        self.made = self.simulator.populate(population or POPULATION)
        self.keys: dict[str, str] = self.made["keys"]
        self.org: str = self.made["organization_id"]
        self.customer, self.customer_eur = self.made["contacts"][:2]
        self.renew()
        # The limits have their own tests; elsewhere they would only be in the way.
        self.simulator.configure({"switches": {"minute_limit": 100_000, "daily_limit": 100_000}})

    def fresh_token(self, refresh_token: str = "") -> dict[str, Any]:
        client = self.made["oauth"]
        form = {**client, "grant_type": "refresh_token", "refresh_token": refresh_token or client["refresh_token"]}
        return self.simulator.oauth.token(form, "http://zoho.example")[1]

    def pass_time(self, **kwargs: float) -> None:
        """Moves time; a token an hour old is renewed, as any client would."""
        self.world.move_to(self.world.now + timedelta(**kwargs))
        if self.world.now - self.token_at >= timedelta(hours=1):
            self.renew()

    def renew(self) -> None:
        self.token, self.token_at = self.fresh_token()["access_token"], self.world.now

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> Reply:
        parts = path.split("/")
        for route in self.simulator.routes():
            names = route.path.split("/")
            if route.method == method and len(names) == len(parts):
                pairs = list(zip(names, parts, strict=True))
                if all(name == part or name.startswith("{") for name, part in pairs):
                    found = {name.strip("{}"): part for name, part in pairs if name.startswith("{")}
                    break
        else:
            raise LookupError(f"no route {method} {path}")
        sent = {"Authorization": f"Zoho-oauthtoken {self.token}", **(headers or {})}
        raw = b"" if body is None else json.dumps(body).encode()
        wire = self.simulator.answer(route, found, {"organization_id": self.org, **query}, sent, raw)
        document = json.loads(wire.body, parse_float=Decimal, parse_int=Decimal)
        return Reply(wire.status, document, wire.headers, wire.body)

    def ok(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> Reply:
        reply = self.call(method, path, body, headers, **query)
        assert reply.status in (200, 201), reply.document
        assert reply.code == 0
        return reply

    def invoice(self, amount: str = "100.00", customer: str = "", *, sent: bool = True, **fields: Any) -> str:
        body = {"customer_id": customer or self.customer, "line_items": [{"name": "Work", "rate": amount}], **fields}
        invoice_id = str(self.ok("POST", "/invoices", body)["invoice"]["invoice_id"])
        if sent:
            self.ok("POST", f"/invoices/{invoice_id}/status/sent")
        return invoice_id

    def payment_body(
        self, amount: str, applied: Mapping[str, str], customer: str = "", **fields: Any
    ) -> dict[str, Any]:
        return {
            "customer_id": customer or self.customer,
            "payment_mode": "banktransfer",
            "amount": amount,
            "date": "2026-03-02",
            "account_id": self.keys["clearing"],
            "invoices": [{"invoice_id": i, "amount_applied": a} for i, a in applied.items()],
            **fields,
        }

    def pay(self, amount: str, applied: Mapping[str, str], customer: str = "", **fields: Any) -> str:
        reply = self.ok("POST", "/customerpayments", self.payment_body(amount, applied, customer, **fields))
        return str(reply["payment"]["payment_id"])

    def shown_invoice(self, invoice_id: str) -> dict[str, Any]:
        return dict(self.ok("GET", f"/invoices/{invoice_id}")["invoice"])

    def shown_payment(self, payment_id: str) -> dict[str, Any]:
        return dict(self.ok("GET", f"/customerpayments/{payment_id}")["payment"])

    def balance(self, key: str) -> Decimal:
        """The balance of a banking account, in its own currency."""
        return Decimal(self.ok("GET", f"/bankaccounts/{self.keys[key]}")["bankaccount"]["balance"])

    def base_minor(self, key: str) -> int:
        return self.simulator.books.ledger.accounts[self.keys[key]].base_minor

    def check_books(self) -> None:
        """What must hold after any call: see each assertion."""
        books = self.simulator.books
        ledger = books.ledger
        for account in ledger.accounts.values():
            legs = [leg for entry in ledger.entries.values() for leg in entry.legs if leg.account_id == account.id]
            assert account.base_minor == sum(leg.base_minor for leg in legs)
            assert account.balance_minor == sum(ledger.in_own_currency(leg) for leg in legs)
        assert sum(account.base_minor for account in ledger.accounts.values()) == 0
        for invoice in books.invoices.rows.values():
            applied = sum(a.amount_minor + a.withheld_minor + a.discount_minor for a in invoice.payments.values())
            credited = sum(use.amount_minor for use in invoice.credits.values())
            assert invoice.balance_minor == invoice.total_minor - applied - credited - invoice.write_off_minor >= 0
        for payment in books.payments.rows.values():
            used = sum(a.amount_minor for a in payment.applied) + sum(r.amount_minor for r in payment.refunds)
            assert payment.unused_minor == payment.amount_minor - used >= 0
            assert all(a.invoice.payments[a.id] is a for a in payment.applied)
        for contact in books.contacts.rows.values():
            for code in {*contact.owed_minor, *contact.credit_minor}:
                mine = [i for i in books.invoices.rows.values() if i.contact is contact and i.currency == code]
                assert contact.owed_minor.get(code, 0) == sum(i.balance_minor for i in mine if i.state == "sent")
                unused = sum(
                    p.unused_minor for p in books.payments.rows.values() if p.contact is contact and p.currency == code
                )
                notes = sum(
                    n.balance_minor
                    for n in books.creditnotes.rows.values()
                    if n.contact is contact and n.currency == code and n.state == "open"
                )
                assert contact.credit_minor.get(code, 0) == unused + notes

    def check_receivable(self) -> None:
        """Receivable in base is what is open less what is unused. Exact while every rate is 1."""
        books = self.simulator.books
        opened = sum(i.balance_minor for i in books.invoices.rows.values() if i.state == "sent")
        unused = sum(p.unused_minor for p in books.payments.rows.values())
        credit = sum(n.balance_minor for n in books.creditnotes.rows.values() if n.state == "open")
        assert books.ledger.system("accounts_receivable").base_minor == opened - unused - credit
