"""What can be asked: read-only views over the projections, for the pages, the command line and `why`. Each answer is
one snapshot.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from domain.invoices import OPEN
from domain.onboarding_facts import Owing
from domain.refs import Ref, RefKind
from domain.state import (
    Balance,
    Booking,
    CommandRow,
    ConnectionRow,
    DiscrepancyRow,
    Invoice,
    OpenItem,
    Payment,
    Payout,
    PayoutItemRow,
    Row,
    TimerRow,
)
from projections.state import selects
from projections.store.rows import CODECS
from projections.store.store import Store
from projections.store.tables import STATE, ledger_entries, ledger_lines

#: Rows of one kind in one answer. Lower: a long history is cut. Higher: a page that nobody reads to its end costs
#: memory.
LIMIT: Final = 1_000


class LineView(msgspec.Struct, frozen=True):
    """One side of a journal entry; `amount_minor` above zero debits."""

    account: str
    currency: str
    amount_minor: int
    item: str
    item_name: str


class EntryView(msgspec.Struct, frozen=True):
    """A journal entry with its lines. `event_offset`: the event that decided it."""

    id: str
    date: str
    text: str
    about: str
    event: str
    event_offset: int
    decided_at: str
    lines: list[LineView]


class History(msgspec.Struct, frozen=True):
    """Everything that is remembered about an invoice, payment or payout; the lists are in the order in which things
    happened.
    """

    invoices: list[Invoice]
    payments: list[Payment]
    bookings: list[Booking]
    payouts: list[Payout]
    items: list[PayoutItemRow]
    commands: list[CommandRow]
    entries: list[EntryView]
    discrepancies: list[DiscrepancyRow]


class Status(msgspec.Struct, frozen=True):
    """How a connection stands: counts by stage, status or state. `commands` by (api, state)."""

    connection: ConnectionRow
    invoices: dict[str, int]
    payments: dict[str, int]
    payouts: dict[str, int]
    open_discrepancies: dict[str, int]
    commands: dict[tuple[str, str], int]
    unpublished: int

    def commands_by_api(self) -> dict[str, dict[str, int]]:
        """The commands, by state within each API."""
        found: dict[str, dict[str, int]] = {}
        for (api, state), count in sorted(self.commands.items()):
            found.setdefault(api, {})[state] = count
        return found


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by stage, status or state, for people: "1 collected, 2 on hold"; "none"."""
    return (
        ", ".join(f"{count} {stage.replace('_', ' ') or 'unknown'}" for stage, count in sorted(counts.items()))
        or "none"
    )


class MonthSummary(msgspec.Struct, frozen=True):
    """A month in one currency, minor units. Invoices by invoice date, the rest by entry date. `collected`: confirmed
    less taken back; `clearing`: the movement; `clearing_end`: the balance at the end of the month.
    """

    month: str
    currency: str
    invoices: int = 0
    invoiced_minor: int = 0
    paid_minor: int = 0
    open_minor: int = 0
    collected_minor: int = 0
    fees_minor: int = 0
    vat_minor: int = 0
    bank_minor: int = 0
    clearing_minor: int = 0
    clearing_end_minor: int = 0


#: As `selects.counts` takes it.
_OPEN_BY_CODE: Final = ("discrepancies", "code", "closed_at")

#: Which column of a month an account's lines add to, and with which sign.
_MONTH_COLUMN: Final = {
    "receivables": ("collected_minor", -1),
    "customer_credit": ("collected_minor", -1),
    "fees": ("fees_minor", 1),
    "input_vat": ("vat_minor", 1),
    "bank": ("bank_minor", 1),
    "clearing": ("clearing_minor", 1),
}


