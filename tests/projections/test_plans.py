"""On PostgreSQL no statement of the hot path walks over a table: collected from the code itself, and explained over
tables that are large.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import sqlalchemy as sa

from domain.state import KINDS, Payment, TimerRow
from projections.queries import Queries
from projections.state.batch import processed, take
from projections.state.mappings import RowSource
from projections.store.store import Store, open_store
from projections.store.tables import (
    STATE,
    command_queue,
    event_ids,
    ledger_entries,
    ledger_lines,
    metadata,
    outbox,
    poll_rows,
)
from projections.work.budgets import Budgets
from projections.work.halts import Halts
from projections.work.leases import Lease, Leases
from projections.work.outbox import Outbox
from projections.work.polls import Poll, Polls
from projections.work.queue import Queue
from tests.support import batch_records as make
from tests.support.statements import noted

#: Rows of each large table. Fewer: a walk over one is as cheap as a look. More: filling them takes longer.
ROWS: Final = 6_000
#: Pages that one execution may touch besides those of its keys and rows. A look by key costs 3 to 5 in each index; a
#: walk over the queue 150.
PAGES: Final = 60
#: Small by their nature: a few rows for each connection or partition.
SMALL: Final = {
    "meta",
    "positions",
    "leases",
    "budgets",
    "polls",
    "sealed_secrets",
    "quarantine",
    "catch_ups",
    "outbox_positions",
    "connections",
}

#: Not used for an event, a call or a poll.
NOT_HOT: Final = {"sealed_secrets", "catch_ups"}

Statement = tuple[str, Any]


def _fill(store: Store) -> None:
    """Rows of a company's years beside those of the test, all alike."""
    now = "'2020-01-01T00:00:00.000Z'"
    special = {
        event_ids: "SELECT decode(md5(n::text), 'hex'), n",
        poll_rows: "SELECT 'acme', 'zoho.invoices', 'old-' || n, ''::bytea",
        outbox: "SELECT 9, n, 'EV', 'acme', ''::bytea",
        command_queue: f"SELECT 'acme', 'old-' || n, 'zoho', 'x', 2, 'done', NULL, '', {now}, '', 1, 0, '', '{{}}', 9, n",
        ledger_entries: f"SELECT 'acme', -n, 0, 'le', '2020-01-01', 'text', 'payments:old-' || n, 'EV', {now}, 1, 1",
        ledger_lines: "SELECT 'acme', -n, 0, 0, '2020-01-01', 'clearing', 'GBP', 1, '', ''",
    }
    values = {sa.BigInteger: "n", sa.Boolean: "true"}
    with store.write() as connection:
        for table in metadata.tables.values():
            if table.name in SMALL:
                continue
            columns = [values.get(type(column.type), "'x'") for column in table.columns]
            if table in STATE.values():
                columns[:2] = ["'acme'", "'old-' || n"]
                for name, later in {
                    "at": "'2099-01-01T00:00:00.000Z'",
                    "about": "'payments:old-' || n",
                    "number": "'INV-' || n",
                }.items():
                    if name in table.columns and isinstance(table.columns[name].type, sa.Text):
                        columns[list(table.columns.keys()).index(name)] = later
            rows = special.get(table, f"SELECT {', '.join(columns)}")
            connection.exec_driver_sql(f"INSERT INTO {table.name} {rows} FROM generate_series(1, {ROWS}) AS n")


@pytest.fixture
def statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Statement]]:
    """What reaches the server: text → (text, parameters of one execution). The batch reads past SQLAlchemy."""
    seen: dict[str, Statement] = {}

    run = RowSource.run

    def noting(self: RowSource, text: str, parameters: list[Any]) -> list[Any]:
        seen.setdefault(text, (text, parameters))
        return run(self, text, parameters)

    monkeypatch.setattr(RowSource, "run", noting)
    with noted(store, lambda text, parameters: seen.setdefault(text, (text, parameters))):
        yield seen


@pytest.fixture
def store(stored_url: str) -> Iterator[Store]:
    with open_store(stored_url) as opened:
        _fill(opened)
        with opened.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
        yield opened


