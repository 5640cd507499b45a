"""The worked payouts A, B and C are those of the GoCardless dossier, section 5.3."""

import pytest
from msgspec.structs import replace

from domain import events, times
from domain.fees import fee_lines
from domain.state import Payout
from tests.support.company import POLICY

PAID = "2026-03-09T09:30:00.000Z"


def item(type_, tenths, payment="", tax=None, rate="GB_VAT_1"):
    taxes = [events.PayoutTax(rate, tax, "GBP")] if tax is not None else []
    return events.PayoutItem(type_, tenths, payment, taxes=taxes)


def fee(tenths, payment, tax=None, **more):
    return item("gocardless_fee", tenths, payment, tax, **more)


def into(tenths, payment):
    return item("payment_paid_out", tenths, payment)


def several(company, *amounts, policy=None):
    """Payments confirmed and in Zoho, one for each amount; their ids."""
    company.open_gate(*[policy] if policy else [])
    company.customer()
    for number, amount in enumerate(amounts, start=1):
        company.invoice(str(number), amount_minor=amount)
    company.reach("2026-03-03T12:00:00.000Z")
    made = [company.state.invoices[str(number)].payment for number in range(1, len(amounts) + 1)]
    for payment in made:
        company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.now = PAID
    return made


def transfer(company):
    return company.asked("zoho.create_transfer")[-1].data


def expense(company):
    return company.asked("zoho.create_expense")[-1].data


def test_payout_a_two_payments_with_fees_and_vat(company):
    one, two = several(company, 10_000, 5_000)
    company.payout("PO1", [into(100_000, one), into(50_000, two), fee(-1_440, one, 240), fee(-840, two, 140)], 14_772)
    row = company.state.payouts["PO1"]
    assert (row.gross_minor, row.fee_minor, row.vat_minor, row.residue_tenths) == (15_000, 228, 38, 0)
    assert company.balance("bank:GBP") == 14_772
    assert company.balance("fees:GBP") == 190
    assert company.balance("input_vat:GBP") == 38
    assert company.clearing() == 0
    assert not company.state.open_items
    data = transfer(company)
    assert (data.from_account, data.to_account, data.amount_minor) == ("acc-clearing-gbp", "acc-bank-gbp", 14_772)
    assert (data.date, data.reference, data.marker) == ("2026-03-09", "ACME-REF", "PO1")
    data = expense(company)
    assert (data.amount_minor, data.unique_value, data.vendor, data.paid_through) == (
        228,
        "sandbox:PO1",
        "vendor-gc",
        "acc-clearing-gbp",
    )
    assert [(line.description, line.amount_minor, line.tax, line.tax_minor) for line in data.lines] == [
        ("gocardless fee", 228, "tax-20", 38)
    ]
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "reconciled"
    company.check_books()


def test_payout_b_takes_back_a_late_failure_and_its_fee(company):
    one, two = several(company, 10_000, 20_000)
    company.payout("PO1", [into(100_000, one), fee(-1_440, one, 240)], 9_856)
    company.answer_all()
    company.pay(one, "failed", "2026-03-10T09:00:00.000Z", cause="refer_to_payer")
    company.answer_all()
    assert company.state.open_items[f"GBP:{one}"].amount_minor == -10_000
    company.now = "2026-03-11T09:30:00.000Z"
    items = [into(200_000, two), fee(-2_640, two, 440), item("payment_failed", -100_000, one), fee(1_440, one, 240)]
    company.payout("PO2", items, 9_880)
    row = company.state.payouts["PO2"]
    assert (row.gross_minor, row.fee_minor, row.vat_minor) == (10_000, 120, 20)
    assert company.clearing() == 0
    assert not company.state.open_items
    assert company.balance("bank:GBP") == 9_856 + 9_880
    assert expense(company).amount_minor == 120
    company.answer_all()
    assert company.state.payouts["PO2"].stage == "reconciled"
    company.check_books()