class Queries:
    """Questions to the store. Lists are cut at `limit` rows, `LIMIT` unless told."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- connections ---

    def connections(self) -> list[ConnectionRow]:
        """Every connection."""
        decode = CODECS["connections"].from_values
        return [decode(values) for values in self._store.rows(selects.connections(self._store))]  # type: ignore[misc] # by its kind

    def sharing(self, connections: Iterable[str]) -> dict[str, str]:
        """Of these connections, those whose creditor or organisation another of them collects for as well: each with
        that one's name.

        Their gates are open; whichever was first, one of them would debit what the other does (rule 18).
        """
        chosen = set(connections)
        holders: dict[tuple[str, str, str], list[str]] = {}
        for name, environment, creditor, organization in self._store.rows(selects.collecting(self._store)):
            if name in chosen:
                holders.setdefault(("creditor", environment, creditor), []).append(name)
                holders.setdefault(("organisation", environment, organization), []).append(name)
        found: dict[str, str] = {}
        for (what, _, key), names in holders.items():
            for name in names if key and len(names) > 1 else ():
                others = ", ".join(one for one in names if one != name)
                found.setdefault(
                    name,
                    f"{what} {key} is also that of connection {others}: nothing is sent for either. Take one of them "
                    f"out of the settings, "
                    "and start again",
                )
        return found

    def owing(self, connection: str, day: str) -> list[Owing]:
        """What is sent, owing and not under way yet, by currency and by whether it fell due before `day`."""
        c = STATE["invoices"].c
        early = (c.due_date < sa.literal(day)).label("early")
        query = (
            sa.select(c.currency, early, sa.func.count(), sa.func.sum(c.balance_minor), sa.func.min(c.due_date))
            .where(c.connection == connection, c.status.in_(sorted(OPEN)), c.balance_minor > 0)
            .where(c.stage.not_in(("collecting", "collected", "ignored", "failed")))
            .group_by(c.currency, sa.literal_column("early"))
            .order_by(c.currency, sa.literal_column("early"))
        )
        with self._store.read() as reader:
            return [
                Owing(currency, bool(before), int(count), int(total), oldest)
                for currency, before, count, total, oldest in reader.execute(query)
            ]

    def status(self, connection: str) -> Status:
        """How a connection stands; an unknown one has an empty row and no counts."""
        store, key = self._store, (connection,)
        with store.direct_read() as reader:
            own = reader.exec_driver_sql(selects.one_row(store, "connections"), (connection, connection)).all()
            invoices, payments, payouts, opened = (
                {value: int(count) for value, count in reader.exec_driver_sql(selects.counts(store, *one), key)}
                for one in (("invoices", "stage"), ("payments", "status"), ("payouts", "stage"), _OPEN_BY_CODE)
            )
            queued = reader.exec_driver_sql(selects.queued(store), key).all()
            waiting = reader.exec_driver_sql(selects.unpublished(store), key).scalar()
        found: Any = CODECS["connections"].from_values(own[0]) if own else ConnectionRow(connection)
        commands = {(api, state): int(count) for api, state, count in queued}
        return Status(found, invoices, payments, payouts, opened, commands, int(waiting))

    # --- single rows and their history ---

    def row(self, kind: str, connection: str, key: str) -> Row | None:
        """One row of state, None when there is none."""
        found = self._store.rows(selects.one_row(self._store, kind), (connection, key))
        return CODECS[kind].from_values(found[0]) if found else None

    def find_invoice(self, connection: str, text: str) -> Invoice | None:
        """The invoice with this id, else the one with this number (the newest, where Zoho has used a number twice)."""
        table = STATE["invoices"]
        by_number = (
            sa.select(table)
            .where(table.c.connection == connection, table.c.number == text)
            .order_by(table.c.date.desc())
        )
        with self._store.read() as reader:
            found = _some(reader, "invoices", connection, [text]) or _rows(reader, "invoices", by_number.limit(1))
            return found[0] if found else None

    def invoice(self, connection: str, key: str) -> History:
        """An invoice, its payments, their bookings and payouts."""
        with self._store.read() as reader:
            invoices = _some(reader, "invoices", connection, [key])
            payments = _by(reader, "payments", connection, "invoice", key)
            payouts = _some(reader, "payouts", connection, [payment.payout for payment in payments])
            return _history(
                reader, connection, invoices, payments, payouts, [], about=("invoices", "payments", "bookings")
            )

    def payment(self, connection: str, key: str) -> History:
        """A payment, its invoice, bookings and payout."""
        with self._store.read() as reader:
            payments = _some(reader, "payments", connection, [key])
            invoices = _some(reader, "invoices", connection, [payment.invoice for payment in payments])
            payouts = _some(reader, "payouts", connection, [payment.payout for payment in payments])
            return _history(reader, connection, invoices, payments, payouts, [], about=("payments", "bookings"))

    def payout(self, connection: str, key: str) -> History:
        """A payout, its items, and the payments in them."""
        with self._store.read() as reader:
            payouts = _some(reader, "payouts", connection, [key])
            items = _below(reader, "payout_items", connection, key)
            payments = _some(reader, "payments", connection, [item.payment for item in items])
            invoices = _some(reader, "invoices", connection, [payment.invoice for payment in payments])
            return _history(reader, connection, invoices, payments, payouts, items, about=("payouts",))

    # --- what a person must look at, and the books ---

    def discrepancies(self, connection: str, *, closed: bool = False, limit: int = LIMIT) -> list[DiscrepancyRow]:
        """Open discrepancies, oldest first; with `closed`, all of them."""
        decode = CODECS["discrepancies"].from_values
        sql = selects.discrepancies(self._store, closed=closed, limit=limit)
        return [decode(values) for values in self._store.rows(sql, (connection,))]  # type: ignore[misc] # by its kind

    def parked(self, connection: str, limit: int = LIMIT) -> list[CommandRow]:
        """Commands that a person must look at before they go on, oldest first."""
        table = STATE["commands"]
        query = (
            sa.select(table)
            .where(table.c.connection == connection, table.c.status == "parked")
            .order_by(table.c.ended_at, table.c.id)
        )
        with self._store.read() as reader:
            return _rows(reader, "commands", query.limit(limit))

    def open_items(self, connection: str) -> list[OpenItem]:
        """What the clearing balance consists of, oldest first; at most `LIMIT`."""
        table = STATE["open_items"]
        query = (
            sa.select(table)
            .where(table.c.connection == connection)
            .order_by(table.c.currency, table.c.since, table.c.id)
        )
        with self._store.read() as reader:
            return _rows(reader, "open_items", query.limit(LIMIT))

    def balances(self, connection: str) -> list[Balance]:
        """Every account's balance, per currency."""
        table = STATE["balances"]
        with self._store.read() as reader:
            return _rows(
                reader, "balances", sa.select(table).where(table.c.connection == connection).order_by(table.c.id)
            )

    def entries(self, connection: str, limit: int = LIMIT) -> list[EntryView]:
        """The newest journal entries, in the order in which they were posted."""
        c = ledger_entries.c
        with self._store.read() as reader:
            newest = (
                sa.select(ledger_entries)
                .where(c.connection == connection)
                .order_by(c.event_offset.desc(), c.number.desc())
            )
            rows = reader.execute(newest.limit(limit)).all()
            return [_entry(reader, connection, row) for row in reversed(rows)]

    # --- time ---

    def due_timers(self, now: str, connections: Iterable[str], limit: int = LIMIT) -> list[tuple[str, TimerRow]]:
        """(connection, timer) of every due time of these connections that is reached at `now`, earliest first."""
        names = sorted(connections)
        if not names:
            return []
        sql = selects.due_timers(self._store, len(names), limit)
        rows = self._store.rows(sql, (now, *selects.among_parameters(self._store, names)))
        return [(values[0], TimerRow(*values[1:])) for values in rows]

    def next_timer(self, after: str) -> str | None:
        """The earliest decided due time after this instant; None when none is decided."""
        at: str | None = self._store.rows(selects.next_timer(self._store), (after,))[0][0]
        return at

    # --- the month ---

    def paid_by_currency(self, connection: str) -> dict[str, int]:
        """How many invoices are paid in Zoho, per currency. Reads all of the connection's invoices."""
        with self._store.read() as reader:
            return {str(currency): int(count) for currency, count in reader.execute(_paid_by_currency(connection))}

    def months(self, connection: str) -> list[MonthSummary]:
        """Every month that has an invoice or an entry, per currency, in order. Reads all of the connection's invoices
        and lines.
        """
        found: dict[tuple[str, str], dict[str, int]] = {}
        with self._store.read() as reader:
            for month, currency, count, total, still_open in reader.execute(_invoices_by_month(connection)):
                paid = int(total) - int(still_open)
                sums = {
                    "invoices": int(count),
                    "invoiced_minor": int(total),
                    "paid_minor": paid,
                    "open_minor": int(still_open),
                }
                found.setdefault((currency, month), {}).update(sums)
            for month, currency, account, amount in reader.execute(_lines_by_month(connection)):
                if account in _MONTH_COLUMN:
                    column, sign = _MONTH_COLUMN[account]
                    sums = found.setdefault((currency, month), {})
                    sums[column] = sums.get(column, 0) + sign * int(amount)
        return list(_with_balance(found))


