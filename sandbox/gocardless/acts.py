"""Acts: what a scenario's author does to the world, beside the API. Mounted under
`/_sandbox/gocardless/`.

    POST populate  {"quiet": bool, "creditor": {...}, "customers": [{given_name, family_name, company_name, email,
                    metadata, country_code, currency, "mandate": "active"|"pending_submission"|null, "mandate_metadata",
                    "reference"}, ...], "subscriptions": [{"customer": place among `customers`, amount, currency,
                    interval_unit, interval, day_of_month, count, start_date, name, status, metadata}, ...]}
                   -> {"creditor": id, "customers": [{"customer", "customer_bank_account", "mandate"}, ...],
                   "subscriptions": [id, ...]}, each in order
    POST act       {"do": verb, ...}: see `VERBS`
"""

from collections.abc import Callable
from typing import Any

from sandbox.gocardless.catalogue import change_creditor, new_creditor
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.consent import bank_details, visit
from sandbox.gocardless.lifecycle import (
    LIVE_SUBSCRIPTION,
    activate_mandate,
    cancel_chargeback,
    charge_back,
    end_mandate,
    end_subscription,
    fail,
    submit_mandate,
)
from sandbox.gocardless.merchant import Merchant
from sandbox.gocardless.payers import (
    CUSTOMER_FIELDS,
    new_bank_account,
    new_customer,
    new_mandate,
    replace_mandate,
    transfer_mandate,
)
from sandbox.gocardless.payouts import bounce_payout, retry_payout
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY
from sandbox.gocardless.subscriptions import new_subscription

_CUSTOMER_WORDS = frozenset(
    {*CUSTOMER_FIELDS, "language", "metadata", "currency", "mandate", "mandate_metadata", "reference"}
)


def populate(merchant: Merchant, document: dict[str, Any]) -> dict[str, Any]:
    """Put customers with bank accounts and mandates into the world as of now. ValueError: something is not
    understood.
    """
    merchant.events.quiet = bool(document.get("quiet", False))
    try:
        creditor = _creditor(merchant, document.get("creditor"))
        customers = [_customer(merchant, creditor, item) for item in document.get("customers", [])]
        subscriptions = [_subscription(merchant, customers, item) for item in document.get("subscriptions", [])]
    finally:
        merchant.events.quiet = False
    return {"creditor": creditor["id"], "customers": customers, "subscriptions": subscriptions}


def act(merchant: Merchant, document: dict[str, Any]) -> dict[str, Any]:
    """Do one thing the banks, GoCardless's staff or a payer may do. ValueError or KeyError: not understood."""
    verb = VERBS.get(document.get("do", ""))
    if verb is None:
        raise ValueError(f"do is one of {', '.join(sorted(VERBS))}")
    return verb(merchant, document) or {}


def _creditor(merchant: Merchant, given: dict[str, Any] | None) -> Doc:
    first = merchant.collections["creditors"].records[0]
    if given is None:
        return first
    fields = {name: value for name, value in given.items() if name != "additional"}
    if given.get("additional"):
        return new_creditor(merchant, fields)
    change_creditor(merchant, first, fields)
    return first


def _customer(merchant: Merchant, creditor: Doc, item: dict[str, Any]) -> dict[str, str | None]:
    unknown = set(item) - _CUSTOMER_WORDS
    if unknown:
        raise ValueError(f"a customer has no {', '.join(sorted(unknown))}")
    currency = item.get("currency", "GBP")
    scheme = SCHEME_OF_CURRENCY[currency]
    customer = new_customer(merchant, {"country_code": scheme.country, **item})
    details = bank_details(merchant, currency, customer, cause=customer["id"])
    account = new_bank_account(merchant, customer, details)
    wanted = item.get("mandate", "active")
    if wanted not in ("active", "pending_submission", None):
        raise ValueError("mandate is active, pending_submission or null")
    mandate = None
    if wanted is not None:
        metadata, reference = item.get("mandate_metadata", {}), item.get("reference")
        mandate = new_mandate(merchant, account, creditor, scheme.name, reference=reference, metadata=metadata)
        if wanted == "active":
            submit_mandate(merchant, mandate)
            activate_mandate(merchant, mandate)
    return {
        "customer": customer["id"],
        "customer_bank_account": account["id"],
        "mandate": None if mandate is None else mandate["id"],
    }


