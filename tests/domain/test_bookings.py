import pytest
from msgspec.structs import replace

from domain import bookings, commands, events
from tests.support.company import POLICY

CONFIRMED = "2026-03-06T11:40:00.000Z"
LATER = "2026-03-09T11:40:00.000Z"


def booking(company, number=1, payment="PM-1-1"):
    return company.state.bookings[f"{payment}:{number}"]


def posting(company):
    return company.asked("zoho.create_customer_payment")[-1]


def test_a_confirmed_payment_is_posted_gross_to_clearing_with_a_key_of_its_own(company):
    company.confirmed()
    command = posting(company)
    assert command.data == commands.CreateCustomerPayment(
        customer="c-1",
        amount_minor=12_000,
        currency="GBP",
        date="2026-03-06",
        account="acc-clearing-gbp",
        reference="PM-1-1",
        unique_field="cf_gocardless_key",
        unique_value="sandbox:PM-1-1:1",
        description="GoCardless PM-1-1",
        applied=[commands.Application("1", 12_000)],
    )
    assert (command.key, command.look_up_first) == ("sandbox:PM-1-1:1", False)
    row = booking(company)
    assert (row.stage, row.zoho_payment, row.policy_version) == ("posted", "zp-sandbox:PM-1-1:1", 1)
    assert company.balance("receivables:GBP") == -12_000


def test_the_date_is_the_organisations_day_of_the_fact(company):
    payment = company.collect()
    company.now = "2026-04-02T09:00:00.000Z"
    company.pay(payment, "confirmed", "2026-03-30T23:30:00.000Z")
    assert posting(company).data.date == "2026-03-31"


def test_a_date_in_closed_books_moves_to_the_first_open_day_and_says_the_true_one(company):
    company.confirmed(policy=replace(POLICY, closed_through="2026-03-06"))
    data = posting(company).data
    assert (data.date, data.description) == ("2026-03-07", "GoCardless PM-1-1, of 2026-03-06")
    (entry,) = [one for _, decision in company.log for one in decision.entries]
    assert entry.date == "2026-03-07"


def test_facts_before_the_books_begin_post_nothing_and_their_reversal_neither(company):
    payment = company.confirmed(policy=replace(POLICY, books_from="2026-03-07"))
    assert booking(company).stage == "opening"
    company.pay(payment, "failed", LATER, cause="refer_to_payer")
    assert (booking(company).stage, booking(company).reversal_at) == ("reversed", "2026-03-09")
    assert not company.state.balances
    assert not company.asked("zoho.create_customer_payment")
    assert company.state.invoices["1"].stage == "hold"


def test_the_day_the_books_begin_is_booked(company):
    company.confirmed(policy=replace(POLICY, books_from="2026-03-06"))
    assert company.clearing() == 12_000


def test_a_foreign_currency_states_its_rate_and_waits_for_one_that_is_not_known(company):
    company.open_gate()
    company.check(rates={})
    company.customer(scheme="sepa_core")
    company.invoice("1", currency="EUR")
    company.reach("2026-03-03T12:00:00.000Z")
    company.pay("PM-1-1", "confirmed", CONFIRMED)
    assert posting(company).data.exchange_rate == "0.85"
    row = company.state.own
    company.state.connections["c1"] = replace(row, rates={})
    assert bookings.rate(company.state, "EUR") is None
    assert bookings.rate(company.state, "GBP") == ""


def test_an_unmapped_account_or_rate_holds_the_booking_until_it_is_there(company):
    company.check(rates={})
    company.read_to_heads()
    company.tell("policy.set", events.PolicySet("finance", POLICY))
    company.tell("operator.gate_opened", events.GateOpened("finance"))
    company.answer_all()
    company.customer(scheme="sepa_core")
    company.invoice("1", currency="EUR")
    company.reach("2026-03-03T12:00:00.000Z")
    company.pay("PM-1-1", "confirmed", CONFIRMED)
    company.pay("PM-1-1", "failed", LATER)
    assert company.state.discrepancies["account_missing:payments:PM-1-1"].text == (
        "No Zoho account is mapped for the exchange rate of EUR; PM-1-1 waits."
    )
    assert not company.state.balances
    company.tell("zoho.currencies_read", events.CurrenciesRead({"EUR": "0.85"}))
    company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", "account_missing:payments:PM-1-1"))
    assert "account_missing" not in company.open_codes()
    assert (company.state.payments["PM-1-1"].booked, company.state.payments["PM-1-1"].unbooked) == (1, 1)
    assert company.clearing("EUR") == 0


