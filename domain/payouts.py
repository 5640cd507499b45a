"""Payouts: read whole, footed to the tenth, posted as one entry; in Zoho one transfer to the bank and one fee expense.

fee = Σ non-fee items - amount, so every payout foots; the rounding residue (below one minor unit) is kept and shown. Items that are not
ours pass through suspense, each named. A payout that does not foot is held, and nothing of it is posted (design rule 12).
"""

from typing import Final

from msgspec.structs import replace

from domain import commands, events, ledger, money, reconciliation, times
from domain.bookings import before_books, booking_date, rate
from domain.draft import Draft
from domain.envelope import Event
from domain.payments import add_fact
from domain.state import CommandRow, Payment, PaymentFact, Payout, PayoutItemRow, State

Touched = tuple[tuple[str, str], ...]

#: Item types that are fees; every other type moves a payment's or refund's gross (reference 2.11).
FEE_TYPES: Final = frozenset({"gocardless_fee", "app_fee", "surcharge_fee"})

#: How long a payout waits before it is looked at again. Lower than an hour: a payout that waits for days makes many events of the clock.
#: Higher: what it waited for is posted later by that much.
_LOOK_AGAIN_S: Final = 3600

_ITEM_NAMES: Final = {
    "payment_paid_out": "paid out before it was confirmed",
    "payment_failed": "taken back in a payout, reversal not seen",
    "payment_charged_back": "charged back in a payout, reversal not seen",
}


# --- facts ------------------------------------------------------------------------------------------------------------------------


def evolve_event(state: State, event: Event) -> Touched:
    """One of GoCardless's payout events."""
    data: events.GcEvent = event.data
    key = data.links.get("payout", "")
    if not key:
        return ()
    held = state.payouts.get(key) or Payout(key)
    paid_at = held.paid_at
    if data.action == "paid":
        paid_at = min(held.paid_at, event.happened_at) if held.paid_at else event.happened_at
    state.payouts[key] = replace(held, paid_at=paid_at)
    return (("payouts", key),)


def evolve_read(state: State, event: Event) -> Touched:
    """A payout as GoCardless holds it now."""
    data: events.PayoutRead = event.data
    held = state.payouts.get(data.id) or Payout(data.id)
    new = replace(
        held,
        status=data.status,
        amount_minor=data.amount_minor,
        currency=data.currency,
        created_at=data.created_at,
        arrival_date=data.arrival_date,
        reference=data.reference,
        bank_account=data.creditor_bank_account,
        payout_type=data.payout_type,
        fx_currency=data.fx_currency,
        read=True,
    )
    state.payouts[data.id] = new
    return (("payouts", data.id),)


def evolve_items(state: State, event: Event) -> Touched:
    """A page of a payout's items. An item that pays a payment out proves that it was confirmed."""
    data: events.PayoutItemsRead = event.data
    held = state.payouts.get(data.payout) or Payout(data.payout)
    if held.posted:
        return ()
    touched: list[tuple[str, str]] = []
    for position, item in enumerate(data.items, start=data.first):
        key = f"{data.payout}:{position:06d}"
        tax = item.taxes[0] if item.taxes else None
        sign = -1 if item.amount_tenths < 0 else 1
        state.payout_items[key] = PayoutItemRow(
            key,
            payout=data.payout,
            position=position,
            type=item.type,
            amount_tenths=item.amount_tenths,
            payment=item.payment,
            refund=item.refund,
            mandate=item.mandate,
            tax_rate=tax.tax_rate_id if tax else "",
            tax_tenths=sign * sum(abs(one.amount_tenths) for one in item.taxes),
        )
        if item.payment and item.type not in FEE_TYPES:
            payment = state.payments.get(item.payment) or Payment(item.payment)
            touched.append(("payments", item.payment))
            if item.type == "payment_paid_out":
                at = held.created_at or event.happened_at
                fact = PaymentFact(key, at, "paid_out", payout=data.payout)
                state.payments[payment.id] = replace(payment, payout=data.payout)
                add_fact(state, state.payments[payment.id], fact)
            elif payment.id not in state.payments:
                state.payments[payment.id] = payment
    count = data.first + len(data.items)
    state.payouts[data.payout] = replace(held, items_complete=held.items_complete or data.complete, item_count=max(held.item_count, count))
    return (*touched, ("payouts", data.payout))


