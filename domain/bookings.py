"""Bookings: a confirmed payment in the ledger and in Zoho, and how both are undone.

Ledger: confirmed is Dr clearing · Cr receivables (what was applied) and customer credit (the rest); a reversal is its
exact opposite. Zoho: one customer payment per booking, by upsert on `<environment>:<payment>:<n>`; undone by
un-applying it and refunding the whole amount out of clearing, which keeps the trail; where Zoho refuses, the amount
moves to suspense and a person is told (design, section 8).
"""

from domain import commands, events, ledger, publications, refs, times
from domain.draft import Draft
from domain.refs import Ref
from domain.state import Booking, CommandRow, Invoice, Payment, PaymentFact, State

#: Zoho Books errors: the amount applied exceeds the invoice's balance (reference 2.7).
_EXCEEDS_BALANCE = "24016"


def booking_date(state: State, at: str) -> str:
    """The organisation's day of an instant; the first open day, when that day's books are closed."""
    day = times.local_day(at, state.own.time_zone)
    closed = state.policy.closed_through
    return day if day > closed else times.add_days(closed, 1)


def rate(state: State, currency: str) -> str | None:
    """The exchange rate to state to Zoho: "" in the base currency, None when it is not known."""
    if currency == state.own.base_currency:
        return ""
    return state.own.rates.get(currency)


def before_books(state: State, at: str) -> bool:
    """Whether a fact is dated before `books_from`: it posts nothing."""
    start = state.policy.books_from
    return bool(start) and times.local_day(at, state.own.time_zone) < start


def book(draft: Draft, payment: Payment, fact: PaymentFact) -> bool:
    """Make the next booking of a confirmed payment; False while something it needs is not mapped."""
    state = draft.state
    number = payment.booked + 1
    key = refs.booking(payment.id, number)
    if before_books(state, fact.at):
        draft.mark("bookings", key, payment=payment.id, number=number, invoice=payment.invoice, stage="opening")
        draft.mark("payments", payment.id, booked=number)
        return True
    account = state.policy.accounts.clearing.get(payment.currency)
    exchange_rate = rate(state, payment.currency)
    if account is None or exchange_rate is None:
        what = f"clearing in {payment.currency}" if account is None else f"the exchange rate of {payment.currency}"
        draft.open("account_missing", Ref("payments", payment.id), what=what, number=payment.id)
        return False
    draft.close("account_missing", Ref("payments", payment.id))
    invoice = state.invoices.get(payment.invoice)
    applied = _applicable(invoice, payment)
    date = booking_date(state, fact.at)
    draft.entry(
        date,
        f"{payment.id} confirmed",
        Ref("payments", payment.id),
        [
            ledger.debit(
                ledger.CLEARING,
                payment.amount_minor,
                payment.currency,
                item=payment.id,
                name="confirmed, not yet paid out",
            ),
            ledger.credit(ledger.RECEIVABLES, applied, payment.currency),
            ledger.credit(ledger.CUSTOMER_CREDIT, payment.amount_minor - applied, payment.currency),
        ],
    )
    if applied < payment.amount_minor:
        _note_excess(draft, payment, invoice, payment.amount_minor - applied)
    draft.mark(
        "bookings",
        key,
        payment=payment.id,
        number=number,
        invoice=payment.invoice,
        amount_minor=payment.amount_minor,
        applied_minor=applied,
        currency=payment.currency,
        date=date,
        policy_version=state.policy.version,
        stage="asked",
    )
    draft.mark("payments", payment.id, booked=number)
    _ask_posting(draft, state.bookings[key], account, exchange_rate, fact)
    return True


def _applicable(invoice: Invoice | None, payment: Payment) -> int:
    if invoice is None or invoice.currency != payment.currency or invoice.status in {"void", "deleted", "draft"}:
        return 0
    return max(0, min(payment.amount_minor, invoice.balance_minor))


def _note_excess(draft: Draft, payment: Payment, invoice: Invoice | None, rest_minor: int) -> None:
    number = invoice.number if invoice is not None else payment.invoice
    draft.open(
        "excess",
        Ref("payments", payment.id),
        amount_minor=rest_minor,
        currency=payment.currency,
        payment=payment.id,
        number=number,
    )


