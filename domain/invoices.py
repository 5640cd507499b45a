"""Invoices: from open in Zoho to a debit decided. A debit is never decided on a stale view.

Stages: none → waiting (for a mandate) → scheduled (until the organisation's send hour on the due date) → viewing (the
invoice and the mandate's payments are read again) → collecting → collected; or failed, hold, ignored. `obstacle` is the
one list of what stands in the way of a debit: the rule asks it, the executor asks it again right before the call, and
`why` prints it.
"""

from typing import Final

from msgspec.structs import replace

from domain import attempts, ceilings, commands, connections, customers, events, ids, mandates, money, refs, times
from domain.chargeable import CHARGEABLE, usable_mandate
from domain.draft import Draft
from domain.envelope import Event, Touch, Touched
from domain.policy import Policy
from domain.refs import Ref
from domain.state import CommandRow, Contact, Invoice, Mandate, Payment, State
from domain.vocabulary import Code

#: Zoho's statuses that mean "sent, and owing" (reference 3.3). All of them count as one when two observations are
#: compared: "overdue" comes with the calendar, without any change of the invoice.
OPEN: Final = frozenset({"sent", "overdue", "viewed", "unpaid", "partially_paid", "approved"})

#: A payment in one of these states will never bring money; a new debit may be made.
DEAD: Final = frozenset({"failed", "cancelled", "customer_approval_denied", "charged_back"})

#: Refusals of GoCardless that say the mandate, not the debit, is at fault.
_MANDATE_REASONS: Final = frozenset(
    {"mandate_is_inactive", "mandate_replaced", "bank_account_disabled", "resource_not_found"}
)

#: What a debit's end leaves open until a person answers it, or nothing is owing any more.
_ANSWERED: Final = (
    "debit_failed",
    "debit_reversed",
    "debit_over_limit",
    "payer_over_limit",
    "due_before_start",
    "debit_refused",
    "command_parked",
)

#: How long a debit waits for its views before they are asked for again. Lower than an hour: a throttled API would be
#: asked again while the first request still waits. Higher: a lost answer delays a debit by that much.
VIEW_RETRY_S: Final = 3600


# --- facts ------------------------------------------------------------------------------------------------------------


def evolve_facts(state: State, event: Event) -> Touched:
    """An invoice as Zoho showed it. Older changes nothing; a tie with other content asks for a full read."""
    seen: events.InvoiceFacts = event.data
    held = state.invoices.get(seen.id)
    full = event.type == "zoho.invoice_read"
    base = held or Invoice(seen.id)
    new = replace(
        base,
        number=seen.number,
        contact=seen.customer_id,
        currency=seen.currency,
        status=seen.status,
        total_minor=seen.total_minor,
        balance_minor=seen.balance_minor,
        date=seen.date,
        due_date=seen.due_date or seen.date,
        last_modified=seen.last_modified,
        exchange_rate=seen.exchange_rate,
        elsewhere=seen.elsewhere or (base.elsewhere and not full and seen.last_modified == base.last_modified),
        line_count=base.line_count if seen.line_items is None else len(seen.line_items),
        as_of=max(base.as_of, seen.as_of),
    )
    if held is not None:
        if held.last_modified > new.last_modified:
            return ()
        if held.last_modified == new.last_modified and not full and _content(held) != _content(new):
            return (("invoice_ties", seen.id),)
    if new == held:
        return (("invoices", seen.id),) if held.stage == "viewing" else ()
    state.invoices[seen.id] = new
    return (("invoices", seen.id),)


def _content(row: Invoice) -> tuple[object, ...]:
    status = "open" if row.status in OPEN else row.status
    return (row.contact, row.currency, status, row.total_minor, row.balance_minor, row.due_date)


def evolve_gone(state: State, event: Event) -> Touched:
    """The invoice no longer exists in Zoho."""
    data: events.InvoiceGone = event.data
    held = state.invoices.get(data.id)
    if held is None or held.status == "deleted":
        return ()
    state.invoices[data.id] = replace(held, status="deleted", balance_minor=0)
    return (("invoices", data.id),)


def evolve_listed(state: State, event: Event) -> Touched:
    """A page of invoices was read: what it names is as fresh as the page, and looks again at what it waits for."""
    data: events.InvoicesListed = event.data
    touched: list[Touch] = []
    for key in data.ids:
        row = state.invoices.get(key)
        if row is None:
            continue
        if data.as_of > row.as_of:
            state.invoices[key] = replace(row, as_of=data.as_of)
        if row.stage in {"none", "waiting", "viewing"} or (row.stage == "hold" and row.reason in ceilings.REASONS):
            touched.append(("invoices", key))
    own = state.own
    if data.complete and data.scope == "open" and data.as_of > own.open_listed_at:
        state.connections[own.id] = replace(own, open_listed_at=data.as_of)
    return tuple(touched)


