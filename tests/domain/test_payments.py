from itertools import permutations

import pytest

from domain import events, payments
from domain.payments import alternating_facts

T = {number: f"2026-03-{number:02d}T09:00:00.000Z" for number in range(1, 29)}


def counts(company, payment):
    row = company.state.payments[payment]
    return row.confirmed, row.reversed, row.booked, row.unbooked


def stage(company, key="1"):
    row = company.state.invoices[key]
    return row.stage, row.reason


@pytest.mark.parametrize("order", list(permutations(["submitted", "confirmed", "paid_out", "charged_back"])))
def test_the_facts_are_folded_in_their_own_order(company, order):
    payment = company.collect()
    when = {"submitted": T[4], "confirmed": T[6], "paid_out": T[8], "charged_back": T[10]}
    for action in order:
        company.pay(payment, action, when[action], cause="refund_requested" if action == "charged_back" else "")
    row = company.state.payments[payment]
    assert (row.status, row.reason) == ("charged_back", "refund_requested")
    assert counts(company, payment) == (1, 1, 1, 1)
    assert stage(company) == ("hold", "refund_requested")
    assert company.open_codes() == {"debit_reversed"}
    assert company.clearing() == 0
    company.check_books()


def test_a_fact_that_comes_twice_counts_once(company):
    payment = company.collect()
    for _ in range(3):
        company.pay(payment, "confirmed", T[6], id_="EV1")
    assert counts(company, payment) == (1, 0, 1, 0)
    assert len(company.state.payments[payment].facts) == 1
    assert len(company.asked("zoho.create_customer_payment")) == 1


def test_paid_out_after_confirmed_books_nothing_more_and_alone_proves_the_confirmation(company):
    payment = company.collect()
    company.pay(payment, "paid_out", T[8], id_="EV2")
    assert counts(company, payment) == (1, 0, 1, 0)
    company.pay(payment, "confirmed", T[6], id_="EV1")
    assert counts(company, payment) == (1, 0, 1, 0)
    assert company.clearing() == 12_000


@pytest.mark.parametrize(
    ("facts", "confirms", "reverses"),
    [
        (["confirmed", "failed", "paid_out"], [0], [1]),
        (["confirmed", "charged_back", "chargeback_cancelled", "paid_out"], [0, 2], [1]),
        (["confirmed", "failed", "resubmission_requested", "paid_out"], [0, 3], [1]),
        (["confirmed", "failed", "submitted", "confirmed", "failed"], [0, 3], [1, 4]),
        (["failed", "paid_out"], [1], []),
        (["failed", "failed", "cancelled"], [], []),
        (["confirmed", "confirmed", "paid_out"], [0], []),
        (["confirmed", "failed", "charged_back"], [0], [1]),
        (["confirmed", "late_failure_settled", "surcharge_fee_debited", "sds_settlement_delayed"], [0], []),
    ],
)
def test_confirmations_and_reversals_take_turns(company, facts, confirms, reverses):
    for number, action in enumerate(facts, start=1):
        company.pay("PM1", action, T[number], id_=f"EV{number}")
    row = company.state.payments["PM1"]
    assert [row.facts.index(fact) for fact in alternating_facts(row, reverses=False)] == confirms
    assert [row.facts.index(fact) for fact in alternating_facts(row, reverses=True)] == reverses
    assert (row.confirmed, row.reversed) == (len(confirms), len(reverses))


def test_a_payment_that_failed_before_its_payout_is_not_booked_again_by_the_payouts_items(company):
    payment = company.confirmed()
    company.pay(payment, "failed", T[7], cause="refer_to_payer")
    company.answer_all()
    company.now = T[9]
    items = [
        events.PayoutItem("payment_paid_out", 120_000, payment),
        events.PayoutItem("payment_failed", -120_000, payment),
    ]
    company.payout("PO1", items, 0)
    assert counts(company, payment) == (1, 1, 1, 1)
    company.pay(payment, "paid_out", T[9])
    assert company.state.payments[payment].status == "failed"
    assert stage(company) == ("hold", "refer_to_payer")
    assert company.clearing() == 0
    assert not company.state.open_items
    company.check_books()


def test_while_gocardless_retries_by_itself_nothing_is_done(company):
    payment = company.collect()
    company.pay(payment, "failed", T[6], cause="insufficient_funds", will_attempt_retry=True)
    assert stage(company) == ("collecting", "gocardless_retries")
    assert company.open_codes() == set()
    company.pay(payment, "resubmission_requested", T[9])
    company.pay(payment, "submitted", T[10])
    company.pay(payment, "confirmed", T[12])
    assert stage(company) == ("collected", "")
    assert company.clearing() == 12_000


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("failed", "insufficient_funds"),
        ("cancelled", "cancelled"),
        ("customer_approval_denied", "customer_approval_denied"),
    ],
)
def test_an_end_before_it_was_confirmed_is_shown_with_its_reason(company, action, reason):
    payment = company.collect()
    company.pay(payment, action, T[6], cause=reason if action == "failed" else "")
    assert stage(company) == ("failed", reason)
    assert company.open_codes() == {"debit_failed"}
    assert not company.state.balances


def test_a_failure_that_arrives_before_its_confirmation_ends_as_in_order(company):
    payment = company.collect()
    company.pay(payment, "failed", T[9], cause="refer_to_payer")
    assert stage(company) == ("failed", "refer_to_payer")
    company.pay(payment, "confirmed", T[6])
    assert stage(company) == ("hold", "refer_to_payer")
    assert company.open_codes() == {"debit_reversed"}
    assert counts(company, payment) == (1, 1, 1, 1)


