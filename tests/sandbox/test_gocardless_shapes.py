"""Field by field: what the simulator answers has the names and types of the official client's bodies, and nothing
invented.
"""

import re
from datetime import UTC, datetime
from typing import Any

from sandbox.gocardless import gocardless_app
from sandbox.world import World
from tests.support.served import served

HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}

TYPES = {"bool": bool, "dict": dict, "int": int, "list": list, "str": str}
# resource -> type -> fields. Own table of the facts in the API's resource definitions (version 2015-07-06). A field in
# `may` can be missing; any value can be null.
SHAPES: dict[str, dict[str, str]] = {
    "payments": {
        "bool": "faster_ach retry_if_possible",
        "dict": "fx links metadata",
        "int": "amount amount_refunded app_fee",
        "str": "charge_date created_at currency description id reference scheme status",
        "links": "creditor instalment_schedule mandate payout subscription",
        "may": "faster_ach app_fee",
    },
    "payouts": {
        "dict": "fx links metadata",
        "int": "amount deducted_fees",
        "str": "arrival_date created_at currency id payout_type reference status tax_currency",
        "links": "creditor creditor_bank_account",
    },
    "subscriptions": {
        "bool": "parent_plan_paused retry_if_possible",
        "dict": "links metadata",
        "int": "amount app_fee count day_of_month interval",
        "list": "upcoming_payments",
        "str": "created_at currency earliest_charge_date_after_resume end_date id interval_unit month name payment_reference start_date status",
        "links": "mandate",
    },
    "payout_items": {"dict": "links", "list": "taxes", "str": "amount type", "links": "mandate payment refund"},
    "events": {
        "dict": "details links metadata resource_metadata source",
        "list": "customer_notifications",
        "str": "action created_at id resource_type organisation_id",
        "links": "billing_request billing_request_flow creditor customer customer_bank_account mandate "
        "mandate_request_mandate new_customer_bank_account new_mandate parent_event payment payout "
        "previous_customer_bank_account refund subscription",
        # The organisation is seen on recent bodies; notifications are for merchants who send their own.
        "may": "customer_notifications organisation_id",
    },
    "mandates": {
        "bool": "payments_require_approval",
        "dict": "consent_parameters links metadata",
        "str": "authorisation_source consent_type created_at funds_settlement id mandate_type next_possible_charge_date "
        "next_possible_standard_ach_charge_date reference scheme status verified_at",
        "links": "creditor customer customer_bank_account new_mandate",
    },
    "billing_requests": {
        "bool": "fallback_enabled fallback_occurred",
        "dict": "links mandate_request metadata payment_request resources",
        "list": "actions",
        "str": "created_at id status sign_flow_url creditor_name",
        "links": "creditor customer customer_bank_account customer_billing_detail mandate_request mandate_request_mandate organisation",
    },
    "billing_request_flows": {
        "bool": "auto_fulfil customer_details_captured lock_bank_account lock_currency lock_customer_details "
        "show_redirect_buttons show_success_redirect_button skip_success_screen",
        "dict": "links prefilled_bank_account prefilled_customer",
        "str": "authorisation_url created_at exit_uri expires_at id language redirect_uri session_token",
        "links": "billing_request",
    },
    "creditors": {
        "bool": "can_create_refunds custom_payment_pages_enabled mandate_imports_enabled merchant_responsible_for_notifications",
        "dict": "links",
        "list": "scheme_identifiers",
        "str": "address_line1 address_line2 address_line3 bank_reference_prefix city country_code created_at creditor_type "
        "fx_payout_currency id logo_url name postal_code region verification_status",
        "links": "default_eur_payout_account default_gbp_payout_account",
    },
    "creditor_bank_accounts": {
        "bool": "enabled",
        "dict": "links metadata",
        "str": "account_holder_name account_number_ending account_type bank_name country_code created_at currency id verification_status",
        "links": "creditor",
    },
    "customers": {
        "dict": "metadata",
        "str": "address_line1 address_line2 address_line3 city company_name country_code created_at "
        "danish_identity_number email family_name given_name id language phone_number postal_code region "
        "swedish_identity_number",
    },
    "customer_bank_accounts": {
        "bool": "enabled trusted_recipient",
        "dict": "links metadata",
        "str": "account_holder_name account_number_ending account_type bank_account_token bank_name country_code "
        "created_at currency id payer_name_verification_result",
        "links": "customer",
        "may": "trusted_recipient payer_name_verification_result",
    },
    "refunds": {
        "dict": "fx links metadata",
        "int": "amount",
        "str": "created_at currency id reference status",
        "links": "mandate payment",
    },
    "balances": {
        "dict": "links",
        "int": "amount",
        "str": "balance_type currency last_updated_at",
        "links": "creditor",
    },
    "tax_rates": {"str": "end_date id jurisdiction percentage start_date type"},
    "webhooks": {
        "bool": "is_test response_body_truncated response_headers_content_truncated response_headers_count_truncated successful",
        "dict": "request_headers response_headers",
        "int": "response_code",
        "str": "created_at id request_body response_body url",
    },
}
FX = {"fx_currency", "fx_amount", "exchange_rate", "estimated_exchange_rate"}
SCHEME_IDENTIFIER = {
    "address_line1", "address_line2", "address_line3", "can_specify_mandate_reference", "city", "country_code",
    "created_at", "currency", "email", "id", "minimum_advance_notice", "name", "phone_number", "postal_code",
    "reference", "region", "scheme", "status",
}  # fmt: skip
# What may be told of each resource, as (action, origin, cause): the facts of the API's event reference.
EVENTS = {
    "payments": {
        ("created", "api", "payment_created"),
        ("created", "gocardless", "payment_created"),
        ("submitted", "gocardless", "payment_submitted"),
        ("confirmed", "gocardless", "payment_confirmed"),
        ("paid_out", "gocardless", "payment_paid_out"),
        ("failed", "bank", "refer_to_payer"),
        ("late_failure_settled", "gocardless", "late_failure_settled"),
        ("charged_back", "bank", "authorisation_disputed"),
        ("chargeback_cancelled", "bank", "payment_confirmed"),
        ("resubmission_requested", "api", "payment_retried"),
        ("resubmission_requested", "gocardless", "payment_autoretried"),
        ("cancelled", "api", "payment_cancelled"),
        ("cancelled", "api", "mandate_cancelled"),
    },
    "mandates": {
        ("created", "api", "mandate_created"),
        ("created", "gocardless", "mandate_created"),
        ("submitted", "gocardless", "mandate_submitted"),
        ("active", "gocardless", "mandate_activated"),
        ("cancelled", "api", "mandate_cancelled"),
        ("transferred", "bank", "bank_account_transferred"),
        ("replaced", "gocardless", "scheme_identifier_changed"),
    },
    "subscriptions": {
        ("created", "api", "subscription_created"),
        ("payment_created", "gocardless", "payment_created"),
        ("cancelled", "api", "mandate_cancelled"),
    },
    "payouts": {("paid", "gocardless", "payout_paid")},
    "creditors": {("bounced_payout", "gocardless", "bounced_payout")},
    "refunds": {
        ("created", "api", "payment_refunded"),
        ("paid", "gocardless", "refund_paid"),
        ("failed", "gocardless", "refund_failed"),
        ("refund_settled", "gocardless", "refund_settled"),
        ("funds_returned", "gocardless", "refund_funds_returned"),
    },
    "billing_requests": {
        ("created", "api", "billing_request_created"),
        ("flow_created", "api", "billing_request_flow_created"),
        ("flow_visited", "payer", "billing_request_flow_visited"),
        ("collect_customer_details", "payer", "billing_request_collect_customer_details"),
        ("collect_bank_account", "payer", "billing_request_collect_bank_account"),
        ("payer_details_confirmed", "payer", "billing_request_payer_details_confirmed"),
        ("fulfilled", "gocardless", "billing_request_fulfilled"),
    },
}


