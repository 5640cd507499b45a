"""Commands → calls, and answers → what they mean for the command. Pure: the executor sends, waits and asks again.

Zoho has no idempotency key. Payments and expenses are written by upsert on a unique custom field, so that a repeat
finds the first; the key also stands in the description, which is all of it that a list shows. Transfers and refunds
have no upsert: they are searched for by marker or reference before a repeat. Zoho ignores a filter that it does not
know and answers with the whole list, so each row of a search is checked. Source: Zoho Books API v3: customer payments,
expenses, bank transactions, invoices, contacts.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from adapters.http import Answer, Call
from adapters.verdicts import ABSENT, Done, Follow, Retry, Step, Unknown, Verdict
from adapters.zoho import amounts, codes, pages, wire
from domain import commands as c
from domain.errors import DomainError

R = TypeVar("R", bound=wire.Row)

#: Pages of one search. Lower: an ignored filter hides our row behind other people's. Higher: such a search eats the
#: day's calls.
LOOK_UP_PAGES: Final = 50

#: Characters, by the API's pages: a reference, an expense's description; elsewhere no limit is stated and this is what
#: is sent.
_REFERENCE_LENGTH: Final = 100
_EXPENSE_TEXT_LENGTH: Final = 100
_TEXT_LENGTH: Final = 250

#: A mode that every organisation has. "autotransaction" is what Zoho's own gateways write and would change how refunds
#: behave.
_MODE: Final = "banktransfer"

_encode: Final = msgspec.json.Encoder().encode


# --- calls ------------------------------------------------------------------------------------------------------------


def send_call(command: c.Command) -> Call:
    """The command's own call. Raises `ValueError` for a command of another API."""
    match command.data:
        case c.CreateCustomerPayment() as data:
            return _upsert("/customerpayments", data.unique_field, data.unique_value, _payment_body(data))
        case c.CreateExpense() as data:
            return _upsert("/expenses", data.unique_field, data.unique_value, _expense_body(data))
        case c.UnapplyPayment() as data:
            return Call("PUT", _payment_path(data.payment), body=_encode({"invoices": []}), headers=_JSON)
        case c.RefundPayment() as data:
            return Call(
                "POST", f"{_payment_path(data.payment)}/refunds", body=_encode(_refund_body(data)), headers=_JSON
            )
        case c.CreateTransfer() as data:
            return Call("POST", "/banktransactions", body=_encode(_transfer_body(data)), headers=_JSON)
        case c.ReadInvoice(invoice=invoice):
            return Call("GET", f"/invoices/{quote(invoice, safe='')}")
        case c.ReadContact(contact=contact):
            return Call("GET", f"/contacts/{quote(contact, safe='')}")
        case c.ListOpenInvoices():
            return pages.first("zoho.open_invoices")
        case _:
            raise ValueError(f"{command.type} is not a command for Zoho Books")


def look_up_call(command: c.Command) -> Call | None:
    """The search for an earlier effect of the command; None for reads, whose repeat harms nothing."""
    match command.data:
        case c.CreateCustomerPayment() as data:
            return _list("/customerpayments", reference_number=data.reference, customer_id=data.customer)
        case c.CreateExpense() as data:
            return _list("/expenses", reference_number=data.reference)
        case c.UnapplyPayment() as data:
            return Call("GET", _payment_path(data.payment))
        case c.RefundPayment() as data:
            return _list(f"{_payment_path(data.payment)}/refunds")
        case c.CreateTransfer() as data:
            return _list("/banktransactions", account_id=data.from_account, reference_number=data.reference)
        case _:
            return None


_JSON: Final = {"Content-Type": "application/json"}


def _upsert(path: str, field: str, value: str, body: dict[str, Any]) -> Call:
    headers = {**_JSON, "X-Unique-Identifier-Key": field, "X-Unique-Identifier-Value": value, "X-Upsert": "true"}
    body["custom_fields"] = [{"api_name": field, "value": value}]
    return Call("PUT", path, body=_encode(body), headers=headers)


def _list(path: str, **filters: str) -> Call:
    shown = {name: value[:_REFERENCE_LENGTH] for name, value in filters.items() if value}
    return Call("GET", path, {**shown, "page": "1", "per_page": str(pages.PER_PAGE)})


def _payment_path(payment: str) -> str:
    return f"/customerpayments/{quote(payment, safe='')}"


def _payment_body(data: c.CreateCustomerPayment) -> dict[str, Any]:
    return {
        "customer_id": data.customer,
        "payment_mode": _MODE,
        "amount": amounts.amount_number(data.amount_minor, data.currency),
        "date": data.date,
        "reference_number": data.reference[:_REFERENCE_LENGTH],
        "description": _marked(data.description, data.unique_value, _TEXT_LENGTH),
        "account_id": data.account,
        **_rate(data.exchange_rate),
        "invoices": [
            {"invoice_id": part.invoice, "amount_applied": amounts.amount_number(part.amount_minor, data.currency)}
            for part in data.applied
        ],
    }


