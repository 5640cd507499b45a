"""Money that moves: timelines in working days, payouts that add up to the tenth, and everything that comes back."""

from typing import Any

import pytest


async def test_a_bacs_payment_goes_its_way(shop: Any) -> None:
    await shop.open()
    payment = await shop.pay(10000)
    assert (await shop.get(f"/payments/{payment}"))["charge_date"] == "2026-01-08"
    for moment, status in (
        ("2026-01-06T15:59:00Z", "pending_submission"),
        ("2026-01-06T16:00:00Z", "submitted"),
        ("2026-01-09T11:39:00Z", "submitted"),
        ("2026-01-09T11:40:00Z", "confirmed"),
        ("2026-01-12T11:39:00Z", "confirmed"),
        ("2026-01-12T11:40:00Z", "paid_out"),
    ):
        await shop.until(moment)
        assert (await shop.get(f"/payments/{payment}"))["status"] == status, moment
        await shop.check_books()
    assert await shop.happened(payment) == ["created", "submitted", "confirmed", "paid_out"]
    (payout,) = await shop.get("/payouts")
    assert payout["status"] == "paid"
    assert payout["arrival_date"] == "2026-01-12"
    assert payout["created_at"] == "2026-01-12T09:30:00.000Z"
    assert (await shop.get(f"/payments/{payment}"))["links"]["payout"] == payout["id"]
    assert await shop.happened(payout["id"]) == ["paid"]


async def test_a_payout_is_pending_until_it_is_paid(shop: Any) -> None:
    await shop.open()
    await shop.pay(10000)
    await shop.until("2026-01-12T10:00:00Z")
    (payout,) = await shop.get("/payouts?status=pending")
    assert payout["arrival_date"] is None
    assert await shop.balances() == {
        "confirmed_funds": 0,
        "pending_payouts": 9856,
        "pending_payments_submitted": 0,
    }


async def test_the_worked_payouts_of_the_reference(shop: Any) -> None:
    await shop.open()
    late = await shop.pay(10000)
    await shop.pay(5000, mandate=1)
    await shop.until("2026-01-12T12:00:00Z")
    (first,) = await shop.get("/payouts")
    assert (first["amount"], first["deducted_fees"], first["tax_currency"]) == (14772, 228, "GBP")
    assert sorted(await shop.items(first["id"])) == sorted(
        [
            ("payment_paid_out", "10000.0"),
            ("payment_paid_out", "5000.0"),
            ("gocardless_fee", "-144.0"),
            ("gocardless_fee", "-84.0"),
        ]
    )
    taxes = [item["taxes"] for item in await shop.get(f"/payout_items?payout={first['id']}") if item["taxes"]]
    assert [tax["amount"] for row in taxes for tax in row] == ["-24.0", "-14.0"]
    assert taxes[0][0]["tax_rate_id"] == "GB_VAT_1"

    await shop.pay(20000, mandate=1)
    await shop.act("fail_payment", payment=late)
    await shop.until("2026-01-19T12:00:00Z")
    second, _ = await shop.get("/payouts")
    assert (second["amount"], second["deducted_fees"]) == (9880, 120)
    assert sorted(await shop.items(second["id"])) == sorted(
        [
            ("payment_paid_out", "20000.0"),
            ("gocardless_fee", "-264.0"),
            ("payment_failed", "-10000.0"),
            ("gocardless_fee", "144.0"),
        ]
    )
    assert await shop.happened(late) == [
        "created", "submitted", "confirmed", "paid_out", "failed", "late_failure_settled",
    ]  # fmt: skip
    assert (await shop.get(f"/payments/{late}"))["status"] == "failed"
    await shop.check_books()


async def test_half_pennies_are_exact_in_items_and_rounded_once(shop: Any) -> None:
    await shop.open(creditor={"country_code": "JE"})
    await shop.config(tariff={"share_bp": 0, "fixed_tenths_minor": 225})
    await shop.pay(150)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    assert await shop.items(payout["id"]) == [("payment_paid_out", "150.0"), ("gocardless_fee", "-22.5")]
    assert (payout["amount"], payout["deducted_fees"], payout["tax_currency"]) == (128, 23, None)
    await shop.config(payout_rounding="half_even")
    await shop.pay(151)
    await shop.until("2026-01-19T12:00:00Z")
    assert (await shop.get("/payouts"))[0]["amount"] == 128


