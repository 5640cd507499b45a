"""Payouts: read whole, footed to the tenth, posted; in Zoho one transfer to the bank and one fee expense.

fee = Σ non-fee items - amount, so every payout foots; the rounding residue (below one minor unit) is kept and shown.
Items that are not ours pass through suspense, each named. A payout that does not foot is held, and nothing of it is
posted (design rule 12).

Its items are walked a part at a time (`domain.payout_items`). A payout of more items than one decision may hold is
posted in several entries: each takes its payments out of clearing into the payout's own open item there, and the last
one moves that to the bank and fees.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec.structs import replace

from domain import commands, events, ledger, money, payout_items, reconciliation, refs, times
from domain.bookings import before_books, booking_date, rate
from domain.decisions import Line
from domain.draft import Draft
from domain.envelope import Event, Touch, Touched
from domain.fees import FEE_TYPES, fee_lines
from domain.payments import add_fact
from domain.refs import Ref
from domain.state import CommandRow, Payment, PaymentFact, Payout, PayoutItemRow, State
from domain.vocabulary import Code

_NOT_OURS: Final = "not ours"

#: The name of a payout's own open item in clearing, while not all of its payments have been taken out.
_UNDER_WAY: Final = "payout being posted"

_ITEM_NAMES: Final = {
    "payment_paid_out": "paid out before it was confirmed",
    "payment_failed": "taken back in a payout, reversal not seen",
    "payment_charged_back": "charged back in a payout, reversal not seen",
}


# --- facts ------------------------------------------------------------------------------------------------------------


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
    if held.posted or held.walk != "counting":  # all of it is here, and added up
        return ()
    touched: list[Touch] = []
    for position, item in enumerate(data.items, start=data.first):
        if position < held.cursor:  # it is added up: a second page cannot change it
            continue
        key = refs.payout_item(data.payout, position)
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
    state.payouts[data.payout] = replace(
        held, items_complete=held.items_complete or data.complete, item_count=max(held.item_count, count)
    )
    return (*touched, ("payouts", data.payout))


# --- rules ------------------------------------------------------------------------------------------------------------


def decide(draft: Draft, key: str) -> None:
    """Read it, add it up, wait until each of its payments is known, post it once, and see whether it is reconciled."""
    payout = draft.state.payouts.get(key)
    if (
        payout is None
        or not payout.paid_at
        or payout.stage == "held"
        or (payout.stage == "reconciled" and payout.walk != "publishing")
    ):
        return
    if payout.posted:
        reconciliation.settle(draft, payout)
    elif not payout.read or payout.status != "paid":
        _ask_read(draft, payout)
    else:
        _go_on(draft, payout)


def _go_on(draft: Draft, payout: Payout) -> None:
    if payout.walk == "counting":
        walked = _count(draft, payout)
        payout = draft.state.payouts[payout.id]
        if walked == "goes_on":
            return
        if walked == "waits" or not payout.items_complete:  # the last page may come before another
            payout_items.ask(draft, payout)
            return
        if not _foots(draft, payout):
            return
        payout = payout_items.begin(draft, payout, "awaiting")
    if payout.walk == "awaiting":
        walked = payout_items.walk(draft, payout, lambda row: _known(draft.state, row))
        if walked == "waits" and refs.timer("payout", payout.id) not in draft.state.timers:
            # Most waits end with a payment that names this payout; an item of an older payment names another, so look
            # again.
            payout_items.look_again(draft, payout.id)
        if walked != "done":
            return
        payout = payout_items.begin(draft, payout, "posting")
    _post(draft, payout)


def _ask_read(draft: Draft, payout: Payout) -> None:
    purpose = refs.purpose("read_payout", payout.id)
    draft.ask_once(Ref("payouts", payout.id), purpose, commands.ReadPayout(payout.id), until_cleared=True)


def _count(draft: Draft, payout: Payout) -> payout_items.Walked:
    """Add up the items that are here, in order."""
    rows: list[PayoutItemRow] = []
    walked = payout_items.walk(draft, payout, _into(rows))
    fees = dict(payout.fees)
    for row in rows:
        if row.type in FEE_TYPES:
            name = f"{row.type}|{row.tax_rate}"
            gross_tenths, tax_tenths = fees.get(name, (0, 0))
            fees[name] = (gross_tenths + row.amount_tenths, tax_tenths + row.tax_tenths)
    own = [row.amount_tenths for row in rows if row.type not in FEE_TYPES]
    draft.mark(
        "payouts",
        payout.id,
        total_tenths=payout.total_tenths + sum(row.amount_tenths for row in rows),
        gross_tenths=payout.gross_tenths + sum(own),
        tax_tenths=payout.tax_tenths + sum(row.tax_tenths for row in rows if row.type in FEE_TYPES),
        uneven=payout.uneven or any(amount % 10 for amount in own),
        fees=fees,
    )
    return walked


def _into(rows: list[PayoutItemRow]) -> Callable[[PayoutItemRow], bool]:
    """A step that gathers each item and goes on."""

    def gather(row: PayoutItemRow) -> bool:
        rows.append(row)
        return True

    return gather


def _known(state: State, item: PayoutItemRow) -> bool:
    """Whether an item's payment is known, and booked as far as it is confirmed."""
    payment = state.payments.get(item.payment)
    return payment is None or not (
        payment.claim == "unknown" or (payment.claim == "ours" and payment.booked < payment.confirmed)
    )


