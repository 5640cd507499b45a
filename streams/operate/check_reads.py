"""The reads of the first-run check: the lists of both APIs that its judge needs, as one struct of facts. Nothing is
judged here.

What keeps a list from being read is a fact as well. An API that cannot be reached, or does not accept us, is not asked
again.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from adapters.errors import AdapterError, TransportError
from adapters.gocardless import pages as gocardless_pages
from adapters.gocardless import wire as gocardless_wire
from adapters.http import Answer, Call
from adapters.senders import Send
from adapters.verdicts import Done
from adapters.zoho import amounts
from adapters.zoho import codes as zoho_codes
from adapters.zoho import pages as zoho_pages
from adapters.zoho import wire as zoho_wire
from domain.errors import AmountError, DomainError
from domain.onboarding_facts import (
    OF_ONE_LIST,
    Account,
    Asked,
    BankAccount,
    Contact,
    Creditor,
    Currency,
    Facts,
    Hindrance,
    Organization,
    Seen,
    Tax,
    TaxRate,
    Unread,
    Why,
)
from domain.vocabulary import Api

#: Real seconds for one read. Lower: Zoho's slow lists are cut off. Higher: the person who runs the check waits for a
#: dead API.
_DEADLINE_S: Final = 30.0

#: Pages of one list. Lower: a chart of accounts of thousands is not seen to its end. Higher: one check spends a large
#: part of the quota.
MAX_PAGES: Final = 20

#: GoCardless's statuses of payments that have not come to an end yet.
_UNDER_WAY: Final = ("pending_customer_approval", "pending_submission", "submitted")

Row = dict[str, Any]
T = TypeVar("T")

_decode: Final = msgspec.json.Decoder(Row, float_hook=str).decode


async def read(asked: Asked, sends: Mapping[Api, Send]) -> Facts:
    """All that both APIs show of what the settings ask for, read list after list in this order."""
    reader = _Reader(sends)
    rules = asked.rules
    return Facts(
        organizations=_each(_organization, await reader.zoho("/organizations")),
        creditors=_each(_creditor, await reader.gocardless("creditors")),
        bank_accounts=_each(_bank_account, await reader.gocardless("creditor_bank_accounts")),
        currencies=_each(_currency, await reader.zoho("/settings/currencies")),
        accounts=await _accounts(reader),
        tax_rates=_each(_tax_rate, await reader.gocardless("tax_rates")) if rules.fees else (),
        taxes=_each(_tax, await reader.zoho("/settings/taxes")) if rules.fees and rules.tax else (),
        vendors=await _vendors(reader, rules.vendor) if rules.fees and rules.vendor else (),
        fields={module: _fields(await reader.zoho(f"/{module}", most_pages=1)) for module in asked.modules},
        subscriptions=_counted(await reader.in_status("subscriptions", "active")),
        payments_of_others=await _payments_of_others(reader),
    )


# --- lists ---


class _Rows(list[Row]):
    """A list that was read; `cut`: it goes on beyond the pages that were asked for. `context`: Zoho's `page_context` of
    the first page.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut = False
        self.context: Row = {}


class _Reader:
    """Reads whole lists as plain rows."""

    def __init__(self, sends: Mapping[Api, Send]) -> None:
        self._sends = sends
        self._closed: set[Api] = set()

    async def in_status(self, name: str, status: str) -> _Rows | Unread:
        """The rows of a list of GoCardless that are in a status; that the API keeps to it is not relied upon."""
        rows = await self.gocardless(name, status=status)
        if not isinstance(rows, Unread):
            rows[:] = [row for row in rows if row.get("status") == status]
        return rows

    async def gocardless(self, name: str, **query: str) -> _Rows | Unread:
        """All rows of a list of GoCardless."""
        found = _Rows()
        call: Call | None = Call("GET", f"/{name}", {"limit": str(gocardless_pages.PER_PAGE), **query})
        while call is not None:
            answer = await self._send("gocardless", name, call)
            if isinstance(answer, Unread):
                return answer
            if answer.status != 200:
                return self._gocardless_said_no(name, answer)
            try:
                page = gocardless_wire.page(answer.body, name)
                found.extend(_decode(raw) for raw in page.rows)
            except (DomainError, msgspec.DecodeError, UnicodeDecodeError):
                return self._unread("gocardless", name, "unreadable")
            call = gocardless_pages.next_call(call, page, most_pages=MAX_PAGES)
            found.cut = call is None and bool(page.after)
        return found

    def _gocardless_said_no(self, name: str, answer: Answer) -> Unread:
        problem = gocardless_wire.problem(answer.body)
        said = problem.message or problem.reason if problem is not None else str(answer.status)
        if answer.status == 401:
            return self._unread("gocardless", name, "not_accepted", said)
        if answer.status == 429:
            return self._unread("gocardless", name, "busy")
        if answer.status >= 500 or problem is None:
            return self._unread("gocardless", name, "fault", str(answer.status))
        return self._unread("gocardless", name, "refused", said)

    async def zoho(self, path: str, most_pages: int = MAX_PAGES, **query: str) -> _Rows | Unread:
        """The rows of a list of Zoho Books, which stand under the last part of its path."""
        name = path.rsplit("/", 1)[-1]
        found = _Rows()
        page = 1
        while True:
            call = zoho_pages.page_call(Call("GET", path, {"per_page": str(zoho_pages.PER_PAGE), **query}), page)
            answer = await self._send("zoho", name, call)
            if isinstance(answer, Unread):
                return answer
            body = zoho_codes.examine(answer, writes=False)
            if not isinstance(body, zoho_wire.Body):
                return self._zoho_said_no(name, body if isinstance(body, Done) else None, answer)
            try:
                raws = body.rows(name)
                found.extend(_decode(raw) for raw in raws)
                if page == 1:
                    found.context = _decode(body.fields.get("page_context", b"{}"))
            except (DomainError, msgspec.DecodeError, UnicodeDecodeError):
                return self._unread("zoho", name, "unreadable")
            if not raws or not body.has_more(len(raws), zoho_pages.PER_PAGE):
                return found
            if page >= most_pages:
                found.cut = True
                return found
            page += 1

    def _zoho_said_no(self, name: str, refused: Done | None, answer: Answer) -> Unread:
        if refused is not None:
            return self._unread("zoho", name, "refused", f"code {refused.reason}: {refused.message}")
        if answer.status == 401:
            return self._unread("zoho", name, "not_accepted")
        if answer.status == 429:
            return self._unread("zoho", name, "busy")
        return self._unread("zoho", name, "fault", str(answer.status))

    async def _send(self, api: Api, name: str, call: Call) -> Answer | Unread:
        if api in self._closed:
            return Unread()
        try:
            return await self._sends[api](call, _DEADLINE_S)
        except TransportError as error:
            return self._unread(api, name, "unreachable", error.reason)
        except AdapterError as error:
            return self._unread(api, name, "no_credentials", str(error))

    def _unread(self, api: Api, name: str, why: Why, said: str = "") -> Unread:
        if why not in OF_ONE_LIST:
            self._closed.add(api)
        return Unread((Hindrance(api, name, why, said),))


