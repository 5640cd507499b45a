import pytest
from msgspec.structs import replace

from domain import events, invoices
from tests.support.company import POLICY


def stage(company, key="1"):
    row = company.state.invoices[key]
    return row.stage, row.reason


# --- observations -----------------------------------------------------------------------------------------------------


def test_an_older_observation_changes_nothing(company):
    company.ready()
    company.invoice("1", amount_minor=5, last_modified="2026-03-01T09:00:00.000Z")
    assert company.state.invoices["1"].balance_minor == 12_000
    assert not company.pending


def test_a_tie_with_other_content_is_read_again_and_the_read_settles_it(company):
    company.ready()
    company.invoice("1", balance_minor=5_000)
    assert company.state.invoices["1"].balance_minor == 12_000
    read = company.take("zoho.read_invoice")
    company.invoice("1", balance_minor=5_000, type_="zoho.invoice_read")
    company.outcome(read, resource="1")
    assert company.state.invoices["1"].balance_minor == 5_000
    assert not company.pending


def test_a_tie_that_differs_in_nothing_that_counts_is_not_read(company):
    company.ready()
    company.invoice("1", status="overdue", number="INV-1b")
    assert company.state.invoices["1"].status == "overdue"
    assert not company.pending


def test_an_invoice_without_a_due_date_is_due_on_its_date(company):
    company.ready(due_date="")
    assert company.state.invoices["1"].due_date == "2026-03-01"


def test_a_void_invoice_keeps_its_balance_and_is_not_collected(company):
    company.ready()
    company.invoice("1", status="void", last_modified="2026-03-02T10:00:00.000Z")
    assert stage(company) == ("none", "not_open")
    assert company.state.invoices["1"].balance_minor == 12_000
    assert not [key for key in company.state.timers if key.startswith("debit:")]
    company.reach("2026-03-20T12:00:00.000Z")
    assert not company.asked("gocardless.create_payment")


@pytest.mark.parametrize("status", ["draft", "paid", "pending_approval", "rejected", "a_new_status"])
def test_what_is_not_open_is_not_collected(company, status):
    company.ready(status=status)
    assert stage(company) == ("none", "")


@pytest.mark.parametrize("status", sorted(invoices.OPEN))
def test_every_way_of_being_open_is_collected(company, status):
    company.ready(status=status)
    assert stage(company)[0] == "scheduled"


def test_a_deleted_invoice_is_let_go(company):
    company.ready()
    company.tell("zoho.invoice_gone", events.InvoiceGone("1"))
    company.tell("zoho.invoice_gone", events.InvoiceGone("404"))
    assert stage(company) == ("none", "not_open")
    assert "404" not in company.state.invoices


def test_another_payment_under_way_in_zoho_holds_the_debit_and_its_end_frees_it(company):
    company.ready(elsewhere=True)
    assert stage(company) == ("waiting", "collected_elsewhere")
    assert company.open_codes() == {"collected_elsewhere"}
    company.invoice("1", last_modified=company.now)  # a thin row of the same moment does not say that it ended
    assert stage(company) == ("waiting", "collected_elsewhere")
    company.invoice("1", last_modified="2026-03-02T10:00:00.000Z")
    assert stage(company) == ("scheduled", "")
    assert company.open_codes() == set()


def test_a_currency_without_a_clearing_account_waits_until_it_is_mapped(company):
    company.ready(policy=replace(POLICY, accounts=replace(POLICY.accounts, clearing={})))
    assert company.open_codes() == {"account_missing"}
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=2)))
    company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", "account_missing:invoices:1"))
    assert stage(company) == ("scheduled", "")
    assert company.open_codes() == set()


def test_a_discrepancy_that_is_closed_without_repair_is_open_again(company):
    company.ready(policy=replace(POLICY, accounts=replace(POLICY.accounts, clearing={})))
    company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", "account_missing:invoices:1"))
    assert company.open_codes() == {"account_missing"}
    company.check_replay()


def test_an_unknown_contact_is_read_and_an_inactive_one_waits(company):
    company.open_gate()
    company.invoice("1", "c-9")
    company.invoice("2", "c-9")
    assert stage(company) == ("waiting", "contact_unknown")
    (read,) = company.asked("zoho.read_contact")
    company.contact("c-9", "nine@example.test", type_="zoho.contact_read")
    company.outcome(read, resource="c-9")
    assert len(company.asked("gocardless.create_billing_request")) == 1
    company.contact("c-8", "eight@example.test", status="inactive")
    company.invoice("3", "c-8")
    assert stage(company, "3") == ("waiting", "contact_inactive")


