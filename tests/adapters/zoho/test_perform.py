import json
from decimal import Decimal

import pytest

from adapters.http import Answer, Call
from adapters.verdicts import Done, Follow, Retry, Unknown
from adapters.zoho import codes, perform
from domain import commands as c
from tests.support import zoho_records as z


def answer(status, body, **headers):
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def said(data, status, body, step="send", call=None, **headers):
    command = z.command(data)
    return perform.verdict(command, step, call or perform.send_call(command), answer(status, body, **headers))


def looked_up(data, body, status=200, call=None):
    command = z.command(data)
    return perform.verdict(command, "look_up", call or perform.look_up_call(command), answer(status, body))


# --- the table of statuses and codes ---

MINUTE = Retry("minute_limit", 60.0, "api")
TOKEN = Retry("token", 60.0, "api")

TABLE = [  # status, code, for a write, for a read
    (429, 44, MINUTE, MINUTE),
    (400, 44, MINUTE, MINUTE),
    (429, 45, Retry("day_limit", 3600.0, "api"), Retry("day_limit", 3600.0, "api")),
    (429, 1070, Retry("concurrency_limit", 5.0, "command"), Retry("concurrency_limit", 5.0, "command")),
    (429, 43, MINUTE, MINUTE),
    (401, 57, TOKEN, TOKEN),
    (401, 14, TOKEN, TOKEN),
    (400, 57, TOKEN, TOKEN),
    (401, 9999, TOKEN, TOKEN),
    (400, 6041, Retry("organisation", 600.0, "api"), Retry("organisation", 600.0, "api")),
    (500, 1000, Unknown("server_error"), Retry("server_error")),
    (400, 1000, Unknown("server_error"), Retry("server_error")),
    (503, 0, Unknown("server_error"), Retry("server_error")),
    (404, 1002, Done("refused", reason="1002", message="no"), Done("refused", reason="1002", message="no")),
    (404, 5, Done("refused", reason="5", message="no"), Done("refused", reason="5", message="no")),
    (405, 37, Done("refused", reason="37", message="no"), Done("refused", reason="37", message="no")),
    *(
        (400, code, Done("refused", reason=str(code), message="no"), Done("refused", reason=str(code), message="no"))
        for code in (2, 4, 6, 9, 15, 43, 1001, 3062, 24016, 108004, 107051, 120155)
    ),
    (200, 24016, Done("refused", reason="24016", message="no"), Done("refused", reason="24016", message="no")),
    (200, -1, Done("refused", reason="-1", message="no"), Done("refused", reason="-1", message="no")),
    (400, 0, Unknown("contradiction"), Retry("contradiction")),
    (302, 0, Unknown("not_an_api_answer"), Retry("not_an_api_answer")),
    (408, 2, Unknown("not_an_api_answer"), Retry("not_an_api_answer")),
]


@pytest.mark.parametrize(("status", "code", "write", "read"), TABLE)
def test_every_row_of_the_code_table(status, code, write, read):
    assert said(z.CREATE_PAYMENT, status, z.refusal(code)) == write
    assert said(c.ReadInvoice("910000000042001"), status, z.refusal(code)) == read


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b"",
        b"[]",
        b"{",
        b'{"a":',
        b'{"message":"x"}',
        b'{"code":"x"}',
        b'{"code":{}}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [200, 201, 400, 403, 404])
def test_what_is_not_the_apis_answer_leaves_a_write_unknown_and_a_read_open(status, body):
    assert said(z.CREATE_TRANSFER, status, body) == Unknown("not_an_api_answer")
    assert said(c.ListOpenInvoices(), status, body) == Retry("not_an_api_answer")


def test_a_code_may_be_text():
    assert said(z.UNAPPLY, 400, b'{"code":"24016","message":"no"}').reason == "24016"


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"x_rate_limit_reset": "38612"}, 38612.0),
        ({"x_rate_limit_reset": "0"}, 1.0),
        ({"x_rate_limit_reset": "junk"}, 3600.0),
        ({}, 3600.0),
        ({"x_rate_limit_reset": "999999999"}, 90000.0),
    ],
)
def test_the_days_limit_waits_for_its_reset(headers, after_s):
    assert said(z.UNAPPLY, 429, z.refusal(45), **headers) == Retry("day_limit", after_s, "api")


