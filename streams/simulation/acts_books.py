"""What people do in Zoho Books: every act of the person at the simulated books, with what it is done on by chance."""

import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from sandbox.world import World
from sandbox.zoho.books import Books
from sandbox.zoho.contacts import MODULE as CONTACTS
from sandbox.zoho.money import major
from sandbox.zoho.records import BankTransaction, Contact, Expense, Invoice, Payment, Record
from streams.population import GOODS, LINK_FIELD, UNIQUE_FIELD
from streams.simulation.acts import ActSpec, Document, Draw, pick, unique
from streams.simulation.apis import merchant_of, zoho_of

#: Key of a document → the table of the books that it names a record of.
_TABLES: Final = {
    "invoice_id": "invoices",
    "payment_id": "payments",
    "contact_id": "contacts",
    "expense_id": "expenses",
    "transaction_id": "banktransactions",
}


# --- drawing ---


def _on(
    key: str,
    action: str,
    wanted: Callable[[Any], bool],
    more: Callable[[random.Random, World, Any], Document] = lambda _rng, _world, _record: {},
) -> Draw:
    """Draw a record that the act can be done on, and what else the act needs."""

    def draw(rng: random.Random, world: World) -> Document | None:
        rows = getattr(zoho_of(world).books, _TABLES[key]).rows.values()
        record = pick(rng, [row for row in rows if wanted(row)])
        return None if record is None else {"action": action, key: record.id, **more(rng, world, record)}

    return draw


def _open(invoice: Invoice) -> bool:
    return invoice.state == "sent" and invoice.balance_minor > 0


def _customers(books: Books) -> list[Contact]:
    return [contact for contact in books.contacts.rows.values() if contact.kind == "customer" and contact.active]


def _amount(books: Books, minor: int, currency: str) -> str:
    return str(major(max(minor, 1), books.precision(currency)))


def _account(books: Books, purpose: str, currency: str) -> str:
    """The id of an account of the population, "" where there is none."""
    key = f"{purpose}_{currency}"
    return next((account.id for account in books.ledger.accounts.values() if account.key == key), "")


def _today(world: World, days: int = 0) -> str:
    return (zoho_of(world).books.today() + timedelta(days=days)).isoformat()


def _create_invoice(rng: random.Random, world: World) -> Document | None:
    books = zoho_of(world).books
    contact = pick(rng, _customers(books))
    if contact is None:
        return None
    name, rate = rng.choice(GOODS)
    tax = rng.choice(["", *books.taxes])
    return {
        "action": "create_invoice",
        "sent": rng.random() < 0.85,
        "body": {
            "customer_id": contact.id,
            "date": _today(world),
            "due_date": _today(world, rng.choice((0, 3, 10))),
            "currency_code": contact.currency,
            "line_items": [{"name": name, "rate": rate, "quantity": rng.randrange(1, 4), "tax_id": tax}],
        },
    }


def _edit_invoice(rng: random.Random, world: World, invoice: Invoice) -> Document:
    lines: list[Document] = [{"line_item_id": line.id} for line in invoice.lines]
    lines[0]["rate"] = str(invoice.lines[0].rate * Decimal(rng.choice(("0.5", "1.5", "2"))))
    changes: tuple[Document, ...] = (
        {"line_items": lines},
        {"due_date": (invoice.due + timedelta(days=rng.choice((-3, 2, 14)))).isoformat()},
        {"reference_number": f"PO-{rng.randrange(1000)}"},
        {"notes": f"Called on {_today(world)}"},
    )
    return {"changes": rng.choice((changes[0], changes[0], *changes))}


def _part_of_balance(rng: random.Random, world: World, invoice: Invoice) -> Document:
    minor = invoice.balance_minor * rng.choice((25, 50, 100)) // 100
    return {"amount": _amount(zoho_of(world).books, minor, invoice.currency), "apply": rng.random() < 0.8}


def _receipt(rng: random.Random, world: World, invoice: Invoice) -> Document:
    account = _account(zoho_of(world).books, "bank", invoice.currency)
    return {
        "percent": rng.choice((10, 50, 100, 100)),
        "payment_mode": rng.choice(("cash", "banktransfer")),
        "account_id": rng.choice(("", account)),
    }


def _edit_payment(rng: random.Random, world: World, payment: Payment) -> Document:
    books = zoho_of(world).books
    others = [
        invoice
        for invoice in books.invoices.rows.values()
        if _open(invoice) and invoice.contact is payment.contact and invoice.currency == payment.currency
    ]
    changes: list[Document] = [
        {"invoices": []},
        {"date": (payment.date - timedelta(days=1)).isoformat()},
        {"amount": _amount(books, payment.amount_minor + rng.choice((-100, 100)), payment.currency)},
        {"reference_number": f"typed by hand {rng.randrange(100)}"},
        {"account_id": _account(books, rng.choice(("bank", "suspense", "clearing")), payment.currency)},
        {"description": "Looked at"},
        {"custom_fields": [{"api_name": UNIQUE_FIELD, "value": ""}]},
    ]
    if others:
        other = rng.choice(others)
        minor = min(other.balance_minor, payment.amount_minor)
        row = {"invoice_id": other.id, "amount_applied": _amount(books, minor, payment.currency)}
        changes.append({"invoices": [row]})
    return {"changes": rng.choice(changes)}