def test_a_debit_that_failed_and_is_confirmed_after_a_retry_is_collected(company):
    payment = company.collect()
    company.pay(payment, "failed", T[6], cause="insufficient_funds")
    company.pay(payment, "resubmission_requested", T[7])
    company.pay(payment, "confirmed", T[9])
    assert stage(company) == ("collected", "")
    assert company.open_codes() == set()


def test_an_unknown_payment_is_read_and_claimed_by_our_commands_id_in_its_metadata(company):
    company.ready()
    metadata = {"zoho_invoice_id": "1", "command": "cm-1"}
    read = events.PaymentRead("PM9", "confirmed", 12_000, "GBP", "MD1", T[1], metadata=metadata)
    company.world["gocardless.read_payment:PM9"] = [read]
    company.pay("PM9", "confirmed", T[2])
    assert len(company.asked("gocardless.read_payment")) == 1
    company.answer_all()
    assert company.state.payments["PM9"].claim == "ours"
    assert company.clearing() == 12_000
    assert stage(company) == ("collected", "")


def test_our_metadata_on_an_event_claims_at_once_and_is_read_only_when_its_answer_does_not_come(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    metadata = {"zoho_invoice_id": "1", "command": debit.id}
    company.pay("PM1", "created", company.now, metadata=metadata)
    assert company.state.payments["PM1"].claim == "ours"
    assert not company.asked("gocardless.read_payment")
    company.pay("PM1", "confirmed", T[6], metadata=metadata)
    assert len(company.asked("gocardless.read_payment")) == 1


def test_a_foreign_payment_books_nothing(company):
    company.ready()
    company.world["gocardless.read_payment:PM9"] = [
        events.PaymentRead("PM9", "confirmed", 500, "GBP", "MD8", T[1], metadata={"x": "y"})
    ]
    for action, day in (("confirmed", 2), ("failed", 4)):
        company.pay("PM9", action, T[day])
        company.answer_all()
    row = company.state.payments["PM9"]
    assert (row.claim, row.booked) == ("foreign", 0)
    assert not company.state.balances
    assert company.open_codes() == set()


def test_a_test_webhook_of_a_payment_that_does_not_exist_is_nothing_of_ours(company):
    company.open_gate()
    company.gc("payments", "confirmed", links={"payment": "index_ID_123"}, id_="EVTEST1")
    company.answer_all()
    assert company.state.payments["index_ID_123"].claim == "foreign"
    assert company.open_codes() == set()
    assert not company.state.balances


def test_a_read_that_is_refused_for_another_reason_is_shown_and_can_be_replayed(company):
    company.open_gate()
    company.pay("PM9", "confirmed", T[2])
    read = company.take("gocardless.read_payment")
    company.outcome(read, "refused", reason="forbidden", http_status=403)
    assert company.open_codes() == {"read_refused"}
    company.tell("operator.replay_requested", events.ReplayRequested("finance", read.id))
    company.tell("gocardless.payment_read", events.PaymentRead("PM9", "confirmed", 500, "GBP", "MD8", T[1]))
    company.outcome(read, resource="PM9")
    assert company.open_codes() == set()


def test_an_action_that_is_not_known_is_kept_and_shown_and_changes_nothing(company):
    payment = company.collect()
    before = company.state.payments[payment].status
    company.pay(payment, "teleported", T[6])
    assert company.state.payments[payment].status == before
    assert company.state.payments[payment].facts[-1].action == "teleported"
    assert company.state.discrepancies["not_understood:types:gocardless.payments.teleported"].text == (
        "Facts of type gocardless.payments.teleported are kept but not understood by this version."
    )


def test_an_event_without_a_payment_changes_nothing(company):
    company.gc("payments", "confirmed", links={"mandate": "MD1"})
    assert not company.state.payments


def test_a_read_tells_the_status_only_while_no_fact_has_come(company):
    payment = company.collect()
    (debit,) = company.asked("gocardless.create_payment")
    company.tell("gocardless.payment_read", company.payment_read(payment, debit, status="submitted"))
    assert company.state.payments[payment].status == "submitted"
    company.pay(payment, "confirmed", T[6])
    company.tell(
        "gocardless.payment_read",
        company.payment_read(payment, debit, status="pending_submission", charge_date="2026-03-12"),
    )
    row = company.state.payments[payment]
    assert (row.status, row.charge_date) == ("confirmed", "2026-03-12")


def test_the_late_end_of_an_older_attempt_does_not_speak_for_the_invoice(company):
    first = company.collect()
    company.pay(first, "failed", T[4], cause="insufficient_funds")
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-05T12:00:00.000Z")
    company.pay(first, "failed", T[6], cause="other", id_="EV-again")
    assert stage(company) == ("collecting", "")


def test_a_payment_with_a_history_without_end_is_cut_short_and_told(company):
    payment = company.collect()
    for number in range(payments.MAX_FACTS + 20):
        company.pay(payment, "resubmission_requested", f"2026-03-06T{number // 60:02d}:{number % 60:02d}:00.000Z")
    assert len(company.state.payments[payment].facts) == payments.MAX_FACTS
    text = company.state.discrepancies[f"facts_left_out:payments:{payment}"].text
    assert text.startswith(f"GoCardless has told more than {payments.MAX_FACTS} facts of {payment}")
    company.check_replay()
