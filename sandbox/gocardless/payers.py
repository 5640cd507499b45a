"""Payers: customers, their bank accounts and their mandates."""

from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import bank_account_exists, invalid, state, usage
from sandbox.gocardless.fields import read_metadata, read_text
from sandbox.gocardless.lifecycle import end_mandate, schedule_mandate, tell_mandate
from sandbox.gocardless.merchant import CHARGEABLE, Call, Merchant
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY, SCHEMES

CUSTOMER_FIELDS = (
    "email", "given_name", "family_name", "company_name", "address_line1", "address_line2", "address_line3", "city",
    "region", "postal_code", "country_code", "phone_number", "swedish_identity_number", "danish_identity_number",
)  # fmt: skip
_LANGUAGES = frozenset({"en", "fr", "de", "pt", "es", "it", "nl", "da", "nb", "sl", "sv"})
_MANDATE_REFERENCE_MIN = 6


def create_customer(merchant: Merchant, call: Call) -> Doc:
    """POST /customers. Refusal: no name; 403 for a live account without its own payment pages."""
    _needs_payment_pages(merchant)
    return merchant.single("customers", new_customer(merchant, call.body))


def new_customer(merchant: Merchant, body: Doc, *, named: bool = True, cause: str | None = None) -> Doc:
    """Make a customer; `named`: names are demanded (a billing request's customer has none yet)."""
    fields = {field: read_text("customers", body, field) for field in CUSTOMER_FIELDS}
    if named and not (fields["company_name"] or (fields["given_name"] and fields["family_name"])):
        missing = [field for field in ("given_name", "family_name", "company_name") if not fields[field]]
        raise invalid("customers", *((field, "is required") for field in missing))
    language = read_text("customers", body, "language") or "en"
    if language not in _LANGUAGES:
        raise invalid("customers", ("language", "is not included in the list"))
    return merchant.collections["customers"].add(
        {
            "id": merchant.new_id("CU", cause),
            "created_at": merchant.now_text,
            **fields,
            "language": language,
            "metadata": read_metadata("customers", body),
        }
    )


def get_customer(merchant: Merchant, call: Call) -> Doc:
    """GET /customers/{id}. Refusal: none such, or removed."""
    return merchant.single("customers", _customer(merchant, call))


def list_customers(merchant: Merchant, call: Call) -> Doc:
    """GET /customers: removed ones are not in it."""
    return merchant.page("customers", call, lambda doc: doc["id"] not in merchant.removed_customers)


def update_customer(merchant: Merchant, call: Call) -> Doc:
    """PUT /customers/{id}."""
    customer = _customer(merchant, call)
    given = {field: read_text("customers", call.body, field) for field in CUSTOMER_FIELDS if field in call.body}
    merchant.update_metadata("customers", customer, call.body)
    customer.update(given)
    return merchant.single("customers", customer)


def remove_customer(merchant: Merchant, call: Call) -> Doc:
    """DELETE /customers/{id}: for good; mandates are cancelled, payments and payouts stay."""
    customer = _customer(merchant, call)
    for mandate in list(merchant.collections["mandates"].records):
        if mandate["links"]["customer"] == customer["id"] and mandate["status"] in CHARGEABLE:
            end_mandate(merchant, mandate, cause="mandate_cancelled", origin="api")
    merchant.removed_customers.add(customer["id"])
    return merchant.single("customers", customer)


def create_bank_account(merchant: Merchant, call: Call) -> Doc:
    """POST /customer_bank_accounts. Refusal 409 `bank_account_exists`: the customer has it already and it is
    enabled.
    """
    _needs_payment_pages(merchant)
    customer = merchant.linked("customers", "customer_bank_accounts", call.body, "customer")
    return merchant.single("customer_bank_accounts", new_bank_account(merchant, customer, call.body))


