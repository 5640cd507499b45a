"""Subscriptions: read only through the API, collecting by themselves beside the program."""

import asyncio
from types import SimpleNamespace
from typing import Any

import gocardless_pro
import pytest

CUSTOMERS = [
    {"company_name": "Rosehip Ltd", "email": "a@example.com"},
    {"company_name": "Quince GmbH", "email": "b@example.com", "currency": "EUR"},
]


async def populate(shop: Any, *subscriptions: dict[str, Any]) -> SimpleNamespace:
    document = {"quiet": True, "customers": CUSTOMERS, "subscriptions": list(subscriptions)}
    status, body = await shop.server.post("/_sandbox/gocardless/populate", document)
    assert status == 200, body
    return SimpleNamespace(
        ids=body["subscriptions"],
        customers=[row["customer"] for row in body["customers"]],
        mandates=[row["mandate"] for row in body["customers"]],
    )


async def test_a_live_one_collects_each_month_with_nothing_of_ours_on_it(shop: Any) -> None:
    made = await populate(
        shop, {"customer": 0, "amount": 2500, "day_of_month": 14, "name": "Support", "metadata": {"plan": "gold"}}
    )
    subscription = await shop.get(f"/subscriptions/{made.ids[0]}")
    dates = [row["charge_date"] for row in subscription["upcoming_payments"]]
    assert (len(dates), dates[:3]) == (10, ["2026-01-14", "2026-02-16", "2026-03-16"])
    assert {row["amount"] for row in subscription["upcoming_payments"]} == {2500}
    await shop.until("2026-03-31T12:00:00Z")
    payments = await shop.get(f"/payments?subscription={made.ids[0]}")
    assert [(row["charge_date"], row["amount"], row["metadata"], row["description"]) for row in payments] == [
        ("2026-03-16", 2500, {}, "Support"),
        ("2026-02-16", 2500, {}, "Support"),
        ("2026-01-14", 2500, {}, "Support"),
    ]
    assert {row["links"]["mandate"] for row in payments} == {made.mandates[0]}
    assert {row["status"] for row in payments} == {"paid_out"}
    assert await shop.happened(made.ids[0]) == ["created", "payment_created", "payment_created", "payment_created"]
    events = await shop.get(f"/events?subscription={made.ids[0]}")
    assert events[0]["links"] == {"subscription": made.ids[0], "payment": payments[0]["id"]}
    later = await shop.get(f"/subscriptions/{made.ids[0]}")
    assert later["upcoming_payments"][0]["charge_date"] == "2026-04-14"
    await shop.check_books()


async def test_lists_are_filtered(shop: Any) -> None:
    made = await populate(
        shop,
        {"customer": 0, "amount": 100},
        {"customer": 1, "amount": 200, "interval_unit": "weekly"},
        {"customer": 1, "amount": 300, "status": "paused"},
    )

    async def found(query: str) -> list[str]:
        return [row["id"] for row in await shop.get(f"/subscriptions?{query}")]

    assert await found("") == made.ids[::-1]
    assert await found("status=active") == [made.ids[1], made.ids[0]]
    assert await found(f"customer={made.customers[1]}") == [made.ids[2], made.ids[1]]
    assert await found(f"mandate={made.mandates[0]}") == [made.ids[0]]
    assert await found("status=paused&limit=1") == [made.ids[2]]
    assert (await shop.call("GET", "/subscriptions?colour=blue"))[0] == 400
    assert (await shop.call("POST", "/subscriptions", {"subscriptions": {}}))[0] == 405


async def test_payments_can_be_asked_for_by_customer(shop: Any) -> None:
    made = await populate(
        shop, {"customer": 0, "amount": 100, "interval_unit": "weekly"}, {"customer": 1, "amount": 200}
    )
    await shop.until("2026-01-10T12:00:00Z")
    assert [row["amount"] for row in await shop.get(f"/payments?customer={made.customers[1]}")] == [200]


async def test_it_ends_by_count_by_hand_or_with_its_mandate(shop: Any) -> None:
    made = await populate(
        shop,
        {"customer": 0, "amount": 100, "interval_unit": "weekly", "count": 2},
        {"customer": 0, "amount": 200},
        {"customer": 1, "amount": 300, "status": "paused"},
    )
    await shop.act("end_subscription", subscription=made.ids[1])
    await shop.call("POST", f"/mandates/{made.mandates[1]}/actions/cancel")
    await shop.until("2026-02-28T12:00:00Z")
    rows = {row["id"]: row for row in await shop.get("/subscriptions")}
    assert [rows[key]["status"] for key in made.ids] == ["finished", "cancelled", "cancelled"]
    assert {len(row["upcoming_payments"]) for row in rows.values()} == {0}
    assert sorted(row["amount"] for row in await shop.get("/payments")) == [100, 100]
    assert await shop.happened(made.ids[0]) == ["created", "payment_created", "payment_created", "finished"]
    status, _ = await shop.server.post(
        "/_sandbox/gocardless/act", {"do": "end_subscription", "subscription": made.ids[1]}
    )
    assert status == 400


async def test_days_of_rest_move_the_charge(shop: Any) -> None:
    made = await populate(
        shop,
        {"customer": 0, "amount": 1, "day_of_month": -1},
        {"customer": 0, "amount": 1, "interval_unit": "yearly", "start_date": "2026-03-01"},
        {"customer": 0, "amount": 1, "interval": 3, "day_of_month": 5, "start_date": "2026-02-20"},
    )

    async def upcoming(place: int) -> list[str]:
        return [
            row["charge_date"] for row in (await shop.get(f"/subscriptions/{made.ids[place]}"))["upcoming_payments"][:3]
        ]

    assert await upcoming(0) == ["2026-01-30", "2026-02-27", "2026-03-31"]
    assert await upcoming(1) == ["2026-03-02", "2027-03-01", "2028-03-01"]
    assert await upcoming(2) == ["2026-03-05", "2026-06-05", "2026-09-07"]


@pytest.mark.parametrize(
    "item",
    [
        {"customer": 0},
        {"customer": 0, "amount": 1, "colour": "blue"},
        {"customer": 0, "amount": 1, "interval_unit": "daily"},
        {"customer": 0, "amount": 1, "interval": 0},
        {"customer": 0, "amount": 1, "status": "tired"},
        {"customer": 0, "amount": 1, "currency": "EUR"},
        {"customer": 0, "amount": 1, "day_of_month": 29},
    ],
)
async def test_what_is_not_understood_is_refused(shop: Any, item: dict[str, Any]) -> None:
    document = {"customers": CUSTOMERS, "subscriptions": [item]}
    status, _ = await shop.server.post("/_sandbox/gocardless/populate", document)
    assert status == 400


async def test_the_official_client_reads_them(shop: Any) -> None:
    made = await populate(shop, {"customer": 0, "amount": 2500, "name": "Support"})
    client = gocardless_pro.Client(access_token="token", base_url=shop.server.url)

    def read() -> None:
        (row,) = client.subscriptions.list(params={"status": "active", "customer": made.customers[0]}).records
        assert (row.id, row.amount, row.currency, row.interval_unit, row.links.mandate) == (
            made.ids[0],
            2500,
            "GBP",
            "monthly",
            made.mandates[0],
        )
        assert client.subscriptions.get(row.id).upcoming_payments[0]["amount"] == 2500
        assert [one.id for one in client.subscriptions.all()] == made.ids

    await asyncio.to_thread(read)
