"""Bank transactions and journals (reference 3.7, 3.8): transfers between accounts, other money in and out, entries by
hand.

A transfer's amount is in the currency of the account it leaves. Between currencies the rate is base units per one
foreign unit, and the base account gets or gives amount * rate.
"""

from typing import Any

from sandbox.zoho.books import Books, found
from sandbox.zoho.errors import BANK_MATCHED, IN_USE, InvalidError, MissingError, RefusedError
from sandbox.zoho.ledger import Account, Leg
from sandbox.zoho.money import ONE
from sandbox.zoho.records import BankTransaction, Journal, JournalLine
from sandbox.zoho.values import (
    REFERENCE_MAX,
    Body,
    amount_minor,
    day,
    needed_text,
    positive_minor,
    rows,
    text,
)

MODULE = "banktransaction"
JOURNAL = "journal"
KINDS = frozenset(
    {
        "deposit", "refund", "transfer_fund", "card_payment", "sales_without_invoices", "expense_refund",
        "owner_contribution", "interest_income", "other_income", "owner_drawings", "sales_return",
    }
)  # fmt: skip
_DESCRIPTION_MAX = 500


def create(books: Books, body: Body, cause: str) -> BankTransaction:
    """Books a transaction from one account to another; one side must be a banking account, both for a transfer."""
    custom = books.custom_values(MODULE, body)
    now = books.now()
    transaction_id = books.ids.new(MODULE, cause)
    made = BankTransaction(id=transaction_id, created_at=now, modified_at=now, **_read(books, body, None))
    books.refuse_locked(made.date)
    books.writing(books.banktransactions, transaction_id)
    books.banktransactions.add(made)
    books.set_custom(MODULE, made, custom)
    _post(books, made)
    books.announce(MODULE, "created", made)
    return made


def update(books: Books, made: BankTransaction, body: Body) -> BankTransaction:
    wanted = _read(books, body, made)
    if all(getattr(made, field) == value for field, value in wanted.items()):
        return made
    _refuse_matched(made)
    books.refuse_locked(made.date, wanted["date"])
    books.writing(books.banktransactions, made.id)
    for field, value in wanted.items():
        setattr(made, field, value)
    books.touch(made)
    _post(books, made)
    books.announce(MODULE, "edited", made)
    return made


def delete(books: Books, made: BankTransaction) -> None:
    _refuse_matched(made)
    books.refuse_locked(made.date)
    books.writing(books.banktransactions, made.id)
    books.banktransactions.remove(made.id)
    books.ledger.erase(made.id)
    books.announce(MODULE, "deleted", made)


def moved_base_minor(books: Books, made: BankTransaction) -> int:
    """The amount moved, in base. Out of a base account it is the amount itself: the rate then speaks of the other
    side.
    """
    if made.currency == books.base:
        return made.amount_minor
    return books.base_minor(made.amount_minor, made.currency, made.rate)


def create_journal(books: Books, body: Body, cause: str) -> Journal:
    """An entry by hand; published when no status is named. Debits equal credits."""
    when = day(body, "journal_date")
    books.refuse_locked(when)
    currency = books.currency_of(body, books.base)
    journal_id = books.ids.new(JOURNAL, cause)
    lines = [
        _journal_line(books, row, journal_id, place, currency) for place, row in enumerate(rows(body, "line_items"))
    ]
    debits = sum(line.amount_minor for line in lines if line.debit)
    if not lines or debits != sum(line.amount_minor for line in lines if not line.debit):
        raise RefusedError(IN_USE, "Debits and credits must be equal.")
    now = books.now()
    journal = Journal(
        id=journal_id,
        created_at=now,
        modified_at=now,
        number=books.next_number(JOURNAL, "", 0),
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        date=when,
        notes=text(body, "notes", limit=_DESCRIPTION_MAX),
        kind=text(body, "journal_type", "both") or "both",
        currency=currency,
        rate=books.rate_of(body, currency, books.rate_on(currency, when)),
        published=text(body, "status", "published") != "draft",
        lines=lines,
        total_minor=debits,
    )
    books.writing(books.journals, journal_id)
    books.journals.add(journal)
    if journal.published:
        legs = [
            books.leg(line.account_id, currency, line.amount_minor if line.debit else -line.amount_minor, journal.rate)
            for line in lines
        ]
        books.post("journal", journal_id, legs, when=when, reference=journal.reference, contact=None)
    books.announce(JOURNAL, "created", journal)
    return journal


def delete_journal(books: Books, journal: Journal) -> None:
    books.refuse_locked(journal.date)
    books.writing(books.journals, journal.id)
    books.journals.remove(journal.id)
    books.ledger.erase(journal.id)
    books.announce(JOURNAL, "deleted", journal)