def test_what_exceeds_the_balance_becomes_the_customers_credit_and_is_shown(company):
    payment = company.collect()
    company.invoice("1", balance_minor=7_000, last_modified="2026-03-05T09:00:00.000Z")
    company.pay(payment, "confirmed", CONFIRMED)
    assert posting(company).data.applied == [commands.Application("1", 7_000)]
    assert (company.balance("receivables:GBP"), company.balance("customer_credit:GBP")) == (-7_000, -5_000)
    row = company.state.discrepancies["excess:payments:PM-1-1"]
    assert (row.amount_minor, row.currency) == (5_000, "GBP")


@pytest.mark.parametrize(
    "changes", [{"status": "void"}, {"status": "draft"}, {"currency": "EUR"}, {"status": "paid", "balance_minor": 0}]
)
def test_an_invoice_that_can_take_nothing_leaves_all_of_it_unused(company, changes):
    payment = company.collect()
    company.invoice("1", last_modified="2026-03-05T09:00:00.000Z", **changes)
    company.pay(payment, "confirmed", CONFIRMED)
    assert posting(company).data.applied == []
    assert company.balance("customer_credit:GBP") == -12_000
    assert "excess" in company.open_codes()


def refused(company, reason, kind="refused"):
    company.outcome(
        company.take("zoho.create_customer_payment"), kind, reason=reason, message="a message", http_status=400
    )


