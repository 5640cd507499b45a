"""Whom the rules invite, when one invitation is over, and what a person is told of it."""

from msgspec.structs import replace

from domain import events, lists
from tests.domain.payers import keep_payer
from tests.support.company import POLICY


def sign(company):
    """The payer CU5 has gone through the page of the first invitation, and mandate MD5 came of it."""
    links = {"billing_request": "BRQ-c-1", "customer": "CU5", "mandate_request_mandate": "MD5"}
    company.gc("billing_requests", "fulfilled", links=links)
    company.answer_all()


def test_a_contact_is_invited_once_for_all_its_invoices(company):
    company.open_gate()
    company.customer(linked=False)
    for key in ("1", "2", "3"):
        company.invoice(key)
    company.answer_all()
    company.invoice("4")
    (invite,) = company.asked("gocardless.create_billing_request")
    assert (invite.data.contact, invite.data.currency, invite.data.scheme, invite.data.payer) == (
        "c-1",
        "GBP",
        "bacs",
        "",
    )
    assert len(company.asked("gocardless.create_flow")) == 1
    assert company.state.billing_requests["BRQ-c-1"].authorisation_url == "https://pay.example.test/BRF-c-1"
    assert lists.oldest(company.state, "waiting:c-1:GBP", 9) == ["1", "2", "3", "4"]


def test_each_currency_is_invited_with_its_scheme_and_one_without_is_shown(company):
    accounts = replace(POLICY.accounts, clearing={"GBP": "a", "EUR": "b", "JPY": "c"})
    company.open_gate(replace(POLICY, accounts=accounts))
    company.customer(linked=False)
    for key, currency in (("1", "GBP"), ("2", "EUR"), ("3", "JPY")):
        company.invoice(key, currency=currency)
    assert {one.data.scheme for one in company.asked("gocardless.create_billing_request")} == {"bacs", "sepa_core"}
    assert company.open_codes() == {"needs_mandate"}


def test_a_known_payer_without_a_mandate_is_invited_as_itself(company):
    company.open_gate()
    company.contact()
    company.payer()
    company.invoice("1")
    (invite,) = company.asked("gocardless.create_billing_request")
    assert invite.data.payer == "CU1"


def test_a_policy_may_leave_invitations_to_a_person(company):
    company.open_gate(replace(POLICY, invite="ask"))
    company.customer(linked=False)
    company.invoice("1")
    assert company.open_codes() == {"needs_mandate"}
    assert not company.asked("gocardless.create_billing_request")
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    assert len(company.asked("gocardless.create_billing_request")) == 1
    assert company.open_codes() == set()


def test_an_invitation_that_was_cancelled_is_made_again_only_by_a_person(company):
    company.open_gate()
    company.customer(linked=False)
    company.invoice("1")
    company.answer_all()
    company.gc("billing_requests", "cancelled", links={"billing_request": "BRQ-c-1"})
    assert company.open_codes() == {"needs_mandate"}
    assert len(company.asked("gocardless.create_billing_request")) == 1
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    first, second = company.asked("gocardless.create_billing_request")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.key != second.key
    assert company.open_codes() == set()


def test_an_invitation_whose_mandate_is_lost_is_told_and_a_person_invites_again(company):
    company.open_gate()
    company.contact(email="")
    company.invoice("1")
    (invite,) = company.asked("gocardless.create_billing_request")
    company.world["gocardless.read_mandate:MD5"] = [events.MandateRead("MD5", "active", "bacs", "CU5", company.now)]
    keep_payer(company, "CU5")
    company.answer_all()
    sign(company)
    assert company.open_codes() == set()
    company.gc("mandates", "cancelled", links={"mandate": "MD5"})
    company.invoice("2")
    company.answer_all()
    assert company.open_codes() == {"needs_mandate"}
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    again = company.asked("gocardless.create_billing_request")[-1]
    assert (again.attempt, again.key != invite.key, again.data.payer) == (2, True, "CU5")
    assert company.open_codes() == set()


