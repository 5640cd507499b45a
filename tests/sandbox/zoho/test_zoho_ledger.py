"""The ledger under everything: seeded random use keeps every balance provable; transfers, fees, credits, write-offs."""

import random
from decimal import Decimal
from typing import Any

import pytest

from tests.support.zoho_shop import Shop


def test_a_month_of_collecting_leaves_clearing_at_zero_and_every_fee_booked(shop: Any) -> None:
    invoices = [shop.invoice(amount) for amount in ("100", "250.40", "19.99")]
    for invoice, amount in zip(invoices, ("100", "250.40", "19.99"), strict=True):
        shop.pay(amount, {invoice: amount})
    keys = shop.keys
    shop.ok(
        "POST",
        "/banktransactions",
        {
            "transaction_type": "transfer_fund",
            "from_account_id": keys["clearing"],
            "to_account_id": keys["bank"],
            "amount": "366.39",
            "date": "2026-03-04",
            "reference_number": "PAYOUT-1",
        },
    )
    expense = shop.ok(
        "POST",
        "/expenses",
        {
            "date": "2026-03-04",
            "paid_through_account_id": keys["clearing"],
            "is_inclusive_tax": True,
            "reference_number": "PO1",
            "line_items": [
                {"account_id": keys["fees"], "amount": "3.60", "tax_id": keys["vat20"], "description": "Fees"},
                {"account_id": keys["fees"], "amount": "0.40", "description": "Surcharge"},
            ],
        },
    )["expense"]
    assert (expense["total"], expense["tax_amount"], expense["sub_total"]) == (4, Decimal("0.60"), Decimal("3.40"))
    assert [line["item_total"] for line in expense["line_items"]] == [3, Decimal("0.40")]
    assert shop.balance("clearing") == 0
    assert shop.balance("bank") == Decimal("366.39")
    assert shop.base_minor("fees") == 340
    assert shop.base_minor("input_tax") == 60
    assert shop.base_minor("sales") == -37039
    shop.check_books()
    shop.check_receivable()


def test_the_expense_takes_the_currency_of_the_account_and_rate_one(shop: Any) -> None:
    body = {
        "date": "2026-03-02",
        "account_id": shop.keys["fees"],
        "amount": 75,
        "paid_through_account_id": shop.keys["clearing_eur"],
    }
    reply = shop.ok("POST", "/expenses", body)
    expense = reply["expense"]
    assert reply.status == 201
    assert (expense["currency_code"], expense["exchange_rate"], expense["bcy_total"]) == ("EUR", 1, 75)
    assert shop.balance("clearing_eur") == -75
    changed = shop.ok("PUT", f"/expenses/{expense['expense_id']}", {"exchange_rate": "0.86"})["expense"]
    assert changed["bcy_total"] == Decimal("64.50")
    assert shop.base_minor("fees") == 6450
    other = shop.call("POST", "/expenses", {**body, "currency_id": shop.simulator.books.currencies["USD"].id})
    assert other.code == 2
    shop.check_books()


def test_an_expense_is_upserted_and_amended_and_deleted(shop: Any) -> None:
    headers = {
        "X-Unique-Identifier-Key": "cf_collector_key",
        "X-Unique-Identifier-Value": "live:PO1",
        "X-Upsert": "true",
    }
    body = {
        "date": "2026-03-02",
        "paid_through_account_id": shop.keys["clearing"],
        "line_items": [{"account_id": shop.keys["fees"], "amount": "1.20"}],
    }
    made, again = (shop.ok("PUT", "/expenses", body, headers) for _ in range(2))
    assert (made.status, again.status) == (201, 200)
    assert again["expense"]["last_modified_time"] == made["expense"]["created_time"]
    expense_id = made["expense"]["expense_id"]
    shop.pass_time(minutes=1)
    lines = [{"account_id": shop.keys["fees"], "amount": "1.30"}, {"account_id": shop.keys["fees"], "amount": "-0.05"}]
    amended = shop.ok("PUT", f"/expenses/{expense_id}", {"line_items": lines})["expense"]
    assert (amended["total"], shop.balance("clearing")) == (Decimal("1.25"), Decimal("-1.25"))
    listed = shop.ok("GET", "/expenses", paid_through_account_id=shop.keys["clearing"])["expenses"]
    assert [row["expense_id"] for row in listed] == [expense_id]
    shop.ok("DELETE", f"/expenses/{expense_id}")
    assert shop.balance("clearing") == 0
    shop.check_books()


