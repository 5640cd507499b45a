import json
from urllib.parse import quote

import pytest

from adapters.deliveries import Parked
from adapters.http import Call
from adapters.zoho import perform
from adapters.zoho.translate import translate
from domain import commands as c
from domain.codec import decode_event, encode_event
from domain.events import (
    AppliedInvoice,
    ContactFacts,
    CurrenciesRead,
    CustomerPaymentRead,
    InvoiceFacts,
    InvoiceGone,
    InvoicesListed,
    LineItem,
    Outcome,
)
from domain.ids import observation_id, outcome_id
from tests.support import zoho_records as z


def data(translation):
    """The data of the events, each having survived the log."""
    for event in translation.events:
        assert decode_event(encode_event(event)) == event
    return [event.data for event in translation.events]


def types(translation):
    return [event.type for event in translation.events]


# --- webhooks ---


def test_an_invoice_of_a_webhook():
    found = translate(z.webhook_meta(), json.dumps({"invoice": z.INVOICE}).encode())
    assert found.parked == []
    assert data(found) == [
        InvoiceFacts(
            id="910000000042001",
            number="INV-0042",
            customer_id="910000000031007",
            status="sent",
            currency="GBP",
            total_minor=11999,
            balance_minor=1990,
            date="2026-02-20",
            due_date="2026-03-06",
            last_modified="2026-02-21T09:00:00.000Z",
            exchange_rate="1",
            email="accounts@rosehip.example",
            line_items=[LineItem("Ovens, service", "2.5", 10000, "Two visits"), LineItem("Discount", "1", -1)],
        )
    ]
    event = found.events[0]
    assert (event.type, event.source, event.subject, event.connection) == (
        "zoho.invoice_notified",
        "webhook",
        "contact:910000000031007",
        "main",
    )
    assert (event.happened_at, event.learned_at) == ("2026-02-21T09:00:00.000Z", z.NOW)
    assert (event.causation_id, event.correlation_id) == ("d-1", "910000000042001")
    assert event.id == observation_id("d-1", "zoho.invoice_notified", "910000000042001")


def test_a_contact_of_a_webhook_with_a_bare_number_for_id():
    body = json.dumps({"contact": z.edited(z.CONTACT, contact_id=910000000031007)}).encode()
    found = translate(z.webhook_meta(module="contact"), body)
    assert data(found) == [
        ContactFacts(
            id="910000000031007",
            name="Rosehip Bakery",
            status="active",
            contact_type="customer",
            last_modified="2026-02-01T08:00:00.000Z",
            email="accounts@rosehip.example",
            company_name="Rosehip Ltd",
            currency="GBP",
            reference="C-31",
            payer_link="CU0042",
        )
    ]
    assert found.events[0].subject == "contact:910000000031007"


def test_the_link_field_is_the_policys():
    record = z.edited(z.CONTACT, custom_fields="", custom_field_hash={"cf_other": "CU9", "cf_other_unformatted": "CU9"})
    found = translate(z.webhook_meta(), json.dumps({"contact": record}).encode(), payer_link_field="cf_other")
    assert data(found)[0].payer_link == "CU9"


@pytest.mark.parametrize("name", ["payment", "customer_payment", "customerpayment"])
def test_a_payment_of_a_webhook_under_any_of_its_names(name):
    found = translate(z.webhook_meta(), json.dumps({name: z.PAYMENT}).encode())
    assert data(found) == [
        CustomerPaymentRead(
            id="910000000055003",
            customer_id="910000000031007",
            amount_minor=1990,
            unused_minor=0,
            currency="GBP",
            date="2026-03-01",
            account_id="910000000070001",
            reference="PM01",
            key="live:PM01:1",
            invoices=[AppliedInvoice("910000000042001", 1990, 0, "910000000055009")],
        )
    ]
    assert found.events[0].happened_at == "2026-03-01T09:00:00.000Z"


@pytest.mark.parametrize("module", ["", "invoice", "invoice/edited"])
def test_a_form_with_jsonstring_wrapped_or_bare(module):
    for record in ({"invoice": z.INVOICE}, z.INVOICE):
        body = ("JSONString=" + quote(json.dumps(record))).encode()
        meta = z.webhook_meta(module=module, content_type="application/x-www-form-urlencoded;charset=UTF-8")
        assert types(translate(meta, body)) == ["zoho.invoice_notified"]