async def test_fees_have_bounds_and_may_be_invoiced(shop: Any) -> None:
    await shop.open()
    await shop.config(tariff={"min_tenths_minor": 400, "cap_tenths_minor": 2000})
    await shop.pay(100)
    await shop.pay(100000, mandate=1)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    fees = [amount for kind, amount in await shop.items(payout["id"]) if kind == "gocardless_fee"]
    assert sorted(fees) == ["-240.0", "-48.0"]
    await shop.config(tariff={"invoiced": True})
    await shop.pay(100)
    await shop.until("2026-01-19T12:00:00Z")
    payout = (await shop.get("/payouts"))[0]
    assert (payout["amount"], payout["deducted_fees"]) == (100, 0)


async def test_a_negative_balance_is_carried_and_a_zero_payout_is_made(shop: Any) -> None:
    await shop.open(count=3)
    await shop.config(tariff={"invoiced": True})
    late = await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    await shop.act("fail_payment", payment=late)
    small = await shop.pay(4000, mandate=1)
    await shop.until("2026-01-19T12:00:00Z")
    assert len(await shop.get("/payouts")) == 1
    assert (await shop.get(f"/payments/{small}"))["status"] == "confirmed"
    assert (await shop.balances())["confirmed_funds"] == -6000
    await shop.pay(6000, mandate=2)
    await shop.until("2026-01-26T12:00:00Z")
    zero = (await shop.get("/payouts"))[0]
    assert (zero["amount"], zero["status"]) == (0, "paid")
    assert (await shop.get(f"/payments/{small}"))["status"] == "paid_out"
    await shop.check_books()


async def test_planned_outcomes_by_metadata_ordinal_and_text(shop: Any) -> None:
    await shop.open(count=4)
    await shop.config(
        payment_outcomes=[
            {"metadata_match": {"invoice": "^INV-7$"}, "outcome": "failed", "cause": "insufficient_funds"},
            {"ordinal": 2, "outcome": "late_failure", "after_working_days": 3},
            {"description": "dispute", "outcome": "charged_back", "cause": "authorisation_disputed"},
        ]
    )
    failed = await shop.pay(1000, 0, metadata={"invoice": "INV-7"})
    late = await shop.pay(2000, 1)
    disputed = await shop.pay(3000, 2, description="to dispute")
    good = await shop.pay(90000, 3, metadata={"invoice": "INV-77"})
    await shop.until("2026-01-16T12:00:00Z")
    assert await shop.happened(failed) == ["created", "submitted", "failed"]
    assert await shop.happened(late) == ["created", "submitted", "confirmed", "paid_out", "failed"]
    assert await shop.happened(disputed) == ["created", "submitted", "confirmed", "paid_out", "charged_back"]
    assert await shop.happened(good) == ["created", "submitted", "confirmed", "paid_out"]
    await shop.pay(90000, 3)
    await shop.until("2026-01-27T12:00:00Z")
    assert (await shop.happened(late))[-1] == "late_failure_settled"
    assert (await shop.happened(disputed))[-1] == "chargeback_settled"
    await shop.check_books()


async def test_an_announced_retry_uses_the_same_id(shop: Any) -> None:
    await shop.open()
    await shop.config(payment_outcomes=[{"ordinal": 1, "outcome": "failed", "will_attempt_retry": True}])
    payment = await shop.pay(1000)
    await shop.until("2026-01-09T12:00:00Z")
    doc = await shop.get(f"/payments/{payment}")
    assert (doc["status"], doc["charge_date"]) == ("pending_submission", "2026-01-16")
    await shop.until("2026-01-20T12:00:00Z")
    assert await shop.happened(payment) == [
        "created", "submitted", "failed", "resubmission_requested", "submitted", "confirmed", "paid_out",
    ]  # fmt: skip
    await shop.check_books()


async def test_api_retries_end_after_three(shop: Any) -> None:
    await shop.open()
    await shop.config(payment_outcomes=[{"outcome": "failed", "attempts": 9}])
    payment = await shop.pay(1000)
    for day in ("2026-01-10", "2026-01-17", "2026-01-24"):
        await shop.until(f"{day}T12:00:00Z")
        status, body = await shop.call("POST", f"/payments/{payment}/actions/retry")
        assert (status, body["payments"]["status"]) == (200, "pending_submission")
        status, body = await shop.call("POST", f"/payments/{payment}/actions/retry")
        assert (status, body["error"]["errors"][0]["reason"]) == (422, "retry_failed")
    await shop.until("2026-01-31T12:00:00Z")
    status, body = await shop.call("POST", f"/payments/{payment}/actions/retry")
    assert (status, body["error"]["errors"][0]["reason"]) == (422, "retry_failed")