def test_a_transfer_between_currencies_uses_the_rate_named(shop: Any) -> None:
    shop.pay("200", {}, shop.customer_eur, account_id=shop.keys["clearing_eur"], exchange_rate="0.85")
    body = {
        "transaction_type": "transfer_fund",
        "from_account_id": shop.keys["clearing_eur"],
        "to_account_id": shop.keys["bank"],
        "amount": "200",
        "exchange_rate": "0.8615",
        "date": "2026-03-03",
        "reference_number": "PAYOUT-FX",
    }
    made = shop.ok("POST", "/banktransactions", body)["banktransaction"]
    assert (made["amount"], made["bcy_total"], made["currency_code"]) == (200, Decimal("172.30"), "EUR")
    assert (shop.balance("clearing_eur"), shop.balance("bank")) == (0, Decimal("172.30"))
    assert shop.base_minor("clearing_eur") == 17000 - 17230
    shop.check_books()
    back = {**body, "from_account_id": shop.keys["bank"], "to_account_id": shop.keys["clearing_eur"], "amount": "86.15"}
    shop.ok("POST", "/banktransactions", back)
    assert (shop.balance("clearing_eur"), shop.balance("bank")) == (100, Decimal("86.15"))
    shop.check_books()


def test_bank_transactions_are_found_by_account_and_reference_and_refuse_nonsense(shop: Any) -> None:
    keys = shop.keys
    body = {
        "transaction_type": "transfer_fund",
        "from_account_id": keys["clearing"],
        "to_account_id": keys["bank"],
        "amount": 10,
        "date": "2026-03-02",
        "reference_number": "REF-A",
    }
    reply = shop.ok("POST", "/banktransactions", body)
    made = reply["banktransaction"]["transaction_id"]
    assert reply.status == 201
    shop.ok("POST", "/banktransactions", {**body, "reference_number": "REF-B", "date": "2026-03-01"})
    into = shop.ok("GET", "/banktransactions", account_id=keys["bank"], reference_number="REF-A")["banktransactions"]
    assert [(row["transaction_id"], row["debit_or_credit"], row["amount"]) for row in into] == [(made, "debit", 10)]
    out = shop.ok("GET", "/banktransactions", account_id=keys["clearing"])["banktransactions"]
    assert [row["reference_number"] for row in out] == ["REF-A", "REF-B"]
    assert {row["debit_or_credit"] for row in out} == {"credit"}
    assert shop.ok("GET", "/banktransactions", account_id=keys["undeposited_funds"])["banktransactions"] == []
    assert len(shop.ok("GET", "/banktransactions", date_start="2026-03-02", amount_start="5")["banktransactions"]) == 1
    for change in ({"to_account_id": keys["clearing"]}, {"to_account_id": keys["fees"]}, {"transaction_type": "gift"}):
        assert shop.call("POST", "/banktransactions", {**body, **change}).status == 400
    refund = {
        **body,
        "transaction_type": "expense_refund",
        "from_account_id": keys["fees"],
        "to_account_id": keys["clearing"],
    }
    shop.ok("POST", "/banktransactions", refund)
    assert shop.base_minor("fees") == -1000
    shop.simulator.edit({"action": "match_transaction", "transaction_id": made})
    assert shop.call("DELETE", f"/banktransactions/{made}").status == 400
    shop.simulator.edit({"action": "unmatch_transaction", "transaction_id": made})
    shop.ok("DELETE", f"/banktransactions/{made}")
    assert shop.call("GET", f"/banktransactions/{made}").code == 1002
    shop.check_books()