def evolve_applied(state: State, event: Event) -> Touched:
    """Zoho's answer about a customer payment names the balance it left on each invoice."""
    data: events.CustomerPaymentRead = event.data
    touched: list[Touch] = []
    for applied in data.invoices:
        held = state.invoices.get(applied.invoice_id)
        if held is None or applied.balance_minor is None or applied.balance_minor == held.balance_minor:
            continue
        status = "paid" if applied.balance_minor == 0 else "partially_paid"
        state.invoices[held.id] = replace(held, balance_minor=applied.balance_minor, status=status)
        touched.append(("invoices", held.id))
    return tuple(touched)


def evolve_released(state: State, event: Event) -> Touched:
    """A person decided about an invoice."""
    data: events.InvoiceReleased = event.data
    return (("invoices", data.invoice),) if data.invoice in state.invoices else ()


# --- rules ------------------------------------------------------------------------------------------------------------


def collectable(invoice: Invoice) -> bool:
    """Sent, owing, and not void (a void invoice keeps its balance: reference trap 10)."""
    return invoice.status in OPEN and invoice.balance_minor > 0


def obstacle(state: State, invoice: Invoice) -> str:
    """What stands in the way of a debit for this invoice, "" when nothing does. The order is what a person should hear
    first.
    """
    if not collectable(invoice):
        return "not_open"
    if state.own.gate != "open":
        return "gate_closed"
    if invoice.elsewhere:
        return "collected_elsewhere"
    if invoice.currency not in state.policy.accounts.clearing:
        return "account_missing"
    contact = state.contacts.get(invoice.contact)
    if contact is None or not contact.status:
        return "contact_unknown"
    if contact.status != "active":
        return "contact_inactive"
    if customers.doubtful(state, contact):
        return "payer_in_doubt"
    if usable_mandate(state, contact, invoice.currency) is None:
        return "no_mandate"
    return ""


def objection(state: State, command: commands.Command, now: str) -> str:
    """Why a decided debit must not be sent after all, "" when it may: asked right before the call (design rule 7)."""
    if command.not_after and now > command.not_after:
        return "expired"
    if not isinstance(command.data, commands.CreatePayment):
        return ""
    debit = command.data
    invoice = state.invoices.get(debit.invoice)
    if invoice is None or invoice.command != command.id or invoice.stage != "collecting":
        return "superseded"
    if invoice.balance_minor != debit.amount_minor or invoice.currency != debit.currency:
        return "balance_changed"
    mandate = state.mandates.get(debit.mandate)
    if mandate is None or mandate.status not in CHARGEABLE:
        return "mandate_unusable"
    return obstacle(state, invoice)


def decide(draft: Draft, key: str) -> None:
    """Move the invoice on as far as the facts allow."""
    invoice = draft.state.invoices[key]
    data = draft.event.data
    if isinstance(data, events.InvoiceReleased) and data.invoice == key:
        _released(draft, invoice, data)
        invoice = draft.state.invoices[key]
    if invoice.stage in {"failed", "hold"}:
        payment = draft.state.payments.get(invoice.payment)
        # Nothing is owing until Zoho has un-applied what was taken back: that settles nothing.
        taken_back = payment is not None and payment.reversed > 0
        if not collectable(invoice) and invoice.balance_minor == 0 and not taken_back:
            _rest(draft, invoice, "settled")
        elif invoice.stage == "hold" and invoice.reason in ceilings.REASONS:
            if collectable(invoice):
                _held(draft, invoice)
            else:
                _rest(draft, invoice, "not_open")
        return
    if invoice.stage in {"collecting", "collected", "ignored"}:
        return
    hindrance = obstacle(draft.state, invoice)
    if hindrance == "not_open":
        if invoice.stage != "none":
            _rest(draft, invoice, "not_open")
    elif hindrance == "gate_closed":
        if invoice.stage == "scheduled" and refs.timer("debit", key) not in draft.state.timers:
            draft.mark("invoices", key, stage="none", reason="gate_closed", since=draft.at)
    elif hindrance:
        _wait(draft, invoice, hindrance)
    else:
        draft.close("collected_elsewhere", Ref("invoices", key))
        draft.close("account_missing", Ref("invoices", key))
        if ceilings.before_start(draft.state, invoice):
            _hold(draft, invoice, "due_before_start")
        else:
            _advance(draft, invoice)


