"""The organisation, its accounts, currencies and taxes on the wire (reference 3.1, 3.7, 3.8)."""

from sandbox.zoho.books import PLANS, Books, Currency
from sandbox.zoho.ledger import DEBIT_TYPES, Account, Entry, Leg
from sandbox.zoho.money import KNOWN_CURRENCIES, shown
from sandbox.zoho.records import Tax
from sandbox.zoho.render_common import Document, amount, base_amount, currency, currency_name

_BANK_CONSTANT: Document = {
    "account_code_prefix": "",
    "generation_number": "",
    "custom_fields": [],
    "custom_field_hash": {},
    "account_sub_type": "commercial",
    "uncategorized_transactions": 0,
    "last_import_duplicate_count": 0,
    "total_unprinted_checks": 0,
    "institution_id": "",
    "institution_name": "",
    "is_pdf_password_stored": False,
    "is_zlabs_supported": False,
    "bank_balance": 0,
    "is_paypal_account": False,
    "feeds_last_refresh_date": "",
    "can_show_in_ze": True,
    "is_direct_paypal": False,
    "can_show_paypal_direct_integ_banner": False,
    "partner_bank_source_formatted": "",
    "partner_bank_source": "",
    "payout_bank_name": "",
    "is_feeds_owner": False,
    "migrate_to_partner_bank": "",
    "is_beta_feed": False,
    "consent_info": {"consent_remaining_days": "", "is_consent_expired": ""},
    "feed_status": "",
    "mfa_required": False,
    "can_access_all_branches": True,
    "can_access_all_locations": True,
    "can_access_all_locations_of_bank_account": True,
    "latest_transaction_date": "",
    "sub_corporate_cards_count": "0",
    "is_rule_update_required": False,
}
_BANK_ROW_CONSTANT = {
    key: _BANK_CONSTANT[key]
    for key in (
        "account_sub_type", "uncategorized_transactions", "total_unprinted_checks", "bank_balance",
        "feeds_last_refresh_date", "is_direct_paypal", "mfa_required",
    )
}  # fmt: skip
_BANK_ROW_OF_BANK = {
    key: _BANK_CONSTANT[key]
    for key in (
        "is_paypal_account", "partner_bank_source_formatted", "partner_bank_source", "payout_bank_name", "is_beta_feed",
        "consent_info", "feed_status",
    )
}  # fmt: skip


def organization(books: Books, *, in_list: bool) -> Document:
    """The list shows the plan, the single record doesn't."""
    org = books.org
    facts = KNOWN_CURRENCIES[org.currency_code]
    document: Document = {
        "organization_id": org.id,
        "name": org.name,
        "contact_name": org.contact_name,
        "email": org.email,
        "is_default_org": not org.decoys,
        "language_code": "en",
        "fiscal_year_start_month": "1",
        "account_created_date": org.created.isoformat(),
        "time_zone": org.time_zone,
        "is_dst_active": bool(books.now().astimezone(books.zone).dst()),
        "date_format": "dd/MM/yyyy",
        "field_separator": "/",
        "industry_type": "",
        "industry_size": "",
        "company_id_label": "",
        "company_id_value": "",
        "tax_id_label": "",
        "tax_id_value": "",
        **currency(books, org.currency_code),
        "currency_format": facts.format,
        "price_precision": facts.precision,
        "country_code": org.country_code,
        "country_name": org.country_code,
        "portal_name": "".join(c for c in org.name.lower() if c.isalnum()),
        "org_settings": {"is_org_active": True},
    }
    if in_list:
        plan = org.plan.lower()
        document |= {"plan_type": list(PLANS).index(plan), "plan_name": plan.capitalize(), "plan_period": "Month"}
    return document


def decoy(books: Books, place: int, name: str) -> Document:
    """Another organisation of the same user: only its row exists."""
    return {
        **organization(books, in_list=True),
        "organization_id": str(900_000_000 + place),
        "name": name,
        "is_default_org": place == 0,
    }