def test_an_accounts_own_ledger_can_be_read(shop: Any) -> None:
    invoice = shop.invoice()
    shop.pay("100", {invoice: "100"}, reference_number="PM7")
    rows = shop.ok("GET", "/chartofaccounts/transactions", account_id=shop.keys["clearing"])["transactions"]
    assert [(r["transaction_type"], r["debit_amount"], r["credit_amount"], r["reference_number"]) for r in rows] == [
        ("customer_payment", 100, "", "PM7")
    ]
    account = shop.ok("GET", f"/chartofaccounts/{shop.keys['sales']}")["chart_of_account"]
    assert (account["closing_balance"], account["isdebit"]) == (100, False)
    none = shop.ok("GET", "/chartofaccounts/transactions", account_id=shop.keys["clearing"], transaction_type="expense")
    assert none["transactions"] == []


def test_write_off_and_its_cancelling(shop: Any) -> None:
    invoice = shop.invoice()
    shop.pay("60", {invoice: "60"})
    shop.ok("POST", f"/invoices/{invoice}/writeoff")
    shown = shop.shown_invoice(invoice)
    assert (shown["status"], shown["balance"], shown["write_off_amount"]) == ("paid", 0, 40)
    assert shop.base_minor("bad_debt") == 4000
    shop.check_books()
    shop.check_receivable()
    shop.ok("POST", f"/invoices/{invoice}/writeoff/cancel")
    assert shop.shown_invoice(invoice)["balance"] == 40
    assert shop.base_minor("bad_debt") == 0
    shop.check_books()


def test_credit_notes_are_applied_and_refunded_within_what_is_left(shop: Any) -> None:
    invoice = shop.invoice()
    lines = [{"rate": 50, "tax_id": shop.keys["vat20"]}]
    reply = shop.ok("POST", "/creditnotes", {"customer_id": shop.customer, "line_items": lines})
    note = reply["creditnote"]
    assert (reply.status, note["status"], note["total"], note["balance"]) == (201, "open", 60, 60)
    assert shop.base_minor("output_tax") == 1000
    path = f"/creditnotes/{note['creditnote_id']}"
    too_much = shop.call("POST", f"{path}/invoices", {"invoices": [{"invoice_id": invoice, "amount_applied": 61}]})
    assert too_much.status == 400
    shop.ok("POST", f"{path}/invoices", {"invoices": [{"invoice_id": invoice, "amount_applied": 25}]})
    assert shop.shown_invoice(invoice)["credits_applied"] == 25
    body = {"date": "2026-03-02", "amount": 35, "from_account_id": shop.keys["clearing"], "reference_number": "RF1"}
    assert shop.call("POST", f"{path}/refunds", {**body, "amount": 36}).status == 400
    refund = shop.ok("POST", f"{path}/refunds", body)["creditnote_refund"]
    assert shop.ok("GET", path)["creditnote"]["status"] == "closed"
    everywhere = shop.ok("GET", "/creditnotes/refunds")["creditnote_refunds"]
    assert [row["creditnote_refund_id"] for row in everywhere] == [refund["creditnote_refund_id"]]
    assert shop.balance("clearing") == -35
    (credit,) = shop.ok("GET", f"/invoices/{invoice}/creditsapplied")["credits"]
    shop.ok("DELETE", f"/invoices/{invoice}/creditsapplied/{credit['creditnotes_invoice_id']}")
    assert shop.ok("GET", path)["creditnote"]["balance"] == 25
    shop.check_books()
    shop.check_receivable()


