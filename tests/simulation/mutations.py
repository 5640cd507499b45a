"""What can be changed of a calm month: each function takes its evidence and gives another."""

from typing import Any

import msgspec

from domain import times
from domain.commands import Command, ReadPayment
from domain.events import DeliveryParked
from domain.state import Mandate, OpenItem, TimerRow
from projections.work.halts import CatchUp, SetAside
from streams.simulation.oracles import Evidence
from streams.simulation.oracles.evidence import QueueRow
from tests.support.evidence import (
    at_gocardless,
    booked,
    in_zoho,
    published,
    with_act,
    with_discrepancy,
    with_fields,
    with_rows,
)

replace = msgspec.structs.replace


# --- what there is to change ---


def payment(month: Evidence, status: str = "paid_out", currency: str = "GBP") -> dict[str, Any]:
    """A debit of the month."""
    rows = month.gocardless["resources"]["payments"]
    return next(one for one in rows if one["status"] == status and one["currency"] == currency)


def reversed_booking(month: Evidence):
    return next(one for one in month.state.bookings.values() if one.stage == "reversed")


def failed_invoice(month: Evidence):
    return next(one for one in month.state.invoices.values() if one.stage == "failed")


def held_invoice(month: Evidence):
    return next(one for one in month.state.invoices.values() if one.stage == "hold")


def payout(month: Evidence):
    return next(one for one in month.state.payouts.values() if one.currency == "GBP")


def find(documents, key, value):
    return next(one for one in documents if one[key] == value)


def of_payment(month, change):
    """Change one paid out debit at GoCardless."""
    key = payment(month)["id"]
    return at_gocardless(month, lambda docs: change(find(docs["payments"], "id", key), docs))


def of_posting(month, change):
    """Change the customer payment of one in Zoho."""
    row = month.state.bookings[payment(month)["id"] + ":1"]
    return in_zoho(month, lambda books: change(find(books["payments"], "payment_id", row.zoho_payment), books))


def of_record(month, name, key, change):
    """Change one record of a list in Zoho; `key` is the field of a payout's row that names it."""
    ids = {"banktransactions": "transaction_id", "expenses": "expense_id"}
    wanted = getattr(payout(month), key)
    return in_zoho(month, lambda books: change(find(books[name], ids[name], wanted), books))


def of_refund(month, change):
    return in_zoho(
        month,
        lambda books: change(find(books["refunds"], "payment_refund_id", reversed_booking(month).refund), books),
    )


# --- debits ---


def one_more_of_the_same_command(month):
    def change(one, docs):
        docs["payments"].append({**one, "id": "PMAGAIN", "status": "cancelled", "metadata": dict(one["metadata"])})

    return of_payment(month, change)


def another_while_it_is_under_way(month):
    def change(one, docs):
        metadata = {**one["metadata"], "command": payment(month, currency="EUR")["metadata"]["command"]}
        created = one["created_at"][:-5] + ".001Z"
        docs["payments"].append(
            {**one, "id": "PMBESIDE", "status": "cancelled", "metadata": metadata, "created_at": created}
        )

    return of_payment(month, change)


def another_after_it_was_collected(month):
    def change(one, docs):
        metadata = {**one["metadata"], "command": payment(month, currency="EUR")["metadata"]["command"]}
        late = {"status": "submitted", "created_at": "2026-03-31T06:00:00.000Z", "metadata": metadata}
        docs["payments"].append({**one, "id": "PMLATE", **late})

    return of_payment(month, change)


def the_invoice_is_smaller(month):
    def change(one, books):
        invoice = find(books["invoices"], "invoice_id", one["invoices"][0]["invoice_id"])
        invoice["total_minor"] -= 1

    return of_posting(month, change)


def amount_is(value):
    return lambda month: of_payment(month, lambda one, docs: one.update(amount=value))


def the_mandate_is_anothers(month):
    other = payment(month, currency="GBP")["links"]["mandate"]
    mandate = next(
        one["id"] for one in month.gocardless["resources"]["mandates"] if one["scheme"] == "bacs" and one["id"] != other
    )
    return of_payment(month, lambda one, docs: one["links"].update(mandate=mandate))


def the_payer_is_claimed_by_another(month):
    def change(one, docs):
        mandate = find(docs["mandates"], "id", one["links"]["mandate"])
        find(docs["customers"], "id", mandate["links"]["customer"])["metadata"] = {"zoho_contact_id": "4711"}

    return of_payment(month, change)


def the_account_is_in_euro(month):
    def change(one, docs):
        mandate = find(docs["mandates"], "id", one["links"]["mandate"])
        find(docs["customer_bank_accounts"], "id", mandate["links"]["customer_bank_account"])["currency"] = "EUR"

    return of_payment(month, change)