def bankaccount(books: Books, account: Account) -> Document:
    return {
        **_BANK_CONSTANT,
        **_bank(books, account),
        "currency_symbol": KNOWN_CURRENCIES[account.currency].symbol,
        "price_precision": books.precision(account.currency),
        "account_number": account.number,
        "routing_number": account.routing_number,
        "is_primary_account": account.primary,
        "description": account.description,
        "is_undeposited_funds": account.key == "undeposited_funds",
    }


def bankaccount_row(books: Books, account: Account) -> Document:
    found = {**_BANK_ROW_CONSTANT, **_bank(books, account)}
    if account.type == "cash":
        return found
    return {
        **found,
        **_BANK_ROW_OF_BANK,
        "account_number": account.number,
        "routing_number": account.routing_number,
        "is_primary_account": account.primary,
    }


def chart_account_row(books: Books, account: Account) -> Document:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "account_code": account.code,
        "account_type": account.type,
        "description": account.description,
        "placeholder": "",
        "is_register_supported_account": account.banking,
        "is_user_created": not account.system,
        "is_system_account": account.system,
        "is_active": account.active,
        "can_show_in_ze": account.banking,
        "parent_account_id": "",
        "parent_account_name": "",
        "depth": 0,
        "has_attachment": False,
        "is_child_present": False,
        "child_count": "",
        "documents": [],
        "created_time": books.stamp(account.created_at),
        "is_standalone_account": False,
        "last_modified_time": books.stamp(account.modified_at),
    }


def chart_account_with_balance(books: Books, account: Account) -> Document:
    """A row of a list asked for with `showbalance=true`."""
    return {
        **chart_account_row(books, account),
        "current_balance": base_amount(books, _natural(account, account.base_minor)),
    }


def chart_account_made(books: Books, account: Account) -> Document:
    """What creating and changing answer with."""
    return {
        "account_id": account.id,
        "account_name": account.name,
        "account_code": account.code,
        "account_code_prefix": "",
        "generation_number": "",
        "is_active": account.active,
        "status": "active" if account.active else "inactive",
        "account_type": account.type,
        "account_type_formatted": _type_name(account),
        "currency_id": books.currencies[account.currency].id,
        "currency_code": account.currency,
        "description": account.description,
        "can_show_in_ze": True,
        "custom_fields": [],
        "custom_field_hash": {},
        "parent_account_id": "",
        "parent_account_name": "",
        "documents": [],
        "created_time": books.stamp(account.created_at),
        "last_modified_time": books.stamp(account.modified_at),
        "is_standalone_account": False,
        "opening_balances": [],
    }


def chart_account(books: Books, account: Account) -> Document:
    """A single account with its balance and its transactions."""
    closing_minor = _natural(account, account.base_minor)
    return {
        "account_id": account.id,
        "account_name": account.name,
        "account_code": account.code,
        "account_type": account.type,
        "account_type_formatted": _type_name(account),
        "is_bulk_update_supported": True,
        "is_active": account.active,
        "status": "active" if account.active else "inactive",
        "is_register_supported_account": account.banking,
        "is_system_account": account.system,
        "is_involved_in_transaction": bool(books.ledger.by_account[account.id]),
        "documents": [],
        "parent_account_id": "",
        "parent_account_name": "",
        "custom_fields": [],
        "description": account.description,
        "placeholder": "",
        "isdebit": account.type in DEBIT_TYPES,
        "closing_balance": base_amount(books, closing_minor),
        "closing_balance_formatted": shown(closing_minor, books.base),
        "transactions": [
            _account_entry(books, entry, leg)
            for entry in books.ledger.of_account(account.id)
            for leg in entry.legs
            if leg.account_id == account.id
        ],
    }