@pytest.mark.parametrize(
    ("retry_after", "after_s"), [("90", 90.0), ("3", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0)]
)
def test_the_minutes_limit_waits_a_minute_at_least(retry_after, after_s):
    assert said(z.UNAPPLY, 429, b"<html>", retry_after=retry_after) == Retry("minute_limit", after_s, "api")


def test_a_refusals_message_names_nobody():
    text = 'The customer "Rosehip & Co" (accounts@rosehip.example) already exists.' + " x" * 300
    found = said(z.CREATE_PAYMENT, 400, json.dumps({"code": 3062, "message": text}).encode())
    assert "Rosehip" not in found.message
    assert "@" not in found.message
    assert len(found.message) <= 200
    assert codes.impersonal("It's fine") == "It's fine"


# --- calls ---


def exact(call):
    return json.loads(call.body, parse_float=Decimal)


def test_a_payment_is_upserted_on_the_unique_field():
    call = perform.send_call(z.command(z.CREATE_PAYMENT))
    assert (call.method, call.path, call.query) == ("PUT", "/customerpayments", {})
    assert call.headers == {
        "Content-Type": "application/json",
        "X-Unique-Identifier-Key": "cf_gocardless_key",
        "X-Unique-Identifier-Value": "live:PM01:1",
        "X-Upsert": "true",
    }
    assert exact(call) == {
        "customer_id": "910000000031007",
        "payment_mode": "banktransfer",
        "amount": Decimal("19.90"),
        "date": "2026-03-01",
        "reference_number": "PM01",
        "description": "Direct debit [live:PM01:1]",
        "account_id": "910000000070001",
        "invoices": [{"invoice_id": "910000000042001", "amount_applied": Decimal("19.90")}],
        "custom_fields": [{"api_name": "cf_gocardless_key", "value": "live:PM01:1"}],
    }
    assert b'"amount":19.90,' in call.body  # a number of these digits, neither a float's nor a text


def test_nobody_gets_an_email_and_a_foreign_payment_names_its_rate():
    call = perform.send_call(
        z.command(
            c.CreateCustomerPayment(
                "1", 500, "JPY", "2026-03-01", "2", "PM", "cf_k", "live:PM:1", exchange_rate="0.0053"
            )
        )
    )
    assert "contact_persons" not in exact(call)
    assert b'"amount":500,' in call.body
    assert b'"exchange_rate":0.0053' in call.body
    assert exact(call)["invoices"] == []


def test_an_expense_is_inclusive_of_tax_line_by_line():
    call = perform.send_call(z.command(z.CREATE_EXPENSE))
    assert (call.method, call.path, call.headers["X-Upsert"]) == ("PUT", "/expenses", "true")
    sent = exact(call)
    assert sent["is_inclusive_tax"] is True
    assert sent["amount"] == Decimal("3.60")
    assert sent["paid_through_account_id"] == "910000000070001"
    assert sent["vendor_id"] == "910000000031999"
    assert sent["description"] == "GoCardless fees [live:PO01]"
    assert sent["line_items"] == [
        {"account_id": "910000000071000", "description": "Fees", "amount": Decimal("3.60"), "tax_id": "910000000080001"}
    ]


def test_the_other_writes():
    unapply = perform.send_call(z.command(z.UNAPPLY))
    assert (unapply.method, unapply.path, unapply.body) == (
        "PUT",
        "/customerpayments/910000000055003",
        b'{"invoices":[]}',
    )
    refund = perform.send_call(z.command(z.REFUND_PAYMENT))
    assert (refund.method, refund.path) == ("POST", "/customerpayments/910000000055003/refunds")
    assert exact(refund)["amount"] == Decimal("19.90")
    assert exact(refund)["from_account_id"] == "910000000070001"
    assert exact(refund)["reference_number"] == "EV0099"
    transfer = perform.send_call(z.command(z.CREATE_TRANSFER))
    assert (transfer.method, transfer.path) == ("POST", "/banktransactions")
    assert exact(transfer) == {
        "transaction_type": "transfer_fund",
        "from_account_id": "910000000070001",
        "to_account_id": "910000000072000",
        "amount": Decimal("96.40"),
        "date": "2026-03-03",
        "reference_number": "ROSEHIP-JX3",
        "description": "Payout [live:PO01:1]",
    }