def new_bank_account(
    merchant: Merchant, customer: Doc, body: Doc, *, cause: str | None = None, reuse: bool = False
) -> Doc:
    """Make a bank account, or enable the disabled one with the same details again; `reuse`: or take the enabled one."""
    envelope = "customer_bank_accounts"
    holder = read_text(envelope, body, "account_holder_name")
    if not holder:
        raise invalid(envelope, ("account_holder_name", "is required"))
    iban, number = read_text(envelope, body, "iban"), read_text(envelope, body, "account_number")
    if not (iban or number):
        raise invalid(envelope, ("iban", "is required"), ("account_number", "is required"))
    country = (iban[:2] if iban else read_text(envelope, body, "country_code")) or "GB"
    details = iban or f"{country}/{body.get('bank_code')}/{body.get('branch_code')}/{number}"
    known = merchant.bank_numbers.get((customer["id"], details))
    if known is not None:
        account = merchant.collections[envelope][known]
        if account["enabled"] and not reuse:
            raise bank_account_exists("customer_bank_account", known)
        account["enabled"] = True
        return account
    currency = read_text(envelope, body, "currency")
    if currency is None:
        national = [scheme.currency for scheme in SCHEMES.values() if scheme.country == country]
        currency = national[0] if national else "EUR"
    if currency not in SCHEME_OF_CURRENCY:
        raise invalid(envelope, ("currency", "is not supported"))
    account = merchant.collections[envelope].add(
        {
            "id": merchant.new_id("BA", cause),
            "created_at": merchant.now_text,
            # Banks take 18 capitals.
            "account_holder_name": holder.upper()[:18],
            "account_number_ending": (iban or number or "")[-4 if currency == "NZD" else -2 :],
            "account_type": body.get("account_type") if currency == "USD" else None,
            "bank_account_token": None,
            "bank_name": "SANDBOX BANK",
            "country_code": country,
            "currency": currency,
            "enabled": True,
            "metadata": read_metadata(envelope, body),
            "links": {"customer": customer["id"]},
        }
    )
    merchant.bank_numbers[customer["id"], details] = account["id"]
    return account


def disable_bank_account(merchant: Merchant, call: Call) -> Doc:
    """POST /customer_bank_accounts/{id}/actions/disable: cancels its mandates. Refusal `disable_failed`: it is
    disabled.
    """
    account = merchant.collections["customer_bank_accounts"].get(call.identity)
    if not account["enabled"]:
        raise state("disable_failed", "Bank account is already disabled")
    account["enabled"] = False
    for mandate in list(merchant.collections["mandates"].records):
        if mandate["links"]["customer_bank_account"] == account["id"] and mandate["status"] in CHARGEABLE:
            end_mandate(merchant, mandate, cause="bank_account_closed", origin="api")
    return merchant.single("customer_bank_accounts", account)


def create_mandate(merchant: Merchant, call: Call) -> Doc:
    """POST /mandates. Refusal 403: a live account without its own payment pages, who makes them by billing requests."""
    _needs_payment_pages(merchant)
    account = merchant.linked("customer_bank_accounts", "mandates", call.body, "customer_bank_account")
    if not account["enabled"]:
        raise state("bank_account_disabled", "Bank account is disabled")
    creditor = merchant.creditor("mandates", call.body)
    scheme = read_text("mandates", call.body, "scheme") or SCHEME_OF_CURRENCY[account["currency"]].name
    if scheme not in SCHEMES or SCHEMES[scheme].currency != account["currency"]:
        raise invalid("mandates", ("scheme", "does not fit the bank account"))
    reference = read_text("mandates", call.body, "reference", longest=18)
    if reference is not None and len(reference) < _MANDATE_REFERENCE_MIN:
        raise invalid("mandates", ("reference", f"is too short (minimum is {_MANDATE_REFERENCE_MIN} characters)"))
    metadata = read_metadata("mandates", call.body)
    mandate = new_mandate(merchant, account, creditor, scheme, reference=reference, metadata=metadata)
    return merchant.single("mandates", mandate)


def new_mandate(
    merchant: Merchant,
    account: Doc,
    creditor: Doc,
    scheme: str,
    *,
    reference: str | None = None,
    metadata: dict[str, str] | None = None,
    origin: str = "api",
    cause: str | None = None,
) -> Doc:
    """Make a mandate and, where its scheme submits mandates by themselves, put its days into the schedule."""
    identity = merchant.new_id("MD", cause)
    mandate = merchant.collections["mandates"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "reference": reference or merchant.world.opaque("reference", identity, length=10),
            "status": "pending_submission",
            "scheme": scheme,
            "payments_require_approval": False,
            "metadata": metadata or {},
            "verified_at": None,
            "consent_type": None,
            "consent_parameters": None,
            "authorisation_source": "web",
            "funds_settlement": "managed",
            "mandate_type": "bank_debit",
            "links": {
                "customer_bank_account": account["id"],
                "creditor": creditor["id"],
                "customer": account["links"]["customer"],
            },
        }
    )
    tell_mandate(merchant, mandate, "created", cause="mandate_created", origin=origin)
    schedule_mandate(merchant, mandate)
    return mandate


