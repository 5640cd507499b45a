"""What a store of an earlier version holds becomes what a rebuild from its log would make, on both databases."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from domain import lists
from domain.state import DebitDay, PayerMonth
from projections.state.mappings import read_state
from projections.store import migrate
from projections.store.store import open_store, upgrade_store

CONNECTION = "acme"
AT = "2026-03-01T23:30:00.000Z"  # the second of March in Auckland


def row(table: sa.Table, **values: Any) -> dict[str, Any]:
    """A row of a table of version 0001: what is not named is empty."""
    empty = {"TEXT": "", "BIGINT": 0, "BOOLEAN": False, "BLOB": b"", "BYTEA": b""}
    found = {
        column.name: None if column.nullable else empty[str(column.type).split(" ")[0].split("(")[0]]
        for column in table.columns
    }
    return {**found, "connection": CONNECTION, **values}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    return (
        f"sqlite:///{tmp_path / 'old.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )


@pytest.fixture
def old_store(url: str):
    """A database at version 0001, and how rows get into it."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        config = migrate.config_for_migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    def put(name: str, *rows: dict[str, Any]) -> None:
        table = sa.Table(name, sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            for values in rows:
                connection.execute(sa.insert(table), row(table, **values))

    yield put
    engine.dispose()


def debit(name: str, invoice: str, mandate: str, amount: int) -> dict[str, Any]:
    data = {
        "type": "gocardless.create_payment",
        "invoice": invoice,
        "invoice_number": "",
        "mandate": mandate,
        "amount_minor": amount,
    }
    return {"id": name, "type": data["type"], "command": json.dumps({"id": name, "data": {**data, "currency": "GBP"}})}


def asked(name: str, status: str, amount: int, **more: Any) -> dict[str, Any]:
    money = {"amount_minor": amount, "currency": "GBP", "asked_at": AT, **more}
    return {"id": name, "type": "gocardless.create_payment", "status": status, **money}


def fill(put) -> None:
    put(
        "connections",
        {
            "id": CONNECTION,
            "time_zone": "Pacific/Auckland",
            "policy": "null",
            "rates": "{}",
            "creditor_bank_accounts": "{}",
        }
        | {"undecided": "[]", "stops": "[]"},
    )
    put("contacts", {"id": "c-1", "waiting": '["i-1","i-2","i-3","gone"]'}, {"id": "c-2", "waiting": "[]"})
    put("invoices", *({"id": f"i-{number}", "currency": "EUR" if number == 2 else "GBP"} for number in (1, 2, 3)))
    put(
        "mandates",
        {"id": "MD1", "viewing": '["i-3","i-1"]', "payer": "CU1"},
        {"id": "MD2", "viewing": "[]", "payer": "CU1"},
    )
    put("payers", {"id": "CU1", "mandates": '["MD2","MD1"]'}, {"id": "CU2", "mandates": "[]"})
    put(
        "handles",
        {"id": "email:a@x", "contacts": '["c-1","c-2"]', "payers": '["CU1"]'},
        {"id": "payer:CU1", "contacts": "[]", "payers": "[]"},
    )
    put(
        "payments",
        {"id": "PM1", "claim": "ours", "invoice": "i-1", "read": True, "facts": "[]"},
        {"id": "PM2", "claim": "ours", "invoice": "i-1", "read": True, "facts": "[]"},
        {"id": "PM3", "claim": "ours", "invoice": "i-1", "read": False, "facts": "[]"},
        {"id": "PM4", "claim": "foreign", "invoice": "", "read": True, "facts": "[]"},
    )
    put("payouts", {"id": "PO1", "stage": "posting", "posted": True})
    put(
        "command_queue",
        debit("cm-1", "i-1", "MD1", 100),
        debit("cm-2", "i-1", "MD1", 200),
        debit("cm-3", "i-3", "MD2", 400),
    )
    put("command_queue", debit("cm-4", "i-3", "MD2", 800))
    put(
        "commands",
        asked("cm-1", "succeeded", 100, resource_id="PM1"),
        asked("cm-2", "withheld", 200),
        asked("cm-3", "open", 400),
    )
    put("commands", asked("cm-4", "refused", 800, resource_id="PM9"))


def test_lists_that_lay_in_rows_are_lists_in_the_same_order_and_debits_are_counted(old_store, url: str) -> None:
    fill(old_store)
    upgrade_store(url)
    with open_store(url) as store, read_state(store, CONNECTION) as state:
        held = {
            "viewing:MD1": ["i-3", "i-1"],
            "waiting:c-1:GBP": ["i-1", "i-3"],
            "waiting:c-1:EUR": ["i-2"],
            "mandates:CU1": ["MD2", "MD1"],
            "contacts:email:a@x": ["c-1", "c-2"],
            "payers:email:a@x": ["CU1"],
            "debit_days:GBP": ["2026-03-02"],
        }
        assert set(state.lists) == set(held)
        for name, keys in held.items():
            assert lists.oldest(state, name, 9) == keys
            assert lists.newest(state, name, 9) == keys[::-1]
        assert state.contacts["c-1"].waiting_currencies == ("EUR", "GBP")
        assert {key: one.shown for key, one in state.debit_counts.items()} == {"i-1": 2}
        day = "2026-03-02:GBP"
        assert dict(state.debit_days.items()) == {day: DebitDay(day, "2026-03-02", "GBP", 3, 1_300)}, (
            "the withheld one was not made"
        )
        month = "2026-03:CU1:GBP"
        assert dict(state.payer_months.items()) == {month: PayerMonth(month, "CU1", "2026-03", "GBP", 1_300)}
        assert {key: one.mandate for key, one in state.commands.items()} == {
            "cm-1": "MD1",
            "cm-2": "MD1",
            "cm-3": "MD2",
            "cm-4": "MD2",
        }
        payout = state.payouts["PO1"]
        assert (payout.walk, payout.cursor, payout.fees, payout.uneven) == ("counting", 0, {}, False)


def test_a_purpose_knows_its_last_command_and_reads_given_up_before_it_wait_for_nobody(old_store, url: str) -> None:
    def read(key: str, minute: int, status: str, purpose: str, type_: str = "zoho.read_invoice") -> dict[str, Any]:
        at = f"2026-03-02T06:{minute:02}:00.000Z"
        return {"id": key, "type": type_, "purpose": purpose, "asked_at": at, "status": status, "attempt": 1}

    old_store(
        "commands",
        read("cm-1", 1, "parked", "read_invoice:1"),
        read("cm-2", 2, "succeeded", "read_invoice:1"),
        read("cm-3", 3, "parked", "read_invoice:2"),
        read("cm-4", 4, "parked", "sweep", "zoho.list_open_invoices"),
        read("cm-5", 5, "open", "sweep", "zoho.list_open_invoices"),
        read("cm-6", 6, "parked", "debit:1", "gocardless.create_payment"),
        read("cm-7", 7, "open", "debit:1", "gocardless.create_payment"),
    )
    old_store("command_queue", debit("cm-6", "1", "MD1", 100), debit("cm-7", "1", "MD1", 100))
    old_store(
        "purposes", *({"id": key, "count": 1} for key in ("read_invoice:1", "read_invoice:2", "sweep", "debit:1"))
    )
    upgrade_store(url)
    with open_store(url) as store, read_state(store, CONNECTION) as state:
        assert {key: one.command for key, one in state.purposes.items()} == {
            "read_invoice:1": "cm-2",
            "read_invoice:2": "cm-3",
            "sweep": "cm-5",
            "debit:1": "cm-7",
        }
        found = {key: one.status for key, one in state.commands.items()}
        assert [found[f"cm-{number}"] for number in (1, 3, 4, 6)] == ["superseded", "parked", "superseded", "parked"]


def test_an_empty_store_of_version_0001_becomes_one_of_this(old_store, url: str) -> None:
    upgrade_store(url)
    with open_store(url) as store, store.read() as reader:
        assert migrate.version(reader, "here") == migrate.HEAD
