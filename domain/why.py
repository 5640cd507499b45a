"""Why something is as it is: its state in words, since when, until when, and what a person can do. Read only.

It asks the same guards as the rules do (`invoices.obstacle`, `chargeable.usable_mandate`, `bookings.before_books`), and
takes what to do from the discrepancies that the rules opened, so that explanation and behaviour cannot drift. No
personal data: names are ids or numbers.
"""

from typing import Final, get_args

import msgspec

from domain import bookings, ceilings, chargeable, invoices, lists, payout_items, refs, times
from domain.money import format_minor
from domain.payments import alternating_facts
from domain.refs import Ref
from domain.state import Booking, CommandRow, Contact, DiscrepancyRow, Invoice, Payment, Payout, State
from domain.vocabulary import Code


class Why(msgspec.Struct, frozen=True):
    """One answer. `about` "invoices:460…", `name` what people call it; `since` and `until` are instants or days, ""
    where there is none: at `until` it moves by itself. `todo` is what a person can do, most pressing first; empty:
    nothing.
    """

    about: str
    name: str
    state: str
    since: str = ""
    until: str = ""
    todo: tuple[str, ...] = ()


#: What `invoices.obstacle` answers, in words, and what to do where no discrepancy says it.
OBSTACLES: Final[dict[str, tuple[str, str]]] = {
    "gate_closed": (
        "nothing is collected before a person has opened the connection",
        "Run `zoho-gocardless check`, then approve what it found with `--approve --by WHO`.",
    ),
    "collected_elsewhere": (
        "another way of collecting it is under way in Zoho",
        "Wait for that payment, or cancel it in Zoho.",
    ),
    "account_missing": (
        "no clearing account is mapped for its currency",
        "Map the account in the settings, and approve the new policy.",
    ),
    "contact_unknown": ("its customer has not been read from Zoho yet", ""),
    "contact_inactive": ("its customer is not active in Zoho", "Make the contact active in Zoho, or void the invoice."),
    "payer_in_doubt": (
        "its customer shares its address or reference with another contact or payer, so whom to debit is not certain",
        "Approve the right payer: `zoho-gocardless decide match CONTACT --payer ID`.",
    ),
    "no_mandate": ("its customer has no usable mandate in its currency", ""),
}

#: Why a ceiling holds an invoice, in words.
CEILINGS: Final[dict[str, str]] = {
    "due_before_start": "it fell due before the day from which collection was accepted",
    "over_limit": "it is above the largest single debit allowed",
    "over_payer_month": "it would exceed what may be debited from its payer in a month",
    "over_day": "the debits of the day it was due on had reached the day's ceiling",
}

_PAYMENT_STATUS: Final = {
    "pending_customer_approval": "waits for the customer's approval",
    "pending_submission": "is made, and not yet sent to the banks",
    "submitted": "is with the banks",
    "confirmed": "is confirmed",
    "paid_out": "is confirmed and paid out",
    "cancelled": "was cancelled",
    "customer_approval_denied": "was not approved by the customer",
    "failed": "failed",
    "charged_back": "was charged back",
}

_BOOKING: Final = {
    "asked": "Zoho has been asked to record it",
    "posted": "it is recorded in Zoho",
    "unapplying": "it is being taken off its invoice in Zoho",
    "refunding": "its reversal is being recorded in Zoho",
    "reversed": "its reversal is recorded",
    "suspense": "Zoho refused the reversal, so the amount lies in suspense",
    "refused": "Zoho refused to record it",
    "opening": "it belongs to the opening balance and posts nothing",
}

_MATCH: Final = {
    "none": "is matched with no payer at GoCardless",
    "ambiguous": "could be more than one payer at GoCardless",
    "proposed": "may be a payer at GoCardless that a person must confirm",
    "linked": "is linked to a payer at GoCardless",
    "invited": "is invited to give a mandate",
}


