"""Oracles of debits, told from the simulators alone: never twice for one thing, never more than was owing."""

from collections import Counter
from collections.abc import Iterator

from domain import times
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import ELSEWHERE, SETTLED, excused, told

#: What a person can do in Zoho after which nothing of an invoice is owing.
_ENDS_OWING = frozenset({"zoho.void_invoice", "zoho.delete_invoice", "zoho.write_off_invoice"})
#: After these it may be owing again.
_OWES_AGAIN = frozenset({"zoho.edit_invoice", "zoho.send_invoice", "zoho.delete_payment", "zoho.edit_payment"})


def debit_twice(evidence: Evidence) -> Iterator[Breach]:
    """One debit per command: a call that is repeated meets the key of the first."""
    commands = Counter(one["metadata"]["command"] for one in truth.debits(evidence))
    for command, count in commands.items():
        if count > 1:
            ids = [one["id"] for one in truth.debits(evidence) if one["metadata"]["command"] == command]
            words = f"one command makes one debit; found {count}: {', '.join(ids)}"
            yield Breach("debit_twice", evidence.connection, str(Ref("commands", command)), words)


def debit_beside_live(evidence: Evidence) -> Iterator[Breach]:
    """None is made while another one of the same invoice is live: not yet at its end, or confirmed and not in Zoho."""
    happened = truth.happenings(evidence, "payments", "payment")
    posted = {one.payment for one in truth.keyed_payments(evidence)}
    for invoice, made in truth.debits_by_invoice(evidence).items():
        for place, later in enumerate(made):
            for earlier in made[:place]:
                events = happened.get(earlier["id"], [])
                status = truth.payment_statuses(events, later["created_at"], later["created_at"])[0]
                blocks = status in truth.UNDER_WAY or (status in truth.LIVE and earlier["id"] not in posted)
                if blocks and not _revived_unseen(evidence, events, earlier, later):
                    words = f"{later['id']} was made while {earlier['id']} was {status.replace('_', ' ')}"
                    yield Breach("debit_beside_live", evidence.connection, str(Ref("invoices", invoice)), words)


def _revived_unseen(evidence: Evidence, events: truth.Happenings, earlier: Document, later: Document) -> bool:
    """Whether the earlier one had ended and came to life again after the view that the later one was made on; a person
    must be told of both.
    """
    revivals = [
        one["created_at"]
        for one in events
        if one["action"] in {"resubmission_requested", "chargeback_cancelled"}
        and times.parse(one["created_at"]) <= times.parse(later["created_at"])
    ]
    view_h = evidence.state.policy.view_hours
    recent = bool(revivals) and truth.minutes_apart(revivals[-1], later["created_at"]) <= view_h * 60
    return recent and told(evidence, earlier["id"], later["id"], later["metadata"]["zoho_invoice_id"])


def debit_uncollectable(evidence: Evidence) -> Iterator[Breach]:
    """None is made of an invoice that somebody had voided, deleted or written off longer ago than a view lasts."""
    for invoice, made in truth.debits_by_invoice(evidence).items():
        ends = [act for act in evidence.acts if act.name in _ENDS_OWING and invoice in act.touched]
        for debit in made:
            for end in ends:
                again = any(
                    act.name in _OWES_AGAIN and invoice in act.touched and end.at <= act.at <= debit["created_at"]
                    for act in evidence.acts
                )
                if again or truth.minutes_apart(end.at, debit["created_at"]) <= evidence.state.policy.view_hours * 60:
                    continue
                words = f"{debit['id']} was made at {debit['created_at']}; {end.name} was done at {end.at}"
                yield Breach("debit_uncollectable", evidence.connection, str(Ref("invoices", invoice)), words)


def debit_left(evidence: Evidence) -> Iterator[Breach]:
    """One that could still be cancelled when somebody voided, deleted or wrote off its invoice is not sent to the banks
    later on, or a person is told why.
    """
    happened = truth.happenings(evidence, "payments", "payment")
    known_after_min = truth.lag_s(evidence) / 60
    for invoice, made in truth.debits_by_invoice(evidence).items():
        ends = [act for act in evidence.acts if act.name in _ENDS_OWING and invoice in act.touched]
        for debit in made:
            events = happened.get(debit["id"], [])
            submitted = [one["created_at"] for one in events if one["action"] == "submitted"]
            sent = submitted[-1] if submitted else evidence.now
            late = [one for one in ends if truth.minutes_apart(one.at, sent) > known_after_min]
            cancelled = not submitted and debit["status"] not in truth.UNDER_WAY
            if (
                cancelled
                or not late
                or debit["created_at"] > late[0].at
                or told(evidence, debit["id"], besides=ELSEWHERE)
            ):
                continue
            words = f"{late[0].name} was done at {late[0].at}; {debit['id']} went on, to the banks at {sent}"
            yield Breach("debit_left", evidence.connection, str(Ref("invoices", invoice)), words)


def overcollected(evidence: Evidence) -> Iterator[Breach]:
    """All live debits of an invoice together are no more than its amount. Payments of others are not counted."""
    invoices = truth.by_id(evidence.zoho["invoices"], "invoice_id")
    for key, made in truth.debits_by_invoice(evidence).items():
        live = [one for one in made if one["status"] in truth.LIVE]
        invoice = invoices.get(key)
        amount_minor = sum(one["amount"] for one in live)
        if invoice is None or amount_minor <= invoice["total_minor"]:
            continue
        ids = [one["id"] for one in live]
        if not excused(evidence, key, *ids, *(_postings(evidence, ids)), settled=SETTLED):
            words = (
                f"{invoice['invoice_number']} is over {invoice['total_minor']} {invoice['currency_code']}; live debits "
                f"take {amount_minor}: {', '.join(ids)}"
            )
            yield Breach("overcollected", evidence.connection, str(Ref("invoices", key)), words)


def _postings(evidence: Evidence, payments: list[str]) -> list[str]:
    """The bookings of these payments, by which they may be told."""
    return [one.id for one in evidence.state.bookings.values() if one.payment in payments]


def debit_creditor(evidence: Evidence) -> Iterator[Breach]:
    """Each is for the creditor of the connection."""
    own = evidence.state.own.creditor
    for one in truth.debits(evidence):
        if own and one["links"]["creditor"] != own:
            words = f"it is for creditor {one['links']['creditor']}; the connection is {own}'s"
            yield Breach("debit_creditor", evidence.connection, str(Ref("payments", one["id"])), words)
