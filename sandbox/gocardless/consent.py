"""Consent: billing requests, their hosted authorisation pages, and the simulated payers who visit them.

A billing request makes its customer at once; the payer's answers complete its actions; fulfilment makes the mandate.
Instant payments (`payment_request`), subscriptions and instalments are not simulated and refused. The payer behaves
as `Settings.payer` says, by seed.
"""

import re
from datetime import timedelta
from typing import Any

from sandbox.gocardless.collection import Doc, moment
from sandbox.gocardless.errors import invalid, state, usage
from sandbox.gocardless.fields import read_metadata, read_text
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.payers import CUSTOMER_FIELDS, new_bank_account, new_customer, new_mandate
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY, SCHEMES
from sandbox.gocardless.settings import PayerRule

FLOW_LIFE = timedelta(days=7)
_FLOW_PAGE = "https://pay-sandbox.gocardless.com/billing/static/flow?id="
_FLOW_LETTERS = 29
_NEEDED = {
    "customer": ("email", "given_name", "family_name"),
    "customer_billing_detail": ("address_line1", "city", "postal_code", "country_code"),
}
_VERIFY = frozenset({"minimum", "recommended", "when_available", "always"})
_NOT_SIMULATED = ("payment_request", "subscription_request", "instalment_schedule_request")
_OPEN = frozenset({"pending", "ready_to_fulfil"})


def create_billing_request(merchant: Merchant, call: Call) -> Doc:
    """POST /billing_requests with a `mandate_request`. Refusal: fields (422); what is not simulated (403
    `feature_disabled`).
    """
    body = call.body
    for part in _NOT_SIMULATED:
        if body.get(part) is not None:
            raise usage(
                "feature_disabled", f"{part} is not available in this sandbox", pointer=f"/billing_requests/{part}"
            )
    request = body.get("mandate_request")
    if not isinstance(request, dict):
        raise invalid("billing_requests", ("mandate_request", "is required"))
    mandate_request = _mandate_request(request)
    creditor = merchant.creditor("billing_requests", body)
    metadata = read_metadata("billing_requests", body)
    links = body.get("links") or {}
    customer = (
        merchant.linked("customers", "billing_requests", body, "customer")
        if "customer" in links
        else new_customer(merchant, {}, named=False)
    )
    identity = merchant.new_id("BRQ")
    billing_request = merchant.collections["billing_requests"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "status": "pending",
            "mandate_request": mandate_request,
            "payment_request": None,
            "metadata": metadata,
            "links": {
                "customer": customer["id"],
                "customer_billing_detail": merchant.new_id("CBD", identity),
                "creditor": creditor["id"],
                "organisation": merchant.organisation,
                "mandate_request": merchant.new_id("MRQ", identity),
            },
            "fallback_enabled": bool(body.get("fallback_enabled", False)),
            "fallback_occurred": False,
            "sign_flow_url": None,
            "creditor_name": creditor["name"],
            "actions": _actions(mandate_request),
        }
    )
    tell_request(merchant, billing_request, "created", origin="api", metadata=metadata)
    if "customer_bank_account" in links:
        account = merchant.linked("customer_bank_accounts", "billing_requests", body, "customer_bank_account")
        billing_request["links"]["customer_bank_account"] = account["id"]
        _complete(billing_request, "collect_bank_account")
    return show_request(merchant, billing_request)


def get_billing_request(merchant: Merchant, call: Call) -> Doc:
    """GET /billing_requests/{id}."""
    return show_request(merchant, _request(merchant, call))


def list_billing_requests(merchant: Merchant, call: Call) -> Doc:
    """GET /billing_requests."""
    page = merchant.page("billing_requests", call)
    shown = [show_request(merchant, doc)["billing_requests"] for doc in page["billing_requests"]]
    return {**page, "billing_requests": shown}