def _read(books: Books, body: Body, was: BankTransaction | None) -> dict[str, Any]:
    kind = text(body, "transaction_type", was.kind if was else "")
    if not kind:
        raise MissingError("transaction_type")
    if kind not in KINDS:
        raise InvalidError("Transaction Type")
    source = books.account(_account_id(body, "from_account_id", was.from_id if was else ""), "from_account_id")
    target = books.account(_account_id(body, "to_account_id", was.to_id if was else ""), "to_account_id")
    _refuse_sides(kind, source, target)
    when = day(body, "date", was.date if was else books.today())
    currency = source.currency if source.banking else target.currency
    foreign = source.currency if source.currency != books.base else target.currency
    if (
        source.banking
        and target.banking
        and source.currency != target.currency
        and books.base
        not in (
            source.currency,
            target.currency,
        )
    ):
        raise InvalidError("to_account_id")
    precision = books.precision(currency)
    amount = (
        amount_minor(body, "amount", precision, was.amount_minor) if was else positive_minor(body, "amount", precision)
    )
    at = books.rate_of(body, foreign, was.rate if was else books.rate_on(foreign, when))
    customer_id = text(body, "customer_id", was.customer.id if was and was.customer else "")
    charges = amount_minor(body, "bank_charges", precision, was.bank_charges_minor if was else 0)
    return {
        "kind": kind,
        "from_id": source.id,
        "to_id": target.id,
        "currency": currency,
        "rate": at,
        "amount_minor": amount,
        "received_minor": _received(books, currency, target, amount, at),
        "bank_charges_minor": charges,
        "date": when,
        "reference": text(body, "reference_number", was.reference if was else "", limit=REFERENCE_MAX),
        "description": text(body, "description", was.description if was else "", limit=_DESCRIPTION_MAX),
        "payment_mode": text(body, "payment_mode", was.payment_mode if was else ""),
        "customer": found(books.contacts, customer_id, "Customer") if customer_id else None,
    }


def _received(books: Books, currency: str, target: Account, amount: int, at: Any) -> int:
    """What arrives, in the target account's currency."""
    if target.currency == currency:
        return amount
    if target.currency == books.base:
        return books.base_minor(amount, currency, at)
    return books.foreign_minor(amount, target.currency, at)


def _post(books: Books, made: BankTransaction) -> None:
    source, target = books.ledger.accounts[made.from_id], books.ledger.accounts[made.to_id]
    base_minor = moved_base_minor(books, made)
    given = made.amount_minor if source.currency == made.currency else base_minor
    legs = [
        Leg(source.id, source.currency, -given, -base_minor),
        Leg(target.id, target.currency, made.received_minor, base_minor),
    ]
    if made.bank_charges_minor:
        fee = books.ledger.system("bank_fees").id
        at = ONE if made.currency == books.base else made.rate
        legs.append(books.leg(fee, made.currency, made.bank_charges_minor, at))
        legs.append(books.leg(source.id, made.currency, -made.bank_charges_minor, at))
    books.post(made.kind, made.id, legs, when=made.date, reference=made.reference, contact=made.customer)


def _refuse_sides(kind: str, source: Account, target: Account) -> None:
    if source is target:
        raise InvalidError("to_account_id")
    if kind == "transfer_fund" and not (source.banking and target.banking):
        raise InvalidError("Transaction Type")
    if not (source.banking or target.banking):
        raise InvalidError("Transaction Type")


def _refuse_matched(made: BankTransaction) -> None:
    if made.matched:
        raise RefusedError(BANK_MATCHED, "The transaction is matched with a bank transaction.")


def _account_id(body: Body, field: str, held: str) -> str:
    return text(body, field) or held or needed_text(body, field)


def _journal_line(books: Books, row: dict[str, Any], journal_id: str, place: int, currency: str) -> JournalLine:
    account = books.account(needed_text(row, "account_id"))
    if account.currency not in (currency, books.base):
        raise InvalidError("account_id")
    side = needed_text(row, "debit_or_credit")
    if side not in ("debit", "credit"):
        raise InvalidError("debit_or_credit")
    customer_id = text(row, "customer_id")
    if account.type in ("accounts_receivable", "accounts_payable") and not customer_id:
        raise MissingError("customer_id")
    return JournalLine(
        id=books.ids.new("journalline", f"{journal_id} {place}"),
        account_id=account.id,
        contact=found(books.contacts, customer_id, "Customer") if customer_id else None,
        description=text(row, "description", limit=_DESCRIPTION_MAX),
        debit=side == "debit",
        amount_minor=positive_minor(row, "amount", books.precision(currency)),
    )