def account_transaction(books: Books, account: Account, entry: Entry, leg: Leg) -> Document:
    """One row of `GET /chartofaccounts/transactions`: the empty side is ""."""
    own_minor = books.ledger.in_own_currency(leg)
    value = amount(books, abs(own_minor), account.currency)
    other = next((x.account_id for x in entry.legs if x.account_id != account.id), account.id)
    debit = own_minor >= 0
    return {
        "categorized_transaction_id": entry.id,
        "transaction_id": entry.id,
        "transaction_type": entry.kind,
        "transaction_status": "",
        "transaction_source": "",
        "transaction_date": entry.date.isoformat(),
        "account_id": account.id,
        "customer_id": entry.contact_id,
        "payee": entry.contact_name,
        "description": "",
        "entry_number": "",
        "currency_id": books.currencies[account.currency].id,
        "currency_code": account.currency,
        "debit_or_credit": "debit" if debit else "credit",
        "offset_account_name": books.ledger.accounts[other].name,
        "reference_number": entry.reference,
        "reconcile_status": "",
        "debit_amount": value if debit else "",
        "credit_amount": "" if debit else value,
    }


def currency_row(books: Books, held: Currency) -> Document:
    """A currency never used shows rate 0 and no day."""
    facts = KNOWN_CURRENCIES[held.code]
    latest = held.rates[-1] if held.rates else None
    return {
        "currency_id": held.id,
        "currency_code": held.code,
        "currency_name": facts.name,
        "currency_name_formatted": currency_name(held.code),
        "currency_symbol": facts.symbol,
        "price_precision": facts.precision,
        "currency_format": facts.format,
        "is_base_currency": held.code == books.base,
        "exchange_rate": latest[2] if latest else 0,
        "effective_date": latest[1].isoformat() if latest else "",
        "auto_exchange_rate_enabled": True,
    }


def rate_row(held: Currency, place: int) -> Document:
    rate_id, effective, found = held.rates[place]
    return {
        "exchange_rate_id": rate_id,
        "currency_id": held.id,
        "currency_code": held.code,
        "effective_date": effective.isoformat(),
        "rate": found,
    }


def tax(books: Books, held: Tax) -> Document:
    output, purchase = books.ledger.system("output_tax"), books.ledger.system("input_tax")
    return {
        "tax_id": held.id,
        "tax_name": held.name,
        "tax_percentage": held.percentage,
        "tax_type": "tax",
        "tax_specific_type": "",
        "tax_authority_id": "",
        "tax_authority_name": "",
        "output_tax_account_name": output.name,
        "purchase_tax_account_name": purchase.name,
        "tax_account_id": output.id,
        "purchase_tax_account_id": purchase.id,
        "is_value_added": True,
        "is_default_tax": False,
        "is_editable": True,
        "status": "Active",
    }


def _bank(books: Books, account: Account) -> Document:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "account_code": account.code,
        "currency_id": books.currencies[account.currency].id,
        "currency_code": account.currency,
        "account_type": account.type,
        "is_active": account.active,
        "balance": amount(books, account.balance_minor, account.currency),
        "bcy_balance": base_amount(books, account.base_minor),
        "bank_name": account.bank_name,
    }


def _account_entry(books: Books, entry: Entry, leg: Leg) -> Document:
    debit = leg.base_minor >= 0
    value, own = base_amount(books, abs(leg.base_minor)), amount(books, abs(leg.amount_minor), leg.currency)
    text, own_text = shown(abs(leg.base_minor), books.base), shown(abs(leg.amount_minor), leg.currency)
    return {
        "date": entry.date.isoformat(),
        "date_formatted": entry.date.strftime("%d %b %Y"),
        "transaction_id": entry.id,
        "entity_type": entry.kind,
        "entity_type_formatted": entry.kind.replace("_", " ").capitalize(),
        "reference_number": entry.reference,
        "customer_id": entry.contact_id,
        "customer_name": entry.contact_name,
        "debit": value if debit else "",
        "credit": "" if debit else value,
        "fcy_debit": own if debit else "",
        "fcy_credit": "" if debit else own,
        "debit_formatted": text if debit else "",
        "credit_formatted": "" if debit else text,
        "fcy_debit_formatted": own_text if debit else "",
        "fcy_credit_formatted": "" if debit else own_text,
    }


def _natural(account: Account, debit_minor: int) -> int:
    """A balance on the side where the account normally has it."""
    return debit_minor if account.type in DEBIT_TYPES else -debit_minor


def _type_name(account: Account) -> str:
    return account.type.replace("_", " ").title()
