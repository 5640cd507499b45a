"""Contacts, invoices and accounts as records: making, changing, deleting; what a person does beside the program."""

from typing import Any

import pytest


def test_the_balance_of_a_contact_never_moves_its_time_and_a_change_of_nothing_neither(shop: Any) -> None:
    before = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]
    shop.pass_time(minutes=1)
    shop.invoice("10")
    same = shop.ok("PUT", f"/contacts/{shop.customer}", {"contact_name": "Aster Ltd", "notes": ""})["contact"]
    assert same["last_modified_time"] == before["last_modified_time"]
    assert same["outstanding_receivable_amount"] == 10
    body = {"notes": "Prefers Tuesdays", "custom_fields": [{"api_name": "cf_mandate", "value": "MD1"}]}
    changed = shop.ok("PUT", f"/contacts/{shop.customer}", body)["contact"]
    assert changed["last_modified_time"] > before["last_modified_time"]
    assert (changed["company_name"], changed["email"]) == ("Aster Ltd", "ap@aster.example")
    assert changed["custom_field_hash"]["cf_mandate"] == "MD1"


def test_contact_persons_are_replaced_wholly(shop: Any) -> None:
    (person,) = shop.ok("GET", f"/contacts/{shop.customer}")["contact"]["contact_persons"]
    both = [{"contact_person_id": person["contact_person_id"]}, {"email": "second@aster.example"}]
    two = shop.ok("PUT", f"/contacts/{shop.customer}", {"contact_persons": both})["contact"]
    assert [p["email"] for p in two["contact_persons"]] == ["ap@aster.example", "second@aster.example"]
    one = shop.ok("PUT", f"/contacts/{shop.customer}", {"contact_persons": both[1:]})["contact"]
    assert (one["email"], len(one["contact_persons"])) == ("second@aster.example", 1)
    none = shop.ok("POST", "/contacts", {"contact_name": "Bare"})["contact"]
    assert (none["email"], none["primary_contact_id"], none["contact_persons"]) == ("", "", [])


def test_a_contact_with_transactions_stays_and_keeps_its_currency(shop: Any) -> None:
    invoice = shop.invoice("10", sent=False)
    assert shop.call("DELETE", f"/contacts/{shop.customer}").status == 400
    assert shop.call("PUT", f"/contacts/{shop.customer}", {"currency_code": "EUR"}).status == 400
    shop.ok("DELETE", f"/invoices/{invoice}")
    shop.ok("DELETE", f"/contacts/{shop.customer}")
    assert shop.call("GET", f"/contacts/{shop.customer}").code == 1002


def test_names_may_repeat_unless_the_organisation_forbids_it(shop: Any) -> None:
    shop.ok("POST", "/contacts", {"contact_name": "Aster Ltd"})
    shop.simulator.configure({"switches": {"names_unique": True}})
    assert shop.call("POST", "/contacts", {"contact_name": "Aster Ltd"}).code == 3062


def test_a_contact_is_upserted_by_its_unique_field(shop: Any) -> None:
    shop.simulator.populate({"custom_fields": [{"module": "contacts", "api_name": "cf_number", "unique": True}]})
    headers = {"X-Unique-Identifier-Key": "cf_number", "X-Unique-Identifier-Value": "7", "X-Upsert": "true"}
    made, changed = (shop.ok("PUT", "/contacts", {"contact_name": name}, headers) for name in ("Seven", "Seven B"))
    assert (made.status, changed.status) == (201, 200)
    assert changed["contact"]["contact_id"] == made["contact"]["contact_id"]
    assert changed["contact"]["contact_name"] == "Seven B"


def test_an_invoice_is_made_as_a_draft_with_tax_and_terms(shop: Any) -> None:
    lines = [{"name": "Work", "rate": "33.33", "quantity": 3, "tax_id": shop.keys["vat20"]}, {"rate": "0.01"}]
    body = {
        "customer_id": shop.customer,
        "line_items": lines,
        "payment_terms": 14,
        "shipping_charge": 5,
        "adjustment": "-1",
    }
    reply = shop.ok("POST", "/invoices", body)
    invoice = reply["invoice"]
    assert reply.status == 201
    assert reply.headers["Location"].endswith(f"/invoices/{invoice['invoice_id']}")
    assert (invoice["status"], invoice["issued_date"], invoice["due_date"]) == ("draft", "", "2026-03-16")
    assert [str(invoice[k]) for k in ("sub_total", "tax_total", "total", "balance")] == [
        "100.00",
        "20.00",
        "124.00",
        "124.00",
    ]
    assert invoice["taxes"][0]["tax_amount"] == 20
    shop.ok("POST", f"/invoices/{invoice['invoice_id']}/status/sent")
    assert shop.base_minor("output_tax") == -2000
    assert shop.base_minor("sales") == -10000
    shop.check_books()
    inclusive = shop.shown_invoice(
        shop.invoice("12", is_inclusive_tax=True, line_items=[{"rate": 12, "tax_id": shop.keys["vat20"]}])
    )
    assert (inclusive["total"], inclusive["tax_total"]) == (12, 2)
    shop.check_books()