def _ask_posting(draft: Draft, booking: Booking, account: str, exchange_rate: str, fact: PaymentFact) -> None:
    state = draft.state
    invoice = state.invoices.get(booking.invoice)
    value = f"{state.own.environment}:{booking.id}"
    true_day = times.local_day(fact.at, state.own.time_zone)
    dated = "" if true_day == booking.date else f", of {true_day}"
    command = draft.command(
        Ref("bookings", booking.id),
        refs.purpose("post", booking.id),
        commands.CreateCustomerPayment(
            customer=invoice.contact if invoice is not None else "",
            amount_minor=booking.amount_minor,
            currency=booking.currency,
            date=booking.date,
            account=account,
            reference=booking.payment,
            unique_field=state.policy.unique_field,
            unique_value=value,
            description=f"GoCardless {booking.payment}{dated}",
            exchange_rate=exchange_rate,
            applied=[commands.Application(booking.invoice, booking.applied_minor)] if booking.applied_minor else [],
        ),
        priority=commands.PRIORITY_MONEY,
        key=value,
        look_up_first=booking.number > 1,
    )
    draft.mark("bookings", booking.id, command=command.id)


def unbook(draft: Draft, payment: Payment, number: int, fact: PaymentFact) -> None:
    """Undo booking `number`: the ledger now, Zoho as soon as it has the payment."""
    key = refs.booking(payment.id, number)
    booking = draft.state.bookings[key]
    date = booking_date(draft.state, fact.at)
    if booking.stage == "opening":
        draft.mark("bookings", key, reversal_at=date, reversal_id=fact.id, stage="reversed")
        return
    rest = booking.amount_minor - booking.applied_minor
    draft.entry(
        date,
        f"{payment.id} {fact.action.replace('_', ' ')} after it was confirmed",
        Ref("payments", payment.id),
        [
            ledger.debit(ledger.RECEIVABLES, booking.applied_minor, booking.currency),
            ledger.debit(ledger.CUSTOMER_CREDIT, rest, booking.currency),
            ledger.credit(
                ledger.CLEARING,
                booking.amount_minor,
                booking.currency,
                item=payment.id,
                name="taken back, not yet debited",
            ),
        ],
    )
    draft.mark("bookings", key, reversal_at=date, reversal_id=fact.id)
    if booking.stage == "posted":
        _ask_unapply(draft, booking)
    elif booking.stage == "refused":
        draft.mark("bookings", key, stage="reversed")
        draft.close("posting_refused", Ref("bookings", key))


def _ask_unapply(draft: Draft, booking: Booking) -> None:
    draft.mark("bookings", booking.id, stage="unapplying")
    draft.command(
        Ref("bookings", booking.id),
        refs.purpose("unapply", booking.id),
        commands.UnapplyPayment(booking.zoho_payment, booking.amount_minor, booking.currency),
        priority=commands.PRIORITY_MONEY,
        key=f"{booking.zoho_payment}:unapply",
    )


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """A call about a booking ended."""
    booking = draft.state.bookings[about.key]
    handler = {
        "zoho.create_customer_payment": _posted,
        "zoho.unapply_payment": _unapplied,
        "zoho.refund_payment": _refunded,
    }.get(row.type)
    if handler is not None:
        handler(draft, booking, row, outcome)
    elif outcome.end != "succeeded":
        _show_refusal(draft, booking, row, outcome, "the transfer to suspense")
    payment = draft.state.payments.get(booking.payment)
    if payment is not None:
        publications.payment(draft, payment)
        draft.touch("payouts", payment.payout)


def _number(draft: Draft, booking: Booking) -> str:
    invoice = draft.state.invoices.get(booking.invoice)
    return invoice.number if invoice is not None else booking.payment


def _show_refusal(draft: Draft, booking: Booking, row: CommandRow, outcome: events.Outcome, what: str) -> None:
    reason = outcome.message or outcome.reason
    draft.open(
        "posting_refused",
        Ref("bookings", booking.id),
        what=what,
        number=_number(draft, booking),
        reason=reason,
        id=row.id,
    )


def _posted(draft: Draft, booking: Booking, row: CommandRow, outcome: events.Outcome) -> None:
    about = Ref("bookings", booking.id)
    if outcome.end == "succeeded":
        draft.close("posting_refused", about)
        if outcome.reason == "updated":
            draft.open("already_booked", about, payment=booking.payment)
        if booking.zoho_payment:
            return
        draft.mark("bookings", booking.id, zoho_payment=outcome.resource_id, stage="posted")
        if booking.reversal_at:
            _ask_unapply(draft, draft.state.bookings[booking.id])
    elif outcome.reason == _EXCEEDS_BALANCE and booking.applied_minor:
        _post_unapplied(draft, booking)
    elif booking.stage == "asked":
        draft.mark("bookings", booking.id, stage="refused")
        _show_refusal(draft, booking, row, outcome, "the payment")