def discrepancies(state: State, about: Ref) -> list[DiscrepancyRow]:
    """What is open about a row, oldest first."""
    rows = (state.discrepancies.get(refs.discrepancy(code, about)) for code in get_args(Code))
    return sorted(
        (row for row in rows if row is not None and not row.closed_at), key=lambda row: (row.opened_at, row.id)
    )


def _todo(state: State, *abouts: Ref) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.remedy for about in abouts for row in discrepancies(state, about)))


def _plain(text: str) -> str:
    return text.replace("_", " ")


# --- invoices ---------------------------------------------------------------------------------------------------------


def invoice(state: State, key: str) -> Why | None:
    """Why an invoice is where it is; None when it is not known."""
    row = state.invoices.get(key)
    if row is None:
        return None
    about = Ref("invoices", key)
    words, until = _invoice_words(state, row)
    abouts = [about, Ref("contacts", row.contact), Ref("payments", row.payment)]
    if row.stage == "hold" and row.reason == "over_day":
        abouts.append(
            Ref("debit_days", ceilings.day_key(times.local_day(row.since, state.own.time_zone), row.currency))
        )
    todo = _todo(state, *abouts)
    hindrance = invoices.obstacle(state, row)
    if (
        not todo
        and row.stage in {"none", "waiting", "scheduled", "viewing"}
        and hindrance in OBSTACLES
        and OBSTACLES[hindrance][1]
    ):
        todo = (OBSTACLES[hindrance][1],)
    amount = f"{format_minor(row.balance_minor, row.currency)} {row.currency}" if row.currency else "an unknown amount"
    return Why(str(about), row.number or key, f"Owing {amount}. {words}", row.since or row.last_modified, until, todo)


def _invoice_words(state: State, row: Invoice) -> tuple[str, str]:
    hindrance = invoices.obstacle(state, row)
    but = f" But now {OBSTACLES[hindrance][0]}." if hindrance in OBSTACLES else ""
    match row.stage:
        case "waiting":
            return f"Not collected: {OBSTACLES.get(hindrance or row.reason, (_plain(row.reason), ''))[0]}.", ""
        case "scheduled":
            return f"The debit is decided for {row.due_at}.{but}", row.due_at
        case "viewing":
            timer = state.timers.get(refs.timer("view", row.id))
            return (
                f"It is due, and being read again before the debit: {_stale(state, row)}.{but}",
                timer.at if timer else "",
            )
        case "collecting":
            return _collecting(state, row)
        case "collected":
            return f"Collected: {_with(state, row)}", ""
        case "failed":
            return f"Not collected: the debit failed ({_plain(row.reason)}).", ""
        case "hold":
            held = CEILINGS.get(row.reason, _plain(row.reason))
            return f"On hold ({held}): nothing more is collected for it until a person releases it.", ""
        case "ignored":
            return "Left alone: a person has said so.", ""
    if hindrance == "not_open":
        return f"Nothing to collect: Zoho says it is {_plain(row.status) or 'not known'}.", ""
    return (
        f"Not collected: {OBSTACLES[hindrance][0]}." if hindrance else "It is looked at again with the next news of it."
    ), ""


def _stale(state: State, row: Invoice) -> str:
    """What of the view of an invoice is older than its due time."""
    contact = state.contacts.get(row.contact)
    mandate = chargeable.usable_mandate(state, contact, row.currency) if contact is not None else None
    waits = ["Zoho's open invoices"] if row.as_of < row.due_at else []
    if mandate is None or mandate.payments_read_at < row.due_at:
        waits.append("the mandate's payments at GoCardless")
    return " and ".join(waits) or "all of it has arrived"


def _collecting(state: State, row: Invoice) -> tuple[str, str]:
    payment = state.payments.get(row.payment)
    if payment is not None and payment.status not in invoices.DEAD:
        retry = " GoCardless tries again by itself." if row.reason == "gocardless_retries" else ""
        return f"Being collected: {_with(state, row)}{retry}", payment.charge_date
    command = state.commands.get(row.command)
    if command is None or command.status != "open":
        return f"Being collected: {_with(state, row)}", ""
    return f"Being collected: the debit (attempt {row.attempt}) is decided, and GoCardless's answer awaited.", ""