def test_journals_balance_or_are_refused(shop: Any) -> None:
    keys = shop.keys
    lines = [
        {"account_id": keys["fees"], "debit_or_credit": "debit", "amount": "0.03"},
        {"account_id": keys["exchange_gain_or_loss"], "debit_or_credit": "credit", "amount": "0.03"},
    ]
    reply = shop.ok("POST", "/journals", {"journal_date": "2026-03-02", "line_items": lines, "reference_number": "ADJ"})
    assert (reply.status, reply["journal"]["status"], reply["journal"]["custom_fields"]) == (201, "published", "")
    assert shop.base_minor("fees") == 3
    lines[1]["amount"] = "0.02"
    assert shop.call("POST", "/journals", {"journal_date": "2026-03-02", "line_items": lines}).status == 400
    shop.ok("DELETE", f"/journals/{reply['journal']['journal_id']}")
    assert shop.base_minor("fees") == 0
    shop.check_books()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_use_keeps_the_books_provable(seed: int) -> None:
    """Random calls, allowed or refused; after each tenth the whole ledger is counted anew."""
    shop = Shop(seed)
    draw = random.Random(seed)
    invoices: list[str] = []
    payments: list[str] = []
    accepted = 0
    for step in range(250):
        shop.pass_time(minutes=draw.randint(0, 60))
        act = draw.choice(
            (
                "invoice",
                "invoice",
                "pay",
                "pay",
                "pay",
                "unapply",
                "refund",
                "void",
                "edit",
                "credit",
                "delete",
                "move",
                "fee",
            )
        )
        invoice = draw.choice(invoices) if invoices else ""
        payment = draw.choice(payments) if payments else ""
        amount = f"{draw.randint(1, 12000) / 100:.2f}"
        reply = None
        if act == "invoice":
            invoices.append(shop.invoice(amount, sent=draw.random() < 0.9))
        elif act == "pay" and invoice:
            applied = f"{min(Decimal(amount), Decimal(draw.randint(1, 8000)) / 100):.2f}"
            reply = shop.call("POST", "/customerpayments", shop.payment_body(amount, {invoice: applied}))
            if reply.status == 201:
                payments.append(reply["payment"]["payment_id"])
        elif act == "unapply" and payment:
            reply = shop.call("PUT", f"/customerpayments/{payment}", {"invoices": []})
        elif act == "refund" and payment:
            body = {"date": "2026-03-20", "amount": amount, "from_account_id": shop.keys["clearing"]}
            reply = shop.call("POST", f"/customerpayments/{payment}/refunds", body)
        elif act == "void" and invoice and draw.random() < 0.4:
            reply = shop.call("POST", f"/invoices/{invoice}/status/void")
        elif act == "edit" and invoice:
            reply = shop.call("PUT", f"/invoices/{invoice}", {"line_items": [{"name": "Changed", "rate": amount}]})
        elif act == "credit" and invoice:
            number = shop.simulator.books.invoices.rows.get(invoice)
            if number is not None and number.state == "sent":
                shop.simulator.edit({"action": "credit_invoice", "invoice_id": invoice, "amount": amount})
                accepted += 1
        elif act == "delete" and payment:
            reply = shop.call("DELETE", f"/customerpayments/{payment}")
        elif act in ("move", "fee"):
            body = {"amount": amount, "date": "2026-03-20"}
            if act == "move":
                sides = {"from_account_id": shop.keys["clearing"], "to_account_id": shop.keys["bank"]}
                reply = shop.call("POST", "/banktransactions", {**body, **sides, "transaction_type": "transfer_fund"})
            else:
                line = {"account_id": shop.keys["fees"], "amount": amount, "tax_id": shop.keys["vat20"]}
                expense = {"date": "2026-03-20", "paid_through_account_id": shop.keys["clearing"], "line_items": [line]}
                reply = shop.call("POST", "/expenses", expense)
        accepted += reply is not None and reply.status in (200, 201)
        if step % 10 == 9:
            shop.check_books()
            shop.check_receivable()
    assert accepted > 60
