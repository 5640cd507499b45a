"""Filling the books for a scenario (`POST /_sandbox/zoho/populate`): settings, customers and invoices, some of which
appear at a later simulated time, as if a person had made them then.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sandbox.world import parse_utc
from sandbox.zoho import contacts, invoices, settings
from sandbox.zoho.books import Books
from sandbox.zoho.records import Invoice

Document = dict[str, Any]
Later = Callable[[datetime, Callable[[], None]], None]

_MODULES = {
    "contacts": "contact", "customer": "contact", "invoices": "invoice", "payment": "customerpayment",
    "payments": "customerpayment", "customerpayments": "customerpayment", "customer_payment": "customerpayment",
    "expenses": "expense", "creditnotes": "creditnote", "banktransactions": "banktransaction",
}  # fmt: skip
_PERSON = ("email", "first_name", "last_name", "phone", "mobile")


class Population:
    """One populate document put into the books. Ids come back in the order of the document."""

    def __init__(self, books: Books, later: Later, batch: int) -> None:
        self._books = books
        self._later = later
        self._batch = batch
        self.keys: dict[str, str] = {
            account.key: account.id for account in books.ledger.accounts.values() if account.key
        } | {tax.key: tax.id for tax in books.taxes.values() if tax.key}

    def apply(self, document: Mapping[str, Any]) -> Document:
        """Does it all. Raises ApiError, KeyError, TypeError or ValueError for what cannot be used."""
        books = self._books
        for code, found in document.get("currencies", {}).items():
            if code not in books.currencies:
                books.add_currency(code)
            settings.add_rate(books, code, {"rate": str(found)}, books.org.created)
        accounts = [self._account(row, place) for place, row in enumerate(document.get("accounts", []))]
        taxes = [self._tax(row) for row in document.get("taxes", [])]
        fields = [self._field(row) for row in document.get("custom_fields", [])]
        made = [self._contact(row, place) for place, row in enumerate(document.get("contacts", []))]
        invoice_ids = [self._invoice(row, place, made) for place, row in enumerate(document.get("invoices", []))]
        return {
            "organization_id": books.org.id,
            "accounts": accounts,
            "taxes": taxes,
            "custom_fields": fields,
            "contacts": made,
            "invoices": invoice_ids,
            "keys": self.keys,
        }

    def _account(self, row: Mapping[str, Any], place: int) -> str:
        body = {"account_name": row["name"], "account_type": row["type"], "currency_code": row.get("currency_code", "")}
        key = str(row.get("key", ""))
        made = settings.open_account(self._books, body, f"populate {self._batch} {place}", banking=False, key=key)
        if key:
            self.keys[key] = made.id
        return made.id

    def _tax(self, row: Mapping[str, Any]) -> str:
        key = str(row.get("key", ""))
        made = settings.add_tax(self._books, {"tax_name": row["name"], "tax_percentage": row["percentage"]}, key)
        if key:
            self.keys[key] = made.id
        return made.id

    def _field(self, row: Mapping[str, Any]) -> str:
        module = _MODULES.get(row["module"], row["module"])
        defined = self._books.custom_fields.get(module, {}).get(row["api_name"])
        if defined is None:
            defined = self._books.define_custom_field(module, row["api_name"], unique=bool(row.get("unique")))
        return defined.id

    def _contact(self, row: Mapping[str, Any], place: int) -> str:
        body = dict(row)
        person = {field: row[field] for field in _PERSON if row.get(field)}
        if person and "contact_persons" not in body:
            body["contact_persons"] = [{**person, "is_primary_contact": True}]
        _list_custom(body)
        return contacts.create(self._books, body, f"populate {self._batch} {place}", source="user").id

    def _invoice(self, row: Mapping[str, Any], place: int, made: list[str]) -> str:
        cause = f"populate {self._batch} {place}"
        body = dict(row)
        which = body.pop("contact", body.pop("contact_index", None))
        if which is not None:
            body["customer_id"] = made[which] if isinstance(which, int) else which
        tax_key = body.pop("tax", "")
        body["line_items"] = [self._line(line, tax_key) for line in body["line_items"]]
        body["currency_code"] = body.pop("currency", "") or body.get("currency_code", "")
        _list_custom(body)
        draft, sent_at = bool(body.pop("draft", False)), body.pop("sent_at", None)
        if sent_at is None or parse_utc(sent_at) <= self._books.now():
            return self._make(body, cause, draft=draft).id
        # The id has to be told before the invoice is there.
        promised = self._books.ids.peek(invoices.MODULE, cause)
        self._later(parse_utc(sent_at), lambda: self._keep(promised, body, cause, draft=draft))
        return promised

    def _make(self, body: Mapping[str, Any], cause: str, *, draft: bool) -> Invoice:
        made = invoices.create(self._books, body, cause, source="User")
        if not draft:
            invoices.mark_sent(self._books, made)
        return made

    def _keep(self, promised: str, body: Mapping[str, Any], cause: str, *, draft: bool) -> None:
        """Makes a promised invoice, unless its customer has been deleted since: nobody would write it then."""
        if self._books.contacts.get(str(body["customer_id"])) is None:
            return
        made = self._make(body, cause, draft=draft)
        assert made.id == promised, "an invoice made later has the id that was told"

    def _line(self, line: Mapping[str, Any], tax_key: str) -> Document:
        body = {"name": "Services", "quantity": 1, **line}
        key = body.pop("tax", tax_key)
        if key:
            body["tax_id"] = self.keys.get(key, key)
        account = body.pop("account", "")
        if account:
            body["account_id"] = self.keys.get(account, account)
        if isinstance(body.get("rate"), float):
            # JSON read elsewhere gives binary floats; the text of one is what its author wrote.
            body["rate"] = str(body["rate"])
        return body


def organization_of(document: Mapping[str, Any]) -> Document | None:
    """The settings of a new organisation a populate document asks for."""
    wanted = document.get("organization")
    if wanted is None:
        return None
    found = dict(wanted)
    if isinstance(found.get("created"), str):
        found["created"] = date.fromisoformat(found["created"])
    return found


def _list_custom(body: Document) -> None:
    """Custom values may be written as {api name: value}."""
    custom = body.get("custom_fields")
    if isinstance(custom, Mapping):
        body["custom_fields"] = [{"api_name": name, "value": value} for name, value in custom.items()]