@pytest.mark.parametrize(("amount", "fee_minor", "residue"), [(127, 23, -5), (128, 22, 5)])
def test_payout_c_foots_to_the_tenth_whichever_way_it_was_rounded(company, amount, fee_minor, residue):
    (one,) = several(company, 150)
    company.payout("PO1", [into(1_500, one), fee(-225, one)], amount)
    row = company.state.payouts["PO1"]
    assert (row.gross_minor, row.fee_minor, row.residue_tenths, row.stage) == (150, fee_minor, residue, "posting")
    lines = expense(company).lines
    assert sum(line.amount_minor for line in lines) == fee_minor
    assert company.clearing() == 0
    company.check_books()


@pytest.mark.parametrize("amount", [14_771, 14_773, 0])
def test_a_payout_that_does_not_foot_is_held_and_nothing_of_it_is_posted(company, amount):
    one, two = several(company, 10_000, 5_000)
    company.payout("PO1", [into(100_000, one), into(50_000, two), fee(-1_440, one), fee(-840, two)], amount)
    assert (company.state.payouts["PO1"].stage, company.state.payouts["PO1"].reason) == ("held", "does_not_foot")
    assert company.state.discrepancies["payout_breach:payouts:PO1"].text == (
        f"Payout PO1 does not foot: its items sum to 147720 tenths, its amount is {amount} GBP."
    )
    assert company.clearing() == 15_000
    assert not company.pending


def test_gross_that_is_no_whole_minor_unit_is_a_breach(company):
    one, two = several(company, 10_000, 5_000)
    company.payout("PO1", [into(100_005, one), into(49_995, two)], 15_000)
    assert company.open_codes() == {"payout_breach"}
    company.check_books()


def test_items_that_are_not_ours_pass_through_suspense_each_by_name(company):
    (one,) = several(company, 10_000)
    for foreign, amount in (("PM8", 3_000), ("PM9", 2_000)):
        company.world[f"gocardless.read_payment:{foreign}"] = [
            events.PaymentRead(foreign, "paid_out", amount, "GBP", "MD9", PAID)
        ]
    items = [into(100_000, one), into(30_000, "PM8"), item("payment_refunded", -5_000, "PM9"), fee(-1_440, one, 240)]
    company.payout("PO1", items, 12_356)
    assert company.state.payouts["PO1"].stage == "seen"
    company.answer_all()
    company.reach("2026-03-09T10:30:00.000Z")
    row = company.state.discrepancies["foreign_items:payouts:PO1"]
    assert (row.amount_minor, row.text) == (
        2_500,
        "Payout PO1 holds 2 items that are not ours; their sum went to suspense.",
    )
    assert company.balance("suspense:GBP") == -2_500
    assert company.clearing() == 0
    markers = {one.data.marker: one.data for one in company.asked("zoho.create_transfer")}
    data = markers["PO1:foreign"]
    assert (data.from_account, data.to_account, data.amount_minor) == ("acc-suspense-gbp", "acc-clearing-gbp", 2_500)
    assert company.state.payouts["PO1"].stage == "reconciled"
    texts = [entry.text for _, decision in company.log for entry in decision.entries]
    assert "PO1 item 1: payment paid out, not ours" in texts
    company.check_books()


def test_foreign_items_that_are_taken_out_go_the_other_way_and_without_an_account_are_shown(company):
    several(company, 10_000)
    items = [item("refund", -1_000), item("payment_paid_out", 100_000, "PM-1-1")]
    company.payout("PO1", items, 9_900)
    data = company.asked("zoho.create_transfer")[-1].data
    assert (data.from_account, data.to_account, data.amount_minor) == ("acc-clearing-gbp", "acc-suspense-gbp", 100)
    company.answer_all()
    company.tell(
        "policy.set",
        events.PolicySet("finance", replace(POLICY, version=2, accounts=replace(POLICY.accounts, suspense={}))),
    )
    company.payout("PO2", [item("refund", 1_000)], 100)
    assert "account_missing:payouts:PO2:suspense" in company.state.discrepancies
    company.check_books()


