"""How the books look on the wire: what all kinds of record share. Empty values are "" whatever their type.

Field names follow answers recorded in June 2026 (reference 3); values are the record's, or the empty ones.
"""

from datetime import date
from typing import Any

import msgspec

from sandbox.zoho.books import Books
from sandbox.zoho.money import KNOWN_CURRENCIES, major
from sandbox.zoho.records import Contact, Record

Document = dict[str, Any]

# Amounts are decimals and go out as JSON numbers.
encode = msgspec.json.Encoder(decimal_format="number").encode

# Pages of the printed document, the same for every kind.
PAPER: Document = {"page_width": "8.27in", "page_height": "11.69in", "orientation": "portrait"}

LOCKS: Document = {"lock_details": {"can_lock": False}, "locked_actions": []}
LOCK_DETAIL: Document = {"lock_detail": {"can_lock": True, "custom_locks": [], "system_locks": []}}

SUBMISSION: Document = {
    "submitter_id": "",
    "approver_id": "",
    "submitted_date": "",
    "submitted_by": "",
    "submitted_by_name": "",
    "submitted_by_email": "",
    "submitted_by_photo_url": "",
}

SHIPPING_CHARGE: Document = {
    "shipping_charge_tax_id": "",
    "shipping_charge_tax_name": "",
    "shipping_charge_tax_type": "",
    "shipping_charge_tax_percentage": "",
    "shipping_charge_tax_exemption_id": "",
    "shipping_charge_tax_exemption_code": "",
    "shipping_charge_tax": "",
    "bcy_shipping_charge_tax": "",
    "shipping_charge_inclusive_of_tax": 0,
    "shipping_charge_tax_formatted": "",
    "shipping_charge_account_id": "",
    "shipping_charge_account_name": "",
    "shipping_charge_taxes": [],
}


def custom_fields(books: Books, module: str, record: Record) -> Document:
    """`custom_fields` as rows, `custom_field_hash` by api name: only those that hold a value."""
    if not record.custom:
        return {"custom_fields": [], "custom_field_hash": {}}
    rows, by_name = [], {}
    for api_name, value in record.custom.items():
        if not value:
            continue
        defined = books.custom_fields[module][api_name]
        rows.append(
            {
                "customfield_id": defined.id,
                "field_id": defined.id,
                "index": defined.index,
                "label": defined.label,
                "api_name": api_name,
                "placeholder": api_name,
                "data_type": "string",
                "value": value,
                "value_formatted": value,
                "is_active": True,
                "show_on_pdf": False,
                "show_in_all_pdf": False,
                "edit_on_portal": False,
                "show_in_portal": False,
                "is_dependent_field": False,
                "search_entity": module,
            }
        )
        by_name[api_name] = value
        by_name[f"{api_name}_unformatted"] = value
    return {"custom_fields": rows, "custom_field_hash": by_name}


def currency(books: Books, code: str) -> Document:
    return {
        "currency_id": books.currencies[code].id,
        "currency_code": code,
        "currency_symbol": KNOWN_CURRENCIES[code].symbol,
    }


def currency_name(code: str) -> str:
    return f"{code}- {KNOWN_CURRENCIES[code].name}"


def amount(books: Books, amount_minor: int, code: str) -> Any:
    """An amount as a JSON number in major units."""
    return major(amount_minor, books.precision(code))


def base_amount(books: Books, amount_minor: int) -> Any:
    return major(amount_minor, books.precision(books.base))


def times(books: Books, record: Record) -> Document:
    return {
        "created_time": books.stamp(record.created_at),
        "last_modified_time": books.stamp(record.modified_at),
    }


def author(books: Books) -> Document:
    return {
        "created_by_id": books.user_id,
        "created_by_name": books.org.contact_name,
        "last_modified_by_id": books.user_id,
    }


def day_text(day: date | None) -> str:
    return day.isoformat() if day else ""


def customer(contact: Contact) -> Document:
    return {"customer_id": contact.id, "customer_name": contact.name}


_ADDRESS_KEYS = ("address", "street2", "city", "state", "zip", "country", "fax", "phone", "attention")


def address(contact_address: dict[str, str]) -> Document:
    """An address inside a sales document."""
    return {key: contact_address.get(key, "") for key in _ADDRESS_KEYS}


def row_address(contact_address: dict[str, str]) -> Document:
    """An address inside a list row, whose post code has another name."""
    found = address(contact_address)
    found["zipcode"] = found.pop("zip")
    return found
