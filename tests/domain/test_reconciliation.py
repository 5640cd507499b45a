from domain import events, reconciliation


def item(type_, tenths, payment):
    return events.PayoutItem(type_, tenths, payment)


def test_a_payout_is_reconciled_only_when_everything_of_it_is_in_zoho(company):
    payment = company.collect()
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    posting = company.take("zoho.create_customer_payment")
    company.now = "2026-03-09T09:30:00.000Z"
    company.payout("PO1", [item("payment_paid_out", 120_000, payment), item("gocardless_fee", -1_440, payment)], 11_856)

    def stage():
        return company.state.payouts["PO1"].stage

    assert stage() == "posting"
    company.answer(company.take("zoho.create_transfer"))
    company.answer(company.take("zoho.create_expense"))
    assert stage() == "posting"
    company.answer(posting)
    assert stage() == "reconciled"
    records = [one for _, decision in company.log for one in decision.publications]
    assert [one.topic for one in records] == ["reconciled-payments", "reconciled-payouts"] or [
        one.topic for one in records
    ] == [
        "reconciled-payouts",
        "reconciled-payments",
    ]


def test_a_payout_with_a_refused_booking_is_not_reconciled(company):
    payment = company.collect()
    company.refuse["zoho.create_customer_payment"] = ("1002", "no such customer")
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.now = "2026-03-09T09:30:00.000Z"
    company.payout("PO1", [item("payment_paid_out", 120_000, payment)], 12_000)
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "posting"


def test_the_clearing_balance_is_its_open_items_oldest_first(company):
    company.ready()
    company.invoice("2", amount_minor=5_000)
    company.reach("2026-03-03T12:00:00.000Z")
    company.pay("PM-1-1", "confirmed", "2026-03-07T11:40:00.000Z")
    company.pay("PM-2-1", "confirmed", "2026-03-06T11:40:00.000Z")
    found = reconciliation.clearing_items(company.state, "GBP")
    assert [(row.resource, row.amount_minor, row.name, row.since) for row in found] == [
        ("PM-2-1", 5_000, "confirmed, not yet paid out", "2026-03-06"),
        ("PM-1-1", 12_000, "confirmed, not yet paid out", "2026-03-07"),
    ]
    assert sum(row.amount_minor for row in found) == company.clearing()
    assert reconciliation.clearing_items(company.state, "EUR") == []