def _hold(draft: Draft, invoice: Invoice, ceiling: ceilings.Ceiling) -> None:
    """A ceiling holds it until a person answers, or raises the ceiling."""
    about, state = Ref("invoices", invoice.id), draft.state
    _cancel_timers(draft, invoice)
    draft.mark("invoices", invoice.id, stage="hold", reason=ceiling, since=draft.at)
    if ceiling == "over_day":
        day = times.local_day(draft.at, state.own.time_zone)
        key = ceilings.day_key(day, invoice.currency)
        most, sum_minor = ceilings.of_day(state, key, invoice.currency)
        limits = [f"{most} debits"] if most != ceilings.NONE else []
        limits += [money.format_minor(sum_minor, invoice.currency)] if sum_minor != ceilings.NONE else []
        facts = {"day": day, "limit": " or ".join(limits), "currency_code": invoice.currency}
        draft.open("day_over_limit", Ref("debit_days", key), amount_minor=0, currency=invoice.currency, **facts)
        return
    facts = {"number": invoice.number}
    code: Code = "debit_over_limit"
    if ceiling == "due_before_start":
        code = "due_before_start"
        facts |= {"day": invoice.due_date, "start": state.own.collect_from}
    elif ceiling == "over_payer_month":
        code = "payer_over_limit"
        limit = money.format_minor(state.policy.max_payer_month_minor[invoice.currency], invoice.currency)
        facts |= {"payer": state.contacts[invoice.contact].payer, "limit": f"{limit} {invoice.currency}"}
    draft.open(code, about, amount_minor=invoice.balance_minor, currency=invoice.currency, **facts)


def _held(draft: Draft, invoice: Invoice) -> None:
    """It goes on when the ceiling that held it would let it pass now, as of when it was held; a day that a person
    accepted counts as its approval.
    """
    state = draft.state
    contact = state.contacts.get(invoice.contact)
    if ceilings.exceeded(state, invoice, contact.payer if contact is not None else "", invoice.since):
        return
    approved_minor = invoice.balance_minor if ceilings.accepted(state, invoice) else invoice.approved_minor
    for code in ("due_before_start", "debit_over_limit", "payer_over_limit"):
        draft.close(code, Ref("invoices", invoice.id))
    draft.mark("invoices", invoice.id, stage="none", reason="", since=draft.at, approved_minor=approved_minor)
    draft.touch("invoices", invoice.id)


def _rest(draft: Draft, invoice: Invoice, reason: str) -> None:
    draft.mark("invoices", invoice.id, stage="none", reason=reason, since=draft.at)
    _cancel_timers(draft, invoice)
    for code in (*_ANSWERED, "collected_elsewhere", "account_missing"):
        draft.close(code, Ref("invoices", invoice.id))


def _cancel_timers(draft: Draft, invoice: Invoice) -> None:
    draft.cancel_timer(refs.timer("debit", invoice.id))
    draft.cancel_timer(refs.timer("view", invoice.id))


def _wait(draft: Draft, invoice: Invoice, hindrance: str) -> None:
    about = Ref("invoices", invoice.id)
    if (invoice.stage, invoice.reason) != ("waiting", hindrance):
        draft.mark("invoices", invoice.id, stage="waiting", reason=hindrance, since=draft.at)
        _cancel_timers(draft, invoice)
    if hindrance == "collected_elsewhere":
        draft.open("collected_elsewhere", about, number=invoice.number)
    elif hindrance == "account_missing":
        draft.open("account_missing", about, what=f"clearing in {invoice.currency}", number=invoice.number)
    elif hindrance in {"contact_unknown", "no_mandate", "payer_in_doubt"}:
        customers.wait(draft, invoice.contact, invoice)
        contact = draft.state.contacts.get(invoice.contact) or Contact(invoice.contact)
        if hindrance != "contact_unknown":
            draft.touch("contacts", contact.id)
        else:
            purpose = refs.purpose("read_contact", contact.id)
            draft.ask_once(Ref("contacts", contact.id), purpose, commands.ReadContact(contact.id))


def send_time(policy: Policy, zone: str, due_date: str, at: str) -> str:
    """When the debit is sent: the send hour of the due date (less the policy's days), or the next send hour if that is
    not after `at`.

    Strictly after: a due time that was reached is an event already, and the same one would never come a second time.
    """
    wanted = times.add_days(due_date, -policy.send_days_before_due)
    today = times.local_day(at, zone)
    chosen = times.local_instant(max(wanted, today), policy.send_hour, zone)
    return chosen if chosen > at else times.local_instant(times.add_days(today, 1), policy.send_hour, zone)


