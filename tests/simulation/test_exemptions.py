"""What is no breach is one as soon as its reason is missing: nothing is excused by half of it."""

from functools import reduce

import msgspec
import pytest

from streams.simulation.oracles import breaches
from tests.simulation import mutations as of
from tests.support.evidence import at_gocardless, with_act, with_discrepancy, with_fields


def payment_id(month):
    return of.payment(month)["id"]


def posting_id(month):
    return month.state.bookings[f"{payment_id(month)}:1"].zoho_payment


def act(name, pick, at=""):
    return lambda month: with_act(month, name, pick(month), at=at)


def tell(code, pick, **facts):
    """A discrepancy about a row; facts that are functions are asked of the month."""

    def change(month):
        said = {name: fact(month) if callable(fact) else fact for name, fact in facts.items()}
        return with_discrepancy(month, code, pick(month), **said)

    return change


def closed(change):
    """The same, after a person has dealt with it."""

    def then(month):
        month = change(month)
        row = list(month.state.discrepancies.values())[-1]
        return of.with_rows(month, "discrepancies", msgspec.structs.replace(row, closed_at=month.now))

    return then


def duplicate(kind, pick, got):
    return tell("duplicate_found", lambda month: f"{kind}:{pick(month)}", command="x", got=got)


def booking(month):
    return f"bookings:{payment_id(month)}:1"


TOLD_OF_POSTING = tell("already_booked", booking, payment=payment_id)
EDITED = act("zoho.edit_payment", posting_id)
DELETED = act("zoho.delete_payment", posting_id)


def in_two_currencies(month):
    """A debit that was made again by hand at GoCardless, an hour before ours of the same invoice was sent."""
    month = of.another_while_it_is_under_way(month)

    def change(docs):
        later = of.find(docs["payments"], "id", "PMBESIDE")
        earlier = payment_id(month)
        template = next(one for one in docs["events"] if one["links"].get("payment") == earlier)
        for action, minute in (("failed", "00"), ("resubmission_requested", "20")):
            at = later["created_at"][:11] + f"06:{minute}:00.500Z"
            docs["events"].append({**template, "id": f"EV{action}", "action": action, "created_at": at})
        later["created_at"] = later["created_at"][:11] + "07:00:00.000Z"

    return at_gocardless(month, change)


