"""Customer payments: what they do to invoices, customers and the ledger, and what the books refuse."""

from decimal import Decimal
from typing import Any

import pytest

UPSERT = {"X-Unique-Identifier-Key": "cf_collector_key", "X-Unique-Identifier-Value": "live:PM1:1", "X-Upsert": "true"}


def test_a_payment_closes_the_invoice_and_moves_its_time_but_not_the_customers(shop: Any) -> None:
    invoice = shop.invoice()
    sent = shop.shown_invoice(invoice)
    customer = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]
    shop.pass_time(minutes=5)
    reply = shop.ok("POST", "/customerpayments", shop.payment_body("100", {invoice: "100"}, reference_number="PM1"))
    payment = reply["payment"]
    assert reply.status == 201
    assert reply.headers["Location"] == f"/api/v3/customerpayments/{payment['payment_id']}"
    paid = shop.shown_invoice(invoice)
    assert (paid["status"], paid["balance"], paid["payment_made"]) == ("paid", 0, 100)
    assert paid["last_modified_time"] > sent["last_modified_time"]
    assert paid["last_modified_time"] == payment["created_time"]
    after = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]
    assert customer["outstanding_receivable_amount"] == 100
    assert after["outstanding_receivable_amount"] == 0
    assert after["last_modified_time"] == customer["last_modified_time"]
    assert shop.balance("clearing") == 100
    shop.check_books()
    shop.check_receivable()


def test_without_an_account_the_money_goes_to_undeposited_funds(shop: Any) -> None:
    payment = shop.shown_payment(shop.pay("30", {}, account_id=""))
    assert (payment["account_name"], payment["account_type"]) == ("Undeposited Funds", "cash")
    assert (payment["unused_amount"], payment["invoices"]) == (30, [])


def test_more_than_the_balance_is_24016_and_writes_nothing(shop: Any) -> None:
    one, other = shop.invoice("40"), shop.invoice("60")
    before = shop.simulator.state()
    reply = shop.call("POST", "/customerpayments", shop.payment_body("120", {one: "40", other: "60.01"}))
    assert (reply.status, reply.code) == (400, 24016)
    after = shop.simulator.state()
    assert {**before, "limits": 0} == {**after, "limits": 0}


def test_one_payment_for_several_invoices_leaves_the_rest_unused(shop: Any) -> None:
    one, other = shop.invoice("40"), shop.invoice("60")
    payment_id = shop.pay("95.50", {one: "40", other: "50"})
    payment = shop.shown_payment(payment_id)
    assert payment["unused_amount"] == Decimal("5.50")
    assert [row["amount_applied"] for row in payment["invoices"]] == [40, 50]
    assert shop.shown_invoice(other)["status"] == "partially_paid"
    customer = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]
    assert customer["unused_credits_receivable_amount"] == Decimal("5.50")
    shop.ok(
        "POST",
        f"/invoices/{other}/credits",
        {"invoice_payments": [{"payment_id": payment_id, "amount_applied": "5.5"}], "apply_creditnotes": []},
    )
    assert shop.shown_invoice(other)["balance"] == Decimal("4.50")
    assert shop.shown_payment(payment_id)["unused_amount"] == 0
    shop.check_books()
    shop.check_receivable()


def test_a_chargeback_is_un_applied_and_refunded_and_clearing_is_zero_again(shop: Any) -> None:
    invoice = shop.invoice()
    payment_id = shop.pay("100", {invoice: "100"})
    too_early = shop.call(
        "POST",
        f"/customerpayments/{payment_id}/refunds",
        {"date": "2026-03-02", "amount": 100, "from_account_id": shop.keys["clearing"]},
    )
    assert too_early.status == 400
    shop.ok("PUT", f"/customerpayments/{payment_id}", {"invoices": []})
    assert shop.shown_invoice(invoice)["status"] == "sent"
    assert shop.shown_invoice(invoice)["balance"] == 100
    assert shop.shown_payment(payment_id)["unused_amount"] == 100
    body = {"date": "2026-03-02", "amount": "100", "from_account_id": shop.keys["clearing"], "reference_number": "EV1"}
    refund = shop.ok("POST", f"/customerpayments/{payment_id}/refunds", body)["payment_refunds"]
    assert (refund["amount_fcy"], refund["reference_number"]) == (100, "EV1")
    listed = shop.ok("GET", f"/customerpayments/{payment_id}/refunds")["payment_refunds"]
    assert [row["payment_refund_id"] for row in listed] == [refund["payment_refund_id"]]
    assert shop.balance("clearing") == 0
    again = shop.call("POST", f"/customerpayments/{payment_id}/refunds", body)
    assert again.status == 400
    assert shop.call("DELETE", f"/customerpayments/{payment_id}").status == 400
    shop.check_books()
    shop.check_receivable()