def test_foreign_items_that_cancel_out_need_no_transfer(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one), item("refund", -500), item("refund_funds_returned", 500)], 10_000)
    assert [command.data.marker for command in company.asked("zoho.create_transfer")] == ["PO1"]
    assert company.balance("suspense:GBP") == 0
    assert "foreign_items" in company.open_codes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payout_type": "partner"}, "revenue share of a partner"),
        ({"fx_currency": "EUR"}, "paid in another currency than collected"),
    ],
)
def test_kinds_that_are_not_posted_are_shown(company, changes, reason):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000, **changes)
    assert company.state.discrepancies["payout_unsupported:payouts:PO1"].text.endswith(f"{reason}.")
    assert company.clearing() == 10_000


def test_an_fx_currency_that_is_its_own_is_no_exchange(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000, fx_currency="GBP")
    assert company.state.payouts["PO1"].stage == "posting"


def test_more_fees_back_than_charged_is_shown_and_booked_here(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one), fee(1_440, one, 240)], 10_144)
    assert company.state.discrepancies["fee_refund:payouts:PO1"].amount_minor == 144
    assert not company.asked("zoho.create_expense")
    assert (company.balance("fees:GBP"), company.balance("input_vat:GBP")) == (-120, -24)
    company.check_books()


def test_a_payout_of_zero_moves_nothing_to_the_bank(company):
    one, two = several(company, 10_000, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000)
    company.answer_all()
    company.pay(one, "failed", "2026-03-10T09:00:00.000Z")
    company.answer_all()
    company.now = "2026-03-11T09:30:00.000Z"
    company.payout("PO2", [into(100_000, two), item("payment_failed", -100_000, one)], 0)
    assert [command.data.marker for command in company.asked("zoho.create_transfer")] == ["PO1"]
    assert company.state.payouts["PO2"].stage == "reconciled"
    assert company.clearing() == 0


def test_fees_may_be_left_to_a_person(company):
    (one,) = several(company, 10_000, policy=replace(POLICY, fee_expense=False))
    company.payout("PO1", [into(100_000, one), fee(-1_440, one, 240)], 9_856)
    assert not company.asked("zoho.create_expense")
    assert company.balance("fees:GBP") == 120
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "reconciled"


def test_a_payout_waits_until_its_payments_are_known_and_booked(company):
    company.ready()
    company.now = PAID
    company.payout("PO1", [into(120_000, "PM9")], 12_000)
    assert company.state.payouts["PO1"].stage == "seen"
    assert not company.asked("zoho.create_transfer")
    metadata = {"zoho_invoice_id": "1", "command": "cm-of-an-earlier-life"}
    company.tell(
        "gocardless.payment_read", events.PaymentRead("PM9", "paid_out", 12_000, "GBP", "MD1", PAID, metadata=metadata)
    )
    assert company.state.payouts["PO1"].stage == "posting"
    assert (company.clearing(), company.balance("receivables:GBP")) == (0, -12_000)
    company.check_books()


def test_items_come_before_anything_else_is_known(company):
    (one,) = several(company, 10_000)
    company.tell(
        "gocardless.payout_items_read",
        events.PayoutItemsRead("PO1", 0, [into(100_000, one), fee(-1_440, one)], complete=True),
    )
    assert company.clearing() == 10_000
    read = events.PayoutRead("PO1", "paid", 9_856, "GBP", PAID, arrival_date="2026-03-09", creditor_bank_account="BA1")
    company.tell("gocardless.payout_read", read)
    assert company.clearing() == 10_000
    company.gc("payouts", "paid", links={"payout": "PO1"})
    assert company.clearing() == 0
    assert transfer(company).reference == "PO1"


def test_pages_are_put_together_in_any_order(company):
    made = several(company, 1_000, 2_000, 3_000)
    company.gc("payouts", "paid", links={"payout": "PO1"})
    company.pending.clear()
    read = events.PayoutRead("PO1", "paid", 6_000, "GBP", PAID, arrival_date="2026-03-09", creditor_bank_account="BA1")
    company.tell("gocardless.payout_read", read)
    page = [into(amount * 10, payment) for amount, payment in zip((1_000, 2_000, 3_000), made, strict=True)]
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 2, page[2:], complete=True))
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 0, page[:1], complete=False))
    assert not company.state.payouts["PO1"].posted
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 1, page[1:2], complete=False))
    assert company.state.payouts["PO1"].posted
    assert company.clearing() == 0