def _advance(draft: Draft, invoice: Invoice) -> None:
    timer = refs.timer("debit", invoice.id)
    if invoice.stage in {"none", "waiting"} or (invoice.stage == "scheduled" and timer in draft.state.timers):
        pending = draft.state.timers.get(timer)
        since = draft.at
        # A tick that is on its way keeps the send time, unless the due date has moved.
        if pending is not None and pending.at <= since:
            since = times.add_seconds(pending.at, -1)
        due_at = send_time(draft.state.policy, draft.state.own.time_zone, invoice.due_date, since)
        draft.mark("invoices", invoice.id, stage="scheduled", reason="", due_at=due_at)
        draft.timer(timer, due_at, Ref("invoices", invoice.id))
        if invoice.stage != "scheduled":
            draft.mark("invoices", invoice.id, since=draft.at)
        return
    if invoice.stage == "scheduled":
        draft.mark("invoices", invoice.id, stage="viewing", since=draft.at)
    _view(draft, draft.state.invoices[invoice.id])


def _view(draft: Draft, invoice: Invoice) -> None:
    contact = draft.state.contacts[invoice.contact]
    mandate = usable_mandate(draft.state, contact, invoice.currency)
    assert mandate is not None, "obstacle() has just found one"
    retry = refs.timer("view", invoice.id)
    if invoice.as_of >= invoice.due_at and mandate.payments_read_at >= invoice.due_at:
        draft.cancel_timer(retry)
        draft.leave(refs.list_of("viewing", mandate.id), invoice.id)
        _debit(draft, invoice, mandate)
        return
    overdue = isinstance(draft.event.data, events.DueReached) and draft.event.data.timer == retry
    if overdue:
        purpose, data = refs.purpose("read_invoice", invoice.id), commands.ReadInvoice(invoice.id)
        if not draft.is_under_way(purpose):
            draft.command(Ref("invoices", invoice.id), purpose, data, priority=commands.PRIORITY_DEBIT)
        mandate = mandates.ask_again(draft, mandate)
    elif invoice.as_of < invoice.due_at:
        connections.ask_sweep(draft)
    if mandate.payments_read_at < invoice.due_at:
        mandates.ask_payments(draft, mandate, invoice.id, invoice.due_at)
    if retry not in draft.state.timers:
        draft.timer(retry, times.add_seconds(draft.at, VIEW_RETRY_S), Ref("invoices", invoice.id))


def _debit(draft: Draft, invoice: Invoice, mandate: Mandate) -> None:
    about = Ref("invoices", invoice.id)
    state, policy, own = draft.state, draft.state.policy, draft.state.own
    held = state.payments.get(invoice.payment)
    if held is not None and held.status not in DEAD:
        draft.mark("invoices", invoice.id, stage="collecting", reason="", since=draft.at)
        return
    purpose = refs.purpose("debit", invoice.id)
    if held is not None and not draft.attempts(purpose) and invoice.approved_minor != invoice.balance_minor:
        _fail_earlier(draft, invoice, held)
        return
    _work_out_limits(draft, invoice.currency)
    ceiling = ceilings.exceeded(state, invoice, mandate.payer, draft.at)
    if ceiling:
        _hold(draft, invoice, ceiling)
        return
    attempt = attempts.next_number(state, invoice)
    command = draft.command(
        about,
        purpose,
        commands.CreatePayment(invoice.id, invoice.number, mandate.id, invoice.balance_minor, invoice.currency),
        priority=commands.PRIORITY_DEBIT,
        key=ids.idempotency_key(own.environment, own.organization_id, purpose, attempt),
        not_after=times.add_seconds(invoice.due_at, policy.view_hours * 3600),
        attempt=attempt,
    )
    draft.mark(
        "invoices",
        invoice.id,
        stage="collecting",
        reason="",
        since=draft.at,
        attempt=attempt,
        command=command.id,
        mandate=mandate.id,
    )


def _fail_earlier(draft: Draft, invoice: Invoice, payment: Payment) -> None:
    """A debit of an earlier life (a lost log, another installation) has ended without money: no new one without a
    person.
    """
    reason = payment.reason or payment.status
    draft.mark("invoices", invoice.id, stage="failed", reason=reason, since=draft.at)
    draft.open("debit_failed", Ref("invoices", invoice.id), number=invoice.number, reason=reason.replace("_", " "))


def _work_out_limits(draft: Draft, currency: str) -> None:
    """The day's ceilings, once a day and currency: the look at the days before is long."""
    state = draft.state
    day = times.local_day(draft.at, state.own.time_zone)
    key = ceilings.day_key(day, currency)
    row = state.debit_days.get(key)
    if row is None or not row.limited:
        most, sum_minor = ceilings.day_limits(state, day, currency)
        draft.mark("debit_days", key, day=day, currency=currency, limited=True, limit_count=most, limit_minor=sum_minor)


