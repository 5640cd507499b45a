"""The endpoints of customer payments, expenses, bank transactions and journals."""

from operator import attrgetter
from typing import Any

from sandbox.zoho import banking, expenses, payments, render_banking, render_money
from sandbox.zoho.books import Books, found
from sandbox.zoho.call import Answer, Call
from sandbox.zoho.endpoints_sales import with_unique
from sandbox.zoho.errors import NotFoundError
from sandbox.zoho.listing import (
    Predicate,
    Spec,
    amounts,
    days,
    exact,
    listed,
    modified_after,
    search,
    texts,
)
from sandbox.zoho.records import BankTransaction, Expense, Journal, Payment, Refund

_MODES = {
    "check": "check", "cash": "cash", "banktransfer": "banktransfer", "creditcard": "creditcard",
    "bankremittance": "bankremittance", "others": "others",
}  # fmt: skip


def _payment_mode(_books: Books, name: str) -> Predicate:
    wanted = _MODES.get(name.lower(), name.lower())
    return lambda payment: bool(payment.mode.lower() == wanted)


PAYMENTS = Spec(
    key="customerpayments",
    report="Payments Received",
    filters={
        **texts("reference_number", attrgetter("reference")),
        **exact("customer_id", attrgetter("contact.id")),
        **texts("customer_name", attrgetter("contact.name")),
        **days("date", attrgetter("date")),
        **amounts("amount", attrgetter("amount_minor")),
        **texts("notes", attrgetter("description")),
        **texts("payment_mode", attrgetter("mode")),
        **search(attrgetter("number"), attrgetter("reference"), attrgetter("contact.name")),
    },
    sorts={"date": attrgetter("date"), "created_time": attrgetter("created_at")},
    default_sort=("date", "D"),
    default_filter="PaymentMode.All",
    statuses=_payment_mode,
)
REFUNDS = Spec(
    key="payment_refunds",
    report="Refunds",
    filters={},
    sorts={"date": attrgetter("date")},
    default_sort=("date", "D"),
    context={},
)
EXPENSES = Spec(
    key="expenses",
    report="Expenses",
    filters={
        **texts("description", attrgetter("description")),
        **texts("reference_number", attrgetter("reference")),
        **days("date", attrgetter("date")),
        **amounts("amount", attrgetter("total_minor")),
        **exact("vendor_id", lambda e: e.vendor.id if e.vendor else ""),
        **exact("customer_id", lambda e: e.customer.id if e.customer else ""),
        **exact("paid_through_account_id", attrgetter("paid_through_id")),
        **search(attrgetter("reference"), attrgetter("description")),
    },
    sorts={
        "date": attrgetter("date"),
        "total": attrgetter("total_minor"),
        "reference_number": attrgetter("reference"),
        "created_time": attrgetter("created_at"),
    },
    default_sort=("created_time", "D"),
    statuses=lambda _books, name: lambda _expense: name == "Nonbillable",
)


def _transaction_status(_books: Books, name: str) -> Predicate:
    if name == "Matched":
        return lambda transaction: bool(transaction.matched)
    return lambda transaction: name in ("Categorized", "ManuallyAdded") and not transaction.matched


TRANSACTIONS = Spec(
    key="banktransactions",
    report="Bank Transactions",
    filters={
        "account_id": lambda _books, value: lambda t: value in (t.from_id, t.to_id),
        **exact("transaction_type", attrgetter("kind")),
        **texts("reference_number", attrgetter("reference")),
        **days("date", attrgetter("date")),
        **amounts("amount", attrgetter("amount_minor")),
        **search(attrgetter("reference"), attrgetter("description")),
    },
    sorts={"date": attrgetter("date")},
    default_sort=("date", "D"),
    statuses=_transaction_status,
    context={},
)
JOURNALS = Spec(
    key="journals",
    report="Manual Journals",
    filters={
        "last_modified_time": modified_after,
        **texts("reference_number", attrgetter("reference")),
        **texts("entry_number", attrgetter("number")),
        **days("date", attrgetter("date")),
    },
    sorts={
        "journal_date": attrgetter("date"),
        "entry_number": lambda j: int(j.number),
        "reference_number": attrgetter("reference"),
        "total": attrgetter("total_minor"),
        "last_modified_time": attrgetter("modified_at"),
    },
    default_sort=("journal_date", "D"),
    default_filter="JournalDate.All",
)

_PAYMENT_MADE = "The payment from the customer has been recorded"
_PAYMENT_CHANGED = "The details of the payment received from the customer have been updated"


# customer payments


def list_payments(call: Call) -> Answer:
    return listed(call, PAYMENTS, call.books.payments.listed(call.books.now()), render_money.payment_row)


def create_payment(call: Call) -> Answer:
    return _payment(call, payments.create(call.books, call.object(), call.cause), _PAYMENT_MADE, status=201)


def upsert_payment(call: Call) -> Answer:
    """201 when made, 200 when changed (reference 2.5)."""
    key, value, may_create = call.unique_key()
    holder = call.books.holder_of(payments.MODULE, key, value)
    if holder is not None:
        changed = payments.update(call.books, found(call.books.payments, holder, "Payment"), call.object())
        return _payment(call, changed, _PAYMENT_CHANGED)
    if not may_create:
        raise NotFoundError("Payment")
    made = payments.create(call.books, with_unique(call.object(), key, value), f"upsert {key} {value}")
    return _payment(call, made, _PAYMENT_MADE, status=201)


def get_payment(call: Call) -> Answer:
    return _payment(call, _named_payment(call), "success")


def update_payment(call: Call) -> Answer:
    return _payment(call, payments.update(call.books, _named_payment(call), call.object()), _PAYMENT_CHANGED)