def test_a_change_of_nothing_leaves_the_time(shop: Any) -> None:
    invoice = shop.invoice()
    payment_id = shop.pay("100", {invoice: "100"})
    shop.pass_time(hours=1)
    same = shop.ok("PUT", f"/customerpayments/{payment_id}", {"description": "", "amount": 100})["payment"]
    assert same["updated_time"] == same["created_time"]
    changed = shop.ok("PUT", f"/customerpayments/{payment_id}", {"description": "seen"})["payment"]
    assert changed["updated_time"] > changed["created_time"]
    assert (changed["amount"], len(changed["invoices"])) == (100, 1)


def test_an_upsert_makes_once_then_changes(shop: Any) -> None:
    invoice = shop.invoice()
    body = shop.payment_body("100", {invoice: "100"})
    made = shop.ok("PUT", "/customerpayments", body, UPSERT)
    again = shop.ok("PUT", "/customerpayments", body, UPSERT)
    assert (made.status, again.status) == (201, 200)
    assert made["payment"]["payment_id"] == again["payment"]["payment_id"]
    assert made["payment"]["custom_field_hash"]["cf_collector_key"] == "live:PM1:1"
    assert len(shop.simulator.state()["payments"]) == 1
    field = {"custom_fields": [{"api_name": "cf_collector_key", "value": "live:PM1:1"}]}
    twice = shop.call("POST", "/customerpayments", shop.payment_body("5", {}, **field))
    assert (twice.status, twice.code) == (400, 1001)
    other = shop.pay("5", {})
    taken = shop.call("PUT", f"/customerpayment/{other}/customfields", field["custom_fields"])
    assert taken.code == 1001


def test_an_upsert_without_the_word_or_of_a_field_that_is_not_unique_makes_nothing(shop: Any) -> None:
    body = shop.payment_body("100", {})
    headers = {**UPSERT, "X-Upsert": "false"}
    assert shop.call("PUT", "/customerpayments", body, headers).status == 404
    headers = {**UPSERT, "X-Unique-Identifier-Key": "cf_other"}
    assert shop.call("PUT", "/customerpayments", body, headers).status == 400
    assert shop.call("PUT", "/customerpayments", body).status == 400
    assert shop.simulator.state()["payments"] == []


def test_a_deleted_payment_frees_its_key_and_leaves_no_trace(shop: Any) -> None:
    invoice = shop.invoice()
    made = shop.ok("PUT", "/customerpayments", shop.payment_body("100", {invoice: "100"}), UPSERT)
    payment_id = made["payment"]["payment_id"]
    shop.ok("DELETE", f"/customerpayments/{payment_id}")
    gone = shop.call("GET", f"/customerpayments/{payment_id}")
    assert (gone.status, gone.code) == (404, 1002)
    assert shop.ok("GET", "/customerpayments")["customerpayments"] == []
    assert shop.shown_invoice(invoice)["balance"] == 100
    assert shop.balance("clearing") == 0
    anew = shop.ok("PUT", "/customerpayments", shop.payment_body("100", {invoice: "100"}), UPSERT)
    assert anew["payment"]["payment_id"] != payment_id
    shop.check_books()


def test_voiding_releases_the_payment_and_keeps_the_balance(shop: Any) -> None:
    invoice = shop.invoice()
    payment_id = shop.pay("100", {invoice: "100"})
    note = shop.ok("POST", "/creditnotes", {"customer_id": shop.customer, "line_items": [{"rate": 7}]})["creditnote"]
    shop.ok("POST", f"/invoices/{invoice}/status/void")
    void = shop.shown_invoice(invoice)
    assert (void["status"], void["total"], void["balance"]) == ("void", 100, 100)
    assert shop.shown_payment(payment_id)["unused_amount"] == 100
    customer = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]
    assert customer["outstanding_receivable_amount"] == 0
    assert customer["unused_credits_receivable_amount"] == 107
    assert shop.call("POST", "/customerpayments", shop.payment_body("1", {invoice: "1"})).status == 400
    shop.ok("DELETE", f"/creditnotes/{note['creditnote_id']}")
    shop.check_books()
    shop.check_receivable()


