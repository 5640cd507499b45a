"""Lists become rows; debits are counted by day, by payer's month and by invoice; a payout remembers how far its items
were walked.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

#: Table → the columns that come, with what rows have in them that were there before.
NEW = {
    "commands": (("mandate", TEXT, ""),),
    "connections": (
        ("heads", TEXT, "{}"),
        ("collect_from", TEXT, ""),
        ("accepted_at", TEXT, ""),
        ("accepted_count", TEXT, "{}"),
        ("accepted_minor", TEXT, "{}"),
        ("continued", sa.BigInteger(), "0"),
    ),
    "contacts": (("waiting_currencies", TEXT, "[]"),),
    "payouts": (
        ("walk", TEXT, "counting"),
        ("cursor", sa.BigInteger(), "0"),
        ("total_tenths", sa.BigInteger(), "0"),
        ("gross_tenths", sa.BigInteger(), "0"),
        ("tax_tenths", sa.BigInteger(), "0"),
        ("uneven", sa.Boolean(), sa.false()),
        ("fees", TEXT, "{}"),
        ("moved_minor", sa.BigInteger(), "0"),
        ("foreign_count", sa.BigInteger(), "0"),
        ("foreign_minor", sa.BigInteger(), "0"),
    ),
}

#: Kinds of rows that come: table → its columns after connection and id.
TABLES = {
    "debit_counts": (("shown", sa.BigInteger()),),
    "debit_days": (
        ("day", TEXT),
        ("currency", TEXT),
        ("count", sa.BigInteger()),
        ("amount_minor", sa.BigInteger()),
        ("limited", sa.Boolean()),
        ("limit_count", sa.BigInteger()),
        ("limit_minor", sa.BigInteger()),
        ("accepted", sa.Boolean()),
    ),
    "elements": (("before", TEXT), ("after", TEXT)),
    "lists": (("first", TEXT), ("last", TEXT), ("until", TEXT)),
    "payer_months": (("payer", TEXT), ("month", TEXT), ("currency", TEXT), ("amount_minor", sa.BigInteger())),
}

#: Columns that held a list, each in a row of its own now.
OLD = (("mandates", "viewing"), ("contacts", "waiting"), ("payers", "mandates"))


def upgrade() -> None:
    for name, columns in TABLES.items():
        op.create_table(
            name,
            sa.Column("connection", TEXT, autoincrement=False, nullable=False),
            sa.Column("id", TEXT, autoincrement=False, nullable=False),
            *(sa.Column(column, type_, autoincrement=False, nullable=False) for column, type_ in columns),
            sa.PrimaryKeyConstraint("connection", "id", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
    for name, added in NEW.items():
        for column, type_, default in added:
            op.add_column(name, sa.Column(column, type_, server_default=default, nullable=False))
    if not context.is_offline_mode():
        _move(op.get_bind())
    for name, column in OLD:
        op.drop_column(name, column)
    op.drop_table("handles")


def _move(connection: sa.Connection) -> None:
    """Carry over what the old columns held, to the rows that a rebuild from the log would make."""
    _count_shown(connection)
    days = _count_debits(connection)
    _move_lists(connection, days)


def _rows(connection: sa.Connection, sql: str) -> list[Any]:
    return list(connection.execute(sa.text(sql)))


def _add(connection: sa.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = list(rows[0])
        values = ", ".join(f":{name}" for name in names)
        quoted = ", ".join(f'"{name}"' for name in names)
        connection.execute(sa.text(f"INSERT INTO {table} ({quoted}) VALUES ({values})"), rows)  # noqa: S608 - names of this file


# --- lists ---


def _lists(connection: sa.Connection) -> Iterator[tuple[str, str, list[str]]]:
    """(connection, name of the list, its keys in order)."""
    for own, key, held in _rows(connection, "SELECT connection, id, viewing FROM mandates WHERE viewing <> '[]'"):
        yield own, f"viewing:{key}", json.loads(held)
    for own, key, held in _rows(connection, "SELECT connection, id, mandates FROM payers WHERE mandates <> '[]'"):
        yield own, f"mandates:{key}", json.loads(held)
    for own, key, contacts, payers in _rows(connection, "SELECT connection, id, contacts, payers FROM handles"):
        yield own, f"contacts:{key}", json.loads(contacts)
        yield own, f"payers:{key}", json.loads(payers)
    waiting = _rows(connection, "SELECT connection, id, waiting FROM contacts WHERE waiting <> '[]'")
    if not waiting:
        return
    currencies = {
        (own, key): currency
        for own, key, currency in _rows(connection, "SELECT connection, id, currency FROM invoices")
    }
    for own, key, held in waiting:
        by_currency: dict[str, list[str]] = {}
        for invoice in json.loads(held):
            if (own, invoice) in currencies:
                by_currency.setdefault(currencies[own, invoice], []).append(invoice)
        for currency, keys in sorted(by_currency.items()):
            yield own, f"waiting:{key}:{currency}", keys
        connection.execute(
            sa.text("UPDATE contacts SET waiting_currencies = :currencies WHERE connection = :connection AND id = :id"),
            {"currencies": json.dumps(sorted(by_currency), separators=(",", ":")), "connection": own, "id": key},
        )


def _move_lists(connection: sa.Connection, days: dict[tuple[str, str], list[str]]) -> None:
    lists: list[dict[str, Any]] = []
    elements: list[dict[str, Any]] = []
    counted = ((own, f"debit_days:{currency}", keys) for (own, currency), keys in days.items())
    for own, name, keys in (*_lists(connection), *counted):
        if not keys:
            continue
        lists.append({"connection": own, "id": name, "first": keys[0], "last": keys[-1], "until": ""})
        for before, key, after in zip(["", *keys], keys, [*keys[1:], ""], strict=False):
            elements.append({"connection": own, "id": f"{name}|{key}", "before": before, "after": after})
    _add(connection, "lists", lists)
    _add(connection, "elements", elements)


# --- debits ---


def _count_shown(connection: sa.Connection) -> None:
    shown = _rows(
        connection,
        "SELECT connection, invoice, count(*) FROM payments WHERE claim = 'ours' AND invoice <> '' AND read = (1 = 1) "
        "GROUP BY 1, 2",
    )
    _add(connection, "debit_counts", [{"connection": own, "id": key, "shown": count} for own, key, count in shown])


def _count_debits(connection: sa.Connection) -> dict[tuple[str, str], list[str]]:
    """Count them; the days that have any, in order, by connection and currency."""
    zones = dict(_rows(connection, "SELECT id, time_zone FROM connections"))
    payers = {(own, key): payer for own, key, payer in _rows(connection, "SELECT connection, id, payer FROM mandates")}
    days: dict[tuple[str, str, str], list[int]] = {}
    months: dict[tuple[str, str, str, str], int] = {}
    mandates: list[dict[str, Any]] = []
    query = (
        "SELECT c.connection, c.id, c.asked_at, c.status, c.resource_id, q.command FROM commands c JOIN command_queue "
        "q "
        "ON q.connection = c.connection AND q.id = c.id WHERE c.type = 'gocardless.create_payment'"
    )
    for own, key, asked_at, status, resource, text in _rows(connection, query):
        debit = json.loads(text)["data"]
        mandates.append({"mandate": debit["mandate"], "connection": own, "id": key})
        zone = ZoneInfo(zones.get(own, "UTC"))
        day = datetime.fromisoformat(asked_at).astimezone(zone).date().isoformat()
        made = 0 if status in ("withheld", "refused") and not resource else 1
        sums = days.setdefault((own, day, debit["currency"]), [0, 0])
        sums[0] += made
        sums[1] += made * debit["amount_minor"]
        payer = payers.get((own, debit["mandate"]), "")
        if payer:
            place = (own, day[:7], payer, debit["currency"])
            months[place] = months.get(place, 0) + made * debit["amount_minor"]
    if mandates:
        connection.execute(
            sa.text("UPDATE commands SET mandate = :mandate WHERE connection = :connection AND id = :id"), mandates
        )
    limits = {"limited": False, "limit_count": -1, "limit_minor": -1, "accepted": False}
    _add(
        connection,
        "debit_days",
        [
            {
                "connection": own,
                "id": f"{day}:{currency}",
                "day": day,
                "currency": currency,
                "count": count,
                "amount_minor": amount,
                **limits,
            }
            for (own, day, currency), (count, amount) in days.items()
        ],
    )
    _add(
        connection,
        "payer_months",
        [
            {
                "connection": own,
                "id": f"{month}:{payer}:{currency}",
                "payer": payer,
                "month": month,
                "currency": currency,
                "amount_minor": amount,
            }
            for (own, month, payer, currency), amount in months.items()
        ],
    )
    found: dict[tuple[str, str], list[str]] = {}
    for own, day, currency in sorted(days):
        found.setdefault((own, currency), []).append(day)
    return found
