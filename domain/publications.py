"""The records that other teams subscribe to: versioned shapes, amounts in minor units, lineage to the fact that made
them.

The JSON Schemas in `docs/schemas/` are generated from these structs; a test holds them together. The relay adds
`version`, the position of the event: it rises with every record of a key, and readers ignore lower ones.
"""

from typing import Final, Literal

import msgspec

from domain import refs
from domain.draft import Draft
from domain.state import Payment, Payout

PAYMENTS: Final = "reconciled-payments"
PAYOUTS: Final = "reconciled-payouts"
DISCREPANCIES: Final = "discrepancies"

PaymentStatus = Literal["collected", "reconciled", "reversing", "reversed"]


class PaymentRecord(msgspec.Struct, frozen=True):
    """A collected payment. `status`: "collected" (confirmed and in Zoho), "reconciled" (its payout is posted too),
    "reversing", "reversed" (taken back).
    """

    connection: str
    payment_id: str
    invoice_id: str
    invoice_number: str
    contact_id: str
    amount_minor: int
    currency: str
    status: PaymentStatus
    date: str
    zoho_payment_id: str
    payout_id: str
    reason: str
    event: str
    schema: Literal["reconciled-payment/1"] = "reconciled-payment/1"


class PayoutRecord(msgspec.Struct, frozen=True):
    """A payout posted to Zoho: gross = net + fee; the fee holds `vat_minor` of tax."""

    connection: str
    payout_id: str
    reference: str
    currency: str
    gross_minor: int
    fee_minor: int
    vat_minor: int
    net_minor: int
    items: int
    arrival_date: str
    zoho_transfer_id: str
    zoho_expense_id: str
    event: str
    schema: Literal["reconciled-payout/1"] = "reconciled-payout/1"


class DiscrepancyRecord(msgspec.Struct, frozen=True):
    """Something a person must look at, or no longer."""

    connection: str
    discrepancy_id: str
    code: str
    about: str
    text: str
    remedy: str
    status: Literal["open", "closed"]
    amount_minor: int
    currency: str
    event: str
    schema: Literal["discrepancy/1"] = "discrepancy/1"


#: Topic → shape, for the schemas and for readers.
RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    PAYMENTS: PaymentRecord,
    PAYOUTS: PayoutRecord,
    DISCREPANCIES: DiscrepancyRecord,
}

_STAGES: Final[dict[str, PaymentStatus]] = {
    "posted": "collected",
    "unapplying": "reversing",
    "refunding": "reversing",
    "reversed": "reversed",
    "suspense": "reversed",
}


def payment(draft: Draft, row: Payment) -> None:
    """Publish how a payment of ours stands, once Zoho has it."""
    booking = draft.state.bookings.get(refs.booking(row.id, row.booked))
    status = _STAGES.get(booking.stage) if booking is not None else None
    if booking is None or status is None or not booking.zoho_payment:
        return
    payout_row = draft.state.payouts.get(row.payout)
    if status == "collected" and payout_row is not None and payout_row.stage == "reconciled":
        status = "reconciled"
    invoice = draft.state.invoices.get(row.invoice)
    record = PaymentRecord(
        connection=draft.state.connection,
        payment_id=row.id,
        invoice_id=row.invoice,
        invoice_number=invoice.number if invoice else "",
        contact_id=invoice.contact if invoice else "",
        amount_minor=row.amount_minor,
        currency=row.currency,
        status=status,
        date=booking.reversal_at or booking.date,
        zoho_payment_id=booking.zoho_payment,
        payout_id=row.payout,
        reason=row.reason,
        event=draft.event.id,
    )
    draft.publish(PAYMENTS, row.id, record)


def payout(draft: Draft, row: Payout) -> None:
    """Publish a payout that is in Zoho as a whole."""
    record = PayoutRecord(
        connection=draft.state.connection,
        payout_id=row.id,
        reference=row.reference,
        currency=row.currency,
        gross_minor=row.gross_minor,
        fee_minor=row.fee_minor,
        vat_minor=row.vat_minor,
        net_minor=row.amount_minor,
        items=row.item_count,
        arrival_date=row.arrival_date,
        zoho_transfer_id=row.transfer,
        zoho_expense_id=row.expense,
        event=draft.event.id,
    )
    draft.publish(PAYOUTS, row.id, record)


def discrepancies(draft: Draft) -> None:
    """Publish every discrepancy that this decision opened or closed."""
    for key in draft.changed_discrepancies:
        row = draft.state.discrepancies[key]
        record = DiscrepancyRecord(
            connection=draft.state.connection,
            discrepancy_id=key,
            code=row.code,
            about=row.about,
            text=row.text,
            remedy=row.remedy,
            status="closed" if row.closed_at else "open",
            amount_minor=row.amount_minor,
            currency=row.currency,
            event=draft.event.id,
        )
        draft.publish(DISCREPANCIES, key, record)
