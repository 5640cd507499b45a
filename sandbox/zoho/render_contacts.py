"""Contacts on the wire (reference 3.2): the full record and the list row."""

from typing import Any

from sandbox.zoho.books import Books
from sandbox.zoho.money import KNOWN_CURRENCIES
from sandbox.zoho.records import Contact
from sandbox.zoho.render_common import (
    LOCK_DETAIL,
    LOCKS,
    SUBMISSION,
    Document,
    amount,
    author,
    base_amount,
    currency,
    currency_name,
    custom_fields,
    times,
)

MODULE = "contact"
_TEMPLATES = (
    "statement", "invoice", "bill", "estimate", "creditnote", "paymentthankyou", "invoice_email", "estimate_email",
    "creditnote_email", "paymentthankyou_email", "payment_remittance_email",
)  # fmt: skip
_CONSTANT: Document = {
    "contact_tax_information": "",
    "is_credit_limit_migration_completed": True,
    "language_code_formatted": "",
    "photo_url": "",
    "invited_by": "",
    "is_client_review_asked": False,
    "contact_relation_type": "",
    "owner_id": "",
    "owner_name": "",
    "documents": [],
    "twitter": "",
    "facebook": "",
    "is_crm_customer": False,
    "is_linked_with_zohocrm": False,
    "zcrm_account_id": "",
    "zcrm_contact_id": "",
    "crm_owner_id": "",
    "credit_limit_exceeded_amount": 0,
    **LOCKS,
    **LOCK_DETAIL,
    "exchange_rate": "",
    "can_show_customer_ob": True,
    "can_show_vendor_ob": True,
    "opening_balance_amount": 0,
    "opening_balance_amount_bcy": "",
    "outstanding_ob_receivable_amount": 0,
    "outstanding_ob_payable_amount": 0,
    "outstanding_payable_amount": 0,
    "outstanding_payable_amount_bcy": 0,
    "unused_credits_payable_amount": 0,
    "unused_credits_payable_amount_bcy": 0,
    "unused_retainer_payments": 0,
    "payment_reminder_enabled": True,
    "is_sms_enabled": True,
    "is_consent_agreed": False,
    "consent_date": "",
    "is_client_review_settings_enabled": False,
    "track_1099": False,
    "tax_id_type": "",
    "tax_id_value": "",
    "tax_reg_label": "",
    "account_id": "",
    "account_name": "",
    "contact_category": "",
    "sales_channel": "direct_sales",
    "ach_supported": False,
    "portal_receipt_count": 0,
    "opening_balances": [],
    "addresses": [],
    "pricebook_id": "",
    "pricebook_name": "",
    "default_templates": {f"{name}_template_{part}": "" for name in _TEMPLATES for part in ("id", "name")},
    "associated_with_square": False,
    "cards": [],
    "checks": [],
    "upi_mandates": [],
    "bank_accounts": [],
    "vpa_list": [],
    "tags": [],
    "zohopeople_client_id": "",
    "approvers_list": [],
    **SUBMISSION,
    "integration_references": [],
}
_ROW_CONSTANT: Document = {
    key: _CONSTANT[key]
    for key in (
        "language_code_formatted", "is_linked_with_zohocrm", "twitter", "facebook", "outstanding_payable_amount",
        "outstanding_payable_amount_bcy", "unused_credits_payable_amount", "unused_credits_payable_amount_bcy",
        "track_1099", "tags", "ach_supported",
    )
} | {"contactperson_custom_fields": [], "has_attachment": False}  # fmt: skip
# Shown by organisations that number their contacts.
_NUMBERED = ("contact_number",)
_PERSON_DETAIL = ("first_name", "last_name", "designation", "department", "email", "phone", "mobile")
_ADDRESS = (
    "attention", "address", "street2", "city", "state_code", "state", "zip", "country", "county", "latitude",
    "longitude", "country_code", "phone", "fax",
)  # fmt: skip


