"""Ceilings: never a debit without one (rule 15). What exceeds one is held, and a person is told.

```
first day       what fell due before the day a person accepted is not collected by itself
debit           the largest single debit, per currency (policy)
payer's month   the sum debited from a payer in a month, per currency (policy)
day             the number and the sum of debits in a day, per currency: the policy's; where it names neither for a
                currency, three times the largest day of the last 60, or what a person accepted as the first list,
                whichever is larger
```
`count` adds and takes back: a debit counts from its decision on, unless it turns out that it was not made.
"""

from typing import Final, Literal, get_args

from msgspec.structs import replace

from domain import lists, refs, times
from domain.commands import CreatePayment
from domain.state import CommandRow, DebitDay, Invoice, PayerMonth, State

#: How far back the largest day is looked for. Lower: a company that collects once a month is held each time. Higher: a
#: day of long ago, when things were otherwise, allows too much.
HISTORY_DAYS: Final = 60

#: How much larger than the largest day a day may be. Lower: ordinary growth is held. Higher: a fault takes that many
#: days' money before anybody is asked.
TIMES_LARGEST: Final = 3

#: No ceiling.
NONE: Final = -1

Ceiling = Literal["", "due_before_start", "over_limit", "over_payer_month", "over_day"]

#: Why an invoice is on hold, where a ceiling is the reason: it looks again, as of the day it was held, when that may
#: have been raised.
REASONS: Final = frozenset(get_args(Ceiling)) - {""}


# --- what was debited -------------------------------------------------------------------------------------------------


def count(state: State, debit: CreatePayment, asked_at: str, sign: Literal[1, -1]) -> None:
    """Count a debit that was decided at `asked_at`, or take it back: it was not made."""
    day = times.local_day(asked_at, state.own.time_zone)
    _count(state, day, debit.mandate, debit.amount_minor, debit.currency, sign)


def recount(state: State, debit: CommandRow, sign: Literal[1, -1]) -> None:
    """The same for a debit of which its row is at hand."""
    _count(
        state,
        times.local_day(debit.asked_at, state.own.time_zone),
        debit.mandate,
        debit.amount_minor,
        debit.currency,
        sign,
    )


def _count(state: State, day: str, mandate: str, amount_minor: int, currency: str, sign: int) -> None:
    key = day_key(day, currency)
    row = state.debit_days.get(key) or DebitDay(key, day, currency)
    if not row.count:
        lists.add(state, refs.list_of("debit_days", currency), day)
    state.debit_days[key] = replace(row, count=row.count + sign, amount_minor=row.amount_minor + sign * amount_minor)
    held = state.mandates.get(mandate)
    payer = held.payer if held is not None else ""
    if payer:
        place = month_key(day, payer, currency)
        month = state.payer_months.get(place) or PayerMonth(place, payer, day[:7], currency)
        state.payer_months[place] = replace(month, amount_minor=month.amount_minor + sign * amount_minor)


def day_key(day: str, currency: str) -> str:
    """The id of a day's row."""
    return f"{day}:{currency}"


def month_key(day: str, payer: str, currency: str) -> str:
    """The id of the row of a payer's month that holds this day."""
    return f"{day[:7]}:{payer}:{currency}"


# --- what may be debited ----------------------------------------------------------------------------------------------


def before_start(state: State, invoice: Invoice) -> bool:
    """Whether an invoice fell due before the day a person accepted, and is not accepted by itself."""
    return bool(invoice.due_date) and invoice.due_date < state.own.collect_from and not _approved(invoice)


def exceeded(state: State, invoice: Invoice, payer: str, at: str) -> Ceiling:
    """Which ceiling one more debit, of what the invoice owes, would exceed on the day of `at`; "" for none. The day's
    limits must have been worked out (`day_limits`).
    """
    if _approved(invoice):
        return ""
    if before_start(state, invoice):
        return "due_before_start"
    policy, currency, amount = state.policy, invoice.currency, invoice.balance_minor
    limit = policy.max_debit_minor.get(currency)
    if limit is not None and amount > limit:
        return "over_limit"
    day = times.local_day(at, state.own.time_zone)
    month = state.payer_months.get(month_key(day, payer, currency))
    limit = policy.max_payer_month_minor.get(currency)
    if limit is not None and (month.amount_minor if month is not None else 0) + amount > limit:
        return "over_payer_month"
    row = state.debit_days.get(day_key(day, currency)) or DebitDay("")
    most, sum_minor = of_day(state, row.id, currency)
    if row.accepted:
        return ""
    if (most != NONE and row.count + 1 > most) or (sum_minor != NONE and row.amount_minor + amount > sum_minor):
        return "over_day"
    return ""


def _approved(invoice: Invoice) -> bool:
    return invoice.approved_minor > 0 and invoice.approved_minor == invoice.balance_minor


def of_day(state: State, key: str, currency: str) -> tuple[int, int]:
    """A day's ceilings, number and sum, `NONE` for none: the policy's, where it names one of the two."""
    policy = state.policy
    if currency in policy.max_day_count or currency in policy.max_day_minor:
        return policy.max_day_count.get(currency, NONE), policy.max_day_minor.get(currency, NONE)
    row = state.debit_days.get(key) or DebitDay("")
    return row.limit_count, row.limit_minor


def accepted(state: State, invoice: Invoice) -> bool:
    """Whether a person let all of the day pass on which a ceiling held this invoice."""
    row = state.debit_days.get(day_key(times.local_day(invoice.since, state.own.time_zone), invoice.currency))
    return invoice.reason == "over_day" and row is not None and row.accepted


def day_limits(state: State, day: str, currency: str) -> tuple[int, int]:
    """Number and sum that a day may reach where the policy states none.

    `NONE` in the first `HISTORY_DAYS` of an installation whose gate was opened without a list (by version 0.1.0): its
    days so far need not be like those to come.
    """
    own = state.own
    start = times.add_days(day, -HISTORY_DAYS)
    name = refs.list_of("debit_days", currency)
    days = [one for one in lists.newest(state, name, HISTORY_DAYS + 1) if start <= one < day]
    past = [row for row in (state.debit_days[day_key(one, currency)] for one in days) if row.count > 0]
    most = TIMES_LARGEST * max((row.count for row in past), default=0)
    sum_minor = TIMES_LARGEST * max((row.amount_minor for row in past), default=0)
    if not own.accepted_at:
        begun = lists.first(state, name)
        return (most, sum_minor) if past and begun <= start else (NONE, NONE)
    if not past or times.local_day(own.accepted_at, own.time_zone) >= start:
        most = max(most, own.accepted_count.get(currency, 0))
        sum_minor = max(sum_minor, own.accepted_minor.get(currency, 0))
    return most, sum_minor