def decide_tie(draft: Draft, key: str) -> None:
    """Two observations of the same second differ: a full read settles it."""
    data = commands.ReadInvoice(key)
    draft.command(Ref("invoices", key), refs.purpose("read_invoice", key), data, priority=commands.PRIORITY_READ)


def _released(draft: Draft, invoice: Invoice, data: events.InvoiceReleased) -> None:
    for code in (*_ANSWERED, "amount_mismatch"):
        draft.close(code, Ref("invoices", invoice.id))
    if data.action == "retry" and invoice.stage in {"failed", "hold", "ignored"}:
        approved_minor = invoice.balance_minor
        draft.mark("invoices", invoice.id, stage="none", reason="", since=draft.at, approved_minor=approved_minor)
    elif data.action == "ignore" and invoice.stage not in {"collecting", "collected"}:
        draft.mark("invoices", invoice.id, stage="ignored", reason="operator", since=draft.at)
        _cancel_timers(draft, invoice)


def on_replay(draft: Draft, key: str, row: CommandRow) -> None:
    """A person sends the invoice's last debit once more: it is under way again, or `objection` would withhold it."""
    invoice = draft.state.invoices.get(key)
    if invoice is not None and invoice.command == row.id and invoice.stage in {"failed", "hold"}:
        draft.mark("invoices", key, stage="collecting", reason="", since=draft.at)


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """A debit, or a read of the invoice, ended."""
    key = about.key
    invoice = draft.state.invoices.get(key)
    if row.type != "gocardless.create_payment" or invoice is None:
        if outcome.end == "succeeded":
            draft.close("read_refused", about)
        else:
            draft.open("read_refused", about, what="an invoice", reason=outcome.reason, id=row.id)
        return
    if outcome.end == "succeeded":
        _debited(draft, invoice, row, outcome.resource_id)
    elif row.id != invoice.command or invoice.stage != "collecting":
        return
    elif outcome.end == "withheld":
        draft.close("command_parked", about)
        draft.mark("invoices", key, stage="none", reason=outcome.reason, since=draft.at)
        draft.touch("invoices", key)
    elif outcome.end == "parked":
        draft.mark("invoices", key, stage="hold", reason="parked", since=draft.at)
        draft.open(
            "command_parked", about, command="The debit", number=invoice.number, reason=outcome.reason, id=row.id
        )
    elif outcome.reason in _MANDATE_REASONS:
        draft.mark("mandates", invoice.mandate, read=False, read_asked=False, status="unknown")
        draft.mark("invoices", key, stage="none", reason=outcome.reason, since=draft.at)
        draft.touch("mandates", invoice.mandate)
        draft.touch("invoices", key)
    else:
        draft.mark("invoices", key, stage="failed", reason=outcome.reason, since=draft.at)
        draft.open("debit_refused", about, number=invoice.number, reason=outcome.reason)


def _debited(draft: Draft, invoice: Invoice, row: CommandRow, payment: str) -> None:
    about = Ref("invoices", invoice.id)
    draft.close("command_parked", about)
    draft.close("debit_refused", about)
    made = draft.state.payments.get(payment)
    wrong = made is not None and made.read and (made.amount_minor, made.currency) != (row.amount_minor, row.currency)
    if wrong:
        assert made is not None
        draft.mark("invoices", invoice.id, stage="hold", reason="amount_mismatch", since=draft.at, payment=payment)
        got, wanted = f"{made.amount_minor} {made.currency}", f"{row.amount_minor} {row.currency}"
        draft.open("amount_mismatch", about, api="GoCardless", number=invoice.number, got=got, wanted=wanted)
        return
    draft.mark("invoices", invoice.id, payment=payment)
    if (
        made is not None
        and made.status in DEAD
        and made.command != row.id
        and row.id == invoice.command
        and invoice.stage == "collecting"
    ):
        # The key led to an earlier debit, of another installation or another life, that has ended: it counts now, so
        # that a new one has the next key, and whether there is one is a person's to say.
        _fail_earlier(draft, invoice, made)
        return
    if made is None and payment:
        draft.mark("payments", payment, claim="ours", invoice=invoice.id, command=row.id)
    if invoice.stage not in {"collecting", "collected"} and (made is None or made.status not in DEAD):
        draft.mark("invoices", invoice.id, stage="collecting", reason="", since=draft.at)
    draft.touch("payments", payment)