#: (what, the oracle, what was changed, what excuses it: each part is needed)
EXEMPTIONS = [
    ("two transfers, told", "transfer_twice account_differs", of.TRANSFER_AGAIN, [duplicate("payouts", lambda month: of.payout(month).id, "T2")]),
    ("two refunds, told", "refund_twice account_differs", of.refunded_again, [duplicate("bookings", lambda month: of.reversed_booking(month).id, "R2")]),
    ("a posting that a person edited", "posting_differs account_differs", of.posting_of_other_amount, [EDITED, TOLD_OF_POSTING]),
    ("a posting that a person deleted", "unknown_resource account_differs posting_missing", of.posting_gone, [DELETED, TOLD_OF_POSTING]),
    ("a customer that a person changed", "posting_differs", of.posting_is(customer_id="4711"), [act("zoho.edit_invoice", lambda month: of.payment(month)["metadata"]["zoho_invoice_id"]), TOLD_OF_POSTING]),
    ("an invoice that a person lowered", "overcollected", of.the_invoice_is_smaller, [act("zoho.edit_invoice", lambda month: of.payment(month)["metadata"]["zoho_invoice_id"]), tell("excess", lambda month: f"payments:{payment_id(month)}", payment=payment_id, number="INV")]),
    ("money that came back, which a person has settled", "overcollected", of.the_invoice_is_smaller, [act("gocardless.cancel_chargeback", payment_id), closed(tell("excess", lambda month: f"payments:{payment_id(month)}", payment=payment_id, number="INV"))]),
    ("a debit that was retried by hand", "debit_beside_live", in_two_currencies, [tell("two_resources", lambda month: "commands:cm-x", command="x", got="PMBESIDE", wanted=payment_id)]),
    ("a debit from before a restore", "debit_without_command", of.its_command_is_unknown, [act("installation.restore", lambda month: "", "2026-04-01T00:00:00.000Z")]),
    ("a mandate that went to another payer since", "debit_mandate", of.the_payer_is_claimed_by_another, [act("gocardless.transfer_mandate", lambda month: of.payment(month)["links"]["mandate"], "2026-04-01T00:00:00.000Z")]),
    ("an invoice that was sent again", "debit_uncollectable", of.before_its_debit("zoho.void_invoice", 24), [of.before_its_debit("zoho.send_invoice", 12)]),
    ("a tax that is told", "expense_tax", lambda month: of.of_record(month, "expenses", "expense", lambda one, books: one.update(tax_minor=1)), [tell("account_missing", lambda month: f"payouts:{of.payout(month).id}", what="x", number="x")]),
    ("a debit that could not be cancelled, and told", "debit_left", of.before_its_debit("zoho.void_invoice", -3), [tell("account_missing", lambda month: f"payments:{payment_id(month)}", what="x", number="x")]),
    ("a command of a connection that stands still", "command_open", of.waits(), [of.owes_a_look_at("gocardless")]),
    ("a command that is told", "command_open", of.waits(), [tell("command_parked", lambda month: "invoices:4711", command="x", number="x", reason="x", id="cm-x")]),
    ("a command that is parked, and told", "parked_untold", of.a_command_is(status="parked"), [lambda month: with_discrepancy(month, "read_refused", "payouts:POX", what="x", reason="x", id=next(one.id for one in month.state.commands.values() if one.status == "parked"))]),
    ("a payout that came back, and is told", "payout_left", of.payout_came_back, [tell("payout_breach", lambda month: f"payouts:{of.payout(month).id}", payout="x", got="x", wanted="x")]),
    ("a payment that is not booked, and told", "posting_missing", lambda month: with_fields(month, "payments", payment_id(month), booked=0), [tell("account_missing", lambda month: f"payments:{payment_id(month)}", what="x", number="x")]),
]  # fmt: skip


def found(evidence):
    return {one.oracle for one in breaches(evidence)}


@pytest.mark.parametrize(
    ("oracles", "change", "reasons"),
    [pytest.param(oracles, change, reasons, id=what) for what, oracles, change, reasons in EXEMPTIONS],
)
def test_an_exemption_holds_with_all_of_its_reasons_and_with_no_less(month, oracles, change, reasons):
    wrong = change(month)
    asked = set(oracles.split())
    assert asked <= found(wrong)
    for left_out in range(len(reasons)):
        rest = reasons[:left_out] + reasons[left_out + 1 :]
        assert asked <= found(reduce(lambda evidence, reason: reason(evidence), rest, wrong))
    assert not asked & found(reduce(lambda evidence, reason: reason(evidence), reasons, wrong))


def test_another_records_discrepancy_excuses_nothing(month):
    wrong = of.TRANSFER_AGAIN(month)
    assert "transfer_twice" in found(duplicate("payouts", lambda one: "POX", "T9")(wrong))
    assert "transfer_twice" in found(
        tell("foreign_items", lambda one: f"payouts:{of.payout(one).id}", payout="x", count="1")(wrong)
    )


def test_what_others_book_on_an_account_of_ours_is_no_breach(month):
    assert found(of.a_foreign_transfer_out_of_clearing(month)) == set()


def test_what_is_under_way_may_differ_by_its_own_amount_alone(month):
    row = month.state.bookings[f"{payment_id(month)}:1"]
    command = msgspec.structs.replace(month.state.commands[row.command], status="open", about=f"bookings:{row.id}")
    under_way = of.with_rows(of.posting_gone(month), "commands", command)
    assert "account_differs" not in found(under_way)
    assert "account_differs" in found(of.moved_in_zoho("clearing")(under_way))


def test_a_second_invitation_after_the_page_of_the_first_has_died_is_no_breach(month):
    assert found(of.invited_once_more(20)(month)) == set()
