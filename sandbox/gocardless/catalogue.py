"""What the organisation itself is: creditors with their scheme identifiers and bank accounts, balances,
tax rates.
"""

from typing import Any

from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import invalid, usage
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.rates import CURRENCIES
from sandbox.gocardless.schemes import SCHEMES

_TAX_RATES = (
    ("GB_VAT_1", "GB", "20.0", "2020-09-01"),
    ("FR_VAT_1", "FR", "20.0", "2020-09-01"),
)
_PREFIX_LETTERS = 10
# What a scenario may say of a creditor.
_FIELDS = frozenset(
    {"name", "country_code", "can_create_refunds", "fx_payout_currency", "bank_reference_prefix", "verification_status"}
)


def furnish(merchant: Merchant) -> None:
    """Put the tax rates and one creditor, paid out in GBP and EUR, onto the collections."""
    for identity, jurisdiction, percentage, start in _TAX_RATES:
        merchant.collections["tax_rates"].add(
            {
                "id": identity,
                "created_at": "",
                "jurisdiction": jurisdiction,
                "percentage": percentage,
                "type": "VAT",
                "start_date": start,
                "end_date": None,
            }
        )
    new_creditor(merchant, {"name": "Sandbox Trading Ltd"})


def new_creditor(merchant: Merchant, document: dict[str, Any]) -> Doc:
    """Make a creditor with a bank account per currency of `payout_currencies` (default GBP and EUR). ValueError:
    unknown fields or currencies.
    """
    identity = merchant.new_id("CR")
    creditor = merchant.collections["creditors"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "name": "Sandbox Trading Ltd",
            "address_line1": "1 High Street",
            "address_line2": None,
            "address_line3": None,
            "city": "London",
            "region": None,
            "postal_code": "EC1V 7LQ",
            "country_code": "GB",
            "creditor_type": "company",
            "logo_url": None,
            "verification_status": "successful",
            # Refunds are off until GoCardless enables them.
            "can_create_refunds": False,
            "fx_payout_currency": None,
            "bank_reference_prefix": "SANDBOX",
            "merchant_responsible_for_notifications": False,
            "custom_payment_pages_enabled": True,
            "mandate_imports_enabled": False,
            "scheme_identifiers": [_identifier(merchant, identity, name) for name in SCHEMES],
            "links": {},
        }
    )
    change_creditor(merchant, creditor, {"payout_currencies": ["GBP", "EUR"], **document})
    return creditor


def change_creditor(merchant: Merchant, creditor: Doc, document: dict[str, Any]) -> None:
    """Change a creditor as a scenario says; `payout_currencies` replaces its bank accounts. ValueError: unknown fields
    or currencies.
    """
    fields = dict(document)
    currencies = fields.pop("payout_currencies", None)
    unknown = set(fields) - _FIELDS
    if unknown:
        raise ValueError(f"a creditor has no {', '.join(sorted(unknown))}")
    foreign = {*(currencies or ()), fields.get("fx_payout_currency") or "GBP"} - CURRENCIES
    if foreign:
        raise ValueError(f"GoCardless does not pay out in {', '.join(sorted(foreign))}")
    creditor.update(fields)
    if "name" in fields and "bank_reference_prefix" not in fields:
        letters = "".join(letter for letter in fields["name"].upper() if letter.isalnum())
        creditor["bank_reference_prefix"] = letters[:_PREFIX_LETTERS]
    if currencies is not None:
        creditor["links"] = {}
        for account in merchant.collections["creditor_bank_accounts"].records:
            if account["links"]["creditor"] == creditor["id"]:
                account["enabled"] = False
        for currency in currencies:
            account = _payout_account(merchant, creditor, currency)
            creditor["links"][f"default_{currency.lower()}_payout_account"] = account["id"]


def get_tax_rate(merchant: Merchant, call: Call) -> Doc:
    """GET /tax_rates/{id}."""
    return {"tax_rates": _shown(merchant.collections["tax_rates"].get(call.identity))}


def list_tax_rates(merchant: Merchant, call: Call) -> Doc:
    """GET /tax_rates."""
    page = merchant.page("tax_rates", call)
    return {**page, "tax_rates": [_shown(doc) for doc in page["tax_rates"]]}


def list_balances(merchant: Merchant, call: Call) -> Doc:
    """GET /balances?creditor=: some minutes old. Refusal: no creditor named, or none such."""
    identity = call.query.get("creditor")
    if identity is None:
        raise invalid("balances", ("creditor", "is required"))
    merchant.collections["creditors"].get(identity)
    limit = {"limit": 50}
    return {
        "balances": merchant.ledger.balances(identity),
        "meta": {"cursors": {"before": None, "after": None}, **limit},
    }


def restricted(_merchant: Merchant, _call: Call) -> Doc:
    """Answer a creditor's management, which is always restricted. Refusal 403, always."""
    raise usage("forbidden", "Your account is not approved for this endpoint")


def _shown(tax_rate: Doc) -> Doc:
    return {name: value for name, value in tax_rate.items() if name != "created_at"}


def _identifier(merchant: Merchant, creditor: str, scheme: str) -> Doc:
    facts = SCHEMES[scheme]
    return {
        "id": merchant.new_id("SU", f"{creditor}/{scheme}"),
        "created_at": merchant.now_text,
        # The scheme is sepa_core, its identifier's is sepa.
        "scheme": "sepa" if scheme == "sepa_core" else scheme,
        "currency": facts.currency,
        "name": "GoCardless",
        "reference": merchant.world.opaque("identifier", creditor, scheme, length=6),
        "minimum_advance_notice": facts.notice_days,
        "can_specify_mandate_reference": False,
        "status": "active",
        "address_line1": None,
        "address_line2": None,
        "address_line3": None,
        "city": None,
        "region": None,
        "postal_code": None,
        "country_code": None,
        "email": "help@gocardless.com",
        "phone_number": "+44 20 7183 8674",
    }


def _payout_account(merchant: Merchant, creditor: Doc, currency: str) -> Doc:
    identity = merchant.new_id(
        "BA", f"payout/{creditor['id']}/{currency}/{len(merchant.collections['creditor_bank_accounts'])}"
    )
    return merchant.collections["creditor_bank_accounts"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "account_holder_name": creditor["name"].upper()[:18],
            "account_number_ending": f"{int(merchant.world.chance('payout', identity) * 100):02d}",
            "account_type": "checking" if currency == "USD" else None,
            "bank_name": "SANDBOX BANK",
            "country_code": creditor["country_code"],
            "currency": currency,
            "enabled": True,
            "verification_status": "successful",
            "metadata": {},
            "links": {"creditor": creditor["id"]},
        }
    )