def _hold(draft: Draft, payout: Payout, code: Code, reason: str, **facts: str) -> None:
    draft.mark("payouts", payout.id, stage="held", reason=reason)
    draft.open(
        code,
        Ref("payouts", payout.id),
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        payout=payout.id,
        reason=reason,
        **facts,
    )


def _foots(draft: Draft, payout: Payout) -> bool:
    """Whether its items sum to its amount, to less than a minor unit; else it is held."""
    if payout.payout_type == "partner":
        _hold(draft, payout, "payout_unsupported", "revenue share of a partner")
        return False
    if payout.fx_currency and payout.fx_currency != payout.currency:
        _hold(draft, payout, "payout_unsupported", "paid in another currency than collected")
        return False
    if abs(_residue_tenths(payout)) >= 10 or payout.uneven:
        facts = {"got": f"{payout.total_tenths} tenths", "wanted": f"{payout.amount_minor} {payout.currency}"}
        _hold(draft, payout, "payout_breach", "does_not_foot", **facts)
        return False
    return True


def _residue_tenths(payout: Payout) -> int:
    return payout.amount_minor * 10 - payout.total_tenths


class _Accounts(NamedTuple):
    """Where a payout is posted: Zoho's clearing and bank account, and the entry date."""

    clearing: str
    bank: str
    date: str


def _accounts(draft: Draft, payout: Payout) -> _Accounts | None:
    """None while one is not mapped, which a person is told."""
    state = draft.state
    bank = state.policy.accounts.bank.get(payout.bank_account)
    clearing = state.policy.accounts.clearing.get(payout.currency)
    if bank is None or clearing is None or rate(state, payout.currency) is None:
        what = (
            f"bank account {payout.bank_account}"
            if bank is None
            else f"clearing or the exchange rate of {payout.currency}"
        )
        draft.open("account_missing", Ref("payouts", payout.id), what=what, number=payout.id)
        return None
    draft.close("account_missing", Ref("payouts", payout.id))
    arrival = payout.arrival_date or times.local_day(payout.paid_at, state.own.time_zone)
    return _Accounts(clearing, bank, booking_date(state, times.local_instant(arrival, 12, state.own.time_zone)))


def _post(draft: Draft, payout: Payout) -> None:
    """Take the next items out of clearing; with the last ones, post the payout as a whole and ask Zoho for its
    records.
    """
    accounts = _accounts(draft, payout)
    if accounts is None:
        return
    rows: list[PayoutItemRow] = []
    walked = payout_items.walk(draft, payout, _into(rows))
    lines = _item_lines(draft, payout, rows, accounts.date)
    moved_minor = -sum(line.amount_minor for line in lines)
    if walked != "done":
        lines.append(ledger.debit(ledger.CLEARING, moved_minor, payout.currency, item=payout.id, name=_UNDER_WAY))
        draft.entry(accounts.date, f"{payout.id} paid, in part", Ref("payouts", payout.id), lines)
        draft.mark("payouts", payout.id, moved_minor=payout.moved_minor + moved_minor)
        return
    gross_minor = payout.gross_tenths // 10
    fee_minor = gross_minor - payout.amount_minor
    vat_minor = money.minor_from_tenths(-payout.tax_tenths)
    whole = [
        ledger.debit(ledger.BANK, payout.amount_minor, payout.currency),
        ledger.debit(ledger.FEES, fee_minor - vat_minor, payout.currency),
        ledger.debit(ledger.INPUT_VAT, vat_minor, payout.currency),
        *lines,
        ledger.credit(ledger.CLEARING, payout.moved_minor, payout.currency, item=payout.id, name=_UNDER_WAY),
    ]
    draft.entry(accounts.date, f"{payout.id} paid", Ref("payouts", payout.id), whole)
    draft.mark(
        "payouts",
        payout.id,
        stage="posting",
        posted=True,
        gross_minor=gross_minor,
        fee_minor=fee_minor,
        vat_minor=vat_minor,
        residue_tenths=_residue_tenths(payout),
        moved_minor=gross_minor,
    )
    payout = draft.state.payouts[payout.id]
    _ask_transfer(draft, payout, accounts)
    _ask_expense(draft, payout, accounts)
    _ask_suspense(draft, payout, accounts)
    reconciliation.settle(draft, draft.state.payouts[payout.id])


def _ours(state: State, row: PayoutItemRow) -> bool:
    payment = state.payments.get(row.payment)
    return payment is not None and payment.claim == "ours" and row.type in _ITEM_NAMES


