"""Deciding: each act is an event with who did it; one that would change nothing is refused."""

import msgspec
import pytest

from tests.support.company import POLICY, events_of

NOT_RUNNING = "no program runs here; it takes effect when one does"


def last(installation):
    return installation.json("events", "--limit", "1")["records"][0]["value"]


@pytest.fixture
def failed(installation, company):
    payment = company.collect()
    company.pay(payment, "failed", cause="insufficient_funds", will_attempt_retry=False)
    installation.feed(events_of(company))


def stage(installation):
    installation.feed()
    return installation.json("why", "invoice", "INV-1", "--brief")["why"]["state"]


def test_an_invoice_is_retried(installation, failed):
    data = installation.json("decide", "invoice", "INV-1", "--retry", "--by", "finance", "--note", "spoke with them")
    assert (data["about"], data["taken"], data["position"]["topic"]) == ("invoices:1", None, "events")
    event = last(installation)
    assert event["id"] == data["event"]
    assert (event["type"], event["source"], event["data"]) == (
        "operator.invoice_released",
        "operator",
        {"by": "finance", "invoice": "1", "action": "retry", "note": "spoke with them"},
    )
    assert "The debit is decided for" in stage(installation)


def test_an_invoice_is_left_alone_and_not_twice(installation, failed):
    assert NOT_RUNNING in installation.cli("decide", "invoice", "1", "--ignore").stdout
    assert "Left alone" in stage(installation)


def test_what_would_change_nothing_is_refused_and_not_recorded(installation, company):
    company.confirmed()
    installation.feed(events_of(company))
    before = len(installation.event_types())
    error = installation.json("decide", "invoice", "INV-1", "--retry", code=1)
    assert (error["code"], error["what"]) == ("refused", "nothing would change")
    assert "it is collected" in error["remedy"]
    assert len(installation.event_types()) == before


def test_unknown_things_are_not_found(installation, failed):
    assert installation.json("decide", "invoice", "INV-9", "--retry", code=5)["code"] == "not_found"
    assert installation.json("decide", "match", "c-9", "--invite", code=5)["code"] == "not_found"
    assert installation.json("decide", "discrepancy", "x:y", code=5)["code"] == "not_found"
    assert installation.json("decide", "invoice", "INV-1", code=2)["code"] == "usage"
    assert installation.json("decide", "match", "c-1", code=2)["code"] == "usage"
    assert installation.json("decide", "match", "c-1", "--payer", "CU1", "--invite", code=2)["code"] == "usage"
    assert installation.json("decide", "gate", code=2)["code"] == "usage"
    assert installation.json("decide", "time", "--until", "soon", code=2)["code"] == "usage"


def test_a_contact_is_matched_or_invited(installation, company):
    company.open_gate(msgspec.structs.replace(POLICY, invite="ask"))
    company.customer(linked=False)
    company.payer("CU7", "other@example.test")
    company.mandate("MD7", "CU7")
    company.customer(2, linked=False)
    company.invoice("1")
    company.invoice("2", "c-2")
    installation.feed(events_of(company))
    installation.json("decide", "match", "c-1", "--payer", "CU7", "--by", "finance")
    installation.json("decide", "match", "c-2", "--invite", "--by", "finance")
    installation.feed()
    assert (
        "linked to a payer at GoCardless by operator (CU7)"
        in installation.json("why", "contact", "c-1", "--brief")["why"]["state"]
    )
    assert "is invited to give a mandate" in installation.json("why", "contact", "c-2", "--brief")["why"]["state"]
    assert "matched so already" in installation.json("decide", "match", "c-1", "--payer", "CU7", code=1)["remedy"]


def test_a_discrepancy_is_closed_once(installation, failed):
    installation.json("decide", "discrepancy", "debit_failed:invoices:1", "--note", "paid in cash", "--by", "finance")
    assert last(installation)["data"] == {
        "by": "finance",
        "discrepancy": "debit_failed:invoices:1",
        "note": "paid in cash",
    }
    installation.feed()
    assert installation.json("status")["connections"][0]["discrepancies"] == []
    assert (
        installation.json("decide", "discrepancy", "debit_failed:invoices:1", code=1)["remedy"]
        == "it is closed already"
    )


def test_the_gate_is_closed(installation, failed):
    installation.json("decide", "gate", "--close", "--by", "finance")
    installation.feed()
    assert installation.json("status", code=1)["connections"][0]["gate"] == "closed"


def test_the_clock_is_vouched_for(installation, failed):
    installation.json("decide", "time", "--until", "2026-05-01T00:00:00+02:00", "--by", "finance")
    assert last(installation)["data"] == {"by": "finance", "until": "2026-04-30T22:00:00.000Z"}


def test_with_several_connections_one_must_be_named(installation):
    installation.feed()
    installation.config.write_text(
        installation.config.read_text()
        + '\n[connections.c2]\nenvironment = "sandbox"\nzoho = { organization_id = "2" }\n'
    )
    error = installation.json("decide", "gate", "--close", code=3)
    assert "say which with --connection" in error["remedy"]
    installation.json("decide", "gate", "--close", "--connection", "c2")


# --- ceilings ---


@pytest.fixture
def beyond_the_day(installation, company):
    """A day on which the ceiling lets two of three debits pass."""
    company.open_gate(msgspec.structs.replace(POLICY, max_day_count={"GBP": 2}))
    company.customer()
    for key in ("1", "2", "3"):
        company.invoice(key)
    company.reach("2026-03-03T12:00:00.000Z")
    installation.feed(events_of(company))


def test_what_a_days_ceiling_holds_is_told_with_the_command_that_lets_it_pass_and_goes_after_it(
    installation, beyond_the_day
):
    (standing,) = installation.json("status", code=1)["connections"]
    assert standing["invoices"] == {"collecting": 2, "hold": 1}
    (told,) = standing["discrepancies"]
    assert told["text"] == "Debits in GBP on 2026-03-03 reached the day's ceiling (2 debits); further ones are held."
    held = installation.json("why", "invoice", "INV-3", "--brief")["why"]
    assert held["todo"] == [told["remedy"]]
    words = told["remedy"].split("`")[1].split()
    data = installation.json(*words[1:], "--by", "finance")
    assert data["about"] == "debit_days:2026-03-03:GBP"
    assert last(installation)["data"] == {"by": "finance", "day": "2026-03-03", "currency": "GBP"}
    installation.feed()
    assert installation.json("status", code=0)["connections"][0]["discrepancies"] == []


def test_a_day_is_let_pass_once_and_only_if_something_was_debited_on_it(installation, beyond_the_day):
    assert installation.json("decide", "day", "2026-03-04", "--currency", "GBP", code=5)["code"] == "not_found"
    assert installation.json("decide", "day", "2026-03-03", "--currency", "EUR", code=5)["code"] == "not_found"
    assert installation.json("decide", "day", "3 March", "--currency", "GBP", code=2)["code"] == "usage"
    installation.json("decide", "day", "2026-03-03", "--currency", "GBP")
    installation.feed()
    error = installation.json("decide", "day", "2026-03-03", "--currency", "GBP", code=1)
    assert (error["code"], error["remedy"]) == ("refused", "the day was accepted already")