def test_a_matched_payment_refuses_deletion_and_change_of_money(shop: Any) -> None:
    invoice = shop.invoice()
    payment_id = shop.pay("100", {invoice: "100"})
    shop.simulator.edit({"action": "match_payment", "payment_id": payment_id})
    assert shop.call("DELETE", f"/customerpayments/{payment_id}").status == 400
    assert shop.call("PUT", f"/customerpayments/{payment_id}", {"amount": 120}).status == 400
    assert len(shop.shown_payment(payment_id)["imported_transactions"]) == 1
    shop.ok("PUT", f"/customerpayments/{payment_id}", {"invoices": []})
    shop.simulator.edit({"action": "unmatch_payment", "payment_id": payment_id})
    shop.ok("DELETE", f"/customerpayments/{payment_id}")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/customerpayments", "payment"),
        ("PUT", "/customerpayments/{payment}", {"invoices": []}),
        ("DELETE", "/customerpayments/{payment}", None),
        ("POST", "/customerpayments/{spare}/refunds", "refund"),
        ("POST", "/invoices/{invoice}/status/void", None),
        ("POST", "/banktransactions", "transfer"),
        ("POST", "/expenses", "expense"),
    ],
)
def test_nothing_is_written_in_a_locked_period(shop: Any, method: str, path: str, body: Any) -> None:
    invoice = shop.invoice()
    ids = {"invoice": invoice, "payment": shop.pay("60", {invoice: "60"}), "spare": shop.pay("10", {})}
    shop.simulator.configure({"switches": {"lock_date": "2026-03-02"}})
    keys, date = shop.keys, "2026-03-02"
    bodies: dict[str, Any] = {
        "payment": shop.payment_body("40", {invoice: "40"}),
        "refund": {"date": date, "amount": 10, "from_account_id": keys["clearing"]},
        "transfer": {
            "transaction_type": "transfer_fund",
            "from_account_id": keys["clearing"],
            "to_account_id": keys["bank"],
            "amount": 5,
            "date": date,
        },
        "expense": {"date": date, "account_id": keys["fees"], "amount": 1, "paid_through_account_id": keys["clearing"]},
    }
    before = shop.simulator.state()
    reply = shop.call(method, path.format(**ids), bodies[body] if isinstance(body, str) else body)
    assert reply.status == 400
    assert {**shop.simulator.state(), "limits": 0} == {**before, "limits": 0}
    shop.ok("PUT", f"/customerpayments/{ids['payment']}", {"description": "words may change"})


def test_an_open_day_may_pay_an_invoice_of_a_locked_one(shop: Any) -> None:
    invoice = shop.invoice()
    shop.simulator.configure({"switches": {"lock_date": "2026-03-02"}})
    shop.pay("100", {invoice: "100"}, date="2026-03-03")
    assert shop.shown_invoice(invoice)["status"] == "paid"


def test_a_draft_is_not_owed_and_a_payment_sends_it(shop: Any) -> None:
    invoice = shop.invoice(sent=False)
    assert shop.ok("GET", f"/contacts/{shop.customer}")["contact"]["outstanding_receivable_amount"] == 0
    shop.pay("100", {invoice: "100"})
    assert shop.shown_invoice(invoice)["status"] == "paid"
    shop.check_books()
    shop.simulator.configure({"switches": {"payments_on_drafts": False}})
    other = shop.invoice(sent=False)
    assert shop.call("POST", "/customerpayments", shop.payment_body("100", {other: "100"})).status == 400


def test_bank_charges_discount_and_withheld_tax_settle_without_reaching_the_account(shop: Any) -> None:
    invoice = shop.invoice()
    rows = [{"invoice_id": invoice, "amount_applied": 90, "discount_amount": 6, "tax_amount_withheld": 4}]
    shop.pay("90", {}, invoices=rows, bank_charges="1.20")
    shown = shop.shown_invoice(invoice)
    assert (shown["status"], shown["payment_made"], shown["tax_amount_withheld"]) == ("paid", 90, 4)
    assert shop.balance("clearing") == Decimal("88.80")
    assert shop.base_minor("bank_fees") == 120
    assert shop.base_minor("tax_withheld") == 400
    shop.check_books()
    shop.check_receivable()