def before_its_debit(name, hours):
    """Somebody did something to an invoice, so many hours before its debit was made."""

    def change(month):
        one = payment(month)
        at = times.add_seconds(one["created_at"], -3600 * hours)
        return with_act(month, name, one["metadata"]["zoho_invoice_id"], at=at)

    return change


def shown_otherwise(**fields):
    """What had been shown of an invoice before its debit was decided."""

    def change(month):
        key = payment(month)["metadata"]["zoho_invoice_id"]

        def events():
            for offset, event in month.events():
                if event.type.startswith("zoho.invoice_") and getattr(event.data, "id", "") == key:
                    yield offset, replace(event, data=replace(event.data, **fields))
                else:
                    yield offset, event

        return replace(month, events=events)

    return change


def never_shown(month):
    return replace(month, events=lambda: (one for one in month.events() if not one[1].type.startswith("zoho.invoice_")))


def its_command_is(**fields):
    return lambda month: with_fields(month, "commands", payment(month)["metadata"]["command"], **fields)


def its_command_is_unknown(month):
    command = payment(month)["metadata"]["command"]
    return with_rows(month, "commands", without=(command,))


def of_another_creditor(month):
    return of_payment(month, lambda one, docs: one["links"].update(creditor="CROTHER"))


# --- invitations ---


def invited_once_more(hours):
    def change(month):
        def more(docs):
            one = docs["billing_requests"][0]
            created = f"2026-03-01T{13 + hours}:00:06.000Z" if hours < 11 else "2026-03-20T13:00:00.000Z"
            docs["billing_requests"].append({**one, "id": "BRQMORE", "created_at": created, "links": {}})

        return at_gocardless(month, more)

    return change


def invited_with_a_mandate(month):
    contact = next(one for one in month.state.contacts.values() if one.match_by == "email" and one.currency == "GBP")

    def change(docs):
        one = docs["billing_requests"][0]
        more = {
            "id": "BRQMORE",
            "created_at": "2026-03-20T13:00:00.000Z",
            "metadata": {"zoho_contact_id": contact.id},
            "mandate_request": {**one["mandate_request"], "currency": "GBP"},
        }
        docs["billing_requests"].append({**one, **more})

    return at_gocardless(month, change)


# --- the books in Zoho ---


def twice(name, key, new, account_fields=()):
    """A second record like the one that `key` of the payout's row names, with its effect on the accounts."""

    def change(month):
        def copy(one, books):
            fields = {"banktransactions": "transaction_id", "expenses": "expense_id"}
            books[name].append({**one, fields[name]: new})
            for field, sign in account_fields:
                booked(books, one[field], sign * one.get("amount_minor", one.get("total_minor", 0)))

        return of_record(month, name, key, copy)

    return change


TRANSFER_AGAIN = twice("banktransactions", "transfer", "T2", [("from_account_id", -1), ("to_account_id", 1)])
EXPENSE_AGAIN = twice("expenses", "expense", "E2", [("paid_through_account_id", -1)])


def posted_again(month):
    def change(one, books):
        books["payments"].append({**one, "payment_id": "P2"})
        booked(books, one["account_id"], one["amount_minor"])

    return of_posting(month, change)


def refunded_again(month):
    def change(one, books):
        books["refunds"].append({**one, "payment_refund_id": "R2"})
        booked(books, one["from_account_id"], -one["amount_minor"])

    return of_refund(month, change)


def key_is(text):
    def change(month):
        key = payment(month)["id"]
        return of_posting(
            month, lambda one, books: one["custom_fields"].update(cf_gocardless_key=text.format(payment=key))
        )

    return change


def posting_is(**fields):
    return lambda month: of_posting(month, lambda one, books: one.update(fields))


def posting_of_other_amount(month):
    def change(one, books):
        one["amount_minor"] += 100
        booked(books, one["account_id"], 100)

    return of_posting(month, change)


def posting_gone(month):
    def change(one, books):
        books["payments"].remove(one)
        booked(books, one["account_id"], -one["amount_minor"])

    return of_posting(month, change)


def moved_in_zoho(account):
    """Money on an account of ours that no record explains."""

    def change(month):
        key = getattr(month.state.policy.accounts, account)["GBP"]
        return in_zoho(month, lambda books: booked(books, key, 5))

    return change


def a_foreign_transfer_out_of_clearing(month):
    def change(one, books):
        books["banktransactions"].append({**one, "transaction_id": "T3", "description": "by hand"})
        booked(books, one["from_account_id"], -one["amount_minor"])
        booked(books, one["to_account_id"], one["amount_minor"])

    return of_record(month, "banktransactions", "transfer", change)