def _refund_body(data: c.RefundPayment) -> dict[str, Any]:
    return {
        "date": data.date,
        "refund_mode": _MODE,
        "reference_number": data.reference[:_REFERENCE_LENGTH],
        "amount": amounts.amount_number(data.amount_minor, data.currency),
        **_rate(data.exchange_rate),
        "from_account_id": data.account,
        "description": data.description[:_TEXT_LENGTH],
    }


def _expense_body(data: c.CreateExpense) -> dict[str, Any]:
    lines = [
        {
            "account_id": data.account,
            "description": line.description[:_EXPENSE_TEXT_LENGTH],
            "amount": amounts.amount_number(line.amount_minor, data.currency),
            **({"tax_id": line.tax} if line.tax else {}),
        }
        for line in data.lines
    ]
    return {
        "account_id": data.account,
        "paid_through_account_id": data.paid_through,
        "date": data.date,
        "amount": amounts.amount_number(data.amount_minor, data.currency),
        "is_inclusive_tax": True,
        "reference_number": data.reference[:_REFERENCE_LENGTH],
        "description": _marked(data.description, data.unique_value, _EXPENSE_TEXT_LENGTH),
        **({"vendor_id": data.vendor} if data.vendor else {}),
        **_rate(data.exchange_rate),
        "line_items": lines,
    }


def _transfer_body(data: c.CreateTransfer) -> dict[str, Any]:
    return {
        "transaction_type": "transfer_fund",
        "from_account_id": data.from_account,
        "to_account_id": data.to_account,
        "amount": amounts.amount_number(data.amount_minor, data.currency),
        **_rate(data.exchange_rate),
        "date": data.date,
        "reference_number": data.reference[:_REFERENCE_LENGTH],
        "description": _marked(data.description, data.marker, _TEXT_LENGTH),
    }


def _rate(text: str) -> dict[str, msgspec.Raw]:
    return {"exchange_rate": amounts.rate_number(text)} if text else {}


def _marked(description: str, key: str, limit: int) -> str:
    """The description with the key in it, whole, where a list shows it."""
    if len(description) <= limit and wire.shows_key([description], key):
        return description
    return f"{description[: max(0, limit - len(key) - 3)]} [{key}]".lstrip()


# --- verdicts ---------------------------------------------------------------------------------------------------------


def verdict(command: c.Command, step: Step, call: Call, answer: Answer) -> Verdict:
    """What an answer means. `step` "send", "look_up" or "follow"; a write follows only from a look-up, so its find is
    `found`.
    """
    searching = command.writes and step != "send"
    body = codes.examine(answer, writes=command.writes and not searching)
    if not isinstance(body, wire.Body):
        return _search_refused(body, call) if searching else body
    try:
        return _meaning(command.data, call, body, answer.status, searching=searching)
    except wire.WireError:
        return codes.unclear("unreadable", writes=command.writes)


def _meaning(data: c.AnyCommandData, call: Call, body: wire.Body, status: int, *, searching: bool) -> Verdict:
    match data:
        case c.CreateCustomerPayment():
            if not searching:
                return _payment_written(data, body, status)
            return (
                _payment_searched(data, call, body) if call.path == "/customerpayments" else _payment_found(data, body)
            )
        case c.CreateExpense():
            return _expense_searched(data, call, body) if searching else _expense_written(data, body, status)
        case c.UnapplyPayment():
            return _unapplied(data, body, searching=searching)
        case c.RefundPayment():
            return _refund_searched(data, call, body) if searching else _refund_written(data, body)
        case c.CreateTransfer():
            return _transfer_searched(data, call, body) if searching else _transfer_written(data, body)
        case c.ReadInvoice(invoice=invoice):
            return _read(body, "invoice", "invoice_id", invoice)
        case c.ReadContact(contact=contact):
            return _read(body, "contact", "contact_id", contact)
        case c.ListOpenInvoices():
            return _listed(call, body)
        case _:
            raise ValueError(f"{type(data).__name__} is not a command for Zoho Books")


def _search_refused(said: Verdict, call: Call) -> Verdict:
    """A search that is refused says nothing about the write, except that what it would have changed is gone."""
    gone = isinstance(said, Done) and said.reason == str(codes.NOT_THERE) and call.path.startswith("/customerpayments/")
    return Unknown(f"look_up_refused: {said.reason}") if isinstance(said, Done) and not gone else said


