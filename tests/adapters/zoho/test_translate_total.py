"""No bytes make it raise, and whatever it makes of them the log takes."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.deliveries import Translation
from adapters.http import Call
from adapters.zoho import pages, perform
from adapters.zoho.translate import translate
from domain import commands as c
from domain.codec import decode_event, encode_event
from tests.support import zoho_records as z

SHARED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        [
            "",
            "1",
            "-1",
            "19.90",
            "1e9",
            "NaN",
            "GBP",
            "2026-03-02",
            "2026-03-02T09:00:00+0000",
            "9999-12-31T23:59:59-2359",
            "\x00",
            "\ud800",
            "é" * 300,
        ]
    ),
    st.text(max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def metas():
    walk = perform.send_call(z.command(c.ListOpenInvoices()))
    found = [
        z.webhook_meta(),
        z.webhook_meta(content_type="application/x-www-form-urlencoded"),
        z.webhook_meta(module="customerpayment"),
        z.webhook_meta(module="invoice/deleted"),
        *(z.page_meta(kind) for kind in pages.KINDS),
        z.page_meta("zoho.invoices", fresh=[0, 7, -1]),
        z.answer_meta(c.ListOpenInvoices(), walk),
        z.answer_meta(c.ListOpenInvoices(), Call("GET", "/invoices", {"page": "x"}), step="follow"),
        z.answer_meta(c.ReadPayment("PM1"), walk),
    ]
    for data in (
        z.CREATE_PAYMENT,
        z.CREATE_EXPENSE,
        z.CREATE_TRANSFER,
        z.REFUND_PAYMENT,
        z.UNAPPLY,
        c.ReadInvoice("1"),
        c.ReadContact("1"),
    ):
        command = z.command(data)
        found += [z.answer_meta(data, perform.send_call(command), status) for status in (200, 404)]
        search = perform.look_up_call(command)
        if search is not None:
            found.append(z.answer_meta(data, search, step="look_up"))
            found.append(z.answer_meta(data, Call("GET", "/customerpayments/9"), step="follow"))
    return found


def check(body):
    for meta in metas():
        found = translate(meta, body, z.ORG)
        assert isinstance(found, Translation)
        for event in found.events:
            assert decode_event(encode_event(event)) == event
        for piece in found.parked:
            assert piece.where
            assert piece.reason
        assert found == translate(meta, body, z.ORG)


@SHARED
@given(
    body=st.one_of(
        st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
)
def test_any_bytes(body):
    check(body)


@SHARED
@given(data=st.data())
def test_real_shapes_with_wrong_values(data):
    """Take a real record, put anything into some of its fields, and wrap it in every way."""
    name, record = data.draw(
        st.sampled_from(
            [
                ("invoice", z.INVOICE),
                ("contact", z.CONTACT),
                ("payment", z.PAYMENT),
                ("expense", z.EXPENSE),
                ("banktransaction", z.TRANSFER),
                ("payment_refunds", z.REFUND),
            ]
        )
    )
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(record)), VALUES, max_size=3))
    record = {**record, **changes}
    list_name = {"payment": "customerpayments", "payment_refunds": "payment_refunds"}.get(name, f"{name}s")
    envelope = data.draw(
        st.fixed_dictionaries(
            {}, optional={"code": VALUES, "message": VALUES, "organization_id": VALUES, "page_context": VALUES}
        )
    )
    body = json.dumps(
        {"code": 0, "message": "success", name: record, list_name: [record, data.draw(VALUES)], **envelope}
    ).encode()
    check(body)


@SHARED
@given(at=st.integers(0, 400), with_what=st.binary(max_size=3))
def test_damaged_bytes(at, with_what):
    body = z.listing("invoices", [z.INVOICE_ROW])
    check(body[:at] + with_what + body[at + 1 :])


@pytest.mark.parametrize("length", [0, 1, 17, 200, 1000])
def test_a_cut_body(length):
    check(z.body(invoice=z.INVOICE)[:length])


@pytest.mark.parametrize("depth", [500, 20_000])
def test_deep_nesting(depth):
    deep = b"[" * depth + b"]" * depth
    check(deep)
    check(b'{"code":0,"invoice":{"invoice_id":"1","line_items":' + deep + b"}}")


def test_long_texts_and_many_lines_still_fit_the_log():
    lines = [{"name": "é" * 900, "description": "\U0001f600" * 900, "quantity": 1, "item_total": 1}] * 300
    record = z.edited(
        z.INVOICE, line_items=lines, invoice_number="n" * 100_000, email="e" * 100_000, status="s" * 100_000
    )
    found = translate(z.webhook_meta(), json.dumps({"invoice": record}).encode())
    assert len(encode_event(found.events[0])) < 1_000_000
    assert found.events[0].data.email == ""
