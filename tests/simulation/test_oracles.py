"""Oracles find what is wrong, and nothing in a month in which nothing is."""

from typing import get_args

import msgspec
import pytest
import sqlalchemy as sa

from projections.store.store import open_store
from projections.store.tables import STATE
from streams.log.topics import Topics
from streams.operate.installation import opened_log
from streams.simulation.oracles import Oracle, books, breaches, rebuild_breaches
from tests.simulation import mutations as of

#: (the oracle that must find it, what was changed, how, which others may find it as well)
MUTATIONS = [
    ("debit_twice", "a second debit of one command", of.one_more_of_the_same_command, "debit_beside_live unseen_resource"),
    ("debit_beside_live", "one beside one under way", of.another_while_it_is_under_way, "debit_without_command debit_twice debit_amount unseen_resource"),
    ("overcollected", "one after one that is paid", of.another_after_it_was_collected, "debit_without_command debit_twice debit_amount debit_beside_live unseen_resource"),
    ("overcollected", "the invoice is smaller", of.the_invoice_is_smaller, ""),
    ("debit_amount", "the amount is another", of.amount_is(1), "stale_row posting_differs"),
    ("debit_amount", "the amount is no whole number", of.amount_is(26696.5), "stale_row posting_differs overcollected"),
    ("debit_amount", "the command asked for another", of.its_command_is(amount_minor=5), ""),
    ("debit_mandate", "the mandate is another payer's", of.the_mandate_is_anothers, ""),
    ("debit_mandate", "the payer says it is another contact", of.the_payer_is_claimed_by_another, ""),
    ("debit_mandate", "the mandate is in another currency", of.the_account_is_in_euro, ""),
    ("debit_uncollectable", "the invoice was voided a day before", of.before_its_debit("zoho.void_invoice", 24), ""),
    ("debit_uncollectable", "the invoice was shown as void", of.shown_otherwise(status="void"), ""),
    ("debit_uncollectable", "less was shown as owing", of.shown_otherwise(balance_minor=1), ""),
    ("debit_uncollectable", "it was shown in another currency", of.shown_otherwise(currency="EUR"), ""),
    ("debit_uncollectable", "it was never shown", of.never_shown, ""),
    ("debit_without_command", "its command is not known", of.its_command_is_unknown, ""),
    ("debit_without_command", "its command is about another invoice", of.its_command_is(about="invoices:4711"), ""),
    ("debit_creditor", "it is another creditor's", of.of_another_creditor, ""),
    ("invited_twice", "a second invitation an hour later", of.invited_once_more(1), ""),
    ("invited_beside_mandate", "one who has a mandate", of.invited_with_a_mandate, ""),
    ("posting_twice", "a second payment with the key", of.posted_again, "account_differs"),
    ("posting_unfounded", "a key of a second confirmation", of.key_is("sandbox:{payment}:2"), "account_differs posting_missing"),
    ("posting_unfounded", "a key of another payment", of.key_is("sandbox:PMX:1"), "account_differs posting_missing"),
    ("posting_unfounded", "a key of the other environment", of.key_is("live:{payment}:1"), "posting_missing"),
    ("posting_differs", "another amount", of.posting_of_other_amount, "account_differs"),
    ("posting_differs", "another customer", of.posting_is(customer_id="4711"), ""),
    ("posting_differs", "another currency", of.posting_is(currency_code="EUR"), ""),
    ("posting_missing", "it is gone from Zoho", of.posting_gone, "unknown_resource account_differs"),
    ("posting_missing", "it was never booked", lambda month: of.with_fields(month, "payments", of.payment(month)["id"], booked=0), "public_record"),
    ("posting_missing", "the refund is gone", lambda month: of.of_refund(month, lambda one, books: books["refunds"].remove(one)), "unknown_resource account_differs"),
    ("refund_twice", "a second refund", of.refunded_again, "account_differs"),
    ("refund_unfounded", "a refund of a second reversal", lambda month: of.of_refund(month, lambda one, books: one.update(reference_number=one["reference_number"].replace(":1:", ":2:"))), "account_differs posting_missing"),
    ("refund_unfounded", "of another amount", lambda month: of.of_refund(month, lambda one, books: one.update(amount_minor=1)), "account_differs"),
    ("transfer_twice", "a second transfer", of.TRANSFER_AGAIN, "account_differs"),
    ("transfer_unfounded", "of a payout that is not", lambda month: of.of_record(month, "banktransactions", "transfer", lambda one, books: one.update(description="x [POX]")), "account_differs"),
    ("transfer_unfounded", "of another amount", lambda month: of.of_record(month, "banktransactions", "transfer", lambda one, books: one.update(amount_minor=1)), "account_differs"),
    ("transfer_unfounded", "to another account", lambda month: of.of_record(month, "banktransactions", "transfer", lambda one, books: one.update(to_account_id="1")), ""),
    ("expense_twice", "a second expense", of.EXPENSE_AGAIN, "account_differs"),
    ("expense_unfounded", "of a payout that is not", lambda month: of.of_record(month, "expenses", "expense", lambda one, books: one["custom_fields"].update(cf_gocardless_key="sandbox:POX")), "account_differs"),
    ("expense_unfounded", "of another amount", lambda month: of.of_record(month, "expenses", "expense", lambda one, books: one.update(total_minor=1)), "account_differs"),
    ("expense_tax", "Zoho's tax is a penny more", lambda month: of.of_record(month, "expenses", "expense", lambda one, books: one.update(tax_minor=one["tax_minor"] + 1)), ""),
    ("entry_unbalanced", "a penny is missing", of.wrong_entry, "balance_differs clearing_items"),
    ("entry_unbalanced", "a line on clearing names nothing", of.nameless_item, "clearing_items"),
    ("balance_differs", "a balance is not its lines", of.wrong_balance, "account_differs"),
    ("clearing_items", "an item that no line moved", of.an_item_without_lines, ""),
    ("clearing_items", "the balance is not its items", of.clearing_without_items, "balance_differs account_differs"),
    ("account_differs", "money on clearing", of.moved_in_zoho("clearing"), ""),
    ("account_differs", "money on suspense", of.moved_in_zoho("suspense"), ""),
    ("account_differs", "the bank has another amount in our ledger", lambda month: of.with_fields(month, "balances", "bank:GBP", amount_minor=1), "balance_differs"),
    ("account_differs", "so have the fees", lambda month: of.with_fields(month, "balances", "fees:EUR", amount_minor=1), "balance_differs"),
    ("account_differs", "so have receivables", lambda month: of.with_fields(month, "balances", "receivables:EUR", amount_minor=1), "balance_differs"),
    ("payout_figures", "the fee is another", of.payout_is(fee_minor=1), "public_record expense_unfounded account_differs"),
    ("payout_figures", "an item is larger", of.an_item_of_the_payout_is(amount="99999.0"), "expense_unfounded"),
    ("unknown_resource", "a mandate that is not there", of.a_mandate_that_is_not_there, ""),
    ("unknown_resource", "a transfer that is not there", of.payout_is(transfer="T0"), "public_record"),
    ("public_record", "a payment is published as collected", of.public_is("reconciled-payments", status="collected"), ""),
    ("public_record", "a payout with another fee", of.public_is("reconciled-payouts", fee_minor=1), ""),
    ("public_record", "a discrepancy is published as closed", of.public_is("discrepancies", status="closed"), ""),
    ("public_record", "payouts are not published", of.not_published("reconciled-payouts"), ""),
    ("public_record", "one that is not there is", of.published_of_nothing, ""),
    ("stale_row", "the balance is another", of.invoice_is(of.failed_invoice, balance_minor=1), ""),
    ("stale_row", "a payment's status is old", lambda month: of.with_fields(month, "payments", of.payment(month)["id"], status="submitted"), ""),
    ("stale_row", "a mandate's status is old", lambda month: of.with_fields(month, "mandates", of.payment(month)["links"]["mandate"], status="cancelled"), ""),
    ("stale_row", "an invoice is gone from Zoho", lambda month: of.in_zoho(month, lambda books: books["invoices"].remove(of.find(books["invoices"], "invoice_id", of.failed_invoice(month).id))), "unknown_resource"),
    ("unseen_resource", "a contact without a row", lambda month: of.with_rows(month, "contacts", without=(next(iter(month.state.contacts)),)), "debit_mandate"),
    ("unseen_resource", "a mandate without a row", lambda month: of.with_rows(month, "mandates", without=(of.payment(month)["links"]["mandate"],)), ""),
    ("command_open", "one is overdue", of.waits(), ""),
    ("command_open", "one waits without a reason", of.waits(due_at="2026-04-03T00:00:00.000Z"), ""),
    ("command_open", "one is being called for days", of.waits(state="sent", due_at=""), ""),
    ("command_open", "one has no row in the queue", of.a_command_is(status="open"), ""),
    ("debit_left", "the invoice is void, and the debit goes on", of.before_its_debit("zoho.void_invoice", -3), ""),
    ("heap", "two for one purpose", of.two_wait_for_one_purpose, ""),
    ("grown", "ten thousand finished commands", lambda month: msgspec.structs.replace(month, queue_done=10_000), ""),
    ("outbox_left", "one decision is not published", lambda month: msgspec.structs.replace(month, unpublished=1), ""),
    ("parked_untold", "a command is parked", of.a_command_is(status="parked"), ""),
    ("parked_untold", "a delivery is parked", of.parked_delivery, ""),
    ("invoice_left", "nothing says why", of.invoice_is(of.failed_invoice, stage="none", reason=""), "discrepancy_stale"),
    ("invoice_left", "it waits for nothing", of.invoice_is(of.failed_invoice, stage="waiting", reason="no_mandate"), "discrepancy_stale todo_overdue"),
    ("invoice_left", "it is scheduled for never", of.invoice_is(of.failed_invoice, stage="scheduled"), "discrepancy_stale todo_overdue"),
    ("invoice_left", "its views never come", of.invoice_is(of.failed_invoice, stage="viewing"), "discrepancy_stale todo_overdue"),
    ("invoice_left", "its debit has ended", of.invoice_is(of.failed_invoice, stage="collecting"), "discrepancy_stale todo_overdue"),
    ("invoice_left", "it is called collected", of.invoice_is(of.failed_invoice, stage="collected", payment="PMX"), "discrepancy_stale"),
    ("invoice_left", "it failed, and nobody is told", of.answered(of.failed_invoice, "debit_failed"), "todo_overdue"),
    ("invoice_left", "it is on hold, and nobody is told", of.answered(of.held_invoice, "debit_reversed"), "todo_overdue"),
    ("todo_overdue", "nothing to do about a payout that waits", of.payout_is(stage="posting"), "payout_left public_record"),
    ("payout_left", "it is not reconciled", of.payout_is(stage="seen"), "public_record todo_overdue"),
    ("payout_left", "it came back", of.payout_came_back, ""),
    ("discrepancy_stale", "the debit of a paid invoice failed", of.open_about("debit_failed", of.collected_of, number="INV", reason="x"), ""),
    ("discrepancy_stale", "the gate is refused", of.open_about("gate_refused", lambda month: "connections:acme", reason="x"), ""),
    ("discrepancy_stale", "a linked contact is proposed", of.open_about("match_proposed", lambda month: f"contacts:{next(iter(month.state.contacts))}", name="C", how="e-mail", payer="CU"), ""),
    ("discrepancy_stale", "one with a mandate needs one", of.open_about("needs_mandate", lambda month: f"contacts:{next(iter(month.state.contacts))}", name="C"), ""),
    ("discrepancy_stale", "a posting that was made is refused", of.open_about("posting_refused", lambda month: f"bookings:{of.payment(month)['id']}:1", what="x", number="x", reason="x", id="x"), ""),
    ("discrepancy_stale", "a payout that is reconciled does not foot", of.open_about("payout_breach", lambda month: f"payouts:{of.payout(month).id}", payout="PO", got="x", wanted="x"), ""),
    ("discrepancy_stale", "an account is missing for what is booked", of.open_about("account_missing", lambda month: f"payments:{of.payment(month)['id']}", what="x", number="x"), ""),
    ("discrepancy_stale", "a read that succeeded is refused", of.open_about("read_refused", lambda month: f"payouts:{of.payout(month).id}", what="x", reason="x", id="x"), ""),
    ("discrepancy_stale", "there is credit of what was taken back", of.open_about("excess", lambda month: f"payments:{of.reversed_booking(month).payment}", payment="PM", number="INV"), ""),
    ("set_aside", "a rule raised", of.is_set_aside, ""),
    ("catch_up", "Zoho is to be caught up with", of.owes_a_look_at("zoho"), ""),
    ("poll_late", "none was walked for days", of.poll_is(head_at="2026-03-20T00:00:00.000Z"), ""),
    ("poll_late", "none was walked at all", lambda month: msgspec.structs.replace(month, polls=()), ""),
    ("calls_over_budget", "more calls than a day has", lambda month: msgspec.structs.replace(month, calls_a_day={("zoho", "2026-03-09"): 10_001}), ""),
    ("timer_past", "a due time was reached a day ago", of.timer_is("2026-04-01T00:00:00.000Z"), ""),
    ("future_instant", "a list was walked tomorrow", of.poll_is(head_at="2026-04-03T00:00:00.000Z"), ""),
]  # fmt: skip