def full(books: Books, contact: Contact) -> Document:
    """The `contact` of a GET, POST or PUT."""
    primary = contact.primary
    return {
        **_CONSTANT,
        **_balances(books, contact),
        "contact_id": contact.id,
        "contact_name": contact.name,
        "company_name": contact.company,
        **{key: primary.get(key, "") for key in _PERSON_DETAIL},
        "contact_salutation": primary.get("salutation", ""),
        "website": contact.fields.get("website", ""),
        "is_bcy_only_contact": contact.currency == books.base,
        "language_code": contact.fields.get("language_code", ""),
        "portal_status": "enabled" if contact.portal else "disabled",
        "has_transaction": contact.transactions > 0,
        "contact_type": contact.kind,
        "customer_sub_type": contact.fields.get("customer_sub_type", ""),
        "source": contact.fields["source"],
        "primary_contact_id": primary.get("contact_person_id", ""),
        "payment_terms": contact.payment_terms_days,
        "payment_terms_label": contact.payment_terms_label,
        "payment_terms_id": books.terms_id(contact.payment_terms_days),
        **currency(books, contact.currency),
        "price_precision": books.precision(contact.currency),
        "status": "active" if contact.active else "inactive",
        **custom_fields(books, MODULE, contact),
        **_addresses(books, contact),
        "contact_persons": [_person(person) for person in contact.persons],
        "notes": contact.fields.get("notes", ""),
        **({"credit_limit": contact.credit_limit} if contact.credit_limit else {}),
        **{
            key: contact.fields[key]
            for key in (*_NUMBERED, "vat_reg_no", "vat_treatment", "country_code")
            if key in contact.fields
        },
        **times(books, contact),
        "created_date": contact.created_at.astimezone(books.zone).strftime("%d %b %Y"),
        **author(books),
        "customer_currency_summaries": [_summary(books, contact, code) for code in _currencies(contact)],
    }


def row(books: Books, contact: Contact) -> Document:
    """One row of a list."""
    primary = contact.primary
    return {
        **_ROW_CONSTANT,
        **_balances(books, contact),
        "contact_id": contact.id,
        "contact_name": contact.name,
        "customer_name": contact.name,
        "vendor_name": contact.name,
        "company_name": contact.company,
        "website": contact.fields.get("website", ""),
        "language_code": contact.fields.get("language_code", ""),
        "contact_type": contact.kind,
        "contact_type_formatted": "Customer" if contact.kind == "customer" else "Vendor",
        "status": "active" if contact.active else "inactive",
        "customer_sub_type": contact.fields.get("customer_sub_type", ""),
        "source": contact.fields["source"],
        "payment_terms": contact.payment_terms_days,
        "payment_terms_id": books.terms_id(contact.payment_terms_days),
        "payment_terms_label": contact.payment_terms_label,
        "currency_id": books.currencies[contact.currency].id,
        "currency_code": contact.currency,
        **{key: contact.fields[key] for key in _NUMBERED if key in contact.fields},
        **{key: primary.get(key, "") for key in ("first_name", "last_name", "email", "phone", "mobile")},
        "portal_status": "enabled" if contact.portal else "disabled",
        "portal_status_formatted": "Enabled" if contact.portal else "Disabled",
        **times(books, contact),
        "created_time_formatted": contact.created_at.astimezone(books.zone).strftime("%d %b %Y"),
        "last_modified_time_formatted": contact.modified_at.astimezone(books.zone).strftime("%d %b %Y"),
        **custom_fields(books, MODULE, contact),
    }


def _balances(books: Books, contact: Contact) -> Document:
    code = contact.currency
    return {
        "outstanding_receivable_amount": amount(books, contact.owed_minor.get(code, 0), code),
        "outstanding_receivable_amount_bcy": base_amount(books, contact.owed_base_minor),
        "unused_credits_receivable_amount": amount(books, contact.credit_minor.get(code, 0), code),
        "unused_credits_receivable_amount_bcy": base_amount(books, contact.credit_base_minor),
    }


def _currencies(contact: Contact) -> list[str]:
    return list(dict.fromkeys([contact.currency, *sorted({**contact.owed_minor, **contact.credit_minor})]))


def _summary(books: Books, contact: Contact, code: str) -> Document:
    return {
        "currency_id": books.currencies[code].id,
        "currency_code": code,
        "currency_symbol": KNOWN_CURRENCIES[code].symbol,
        "price_precision": books.precision(code),
        "is_base_currency": code == books.base,
        "currency_name_formatted": currency_name(code),
        "outstanding_receivable_amount": amount(books, contact.owed_minor.get(code, 0), code),
        "unused_credits_receivable_amount": amount(books, contact.credit_minor.get(code, 0), code),
    }


def _person(person: dict[str, Any]) -> Document:
    return {
        **person,
        "contact_person_name": f"{person['first_name']} {person['last_name']}".strip(),
        "is_added_in_portal": False,
        "can_invite": True,
        "communication_preference": {"is_email_enabled": True, "is_whatsapp_enabled": False, "is_sms_enabled": False},
    }


def _addresses(books: Books, contact: Contact) -> Document:
    def shown(kind: str, held: dict[str, str]) -> Document:
        return {
            "address_id": books.part_id("address", f"{contact.id} {kind}"),
            **{key: held.get(key, "") for key in _ADDRESS},
        }

    return {
        "entity_address_id": books.part_id("address", f"{contact.id} entity"),
        "billing_address": shown("billing", contact.billing),
        "shipping_address": shown("shipping", contact.shipping),
    }
