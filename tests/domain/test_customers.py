import pytest
from msgspec.structs import replace

from domain import codec, customers, events, invoices, lists
from tests.domain.payers import EMAIL, keep_payer
from tests.support.company import POLICY, Company


def match(company, contact="c-1"):
    row = company.state.contacts[contact]
    return row.match, row.match_by, row.payer


@pytest.mark.parametrize("order", ["contact first", "payer first"])
def test_a_unique_email_links_whatever_its_case_and_order(company, order):
    company.open_gate()
    if order == "contact first":
        company.contact(email=f" {EMAIL.upper()} ")
        company.payer()
    else:
        company.payer()
        company.contact(email=f" {EMAIL.upper()} ")
    assert match(company) == ("linked", "email", "CU1")
    assert company.state.payers["CU1"].contact == "c-1"


def test_the_link_stored_in_zoho_is_read_and_stands_before_an_email(company):
    company.open_gate()
    company.payer("CU1", EMAIL)
    keep_payer(company, "CU2", "else@example.test")
    company.contact(payer_link="CU2")
    company.answer_all()
    assert match(company) == ("linked", "stored link", "CU2")


def test_the_link_stored_at_gocardless_is_taken(company):
    company.open_gate()
    company.contact(email="")
    company.payer("CU7", "else@example.test", link="c-1")
    assert match(company) == ("linked", "stored link", "CU7")


def test_a_claim_that_was_given_up_links_nothing_later(company):
    company.open_gate()
    company.payer("CU7", "else@example.test", link="c-1")
    company.payer("CU7", "else@example.test", link="c-2")
    company.contact("c-1", email="")
    company.contact("c-2", email="")
    assert match(company, "c-1") == ("none", "", "")
    assert match(company, "c-2") == ("linked", "stored link", "CU7")


def test_two_links_that_differ_wait_for_a_person(company):
    company.open_gate()
    company.payer("CU7", "else@example.test", link="c-1")
    company.contact(payer_link="CU8")
    assert match(company) == ("ambiguous", "", "")
    assert company.open_codes() == {"link_conflict"}
    company.payer("CU8", "eight@example.test")
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", "CU8"))
    assert match(company) == ("linked", "operator", "CU8")
    assert company.open_codes() == set()


def test_an_email_that_two_payers_share_links_nothing(company):
    company.open_gate()
    company.payer("CU1")
    company.payer("CU2")
    company.contact()
    assert match(company) == ("ambiguous", "", "")
    row = company.state.discrepancies["contact_ambiguous:contacts:c-1"]
    assert row.text == (
        "Contacts c-1 and payers CU1, CU2 at GoCardless have the same e-mail: who c-1 is cannot be told, and nothing is collected from it by "
        "that."
    )


def test_an_email_that_two_contacts_share_links_neither(company):
    company.open_gate()
    company.contact("c-1")
    company.contact("c-2", EMAIL)
    company.payer()
    assert match(company, "c-1")[0] == match(company, "c-2")[0] == "ambiguous"


def test_a_payer_that_a_stored_link_gives_to_one_contact_is_free_for_nobody_else(company):
    company.open_gate()
    company.payer(link="c-1")
    company.contact("c-1", EMAIL)
    company.contact("c-2", EMAIL)
    assert match(company, "c-1") == ("linked", "stored link", "CU1")
    assert match(company, "c-2") == ("none", "", "")
    company.contact("c-3", "", payer_link="CU1")
    assert match(company, "c-3")[0] == "ambiguous"
    row = company.state.discrepancies["payer_taken:contacts:c-3"]
    assert row.text == (
        "c-3 belongs to payer CU1 by what is stored, and so does contact c-1, which is linked to it; c-3 was not linked."
    )


def test_a_mandates_reference_links_the_contact_that_carries_it(company):
    company.open_gate()
    company.contact(email="", reference="ACME-17")
    company.mandate("MD1", "CU1", reference="ACME-17")
    assert match(company) == ("linked", "reference", "CU1")


def test_a_policy_may_leave_a_match_by_email_to_a_person(company):
    company.open_gate(replace(POLICY, match_by_email="ask"))
    company.contact()
    company.payer()
    assert match(company)[0] == "proposed"
    assert company.state.discrepancies["match_proposed:contacts:c-1"].remedy == (
        "Approve it: `zoho-gocardless decide match c-1 --payer CU1`."
    )
    company.invoice("1")
    assert not company.asked("gocardless.create_billing_request")
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", "CU1"))
    assert match(company) == ("linked", "operator", "CU1")
    assert "match_proposed" not in company.open_codes()