#: What only a run of the program can break: `test_mutations` has those.
OF_A_RUN = {"program_ended", "unhandled", "webhook_taken"}


def test_a_calm_month_has_no_breach(lived):
    assert lived.read_from_log == []
    assert breaches(lived.evidence) == []
    assert lived.rebuilt == []


@pytest.mark.parametrize(
    ("oracle", "change", "others"),
    [pytest.param(oracle, change, others, id=f"{oracle}: {what}") for oracle, what, change, others in MUTATIONS],
)
def test_what_is_wrong_is_found_by_its_oracle_and_by_no_stranger(month, oracle, change, others):
    found = breaches(change(month))
    names = [one.oracle for one in found]
    assert oracle in names
    assert set(names) <= {oracle, *others.split()}, [str(one) for one in found]
    assert all(one.connection == "acme" and one.about and one.words for one in found)


async def test_a_row_that_a_rebuild_would_not_make_is_found(lived, tmp_path):
    settings = lived.evidence.settings
    copy = tmp_path / "store.db"
    with open_store(settings.store) as store:
        store.backup(copy, lived.evidence.now)
    with open_store(f"sqlite:///{copy}", now=lived.evidence.now, adopt="restored") as changed:
        table = STATE["invoices"]
        with changed.write() as connection:
            connection.execute(sa.update(table).where(table.c.number == "INV-0010").values(stage="none"))
        async with opened_log(settings) as log:
            topics = Topics(settings.topic_prefix, settings.partitions)
            (found,) = rebuild_breaches(log, topics, changed, lived.evidence.now, tmp_path)
    assert (found.oracle, found.connection) == ("rebuild_differs", "acme")
    assert "stage is 'none' in the store, 'failed' rebuilt" in found.words


def test_every_oracle_has_a_mutation():
    tried = {oracle for oracle, *_ in MUTATIONS} | {"rebuild_differs"} | OF_A_RUN
    assert set(get_args(Oracle)) == tried


def test_a_breach_names_the_record_and_what_was_expected_and_found(month):
    row = of.payout(month)
    (found,) = breaches(of.payout_is(residue_tenths=0, gross_minor=1)(month), [books.payout_figures])
    assert str(found) == (
        f"payout_figures: acme: payouts:{row.id}: gross_minor is {row.gross_minor} at GoCardless; found 1"
    )