def _drive(store: Store) -> None:
    """Everything that happens for an event, a call and a poll."""
    own, outbox_, queue, leases = take(store, "core", "events", 0), Outbox(store), Queue(store), Leases(store)
    asking = [make.event(number) for number in range(20)]
    with own.batch(0) as batch:
        batch.prepare(asking)
        for kind in KINDS:
            batch.rows("acme").preload(kind, [f"k{number}" for number in range(40)])
            batch.state("acme").mapping(kind).get("one")
            batch.state("acme").mapping(kind)[f"new-{kind}"] = KINDS[kind](f"new-{kind}")
        for offset, event in enumerate(asking):
            assert not batch.known(event)
            batch.state("acme").payments[event.data.id] = Payment(event.data.id)
            commands = (make.command(f"cm-{offset}", offset % 3),)
            batch.record(offset, event, make.decision(event, commands=commands, entries=(make.entry(f"le-{offset}"),)))
        batch.commit(20)
    outbox_.mark_published(outbox_.unpublished(0, 50))
    lease = leases.acquire("acme", "zoho", "one", make.NOW, 60)
    assert isinstance(lease, Lease)
    leases.acquire("acme", "zoho", "another", make.NOW, 60)
    lease = leases.renew(lease, make.NOW, 60)
    assert queue.due_connections(make.NOW, "zoho") == ["acme"]
    queue.next_due("zoho", make.NOW)
    claims = queue.record_intents(lease, make.NOW, make.NOW, queue.claim(make.NOW, "acme", "zoho", 10))
    assert len(claims) == 10
    queue.begun("zoho")
    queue.answered("acme", claims[0].command.id, 1)
    queue.retry_at("acme", claims[1].command.id, 1, make.NOW, "refused")
    queue.unknown("acme", claims[2].command.id, 1, make.NOW, "timeout")
    assert queue.abandoned(lease, make.NOW, make.NOW) == 7
    leases.release(lease, make.NOW)
    _answer(store, own, [one.command.id for one in claims])
    polls = Polls(store)
    polls.save(Poll("acme", "zoho.invoices", due_at=make.NOW), {f"{number}": b"d" * 16 for number in range(30)})
    polls.digests("acme", "zoho.invoices", [f"{number}" for number in range(30)])
    processed(store, "acme", [event.id for event in asking])
    Budgets(store).put("acme", "zoho", "{}")
    Budgets(store).get("acme", "zoho")
    queries = Queries(store)
    assert queries.due_timers(make.NOW, ["acme"])[-1] == ("acme", TimerRow("t1", make.NOW, "payments:PM1"))
    queries.next_timer(make.NOW)
    Halts(store).caught_up("acme", "zoho")


def _answer(store: Store, own: Any, commands: list[str]) -> None:
    resend = make.event(900)
    with own.batch(20) as batch:
        events = [make.outcome(number, command, "parked") for number, command in enumerate(commands)]
        batch.prepare([*events, resend])
        for offset, event in enumerate(events, 20):
            batch.record(offset, event)
        batch.record(40, resend, make.decision(resend, resends=(commands[0], commands[1])))
        batch.state("acme").payments.pop("PM000000")
        batch.state("acme").timers["t1"] = TimerRow("t1", make.NOW, "payments:PM1")
        batch.record(41, make.event(901))
        batch.freeze("other", 42, "EV", "raised", make.NOW)
        batch.commit(42)
    with own.batch(42) as batch:
        batch.release("other")
        batch.commit(42)


def _walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _walk(below)


def _explained(store: Store, statement: Statement) -> dict[str, Any]:
    """The plan under the settings of the store's own connections; executed, and rolled back, unless it would insert a
    row once more.
    """
    text, parameters = statement
    given = tuple(parameters) if isinstance(parameters, list) else parameters
    how = "FORMAT JSON" if text.startswith("INSERT") else "ANALYZE, BUFFERS, FORMAT JSON"
    with store.engine.connect() as connection, connection.begin() as work:
        shown = connection.exec_driver_sql(f"EXPLAIN ({how}) {text}", given).scalar()
        work.rollback()
    found: dict[str, Any] = (json.loads(shown) if isinstance(shown, str) else shown)[0]["Plan"]
    return found


def _keys(parameters: Any) -> int:
    """How many keys a statement asks for."""
    values = parameters.values() if isinstance(parameters, dict) else parameters
    return sum(len(value) for value in values or () if isinstance(value, list))


def test_no_hot_statement_walks_over_a_table(store: Store, statements: dict[str, Statement]) -> None:
    _drive(store)
    hot = {text: statement for text, statement in statements.items() if "FROM pg_" not in text}
    touched: set[str] = set()
    for text, statement in hot.items():
        plan = _explained(store, statement)
        nodes = list(_walk(plan))
        touched |= {node["Relation Name"] for node in nodes if "Relation Name" in node}
        walked = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        assert walked <= SMALL, f"{text}: walks over {walked}"
        pages = plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0)
        wanted = max(node.get("Actual Rows", 0) for node in nodes) + _keys(statement[1])
        assert pages <= PAGES + 5 * wanted, f"{text}: {pages} pages for {wanted} rows"
    assert len(hot) > 70
    assert {table.name for table in metadata.tables.values()} - touched <= NOT_HOT


def test_the_check_tells_a_walk(store: Store) -> None:
    plan = _explained(store, ("SELECT * FROM payments WHERE status = 'x'", ()))
    assert {node["Node Type"] for node in _walk(plan)} >= {"Seq Scan"}
    plan = _explained(store, ("SELECT * FROM command_queue WHERE connection = 'acme' AND partition = 0", ()))
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] > PAGES