# --- rules ------------------------------------------------------------------------------------------------------------------------


def decide(draft: Draft, key: str) -> None:
    """Read it, wait until each of its payments is known, post it once, and see whether it is reconciled."""
    payout = draft.state.payouts.get(key)
    if payout is None or not payout.paid_at or payout.stage in {"reconciled", "held"}:
        return
    if payout.posted:
        reconciliation.settle(draft, payout)
        return
    if not payout.read or payout.status != "paid":
        _ask_read(draft, payout)
    elif not payout.items_complete or not _whole(draft.state, payout):
        _ask_items(draft, payout)
    elif _claims_known(draft.state, payout):
        _post(draft, payout)
    else:  # most waits end with a payment that names this payout; an item of an older payment names another, so look again
        draft.timer(f"payout:{key}", times.add_seconds(draft.at, _LOOK_AGAIN_S), f"payouts:{key}")


def _ask_read(draft: Draft, payout: Payout) -> None:
    purpose = f"read_payout:{payout.id}"
    last = draft.attempts(purpose)
    if last and payout.read_asked:
        return
    draft.mark("payouts", payout.id, read_asked=True)
    draft.command(f"payouts:{payout.id}", purpose, commands.ReadPayout(payout.id), priority=commands.PRIORITY_READ)


def _ask_items(draft: Draft, payout: Payout) -> None:
    purpose = f"read_payout_items:{payout.id}"
    if draft.attempts(purpose) == 0:
        data = commands.ReadPayoutItems(payout.id)
        draft.command(f"payouts:{payout.id}", purpose, data, priority=commands.PRIORITY_READ)


def _whole(state: State, payout: Payout) -> bool:
    """Whether every page is here: the last one may come before another."""
    return all(f"{payout.id}:{position:06d}" in state.payout_items for position in range(payout.item_count))


def items(state: State, payout: Payout) -> list[PayoutItemRow]:
    """All items of a payout, in order."""
    return [state.payout_items[f"{payout.id}:{position:06d}"] for position in range(payout.item_count)]


def _claims_known(state: State, payout: Payout) -> bool:
    for item in items(state, payout):
        payment = state.payments.get(item.payment)
        if payment is not None and (payment.claim == "unknown" or (payment.claim == "ours" and payment.booked < payment.confirmed)):
            return False
    return True


def _hold(draft: Draft, payout: Payout, code: str, reason: str, **facts: str) -> None:
    draft.mark("payouts", payout.id, stage="held", reason=reason)
    draft.open(
        code,
        f"payouts:{payout.id}",
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        payout=payout.id,
        reason=reason,
        **facts,
    )


def _post(draft: Draft, payout: Payout) -> None:
    state = draft.state
    if payout.payout_type == "partner":
        _hold(draft, payout, "payout_unsupported", "revenue share of a partner")
        return
    if payout.fx_currency and payout.fx_currency != payout.currency:
        _hold(draft, payout, "payout_unsupported", "paid in another currency than collected")
        return
    rows = items(state, payout)
    total = sum(row.amount_tenths for row in rows)
    gross = sum(row.amount_tenths for row in rows if row.type not in FEE_TYPES)
    residue = payout.amount_minor * 10 - total
    if abs(residue) >= 10 or any(row.amount_tenths % 10 for row in rows if row.type not in FEE_TYPES):
        facts = {"got": f"{total} tenths", "wanted": f"{payout.amount_minor} {payout.currency}"}
        _hold(draft, payout, "payout_breach", "does_not_foot", **facts)
        return
    fee = gross // 10 - payout.amount_minor
    vat = money.minor_from_tenths(-sum(row.tax_tenths for row in rows if row.type in FEE_TYPES))
    bank = state.policy.accounts.bank.get(payout.bank_account)
    clearing = state.policy.accounts.clearing.get(payout.currency)
    if bank is None or clearing is None or rate(state, payout.currency) is None:
        what = f"bank account {payout.bank_account}" if bank is None else f"clearing or the exchange rate of {payout.currency}"
        draft.open("account_missing", f"payouts:{payout.id}", what=what, number=payout.id)
        return
    draft.close("account_missing", f"payouts:{payout.id}")
    arrival = payout.arrival_date or times.local_day(payout.paid_at, state.own.time_zone)
    date = booking_date(state, times.local_instant(arrival, 12, state.own.time_zone))
    foreign = _entries(draft, payout, rows, date, fee, vat)
    draft.mark(
        "payouts",
        payout.id,
        stage="posting",
        posted=True,
        gross_minor=gross // 10,
        fee_minor=fee,
        vat_minor=vat,
        residue_tenths=residue,
    )
    payout = draft.state.payouts[payout.id]
    _ask_transfer(draft, payout, clearing, bank, date)
    _ask_expense(draft, payout, rows, clearing, date)
    _ask_suspense(draft, payout, clearing, foreign, date)
    reconciliation.settle(draft, draft.state.payouts[payout.id])