# --- the send hour ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "days_before", "at", "zone", "expected"),
    [
        ("2026-03-10", 0, "2026-03-02T09:00:00.000Z", "Europe/London", "2026-03-10T06:00:00.000Z"),
        ("2026-03-29", 0, "2026-03-02T09:00:00.000Z", "Europe/London", "2026-03-29T05:00:00.000Z"),
        ("2026-03-10", 3, "2026-03-02T09:00:00.000Z", "Europe/London", "2026-03-07T06:00:00.000Z"),
        ("2026-02-01", 0, "2026-03-02T05:00:00.000Z", "Europe/London", "2026-03-02T06:00:00.000Z"),
        ("2026-02-01", 0, "2026-03-02T05:59:59.999Z", "Europe/London", "2026-03-02T06:00:00.000Z"),
        ("2026-02-01", 0, "2026-03-02T06:00:00.000Z", "Europe/London", "2026-03-03T06:00:00.000Z"),
        ("2026-03-02", 0, "2026-03-02T12:00:00.000Z", "Pacific/Auckland", "2026-03-02T17:00:00.000Z"),
    ],
)
def test_a_debit_is_sent_at_the_send_hour_of_the_due_date_or_the_next_one(due, days_before, at, zone, expected):
    assert invoices.send_time(replace(POLICY, send_days_before_due=days_before), zone, due, at) == expected


def test_a_due_date_that_moves_takes_the_debit_with_it(company):
    company.ready()
    company.invoice("1", due_date="2026-03-10", last_modified="2026-03-02T10:00:00.000Z")
    assert company.state.timers["debit:1"].at == "2026-03-10T06:00:00.000Z"
    company.reach("2026-03-09T12:00:00.000Z")
    assert not company.asked("gocardless.create_payment")


def test_a_tick_that_is_late_moves_no_debit_to_the_next_day(company):
    company.ready()
    company.now = "2026-03-03T06:30:00.000Z"
    company.invoice("1", number="INV-1b", last_modified=company.now)
    assert company.state.timers["debit:1"].at == "2026-03-03T06:00:00.000Z"
    company.invoice("1", due_date="2026-03-20", last_modified="2026-03-03T06:30:01.000Z")
    assert company.state.timers["debit:1"].at == "2026-03-20T06:00:00.000Z"


def test_a_due_time_that_is_not_the_decided_one_is_ignored(company):
    company.ready()
    company.tell("clock.due_reached", events.DueReached("debit:1", "2026-03-02T12:00:00.000Z"))
    company.tell("clock.due_reached", events.DueReached("debit:77", "2026-03-02T12:00:00.000Z"))
    assert stage(company) == ("scheduled", "")


def test_a_due_time_that_comes_while_the_gate_is_closed_is_made_up_for_after_it_opens(company):
    company.ready()
    company.tell("operator.gate_closed", events.GateClosed("finance"))
    company.reach("2026-03-05T12:00:00.000Z")
    assert stage(company) == ("none", "gate_closed")
    company.tell("operator.gate_opened", events.GateOpened("finance"))
    company.answer_all()
    assert stage(company) == ("scheduled", "")
    company.reach("2026-03-06T12:00:00.000Z")
    (debit,) = company.asked("gocardless.create_payment")
    assert debit.not_after == "2026-03-06T12:00:00.000Z"


# --- the view, the debit ----------------------------------------------------------------------------------------------