def _refund_payment(rng: random.Random, world: World, payment: Payment) -> Document:
    books = zoho_of(world).books
    minor = payment.unused_minor * rng.choice((50, 100)) // 100
    body = {
        "date": _today(world),
        "amount": _amount(books, minor, payment.currency),
        "from_account_id": _account(books, "bank", payment.currency) or payment.account_id,
        "refund_mode": "banktransfer",
    }
    return {"body": body}


def _email(rng: random.Random, world: World) -> str:
    """An address: of a payer at GoCardless, or one that nobody has."""
    payers = [str(row["email"]) for row in merchant_of(world).collections["customers"].records if row["email"]]
    return rng.choice([*payers, f"new.{rng.randrange(1000)}@example.com"])


def _create_contact(rng: random.Random, world: World) -> Document | None:
    books = zoho_of(world).books
    body = {
        "contact_name": f"Newcomer {rng.randrange(10_000)}",
        "currency_code": rng.choice(sorted({books.base, *(contact.currency for contact in _customers(books))})),
        "contact_persons": [{"email": _email(rng, world), "is_primary_contact": True}],
    }
    return {"action": "create_contact", "body": body}


def _edit_contact(rng: random.Random, world: World, contact: Contact) -> Document:
    payers = [row["id"] for row in merchant_of(world).collections["customers"].records]
    changes: tuple[Document, ...] = (
        {"contact_persons": [{"email": _email(rng, world), "is_primary_contact": True}]},
        {"contact_name": f"{contact.name[:60]} renamed"},
        {"contact_number": f"CUST{rng.randrange(1, 9):05d}"},
        {"custom_fields": [{"api_name": LINK_FIELD, "value": rng.choice([*payers, ""])}]},
        {"payment_terms": 30, "payment_terms_label": "Net 30"},
    )
    return {"changes": rng.choice(changes)}


def _create_expense(rng: random.Random, world: World) -> Document | None:
    books = zoho_of(world).books
    paid_through = pick(rng, [one.id for one in books.ledger.accounts.values() if one.key.startswith("clearing_")])
    if paid_through is None:
        return None
    spent_on = [one.id for one in books.ledger.accounts.values() if one.key in ("fees", "bank_fees")]
    body = {
        "account_id": rng.choice(spent_on),
        "paid_through_account_id": paid_through,
        "amount": rng.choice(("1.20", "20.00")),
        "date": _today(world),
        "reference_number": "fees by hand",
    }
    return {"action": "create_expense", "body": body}


def _edit_expense(rng: random.Random, _world: World, expense: Expense) -> Document:
    changes: tuple[Document, ...] = (
        {"amount": str(rng.choice((1, 2, 30)))},
        {"date": (expense.date - timedelta(days=1)).isoformat()},
        {"reference_number": "looked at"},
    )
    return {"changes": rng.choice(changes)}


def _create_transaction(rng: random.Random, world: World) -> Document | None:
    books = zoho_of(world).books
    currency = pick(rng, [one.currency for one in books.ledger.accounts.values() if one.key.startswith("clearing_")])
    if currency is None:
        return None
    source, target = rng.choice((("clearing", "bank"), ("clearing", "suspense"), ("bank", "clearing")))
    body = {
        "transaction_type": "transfer_fund",
        "from_account_id": _account(books, source, currency),
        "to_account_id": _account(books, target, currency) or books.ledger.system("petty_cash").id,
        "amount": rng.choice(("5.00", "98.49")),
        "date": _today(world),
        "reference_number": "by hand",
    }
    return {"action": "create_transaction", "body": body}


# --- doing ---


def perform(world: World, document: Document) -> tuple[str, ...]:
    """One act of a person at the books. Raises ApiError for what the books refuse, KeyError for what is not there.

    Gives the ids of all records that it changed, of those that it names, and the unique keys of changed records.
    """
    simulator = zoho_of(world)
    books = simulator.books
    told: list[str] = []
    announce = books.announce

    def listen(module: str, event: str, record: Record) -> None:
        told.extend((record.id, *_around(record)))
        if module != CONTACTS:
            told.extend(record.custom.values())
        announce(module, event, record)

    books.announce = listen
    try:
        made = simulator.edit(_complete(books, document))
    finally:
        books.announce = announce
    return unique((str(made["id"]), *_named_ids(document), *told))


def _around(record: Record) -> Iterable[str]:
    """The contact of a record, and the invoices that a payment is applied to."""
    if isinstance(record, Invoice | Payment):
        yield record.contact.id
    if isinstance(record, Payment):
        yield from (application.invoice.id for application in record.applied)


def _named_ids(document: Document) -> list[str]:
    named = {**document, **document.get("body", {})}
    return [value for key, value in named.items() if key.endswith("_id") and isinstance(value, str)]