def _each(shape: Callable[[Row], T], rows: _Rows | Unread) -> tuple[T, ...] | Unread:
    return rows if isinstance(rows, Unread) else tuple(shape(row) for row in rows)


def _counted(rows: _Rows | Unread) -> Seen | Unread:
    return rows if isinstance(rows, Unread) else Seen(len(rows), rows.cut)


# --- rows ---


def _text(row: Row, name: str) -> str | None:
    value = row.get(name)
    return None if value is None else str(value)


def _percentage(shown: object) -> Decimal:
    """A percentage of either side; 0 where it cannot be read."""
    try:
        return amounts.decimal_of(str(shown), "percentage").normalize()
    except AmountError:
        return Decimal(0)


def _organization(row: Row) -> Organization:
    own = str(row.get("organization_id"))
    return Organization(own, str(row.get("name", own)), _text(row, "currency_code"), _text(row, "time_zone"))


def _currency(row: Row) -> Currency:
    try:
        rate = amounts.rate(str(row.get("exchange_rate") or ""))
    except DomainError:
        rate = ""  # 0 or "": never used, so it has no rate
    return Currency(str(row.get("currency_code")), rate)


def _tax(row: Row) -> Tax:
    return Tax(str(row.get("tax_id")), str(row.get("tax_name")), _percentage(row.get("tax_percentage")))


def _contact(row: Row) -> Contact:
    return Contact(
        str(row.get("contact_id")),
        _text(row, "contact_name"),
        _text(row, "contact_type"),
        _text({"status": "active", **row}, "status"),
    )


async def _vendors(reader: _Reader, name: str) -> tuple[Contact, ...] | Unread:
    return _each(_contact, await reader.zoho("/contacts", contact_type="vendor", contact_name=name))


async def _accounts(reader: _Reader) -> tuple[Account, ...] | Unread:
    """The active accounts, each once: the chart has all of them, and Banking the currencies of its own."""
    chart = await reader.zoho("/chartofaccounts", filter_by="AccountType.Active")
    banking = await reader.zoho("/bankaccounts")
    if isinstance(chart, Unread) or isinstance(banking, Unread):
        both = (one.hindrances for one in (chart, banking) if isinstance(one, Unread))
        return Unread(tuple(one for hindrances in both for one in hindrances))
    by_id: dict[str, Row] = {}
    for row in (*chart, *banking):
        if str(row.get("is_active", True)).lower() != "false":
            key = str(row.get("account_id"))
            by_id[key] = {**by_id.get(key, {}), **row}
    return tuple(
        Account(key, str(row.get("account_name")), _text(row, "account_type"), _text(row, "currency_code"))
        for key, row in by_id.items()
    )


def _fields(rows: _Rows | Unread) -> frozenset[str] | Unread:
    """What the custom fields of a module are called, by either of their names."""
    if isinstance(rows, Unread):
        return rows
    shown = rows.context.get("custom_fields") or []
    return frozenset(str(one.get(key)) for one in shown if isinstance(one, dict) for key in ("api_name", "field_name"))


def _creditor(row: Row) -> Creditor:
    return Creditor(
        str(row.get("id", "")),
        _text(row, "name"),
        _text(row, "verification_status"),
        str(row.get("country_code") or ""),
        str(row.get("fx_payout_currency") or ""),
    )


def _bank_account(row: Row) -> BankAccount:
    return BankAccount(str(row.get("id", "")), str(row.get("currency", "")), bool(row.get("enabled", True)))


def _tax_rate(row: Row) -> TaxRate:
    shown = row.get("percentage")
    return TaxRate(
        str(row.get("id")), str(shown), _percentage(shown), _text(row, "jurisdiction"), str(row.get("end_date") or "")
    )


async def _payments_of_others(reader: _Reader) -> Seen | Unread:
    count, cut = 0, False
    for status in _UNDER_WAY:
        rows = await reader.in_status("payments", status)
        if isinstance(rows, Unread):
            return rows
        count += sum(not _ours(row) for row in rows)
        cut = cut or rows.cut
    return Seen(count, cut)


def _ours(payment: Row) -> bool:
    """Whether a payment was made by this connector: it names the command that made it."""
    metadata = payment.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("command")) and bool(metadata.get("zoho_invoice_id"))