def test_a_foreign_payment_books_the_difference_of_rates_at_once(shop: Any) -> None:
    invoice = shop.invoice("200", shop.customer_eur, exchange_rate="0.85")
    body = {"account_id": shop.keys["clearing_eur"], "exchange_rate": "0.87"}
    payment_id = shop.pay("200", {invoice: "200"}, shop.customer_eur, **body)
    assert shop.shown_payment(payment_id)["currency_code"] == "EUR"
    assert shop.balance("clearing_eur") == 200
    assert shop.base_minor("clearing_eur") == 17400
    assert shop.base_minor("accounts_receivable") == 0
    assert shop.base_minor("exchange_gain_or_loss") == -400
    shop.check_books()
    shop.ok("PUT", f"/invoices/{invoice}", {"exchange_rate": "0.90"})
    assert shop.base_minor("accounts_receivable") == 0
    assert shop.base_minor("exchange_gain_or_loss") == 600
    shop.check_books()


def test_a_payment_is_of_one_customer_one_currency_and_an_account_that_fits(shop: Any) -> None:
    euro, pound = shop.invoice("10", shop.customer_eur), shop.invoice("10")
    both = shop.payment_body("20", {pound: "10", euro: "10"})
    assert shop.call("POST", "/customerpayments", both).code == 2
    wrong_account = shop.payment_body("10", {pound: "10"}, account_id=shop.keys["clearing_eur"])
    assert shop.call("POST", "/customerpayments", wrong_account).code == 2
    in_base = shop.pay("10", {euro: "10"}, shop.customer_eur, account_id=shop.keys["clearing"], exchange_rate="0.9")
    assert shop.shown_payment(in_base)["currency_code"] == "EUR"
    assert shop.balance("clearing") == 9


def test_the_rate_left_out_is_the_organisations_or_one(shop: Any) -> None:
    body = {"account_id": shop.keys["clearing_eur"]}
    assert shop.shown_payment(shop.pay("10", {}, shop.customer_eur, **body))["exchange_rate"] == Decimal("0.85")
    assert shop.shown_payment(shop.pay("10", {}, exchange_rate="1.5"))["exchange_rate"] == 1
    shop.simulator.configure({"switches": {"missing_rate": "one"}})
    assert shop.shown_payment(shop.pay("10", {}, shop.customer_eur, **body))["exchange_rate"] == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": None}, 4),
        ({"amount": "ten"}, 2),
        ({"amount": -1}, 2),
        ({"amount": True}, 2),
        ({"date": "02/03/2026"}, 2),
        ({"date": ""}, 4),
        ({"payment_mode": ""}, 4),
        ({"customer_id": "1"}, 1002),
        ({"reference_number": "x" * 101}, 15),
        ({"invoices": "none"}, 2),
        ({"exchange_rate": 0}, 2),
        ({"custom_fields": [{"api_name": "cf_unknown", "value": "1"}]}, 2),
    ],
)
def test_bodies_that_cannot_be_used_are_refused(shop: Any, change: dict[str, Any], code: int) -> None:
    reply = shop.call("POST", "/customerpayments", {**shop.payment_body("10", {}), **change})
    assert reply.code == code
    assert reply.status == (404 if code == 1002 else 400)
    assert shop.simulator.state()["payments"] == []


def test_rows_of_an_invoice_can_be_taken_off_from_its_side(shop: Any) -> None:
    invoice = shop.invoice()
    payment_id = shop.pay("100", {invoice: "100"})
    (row,) = shop.ok("GET", f"/invoices/{invoice}/payments")["payments"]
    assert (row["payment_id"], row["is_single_invoice_payment"]) == (payment_id, True)
    shop.ok("DELETE", f"/invoices/{invoice}/payments/{row['invoice_payment_id']}")
    assert shop.shown_payment(payment_id)["unused_amount"] == 100
    shop.ok("PUT", f"/customerpayments/{payment_id}", {"invoices": [{"invoice_id": invoice, "amount_applied": 100}]})
    (row,) = shop.ok("GET", f"/invoices/{invoice}/payments")["payments"]
    shop.simulator.configure({"switches": {"invoice_payment_row_delete": "payment"}})
    shop.ok("DELETE", f"/invoices/{invoice}/payments/{row['invoice_payment_id']}")
    assert shop.call("GET", f"/customerpayments/{payment_id}").status == 404