def _complete(books: Books, document: Document) -> Document:
    """A receipt of a share of the balance is one of the amount that this is by now."""
    if "percent" not in document:
        return document
    invoice = _invoice(books, document)
    if invoice is None:
        return document
    amount = _amount(books, invoice.balance_minor * document["percent"] // 100, invoice.currency)
    rest = {key: value for key, value in document.items() if key != "percent"}
    return {**rest, "invoice_id": invoice.id, "amount": amount}


def _invoice(books: Books, document: Document) -> Invoice | None:
    number = document.get("invoice_number", "")
    return books.invoices.get(document.get("invoice_id") or books.invoices_by_number.get(number, ""))


# --- telling ---


def _words(verb: str) -> Callable[[World, Document], str]:
    """As in "somebody voids INV-0003 in Zoho Books"; of an edit, with the fields that change."""

    def words(world: World, document: Document) -> str:
        changes = document.get("changes")
        more = f": {', '.join(sorted(changes))}" if changes else ""
        amount = document.get("amount") or (f"{document['percent']} %" if "percent" in document else "")
        over = f", {amount}" if amount else ""
        return f"somebody {verb.format(_shown(zoho_of(world).books, document))} in Zoho Books{over}{more}"

    return words


def _shown(books: Books, document: Document) -> str:
    """What the act is done on, as a bookkeeper would call it; of something gone, its id."""
    invoice = _invoice(books, document)
    if invoice is not None:
        return invoice.number
    for key, table in _TABLES.items():
        if key in document:
            record = getattr(books, table).get(document[key])
            return _called(record) if record is not None else str(document[key])
    body = document.get("body", {})
    contact = books.contacts.get(body.get("customer_id", ""))
    return contact.name if contact is not None else str(body.get("contact_name", document.get("invoice_number", "")))


def _called(record: Record) -> str:
    match record:
        case Payment():
            return f"customer payment {record.number} of {record.contact.name}"
        case Contact():
            return record.name
        case BankTransaction():
            return f"the {record.kind} {record.reference or record.id}"
        case Expense():
            return f"the expense {record.reference or record.id}"
        case _:
            return record.id


def _spec(action: str, draw: Draw, verb: str) -> ActSpec:
    return ActSpec(f"zoho.{action}", draw, perform, _words(verb))


def _record(
    key: str,
    action: str,
    verb: str,
    wanted: Callable[[Any], bool] = lambda _record: True,
    more: Callable[[random.Random, World, Any], Document] = lambda _rng, _world, _record: {},
) -> ActSpec:
    return _spec(action, _on(key, action, wanted, more), verb)


def _unmatched(record: Payment | BankTransaction) -> bool:
    return not record.matched


def _matched(record: Payment | BankTransaction) -> bool:
    return bool(record.matched)


SPECS: Final = (
    _spec("create_invoice", _create_invoice, "invoices {}"),
    _record("invoice_id", "edit_invoice", "edits {}", lambda one: one.state != "void", _edit_invoice),
    _record("invoice_id", "send_invoice", "sends {}", lambda one: one.state == "draft"),
    _record("invoice_id", "void_invoice", "voids {}", lambda one: one.state != "void"),
    _record("invoice_id", "write_off_invoice", "writes {} off", _open),
    _record("invoice_id", "delete_invoice", "deletes {}", lambda one: not (one.payments or one.credits)),
    _record("invoice_id", "credit_invoice", "credits {}", _open, _part_of_balance),
    _record(
        "invoice_id", "in_process", "lets another gateway collect {}", lambda one: _open(one) and not one.in_process
    ),
    _record("invoice_id", "not_in_process", "takes {} from another gateway", lambda one: bool(one.in_process)),
    _record("invoice_id", "record_payment", "records a payment of {}", _open, _receipt),
    _record("payment_id", "edit_payment", "edits {}", more=_edit_payment),
    _record("payment_id", "delete_payment", "deletes {}", lambda one: not one.refunds),
    _record("payment_id", "refund_payment", "refunds {}", lambda one: one.unused_minor > 0, _refund_payment),
    _record("payment_id", "match_payment", "matches {} with a bank line", _unmatched),
    _record("payment_id", "unmatch_payment", "takes {} off its bank line", _matched),
    _record("transaction_id", "match_transaction", "matches {} with a bank line", _unmatched),
    _record("transaction_id", "unmatch_transaction", "takes {} off its bank line", _matched),
    _spec("create_contact", _create_contact, "adds the customer {}"),
    _record("contact_id", "edit_contact", "edits {}", lambda one: one.kind == "customer", _edit_contact),
    _record("contact_id", "delete_contact", "deletes {}", lambda one: not one.transactions and one.kind == "customer"),
    _spec("create_expense", _create_expense, "books an expense{}"),
    _record("expense_id", "edit_expense", "edits {}", more=_edit_expense),
    _record("expense_id", "delete_expense", "deletes {}"),
    _spec("create_transaction", _create_transaction, "books a transfer{}"),
    _record("transaction_id", "delete_transaction", "deletes {}"),
)