def _with(state: State, row: Invoice) -> str:
    payment = state.payments.get(row.payment)
    if payment is None:
        return f"payment {row.payment or '(not known yet)'}."
    return f"payment {payment.id} {_status(payment)}."


# --- payments ---------------------------------------------------------------------------------------------------------


def _status(payment: Payment) -> str:
    words = _PAYMENT_STATUS.get(payment.status, _plain(payment.status) or "has not been read yet")
    return f"{words} ({_plain(payment.reason)})" if payment.reason else words


def payment(state: State, key: str) -> Why | None:
    """Why a payment is where it is; None when it is not known."""
    row = state.payments.get(key)
    if row is None:
        return None
    about = Ref("payments", key)
    since = row.facts[-1].at if row.facts else row.created_at
    booking = state.bookings.get(refs.booking(key, row.booked))
    todo = _todo(state, about, Ref("bookings", refs.booking(key, row.booked)), Ref("invoices", row.invoice))
    return Why(str(about), key, f"It {_status(row)}. {_books(state, row, booking)}", since, _payment_until(row), todo)


def _payment_until(row: Payment) -> str:
    return row.charge_date if row.status in {"pending_submission", "submitted"} else ""


def _books(state: State, row: Payment, booking: Booking | None) -> str:
    if row.claim == "foreign":
        return "It is not ours: nothing of it is booked but its place in a payout."
    if not row.read:
        return "Its amount is being read from GoCardless; nothing is booked before."
    if row.booked < row.confirmed:
        return "It is not booked yet: an account or an exchange rate that it needs is not known."
    if booking is None:
        return "Nothing is booked before it is confirmed."
    first = next(alternating_facts(row, reverses=False), None)
    if booking.stage == "opening" or (first is not None and bookings.before_books(state, first.at)):
        return f"Dated before the books began: {_BOOKING['opening']}."
    words = f"Booked on {booking.date}; {_BOOKING.get(booking.stage, _plain(booking.stage))}"
    if row.unbooked == row.booked:
        words += f"; taken back on {booking.reversal_at}"
    found = state.payouts.get(row.payout)
    where = f" Paid out in {row.payout} ({_PAYOUT_STAGE.get(found.stage, found.stage)})." if found is not None else ""
    return f"{words}.{where}"


# --- payouts ----------------------------------------------------------------------------------------------------------

_PAYOUT_STAGE: Final = {
    "seen": "not posted yet",
    "posting": "being posted",
    "reconciled": "reconciled",
    "held": "held for a person",
}


def payout(state: State, key: str) -> Why | None:
    """Why a payout is where it is; None when it is not known."""
    row = state.payouts.get(key)
    if row is None:
        return None
    about = Ref("payouts", key)
    timer = state.timers.get(refs.timer("payout", key))
    todo = _todo(state, about, Ref("payouts", f"{key}:suspense"))
    return Why(
        str(about),
        row.reference or key,
        _payout_words(state, row),
        row.paid_at or row.created_at,
        timer.at if timer else "",
        todo,
    )


def _payout_words(state: State, row: Payout) -> str:
    if row.stage == "held":
        return f"Held, and nothing of it is posted: {_plain(row.reason)}."
    if not row.paid_at:
        return "GoCardless has not paid it yet."
    if row.stage == "reconciled":
        gross, fee, net = (
            format_minor(amount, row.currency) for amount in (row.gross_minor, row.fee_minor, row.amount_minor)
        )
        return f"Reconciled: gross {gross}, fees {fee}, net {net} {row.currency}; all of it is in Zoho."
    if row.posted:
        return f"Posted in the ledger; waiting for {_missing(state, row)}."
    if not row.read or row.status != "paid":
        return "Paid; it is being read from GoCardless."
    if not row.items_complete:
        return "Paid; its items are being read from GoCardless."
    if discrepancies(state, Ref("payouts", row.id)):
        return "Paid and read, and not posted: an account that it needs is not mapped."
    return f"Paid and read; waiting for its payments to be known and booked: {_unsettled(state, row)}."