def _ours(state: State, row: PayoutItemRow) -> bool:
    payment = state.payments.get(row.payment)
    return payment is not None and payment.claim == "ours" and row.type in _ITEM_NAMES


def _entries(draft: Draft, payout: Payout, rows: list[PayoutItemRow], date: str, fee: int, vat: int) -> list[PayoutItemRow]:
    """The payout's entry, and one that carries foreign items from suspense; returns the foreign items."""
    currency = payout.currency
    foreign = [row for row in rows if row.type not in FEE_TYPES and not _ours(draft.state, row)]
    for row in foreign:
        amount = row.amount_tenths // 10
        draft.entry(
            date,
            f"{payout.id} item {row.position}: {row.type.replace('_', ' ')}, not ours",
            f"payouts:{payout.id}",
            [
                ledger.debit(ledger.CLEARING, amount, currency, item=row.id, name="not ours"),
                ledger.credit(ledger.SUSPENSE, amount, currency),
            ],
        )
    lines = [
        ledger.debit(ledger.BANK, payout.amount_minor, currency),
        ledger.debit(ledger.FEES, fee - vat, currency),
        ledger.debit(ledger.INPUT_VAT, vat, currency),
    ]
    for row in rows:
        if row.type not in FEE_TYPES:
            item, name = (row.payment, _ITEM_NAMES[row.type]) if _ours(draft.state, row) else (row.id, "not ours")
            if _opening(draft.state, item):
                item, name = "opening", "opening"
            lines.append(ledger.credit(ledger.CLEARING, row.amount_tenths // 10, currency, item=item, name=name))
    draft.entry(date, f"{payout.id} paid", f"payouts:{payout.id}", lines)
    return foreign


def _opening(state: State, payment: str) -> bool:
    row = state.payments.get(payment)
    first = row.facts[0].at if row is not None and row.facts else ""
    booking = state.bookings.get(f"{payment}:1")
    return booking is not None and booking.amount_minor == 0 and bool(first) and before_books(state, first)


def _ask_transfer(draft: Draft, payout: Payout, clearing: str, bank: str, date: str) -> None:
    if payout.amount_minor <= 0:
        return
    command = draft.command(
        f"payouts:{payout.id}",
        f"transfer:{payout.id}",
        commands.CreateTransfer(
            from_account=clearing,
            to_account=bank,
            amount_minor=payout.amount_minor,
            currency=payout.currency,
            date=date,
            reference=payout.reference or payout.id,
            marker=payout.id,
            description="GoCardless payout",
            exchange_rate=rate(draft.state, payout.currency) or "",
        ),
        priority=commands.PRIORITY_MONEY,
        key=payout.id,
        look_up_first=True,
    )
    draft.mark("payouts", payout.id, transfer_command=command.id)


def _ask_expense(draft: Draft, payout: Payout, rows: list[PayoutItemRow], clearing: str, date: str) -> None:
    if payout.fee_minor < 0:
        draft.open("fee_refund", f"payouts:{payout.id}", amount_minor=-payout.fee_minor, currency=payout.currency, payout=payout.id)
    accounts = draft.state.policy.accounts
    if payout.fee_minor <= 0 or not draft.state.policy.fee_expense:
        return
    value = f"{draft.state.own.environment}:{payout.id}"
    command = draft.command(
        f"payouts:{payout.id}",
        f"expense:{payout.id}",
        commands.CreateExpense(
            account=accounts.fees,
            paid_through=clearing,
            amount_minor=payout.fee_minor,
            currency=payout.currency,
            date=date,
            reference=payout.id,
            unique_field=draft.state.policy.unique_field,
            unique_value=value,
            lines=fee_lines(rows, payout.fee_minor, accounts.tax),
            vendor=accounts.vendor,
            exchange_rate=rate(draft.state, payout.currency) or "",
            description=f"GoCardless fees of {payout.id}",
        ),
        priority=commands.PRIORITY_MONEY,
        key=value,
    )
    draft.mark("payouts", payout.id, expense_command=command.id)


def fee_lines(rows: list[PayoutItemRow], fee_minor: int, taxes: dict[str, str]) -> list[commands.ExpenseLine]:
    """One line per fee type and tax rate, tax included; the rounding penny goes on a line without tax. They sum to the fee."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.type in FEE_TYPES:
            sums = groups.setdefault((row.type, row.tax_rate), [0, 0])
            sums[0] -= row.amount_tenths
            sums[1] -= row.tax_tenths
    lines = [
        commands.ExpenseLine(kind.replace("_", " "), money.minor_from_tenths(gross), taxes.get(tax_rate, ""), money.minor_from_tenths(tax))
        for (kind, tax_rate), (gross, tax) in sorted(groups.items())
        if money.minor_from_tenths(gross)
    ]
    rest = fee_minor - sum(line.amount_minor for line in lines)
    return [*lines, commands.ExpenseLine("rounding", rest)] if rest else lines


def _ask_suspense(draft: Draft, payout: Payout, clearing: str, foreign: list[PayoutItemRow], date: str) -> None:
    if not foreign:
        return
    net = sum(row.amount_tenths for row in foreign) // 10
    draft.open(
        "foreign_items",
        f"payouts:{payout.id}",
        amount_minor=net,
        currency=payout.currency,
        payout=payout.id,
        count=str(len(foreign)),
    )
    suspense = draft.state.policy.accounts.suspense.get(payout.currency)
    if suspense is None:
        what = f"suspense in {payout.currency}"
        draft.open("account_missing", f"payouts:{payout.id}:suspense", what=what, number=payout.id)
        return
    if net == 0:
        return
    source, target = (suspense, clearing) if net > 0 else (clearing, suspense)
    command = draft.command(
        f"payouts:{payout.id}",
        f"foreign:{payout.id}",
        commands.CreateTransfer(
            from_account=source,
            to_account=target,
            amount_minor=abs(net),
            currency=payout.currency,
            date=date,
            reference=payout.id,
            marker=f"{payout.id}:foreign",
            description="GoCardless payout items that are not ours",
            exchange_rate=rate(draft.state, payout.currency) or "",
        ),
        priority=commands.PRIORITY_MONEY,
        key=f"{payout.id}:foreign",
        look_up_first=True,
    )
    draft.mark("payouts", payout.id, suspense_command=command.id)


def on_outcome(draft: Draft, key: str, row: CommandRow, outcome: events.Outcome) -> None:
    """A call about a payout ended."""
    about = f"payouts:{key}"
    field = {f"transfer:{key}": "transfer", f"expense:{key}": "expense", f"foreign:{key}": "suspense_transfer"}.get(row.purpose)
    if outcome.kind == "succeeded":
        draft.close("posting_refused" if field else "read_refused", about)
        if field == "transfer":
            draft.mark("payouts", key, transfer=outcome.resource_id)
        elif field == "expense":
            draft.mark("payouts", key, expense=outcome.resource_id)
        elif field:
            draft.mark("payouts", key, suspense_transfer=outcome.resource_id)
        elif draft.state.payouts[key].status != "paid":
            draft.mark("payouts", key, read_asked=False)
            draft.timer(f"payout:{key}", times.add_seconds(draft.at, _LOOK_AGAIN_S), about)
            return
        draft.touch("payouts", key)
    elif field:
        reason = outcome.message or outcome.reason
        draft.open("posting_refused", about, what=f"the {field.replace('_', ' ')}", number=key, reason=reason, id=row.id)
    else:
        draft.open("read_refused", about, what=f"payout {key}", reason=outcome.reason, id=row.id)