# --- our books ---


def line_is(month, change):
    first, *rest = month.lines
    return replace(month, lines=(change(first), *rest))


def wrong_entry(month):
    return line_is(month, lambda one: replace(one, amount_minor=one.amount_minor + 1))


def nameless_item(month):
    return line_is(month, lambda one: replace(one, item=""))


def wrong_balance(month):
    return with_fields(month, "balances", "fees:GBP", amount_minor=1)


def an_item_without_lines(month):
    return with_rows(month, "open_items", OpenItem("GBP:PMX", "GBP", "PMX", 5, "confirmed", "2026-03-02"))


def clearing_without_items(month):
    return with_fields(month, "balances", "clearing:GBP", amount_minor=7)


def payout_is(**fields):
    return lambda month: with_fields(month, "payouts", payout(month).id, **fields)


def an_item_of_the_payout_is(**fields):
    key = "payout_items"
    return lambda month: at_gocardless(month, lambda docs: docs[key][payout(month).id][0].update(fields))


# --- rows, records, the queue ---


def a_mandate_that_is_not_there(month):
    return with_rows(month, "mandates", Mandate("MDX", status="active", read=True))


def public_is(topic, **fields):
    def change(month):
        last = {one.key: one.value for one in month.public() if one.topic == topic}
        key = next(iter(last))
        return published(month, topic, key, {**last[key], "version": 10**6, **fields})

    return change


def not_published(topic):
    return lambda month: replace(month, public=lambda: (one for one in month.public() if one.topic != topic))


def published_of_nothing(month):
    return published(month, "reconciled-payouts", "POX", {"version": 1})


def queued(month, **fields):
    command = Command("cm-x", "payments:PMX", "read_payment:PMX", ReadPayment("PMX"))
    plain = {"state": "ready", "due_at": "2026-03-20T06:00:00.000Z", "asked_at": "2026-03-20T06:00:00.000Z"}
    row = QueueRow(**({"api": "gocardless", "deadline_at": "", "last_error": "", "command": command} | plain | fields))
    return replace(month, queue=(*month.queue, row))


def waits(**fields):
    return lambda month: queued(month, **fields)


TWO_WAIT = {"asked_at": "2026-04-01T23:59:00.000Z", "due_at": "2026-04-02T00:01:00.000Z"}


def two_wait_for_one_purpose(month):
    return queued(queued(month, **TWO_WAIT), **TWO_WAIT)


def a_command_is(**fields):
    def change(month):
        done = next(one for one in month.state.commands.values() if one.type == "gocardless.read_payout")
        return with_fields(month, "commands", done.id, **fields)

    return change


def parked_delivery(month):
    _, last = list(month.events())[-1]
    data = DeliveryParked("dl-1", "deliveries.zoho", 0, 7, "no JSON")
    parked = replace(last, id="x", type="delivery.parked", data=data)
    return replace(month, events=lambda: iter([*month.events(), (10**6, parked)]))


def invoice_is(pick, **fields):
    return lambda month: with_fields(month, "invoices", pick(month).id, **fields)


def answered(pick, code):
    """The discrepancy about an invoice is closed, and that is published."""

    def change(month):
        key = f"{code}:invoices:{pick(month).id}"
        row = replace(month.state.discrepancies[key], closed_at="2026-03-20T00:00:00.000Z")
        value = {"version": 10**6, "status": "closed", "code": code, "text": row.text, "amount_minor": row.amount_minor}
        return published(with_rows(month, "discrepancies", row), "discrepancies", key, value)

    return change


def payout_came_back(month):
    key = payout(month).id
    return at_gocardless(month, lambda docs: find(docs["payouts"], "id", key).update(status="bounced"))


def poll_is(**fields):
    return lambda month: replace(month, polls=tuple(replace(one, **fields) for one in month.polls))


def is_set_aside(month):
    return replace(month, set_aside=(SetAside("acme", 0, 5, "EV1", "KeyError", "2026-03-02"),))


def owes_a_look_at(api):
    return lambda month: replace(month, catch_ups=(CatchUp("acme", api, "restored", "2026-03-02"),))


def timer_is(at):
    return lambda month: with_rows(month, "timers", TimerRow("payout:POX", at, "payouts:POX"))


def open_about(code, pick, **facts):
    return lambda month: with_discrepancy(month, code, pick(month), **facts)


def collected_of(month):
    return f"invoices:{payment(month)['metadata']['zoho_invoice_id']}"