def _missing(state: State, row: Payout) -> str:
    asked = (
        ("Zoho's transfer to the bank", row.transfer_command, row.transfer),
        ("Zoho's expense for the fees", row.expense_command, row.expense),
        ("Zoho's transfer of items that are not ours", row.suspense_command, row.suspense_transfer),
    )
    waits = []
    for what, command, resource in asked:
        if command and not resource:
            held = state.commands.get(command)
            waits.append(f"{what} ({_command(held)})")
    return ", ".join(waits) or "its payments to be recorded in Zoho"


def _command(row: CommandRow | None) -> str:
    if row is None or row.status == "open":
        return "asked"
    return f"{row.status}: {_plain(row.reason)}" if row.reason else row.status


def _unsettled(state: State, row: Payout) -> str:
    """The item that a payout waits for."""
    item = payout_items.item(state, row, row.cursor)
    held = state.payments.get(item.payment) if item is not None else None
    return (
        f"{held.id}, item {row.cursor + 1} of {row.item_count}" if held is not None else "they are looked at again soon"
    )


# --- contacts ---------------------------------------------------------------------------------------------------------


def contact(state: State, key: str) -> Why | None:
    """Why a contact is not collected from, or is; None when it is not known."""
    row = state.contacts.get(key)
    if row is None:
        return None
    about = Ref("contacts", key)
    request = state.billing_requests.get(row.billing_request)
    since = row.last_modified
    until = (
        request.expires_at if request is not None and request.status not in {"fulfilled", "cancelled", "failed"} else ""
    )
    return Why(str(about), key, _contact_words(state, row), since, until, _todo(state, about))


def _contact_words(state: State, row: Contact) -> str:
    if row.status != "active":
        return f"The contact is {_plain(row.status) or 'not read yet'} in Zoho; nothing is collected from it."
    how = f" by {row.match_by}" if row.match_by else ""
    words = [f"The contact {_MATCH.get(row.match, _plain(row.match))}{how}{f' ({row.payer})' if row.payer else ''}."]
    request = state.billing_requests.get(row.billing_request)
    if request is not None:
        words.append(f"Its invitation {request.id} is {_plain(request.status) or 'made'}.")
    known = [
        state.mandates.get(one)
        for one in reversed(lists.newest(state, refs.list_of("mandates", row.payer), chargeable.MANDATES))
    ]
    listed = ", ".join(
        f"{one.id} {_plain(one.status)} in {one.currency or 'an unknown currency'}" for one in known if one is not None
    )
    words.append(f"Mandates: {listed}." if listed else "It has no mandate that we know.")
    if waiting := _waiting(state, row):
        words.append(f"{waiting} wait for a mandate.")
    return " ".join(words)


#: Invoices that are counted one by one. Higher: whoever asks waits for as many reads.
_COUNTED: Final = 1_000


def _waiting(state: State, row: Contact) -> str:
    """How many invoices wait for a mandate, in words; "" for none."""
    keys = [
        key
        for currency in row.waiting_currencies
        for key in lists.oldest(state, refs.list_of("waiting", row.id, currency), _COUNTED + 1)
    ]
    waiting = [key for key in keys if (held := state.invoices.get(key)) is not None and held.stage == "waiting"]
    if len(waiting) > _COUNTED:
        return f"More than {_COUNTED} invoices"
    return f"{len(waiting)} invoices" if waiting else ""


#: The questions that can be asked, by kind.
ASK: Final = {"invoice": invoice, "payment": payment, "payout": payout, "contact": contact}