def transfer_mandate(merchant: Merchant, mandate: Doc) -> None:
    """Move a mandate to another bank account of the payer, as the account switch services do: its id stays."""
    old = merchant.collections["customer_bank_accounts"][mandate["links"]["customer_bank_account"]]
    number = merchant.world.counter(f"transfer/{mandate['id']}")
    new = {**old, "id": merchant.new_id("BA", f"{mandate['id']}/transfer/{number}"), "created_at": merchant.now_text}
    merchant.collections["customer_bank_accounts"].add({**new, "metadata": {}, "links": dict(old["links"])})
    mandate["links"]["customer_bank_account"] = new["id"]
    links = {"previous_customer_bank_account": old["id"], "new_customer_bank_account": new["id"]}
    tell_mandate(merchant, mandate, "transferred", cause="bank_account_transferred", origin="bank", links=links)


def replace_mandate(merchant: Merchant, mandate: Doc) -> Doc:
    """Replace a mandate by one on another scheme identifier: the old one is cancelled and names the new one."""
    account = merchant.collections["customer_bank_accounts"][mandate["links"]["customer_bank_account"]]
    creditor = merchant.collections["creditors"][mandate["links"]["creditor"]]
    metadata, cause = dict(mandate["metadata"]), f"{mandate['id']}/replaced"
    new = new_mandate(
        merchant, account, creditor, mandate["scheme"], metadata=metadata, origin="gocardless", cause=cause
    )
    mandate["links"]["new_mandate"] = new["id"]
    links = {"new_mandate": new["id"]}
    end_mandate(merchant, mandate, cause="scheme_identifier_changed", origin="gocardless", links=links)
    return new


def cancel_mandate(merchant: Merchant, call: Call) -> Doc:
    """POST /mandates/{id}/actions/cancel. Refusal `cancellation_failed`: it has ended already."""
    mandate = merchant.collections["mandates"].get(call.identity)
    if mandate["status"] not in CHARGEABLE:
        raise state("cancellation_failed", "Mandate cannot be cancelled")
    end_mandate(
        merchant, mandate, cause="mandate_cancelled", origin="api", metadata=read_metadata("mandates", call.body)
    )
    return merchant.single("mandates", mandate)


def reinstate_mandate(merchant: Merchant, call: Call) -> Doc:
    """POST /mandates/{id}/actions/reinstate. Refusal `mandate_not_inactive`."""
    _needs_payment_pages(merchant)
    mandate = merchant.collections["mandates"].get(call.identity)
    if mandate["status"] not in {"cancelled", "expired", "failed"}:
        raise state("mandate_not_inactive", "Mandate is already active or being submitted")
    mandate["status"] = "pending_submission"
    tell_mandate(merchant, mandate, "resubmission_requested", cause="resubmission_requested", origin="api")
    schedule_mandate(merchant, mandate)
    return merchant.single("mandates", mandate)


def list_mandates(merchant: Merchant, call: Call) -> Doc:
    """GET /mandates. Refusal 400: more than one of the filters that exclude each other."""
    if len({"creditor", "customer", "customer_bank_account"} & set(call.query)) > 1:
        raise usage("invalid_filters", "creditor, customer and customer_bank_account exclude each other")
    return merchant.page("mandates", call)


def _customer(merchant: Merchant, call: Call) -> Doc:
    if call.identity in merchant.removed_customers:
        raise usage(merchant.settings.removed_customer, "Resource not found")
    return merchant.collections["customers"].get(call.identity)


def _needs_payment_pages(merchant: Merchant) -> None:
    if not merchant.settings.custom_payment_pages:
        raise usage("forbidden", "Your account is not approved for custom payment pages")
