"""What the banks, the payers and the scenario simulators do to payments and mandates."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("name", "actions", "status"),
    [
        ("payment_submitted", ["submitted"], "submitted"),
        ("payment_confirmed", ["submitted", "confirmed"], "confirmed"),
        ("payment_paid_out", ["submitted", "confirmed", "paid_out"], "paid_out"),
        ("payment_failed", ["submitted", "failed"], "failed"),
        ("payment_late_failure", ["submitted", "confirmed", "paid_out", "failed"], "failed"),
        ("payment_charged_back", ["submitted", "confirmed", "paid_out", "charged_back"], "charged_back"),
    ],
)
async def test_scenario_simulators_of_payments(shop: Any, name: str, actions: list[str], status: str) -> None:
    await shop.open()
    payment = await shop.pay(1000)
    await shop.simulate(name, payment)
    assert await shop.happened(payment) == ["created", *actions]
    assert (await shop.get(f"/payments/{payment}"))["status"] == status
    await shop.check_books()
    # What the schedule still holds for it comes to nothing.
    await shop.until("2026-01-19T12:00:00Z")
    await shop.check_books()
    answer, _ = await shop.call(
        "POST", f"/scenario_simulators/{name}/actions/run", {"data": {"links": {"resource": payment}}}
    )
    assert answer == 400


async def test_a_settled_late_failure_by_simulator(shop: Any) -> None:
    await shop.open()
    big = await shop.pay(50000, 1)
    payment = await shop.pay(1000)
    await shop.simulate("payment_confirmed", big)
    await shop.simulate("payment_late_failure_settled", payment)
    await shop.check_books()
    await shop.until("2026-01-12T12:00:00Z")
    assert (await shop.happened(payment))[-2:] == ["failed", "late_failure_settled"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("mandate_activated", "active"),
        ("mandate_failed", "failed"),
        ("mandate_expired", "expired"),
        ("mandate_transferred", "active"),
        ("mandate_transferred_with_resubmission", "active"),
    ],
)
async def test_scenario_simulators_of_mandates(shop: Any, name: str, status: str) -> None:
    customers = [{"company_name": "Co", "email": "c@example.com", "mandate": "pending_submission"}]
    _, body = await shop.server.post("/_sandbox/gocardless/populate", {"customers": customers})
    shop.mandates = [body["customers"][0]["mandate"]]
    payment = await shop.pay(1000)
    await shop.simulate(name, shop.mandates[0])
    mandate = await shop.get(f"/mandates/{shop.mandates[0]}")
    assert mandate["status"] == status
    ended = status in ("failed", "expired")
    assert (mandate["next_possible_charge_date"] is None) == ended
    assert (await shop.get(f"/payments/{payment}"))["status"] == ("cancelled" if ended else "pending_submission")


@pytest.mark.parametrize(
    ("name", "currency"), [("mandate_activated", "GBP"), ("mandate_activated", "CAD"), ("mandate_transferred", "GBP")]
)
async def test_an_activated_mandate_is_charged_as_an_active_one(shop: Any, name: str, currency: str) -> None:
    as_new, as_active = "2026-01-09", "2026-01-08"
    await shop.open(currency, count=1, creditor={"payout_currencies": [currency]})
    (long_active,) = shop.mandates
    assert (await shop.get(f"/mandates/{long_active}"))["next_possible_charge_date"] == as_active
    account = (await shop.get(f"/mandates/{long_active}"))["links"]["customer_bank_account"]
    mandate = (await shop.make("mandates", {"links": {"customer_bank_account": account}}))["id"]
    assert (await shop.get(f"/mandates/{mandate}"))["next_possible_charge_date"] == as_new
    body = {"amount": 1000, "currency": currency, "charge_date": as_active, "links": {"mandate": mandate}}
    assert (await shop.call("POST", "/payments", {"payments": body}))[0] == 422
    await shop.simulate(name, mandate)
    assert (await shop.get(f"/mandates/{mandate}"))["next_possible_charge_date"] == as_active
    activated, other = [
        (await shop.make("payments", {**body, "links": {"mandate": one}}))["id"] for one in (mandate, long_active)
    ]
    await shop.until("2026-02-02T12:00:00Z")
    _, state = await shop.server.get("/_sandbox/state")
    events = state["gocardless"]["resources"]["events"]
    told = {
        payment: [
            (event["action"], event["created_at"]) for event in events if event["links"].get("payment") == payment
        ]
        for payment in (activated, other)
    }
    assert told[activated] == told[other]
    assert [action for action, _ in told[activated]] == ["created", "submitted", "confirmed", "paid_out"]
    # The day on which the banks would have activated it has passed, and nothing happened twice.
    expected = ["created", "submitted", "active", *(["transferred"] if name == "mandate_transferred" else [])]
    assert await shop.happened(mandate) == expected


async def test_a_bank_ends_a_mandate_and_its_payments_name_the_parent(shop: Any) -> None:
    await shop.open()
    payment = await shop.pay(1000)
    await shop.act("end_mandate", mandate=shop.mandates[0])
    _, state = await shop.server.get("/_sandbox/state")
    events = state["gocardless"]["resources"]["events"]
    parent = next(event for event in events if event["action"] == "cancelled" and event["resource_type"] == "mandates")
    child = events[-1]
    assert (parent["details"]["origin"], parent["details"]["reason_code"]) == ("bank", "ADDACS-1")
    assert child["links"] == {"payment": payment, "parent_event": parent["id"]}
    await shop.until("2026-01-12T12:00:00Z")
    assert await shop.happened(payment) == ["created", "cancelled"]


async def test_a_replaced_mandate_points_to_its_heir(shop: Any) -> None:
    await shop.open()
    heir = (await shop.act("replace_mandate", mandate=shop.mandates[0]))["mandate"]
    body = {"payments": {"amount": 100, "currency": "GBP", "links": {"mandate": shop.mandates[0]}}}
    status, answer = await shop.call("POST", "/payments", body)
    assert (status, answer["error"]["errors"][0]["reason"]) == (422, "mandate_replaced")
    assert answer["error"]["errors"][0]["links"] == {"new_mandate": heir}
    assert await shop.happened(shop.mandates[0]) == ["created", "submitted", "active", "replaced"]


async def test_a_closed_account_fails_the_payment_and_ends_the_mandate(shop: Any) -> None:
    await shop.open()
    await shop.config(
        payment_outcomes=[{"outcome": "failed", "cause": "bank_account_closed", "will_attempt_retry": True}]
    )
    payment = await shop.pay(1000)
    await shop.until("2026-01-09T12:00:00Z")
    assert (await shop.get(f"/payments/{payment}"))["status"] == "failed"
    assert (await shop.get(f"/mandates/{shop.mandates[0]}"))["status"] == "cancelled"
