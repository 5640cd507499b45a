"""Rebuild: the same rows from the log, recorded decisions as they stand, nothing sent; verify and dry run change
nothing.
"""

import asyncio

import pytest
from msgspec.structs import replace

from domain import invoices, routing
from domain.state import TimerRow
from projections.state.rebuild import compare
from projections.store.store import open_store
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from projections.work.secrets import Secrets
from streams.log.records import decision_records, header
from streams.operate.installation import opened_log
from streams.operate.replay import Decisions
from streams.settings import GROUP
from tests.support.company import events_of


@pytest.fixture
def lived(installation, company):
    """Two invoices, one taken back; everything published."""
    company.confirmed()
    company.customer(2)
    company.invoice("2", "c-2", 5_000)
    company.reach("2026-03-04T12:00:00.000Z")
    second = company.state.invoices["2"].payment
    company.pay(second, "confirmed", "2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.pay(second, "charged_back", "2026-03-10T11:40:00.000Z", cause="authorisation_disputed")
    company.answer_all()
    installation.feed(events_of(company))
    return company


def copy(installation, name="before.db"):
    path = installation.folder / name
    with open_store(installation.settings.store) as store:
        store.backup(path, "2026-03-11T00:00:00.000Z")
    return open_store(f"sqlite:///{path}", now="2026-03-11T00:00:00.000Z", adopt="restored")


def differences(installation, before):
    with open_store(installation.settings.store) as store:
        return compare(before, store)


def test_a_rebuild_gives_the_same_rows_and_sends_nothing(installation, lived):
    installation.put_secret("gocardless.token", b"token")
    with copy(installation) as before:
        data = installation.json("rebuild")["rebuilt"]
        assert differences(installation, before) == []
    assert (data["recorded"], data["derived"], data["set_aside"]) == (data["events"], 0, 0)
    with open_store(installation.settings.store) as store:
        assert Outbox(store).backlog() == {}
        assert {state for _, _, state in Queue(store).counts()} <= {"done", "unknown"}
        assert {(one.api, one.reason) for one in Halts(store).catch_ups()} == {
            ("gocardless", "rebuilt"),
            ("zoho", "rebuilt"),
        }
        assert Secrets(store).names() == [("c1", "gocardless.token")]
    installation.feed()
    assert installation.json("rebuild", "--verify")["differences"] == []


def test_a_lost_store_is_made_again(installation, lived):
    with copy(installation) as before:
        for suffix in ("", "-wal", "-shm"):
            (installation.folder / f"store.db{suffix}").unlink(missing_ok=True)
        assert "Before anything is sent, both APIs are read to their heads." in installation.cli("rebuild").stdout
        assert differences(installation, before) == []
    installation.feed()


def test_what_was_not_published_is_decided_afresh_and_published_later(installation, company):
    company.confirmed()
    events = events_of(company)
    installation.feed(events[:-4])
    installation.feed(events[-4:], publish=False)
    with copy(installation) as before:
        data = installation.json("rebuild")["rebuilt"]
        assert differences(installation, before) == []
    assert data["derived"] > 0
    assert data["recorded"] + data["derived"] == data["events"]
    with open_store(installation.settings.store) as store:
        waiting = Outbox(store).unpublished(1, 100)
        assert waiting
        assert {state for _, _, state in Queue(store).counts()} <= {"done", "unknown", "waiting_publication"}
    installation.feed()
    assert installation.json("rebuild")["rebuilt"]["derived"] == 0


def test_new_rules_do_not_rewrite_what_was_decided(installation, lived, monkeypatch):
    monkeypatch.setattr(invoices, "collectable", lambda _invoice: False)
    with copy(installation) as before:
        installation.cli("rebuild")
        assert differences(installation, before) == []


def _again(topics, record):
    value = (record.value or b"").replace(b'"policy":1', b'"policy":9')
    return decision_records(topics, value, int(header(record, "event-offset")), 1)[0]


def test_the_first_of_two_records_of_a_decision_counts_and_late_ones_are_found(installation, lived):
    """A crash of the relay on Kafka writes a decision twice; a connection that catches up is published late."""

    async def disturb():
        topics = installation.topics
        async with opened_log(installation.settings) as log:
            records = next(log.scan(topics.decisions.name, 1))
            again = [_again(topics, record) for record in records[:3]]
            await log.append(again)
            decisions = Decisions(log, topics, 1)
            assert decisions.last == int(header(records[-1], "event-offset"))
            for record in records:
                assert decisions.take(int(header(record, "event-offset"))) == record.value
            late = Decisions(log, topics, 0)
            assert (late.last, late.take(5)) == (-1, None)

    asyncio.run(disturb())
    with copy(installation) as before:
        installation.cli("rebuild")
        assert differences(installation, before) == []


def test_a_rule_that_raises_beyond_what_was_decided_sets_the_connection_aside(installation, company, monkeypatch):
    company.confirmed()
    events = events_of(company)
    installation.feed(events[:-4])
    installation.append(events[-4:])

    real = routing.step

    def fault(state, event):
        """Raises when all of it is changed already: rows made, changed and deleted must come back."""
        state.timers["made"] = TimerRow("made", event.learned_at)
        del state.payments["PM-1-1"]
        state.commands.pop(next(iter(state.commands)))
        real(state, event)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(routing, "step", fault)
        assert installation.json("rebuild")["rebuilt"]["set_aside"] >= 1
    assert "set aside since" in installation.json("status", code=1)["connections"][0]["needs_person"][0]
    installation.feed()
    assert installation.json("status")["connections"][0]["needs_person"] == []
    assert installation.json("rebuild", "--verify")["differences"] == []


def test_a_rule_that_raises_on_what_was_decided_stops_the_rebuild(installation, lived, monkeypatch):
    def fault(*_):
        raise ZeroDivisionError("personal")

    with monkeypatch.context() as patched:
        patched.setattr(routing, "restep", fault)
        error = installation.json("rebuild", code=70)
    assert error["code"] == "replay_stopped"
    assert "ZeroDivisionError at connection.checked" in error["what"]
    assert "personal" not in str(error)
    assert installation.json("status", code=69)["code"] == "store_is_backup"
    installation.cli("rebuild")
    installation.json("status", code=1)


def test_a_rebuild_is_refused_while_the_program_runs(installation, lived):
    async def beside():
        async with opened_log(installation.settings) as log:
            with log.hold_group(GROUP):
                found = await asyncio.to_thread(installation.json, "rebuild", code=69)
                assert found["code"] == "log_locked"
                assert await asyncio.to_thread(installation.json, "rebuild", "--verify")

    asyncio.run(beside())


def test_verify_names_the_rows_that_differ_and_changes_nothing(installation, lived):
    with open_store(installation.settings.store) as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE balances SET amount_minor = amount_minor + 1 WHERE id = 'clearing:GBP'")
    data = installation.json("rebuild", "--verify", code=1)
    assert data["differences"] == [{"table": "balances", "key": ["c1", "clearing:GBP"], "what": "amount_minor"}]
    assert data["tables"]["invoices"] == 2
    shown = installation.cli("rebuild", "--verify", code=1).stdout
    assert "balances c1/clearing:GBP: amount_minor" in shown
    assert "1 rows differ." in shown
    assert sorted(one.name for one in installation.folder.iterdir() if "verify" in one.name) == []
    assert installation.json("rebuild", "--verify", "--dry-run", code=2)["code"] == "usage"


def test_a_dry_run_without_a_change_finds_none(installation, lived):
    found = installation.json("rebuild", "--dry-run")["dry_run"]
    assert (found["differing"], found["differences"], found["compared"]) == (0, [], found["events"])


def test_a_dry_run_shows_what_would_be_decided_otherwise(installation, lived, monkeypatch):
    real = invoices.send_time
    monkeypatch.setattr(
        invoices, "send_time", lambda policy, zone, due, at: real(replace(policy, send_hour=9), zone, due, at)
    )
    found = installation.json("rebuild", "--dry-run", code=1)["dry_run"]
    assert found["differing"] > 0
    first = found["differences"][0]
    assert (first["connection"], first["type"]) == ("c1", "zoho.invoice_seen")
    (timers,) = [part for part in first["parts"] if part["part"] == "timers"]
    assert (timers["recorded"], timers["afresh"]) == (
        ["debit:1 at 2026-03-03T06:00:00.000Z"],
        ["debit:1 at 2026-03-03T09:00:00.000Z"],
    )
    shown = installation.cli("rebuild", "--dry-run", "--limit", "1", code=1).stdout
    assert "- timers: debit:1 at 2026-03-03T06:00:00.000Z" in shown
    assert installation.json("rebuild", "--verify")["differences"] == []


def test_a_dry_run_tells_of_a_rule_that_raises(installation, lived, monkeypatch):
    real = routing.step

    def step(state, event):
        if event.type == "gocardless.payments.confirmed":
            raise LookupError("personal")
        return real(state, event)

    monkeypatch.setattr(routing, "step", step)
    (only,) = installation.json("rebuild", "--dry-run", code=1)["dry_run"]["differences"]
    assert (only["raised"], only["type"]) == ("LookupError", "gocardless.payments.confirmed")
    assert "a rule raises LookupError" in installation.cli("rebuild", "--dry-run", code=1).stdout