async def test_a_failure_before_the_payout_leaves_nothing_or_nets_to_zero(shop: Any) -> None:
    await shop.open(count=3)
    first, second = await shop.pay(1000), await shop.pay(2000, 1)
    await shop.pay(5000, 2)
    await shop.until("2026-01-09T12:00:00Z")
    await shop.act("fail_payment", payment=first)
    await shop.config(unpaid_failure_items="net_zero")
    await shop.act("fail_payment", payment=second)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    amounts = [amount for kind, amount in await shop.items(payout["id"]) if kind.startswith("payment")]
    assert amounts == ["2000.0", "5000.0", "-2000.0"]
    await shop.check_books()


async def test_a_chargeback_cancelled_before_and_after_it_was_settled(shop: Any) -> None:
    await shop.open(count=3)
    await shop.config(tariff={"surcharge_tenths_minor": 500})
    early, settled = await shop.pay(1000), await shop.pay(2000, 1)
    await shop.until("2026-01-12T12:00:00Z")
    for payment in (early, settled):
        await shop.act("charge_back", payment=payment)
    await shop.act("cancel_chargeback", payment=early)
    assert (await shop.get(f"/payments/{early}"))["status"] == "paid_out"
    await shop.pay(50000, 2)
    await shop.until("2026-01-19T12:00:00Z")
    assert (await shop.happened(settled))[-2:] == ["surcharge_fee_debited", "chargeback_settled"]
    assert ("surcharge_fee", "-60.0") in await shop.items((await shop.get("/payouts"))[0]["id"])
    await shop.act("cancel_chargeback", payment=settled)
    assert (await shop.get(f"/payments/{settled}"))["status"] == "confirmed"
    await shop.until("2026-01-20T12:00:00Z")
    assert ("payment_paid_out", "2000.0") in await shop.items((await shop.get("/payouts"))[0]["id"])
    assert (await shop.happened(settled))[-2:] == ["chargeback_cancelled", "paid_out"]
    assert (await shop.happened(early)).count("chargeback_settled") == 0
    await shop.check_books()


async def test_refunds_go_out_and_come_back(shop: Any) -> None:
    await shop.open(creditor={"can_create_refunds": True})
    payment = await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    await shop.pay(30000, 1)
    await shop.until("2026-01-16T12:00:00Z")
    body = {"amount": 4000, "total_amount_confirmation": 4000, "links": {"payment": payment}}
    refund = await shop.make("refunds", body)
    assert (await shop.get(f"/payments/{payment}"))["amount_refunded"] == 4000
    await shop.until("2026-01-21T12:00:00Z")
    assert (await shop.get(f"/refunds/{refund['id']}"))["status"] == "paid"
    assert sorted(await shop.happened(refund["id"])) == ["created", "paid", "refund_settled"]
    payout = (await shop.get("/payouts"))[0]
    assert ("payment_refunded", "-4000.0") in await shop.items(payout["id"])
    await shop.simulate("refund_bounced", refund["id"])
    await shop.until("2026-01-22T12:00:00Z")
    assert (await shop.happened(refund["id"]))[-2:] == ["failed", "funds_returned"]
    assert await shop.items((await shop.get("/payouts"))[0]["id"]) == [("refund_funds_returned", "4000.0")]
    await shop.check_books()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"total_amount_confirmation": 4001}, "total_amount_confirmation_invalid"),
        ({"amount": 20000, "total_amount_confirmation": 20000}, "validation_failed"),
        ({}, "available_refund_amount_insufficient"),
    ],
)
async def test_refunds_that_cannot_be(shop: Any, change: dict[str, Any], reason: str) -> None:
    await shop.open(creditor={"can_create_refunds": True})
    await shop.config(refund_after_days=0)
    payment = await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    body = {"amount": 4000, "total_amount_confirmation": 4000, "links": {"payment": payment}, **change}
    status, answer = await shop.call("POST", "/refunds", {"refunds": body})
    assert status == 422
    assert reason in (answer["error"]["type"], answer["error"]["errors"][0].get("reason"))


async def test_refunds_are_off_by_default_and_not_too_soon(shop: Any) -> None:
    await shop.open()
    payment = await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    body = {"refunds": {"amount": 1, "total_amount_confirmation": 1, "links": {"payment": payment}}}
    assert (await shop.call("POST", "/refunds", body))[0] == 403
    await shop.server.post("/_sandbox/gocardless/populate", {"creditor": {"can_create_refunds": True}})
    status, answer = await shop.call("POST", "/refunds", body)
    assert (status, answer["error"]["errors"][0]["reason"]) == (422, "refund_payment_invalid_state")