def _resource(body: wire.Body, shape: type[R], *names: str) -> R:
    """The resource of an answer; a list of one is taken as that one. Raises `WireError`."""
    raw = body.one(*names)
    if raw is None:
        raise wire.WireError(f"the answer holds no {names[0]}")
    if bytes(raw)[:1] == b"[":
        several = wire.elements(raw)
        if len(several) != 1:
            raise wire.WireError(f"the answer holds {len(several)} {names[0]}")
        raw = several[0]
    return wire.read(raw, shape)


def _same_money(shown: str, shown_currency: str, amount_minor: int, currency: str) -> bool:
    try:
        return shown_currency in ("", currency) and amounts.minor(shown, currency, "amount") == amount_minor
    except DomainError:
        return False


def _made(resource_id: str, *, same_money: bool, found: bool, reason: str = "") -> Done:
    if not same_money:
        text = "Zoho shows another amount or currency than was asked for"
        return Done("refused", resource_id, reason="amount_mismatch", message=text, found=found)
    return Done("succeeded", resource_id, reason=reason, found=found)


def updated(status: int, created_time: str, updated_time: str) -> bool:
    """Whether an upsert changed a record that was there. Zoho's pages promise no status for it: 201 is a creation; with
    200, a record whose two times are one was made just now, or is as it was.
    """
    return status != 201 and (not created_time or created_time != updated_time)


def _payment_written(data: c.CreateCustomerPayment, body: wire.Body, status: int) -> Done:
    row = _resource(body, wire.PaymentRow, "payment", "customer_payment")
    old = updated(status, row.created_time, row.updated_time)
    return _payment_checked(data, row, found=old, reason="updated" if old else "")


def _payment_checked(data: c.CreateCustomerPayment, row: wire.PaymentRow, *, found: bool, reason: str = "") -> Done:
    payment = wire.require_id(row.payment_id, "payment_id")
    key = wire.custom_value(data.unique_field, row.custom_fields, row.custom_field_hash)
    if key not in ("", data.unique_value):
        return Done(
            "refused",
            payment,
            reason="key_mismatch",
            message="Zoho answered with the payment of another key",
            found=found,
        )
    same = _same_money(row.amount, row.currency_code, data.amount_minor, data.currency)
    return _made(payment, same_money=same, found=found, reason=reason)


def _payment_found(data: c.CreateCustomerPayment, body: wire.Body) -> Verdict:
    row = _resource(body, wire.PaymentRow, "payment", "customer_payment")
    return (
        _payment_checked(data, row, found=True)
        if _is_ours(row, data.unique_field, data.unique_value)
        else Retry(ABSENT)
    )


def _is_ours(row: wire.PaymentRow | wire.ExpenseRow, field: str, key: str) -> bool:
    """By the unique field where it is shown, otherwise by the key in the description. The reference alone is not
    enough: a payment that was reversed and collected again has the same one.
    """
    shown = wire.custom_value(field, row.custom_fields, row.custom_field_hash)
    return shown == key if shown else wire.shows_key([row.description], key)


def _search(
    call: Call, body: wire.Body, shape: type[R], names: tuple[str, ...], is_hit: Callable[[R], bool], *, upsert: bool
) -> list[R] | Verdict:
    """The hits of a page of a search; without one, the next page, or the verdict that ends it.

    `upsert`: the write itself would find an earlier one, so a search that cannot see everything may still end as
    absent.
    """
    raws = body.rows(*names)
    hits: list[R] = []
    unreadable = False
    for raw in raws:
        try:
            row = wire.read(raw, shape)
        except wire.WireError:
            unreadable = True
            continue
        if is_hit(row):
            hits.append(row)
    if hits:
        return hits
    if unreadable and not upsert:
        return Unknown("look_up_unreadable")
    page = pages.page_of(call)
    if not raws or not body.has_more(len(raws), pages.PER_PAGE):
        return Retry(ABSENT)
    if page >= LOOK_UP_PAGES:
        return Retry(ABSENT) if upsert else Unknown("look_up_unfinished")
    return Follow(pages.page_call(call, page + 1))


def _several(hits: list[R]) -> str:
    return "duplicate" if len(hits) > 1 else ""


def _payment_searched(data: c.CreateCustomerPayment, call: Call, body: wire.Body) -> Verdict:
    def ours(row: wire.PaymentRow) -> bool:
        return _is_ours(row, data.unique_field, data.unique_value)

    hits = _search(call, body, wire.PaymentRow, ("customerpayments", "customer_payments"), ours, upsert=True)
    if not isinstance(hits, list):
        return hits
    payment = wire.require_id(hits[0].payment_id, "payment_id")
    return Follow(Call("GET", _payment_path(payment)), found=True)  # the list shows no currency and no applied amounts


def _expense_money(data: c.CreateExpense, row: wire.ExpenseRow) -> bool:
    return _same_money(row.total or row.amount, row.currency_code, data.amount_minor, data.currency)