def _post_unapplied(draft: Draft, booking: Booking) -> None:
    """The balance fell meanwhile: the money is posted all the same, unused (design rule 11). Taken back already, the
    books hold neither.
    """
    moved_minor = 0 if booking.reversal_at else booking.applied_minor
    draft.entry(
        booking.date,
        f"{booking.payment} could not be applied",
        Ref("payments", booking.payment),
        [
            ledger.debit(ledger.RECEIVABLES, moved_minor, booking.currency),
            ledger.credit(ledger.CUSTOMER_CREDIT, moved_minor, booking.currency),
        ],
    )
    draft.open(
        "unapplied",
        Ref("bookings", booking.id),
        amount_minor=booking.applied_minor,
        currency=booking.currency,
        payment=booking.payment,
        number=_number(draft, booking),
    )
    draft.mark("bookings", booking.id, applied_minor=0)
    payment = draft.state.payments[booking.payment]
    fact = next(
        (one for one in payment.facts if one.action in {"confirmed", "paid_out"}),
        PaymentFact("", draft.at, "confirmed"),
    )
    account = draft.state.policy.accounts.clearing.get(booking.currency, "")
    _ask_posting(draft, draft.state.bookings[booking.id], account, rate(draft.state, booking.currency) or "", fact)


def _unapplied(draft: Draft, booking: Booking, row: CommandRow, outcome: events.Outcome) -> None:
    if outcome.end == "succeeded":
        if booking.stage != "unapplying":
            return
        draft.mark("bookings", booking.id, stage="refunding")
        draft.command(
            Ref("bookings", booking.id),
            refs.purpose("refund", booking.id),
            commands.RefundPayment(
                payment=booking.zoho_payment,
                amount_minor=booking.amount_minor,
                currency=booking.currency,
                date=booking.reversal_at,
                account=draft.state.policy.accounts.clearing.get(booking.currency, ""),
                reference=f"{booking.id}:reversal",
                description=f"GoCardless {booking.payment} taken back",
                exchange_rate=rate(draft.state, booking.currency) or "",
            ),
            priority=commands.PRIORITY_MONEY,
            key=f"{booking.id}:reversal",
            look_up_first=True,
        )
    elif outcome.end == "parked":
        _show_refusal(draft, booking, row, outcome, "the reversal")
    else:
        _to_suspense(draft, booking, outcome)


def _refunded(draft: Draft, booking: Booking, row: CommandRow, outcome: events.Outcome) -> None:
    if outcome.end == "succeeded":
        draft.mark("bookings", booking.id, stage="reversed", refund=outcome.resource_id)
        draft.close("posting_refused", Ref("bookings", booking.id))
    elif outcome.end == "parked":
        _show_refusal(draft, booking, row, outcome, "the reversal")
    else:
        _to_suspense(draft, booking, outcome)


def _to_suspense(draft: Draft, booking: Booking, outcome: events.Outcome) -> None:
    """Zoho refuses the reversal: suspense stands in for receivables, and a person is told."""
    if booking.stage not in {"unapplying", "refunding"}:
        return
    state = draft.state
    rest = booking.amount_minor - booking.applied_minor
    draft.entry(
        booking.reversal_at,
        f"{booking.payment} taken back, Zoho refused the reversal",
        Ref("payments", booking.payment),
        [
            ledger.debit(ledger.SUSPENSE, booking.amount_minor, booking.currency),
            ledger.credit(ledger.RECEIVABLES, booking.applied_minor, booking.currency),
            ledger.credit(ledger.CUSTOMER_CREDIT, rest, booking.currency),
        ],
    )
    draft.mark("bookings", booking.id, stage="suspense")
    reason = outcome.message or outcome.reason
    draft.open(
        "reversal_refused",
        Ref("bookings", booking.id),
        amount_minor=booking.amount_minor,
        currency=booking.currency,
        number=_number(draft, booking),
        reason=reason,
    )
    accounts = state.policy.accounts
    clearing, suspense = accounts.clearing.get(booking.currency), accounts.suspense.get(booking.currency)
    if clearing is None or suspense is None:
        what = f"suspense in {booking.currency}"
        draft.open("account_missing", Ref("bookings", booking.id), what=what, number=_number(draft, booking))
        return
    draft.command(
        Ref("bookings", booking.id),
        refs.purpose("suspense", booking.id),
        commands.CreateTransfer(
            from_account=clearing,
            to_account=suspense,
            amount_minor=booking.amount_minor,
            currency=booking.currency,
            date=booking.reversal_at,
            reference=booking.payment,
            marker=f"{booking.id}:suspense",
            description=f"GoCardless {booking.payment} taken back",
            exchange_rate=rate(state, booking.currency) or "",
        ),
        priority=commands.PRIORITY_MONEY,
        key=f"{booking.id}:suspense",
        look_up_first=True,
    )