def test_an_invitation_whose_mandate_was_replaced_twice_is_over_when_the_last_one_is_lost(company):
    """A payer who changed banks: what took the mandate's place is as good as it, and no longer than it lives."""
    company.open_gate()
    company.contact(email="")
    company.invoice("1")
    keep_payer(company, "CU5")
    company.world["gocardless.read_mandate:MD5"] = [events.MandateRead("MD5", "active", "bacs", "CU5", company.now)]
    company.answer_all()
    sign(company)
    for before, after in (("MD5", "MD6"), ("MD6", "MD7")):
        read = events.MandateRead(after, "active", "bacs", "CU5", company.now)
        company.world[f"gocardless.read_mandate:{after}"] = [read]
        company.gc("mandates", "replaced", links={"mandate": before, "new_mandate": after})
        company.answer_all()
    assert company.open_codes() == set()
    company.gc("mandates", "cancelled", links={"mandate": "MD7"})
    company.invoice("2")
    company.answer_all()
    assert company.open_codes() == {"needs_mandate"}
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    assert len(company.asked("gocardless.create_billing_request")) == 2


def test_an_invitation_that_ended_in_another_currency_is_told_and_a_person_invites_again(company):
    """On the page of a flow that allows it, a payer chooses the currency."""
    company.open_gate()
    company.contact(email="")
    company.invoice("1")
    keep_payer(company, "CU5")
    company.world["gocardless.read_mandate:MD5"] = [
        events.MandateRead("MD5", "active", "sepa_core", "CU5", company.now)
    ]
    company.answer_all()
    sign(company)
    assert company.state.mandates["MD5"].currency == "EUR"
    assert company.open_codes() == {"needs_mandate"}
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    assert [one.data.currency for one in company.asked("gocardless.create_billing_request")] == ["GBP", "GBP"]
    assert company.open_codes() == set()


def test_a_second_currency_waits_for_the_first_invitation_and_is_asked_of_the_payer_that_it_gave(company):
    company.open_gate()
    company.contact(email="")
    company.invoice("1")
    keep_payer(company, "CU5")
    company.world["gocardless.read_mandate:MD5"] = [events.MandateRead("MD5", "active", "bacs", "CU5", company.now)]
    company.answer_all()
    company.invoice("2", currency="EUR")
    assert not company.pending
    assert company.open_codes() == set()
    sign(company)
    asked = company.asked("gocardless.create_billing_request")
    assert [(one.data.currency, one.data.payer) for one in asked] == [("GBP", ""), ("EUR", "CU5")]
    assert company.open_codes() == set()


def test_of_two_invitations_the_one_that_is_over_is_told_and_made_again_alone(company):
    company.open_gate()
    company.invoice("1")
    company.invoice("2", currency="EUR")
    company.contact(email="")
    for resource in ("BRQ1", "BRQ2"):
        company.outcome(company.take("gocardless.create_billing_request"), resource=resource)
    assert company.open_codes() == set()
    company.gc("billing_requests", "cancelled", links={"billing_request": "BRQ1"}, metadata={"zoho_contact_id": "c-1"})
    assert company.open_codes() == {"needs_mandate"}
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    currencies = [one.data.currency for one in company.asked("gocardless.create_billing_request")]
    assert len(currencies) == 3
    assert currencies[2] == currencies[0] != currencies[1]


def test_a_refused_invitation_is_shown_and_closed_when_it_succeeds_after_all(company):
    company.open_gate()
    company.customer(linked=False)
    company.invoice("1")
    invite = company.take("gocardless.create_billing_request")
    company.outcome(invite, "parked", reason="unreachable")
    assert company.open_codes() == {"posting_refused"}
    company.tell("operator.replay_requested", events.ReplayRequested("finance", invite.id))
    company.answer(invite)
    assert company.open_codes() == set()


def test_a_billing_request_is_read_when_an_event_does_not_name_its_contact(company):
    company.open_gate()
    company.contact(email="")
    metadata = {"zoho_contact_id": "c-1"}
    read = events.BillingRequestRead("BRQ5", "fulfilled", company.now, "CU5", "MD5", metadata=metadata)
    company.world["gocardless.read_billing_request:BRQ5"] = [read]
    company.world["gocardless.read_mandate:MD5"] = [events.MandateRead("MD5", "active", "bacs", "CU5", company.now)]
    keep_payer(company, "CU5")
    company.gc("billing_requests", "fulfilled", links={"billing_request": "BRQ5"})
    company.answer_all()
    assert company.state.billing_requests["BRQ5"].contact == "c-1"
    assert company.state.mandates["MD5"].status == "active"