def collect_customer_details(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/collect_customer_details {customer, customer_billing_detail}."""
    billing_request = _open_request(merchant, call)
    _take_details(merchant, billing_request, call.body, origin="api")
    return show_request(merchant, billing_request)


def collect_bank_account(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/collect_bank_account with the bank's fields."""
    billing_request = _open_request(merchant, call)
    _take_account(merchant, billing_request, call.body, origin="api")
    return show_request(merchant, billing_request)


def choose_currency(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/choose_currency {currency}: before the bank account is known."""
    billing_request = _open_request(merchant, call)
    currency = call.body.get("currency")
    if currency not in SCHEME_OF_CURRENCY:
        raise invalid("billing_requests", ("currency", "is not included in the list"))
    if _action(billing_request, "collect_bank_account")["status"] == "completed":
        raise state("already_actioned", "The bank account has been collected")
    billing_request["mandate_request"]["currency"] = currency
    billing_request["mandate_request"]["scheme"] = SCHEME_OF_CURRENCY[currency].name
    _complete(billing_request, "choose_currency")
    tell_request(merchant, billing_request, "choose_currency", origin="api")
    return show_request(merchant, billing_request)


def confirm_payer_details(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/confirm_payer_details."""
    billing_request = _open_request(merchant, call)
    _confirm(merchant, billing_request, origin="api")
    return show_request(merchant, billing_request)


def fulfil_billing_request(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/fulfil: only when ready."""
    billing_request = _request(merchant, call)
    if billing_request["status"] != "ready_to_fulfil":
        raise state("bad_request", "The billing request is not ready to be fulfilled")
    fulfil(merchant, billing_request, origin="api")
    return show_request(merchant, billing_request)


def cancel_billing_request(merchant: Merchant, call: Call) -> Doc:
    """POST .../actions/cancel: its flows expire with it. Refusal `cancellation_failed`: it has ended."""
    billing_request = _request(merchant, call)
    if billing_request["status"] not in _OPEN:
        raise state("cancellation_failed", "The billing request cannot be cancelled")
    billing_request["status"] = "cancelled"
    for flow in merchant.collections["billing_request_flows"].records:
        if flow["links"]["billing_request"] == billing_request["id"]:
            flow["expires_at"] = merchant.now_text
    metadata = read_metadata("billing_requests", call.body)
    tell_request(merchant, billing_request, "cancelled", origin="api", metadata=metadata)
    return show_request(merchant, billing_request)


def create_flow(merchant: Merchant, call: Call) -> Doc:
    """POST /billing_request_flows: not idempotent; several flows of one billing request are harmless."""
    body = call.body
    billing_request = merchant.linked("billing_requests", "billing_request_flows", body, "billing_request")
    if billing_request["status"] not in _OPEN:
        raise state("already_actioned", "The billing request has been fulfilled or cancelled")
    number = merchant.world.counter(f"flow/{billing_request['id']}")
    identity = merchant.new_id("BRF", f"{billing_request['id']}/{number}", letters=_FLOW_LETTERS)
    expires_at = merchant.world.now + FLOW_LIFE
    flow = merchant.collections["billing_request_flows"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "expires_at": moment(expires_at),
            "authorisation_url": _FLOW_PAGE + identity,
            "session_token": None,
            "redirect_uri": read_text("billing_request_flows", body, "redirect_uri", longest=2048),
            "exit_uri": read_text("billing_request_flows", body, "exit_uri", longest=2048),
            "language": read_text("billing_request_flows", body, "language") or "en",
            "auto_fulfil": True,
            **{
                field: bool(body.get(field, False))
                for field in (
                    "lock_customer_details",
                    "lock_bank_account",
                    "lock_currency",
                    "show_redirect_buttons",
                    "show_success_redirect_button",
                    "skip_success_screen",
                    "customer_details_captured",
                )
            },
            "prefilled_customer": _prefilled(body),
            "prefilled_bank_account": body.get("prefilled_bank_account"),
            "links": {"billing_request": billing_request["id"]},
        }
    )
    tell_request(merchant, billing_request, "flow_created", origin="api", flow=identity)
    _expect_payer(merchant, flow, billing_request)
    return {"billing_request_flows": flow}


def get_flow(merchant: Merchant, call: Call) -> Doc:
    """GET /billing_request_flows/{id}: UNCONFIRMED, hence off by default and answered as an unknown path."""
    if not merchant.settings.get_flow:
        raise usage("path_not_found", "Path not found")
    return {"billing_request_flows": merchant.collections["billing_request_flows"].get(call.identity)}


def initialise_flow(merchant: Merchant, call: Call) -> Doc:
    """POST /billing_request_flows/{id}/actions/initialise: gives the session token."""
    flow = merchant.collections["billing_request_flows"].get(call.identity)
    flow["session_token"] = "sesh_" + merchant.world.opaque("session", flow["id"], length=12)
    return {"billing_request_flows": flow}


def visit(merchant: Merchant, flow: Doc, behaviour: str) -> None:
    """Let the payer open the page, and complete or leave it. Nothing happens when it has expired or is no longer
    needed.
    """
    billing_request = merchant.collections["billing_requests"][flow["links"]["billing_request"]]
    if billing_request["status"] not in _OPEN or flow["expires_at"] <= merchant.now_text:
        return
    merchant.flow_visits[flow["id"]] = behaviour
    tell_request(merchant, billing_request, "flow_visited", origin="payer", flow=flow["id"])
    if behaviour == "exits":
        tell_request(merchant, billing_request, "flow_exited", origin="payer", flow=flow["id"])
        return
    details = {
        **_stranger(merchant, flow),
        **{field: value for field, value in _known(merchant, flow).items() if value},
    }
    _take_details(merchant, billing_request, {"customer": details, "customer_billing_detail": details}, origin="payer")
    if "customer_bank_account" not in billing_request["links"]:
        account = bank_details(merchant, billing_request["mandate_request"]["currency"], details, cause=flow["id"])
        _take_account(merchant, billing_request, account, origin="payer")
    _confirm(merchant, billing_request, origin="payer")
    fulfil(merchant, billing_request, origin="gocardless")


def bank_details(merchant: Merchant, currency: str, holder: Doc, *, cause: str) -> Doc:
    """Make up a bank account's details by seed: an IBAN for EUR, a national number elsewhere."""
    digits = f"{int(merchant.world.chance('account', cause) * 1e8):08d}"
    name = holder.get("company_name") or f"{holder.get('given_name')} {holder.get('family_name')}"
    if currency == "EUR":
        return {"account_holder_name": name, "iban": f"DE89{digits[:4]}{digits}400000"[:22]}
    country = SCHEME_OF_CURRENCY[currency].country
    return {
        "account_holder_name": name,
        "account_number": digits,
        "branch_code": "200000",
        "country_code": country,
        "currency": currency,
    }


def fulfil(merchant: Merchant, billing_request: Doc, *, origin: str) -> None:
    """Make the mandate that was asked for; it carries the mandate request's metadata."""
    request, links = billing_request["mandate_request"], billing_request["links"]
    account = merchant.collections["customer_bank_accounts"][links["customer_bank_account"]]
    creditor = merchant.collections["creditors"][links["creditor"]]
    mandate = new_mandate(
        merchant,
        account,
        creditor,
        request["scheme"],
        reference=request.pop("reference", None),
        metadata=dict(request["metadata"]),
        origin=origin,
        cause=billing_request["id"],
    )
    billing_request["status"] = "fulfilled"
    links["mandate_request_mandate"] = mandate["id"]
    request["links"]["mandate"] = mandate["id"]
    tell_request(merchant, billing_request, "fulfilled", origin=origin)


def show_request(merchant: Merchant, billing_request: Doc) -> Doc:
    """Wrap a billing request with its `resources`."""
    links = billing_request["links"]
    customer = merchant.collections["customers"][links["customer"]]
    names = (
        "id",
        "created_at",
        "email",
        "given_name",
        "family_name",
        "company_name",
        "language",
        "phone_number",
        "metadata",
    )
    detail = {field: customer[field] for field in CUSTOMER_FIELDS if field not in names}
    resources: dict[str, Any] = {
        "customer": {name: customer[name] for name in names},
        "customer_billing_detail": {
            "id": links["customer_billing_detail"],
            "created_at": customer["created_at"],
            **detail,
            "schemes": [billing_request["mandate_request"]["scheme"]],
            "ip_address": None,
        },
    }
    if "customer_bank_account" in links:
        resources["customer_bank_account"] = merchant.collections["customer_bank_accounts"][
            links["customer_bank_account"]
        ]
    # `reference` is kept for the mandate to come; the recorded bodies do not show it.
    request = {name: value for name, value in billing_request["mandate_request"].items() if name != "reference"}
    return {"billing_requests": {**billing_request, "mandate_request": request, "resources": resources}}


def tell_request(
    merchant: Merchant,
    billing_request: Doc,
    action: str,
    *,
    origin: str,
    flow: str | None = None,
    metadata: Doc | None = None,
) -> None:
    """Record an event of a billing request; its cause is `billing_request_<action>`."""
    links = {"billing_request": billing_request["id"], "customer": billing_request["links"]["customer"]}
    for name in ("customer_bank_account", "mandate_request_mandate"):
        if name in billing_request["links"]:
            links[name] = billing_request["links"][name]
    if flow is not None:
        links["billing_request_flow"] = flow
    merchant.events.record(
        "billing_requests",
        action,
        links,
        cause=f"billing_request_{action}",
        origin=origin,
        metadata=metadata,
        resource_metadata=billing_request["metadata"],
    )


def _mandate_request(given: Doc) -> Doc:
    currency = given.get("currency")
    if currency not in SCHEME_OF_CURRENCY:
        raise invalid("billing_requests", ("mandate_request/currency", "is not included in the list"))
    scheme = given.get("scheme") or SCHEME_OF_CURRENCY[currency].name
    if scheme not in SCHEMES or SCHEMES[scheme].currency != currency:
        raise invalid("billing_requests", ("mandate_request/scheme", "does not fit the currency"))
    verify = given.get("verify", "recommended")
    if verify not in _VERIFY:
        raise invalid("billing_requests", ("mandate_request/verify", "is not included in the list"))
    return {
        "currency": currency,
        "constraints": given.get("constraints"),
        "scheme": scheme,
        "sweeping": False,
        "verify": verify,
        "links": {},
        "metadata": read_metadata("billing_requests", given),
        "description": given.get("description"),
        "payer_requested_dual_signature": False,
        "reference": given.get("reference"),
    }


def _actions(mandate_request: Doc) -> list[Doc]:
    country = SCHEMES[mandate_request["scheme"]].country

    def action(kind: str, status: str, completes: list[str], requires: list[str], **more: Any) -> Doc:
        return {
            "type": kind,
            "required": True,
            "completes_actions": completes,
            "requires_actions": requires,
            "status": status,
            **more,
        }

    return [
        action("choose_currency", "completed", [], [], available_currencies=sorted(SCHEME_OF_CURRENCY)),
        action(
            "collect_customer_details",
            "pending",
            [],
            ["choose_currency"],
            collect_customer_details={
                "incomplete_fields": {part: list(fields) for part, fields in _NEEDED.items()},
                "default_country_code": country,
            },
        ),
        action("collect_bank_account", "pending", ["choose_currency"], [], available_country_codes=[country]),
        action("confirm_payer_details", "pending", [], ["collect_customer_details", "collect_bank_account"]),
    ]


def _action(billing_request: Doc, kind: str) -> Doc:
    return next(action for action in billing_request["actions"] if action["type"] == kind)


def _complete(billing_request: Doc, kind: str) -> None:
    _action(billing_request, kind)["status"] = "completed"
    if all(action["status"] == "completed" for action in billing_request["actions"]):
        billing_request["status"] = "ready_to_fulfil"


def _take_details(merchant: Merchant, billing_request: Doc, body: Doc, *, origin: str) -> None:
    customer = merchant.collections["customers"][billing_request["links"]["customer"]]
    for part in ("customer", "customer_billing_detail"):
        given = body.get(part)
        if given is None:
            continue
        if not isinstance(given, dict):
            raise invalid("billing_requests", (part, "must be an object"))
        customer.update({field: read_text(part, given, field) for field in CUSTOMER_FIELDS if field in given})
    missing = {
        part: [field for field in fields if not customer[field] and not (customer["company_name"] and "name" in field)]
        for part, fields in _NEEDED.items()
    }
    _action(billing_request, "collect_customer_details")["collect_customer_details"]["incomplete_fields"] = missing
    if not any(missing.values()):
        _complete(billing_request, "collect_customer_details")
    tell_request(merchant, billing_request, "collect_customer_details", origin=origin)


def _take_account(merchant: Merchant, billing_request: Doc, body: Doc, *, origin: str) -> None:
    customer = merchant.collections["customers"][billing_request["links"]["customer"]]
    account = new_bank_account(merchant, customer, body, cause=f"{billing_request['id']}/account", reuse=True)
    if account["currency"] != billing_request["mandate_request"]["currency"]:
        raise invalid("billing_requests", ("currency", "does not fit the mandate request"))
    billing_request["links"]["customer_bank_account"] = account["id"]
    _complete(billing_request, "collect_bank_account")
    tell_request(merchant, billing_request, "collect_bank_account", origin=origin)


def _confirm(merchant: Merchant, billing_request: Doc, *, origin: str) -> None:
    for kind in ("collect_customer_details", "collect_bank_account"):
        if _action(billing_request, kind)["status"] != "completed":
            raise state("bad_request", f"{kind} has to be completed first")
    _complete(billing_request, "confirm_payer_details")
    tell_request(merchant, billing_request, "payer_details_confirmed", origin=origin)


def _request(merchant: Merchant, call: Call) -> Doc:
    return merchant.collections["billing_requests"].get(call.identity)


def _open_request(merchant: Merchant, call: Call) -> Doc:
    billing_request = _request(merchant, call)
    if billing_request["status"] not in _OPEN:
        raise state("already_actioned", "The billing request has been fulfilled or cancelled")
    return billing_request


def _prefilled(body: Doc) -> Doc | None:
    given = body.get("prefilled_customer")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise invalid("billing_request_flows", ("prefilled_customer", "must be an object"))
    return {field: read_text("billing_request_flows", given, field) for field in CUSTOMER_FIELDS if field in given}


def _expect_payer(merchant: Merchant, flow: Doc, billing_request: Doc) -> None:
    payer = merchant.settings.payer
    rule = next((rule for rule in payer.rules if _fits(rule, billing_request)), None)
    behaviour = payer.behaviour if rule is None else rule.behaviour
    if behaviour == "never":
        return
    span = payer.delay_hours_max - payer.delay_hours_min
    hours = payer.delay_hours_min + span * merchant.world.chance("payer", flow["id"])
    if rule is not None and rule.delay_hours is not None:
        hours = rule.delay_hours
    # To the minute: a payer's second is nobody's business and only makes more steps of time.
    when = (merchant.world.now + timedelta(hours=hours)).replace(second=0, microsecond=0)
    merchant.world.at(when, lambda: visit(merchant, flow, behaviour))


def _fits(rule: PayerRule, billing_request: Doc) -> bool:
    texts = billing_request["metadata"]
    return all(re.search(pattern, texts.get(key, "")) is not None for key, pattern in rule.metadata_match.items())


def _known(merchant: Merchant, flow: Doc) -> Doc:
    billing_request = merchant.collections["billing_requests"][flow["links"]["billing_request"]]
    customer = merchant.collections["customers"][billing_request["links"]["customer"]]
    return {**{field: customer[field] for field in CUSTOMER_FIELDS}, **(flow["prefilled_customer"] or {})}


def _stranger(merchant: Merchant, flow: Doc) -> Doc:
    """Give what a payer fills in where nothing is known."""
    tail = merchant.world.opaque("stranger", flow["id"], length=5).lower()
    request = merchant.collections["billing_requests"][flow["links"]["billing_request"]]["mandate_request"]
    return {
        "given_name": "Robin",
        "family_name": f"Payer-{tail}",
        "email": f"payer-{tail}@example.com",
        "address_line1": "2 High Street",
        "city": "Bath",
        "postal_code": "BA1 1AA",
        "country_code": SCHEMES[request["scheme"]].country,
    }
