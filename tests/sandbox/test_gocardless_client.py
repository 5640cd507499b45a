"""The official client, unmodified, against the simulator: all calls of the main path."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import gocardless_pro
import pytest
from gocardless_pro import errors

from sandbox.gocardless import gocardless_app
from sandbox.world import World
from tests.support.served import served


@pytest.fixture
def world() -> World:
    return World(seed=11, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))


async def test_the_main_path(world: World) -> None:
    async with served(world, "gocardless", gocardless_app(world)) as server:
        client = gocardless_pro.Client(access_token="token", base_url=server.url)

        def ask() -> tuple[Any, Any, Any]:
            creditor = client.creditors.list().records[0]
            assert creditor.links.default_gbp_payout_account is not None
            request = client.billing_requests.create(
                params={"mandate_request": {"currency": "GBP", "scheme": "bacs"}, "metadata": {"invoice": "1"}}
            )
            flow = client.billing_request_flows.create(
                params={
                    "redirect_uri": "https://shop.example/back",
                    "links": {"billing_request": request.id},
                    "prefilled_customer": {"given_name": "Ada", "family_name": "Byron", "email": "a@example.com"},
                }
            )
            assert flow.authorisation_url
            return creditor, request, flow

        creditor, request, _ = await asyncio.to_thread(ask)
        await server.run_until("2026-01-09T08:00:00Z")

        def pay() -> Any:
            fulfilled = client.billing_requests.get(request.id)
            assert fulfilled.status == "fulfilled"
            mandate = client.mandates.get(fulfilled.links.mandate_request_mandate)
            assert mandate.status == "active"
            customer = client.customers.get(mandate.links.customer)
            assert client.customers.update(customer.id, params={"metadata": {"zoho": "7"}}).metadata == {"zoho": "7"}
            account = client.customer_bank_accounts.get(mandate.links.customer_bank_account)
            assert account.links.customer == customer.id
            params = {
                "amount": 10000,
                "currency": "GBP",
                "charge_date": mandate.next_possible_charge_date,
                "links": {"mandate": mandate.id},
                "metadata": {"invoice": "1"},
            }
            key = {"Idempotency-Key": "org/invoice/1"}
            payment = client.payments.create(params=params, headers=key)
            # The client turns the 409 into a read of the first payment.
            assert client.payments.create(params=params, headers=key).id == payment.id
            strict = gocardless_pro.Client(
                access_token="token", base_url=server.url, raise_on_idempotency_conflict=True
            )
            with pytest.raises(errors.IdempotentCreationConflictError) as caught:
                strict.payments.create(params=params, headers=key)
            assert caught.value.conflicting_resource_id == payment.id
            with pytest.raises(errors.ValidationFailedError) as invalid:
                client.payments.create(params={**params, "amount": 0})
            assert [item["request_pointer"] for item in invalid.value.errors] == ["/payments/amount"]
            with pytest.raises(errors.InvalidApiUsageError):
                client.payments.get("PM0")
            other = client.payments.create(params=params)
            assert client.payments.cancel(other.id).status == "cancelled"
            with pytest.raises(errors.InvalidStateError):
                client.payments.cancel(other.id)
            assert client.payments.update(payment.id, params={"metadata": {"invoice": "1", "x": "y"}}).metadata == {
                "invoice": "1",
                "x": "y",
            }
            assert client.rate_limit["ratelimit-limit"] == 1000
            return payment

        payment = await asyncio.to_thread(pay)
        await server.run_until("2026-01-20T08:00:00Z")

        def reconcile() -> None:
            assert client.payments.get(payment.id).status == "paid_out"
            payout = client.payouts.get(client.payments.get(payment.id).links.payout)
            items = list(client.payout_items.all(params={"payout": payout.id}))
            assert [(item.type, item.amount) for item in items] == [
                ("payment_paid_out", "10000.0"),
                ("gocardless_fee", "-144.0"),
            ]
            assert payout.amount == 9856
            assert {tax["tax_rate_id"] for item in items for tax in item.taxes} == {"GB_VAT_1"}
            assert client.tax_rates.get("GB_VAT_1").percentage == "20.0"
            account = client.creditor_bank_accounts.get(payout.links.creditor_bank_account)
            assert account.currency == "GBP"
            actions = [event.action for event in client.events.all(params={"payment": payment.id, "limit": 2})]
            assert actions == ["paid_out", "confirmed", "submitted", "created"]
            event = client.events.list(params={"resource_type": "payouts", "created_at[gte]": "2026-01-10T00:00:00Z"})
            assert event.records[0].links.payout == payout.id
            balances = client.balances.list(params={"creditor": creditor.id}).records
            assert {balance.balance_type for balance in balances} == {
                "confirmed_funds",
                "pending_payouts",
                "pending_payments_submitted",
            }
            failing = client.payments.create(
                params={"amount": 500, "currency": "GBP", "links": {"mandate": payment.links.mandate}}
            )
            params = {"links": {"resource": failing.id}}
            assert client.scenario_simulators.run("payment_failed", params=params).id == "payment_failed"
            assert client.payments.retry(failing.id).status == "pending_submission"
            newest = next(iter(client.payments.all(params={"mandate": payment.links.mandate, "limit": 1})))
            assert newest.id == failing.id
            assert client.subscriptions.list(params={"status": "active"}).records == []
            assert client.mandates.cancel(payment.links.mandate).status == "cancelled"
            assert client.payments.get(failing.id).status == "cancelled"
            assert client.webhooks.list().records == []

        await asyncio.to_thread(reconcile)


async def test_lost_answers_make_one_payment(world: World) -> None:
    async with served(world, "gocardless", gocardless_app(world)) as server:
        customers = [{"company_name": "Co", "email": "c@example.com"}]
        _, ids = await server.post("/_sandbox/gocardless/populate", {"customers": customers})
        rules = [
            {"api": "gocardless", "path": "^/payments$", "kind": "reset_after_commit"},
            {"api": "gocardless", "path": "^/payments$", "kind": "html_502"},
        ]
        await server.post("/_sandbox/faults", {"rules": rules})
        client = gocardless_pro.Client(access_token="token", base_url=server.url)
        client._api_client.timeout = 5
        service = client.payments
        service.retry_delay_in_seconds = 0
        params = {"amount": 500, "currency": "GBP", "links": {"mandate": ids["customers"][0]["mandate"]}}
        payment = await asyncio.to_thread(service.create, params=params)
        assert payment.amount == 500
        _, state = await server.get("/_sandbox/state")
        assert state["gocardless"]["counts"]["payments"] == 1
        assert state["calls"]["gocardless"] == {"GET /payments/{id}": 1, "POST /payments": 3}
