"""The oracle of public records: the last one of each key says what our rows say, and versions rise."""

from collections.abc import Iterator
from typing import Any, Final

from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence

_STATUS: Final = {
    "posted": ("collected", "reconciled"),
    "unapplying": ("reversing",),
    "refunding": ("reversing",),
    "reversed": ("reversed",),
    "suspense": ("reversed",),
}


def public_record(evidence: Evidence) -> Iterator[Breach]:
    """Whoever reads the topics and ignores lower versions knows of payments, payouts and discrepancies what we do."""
    if evidence.public is None:
        return
    last: dict[tuple[str, str], Document] = {}
    for record in evidence.public():
        held = last.get((record.topic, record.key))
        if held is None or record.value["version"] >= held["version"]:
            last[record.topic, record.key] = record.value
    wanted = {**_payments(evidence), **_payouts(evidence), **_discrepancies(evidence)}
    for place in sorted({*wanted, *last}):
        topic, key = place
        about = f"{topic} {key}"
        if place not in wanted:
            if topic == "discrepancies" or not _may_linger(evidence, topic, key):
                yield Breach("public_record", evidence.connection, about, "it was published; no row of ours says so")
        elif place not in last:
            yield Breach("public_record", evidence.connection, about, "our row says so; it was not published")
        else:
            for name, values in wanted[place].items():
                if last[place][name] not in values:
                    words = f"our row says {name} {' or '.join(str(one) for one in values)}; found {last[place][name]}"
                    yield Breach("public_record", evidence.connection, about, words)


Wanted = dict[tuple[str, str], dict[str, tuple[Any, ...]]]


def _may_linger(evidence: Evidence, topic: str, key: str) -> bool:
    """Whether the record was true, and what came after has not reached Zoho yet: it is published with the next end of
    a call.
    """
    if topic != "reconciled-payments" or key not in evidence.state.payments:
        return False
    booked = evidence.state.payments[key].booked
    booking = evidence.state.bookings.get(f"{key}:{booked}")
    return booking is not None and booking.stage in {"asked", "refused"} and booked > 1


def _payments(evidence: Evidence) -> Wanted:
    found: Wanted = {}
    for row in evidence.state.payments.values():
        booking = evidence.state.bookings.get(f"{row.id}:{row.booked}")
        if booking is None or booking.stage not in _STATUS or not booking.zoho_payment:
            continue
        status = _STATUS[booking.stage]
        payout = evidence.state.payouts.get(row.payout)
        if booking.stage == "posted" and payout is not None and payout.stage == "reconciled" and payout.walk == "":
            status = ("reconciled",)
        found["reconciled-payments", row.id] = {
            "status": status,
            "amount_minor": (row.amount_minor,),
            "currency": (row.currency,),
            "invoice_id": (row.invoice,),
            "zoho_payment_id": (booking.zoho_payment,),
        }
    return found


def _payouts(evidence: Evidence) -> Wanted:
    return {
        ("reconciled-payouts", row.id): {
            "gross_minor": (row.gross_minor,),
            "fee_minor": (row.fee_minor,),
            "net_minor": (row.amount_minor,),
            "vat_minor": (row.vat_minor,),
            "zoho_transfer_id": (row.transfer,),
            "zoho_expense_id": (row.expense,),
        }
        for row in evidence.state.payouts.values()
        if row.stage == "reconciled"
    }


def _discrepancies(evidence: Evidence) -> Wanted:
    return {
        ("discrepancies", row.id): {
            "status": ("closed" if row.closed_at else "open",),
            "code": (row.code,),
            "text": (row.text,),
            "amount_minor": (row.amount_minor,),
        }
        for row in evidence.state.discrepancies.values()
    }