def test_a_balance_that_fell_meanwhile_is_posted_unused(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    refused(company, "24016")
    first, second = company.asked("zoho.create_customer_payment")
    assert (second.data.applied, second.key, second.attempt) == ([], first.key, 2)
    assert (company.balance("receivables:GBP"), company.balance("customer_credit:GBP")) == (0, -12_000)
    assert company.open_codes() == {"unapplied"}
    company.answer_all()
    assert booking(company).stage == "posted"
    company.check_books()


def test_a_balance_that_fell_under_a_booking_that_was_taken_back_moves_nothing_between_accounts(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    company.pay(payment, "failed", LATER)
    refused(company, "24016")
    assert not any(row.amount_minor for row in company.state.balances.values())
    company.answer_all()
    assert booking(company).stage == "reversed"
    assert not any(row.amount_minor for row in company.state.balances.values())


def test_a_refused_posting_is_shown_and_replayed_with_the_same_key(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    command = company.take("zoho.create_customer_payment")
    company.outcome(command, "parked", reason="unreachable")
    assert booking(company).stage == "refused"
    assert company.open_codes() == {"posting_refused"}
    company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id))
    company.answer(command)
    assert booking(company).stage == "posted"
    assert company.open_codes() == set()
    assert len(company.asked("zoho.create_customer_payment")) == 1


def test_an_update_where_a_create_was_meant_is_shown(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    company.outcome(company.take("zoho.create_customer_payment"), resource="zp-1", reason="updated", found=True)
    assert booking(company).zoho_payment == "zp-1"
    assert company.open_codes() == {"already_booked"}


def test_a_reversal_before_zoho_has_the_payment_waits_for_it_and_then_undoes_it(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    company.pay(payment, "charged_back", LATER, cause="refund_requested")
    assert company.clearing() == 0
    assert not company.asked("zoho.unapply_payment")
    company.answer_all()
    assert [one.data.payment for one in company.asked("zoho.unapply_payment")] == ["zp-sandbox:PM-1-1:1"]
    (refund,) = company.asked("zoho.refund_payment")
    assert (refund.data.amount_minor, refund.data.date, refund.data.account) == (
        12_000,
        "2026-03-09",
        "acc-clearing-gbp",
    )
    assert booking(company).stage == "reversed"


def test_a_parked_posting_that_was_taken_back_is_undone_when_it_succeeds_after_all(company):
    payment = company.collect()
    company.pay(payment, "confirmed", CONFIRMED)
    command = company.take("zoho.create_customer_payment")
    company.outcome(command, "parked", reason="unreachable")
    company.pay(payment, "failed", LATER)
    assert booking(company).stage == "reversed"
    company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id))
    company.answer(command)
    company.answer_all()
    assert len(company.asked("zoho.refund_payment")) == 1
    assert (booking(company).stage, booking(company).refund) == ("reversed", "zr-PM-1-1:1:reversal")


def test_a_cancelled_chargeback_is_booked_again_and_looks_up_first(company):
    payment = company.confirmed()
    company.pay(payment, "charged_back", LATER)
    company.answer_all()
    company.pay(payment, "chargeback_cancelled", "2026-03-12T11:40:00.000Z")
    command = posting(company)
    assert (command.key, command.look_up_first, command.data.date) == ("sandbox:PM-1-1:2", True, "2026-03-12")
    company.answer_all()
    assert booking(company, 2).stage == "posted"
    assert company.clearing() == 12_000
    assert company.state.invoices["1"].stage == "collected"
    assert "debit_reversed" not in company.open_codes()
    company.check_books()


@pytest.mark.parametrize("refused_call", ["zoho.unapply_payment", "zoho.refund_payment"])
def test_a_reversal_that_zoho_refuses_goes_to_suspense(company, refused_call):
    payment = company.confirmed()
    company.refuse[refused_call] = ("locked", "the period is locked")
    company.pay(payment, "failed", LATER)
    company.answer_all()
    (transfer,) = company.asked("zoho.create_transfer")
    data = transfer.data
    assert (data.from_account, data.to_account, data.amount_minor) == ("acc-clearing-gbp", "acc-suspense-gbp", 12_000)
    assert data.marker == "PM-1-1:1:suspense"
    assert booking(company).stage == "suspense"
    assert (company.balance("suspense:GBP"), company.balance("receivables:GBP"), company.clearing()) == (
        12_000,
        -12_000,
        0,
    )
    assert company.state.discrepancies["reversal_refused:bookings:PM-1-1:1"].text == (
        "Zoho refused to reverse the payment for INV-1: the period is locked. The amount moved to suspense."
    )


def test_a_reversal_without_a_suspense_account_is_shown(company):
    payment = company.confirmed(policy=replace(POLICY, accounts=replace(POLICY.accounts, suspense={})))
    company.refuse["zoho.unapply_payment"] = ("locked", "")
    company.pay(payment, "failed", LATER)
    company.answer_all()
    assert {"reversal_refused", "account_missing"} <= company.open_codes()
    assert not company.asked("zoho.create_transfer")
    company.check_books()


def test_a_parked_reversal_is_shown_and_stays_where_it_was(company):
    payment = company.confirmed()
    company.pay(payment, "failed", LATER)
    command = company.take("zoho.unapply_payment")
    company.outcome(command, "parked", reason="unreachable")
    assert booking(company).stage == "unapplying"
    assert "posting_refused" in company.open_codes()
    company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id))
    company.answer(command)
    company.answer_all()
    assert booking(company).stage == "reversed"
    assert "posting_refused" not in company.open_codes()


def test_a_refused_transfer_to_suspense_is_shown(company):
    payment = company.confirmed()
    company.refuse["zoho.unapply_payment"] = ("locked", "")
    company.refuse["zoho.create_transfer"] = ("account_inactive", "the account is inactive")
    company.pay(payment, "failed", LATER)
    company.answer_all()
    assert company.state.discrepancies["posting_refused:bookings:PM-1-1:1"].text == (
        "Zoho refused the transfer to suspense for INV-1: the account is inactive."
    )