def test_a_page_that_comes_after_it_was_posted_changes_nothing(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000)
    before = company.state.payouts["PO1"]
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 7, [into(100_000, one)], complete=True))
    assert company.state.payouts["PO1"] == before
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "reconciled"


def test_an_item_of_a_payment_that_names_another_payout_does_not_leave_this_one_waiting(company):
    (one,) = several(company, 10_000)
    company.world["gocardless.read_payment:PM8"] = [
        events.PaymentRead("PM8", "charged_back", 3_000, "GBP", "MD9", PAID, payout="PO0")
    ]
    company.payout("PO1", [into(100_000, one), item("payment_charged_back", -30_000, "PM8")], 7_000)
    company.answer_all()
    company.reach("2026-03-09T11:00:00.000Z")
    assert company.state.payouts["PO1"].stage == "reconciled"
    assert company.clearing() == 0


def test_a_payout_that_is_not_paid_yet_is_read_again_after_an_hour(company):
    (one,) = several(company, 10_000)
    pending = events.PayoutRead("PO1", "pending", 10_000, "GBP", PAID, creditor_bank_account="BA1")
    company.world["gocardless.read_payout:PO1"] = [pending]
    company.world["gocardless.read_payout_items:PO1"] = [
        events.PayoutItemsRead("PO1", 0, [into(100_000, one)], complete=True)
    ]
    company.gc("payouts", "paid", links={"payout": "PO1"})
    company.answer_all()
    assert len(company.asked("gocardless.read_payout")) == 1
    company.world["gocardless.read_payout:PO1"] = [replace(pending, status="paid", arrival_date="2026-03-09")]
    company.reach("2026-03-09T10:30:00.000Z")
    assert len(company.asked("gocardless.read_payout")) == 2
    assert company.state.payouts["PO1"].stage == "reconciled"
    company.check_commands()


def test_a_payout_is_posted_once_however_often_it_is_told(company):
    (one,) = several(company, 10_000)
    for number in range(3):
        company.gc(
            "payouts", "paid", links={"payout": "PO1"}, id_=f"EV{number}", at=f"2026-03-09T0{number + 1}:00:00.000Z"
        )
    company.world["gocardless.read_payout:PO1"] = [
        events.PayoutRead("PO1", "paid", 10_000, "GBP", PAID, arrival_date="2026-03-09", creditor_bank_account="BA1")
    ]
    company.world["gocardless.read_payout_items:PO1"] = [
        events.PayoutItemsRead("PO1", 0, [into(100_000, one)], complete=True)
    ]
    company.answer_all()
    company.gc("payouts", "paid", links={"payout": "PO1"}, id_="EV9")
    company.answer_all()
    assert len(company.asked("zoho.create_transfer")) == 1
    assert company.balance("bank:GBP") == 10_000


@pytest.mark.parametrize(("bank", "what"), [("BA9", "bank account BA9"), ("", "bank account ")])
def test_an_unmapped_bank_account_holds_the_payout_until_it_is_mapped(company, bank, what):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000, creditor_bank_account=bank)
    assert (
        company.state.discrepancies["account_missing:payouts:PO1"].text
        == f"No Zoho account is mapped for {what}; PO1 waits."
    )
    assert company.clearing() == 10_000
    accounts = replace(POLICY.accounts, bank={bank: "acc-new"})
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=2, accounts=accounts)))
    company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", "account_missing:payouts:PO1"))
    assert transfer(company).to_account == "acc-new"
    assert company.open_codes() == set()