def check(name: str, doc: dict[str, Any]) -> None:
    shape = SHAPES[name]
    known = {field: TYPES[kind] for kind in TYPES for field in shape.get(kind, "").split()}
    may = set(shape.get("may", "").split())
    assert set(doc) <= set(known), f"{name}: {sorted(set(doc) - set(known))}"
    assert set(known) - may <= set(doc), f"{name}: {sorted(set(known) - may - set(doc))}"
    for field, value in doc.items():
        assert value is None or type(value) is known[field], f"{name}.{field} = {value!r}"
    assert set(doc.get("links", {})) <= set(shape.get("links", "").split()), f"{name}.links: {doc['links']}"
    assert all(isinstance(link, str) for link in doc.get("links", {}).values())
    if "fx" in doc:
        assert set(doc["fx"]) == FX
    if "scheme_identifiers" in doc:
        assert all(set(identifier) == SCHEME_IDENTIFIER for identifier in doc["scheme_identifiers"])
    if doc.get("created_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", doc["created_at"])


async def test_every_resource_of_the_main_path_has_its_shape(receiver: Any) -> None:
    world = World(seed=5, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:

        async def call(method: str, path: str, document: Any = None) -> Any:
            json = {} if document is None else {"json": document}
            status, body = await server.call(method, path, headers=HEADERS, **json)
            assert status in (200, 201), body
            return body

        async def make(name: str, fields: dict[str, Any]) -> dict[str, Any]:
            doc = (await call("POST", f"/{name}", {name: fields}))[name]
            check(name, doc)
            return dict(doc)

        await server.post(
            "/_sandbox/config",
            {"gocardless": {"endpoints": [{"url": receiver.url, "secret": "s"}], "refund_after_days": 0}},
        )
        _, ids = await server.post(
            "/_sandbox/gocardless/populate",
            {
                "creditor": {"can_create_refunds": True},
                "customers": [{"company_name": f"Co {n}", "email": "c@example.com"} for n in range(4)],
                "subscriptions": [{"customer": 3, "amount": 700, "interval_unit": "weekly", "name": "Plan"}],
            },
        )
        asked = await make("billing_requests", {"mandate_request": {"currency": "GBP"}})
        await make("billing_request_flows", {"links": {"billing_request": asked["id"]}})
        payments = [
            (await make("payments", {"amount": 9000, "currency": "GBP", "links": {"mandate": customer["mandate"]}}))[
                "id"
            ]
            for customer in ids["customers"][:3]
        ]
        gone = await make(
            "payments", {"amount": 1, "currency": "GBP", "links": {"mandate": ids["customers"][0]["mandate"]}}
        )
        await call("POST", f"/payments/{gone['id']}/actions/cancel")
        await server.run_until("2026-01-12T12:00:00Z")
        act = "/_sandbox/gocardless/act"
        await server.post(act, {"do": "fail_payment", "payment": payments[0], "will_attempt_retry": True})
        await server.post(act, {"do": "charge_back", "payment": payments[1]})
        await server.post(act, {"do": "cancel_chargeback", "payment": payments[1]})
        await make(
            "payments", {"amount": 90000, "currency": "GBP", "links": {"mandate": ids["customers"][2]["mandate"]}}
        )
        await server.run_until("2026-01-16T12:00:00Z")
        links = {"payment": payments[2]}
        refund = await make("refunds", {"amount": 5, "total_amount_confirmation": 5, "links": links})
        await server.run_until("2026-01-20T12:00:00Z")
        await server.post(act, {"do": "transfer_mandate", "mandate": ids["customers"][1]["mandate"]})
        await server.post(act, {"do": "replace_mandate", "mandate": ids["customers"][1]["mandate"]})
        bounce = {"data": {"links": {"resource": refund["id"]}}}
        await call("POST", "/scenario_simulators/refund_bounced/actions/run", bounce)
        await call("POST", f"/mandates/{ids['customers'][0]['mandate']}/actions/cancel")
        await call("POST", f"/mandates/{ids['customers'][3]['mandate']}/actions/cancel")
        await server.run_until("2026-01-26T12:00:00Z")

        for name in SHAPES:
            if name in ("billing_request_flows", "payout_items", "balances"):
                continue
            docs = (await call("GET", f"/{name}?limit=500"))[name]
            assert docs, name
            for doc in docs:
                check(name, doc)
        for payout in (await call("GET", "/payouts"))["payouts"]:
            for item in (await call("GET", f"/payout_items?payout={payout['id']}"))["payout_items"]:
                check("payout_items", item)
                whole, tenth = item["amount"].removeprefix("-").split(".")
                assert whole.isdigit()
                assert len(tenth) == 1
        for row in (await call("GET", f"/balances?creditor={ids['creditor']}"))["balances"]:
            check("balances", row)
        told: dict[str, set[tuple[str, str, str]]] = {}
        for event in (await call("GET", "/events?limit=500"))["events"]:
            details = event["details"]
            told.setdefault(event["resource_type"], set()).add((event["action"], details["origin"], details["cause"]))
            assert details["description"]
        for resource_type, seen in told.items():
            assert seen <= EVENTS[resource_type], (resource_type, seen - EVENTS[resource_type])
        assert told.keys() >= {"payments", "mandates", "payouts", "refunds", "billing_requests"}