def test_a_key_survives_a_long_description():
    long = c.CreateExpense("1", "2", 1, "GBP", "2026-03-03", "PO", "cf_k", "live:PO77", lines=[], description="d" * 300)
    text = exact(perform.send_call(z.command(long)))["description"]
    assert len(text) <= 100
    assert text.endswith("[live:PO77]")


def test_ids_cannot_leave_their_place_in_the_path():
    assert perform.send_call(z.command(c.ReadInvoice("1/../x?y"))).path == "/invoices/1%2F..%2Fx%3Fy"


def test_reads_and_searches():
    assert perform.send_call(z.command(c.ReadContact("9"))) == Call("GET", "/contacts/9")
    opened = perform.send_call(z.command(c.ListOpenInvoices()))
    assert opened.query == {
        "page": "1",
        "per_page": "200",
        "sort_column": "created_time",
        "sort_order": "A",
        "filter_by": "Status.Unpaid",
    }
    for data in (c.ReadInvoice("9"), c.ReadContact("9"), c.ListOpenInvoices()):
        assert perform.look_up_call(z.command(data)) is None
    assert perform.look_up_call(z.command(z.CREATE_PAYMENT)).query == {
        "reference_number": "PM01",
        "customer_id": "910000000031007",
        "page": "1",
        "per_page": "200",
    }
    assert perform.look_up_call(z.command(z.CREATE_TRANSFER)).query["account_id"] == "910000000070001"
    assert perform.look_up_call(z.command(z.REFUND_PAYMENT)).path == "/customerpayments/910000000055003/refunds"
    assert perform.look_up_call(z.command(z.UNAPPLY)) == Call("GET", "/customerpayments/910000000055003")


def test_a_command_of_the_other_api_is_a_mistake():
    with pytest.raises(ValueError, match=r"gocardless\.read_payment is not a command for Zoho Books"):
        perform.send_call(z.command(c.ReadPayment("PM1")))


# --- answers to writes ---

CREATED = [
    ("CREATE_PAYMENT", "payment", "PAYMENT", "910000000055003"),
    ("CREATE_EXPENSE", "expense", "EXPENSE", "910000000061001"),
    ("REFUND_PAYMENT", "payment_refunds", "REFUND", "910000000066001"),
    ("CREATE_TRANSFER", "banktransaction", "TRANSFER", "910000000065001"),
]


@pytest.mark.parametrize(("data", "member", "record", "resource_id"), CREATED)
def test_made(data, member, record, resource_id):
    found = said(getattr(z, data), 201, z.body(**{member: getattr(z, record)}))
    assert found == Done("succeeded", resource_id)


@pytest.mark.parametrize(("data", "member", "record", "resource_id"), CREATED)
@pytest.mark.parametrize(
    "change", [{"amount": 1.23, "total": 1.23}, {"amount": "x", "total": "x"}, {"amount": "", "total": ""}]
)
def test_another_amount_in_the_answer_is_a_hard_stop(data, member, record, resource_id, change):
    found = said(getattr(z, data), 201, z.body(**{member: z.edited(getattr(z, record), **change)}))
    assert (found.kind, found.reason, found.resource_id) == ("refused", "amount_mismatch", resource_id)


@pytest.mark.parametrize(("data", "member", "record"), [row[:3] for row in CREATED if row[2] != "REFUND"])
def test_another_currency_in_the_answer_is_a_hard_stop(data, member, record):
    found = said(getattr(z, data), 201, z.body(**{member: z.edited(getattr(z, record), currency_code="INR")}))
    assert (found.kind, found.reason) == ("refused", "amount_mismatch")