def _item_lines(draft: Draft, payout: Payout, rows: list[PayoutItemRow], date: str) -> list[Line]:
    """What takes these items out of clearing; each foreign one comes from suspense by an entry of its own first."""
    currency = payout.currency
    lines: list[Line] = []
    foreign: list[int] = []
    for row in rows:
        if row.type in FEE_TYPES:
            continue
        amount = row.amount_tenths // 10
        item, name = (row.payment, _ITEM_NAMES[row.type]) if _ours(draft.state, row) else (row.id, _NOT_OURS)
        if name == _NOT_OURS:
            foreign.append(amount)
            draft.entry(
                date,
                f"{payout.id} item {row.position}: {row.type.replace('_', ' ')}, not ours",
                Ref("payouts", payout.id),
                [
                    ledger.debit(ledger.CLEARING, amount, currency, item=item, name=name),
                    ledger.credit(ledger.SUSPENSE, amount, currency),
                ],
            )
        elif _opening(draft.state, item):
            item, name = "opening", "opening"
        lines.append(ledger.credit(ledger.CLEARING, amount, currency, item=item, name=name))
    if foreign:
        count, sum_minor = payout.foreign_count + len(foreign), payout.foreign_minor + sum(foreign)
        draft.mark("payouts", payout.id, foreign_count=count, foreign_minor=sum_minor)
    return lines


def _opening(state: State, payment: str) -> bool:
    row = state.payments.get(payment)
    first = row.facts[0].at if row is not None and row.facts else ""
    booking = state.bookings.get(refs.booking(payment, 1))
    return booking is not None and booking.amount_minor == 0 and bool(first) and before_books(state, first)


def _ask_transfer(draft: Draft, payout: Payout, accounts: _Accounts) -> None:
    if payout.amount_minor <= 0:
        return
    command = draft.command(
        Ref("payouts", payout.id),
        refs.purpose("transfer", payout.id),
        commands.CreateTransfer(
            from_account=accounts.clearing,
            to_account=accounts.bank,
            amount_minor=payout.amount_minor,
            currency=payout.currency,
            date=accounts.date,
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


def _ask_expense(draft: Draft, payout: Payout, accounts: _Accounts) -> None:
    if payout.fee_minor < 0:
        draft.open(
            "fee_refund",
            Ref("payouts", payout.id),
            amount_minor=-payout.fee_minor,
            currency=payout.currency,
            payout=payout.id,
        )
    named = draft.state.policy.accounts
    if payout.fee_minor <= 0 or not draft.state.policy.fee_expense:
        return
    value = f"{draft.state.own.environment}:{payout.id}"
    command = draft.command(
        Ref("payouts", payout.id),
        refs.purpose("expense", payout.id),
        commands.CreateExpense(
            account=named.fees,
            paid_through=accounts.clearing,
            amount_minor=payout.fee_minor,
            currency=payout.currency,
            date=accounts.date,
            reference=payout.id,
            unique_field=draft.state.policy.unique_field,
            unique_value=value,
            lines=fee_lines(payout, named.tax),
            vendor=named.vendor,
            exchange_rate=rate(draft.state, payout.currency) or "",
            description=f"GoCardless fees of {payout.id}",
        ),
        priority=commands.PRIORITY_MONEY,
        key=value,
    )
    draft.mark("payouts", payout.id, expense_command=command.id)


def _ask_suspense(draft: Draft, payout: Payout, accounts: _Accounts) -> None:
    if not payout.foreign_count:
        return
    net = payout.foreign_minor
    draft.open(
        "foreign_items",
        Ref("payouts", payout.id),
        amount_minor=net,
        currency=payout.currency,
        payout=payout.id,
        count=str(payout.foreign_count),
    )
    suspense = draft.state.policy.accounts.suspense.get(payout.currency)
    if suspense is None:
        what = f"suspense in {payout.currency}"
        draft.open("account_missing", Ref("payouts", f"{payout.id}:suspense"), what=what, number=payout.id)
        return
    if net == 0:
        return
    source, target = (suspense, accounts.clearing) if net > 0 else (accounts.clearing, suspense)
    command = draft.command(
        Ref("payouts", payout.id),
        refs.purpose("foreign", payout.id),
        commands.CreateTransfer(
            from_account=source,
            to_account=target,
            amount_minor=abs(net),
            currency=payout.currency,
            date=accounts.date,
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


#: What a command about a payout is for → the field of its row that holds what Zoho made.
_ROW_FIELDS: Final = {"transfer": "transfer", "expense": "expense", "foreign": "suspense_transfer"}


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """A call about a payout ended."""
    key = about.key
    field = _ROW_FIELDS.get(refs.split(row.purpose)[0])
    if outcome.end == "succeeded":
        draft.close("posting_refused" if field else "read_refused", about)
        if field:
            draft.mark("payouts", key, **{field: outcome.resource_id})
        elif draft.state.payouts[key].status != "paid":
            draft.mark("payouts", key, read_asked=False)
            payout_items.look_again(draft, key)
            return
        draft.touch("payouts", key)
    elif field:
        reason = outcome.message or outcome.reason
        draft.open(
            "posting_refused", about, what=f"the {field.replace('_', ' ')}", number=key, reason=reason, id=row.id
        )
    else:
        draft.open("read_refused", about, what=f"payout {key}", reason=outcome.reason, id=row.id)
        if row.type == "gocardless.read_payout_items":
            payout_items.look_again(draft, key, row.attempt - 1)