def test_a_debit_waits_for_both_views_and_carries_its_end(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    assert stage(company) == ("viewing", "")
    assert sorted(company.pending_types) == ["gocardless.read_mandate_payments", "zoho.list_open_invoices"]
    company.answer(company.take("zoho.list_open_invoices"))
    assert not company.asked("gocardless.create_payment")
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    assert (debit.data.amount_minor, debit.data.mandate, debit.attempt) == (12_000, "MD1", 1)
    assert debit.not_after == "2026-03-03T12:00:00.000Z"
    assert "view:1" not in company.state.timers


def test_a_balance_that_fell_before_the_view_is_what_is_debited(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.invoice("1", balance_minor=4_000, last_modified="2026-03-03T06:00:01.000Z", status="partially_paid")
    company.answer_all()
    (debit,) = company.asked("gocardless.create_payment")
    assert debit.data.amount_minor == 4_000


def test_an_invoice_paid_before_the_view_is_not_debited(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.invoice("1", balance_minor=0, last_modified="2026-03-03T06:00:01.000Z", status="paid")
    company.answer_all()
    assert not company.asked("gocardless.create_payment")
    assert stage(company) == ("none", "not_open")


def test_a_debit_above_the_limit_waits_for_a_person_who_approves_that_amount(company):
    company.collect(policy=replace(POLICY, max_debit_minor={"GBP": 10_000}))
    assert stage(company) == ("hold", "over_limit")
    assert company.open_codes() == {"debit_over_limit"}
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-05T12:00:00.000Z")
    assert stage(company) == ("collecting", "")
    assert company.open_codes() == set()


def test_an_approval_of_one_amount_is_none_of_another(company):
    company.collect(policy=replace(POLICY, max_debit_minor={"GBP": 10_000}))
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.invoice("1", amount_minor=13_000, last_modified=company.now)
    company.reach("2026-03-05T12:00:00.000Z")
    assert stage(company) == ("hold", "over_limit")


def test_a_withheld_debit_is_scheduled_anew(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    company.now = "2026-03-03T12:30:00.000Z"
    debit = company.take("gocardless.create_payment")
    company.outcome(debit, "withheld", reason="expired")
    assert stage(company) == ("scheduled", "")
    company.reach("2026-03-04T12:00:00.000Z")
    again = company.asked("gocardless.create_payment")[-1]
    assert (again.attempt, again.not_after) == (1, "2026-03-04T12:00:00.000Z")
    assert again.key == debit.key, "nothing was made with it, so it is free"
    assert again.id != debit.id


def test_a_refused_debit_is_shown_and_waits_for_a_person(company):
    company.refuse["gocardless.create_payment"] = ("validation_failed", "")
    company.collect()
    assert stage(company) == ("failed", "validation_failed")
    assert company.open_codes() == {"debit_refused"}
    company.refuse.clear()
    company.reach("2026-03-20T12:00:00.000Z")
    assert len(company.asked("gocardless.create_payment")) == 1
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-22T12:00:00.000Z")
    assert stage(company) == ("collecting", "")
    assert company.open_codes() == set()


def test_a_debit_refused_for_its_mandate_has_the_mandate_read_and_goes_on_with_what_is_found(company):
    company.refuse["gocardless.create_payment"] = ("mandate_is_inactive", "")
    company.world["gocardless.read_mandate:MD1"] = [events.MandateRead("MD1", "cancelled", "bacs", "CU1", company.now)]
    company.collect()
    assert company.state.mandates["MD1"].status == "cancelled"
    assert stage(company) == ("waiting", "no_mandate")
    assert len(company.asked("gocardless.create_billing_request")) == 1


def test_a_parked_debit_holds_the_invoice_and_its_replay_keeps_the_key(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.outcome(debit, "parked", reason="unreachable")
    assert stage(company) == ("hold", "parked")
    assert company.open_codes() == {"command_parked"}
    decision = company.tell("operator.replay_requested", events.ReplayRequested("finance", debit.id))
    assert decision.resends == [debit.id]
    company.answer(debit)
    assert stage(company) == ("collecting", "")
    assert company.open_codes() == set()
    assert len(company.asked("gocardless.create_payment")) == 1


def test_a_parked_debit_that_went_through_after_all_is_found_before_a_second_one_is_made(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.outcome(debit, "parked", reason="unreachable")
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-04T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    view = company.take("gocardless.read_mandate_payments")
    page = [company.payment_read("PM-late", debit)]
    company.tell(
        "gocardless.mandate_payments_read", events.MandatePaymentsRead("MD1", company.now, page, complete=True)
    )
    company.outcome(view)
    assert company.state.invoices["1"].payment == "PM-late"
    assert len(company.asked("gocardless.create_payment")) == 1


def test_an_outcome_that_comes_before_the_payment_is_read_has_it_read(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.world["gocardless.read_payment:PM1"] = [company.payment_read("PM1", debit)]
    company.outcome(debit, resource="PM1")
    company.answer_all()
    row = company.state.payments["PM1"]
    assert (row.claim, row.invoice, row.amount_minor) == ("ours", "1", 12_000)
    assert stage(company) == ("collecting", "")


def test_an_answer_with_another_amount_is_a_hard_stop(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.tell("gocardless.payment_read", company.payment_read("PM1", debit, amount_minor=11_999))
    company.outcome(debit, resource="PM1")
    assert stage(company) == ("hold", "amount_mismatch")
    assert company.state.discrepancies["amount_mismatch:invoices:1"].text == (
        "GoCardless answered 11999 GBP where 12000 GBP was sent for INV-1; collection of it stopped."
    )
    company.pay("PM1", "confirmed")
    assert stage(company) == ("hold", "amount_mismatch")


def test_a_parked_debit_that_is_replayed_may_be_sent_and_one_that_came_too_late_is_scheduled_anew(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.outcome(debit, "parked", reason="unreachable")
    assert invoices.objection(company.state, debit, company.now) == "superseded"
    company.tell("operator.replay_requested", events.ReplayRequested("finance", debit.id))
    assert invoices.objection(company.state, debit, company.now) == ""
    company.check_replay()
    company.now = "2026-03-03T13:00:00.000Z"
    assert invoices.objection(company.state, debit, company.now) == "expired"
    company.outcome(debit, "withheld", reason="expired", call=2)
    assert stage(company) == ("scheduled", "")
    assert company.open_codes() == set()


def test_a_replay_of_an_older_debit_does_not_take_the_invoice_back(company):
    company.refuse["gocardless.create_payment"] = ("validation_failed", "")
    company.collect()
    company.refuse.clear()
    first = company.asked("gocardless.create_payment")[0]
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-05T12:00:00.000Z")
    company.tell("operator.replay_requested", events.ReplayRequested("finance", first.id))
    assert invoices.objection(company.state, first, first.not_after) == "superseded"


def test_a_list_that_leaves_out_two_invoices_is_not_asked_for_twice_at_once(company):
    company.ready()
    company.invoice("2")
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    sweep = company.take("zoho.list_open_invoices")
    company.tell("zoho.invoices_listed", events.InvoicesListed("open", company.now, 1, [], complete=True))
    company.outcome(sweep)
    company.answer(company.take("gocardless.read_mandate_payments"))
    company.check_commands()
    company.reach("2026-03-03T08:00:00.000Z")
    assert {one.data.invoice for one in company.asked("gocardless.create_payment")} == {"1", "2"}


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_person_may_say_that_an_invoice_is_left_alone_and_take_it_back(company):
    company.ready()
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "ignore"))
    assert stage(company) == ("ignored", "operator")
    company.invoice("1", amount_minor=13_000, last_modified="2026-03-02T10:00:00.000Z")
    company.reach("2026-03-20T12:00:00.000Z")
    assert not company.asked("gocardless.create_payment")
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    assert stage(company)[0] == "scheduled"
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "404", "retry"))


def test_a_debit_under_way_is_not_sent_again_because_a_person_says_retry(company):
    company.collect()
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-20T12:00:00.000Z")
    assert stage(company)[0] == "collecting"
    assert len(company.asked("gocardless.create_payment")) == 1


def test_a_failure_that_a_person_has_answered_does_not_come_back_with_a_read(company):
    payment = company.collect()
    (debit,) = company.asked("gocardless.create_payment")
    company.pay(payment, "failed", cause="insufficient_funds")
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    again = company.payment_read(payment, debit, charge_date="2026-03-10")
    company.tell("gocardless.payment_read", again)
    assert stage(company)[0] == "scheduled"
    company.reach("2026-03-05T12:00:00.000Z")
    assert company.state.invoices["1"].payment == "PM-1-2"


def test_a_reversal_that_zoho_has_not_seen_yet_does_not_settle_the_invoice_and_is_not_debited_again(company):
    payment = company.confirmed()
    company.pay(payment, "charged_back", "2026-03-09T09:00:00.000Z", cause="authorisation_disputed")
    company.invoice("1", status="paid", balance_minor=0, last_modified="2026-03-06T12:00:00.000Z")
    assert stage(company) == ("hold", "authorisation_disputed")
    company.answer_all()
    company.invoice("1", last_modified="2026-03-09T12:00:00.000Z")
    company.reach("2026-03-30T12:00:00.000Z")
    assert stage(company) == ("hold", "authorisation_disputed")
    assert company.open_codes() == {"debit_reversed"}
    assert len(company.asked("gocardless.create_payment")) == 1


def test_a_failed_invoice_that_is_paid_otherwise_is_settled(company):
    payment = company.collect()
    company.pay(payment, "failed", cause="insufficient_funds")
    assert company.open_codes() == {"debit_failed"}
    company.invoice("1", balance_minor=0, status="paid", last_modified="2026-03-05T09:00:00.000Z")
    assert stage(company) == ("none", "settled")
    assert company.open_codes() == set()


def test_a_read_that_is_refused_is_shown_and_closes_when_one_succeeds(company):
    company.ready()
    company.invoice("1", balance_minor=5_000)
    read = company.take("zoho.read_invoice")
    company.outcome(read, "refused", reason="forbidden", http_status=401)
    assert company.open_codes() == {"read_refused"}
    company.tell("operator.replay_requested", events.ReplayRequested("finance", read.id))
    company.outcome(read, resource="1")
    assert company.open_codes() == set()


def test_a_failed_debit_of_an_earlier_life_is_not_repeated_without_a_person(company):
    company.open_gate()
    company.customer()
    company.invoice("1")
    metadata = {"zoho_invoice_id": "1", "zoho_invoice_number": "INV-1", "command": "cm-earlier"}
    read = events.PaymentRead("PM-old", "failed", 12_000, "GBP", "MD1", company.now, metadata=metadata)
    company.tell("gocardless.payment_read", read)
    company.reach("2026-03-03T12:00:00.000Z")
    assert company.state.invoices["1"].stage == "failed"
    assert company.state.discrepancies["debit_failed:invoices:1"].text == "The debit for INV-1 failed: failed."
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-05T12:00:00.000Z")
    assert company.state.invoices["1"].payment == "PM-1-2", "the one that GoCardless showed counts"
