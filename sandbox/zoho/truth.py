"""The truth of the books for assertions: every balance, record and counter in integer minor units, ordered by id."""

from collections.abc import Iterable
from typing import Any

from sandbox.zoho.books import Books
from sandbox.zoho.invoices import status_of
from sandbox.zoho.ledger import Account
from sandbox.zoho.records import Contact, CreditNote, Expense, Invoice, Payment, R, Refund, Table

Document = dict[str, Any]


def books_truth(books: Books) -> Document:
    """`GET /_sandbox/state`, the part of Zoho Books without tokens, limits and webhooks.

    An account's `balance_minor` is in its own currency and `base_balance_minor` in base, debits positive.
    """
    org = books.org
    return {
        "organization": {
            "organization_id": org.id,
            "name": org.name,
            "time_zone": org.time_zone,
            "currency_code": org.currency_code,
            "today": books.today().isoformat(),
        },
        "accounts": [_account(account) for account in _sorted(books.ledger.accounts.values())],
        "base_balance_sum_minor": sum(account.base_minor for account in books.ledger.accounts.values()),
        "contacts": [_contact(held) for held in _ordered(books.contacts)],
        "invoices": [_invoice(books, held) for held in _ordered(books.invoices)],
        "payments": [_payment(held) for held in _ordered(books.payments)],
        "refunds": [_refund(made) for held in _ordered(books.payments) for made in held.refunds],
        "creditnotes": [_creditnote(held) for held in _ordered(books.creditnotes)],
        "expenses": [_expense(held) for held in _ordered(books.expenses)],
        "banktransactions": [
            {
                "transaction_id": held.id,
                "transaction_type": held.kind,
                "from_account_id": held.from_id,
                "to_account_id": held.to_id,
                "currency_code": held.currency,
                "amount_minor": held.amount_minor,
                "received_minor": held.received_minor,
                "exchange_rate": str(held.rate),
                "bank_charges_minor": held.bank_charges_minor,
                "date": held.date.isoformat(),
                "reference_number": held.reference,
                "description": held.description,
                "matched": bool(held.matched),
            }
            for held in _ordered(books.banktransactions)
        ],
        "journals": [
            {
                "journal_id": held.id,
                "date": held.date.isoformat(),
                "currency_code": held.currency,
                "total_minor": held.total_minor,
                "reference_number": held.reference,
                "notes": held.notes,
            }
            for held in _ordered(books.journals)
        ],
    }


def _ordered(table: Table[R]) -> list[R]:
    return sorted(table.rows.values(), key=lambda record: record.id)


def _sorted(accounts: Iterable[Account]) -> list[Account]:
    return sorted(accounts, key=lambda account: account.id)


def _account(held: Account) -> Document:
    return {
        "account_id": held.id,
        "key": held.key,
        "name": held.name,
        "type": held.type,
        "currency_code": held.currency,
        "balance_minor": held.balance_minor,
        "base_balance_minor": held.base_minor,
    }


def _contact(held: Contact) -> Document:
    return {
        "contact_id": held.id,
        "contact_type": held.kind,
        "name": held.name,
        "email": held.email,
        "currency_code": held.currency,
        "owed_minor": dict(sorted(held.owed_minor.items())),
        "credit_minor": dict(sorted(held.credit_minor.items())),
        "custom_fields": dict(sorted(held.custom.items())),
    }


def _invoice(books: Books, held: Invoice) -> Document:
    return {
        "invoice_id": held.id,
        "invoice_number": held.number,
        "customer_id": held.contact.id,
        "status": status_of(held, books.today(), overdue_hides_partial=books.switches.overdue_hides_partial),
        "currency_code": held.currency,
        "exchange_rate": str(held.rate),
        "date": held.date.isoformat(),
        "due_date": held.due.isoformat(),
        "total_minor": held.total_minor,
        "balance_minor": held.balance_minor,
        "paid_minor": held.payment_made_minor,
        "credits_minor": held.credits_minor,
        "write_off_minor": held.write_off_minor,
        "payment_ids": sorted(a.payment.id for a in held.payments.values()),
        "custom_fields": dict(sorted(held.custom.items())),
    }


def _payment(held: Payment) -> Document:
    return {
        "payment_id": held.id,
        "customer_id": held.contact.id,
        "account_id": held.account_id,
        "currency_code": held.currency,
        "exchange_rate": str(held.rate),
        "amount_minor": held.amount_minor,
        "unused_minor": held.unused_minor,
        "bank_charges_minor": held.bank_charges_minor,
        "date": held.date.isoformat(),
        "payment_mode": held.mode,
        "reference_number": held.reference,
        "description": held.description,
        "matched": bool(held.matched),
        "invoices": [{"invoice_id": a.invoice.id, "amount_minor": a.amount_minor} for a in held.applied],
        "refunded_minor": sum(made.amount_minor for made in held.refunds),
        "custom_fields": dict(sorted(held.custom.items())),
    }


def _refund(made: Refund) -> Document:
    return {
        "payment_refund_id": made.id,
        "payment_id": made.payment.id,
        "from_account_id": made.account_id,
        "currency_code": made.payment.currency,
        "amount_minor": made.amount_minor,
        "date": made.date.isoformat(),
        "reference_number": made.reference,
        "description": made.description,
    }


def _creditnote(held: CreditNote) -> Document:
    return {
        "creditnote_id": held.id,
        "creditnote_number": held.number,
        "customer_id": held.contact.id,
        "status": held.state,
        "currency_code": held.currency,
        "total_minor": held.total_minor,
        "balance_minor": held.balance_minor,
        "date": held.date.isoformat(),
        "invoices": [{"invoice_id": use.invoice.id, "amount_minor": use.amount_minor} for use in held.uses.values()],
        "refunds": [
            {"amount_minor": made.amount_minor, "from_account_id": made.account_id, "reference_number": made.reference}
            for made in held.refunds
        ],
    }


def _expense(held: Expense) -> Document:
    return {
        "expense_id": held.id,
        "paid_through_account_id": held.paid_through_id,
        "vendor_id": held.vendor.id if held.vendor else "",
        "currency_code": held.currency,
        "exchange_rate": str(held.rate),
        "total_minor": held.total_minor,
        "tax_minor": held.tax_minor,
        "date": held.date.isoformat(),
        "reference_number": held.reference,
        "description": held.description,
        "lines": [
            {
                "account_id": line.account_id,
                "amount_minor": line.amount_minor,
                "net_minor": line.net_minor,
                "tax_minor": line.tax_minor,
                "description": line.description,
            }
            for line in held.lines
        ],
        "custom_fields": dict(sorted(held.custom.items())),
    }