def test_a_deletion_leaves_an_id():
    for body in (
        b'{"invoice":{"invoice_id":910000000042001}}',
        b'{"invoice_id":"910000000042001","organization_id":"20077001"}',
    ):
        found = translate(z.webhook_meta(), body, z.ORG)
        assert data(found) == [InvoiceGone("910000000042001")]
        assert found.events[0].happened_at == z.NOW
    whole = json.dumps({"invoice": z.INVOICE}).encode()
    assert data(translate(z.webhook_meta(module="invoice/deleted"), whole)) == [InvoiceGone("910000000042001")]


def test_other_deletions_are_parked_to_be_seen():
    found = translate(z.webhook_meta(), b'{"payment":{"payment_id":"5"}}')
    assert found.events == []
    assert "nothing but its id" in found.parked[0].reason


@pytest.mark.parametrize(
    "body",
    [
        b'{"organization_id":"20077002","invoice":{"invoice_id":"1"}}',
        b'{"organization_id":20077002,"invoice":{"invoice_id":"1"}}',
        b'{"invoice":{"invoice_id":"1","organization_id":"20077002"}}',
        b'{"invoice_id":"1","organization_id":"20077002"}',
    ],
)
def test_another_organisation_is_never_ours(body):
    assert translate(z.webhook_meta(), body, z.ORG).parked == [Parked("body", "other organisation")]
    assert translate(z.webhook_meta(), body, "20077002").parked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"item":{"item_id":"1"}}',
        b'{"invoice":[]}',
        b'{"invoice":""}',
        b'{"invoice":{}}',
        b'{"creditnote_id":"9","invoice_id":"1","total":5}',
        b"\xff" * 9,
        b'{"invoice":{"invoice_id":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    ],
)
def test_what_is_not_understood_is_parked_whole(body):
    found = translate(z.webhook_meta(), body)
    assert found.events == []
    assert len(found.parked) == 1
    assert found.parked[0].where == "body"


def test_a_form_of_pairs_says_what_to_change():
    found = translate(z.webhook_meta(content_type="application/x-www-form-urlencoded"), b"invoice_id=1&status=paid")
    assert "default payload" in found.parked[0].reason


BAD_INVOICES = [
    ({"total": 19.999}, "total does not fit GBP"),
    ({"balance": -1}, "balance is below zero"),
    ({"total": -0.01}, "total is below zero"),
    ({"currency_code": "XXQ"}, "unknown currency"),
    ({"currency_code": ""}, "unknown currency"),
    ({"total": ""}, "total is missing"),
    ({"total": "£19.99"}, "total is not a decimal number"),
    ({"total": {}}, "InvoiceRow"),
    ({"invoice_id": "1/../2"}, "invoice_id"),
    ({"customer_id": None}, "customer_id"),
    ({"date": "20 Feb 2026"}, "date"),
    ({"date": "2026-02-30"}, "day"),
    ({"last_modified_time": "", "updated_time": ""}, "last_modified_time"),
    ({"last_modified_time": "0001-01-01T00:00:00+0100"}, "last_modified_time"),
    ({"last_modified_time": "2026-02-21 10:00"}, "offset"),
    ({"last_modified_time": "9999-12-31T23:30:00+0000"}, "last_modified_time: before 1970-01-01 or after 9998-12-30"),
    ({"due_date": "0001-01-01"}, "due_date: before 1970-01-01 or after 9998-12-30"),
    ({"due_date": "9999-12-31"}, "due_date"),
    ({"date": "0001-01-01"}, "date: before 1970-01-01"),
    ({"exchange_rate": 0}, "exchange_rate"),
    ({"exchange_rate": ""}, "exchange_rate"),
    ({"status": ""}, "status"),
]