def test_lines_left_out_are_deleted_and_a_total_below_what_is_paid_is_refused(shop: Any) -> None:
    body = {"customer_id": shop.customer, "line_items": [{"rate": 60}, {"rate": 40}]}
    invoice = shop.ok("POST", "/invoices", body)["invoice"]
    path = f"/invoices/{invoice['invoice_id']}"
    shop.ok("POST", f"{path}/status/sent")
    shop.pay("50", {invoice["invoice_id"]: "50"})
    kept = invoice["line_items"][0]["line_item_id"]
    changed = shop.ok("PUT", path, {"line_items": [{"line_item_id": kept}]})["invoice"]
    assert (changed["total"], changed["balance"], len(changed["line_items"])) == (60, 10, 1)
    assert shop.call("PUT", path, {"line_items": [{"rate": 49}]}).status == 400
    assert shop.call("PUT", path, {"line_items": []}).status == 400
    assert shop.call("DELETE", path).status == 400
    shop.check_books()


def test_sending_moves_the_time_once_and_a_second_mail_moves_nothing(shop: Any) -> None:
    invoice = shop.invoice("10", sent=False)
    shop.pass_time(minutes=1)
    first = shop.ok("POST", f"/invoices/{invoice}/email", {"to_mail_ids": ["ap@aster.example"]})
    sent = shop.shown_invoice(invoice)
    assert (first["is_first_email"], sent["status"], sent["is_emailed"]) == (True, "sent", True)
    shop.pass_time(minutes=1)
    assert shop.ok("POST", f"/invoices/{invoice}/email", {})["is_first_email"] is False
    assert shop.shown_invoice(invoice)["last_modified_time"] == sent["last_modified_time"]
    shop.ok("POST", f"/invoices/{invoice}/status/void")
    shop.ok("POST", f"/invoices/{invoice}/status/draft")
    assert shop.shown_invoice(invoice)["status"] == "draft"


def test_invoice_numbers_are_unique_and_upsert_works_for_invoices(shop: Any) -> None:
    shop.invoice("10", invoice_number="X-1")
    twice = {"customer_id": shop.customer, "line_items": [{"rate": 1}], "invoice_number": "X-1"}
    assert shop.call("POST", "/invoices", twice).code == 1001
    shop.simulator.populate({"custom_fields": [{"module": "invoices", "api_name": "cf_order", "unique": True}]})
    headers = {"X-Unique-Identifier-Key": "cf_order", "X-Unique-Identifier-Value": "9", "X-Upsert": "true"}
    body = {"customer_id": shop.customer, "line_items": [{"rate": 1}]}
    assert [shop.ok("PUT", "/invoices", body, headers).status for _ in range(2)] == [201, 200]


def test_accounts_are_made_named_and_closed(shop: Any) -> None:
    reply = shop.ok("POST", "/bankaccounts", {"account_name": "Suspense GBP", "account_type": "bank"})
    account = reply["bankaccount"]
    assert (reply.status, account["currency_code"], account["balance"]) == (201, "GBP", 0)
    again = shop.call("POST", "/bankaccounts", {"account_name": "Suspense GBP", "account_type": "bank"})
    assert again.code == 1001
    assert shop.call("POST", "/bankaccounts", {"account_name": "Odd", "account_type": "expense"}).code == 2
    chart = shop.ok("POST", "/chartofaccounts", {"account_name": "VAT timing", "account_type": "expense"})
    assert "/chartofaccountdetails/" in chart.headers["Location"]
    names = [row["account_name"] for row in shop.ok("GET", "/bankaccounts")["bankaccounts"]]
    assert names == sorted(names, key=str.lower)
    types = [row["account_type"] for row in shop.ok("GET", "/chartofaccounts")["chartofaccounts"]]
    assert types == sorted(types)
    assert shop.ok("GET", "/chartofaccounts")["page_context"]["applied_filter"] == "AccountType.Active"
    shop.ok("DELETE", f"/bankaccounts/{account['account_id']}")
    assert shop.call("GET", f"/bankaccounts/{account['account_id']}").code == 1002
    shop.pay("1", {})
    assert shop.call("DELETE", f"/bankaccounts/{shop.keys['clearing']}").status == 400


def test_a_person_edits_voids_pays_and_credits(shop: Any) -> None:
    edit = shop.simulator.edit
    made = edit({"action": "create_invoice", "body": {"customer_id": shop.customer, "line_items": [{"rate": "80"}]}})
    number = shop.shown_invoice(made["id"])["invoice_number"]
    edit({"action": "edit_invoice", "invoice_number": number, "changes": {"line_items": [{"rate": "90"}]}})
    edit({"action": "credit_invoice", "invoice_number": number, "amount": "15"})
    edit({"action": "record_payment", "invoice_number": number, "amount": "25", "reference_number": "cheque"})
    shown = shop.shown_invoice(made["id"])
    assert (shown["total"], shown["credits_applied"], shown["payment_made"], shown["balance"]) == (90, 15, 25, 50)
    edit({"action": "in_process", "invoice_number": number})
    waiting = shop.shown_invoice(made["id"])
    assert waiting["inprocess_transaction_present"] is True
    assert len(waiting["in_process_payments"]) == 1
    edit({"action": "void_invoice", "invoice_number": number})
    assert shop.shown_invoice(made["id"])["status"] == "void"
    shop.check_books()
    with pytest.raises(KeyError):
        edit({"action": "dance"})