def test_a_person_may_name_a_payer_that_is_not_known_yet(company):
    company.open_gate()
    company.contact(email="")
    keep_payer(company, "CU9", "nine@example.test")
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", "CU9"))
    company.answer_all()
    company.mandate("MD9", "CU9")
    company.invoice("1")
    assert match(company) == ("linked", "operator", "CU9")
    assert company.state.invoices["1"].stage == "scheduled"
    assert company.state.payers["CU9"].email == "nine@example.test"


def test_a_contact_whose_email_is_edited_is_matched_anew(company):
    company.open_gate()
    company.contact(email="old@example.test")
    company.payer()
    assert match(company)[0] == "none"
    company.contact(email=EMAIL, last_modified="2026-03-05T09:00:00.000Z")
    assert match(company) == ("linked", "email", "CU1")
    assert "contacts:email:old@example.test" not in company.state.lists


def test_a_link_stays_when_the_email_is_edited_afterwards(company):
    company.open_gate()
    company.customer()
    company.payer("CU2", "b@example.test")
    company.contact(email="b@example.test", last_modified="2026-03-05T09:00:00.000Z")
    assert match(company) == ("linked", "email", "CU1")


def test_an_older_contact_changes_nothing_and_a_tie_is_read_again(company):
    company.open_gate()
    company.contact(name="New")
    company.contact(name="Old", last_modified="2026-03-01T09:00:00.000Z")
    assert company.state.contacts["c-1"].name == "New"
    assert not company.pending
    company.contact(name="Other")
    assert company.state.contacts["c-1"].name == "New"
    read = company.take("zoho.read_contact")
    company.contact(name="Other", type_="zoho.contact_read")
    company.outcome(read, resource="c-1")
    assert company.state.contacts["c-1"].name == "Other"
    assert not company.pending


@pytest.mark.parametrize("changes", [{"contact_type": "vendor"}, {"status": "inactive"}])
def test_vendors_and_inactive_contacts_are_left_alone(company, changes):
    company.open_gate()
    company.payer()
    company.contact(**changes)
    row = company.state.contacts.get("c-1")
    assert row is None or row.match == "none"


def test_a_waiting_invoice_of_another_currency_keeps_waiting(company):
    company.open_gate()
    company.customer(linked=False)
    company.invoice("1")
    company.invoice("2", currency="EUR")
    company.payer()
    company.mandate()
    assert company.state.invoices["1"].stage == "scheduled"
    assert company.state.invoices["2"].stage == "waiting"
    assert company.state.contacts["c-1"].waiting_currencies == ("EUR",)
    assert lists.oldest(company.state, "waiting:c-1:EUR", 9) == ["2"]
    company.mandate("MD2", scheme="sepa_core")
    assert company.state.invoices["2"].stage == "scheduled"


# --- unique, judged when both sides are read, and again ---------------------------------------------------------------


def test_nothing_is_linked_by_email_while_no_policy_says_so(company):
    company.check()
    company.read_to_heads()
    company.customer()
    assert match(company) == ("none", "", "")
    assert company.open_codes() == set()
    assert not [one for one in company.log if any(mark.kind == "payers" for mark in one[1].marks)]


@pytest.mark.parametrize("says", ["auto", "ask"])
def test_a_policy_judges_the_contacts_that_were_read_before_it(company, says):
    company.check()
    company.read_to_heads()
    company.customer()
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, match_by_email=says)))
    company.go_on()
    assert match(company) == (("linked", "email", "CU1") if says == "auto" else ("proposed", "", ""))


def test_a_contact_that_was_proposed_is_linked_when_a_later_policy_says_auto(company):
    company.open_gate(replace(POLICY, match_by_email="ask"))
    company.customer()
    assert company.open_codes() == {"match_proposed"}
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=2)))
    company.answer_all()
    assert match(company) == ("linked", "email", "CU1")
    assert company.open_codes() == set()


@pytest.mark.parametrize("order", ["contacts first", "payers first"])
def test_unique_is_judged_only_when_both_sides_have_been_read_to_their_heads(company, order):
    """Finding A1: two contacts share an address; the payer is the second's. In no order is the first linked by itself."""
    company.check()
    company.tell("policy.set", events.PolicySet("finance", POLICY))
    steps = [lambda: company.contact("c-1", EMAIL), company.payer, lambda: company.contact("c-2", EMAIL)]
    for step in steps if order == "contacts first" else reversed(steps):
        step()
        company.invoice("1")
        assert {match(company, key)[0] for key in company.state.contacts} <= {"none"}
    company.read_to_heads()
    company.go_on()
    assert match(company, "c-1") == match(company, "c-2") == ("ambiguous", "", "")
    for key in ("c-1", "c-2"):
        text = company.state.discrepancies[f"contact_ambiguous:contacts:{key}"].text
        assert "c-1" in text
        assert "c-2" in text
        assert "CU1" in text
    assert not company.asked("gocardless.create_billing_request")