def test_a_payout_in_closed_books_is_dated_on_the_first_open_day(company):
    (one,) = several(company, 10_000, policy=replace(POLICY, closed_through="2026-03-09"))
    company.payout("PO1", [into(100_000, one)], 10_000)
    assert transfer(company).date == "2026-03-10"


def test_a_payout_without_an_arrival_date_takes_the_day_it_was_paid(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one)], 10_000, arrival_date="")
    assert transfer(company).date == "2026-03-09"


def test_payments_of_the_opening_balance_leave_through_the_opening_item(company):
    (one,) = several(company, 10_000, policy=replace(POLICY, books_from="2026-03-07"))
    company.payout("PO1", [into(100_000, one)], 10_000)
    assert company.state.open_items["GBP:opening"].amount_minor == -10_000
    assert company.balance("bank:GBP") == 10_000
    company.check_books()


def test_a_refused_transfer_is_shown_and_the_payout_is_reconciled_when_it_succeeds(company):
    (one,) = several(company, 10_000)
    company.payout("PO1", [into(100_000, one), fee(-1_440, one, 240)], 9_856)
    command = company.take("zoho.create_transfer")
    company.outcome(command, "refused", reason="1003", message="the period is locked")
    company.answer_all()
    assert (
        company.state.discrepancies["posting_refused:payouts:PO1"].text
        == "Zoho refused the transfer for PO1: the period is locked."
    )
    assert company.state.payouts["PO1"].stage == "posting"
    company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id))
    company.answer(command)
    assert company.state.payouts["PO1"].stage == "reconciled"
    assert company.open_codes() == set()


def test_a_read_of_a_payout_that_is_refused_is_shown(company):
    company.open_gate()
    company.gc("payouts", "paid", links={"payout": "PO1"})
    company.answer_all()
    assert company.open_codes() == {"read_refused"}


def test_items_that_could_not_all_be_read_are_shown_and_read_again_until_they_are(company):
    (one,) = several(company, 10_000)
    company.gc("payouts", "paid", links={"payout": "PO1"})
    company.answer(company.take("gocardless.read_payout"))
    facts = {"status": "paid", "currency": "GBP", "arrival_date": company.now[:10], "creditor_bank_account": "BA1"}
    read = events.PayoutRead("PO1", amount_minor=9_880, created_at=company.now, reference="R", **facts)
    company.tell("gocardless.payout_read", read)
    half = events.PayoutItemsRead("PO1", 0, [into(100_000, one)], complete=False)
    waited_h = []
    for attempt in range(1, 9):
        asked_at = company.now
        command = company.take("gocardless.read_payout_items")
        assert command.attempt == attempt
        company.tell("gocardless.payout_items_read", half)
        company.outcome(command, "refused", reason="unreadable")
        assert company.open_codes() == {"read_refused"}
        company.tell("gocardless.payout_read", read)
        assert "gocardless.read_payout_items" not in company.pending_types, "it waits for its time"
        company.reach(company.state.timers["payout:PO1"].at, answer=False)
        waited_h.append((times.parse(company.now) - times.parse(asked_at)).total_seconds() / 3600)
    assert [round(hours) for hours in waited_h] == [1, 2, 4, 8, 16, 32, 32, 32]
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 1, [fee(-1_200, one)], complete=True))
    company.outcome(company.take("gocardless.read_payout_items"), resource="PO1")
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "reconciled"
    assert company.open_codes() == set()
    company.check_replay()


def test_fee_lines_are_grouped_by_type_and_rate_and_sum_to_the_fee():
    fees = {"gocardless_fee|GB": (-2_010, -336), "gocardless_fee|": (-333, 0), "surcharge_fee|": (-500, 0)}
    found = fee_lines(Payout("PO1", fee_minor=285, fees=fees), {"GB": "tax-20"})
    assert [(line.description, line.amount_minor, line.tax, line.tax_minor) for line in found] == [
        ("gocardless fee", 33, "", 0),
        ("gocardless fee", 201, "tax-20", 34),
        ("surcharge fee", 50, "", 0),
        ("rounding", 1, "", 0),
    ]
    assert sum(line.amount_minor for line in found) == 285
