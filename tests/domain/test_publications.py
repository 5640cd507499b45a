import json

import jsonschema
import pytest

from domain import events, publications
from tests.domain.documents import DOCS, schema_text, schemas

FILES = {
    publications.PAYMENTS: "reconciled-payment-1.json",
    publications.PAYOUTS: "reconciled-payout-1.json",
    publications.DISCREPANCIES: "discrepancy-1.json",
}


def records(company, topic):
    """What the relay appends: each record with the position of its event as its version."""
    return [
        {"version": position, **json.loads(bytes(one.value))}
        for position, (_, decision) in enumerate(company.log)
        for one in decision.publications
        if one.topic == topic
    ]


@pytest.fixture
def story(company):
    """A payment that is collected, paid out, reconciled, and taken back after all."""
    payment = company.confirmed()
    company.now = "2026-03-09T09:30:00.000Z"
    items = [
        events.PayoutItem("payment_paid_out", 120_000, payment),
        events.PayoutItem("gocardless_fee", -1_440, payment),
    ]
    company.payout("PO1", items, 11_856)
    company.answer_all()
    company.pay(payment, "charged_back", "2026-03-11T09:30:00.000Z", cause="refund_requested")
    company.answer_all()
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "ignore"))
    return company


def test_the_schemas_say_what_the_records_are():
    found = schemas()
    assert set(found) == set(FILES.values()) == {path.name for path in (DOCS / "schemas").glob("*.json")}
    for name, schema in found.items():
        assert (DOCS / "schemas" / name).read_text(encoding="utf-8") == schema_text(schema), (
            "run `python tests/domain/documents.py`"
        )
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("topic", sorted(FILES))
def test_every_published_record_is_of_its_schema(story, topic):
    check = jsonschema.Draft202012Validator(json.loads((DOCS / "schemas" / FILES[topic]).read_text(encoding="utf-8")))
    published = records(story, topic)
    assert published
    for record in published:
        check.validate(record)
        assert record["schema"].replace("/", "-") + ".json" == FILES[topic]
        assert set(record) == set(check.schema["properties"])


@pytest.mark.parametrize(
    "changes",
    [
        {"version": None},
        {"version": "7"},
        {"amount_minor": 1.5},
        {"status": "lost"},
        {"schema": "reconciled-payment/2"},
        {"payment_id": None},
    ],
)
def test_a_record_that_is_not_of_its_schema_is_told_apart(story, changes):
    schema = json.loads((DOCS / "schemas" / FILES[publications.PAYMENTS]).read_text(encoding="utf-8"))
    record = {**records(story, publications.PAYMENTS)[0], **changes}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in record.items() if value is not None}, schema)


def test_a_payment_is_told_from_collected_to_reversed(story):
    published = records(story, publications.PAYMENTS)
    steps = list(dict.fromkeys(one["status"] for one in published))
    assert steps == ["collected", "reconciled", "reversing", "reversed"]
    last = published[-1]
    assert (last["payment_id"], last["invoice_number"], last["payout_id"], last["reason"]) == (
        "PM-1-1",
        "INV-1",
        "PO1",
        "refund_requested",
    )
    assert (last["amount_minor"], last["currency"], last["date"]) == (12_000, "GBP", "2026-03-11")
    assert [one["version"] for one in published] == sorted({one["version"] for one in published})


def test_a_payout_is_told_once_when_it_is_whole(story):
    (one,) = records(story, publications.PAYOUTS)
    assert one["gross_minor"] == one["net_minor"] + one["fee_minor"]
    assert (one["zoho_transfer_id"], one["zoho_expense_id"], one["items"]) == ("zt-PO1", "ze-PO1", 2)


def test_a_discrepancy_is_told_when_it_opens_and_when_it_closes(story):
    states = [(one["code"], one["status"]) for one in records(story, publications.DISCREPANCIES)]
    assert states == [("debit_reversed", "open"), ("debit_reversed", "closed")]


def test_a_record_names_the_event_that_made_it(story):
    for event, decision in story.log:
        for one in decision.publications:
            assert json.loads(bytes(one.value))["event"] == event.id


def test_a_payment_that_zoho_does_not_have_is_not_told(company):
    payment = company.collect()
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    assert records(company, publications.PAYMENTS) == []
    company.answer_all()
    assert len(records(company, publications.PAYMENTS)) == 1


def test_no_record_holds_a_name_or_an_email(story):
    for topic in FILES:
        for record in records(story, topic):
            assert "example.test" not in json.dumps(record)
            assert "Name c-1" not in json.dumps(record)
