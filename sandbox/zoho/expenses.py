"""Expenses (reference 3.8): one line or many, with tax; their currency is that of the account paid through, rate 1 by
default.
"""

from typing import Any

from sandbox.zoho.books import Books, found
from sandbox.zoho.errors import InvalidError, MissingError
from sandbox.zoho.money import ONE, minor, number, share
from sandbox.zoho.records import Expense, ExpenseLine
from sandbox.zoho.values import REFERENCE_MAX, Body, day, flag, given, needed_text, rows, text

MODULE = "expense"
_DESCRIPTION_MAX = 500
_LINES_MAX = 200
_LINE_FIELDS = ("account_id", "amount", "tax_id", "line_items")


def create(books: Books, body: Body, cause: str) -> Expense:
    """Books an expense. Raises ApiError."""
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom)
    expense_id = books.ids.new(MODULE, cause)
    now = books.now()
    expense = Expense(id=expense_id, created_at=now, modified_at=now, **_read(books, body, expense_id, None))
    books.refuse_locked(expense.date)
    books.writing(books.expenses, expense_id)
    books.expenses.add(expense)
    books.set_custom(MODULE, expense, custom)
    _count(expense, 1)
    _post(books, expense)
    books.announce(MODULE, "created", expense)
    return expense


def update(books: Books, expense: Expense, body: Body) -> Expense:
    """Takes the fields the body names; `line_items`, if named, replaces all lines. A change of nothing leaves times."""
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom, expense.id)
    wanted = _read(books, body, expense.id, expense)
    wanted["custom"] = {**expense.custom, **custom}
    same_lines = [_line_key(line) for line in wanted["lines"]] == [_line_key(line) for line in expense.lines]
    if same_lines and all(getattr(expense, field) == value for field, value in wanted.items() if field != "lines"):
        return expense
    books.refuse_locked(expense.date, wanted["date"])
    books.writing(books.expenses, expense.id)
    books.set_custom(MODULE, expense, custom)
    _count(expense, -1)
    for field, value in wanted.items():
        setattr(expense, field, value)
    _count(expense, 1)
    books.touch(expense)
    _post(books, expense)
    books.announce(MODULE, "edited", expense)
    return expense


def delete(books: Books, expense: Expense) -> None:
    books.refuse_locked(expense.date)
    books.writing(books.expenses, expense.id)
    books.expenses.remove(expense.id)
    books.forget_custom(MODULE, expense)
    _count(expense, -1)
    books.ledger.erase(expense.id)
    books.announce(MODULE, "deleted", expense)


def _read(books: Books, body: Body, expense_id: str, was: Expense | None) -> dict[str, Any]:
    paid_through_id = text(body, "paid_through_account_id", was.paid_through_id if was else "")
    if not paid_through_id:
        raise MissingError("paid_through_account_id")
    paid_through = books.account(paid_through_id, "paid_through_account_id")
    currency = paid_through.currency
    if currency == books.base:
        # Money of the base account can pay a foreign expense; a foreign account pays its own currency only.
        currency = books.currency_of(body, was.currency if was and "paid_through_account_id" not in body else currency)
    elif books.currency_of(body, currency) != currency:
        raise InvalidError("currency_id")
    inclusive = flag(body, "is_inclusive_tax", default=was.inclusive if was else False)
    kept = was.lines if was and inclusive == was.inclusive and not any(f in body for f in _LINE_FIELDS) else None
    lines = kept or _lines(books, body, expense_id, currency, inclusive=inclusive, was=was)
    tax_total = sum(line.tax_minor for line in lines)
    net_total = sum(line.net_minor for line in lines)
    vendor_id = text(body, "vendor_id", was.vendor.id if was and was.vendor else "")
    customer_id = text(body, "customer_id", was.customer.id if was and was.customer else "")
    return {
        "date": day(body, "date", was.date if was else None),
        "paid_through_id": paid_through_id,
        "currency": currency,
        "rate": books.rate_of(body, currency, was.rate if was else ONE),
        "inclusive": inclusive,
        "lines": lines,
        "itemized": bool(rows(body, "line_items")) or (was.itemized if was else False),
        "tax_minor": tax_total,
        "sub_total_minor": net_total,
        "total_minor": net_total + tax_total,
        "reference": text(body, "reference_number", was.reference if was else "", limit=REFERENCE_MAX),
        "description": text(body, "description", was.description if was else "", limit=_DESCRIPTION_MAX),
        "vendor": found(books.contacts, vendor_id, "Vendor") if vendor_id else None,
        "customer": found(books.contacts, customer_id, "Customer") if customer_id else None,
    }


def _lines(
    books: Books, body: Body, expense_id: str, currency: str, *, inclusive: bool, was: Expense | None
) -> list[ExpenseLine]:
    """The itemised lines, or the single line that the body's own fields make."""
    wanted = rows(body, "line_items")
    if len(wanted) > _LINES_MAX:
        raise InvalidError("line_items")
    if not wanted:
        wanted = [_single(body, was)]
    precision = books.precision(currency)
    lines = []
    for place, row in enumerate(wanted):
        account = books.account(needed_text(row, "account_id"))
        if not given(row, "amount"):
            raise MissingError("amount")
        amount = minor(number(row["amount"], "amount"), precision)
        tax = books.tax(text(row, "tax_id"))
        tax_minor = share(amount, tax.percentage, inclusive=inclusive) if tax else 0
        lines.append(
            ExpenseLine(
                id=text(row, "line_item_id") or books.ids.new("expenseline", f"{expense_id} {place}"),
                account_id=account.id,
                description=text(row, "description", limit=_DESCRIPTION_MAX),
                amount_minor=amount,
                tax=tax,
                tax_minor=tax_minor,
                net_minor=amount - tax_minor if inclusive else amount,
            )
        )
    if sum(line.net_minor + line.tax_minor for line in lines) <= 0:
        raise InvalidError("amount")
    return lines


def _single(body: Body, was: Expense | None) -> dict[str, Any]:
    held = was.lines[0] if was else None
    kept: dict[str, Any] = {}
    if held is not None and was is not None:
        kept = {
            "line_item_id": held.id,
            "account_id": held.account_id,
            "tax_id": held.tax.id if held.tax else "",
            "description": held.description,
        }
    named = {field: body[field] for field in ("account_id", "amount", "tax_id", "description") if field in body}
    return {**kept, **named}


def _post(books: Books, expense: Expense) -> None:
    """Each line net to its account, tax to Input VAT, against the account paid through."""
    legs = [books.leg(line.account_id, expense.currency, line.net_minor, expense.rate) for line in expense.lines]
    if expense.tax_minor:
        legs.append(books.leg(books.ledger.system("input_tax").id, expense.currency, expense.tax_minor, expense.rate))
    legs.append(books.leg(expense.paid_through_id, expense.currency, -expense.total_minor, expense.rate))
    books.post(
        "expense",
        expense.id,
        legs,
        when=expense.date,
        reference=expense.reference,
        contact=expense.vendor or expense.customer,
    )


def _count(expense: Expense, step: int) -> None:
    for contact in (expense.vendor, expense.customer):
        if contact is not None:
            contact.transactions += step


def _line_key(line: ExpenseLine) -> tuple[Any, ...]:
    return (line.account_id, line.description, line.amount_minor, line.tax.id if line.tax else "", line.tax_minor)