def _expense_written(data: c.CreateExpense, body: wire.Body, status: int) -> Done:
    row = _resource(body, wire.ExpenseRow, "expense")
    old = updated(status, row.created_time, row.last_modified_time)
    expense = wire.require_id(row.expense_id, "expense_id")
    tax_minor = sum(line.tax_minor for line in data.lines)
    taxed = not row.tax_amount or _same_money(row.tax_amount, "", tax_minor, data.currency)
    reason = "updated" if old else "" if taxed else "tax_mismatch"
    return _made(expense, same_money=_expense_money(data, row), found=old, reason=reason)


def _expense_searched(data: c.CreateExpense, call: Call, body: wire.Body) -> Verdict:
    def ours(row: wire.ExpenseRow) -> bool:
        return _is_ours(row, data.unique_field, data.unique_value)

    hits = _search(call, body, wire.ExpenseRow, ("expenses",), ours, upsert=True)
    if not isinstance(hits, list):
        return hits
    expense = wire.require_id(hits[0].expense_id, "expense_id")
    return _made(expense, same_money=_expense_money(data, hits[0]), found=True, reason=_several(hits))


def _unapplied(data: c.UnapplyPayment, body: wire.Body, *, searching: bool) -> Verdict:
    row = _resource(body, wire.PaymentRow, "payment", "customer_payment")
    payment = wire.require_id(row.payment_id, "payment_id")
    if not _same_money(row.amount, row.currency_code, data.amount_minor, data.currency):
        return _made(payment, same_money=False, found=searching)
    if not wire.elements(row.invoices):
        # Less may be unused, when our own refund was made already; Zoho itself refunds no more than what is unused.
        return Done("succeeded", payment, found=searching)
    if searching:
        return Retry(ABSENT)
    return Done("refused", payment, reason="not_unused", message="the payment is still applied to an invoice")


def _refund_money(data: c.RefundPayment, row: wire.RefundRow) -> bool:
    return _same_money(row.amount or row.amount_fcy, "", data.amount_minor, data.currency)


def _refund_written(data: c.RefundPayment, body: wire.Body) -> Done:
    row = _resource(body, wire.RefundRow, "payment_refunds", "payment_refund")
    return _made(
        wire.require_id(row.payment_refund_id, "payment_refund_id"), same_money=_refund_money(data, row), found=False
    )


def _refund_searched(data: c.RefundPayment, call: Call, body: wire.Body) -> Verdict:
    def ours(row: wire.RefundRow) -> bool:
        return row.reference_number == data.reference[:_REFERENCE_LENGTH]

    hits = _search(call, body, wire.RefundRow, ("payment_refunds",), ours, upsert=False)
    if not isinstance(hits, list):
        return hits
    refund = wire.require_id(hits[0].payment_refund_id, "payment_refund_id")
    return _made(refund, same_money=_refund_money(data, hits[0]), found=True, reason=_several(hits))


def _transfer_money(data: c.CreateTransfer, row: wire.TransactionRow) -> bool:
    return _same_money(row.amount, row.currency_code, data.amount_minor, data.currency)


def _transfer_written(data: c.CreateTransfer, body: wire.Body) -> Done:
    row = _resource(body, wire.TransactionRow, "banktransaction")
    return _made(
        wire.require_id(row.transaction_id, "transaction_id"), same_money=_transfer_money(data, row), found=False
    )


def _transfer_searched(data: c.CreateTransfer, call: Call, body: wire.Body) -> Verdict:
    def ours(row: wire.TransactionRow) -> bool:
        return row.transaction_type in ("", "transfer_fund") and wire.shows_key([row.description], data.marker)

    hits = _search(call, body, wire.TransactionRow, ("banktransactions",), ours, upsert=False)
    if not isinstance(hits, list):
        return hits
    transfer = wire.require_id(hits[0].transaction_id, "transaction_id")
    return _made(transfer, same_money=_transfer_money(data, hits[0]), found=True, reason=_several(hits))


def _read(body: wire.Body, member: str, id_field: str, wanted: str) -> Verdict:
    raw = body.one(member)
    if raw is None or wire.scalar(wire.members(raw).get(id_field, wire.NOTHING)) != wanted:
        return Retry("another_resource")
    return Done("succeeded", wanted)


def _listed(call: Call, body: wire.Body) -> Verdict:
    """One page of the open invoices: the next, or the end."""
    raws = body.rows("invoices")
    page = pages.page_of(call)
    if not raws or not body.has_more(len(raws), pages.PER_PAGE):
        return Done("succeeded")
    if page >= pages.MAX_PAGES:
        return Done(
            "refused", reason="too_many_pages", message=f"more than {pages.MAX_PAGES * pages.PER_PAGE} open invoices"
        )
    return Follow(pages.page_call(call, page + 1))