def _subscription(merchant: Merchant, customers: list[dict[str, str | None]], item: dict[str, Any]) -> str:
    mandate = customers[item["customer"]]["mandate"]
    if mandate is None:
        raise ValueError("a subscription's customer has a mandate")
    return str(new_subscription(merchant, merchant.collections["mandates"][mandate], item)["id"])


def _end_subscription(merchant: Merchant, given: dict[str, Any]) -> None:
    subscription = merchant.collections["subscriptions"][given["subscription"]]
    if subscription["status"] not in LIVE_SUBSCRIPTION:
        raise ValueError(f"a subscription that is {subscription['status']} does not end")
    end_subscription(merchant, subscription, cause="subscription_cancelled", origin="api")


def _fail_payment(merchant: Merchant, given: dict[str, Any]) -> None:
    payment = merchant.collections["payments"][given["payment"]]
    if payment["status"] not in ("submitted", "confirmed", "paid_out"):
        raise ValueError(f"a payment that is {payment['status']} does not fail")
    days = given.get("retry_after_days", 7) if given.get("will_attempt_retry") else None
    cause = given.get("cause", "refer_to_payer")
    fail(merchant, payment, cause=cause, reason_code=given.get("reason_code"), retry_after_days=days)


def _charge_back(merchant: Merchant, given: dict[str, Any]) -> None:
    payment = merchant.collections["payments"][given["payment"]]
    if payment["status"] not in ("confirmed", "paid_out"):
        raise ValueError(f"a payment that is {payment['status']} is not charged back")
    cause = given.get("cause", "authorisation_disputed")
    charge_back(merchant, payment, cause=cause, reason_code=given.get("reason_code"))


def _cancel_chargeback(merchant: Merchant, given: dict[str, Any]) -> None:
    payment = merchant.collections["payments"][given["payment"]]
    if payment["status"] != "charged_back":
        raise ValueError("only a charged back payment's chargeback is cancelled")
    cancel_chargeback(merchant, payment)


def _end_mandate(merchant: Merchant, given: dict[str, Any]) -> None:
    mandate = merchant.collections["mandates"][given["mandate"]]
    cause, code = given.get("cause", "mandate_cancelled"), given.get("reason_code", "ADDACS-1")
    end_mandate(merchant, mandate, cause=cause, origin="bank", reason_code=code)


def _transfer_mandate(merchant: Merchant, given: dict[str, Any]) -> None:
    transfer_mandate(merchant, merchant.collections["mandates"][given["mandate"]])


def _replace_mandate(merchant: Merchant, given: dict[str, Any]) -> dict[str, Any]:
    return {"mandate": replace_mandate(merchant, merchant.collections["mandates"][given["mandate"]])["id"]}


def _bounce_payout(merchant: Merchant, given: dict[str, Any]) -> None:
    bounce_payout(merchant, merchant.collections["payouts"][given["payout"]])


def _retry_payout(merchant: Merchant, given: dict[str, Any]) -> None:
    retry_payout(merchant, merchant.collections["payouts"][given["payout"]])


def _visit_flow(merchant: Merchant, given: dict[str, Any]) -> None:
    visit(merchant, merchant.collections["billing_request_flows"][given["flow"]], given.get("behaviour", "completes"))


def _test_webhook(merchant: Merchant, given: dict[str, Any]) -> dict[str, Any]:
    links = given.get("links", {"payment": "PM000000000000"})
    resource_type = given.get("resource_type", "payments")
    return {"event": merchant.events.post_test(resource_type, given.get("action", "failed"), links)}


def _post_events(merchant: Merchant, given: dict[str, Any]) -> None:
    merchant.events.post_raw(list(given["events"]))


VERBS: dict[str, Callable[[Merchant, dict[str, Any]], dict[str, Any] | None]] = {
    "fail_payment": _fail_payment,
    "charge_back": _charge_back,
    "cancel_chargeback": _cancel_chargeback,
    "end_mandate": _end_mandate,
    "end_subscription": _end_subscription,
    "transfer_mandate": _transfer_mandate,
    "replace_mandate": _replace_mandate,
    "bounce_payout": _bounce_payout,
    "retry_payout": _retry_payout,
    "visit_flow": _visit_flow,
    "test_webhook": _test_webhook,
    "post_events": _post_events,
}