@pytest.mark.parametrize(("change", "reason"), BAD_INVOICES)
def test_a_bad_row_is_parked_and_the_page_goes_on_without_it(change, reason):
    rows = [z.edited(z.INVOICE_ROW, **change), z.edited(z.INVOICE_ROW, invoice_id="910000000042002")]
    found = translate(z.page_meta("zoho.open_invoices"), z.listing("invoices", rows))
    assert [p.where for p in found.parked] == ["invoices[0]"]
    assert reason in found.parked[0].reason
    assert types(found) == ["zoho.invoice_seen", "zoho.invoices_listed"]
    assert data(found)[-1].ids == ["910000000042002"]  # what was not read was not listed: no debit on such a view


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_minor_units_are_the_currencys(currency):
    record = z.edited(z.INVOICE, currency_code=currency, total=500, balance=1, line_items="")
    fact = data(translate(z.webhook_meta(), json.dumps({"invoice": record}).encode()))[0]
    assert (fact.total_minor, fact.balance_minor) == {"JPY": (500, 1), "KWD": (500000, 1000)}[currency]


@pytest.mark.parametrize(
    "change",
    [
        {"ach_payment_initiated": True},
        {"inprocess_transaction_present": True},
        {"is_autobill_enabled": "true"},
        {"in_process_payments": [{"id": 1}]},
    ],
)
def test_another_way_of_collecting_is_told(change):
    assert (
        data(translate(z.webhook_meta(), json.dumps({"invoice": z.edited(z.INVOICE, **change)}).encode()))[0].elsewhere
        is True
    )
    assert data(translate(z.webhook_meta(), json.dumps({"invoice": z.INVOICE}).encode()))[0].elsewhere is False


def test_no_reason_holds_a_value_or_a_person():
    record = z.edited(z.INVOICE, total="Rosehip 4711", email="accounts@rosehip.example")
    found = translate(z.webhook_meta(), json.dumps({"invoice": record}).encode())
    assert "Rosehip" not in found.parked[0].reason
    assert "4711" not in found.parked[0].reason


# --- pages ---


def test_a_page_of_open_invoices():
    second = z.edited(z.INVOICE_ROW, invoice_id="910000000042002")
    meta = z.page_meta("zoho.open_invoices", page=3, complete=False)
    found = translate(meta, z.listing("invoices", [z.INVOICE_ROW, second]))
    assert types(found) == ["zoho.invoice_seen", "zoho.invoice_seen", "zoho.invoices_listed"]
    assert data(found)[-1] == InvoicesListed(
        "open", "2026-03-02T08:59:00.000Z", 3, ["910000000042001", "910000000042002"], complete=False
    )
    assert data(found)[0].line_items is None
    assert data(found)[0].as_of == "2026-03-02T08:59:00.000Z"
    assert {event.source for event in found.events} == {"poll"}


def test_only_fresh_rows_become_events_and_all_are_listed():
    rows = [z.INVOICE_ROW, z.edited(z.INVOICE_ROW, invoice_id="910000000042002"), z.edited(z.INVOICE_ROW, total="x")]
    found = translate(z.page_meta("zoho.invoices", fresh=[1]), z.listing("invoices", rows))
    assert [event.correlation_id for event in found.events[:-1]] == ["910000000042002"]
    assert data(found)[-1].ids == ["910000000042001", "910000000042002"]
    assert data(found)[-1].scope == "modified"
    assert found.parked == []  # the bad row was parked when it was new


def test_an_unchanged_page_says_nothing():
    assert translate(z.page_meta("zoho.contacts", same_as="abc"), b"").events == []


def test_a_page_of_contacts():
    rows = [z.CONTACT, {"contact_id": "1"}, z.edited(z.CONTACT, contact_id="910000000031008", contact_type="vendor")]
    found = translate(z.page_meta("zoho.contacts"), z.listing("contacts", rows))
    assert types(found) == ["zoho.contact_seen", "zoho.contact_seen"]
    assert data(found)[1].contact_type == "vendor"
    assert [p.where for p in found.parked] == ["contacts[1]"]
    assert types(translate(z.page_meta("zoho.contacts", fresh=[2]), z.listing("contacts", rows))) == [
        "zoho.contact_seen"
    ]