def delete_payment(call: Call) -> Answer:
    payments.delete(call.books, _named_payment(call))
    return Answer(message="The payment has been deleted.")


def delete_payments(call: Call) -> Answer:
    """Several by `payment_id=a,b`."""
    wanted = [found(call.books.payments, i, "Payment") for i in call.query.get("payment_id", "").split(",") if i]
    for held in wanted:
        payments.delete(call.books, held)
    return Answer(message="The selected customer payments have been deleted.")


def set_payment_fields(call: Call) -> Answer:
    payments.set_custom(call.books, _named_payment(call), call.array())
    return Answer(message="Custom Fields Updated Successfully")


def list_refunds(call: Call) -> Answer:
    return listed(call, REFUNDS, _named_payment(call).refunds, render_money.refund)


def create_refund(call: Call) -> Answer:
    made = payments.refund(call.books, _named_payment(call), call.object(), call.cause)
    return _refund(call, made, "The refund information for this payment has been saved.")


def get_refund(call: Call) -> Answer:
    return _refund(call, _named_refund(call), "success")


def update_refund(call: Call) -> Answer:
    changed = payments.update_refund(call.books, _named_refund(call), call.object())
    return _refund(call, changed, "The refund information has been saved.")


def delete_refund(call: Call) -> Answer:
    payments.delete_refund(call.books, _named_refund(call))
    return Answer(message="The refund has been deleted.")


# expenses


def list_expenses(call: Call) -> Answer:
    return listed(call, EXPENSES, call.books.expenses.listed(call.books.now()), render_money.expense_row)


def create_expense(call: Call) -> Answer:
    return _expense(call, expenses.create(call.books, call.object(), call.cause), status=201)


def upsert_expense(call: Call) -> Answer:
    key, value, may_create = call.unique_key()
    holder = call.books.holder_of(expenses.MODULE, key, value)
    if holder is not None:
        return _expense(call, expenses.update(call.books, found(call.books.expenses, holder, "Expense"), call.object()))
    if not may_create:
        raise NotFoundError("Expense")
    made = expenses.create(call.books, with_unique(call.object(), key, value), f"upsert {key} {value}")
    return _expense(call, made, status=201)


def get_expense(call: Call) -> Answer:
    return Answer({"expense": render_money.expense(call.books, _named_expense(call))})


def update_expense(call: Call) -> Answer:
    return _expense(call, expenses.update(call.books, _named_expense(call), call.object()))


def delete_expense(call: Call) -> Answer:
    expenses.delete(call.books, _named_expense(call))
    return Answer(message="The expense has been deleted.")


# bank transactions


def list_transactions(call: Call) -> Answer:
    account_id = call.query.get("account_id", "")

    def row(books: Books, held: BankTransaction) -> dict[str, Any]:
        return render_banking.banktransaction_row(books, held, account_id)

    return listed(call, TRANSACTIONS, call.books.banktransactions.listed(call.books.now()), row)


def create_transaction(call: Call) -> Answer:
    made = banking.create(call.books, call.object(), call.cause)
    document = {"banktransaction": render_banking.banktransaction(call.books, made)}
    return Answer(document, "The bank transaction has been recorded.", 201, f"banktransactions/{made.id}")


def get_transaction(call: Call) -> Answer:
    return Answer({"banktransaction": render_banking.banktransaction(call.books, _named_transaction(call))})


def update_transaction(call: Call) -> Answer:
    changed = banking.update(call.books, _named_transaction(call), call.object())
    document = {"banktransaction": render_banking.banktransaction(call.books, changed)}
    return Answer(document, "The bank transaction has been updated.")


def delete_transaction(call: Call) -> Answer:
    banking.delete(call.books, _named_transaction(call))
    return Answer(message="The transaction has been deleted.")


# journals


def list_journals(call: Call) -> Answer:
    return listed(call, JOURNALS, call.books.journals.listed(call.books.now()), render_banking.journal_row)


def create_journal(call: Call) -> Answer:
    made = banking.create_journal(call.books, call.object(), call.cause)
    document = {"journal": render_banking.journal(call.books, made)}
    return Answer(document, "The journal entry has been created.", 201, f"journals/{made.id}")


def get_journal(call: Call) -> Answer:
    return Answer({"journal": render_banking.journal(call.books, _named_journal(call))})


def delete_journal(call: Call) -> Answer:
    banking.delete_journal(call.books, _named_journal(call))
    return Answer(message="The selected journal entry has been deleted.")


def _named_payment(call: Call) -> Payment:
    return found(call.books.payments, call.path["id"], "Payment")


def _named_refund(call: Call) -> Refund:
    made = next((held for held in _named_payment(call).refunds if held.id == call.path["row_id"]), None)
    if made is None:
        raise NotFoundError("Refund")
    return made


def _named_expense(call: Call) -> Expense:
    return found(call.books.expenses, call.path["id"], "Expense")


def _named_transaction(call: Call) -> BankTransaction:
    return found(call.books.banktransactions, call.path["id"], "Transaction")


def _named_journal(call: Call) -> Journal:
    return found(call.books.journals, call.path["id"], "Journal")


def _payment(call: Call, held: Payment, message: str, *, status: int = 200) -> Answer:
    document = {"payment": render_money.payment(call.books, held)}
    return Answer(document, message, status, f"customerpayments/{held.id}" if status == 201 else "")


def _refund(call: Call, made: Refund, message: str) -> Answer:
    return Answer({"payment_refunds": render_money.refund(call.books, made)}, message)


def _expense(call: Call, held: Expense, *, status: int = 200) -> Answer:
    made = status == 201
    message = "The expense has been recorded." if made else "Expense information has been updated."
    document = {"expense": render_money.expense(call.books, held)}
    return Answer(document, message, status, f"expenses/{held.id}" if made else "")