async def test_sepa_mandates_go_with_their_first_payment(shop: Any) -> None:
    customers = [
        {"company_name": "Firma", "email": "f@example.com", "currency": "EUR", "mandate": "pending_submission"}
    ]
    _, body = await shop.server.post("/_sandbox/gocardless/populate", {"customers": customers})
    mandate = body["customers"][0]["mandate"]
    shop.mandates = [mandate]
    await shop.until("2026-04-30T08:00:00Z")
    assert (await shop.get(f"/mandates/{mandate}"))["status"] == "pending_submission"
    payment = await shop.pay(2500, currency="EUR")
    # TARGET closes on 1 May: D0 is Thursday, the day after next is Monday.
    assert (await shop.get(f"/payments/{payment}"))["charge_date"] == "2026-05-06"
    await shop.until("2026-05-04T16:00:00Z")
    assert await shop.happened(mandate) == ["created", "submitted", "active"]
    await shop.until("2026-05-07T12:00:00Z")
    assert (await shop.get(f"/payments/{payment}"))["status"] == "confirmed"
    await shop.until("2026-05-11T12:00:00Z")
    payout = (await shop.get("/payouts"))[0]
    assert (payout["currency"], payout["arrival_date"]) == ("EUR", "2026-05-11")
    # The fee's VAT is due in GBP at a rate known a day later.
    item = next(item for item in await shop.get(f"/payout_items?payout={payout['id']}") if item["taxes"])
    assert item["taxes"][0]["destination_amount"] is None
    await shop.until("2026-05-12T12:00:00Z")
    item = next(item for item in await shop.get(f"/payout_items?payout={payout['id']}") if item["taxes"])
    assert item["taxes"][0]["destination_currency"] == "GBP"
    assert item["taxes"][0]["destination_amount"] is not None
    assert await shop.happened(payout["id"]) == ["paid", "tax_exchange_rates_confirmed"]


async def test_foreign_money_is_exchanged_at_the_payout(shop: Any) -> None:
    await shop.open(currency="EUR", creditor={"payout_currencies": ["GBP"], "fx_payout_currency": "GBP"})
    payment = await shop.pay(10000, currency="EUR")
    await shop.until("2026-01-13T10:00:00Z")
    (payout,) = await shop.get("/payouts")
    assert payout["fx"] == {
        "fx_currency": "GBP", "fx_amount": None, "exchange_rate": None, "estimated_exchange_rate": "0.8562",
    }  # fmt: skip
    await shop.until("2026-01-13T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    assert (payout["amount"], payout["fx"]["fx_amount"], payout["fx"]["exchange_rate"]) == (9856, 8439, "0.8562")
    assert (await shop.get(f"/payments/{payment}"))["fx"]["fx_amount"] == 8562
    assert (await shop.happened(payout["id"]))[:2] == ["fx_rate_confirmed", "paid"]


async def test_no_payout_without_verification_or_account(shop: Any) -> None:
    await shop.open(creditor={"verification_status": "action_required"})
    payment = await shop.pay(1000)
    await shop.until("2026-01-14T12:00:00Z")
    assert await shop.get("/payouts") == []
    assert (await shop.get(f"/payments/{payment}"))["status"] == "confirmed"
    await shop.simulate("creditor_verification_status_successful", shop.creditor)
    await shop.until("2026-01-15T12:00:00Z")
    assert len(await shop.get("/payouts")) == 1


async def test_balances_are_some_minutes_old(shop: Any) -> None:
    await shop.open()
    await shop.pay(10000)
    await shop.until("2026-01-09T11:42:00Z")
    assert (await shop.balances())["confirmed_funds"] == 0
    assert (await shop.balances())["pending_payments_submitted"] == 10000
    await shop.until("2026-01-09T11:45:00Z")
    assert await shop.balances() == {
        "confirmed_funds": 9856,
        "pending_payouts": 0,
        "pending_payments_submitted": 0,
    }


async def test_a_bounced_payout_is_known_by_the_creditor_alone(shop: Any) -> None:
    await shop.open()
    await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    await shop.simulate("payout_bounced", payout["id"])
    assert (await shop.get(f"/payouts/{payout['id']}"))["status"] == "bounced"
    assert await shop.happened(shop.creditor) == ["bounced_payout"]
    await shop.act("retry_payout", payout=payout["id"])
    assert await shop.happened(payout["id"]) == ["paid", "paid"]


async def test_items_of_old_payouts_are_gone(shop: Any) -> None:
    await shop.open()
    await shop.pay(10000)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    await shop.until("2026-07-16T12:00:00Z")
    status, body = await shop.call("GET", f"/payout_items?payout={payout['id']}")
    assert (status, body["error"]["code"]) == (410, 410)