@pytest.mark.parametrize(("data", "member", "record", "resource_id"), CREATED)
def test_success_without_the_resource_is_unknown(data, member, record, resource_id):
    for body in (
        z.body(),
        z.body(**{member: []}),
        z.body(**{member: ""}),
        z.body(**{member: {}}),
        z.body(**{member: [1, 2]}),
    ):
        assert isinstance(said(getattr(z, data), 201, body), Unknown)


def test_an_upsert_that_updated_says_so():
    """Zoho promises no status: a record whose two times differ was there before; one whose times are one was made just
    now, or not changed.
    """
    later = "2026-03-02T08:00:00+0000"
    assert said(z.CREATE_PAYMENT, 200, z.body(payment=z.edited(z.PAYMENT, updated_time=later))) == Done(
        "succeeded", "910000000055003", reason="updated", found=True
    )
    assert said(z.CREATE_PAYMENT, 200, z.body(payment=z.PAYMENT)) == Done("succeeded", "910000000055003")
    assert said(z.CREATE_PAYMENT, 201, z.body(payment=z.edited(z.PAYMENT, updated_time=later))).found is False
    assert (
        said(z.CREATE_EXPENSE, 200, z.body(expense=z.EXPENSE)).reason == "updated"
    )  # it shows no times: the status counts
    assert (
        said(
            z.CREATE_EXPENSE, 200, z.body(expense=z.edited(z.EXPENSE, created_time=later, last_modified_time=later))
        ).found
        is False
    )


def test_an_upsert_that_answered_with_another_key_is_stopped():
    other = z.edited(z.PAYMENT, custom_fields=[{"api_name": "cf_gocardless_key", "value": "live:PM99:1"}])
    assert said(z.CREATE_PAYMENT, 200, z.body(payment=other)).reason == "key_mismatch"


def test_another_tax_is_told_and_no_stop():
    found = said(z.CREATE_EXPENSE, 201, z.body(expense=z.edited(z.EXPENSE, tax_amount=0.59)))
    assert (found.kind, found.reason) == ("succeeded", "tax_mismatch")


def test_a_refund_may_come_as_a_list_of_one():
    assert said(z.REFUND_PAYMENT, 201, z.body(payment_refunds=[z.REFUND])).resource_id == "910000000066001"


def test_unapplied_means_off_its_invoices():
    unused = z.edited(z.PAYMENT, invoices=[], unused_amount=19.9)
    assert said(z.UNAPPLY, 200, z.body(payment=unused)) == Done("succeeded", "910000000055003")
    # Already refunded, by a log that was lost: the refund is looked up next, and Zoho gives back no more than what is
    # unused.
    assert said(z.UNAPPLY, 200, z.body(payment=z.edited(unused, unused_amount=0))) == Done(
        "succeeded", "910000000055003"
    )
    assert said(z.UNAPPLY, 200, z.body(payment=z.PAYMENT)).reason == "not_unused"
    assert said(z.UNAPPLY, 200, z.body(payment=z.edited(unused, amount=20))).reason == "amount_mismatch"


# --- look-ups ---


def test_a_payment_found_by_its_key_is_read_in_full():
    rows = [z.edited(z.PAYMENT_ROW, payment_id="1", description="other [live:PM01:12]"), z.PAYMENT_ROW]
    found = looked_up(z.CREATE_PAYMENT, z.listing("customerpayments", rows))
    assert found == Follow(Call("GET", "/customerpayments/910000000055003"), found=True)
    done = perform.verdict(z.command(z.CREATE_PAYMENT), "follow", found.call, answer(200, z.body(payment=z.PAYMENT)))
    assert done == Done("succeeded", "910000000055003", found=True)