def _paid_by_currency(connection: str) -> sa.Select[Any]:
    c = STATE["invoices"].c
    return (
        sa.select(c.currency, sa.func.count())
        .where(c.connection == connection, c.status == "paid")
        .group_by(c.currency)
    )


def _with_balance(found: dict[tuple[str, str], dict[str, int]]) -> Iterator[MonthSummary]:
    balances: dict[str, int] = {}
    for (currency, month), sums in sorted(found.items()):
        balances[currency] = balances.get(currency, 0) + sums.get("clearing_minor", 0)
        yield MonthSummary(month, currency, **sums, clearing_end_minor=balances[currency])


def _month(date: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    # Literals: PostgreSQL takes two expressions with parameters for different ones, and refuses to group.
    return sa.func.substr(date, sa.literal_column("1"), sa.literal_column("7"))


def _invoices_by_month(connection: str) -> sa.Select[Any]:
    c = STATE["invoices"].c
    month = _month(c.date)
    sums = (sa.func.count(), sa.func.sum(c.total_minor), sa.func.sum(c.balance_minor))
    counted = sa.and_(c.connection == connection, c.status.not_in(("draft", "void")))
    return sa.select(month, c.currency, *sums).where(counted).group_by(month, c.currency)


def _lines_by_month(connection: str) -> sa.Select[Any]:
    c = ledger_lines.c
    month = _month(c.date)
    return (
        sa.select(month, c.currency, c.account, sa.func.sum(c.amount_minor))
        .where(c.connection == connection)
        .group_by(month, c.currency, c.account)
    )


def _rows(reader: sa.Connection, kind: str, query: sa.Select[Any]) -> list[Any]:
    """Rows of a whole-row query, as the core's structs."""
    decode = CODECS[kind].from_values
    return [decode(values[1:]) for values in reader.execute(query)]


def _some(reader: sa.Connection, kind: str, connection: str, keys: Iterable[str]) -> list[Any]:
    """The rows there are of these keys, in the order of the keys; at most `LIMIT`."""
    wanted = [key for key in dict.fromkeys(keys) if key][:LIMIT]
    if not wanted:
        return []
    table = STATE[kind]
    found = {
        row.id: row
        for row in _rows(reader, kind, sa.select(table).where(table.c.connection == connection, table.c.id.in_(wanted)))
    }
    return [found[key] for key in wanted if key in found]


def _by(reader: sa.Connection, kind: str, connection: str, column: str, value: str) -> list[Any]:
    table = STATE[kind]
    query = (
        sa.select(table)
        .where(table.c.connection == connection, table.c[column] == value)
        .order_by(table.c.id)
        .limit(LIMIT)
    )
    return _rows(reader, kind, query)


def _below(reader: sa.Connection, kind: str, connection: str, key: str) -> list[Any]:
    """Rows whose id is `key:…`, in order. ";" is the character after ":"."""
    table = STATE[kind]
    query = sa.select(table).where(table.c.connection == connection, table.c.id > f"{key}:", table.c.id < f"{key};")
    return _rows(reader, kind, query.order_by(table.c.id).limit(LIMIT))


def _history(
    reader: sa.Connection,
    connection: str,
    invoices: list[Invoice],
    payments: list[Payment],
    payouts: list[Payout],
    items: list[PayoutItemRow],
    *,
    about: tuple[RefKind, ...],
) -> History:
    """Add what was asked, posted and opened about the rows of the kinds in `about`."""
    bookings = [booking for payment in payments for booking in _below(reader, "bookings", connection, payment.id)]
    rows: dict[str, list[Any]] = {"invoices": invoices, "payments": payments, "bookings": bookings, "payouts": payouts}
    names = [str(Ref(kind, row.id)) for kind in about for row in rows[kind]][:LIMIT]
    commands, opened, entry = STATE["commands"], STATE["discrepancies"], ledger_entries.c
    asked = sa.select(commands).where(commands.c.connection == connection, commands.c.about.in_(names)).limit(LIMIT)
    shown = sa.select(opened).where(opened.c.connection == connection, opened.c.about.in_(names)).limit(LIMIT)
    posted = sa.select(ledger_entries).where(entry.connection == connection, entry.about.in_(names)).limit(LIMIT)
    return History(
        invoices,
        payments,
        bookings,
        payouts,
        items,
        _rows(reader, "commands", asked.order_by(commands.c.asked_at, commands.c.id)),
        [_entry(reader, connection, row) for row in reader.execute(posted.order_by(entry.event_offset, entry.number))],
        _rows(reader, "discrepancies", shown.order_by(opened.c.opened_at, opened.c.id)),
    )


def _entry(reader: sa.Connection, connection: str, row: Any) -> EntryView:
    c = ledger_lines.c
    own = sa.and_(c.connection == connection, c.event_offset == row.event_offset, c.number == row.number)
    wanted = sa.select(c.account, c.currency, c.amount_minor, c.item, c.item_name).where(own).order_by(c.line)
    views = [LineView(*line) for line in reader.execute(wanted)]
    return EntryView(row.id, row.date, row.text, row.about, row.event, row.event_offset, row.decided_at, views)
