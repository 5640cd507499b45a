"""Customers and vendors (reference 3.2): made, edited, made inactive, deleted. Balances never move their times."""

from collections.abc import Mapping
from typing import Any

from sandbox.zoho.books import Books, found
from sandbox.zoho.errors import IN_USE, InvalidError, RefusedError
from sandbox.zoho.money import number
from sandbox.zoho.records import Contact
from sandbox.zoho.values import Body, flag, given, needed_text, rows, text, whole

MODULE = "contact"
_PERSON_FIELDS = {
    "salutation": 25, "first_name": 100, "last_name": 100, "email": 100, "phone": 50, "mobile": 50, "designation": 100,
    "department": 50,
}  # fmt: skip
_ADDRESS_FIELDS = {
    "attention": 100, "address": 500, "street2": 255, "city": 100, "state_code": 50, "state": 100, "zip": 50,
    "country": 100, "country_code": 50, "phone": 50, "fax": 50,
}  # fmt: skip
_TEXT_FIELDS = {
    "notes": 5000, "website": 255, "language_code": 10, "contact_number": 200, "vat_reg_no": 50, "vat_treatment": 50,
    "country_code": 10, "customer_sub_type": 20,
}  # fmt: skip
_NAMED_EXISTS = 3062


def create(books: Books, body: Body, cause: str, source: str = "api") -> Contact:
    """A new contact, announced. Raises ApiError."""
    name = needed_text(body, "contact_name")
    _refuse_name(books, name, "")
    kind = text(body, "contact_type", "customer") or "customer"
    if kind not in ("customer", "vendor"):
        raise InvalidError("contact_type")
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom)
    now = books.now()
    contact_id = books.ids.new(MODULE, cause)
    contact = Contact(
        id=contact_id,
        created_at=now,
        modified_at=now,
        name=name,
        company=text(body, "company_name"),
        kind=kind,
        currency=books.currency_of(body, books.base),
        fields=_texts(body, {"source": source, "customer_sub_type": "business"}),
        persons=_persons(books, body, contact_id, []),
        billing=_address(body, "billing_address", {}),
        shipping=_address(body, "shipping_address", {}),
        payment_terms_days=whole(body, "payment_terms", 0),
        payment_terms_label=text(body, "payment_terms_label", "Due on Receipt"),
        credit_limit=number(body["credit_limit"], "credit_limit") if given(body, "credit_limit") else number(0, ""),
    )
    books.writing(books.contacts, contact_id)
    books.contacts.add(contact)
    books.set_custom(MODULE, contact, custom)
    books.announce(MODULE, "created", contact)
    return contact


def update(books: Books, contact: Contact, body: Body) -> Contact:
    """Takes the fields the body names; `contact_persons`, if named, is replaced wholly. A change of nothing leaves the
    times.
    """
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom, contact.id)
    currency = books.currency_of(body, contact.currency)
    if currency != contact.currency and contact.transactions:
        raise RefusedError(IN_USE, "The currency of a contact with transactions stays.")
    name = text(body, "contact_name") or contact.name
    _refuse_name(books, name, contact.id)
    wanted = {
        "name": name,
        "company": text(body, "company_name", contact.company),
        "currency": currency,
        "fields": _texts(body, contact.fields),
        "persons": _persons(books, body, contact.id, contact.persons),
        "billing": _address(body, "billing_address", contact.billing),
        "shipping": _address(body, "shipping_address", contact.shipping),
        "payment_terms_days": whole(body, "payment_terms", contact.payment_terms_days),
        "payment_terms_label": text(body, "payment_terms_label", contact.payment_terms_label),
        "custom": {**contact.custom, **custom},
    }
    if all(getattr(contact, field) == value for field, value in wanted.items()):
        return contact
    books.writing(books.contacts, contact.id)
    books.set_custom(MODULE, contact, custom)
    for field, value in wanted.items():
        setattr(contact, field, value)
    books.touch(contact)
    books.announce(MODULE, "edited", contact)
    return contact


def set_active(books: Books, contact: Contact, *, active: bool) -> None:
    books.writing(books.contacts, contact.id)
    contact.active = active
    books.touch(contact)
    books.announce(MODULE, "edited", contact)


def delete(books: Books, contact: Contact) -> None:
    """Refused while the contact has transactions: it can only be made inactive."""
    if contact.transactions:
        raise RefusedError(IN_USE, "A contact with transactions cannot be deleted; make it inactive.")
    books.writing(books.contacts, contact.id)
    books.contacts.remove(contact.id)
    books.forget_custom(MODULE, contact)
    books.announce(MODULE, "deleted", contact)


def customer(books: Books, body: Body) -> Contact:
    """The active or inactive customer a sales document names."""
    contact_id = needed_text(body, "customer_id")
    contact = found(books.contacts, contact_id, "Customer")
    if contact.kind != "customer":
        raise InvalidError("customer_id")
    return contact


def _refuse_name(books: Books, name: str, own_id: str) -> None:
    if books.switches.names_unique and any(c.name == name and c.id != own_id for c in books.contacts.rows.values()):
        raise RefusedError(_NAMED_EXISTS, f'The customer "{name}" already exists. Please specify a different name.')


def _texts(body: Body, kept: dict[str, str]) -> dict[str, str]:
    """The plain text fields; an emptied one is not kept."""
    named = {field: text(body, field, limit=limit) for field, limit in _TEXT_FIELDS.items() if field in body}
    return {field: value for field, value in {**kept, **named}.items() if value}


def _address(body: Body, field: str, kept: dict[str, str]) -> dict[str, str]:
    value = body.get(field)
    if value in (None, ""):
        return kept
    if not isinstance(value, Mapping):
        raise InvalidError(field)
    return {**kept, **{key: text(value, key, limit=limit) for key, limit in _ADDRESS_FIELDS.items() if key in value}}


def _persons(books: Books, body: Body, contact_id: str, kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The contact persons the body names. Without the list, a plain `email` makes the primary one."""
    if "contact_persons" not in body:
        return kept
    held = {person["contact_person_id"]: person for person in kept}
    persons: list[dict[str, Any]] = []
    for place, row in enumerate(rows(body, "contact_persons")):
        person_id = text(row, "contact_person_id")
        if person_id and person_id not in held:
            raise InvalidError("contact_person_id")
        was = held.get(person_id, {})
        person: dict[str, Any] = {
            "contact_person_id": person_id or books.ids.new("contactperson", f"{contact_id} {place}"),
            **{key: text(row, key, was.get(key, ""), limit=limit) for key, limit in _PERSON_FIELDS.items()},
        }
        person["is_primary_contact"] = flag(row, "is_primary_contact", default=was.get("is_primary_contact", False))
        persons.append(person)
    if persons and not any(person["is_primary_contact"] for person in persons):
        persons[0]["is_primary_contact"] = True
    return persons