def test_the_read_behind_a_find_is_checked_too():
    call = Call("GET", "/customerpayments/910000000055003")
    command = z.command(z.CREATE_PAYMENT)
    other = z.edited(z.PAYMENT, custom_fields=[{"api_name": "cf_gocardless_key", "value": "live:PM01:2"}])
    assert perform.verdict(command, "follow", call, answer(200, z.body(payment=other))) == Retry("absent")
    less = z.edited(z.PAYMENT, amount=1)
    assert perform.verdict(command, "follow", call, answer(200, z.body(payment=less))).reason == "amount_mismatch"
    assert perform.verdict(command, "follow", call, answer(404, z.refusal(1002))).reason == "1002"


@pytest.mark.parametrize("member", ["customerpayments", "customer_payments"])
def test_the_same_reference_is_not_the_same_booking(member):
    again = z.edited(z.PAYMENT_ROW, description="Direct debit [live:PM01:2]")
    plain = z.edited(z.PAYMENT_ROW, description="")
    assert looked_up(z.CREATE_PAYMENT, z.listing(member, [again, plain])) == Retry("absent")


def test_an_ignored_filter_shows_other_peoples_rows_and_the_next_page():
    rows = [z.edited(z.PAYMENT_ROW, reference_number="PM77", customer_id="5", description="")]
    found = looked_up(z.CREATE_PAYMENT, z.listing("customerpayments", rows, more=True))
    assert isinstance(found, Follow)
    assert found.call.query["page"] == "2"
    assert found.call.query["reference_number"] == "PM01"
    last = perform.verdict(
        z.command(z.CREATE_PAYMENT), "follow", found.call, answer(200, z.listing("customerpayments", rows))
    )
    assert last == Retry("absent")


def test_a_full_page_without_a_context_is_not_the_last():
    body = z.body(banktransactions=[{"transaction_id": "1", "description": ""}] * 200)
    assert isinstance(looked_up(z.CREATE_TRANSFER, body), Follow)


def test_an_endless_search_is_absent_only_where_the_write_would_find_it():
    def at_the_limit(data, member, row):
        call = perform.look_up_call(z.command(data))
        call = Call(call.method, call.path, {**call.query, "page": str(perform.LOOK_UP_PAGES)})
        return looked_up(data, z.listing(member, [row], more=True), call=call)

    assert at_the_limit(z.CREATE_PAYMENT, "customerpayments", {}) == Retry("absent")
    assert at_the_limit(z.CREATE_EXPENSE, "expenses", {}) == Retry("absent")
    assert at_the_limit(z.CREATE_TRANSFER, "banktransactions", {}) == Unknown("look_up_unfinished")
    assert at_the_limit(z.REFUND_PAYMENT, "payment_refunds", {}) == Unknown("look_up_unfinished")


def test_a_row_that_cannot_be_read_could_be_ours():
    assert looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", [7])) == Unknown("look_up_unreadable")
    assert looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", [7, z.TRANSFER])).resource_id == "910000000065001"
    assert looked_up(z.CREATE_EXPENSE, z.listing("expenses", [7])) == Retry("absent")


def test_a_transfer_is_ours_by_marker_type_and_amount():
    found = looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", [z.TRANSFER]))
    assert found == Done("succeeded", "910000000065001", found=True)
    for change in ({"description": "Payout [live:PO01:11]"}, {"transaction_type": "deposit"}, {"description": ""}):
        assert looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", [z.edited(z.TRANSFER, **change)])) == Retry(
            "absent"
        )
    assert (
        looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", [z.edited(z.TRANSFER, amount=1)])).reason
        == "amount_mismatch"
    )


def test_two_transfers_of_one_marker_are_told():
    rows = [z.TRANSFER, z.edited(z.TRANSFER, transaction_id="910000000065002")]
    assert looked_up(z.CREATE_TRANSFER, z.listing("banktransactions", rows)) == Done(
        "succeeded", "910000000065001", reason="duplicate", found=True
    )


