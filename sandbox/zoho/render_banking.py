"""Bank transactions and journals on the wire (reference 3.7, 3.8)."""

from sandbox.zoho.banking import moved_base_minor
from sandbox.zoho.books import Books
from sandbox.zoho.money import KNOWN_CURRENCIES
from sandbox.zoho.records import BankTransaction, Journal, JournalLine
from sandbox.zoho.render_common import (
    SUBMISSION,
    Document,
    amount,
    base_amount,
    currency,
    custom_fields,
    times,
)

_JOURNAL_CONSTANT: Document = {
    **SUBMISSION,
    "reversal_date": "",
    "is_period_end_journal": False,
    "journal_template_name": "",
    "journal_number_prefix": "",
    "is_scheduled_reversal": False,
    "branch_difference": [],
    "documents": [],
    "taxes": [],
    "available_receivables_credits": 0,
    "available_payables_credits": 0,
    "comments": [],
    "project_id": "",
    "project_name": "",
    "imported_transactions": [],
    # Recorded as a text where a list is meant.
    "custom_fields": "",
    "invoices_credited": [],
    "bills_credited": [],
    "is_accrual_journal": False,
    "tags": [],
    "approvers_list": [],
}
_JOURNAL_LINE_CONSTANT: Document = {
    "tax_exemption_id": "",
    "tax_exemption_type": "",
    "tax_authority_id": "",
    "tax_id": "",
    "tax_name": "",
    "tax_type": "tax",
    "tax_percentage": "",
    "line_item_taxes": [],
    "project_name": "",
    "project_id": "",
    "tags": [],
}


def banktransaction(books: Books, held: BankTransaction) -> Document:
    """The `banktransaction` of a GET, POST or PUT."""
    accounts = books.ledger.accounts
    total = amount(books, held.amount_minor, held.currency)
    contact = held.customer
    return {
        "transaction_id": held.id,
        "from_account_id": held.from_id,
        "from_account_name": accounts[held.from_id].name,
        "to_account_id": held.to_id,
        "to_account_name": accounts[held.to_id].name,
        "transaction_type": held.kind,
        "currency_id": books.currencies[held.currency].id,
        "currency_code": held.currency,
        "payment_mode": held.payment_mode,
        "exchange_rate": held.rate,
        "date": held.date.isoformat(),
        "customer_id": contact.id if contact else "",
        "customer_name": contact.name if contact else "",
        "vendor_id": "",
        "vendor_name": "",
        "reference_number": held.reference,
        "description": held.description,
        "bank_charges": amount(books, held.bank_charges_minor, held.currency),
        "tax_id": "",
        "tax_name": "",
        "tax_percentage": 0,
        "tax_amount": 0,
        "is_inclusive_tax": False,
        "documents": [],
        "sub_total": total,
        "total": total,
        "bcy_total": base_amount(books, moved_base_minor(books, held)),
        "amount": total,
        "imported_transactions": held.matched,
        "tags": [],
        "line_items": [],
        **times(books, held),
        **custom_fields(books, "banktransaction", held),
    }


def banktransaction_row(books: Books, held: BankTransaction, account_id: str) -> Document:
    """One row of a list, seen from the account asked for, or the one the money left."""
    accounts = books.ledger.accounts
    incoming = held.to_id == account_id or (not account_id and not accounts[held.from_id].banking)
    own, other = (held.to_id, held.from_id) if incoming else (held.from_id, held.to_id)
    account = accounts[own]
    shown_minor = held.received_minor if incoming else held.amount_minor
    contact = held.customer
    return {
        "transaction_id": held.id,
        "date": held.date.isoformat(),
        "amount": amount(books, shown_minor, account.currency),
        "transaction_type": held.kind,
        "status": "matched" if held.matched else "manually_added",
        "source": "manually_added",
        "account_id": own,
        "account_name": account.name,
        "account_type": account.type,
        "price_precision": books.precision(account.currency),
        "customer_id": contact.id if contact else "",
        "payee": contact.name if contact else "",
        "is_paid_via_print_check": False,
        "description": held.description,
        "currency_id": books.currencies[account.currency].id,
        "currency_code": account.currency,
        "currency_symbol": KNOWN_CURRENCIES[account.currency].symbol,
        "debit_or_credit": "debit" if incoming else "credit",
        "offset_account_name": accounts[other].name,
        "is_offsetaccount_matched": False,
        "reference_number": held.reference,
        "imported_transaction_id": "",
        "is_rule_exist": False,
        "rule_details": {},
        "imported_transactions": held.matched,
    }


def journal(books: Books, held: Journal) -> Document:
    """The `journal` of a GET or POST."""
    code = held.currency
    return {
        **_JOURNAL_CONSTANT,
        **_journal(books, held),
        "journal_number_suffix": held.number,
        "fiscal_year": held.date.year,
        **currency(books, code),
        "exchange_rate": held.rate,
        "line_items": [_journal_line(books, held, line, place) for place, line in enumerate(held.lines, 1)],
        "line_item_total": amount(books, held.total_minor, code),
        "price_precision": books.precision(code),
        "created_time": books.stamp(held.created_at),
    }


def journal_row(books: Books, held: Journal) -> Document:
    return {
        **_journal(books, held),
        "currency_id": books.currencies[held.currency].id,
        "entity_type": "journal",
        "tags": [],
        "created_by_id": books.user_id,
        "created_by_name": books.org.contact_name,
    }


def _journal(books: Books, held: Journal) -> Document:
    return {
        "journal_id": held.id,
        "journal_date": held.date.isoformat(),
        "entry_number": held.number,
        "reference_number": held.reference,
        "notes": held.notes,
        "journal_type": held.kind,
        "status": "published" if held.published else "draft",
        "total": amount(books, held.total_minor, held.currency),
        "bcy_total": base_amount(books, books.base_minor(held.total_minor, held.currency, held.rate)),
        "last_modified_time": books.stamp(held.modified_at),
    }


def _journal_line(books: Books, held: Journal, line: JournalLine, place: int) -> Document:
    contact = line.contact
    return {
        **_JOURNAL_LINE_CONSTANT,
        "line_id": line.id,
        "item_order": place,
        "account_id": line.account_id,
        "account_name": books.ledger.accounts[line.account_id].name,
        "customer_id": contact.id if contact else "",
        "customer_name": contact.name if contact else "",
        "description": line.description,
        "debit_or_credit": "debit" if line.debit else "credit",
        "amount": amount(books, line.amount_minor, held.currency),
        "bcy_amount": base_amount(books, books.base_minor(line.amount_minor, held.currency, held.rate)),
    }