def test_currencies_without_a_rate_are_left_out():
    rows = [
        {"currency_code": "GBP", "is_base_currency": True, "exchange_rate": 0, "effective_date": ""},
        {"currency_code": "EUR", "is_base_currency": False, "exchange_rate": 0.8600, "effective_date": "2026-02-01"},
        {"currency_code": "SAR", "is_base_currency": False, "exchange_rate": 0, "effective_date": ""},
        {"currency_code": "USD", "is_base_currency": False, "exchange_rate": 0, "effective_date": "2026-02-01"},
        {"currency_code": "QQQ", "is_base_currency": False, "exchange_rate": 2, "effective_date": "2026-02-01"},
    ]
    found = translate(z.page_meta("zoho.currencies"), z.listing("currencies", rows))
    assert data(found) == [CurrenciesRead({"GBP": "1", "EUR": "0.86"})]
    assert [p.where for p in found.parked] == ["currencies[3]", "currencies[4]"]
    assert translate(z.page_meta("zoho.currencies", fresh=[]), z.listing("currencies", rows)).events == []


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [("zoho.invoices", 200, b"<html>"), ("zoho.invoices", 401, b'{"code":57}'), ("zoho.items", 200, b"{}")],
)
def test_what_is_no_page_is_parked(kind, status, body):
    found = translate(z.page_meta(kind, status=status), body)
    assert found.events == []
    assert [p.where for p in found.parked] == ["page"]


def test_a_row_of_another_organisation_is_parked():
    rows = [z.edited(z.INVOICE_ROW, organization_id="1")]
    found = translate(z.page_meta("zoho.invoices"), z.listing("invoices", rows), z.ORG)
    assert found.parked == [Parked("invoices[0]", "other organisation")]
    assert data(found)[-1].ids == []


# --- answers ---


def answered(command_data, body, status=200, step="send", call=None):
    return translate(
        z.answer_meta(command_data, call or perform.send_call(z.command(command_data)), status, step), body, z.ORG
    )


def test_a_payment_made_is_read_and_then_the_outcome_comes_last():
    found = answered(z.CREATE_PAYMENT, z.body(payment=z.PAYMENT), 201)
    assert types(found) == ["zoho.customer_payment_read", "command.outcome"]
    assert data(found)[0].created is True
    assert data(found)[1] == Outcome("cm-1", 1, "succeeded", "910000000055003", http_status=201)
    assert found.events[1].correlation_id == "910000000055003"
    assert found.events[1].source == "answer"
    updated = answered(
        z.CREATE_PAYMENT, z.body(payment=z.edited(z.PAYMENT, updated_time="2026-03-02T08:00:00+0000")), 200
    )
    assert data(updated)[0].created is False
    assert (data(updated)[1].found, data(updated)[1].reason) == (True, "updated")


def test_the_read_behind_a_look_up_is_no_making():
    call = Call("GET", "/customerpayments/910000000055003")
    found = answered(z.CREATE_PAYMENT, z.body(payment=z.PAYMENT), 200, "follow", call)
    assert data(found)[0].created is None
    assert data(found)[1].found is True


def test_the_key_is_read_from_the_commands_own_field():
    other = c.CreateCustomerPayment("1", 1990, "GBP", "2026-03-01", "2", "PM01", "cf_other", "live:PM01:1")
    record = z.edited(z.PAYMENT, custom_fields=[{"api_name": "cf_other", "value": "live:PM01:1"}])
    assert data(answered(other, z.body(payment=record), 201))[0].key == "live:PM01:1"


def test_an_outcomes_id_is_of_the_command_the_call_and_the_answer():
    body = z.body(payment=z.PAYMENT)
    one, same, other = (answered(z.CREATE_PAYMENT, raw, 201).events[-1].id for raw in (body, body, body + b" "))
    assert one == same != other
    assert one.startswith("oc-")
    assert len(one) == len(outcome_id("a", 1, "b"))
    assert answered(z.CREATE_PAYMENT, body, 200).events[-1].id != one