def test_a_refund_is_found_by_its_reference():
    row = {"payment_refund_id": "910000000066001", "reference_number": "EV0099", "amount_fcy": 19.9, "amount_bcy": 25}
    assert looked_up(z.REFUND_PAYMENT, z.listing("payment_refunds", [row])) == Done(
        "succeeded", "910000000066001", found=True
    )
    assert looked_up(
        z.REFUND_PAYMENT, z.listing("payment_refunds", [z.edited(row, reference_number="EV0098")])
    ) == Retry("absent")
    assert (
        looked_up(z.REFUND_PAYMENT, z.listing("payment_refunds", [z.edited(row, amount_fcy=5)])).reason
        == "amount_mismatch"
    )
    assert looked_up(z.REFUND_PAYMENT, z.listing("payment_refunds", [])) == Retry("absent")


def test_an_expense_is_found_by_its_key():
    assert looked_up(z.CREATE_EXPENSE, z.listing("expenses", [z.EXPENSE_ROW])) == Done(
        "succeeded", "910000000061001", found=True
    )
    assert looked_up(
        z.CREATE_EXPENSE, z.listing("expenses", [z.edited(z.EXPENSE_ROW, description="by hand")])
    ) == Retry("absent")


def test_an_earlier_unapplying_is_seen_in_the_payment():
    assert looked_up(z.UNAPPLY, z.body(payment=z.PAYMENT)) == Retry("absent")
    unused = z.edited(z.PAYMENT, invoices=[], unused_amount=19.9)
    assert looked_up(z.UNAPPLY, z.body(payment=unused)) == Done("succeeded", "910000000055003", found=True)
    refunded = z.body(payment=z.edited(unused, unused_amount=0))
    assert looked_up(z.UNAPPLY, refunded) == Done("succeeded", "910000000055003", found=True)


def test_a_refused_search_says_nothing_about_the_write():
    assert looked_up(z.CREATE_TRANSFER, z.refusal(2), status=400) == Unknown("look_up_refused: 2")
    assert looked_up(z.CREATE_PAYMENT, z.refusal(1002), status=404) == Unknown("look_up_refused: 1002")
    assert looked_up(z.UNAPPLY, z.refusal(1002), status=404).reason == "1002"  # what it would have changed is gone
    assert looked_up(z.REFUND_PAYMENT, z.refusal(1002), status=404).reason == "1002"
    assert looked_up(z.CREATE_TRANSFER, b"<html>", status=502) == Retry("server_error")
    assert looked_up(z.CREATE_TRANSFER, z.refusal(44), status=429) == MINUTE
    assert isinstance(looked_up(z.CREATE_TRANSFER, z.body()), Unknown)


# --- reads ---


def test_a_read_is_done_when_it_shows_what_was_asked():
    assert said(c.ReadInvoice("910000000042001"), 200, z.body(invoice=z.INVOICE)) == Done(
        "succeeded", "910000000042001"
    )
    assert said(c.ReadContact("910000000031007"), 200, z.body(contact=z.CONTACT)) == Done(
        "succeeded", "910000000031007"
    )
    assert said(c.ReadInvoice("910000000042009"), 200, z.body(invoice=z.INVOICE)) == Retry("another_resource")
    assert said(c.ReadInvoice("910000000042001"), 200, z.body()) == Retry("another_resource")
    assert said(c.ReadInvoice("910000000042001"), 200, z.body(invoice="")) == Retry("unreadable")


def test_open_invoices_are_read_page_by_page():
    first = said(c.ListOpenInvoices(), 200, z.listing("invoices", [z.INVOICE_ROW], more=True))
    assert isinstance(first, Follow)
    assert first.call.query["page"] == "2"
    command = z.command(c.ListOpenInvoices())
    assert perform.verdict(command, "follow", first.call, answer(200, z.listing("invoices", [z.INVOICE_ROW]))) == Done(
        "succeeded"
    )
    assert perform.verdict(command, "follow", first.call, answer(200, z.listing("invoices", [], more=True))) == Done(
        "succeeded"
    )
    beyond = Call("GET", "/invoices", {"page": "200"})
    assert (
        perform.verdict(command, "follow", beyond, answer(200, z.listing("invoices", [1], more=True))).reason
        == "too_many_pages"
    )
