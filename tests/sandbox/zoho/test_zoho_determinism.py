"""One seed and one sequence of calls give one world, byte for byte; ids do not depend on what else was made."""

from typing import Any

import pytest

from sandbox.zoho.errors import ApiError
from tests.support.zoho_shop import Shop


def history(shop: Any) -> list[bytes]:
    invoice = shop.invoice("12.34")
    payment = shop.pay("20", {invoice: "12.34"})
    shop.pass_time(minutes=3)
    refund = {"date": "2026-03-02", "amount": "7.66", "from_account_id": shop.keys["clearing"]}
    shop.ok("POST", f"/customerpayments/{payment}/refunds", refund)
    paths = (f"/invoices/{invoice}", f"/customerpayments/{payment}", "/invoices", "/contacts", "/chartofaccounts")
    return [shop.ok("GET", path).raw for path in paths]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, same, other = Shop(5), Shop(5), Shop(6)
    first = history(one)
    assert first == history(same)
    assert one.simulator.state() == same.simulator.state()
    assert first != history(other)
    assert one.org != other.org


def test_the_order_of_different_calls_does_not_change_their_ids() -> None:
    one, other = Shop(5), Shop(5)
    a = [one.pay("10", {}, reference_number="A"), one.pay("20", {}, reference_number="B")]
    b = [other.pay("20", {}, reference_number="B"), other.pay("10", {}, reference_number="A")]
    assert a == b[::-1]
    assert one.pay("10", {}, reference_number="A") not in a


def test_populate_tells_the_id_of_an_invoice_to_come(shop: Any) -> None:
    row = {
        "contact": shop.customer,
        "line_items": [{"rate": "10"}],
        "tax": "vat20",
        "due_date": "2026-03-20",
        "sent_at": "2026-03-05T10:00:00Z",
    }
    rows = [row, {**row, "sent_at": None}, {**row, "sent_at": "2026-03-01T10:00:00Z", "draft": True}]
    document = shop.simulator.populate({"invoices": rows})
    made = document["invoices"]
    assert document["oauth"] == shop.made["oauth"]
    assert shop.shown_invoice(made[2])["status"] == "draft"
    assert shop.call("GET", f"/invoices/{made[0]}").code == 1002
    assert shop.shown_invoice(made[1])["status"] == "sent"
    shop.pass_time(hours=73)
    invoice = shop.shown_invoice(made[0])
    assert (invoice["date"], invoice["created_time"]) == ("2026-03-05", "2026-03-05T10:00:00+0000")
    assert (invoice["status"], invoice["total"]) == ("sent", 12)


@pytest.mark.parametrize(
    "document",
    [
        {"organization": {"name": "Second"}},
        {"organization": {"plan": "imaginary"}},
        {"contacts": [{"company_name": "no name"}]},
        {"invoices": [{"contact": 0}]},
        {"accounts": [{"name": "x", "type": "mattress"}]},
    ],
)
def test_populate_refuses_what_it_cannot_use(shop: Any, document: dict[str, Any]) -> None:
    with pytest.raises((ApiError, KeyError, ValueError, TypeError, IndexError)):
        shop.simulator.populate(document)