def test_a_refusal_is_an_outcome():
    found = answered(z.CREATE_PAYMENT, z.refusal(24016, "more than the balance"), 400)
    assert data(found) == [
        Outcome("cm-1", 1, "refused", reason="24016", message="more than the balance", http_status=400)
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"<html>"), (429, b'{"code":44}'), (401, b'{"code":57}'), (200, b"<html>"), (200, b'{"code":0}')],
)
def test_what_is_not_final_is_no_outcome(status, body):
    assert answered(z.CREATE_TRANSFER, body, status).events == []


def test_writes_without_an_observation():
    for command_data, body in (
        (z.CREATE_EXPENSE, z.body(expense=z.EXPENSE)),
        (z.CREATE_TRANSFER, z.body(banktransaction=z.TRANSFER)),
        (z.REFUND_PAYMENT, z.body(payment_refunds=z.REFUND)),
    ):
        found = answered(command_data, body, 201)
        assert types(found) == ["command.outcome"]
        assert found.parked == []


def test_an_unapplied_payment_is_read():
    found = answered(z.UNAPPLY, z.body(payment=z.edited(z.PAYMENT, invoices=[], unused_amount=19.9)))
    assert types(found) == ["zoho.customer_payment_read", "command.outcome"]
    assert data(found)[0].created is None


def test_an_amount_mismatch_is_seen_and_refused():
    found = answered(z.CREATE_PAYMENT, z.body(payment=z.edited(z.PAYMENT, amount=5)), 201)
    assert data(found)[0].amount_minor == 500
    assert (data(found)[1].kind, data(found)[1].reason) == ("refused", "amount_mismatch")


def test_reads():
    invoice = answered(c.ReadInvoice("910000000042001"), z.body(invoice=z.INVOICE))
    assert types(invoice) == ["zoho.invoice_read", "command.outcome"]
    assert data(invoice)[0].as_of == "2026-03-02T08:59:30.000Z"
    contact = answered(c.ReadContact("910000000031007"), z.body(contact=z.CONTACT))
    assert types(contact) == ["zoho.contact_read", "command.outcome"]


def test_a_read_that_finds_nothing_says_it_is_gone():
    found = answered(c.ReadInvoice("910000000042001"), z.refusal(1002, "Invoice does not exist."), 404)
    assert data(found) == [
        InvoiceGone("910000000042001"),
        Outcome("cm-1", 1, "refused", reason="1002", message="Invoice does not exist.", http_status=404),
    ]
    assert types(answered(c.ReadInvoice("1"), z.refusal(5), 404)) == [
        "command.outcome"
    ]  # a wrong address is not a gone invoice
    assert types(answered(c.ReadContact("1"), z.refusal(1002), 404)) == ["command.outcome"]


def test_a_read_that_cannot_be_understood_is_parked_and_ends():
    found = answered(c.ReadInvoice("910000000042001"), z.body(invoice=z.edited(z.INVOICE, total=1.001)))
    assert types(found) == ["command.outcome"]
    assert [p.where for p in found.parked] == ["answer"]


def test_the_walk_over_open_invoices():
    more = answered(c.ListOpenInvoices(), z.listing("invoices", [z.INVOICE_ROW], more=True))
    assert types(more) == ["zoho.invoice_seen", "zoho.invoices_listed"]
    assert data(more)[1] == InvoicesListed("open", "2026-03-02T08:59:30.000Z", 1, ["910000000042001"], complete=False)
    call = Call("GET", "/invoices", {"page": "2"})
    last = answered(c.ListOpenInvoices(), z.listing("invoices", [z.INVOICE_ROW]), 200, "follow", call)
    assert types(last) == ["zoho.invoice_seen", "zoho.invoices_listed", "command.outcome"]
    assert (data(last)[1].page, data(last)[1].complete) == (2, True)


def test_a_walk_that_was_cut_is_not_complete():
    call = Call("GET", "/invoices", {"page": "200"})
    found = answered(c.ListOpenInvoices(), z.listing("invoices", [z.INVOICE_ROW], more=True), 200, "follow", call)
    assert data(found)[1].complete is False
    assert data(found)[2].reason == "too_many_pages"


def test_an_answer_to_the_other_api_is_parked():
    found = translate(z.answer_meta(c.ReadPayment("PM1"), Call("GET", "/payments/PM1")), b"{}")
    assert [p.where for p in found.parked] == ["call"]