def test_a_link_by_email_ends_when_another_contact_gets_the_address_and_both_are_named(company):
    company.ready()
    assert match(company) == ("linked", "email", "CU1")
    company.contact("c-2", EMAIL)
    assert match(company, "c-1") == match(company, "c-2") == ("ambiguous", "", "")
    assert company.state.payers["CU1"].contact == ""
    for key in ("c-1", "c-2"):
        assert (
            "Contacts c-1, c-2 and payers CU1" in company.state.discrepancies[f"contact_ambiguous:contacts:{key}"].text
        )
    company.reach("2026-03-04T12:00:00.000Z")
    assert not company.asked("gocardless.create_payment")
    assert not company.asked("gocardless.create_billing_request"), (
        "nobody is invited while it is not known who they are"
    )
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", "CU1"))
    company.reach("2026-03-06T12:00:00.000Z")
    assert match(company) == ("linked", "operator", "CU1")
    assert len(company.asked("gocardless.create_payment")) == 1


def test_a_link_by_email_ends_when_another_payer_gets_the_address_and_both_are_named(company):
    company.ready()
    company.payer("CU2", EMAIL)
    assert match(company) == ("ambiguous", "", "")
    assert "payers CU1, CU2" in company.state.discrepancies["contact_ambiguous:contacts:c-1"].text
    company.payer("CU2", "else@example.test")
    assert match(company) == ("linked", "email", "CU1"), "and holds again when that was corrected"
    assert company.open_codes() == set()


def test_a_debit_is_withheld_right_before_the_call_when_the_address_has_come_to_be_shared(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    assert invoices.objection(company.state, debit, company.now) == ""
    company.contact("c-2", EMAIL)
    assert invoices.objection(company.state, debit, company.now) == "no_mandate"


def test_a_wrong_link_of_an_earlier_version_is_no_ground_for_a_debit(company):
    """What version 0.1.0 linked at the first row it saw lies in the state; it is judged again before it is used."""
    company.open_gate()
    company.contact("c-1", EMAIL)
    company.contact("c-2", EMAIL)
    company.payer()
    company.mandate()
    company.state.contacts["c-1"] = replace(
        company.state.contacts["c-1"], match="linked", match_by="email", payer="CU1"
    )
    company.state.payers["CU1"] = replace(company.state.payers["CU1"], contact="c-1")
    company.invoice("1")
    company.reach("2026-03-05T12:00:00.000Z")
    assert not company.asked("gocardless.create_payment")
    assert match(company, "c-1") == match(company, "c-2") == ("ambiguous", "", "")


def test_a_link_that_a_person_made_is_not_judged_again(company):
    company.open_gate()
    company.customer()
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", "CU1"))
    company.contact("c-2", EMAIL)
    company.payer("CU2", EMAIL)
    assert match(company, "c-1") == ("linked", "operator", "CU1")


def test_a_contact_is_not_invited_before_both_sides_are_read(company):
    company.check()
    company.tell("policy.set", events.PolicySet("finance", POLICY))
    company.tell("operator.gate_opened", events.GateOpened("finance"))
    company.answer_all()
    company.customer(linked=False)
    company.invoice("1")
    assert not company.asked("gocardless.create_billing_request")
    company.read_to_heads()
    company.answer_all()
    assert len(company.asked("gocardless.create_billing_request")) == 1


def test_an_address_that_hundreds_share_costs_a_change_of_it_no_more_than_one_that_thirty_do(company):
    sizes = []
    for shared in (30, 300):
        company = Company()
        company.open_gate()
        for number in range(shared):
            company.contact(f"c-{number:04d}", EMAIL)
        sizes.append(len(codec.encode_decision(company.payer())))
    assert max(sizes) - min(sizes) < 100
    assert {match(company, f"c-{number:04d}")[0] for number in range(customers.SHARING)} == {"ambiguous"}
    company.invoice("1", contact="c-0299")
    assert match(company, "c-0299")[0] == "ambiguous", "who was not looked at then is looked at when it owes something"
    assert "and others" in company.state.discrepancies["contact_ambiguous:contacts:c-0299"].text
