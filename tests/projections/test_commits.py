"""Each commit has a pair of assertions: one before it, in whoever writes, and one after it, in whoever trusts it next.

`COMMITS` lists every write transaction of the store and of the embedded log. Each half of a pair is broken below, by a
caller that errs or by rows that something else has changed, and is seen to notice.
"""

import ast
import contextlib
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import sqlalchemy as sa

import projections
from domain.state import Payer
from projections.state import mappings
from projections.state.batch import take
from projections.state.rebuild import Rebuild
from projections.store.store import Store
from projections.work.leases import Leases
from projections.work.outbox import Outbox
from projections.work.polls import Poll, Polls
from projections.work.progress import Progress
from projections.work.queue import Queue
from projections.work.secrets import Secrets
from streams.log.interface import LogClosed, LogCorrupt, NewRecord, TopicPartition
from streams.log.sqlite import SqliteLog
from streams.log.topics import TopicSpec
from tests.support import batch_records as make

ROOT = Path(projections.__file__).parents[1]
SOON = "2026-03-02T09:00:10.000Z"


class Pair(NamedTuple):
    """Where the two halves are: functions that hold an assertion, or an error raised for what came from outside."""

    before: str
    after: str


QUEUE = "projections/work/queue.py"
STORAGE = "streams/log/sqlite/storage.py"

#: Every commit → its pair, or why it has none.
COMMITS: dict[str, Pair | str] = {
    "projections/state/batch.py Batch.commit": Pair(
        "projections/state/batch.py Batch.commit", "projections/state/batch.py Batch.commit"
    ),
    "projections/state/batch.py take": Pair("projections/state/batch.py take", "projections/state/batch.py take"),
    "projections/state/rebuild.py Rebuild.__init__": "empties tables; until `finish` whoever opens the store is refused",
    "projections/state/rebuild.py Rebuild._flush": Pair(
        "projections/state/rebuild.py Rebuild.finish", "projections/state/rebuild.py Rebuild.finish"
    ),
    "projections/state/rebuild.py Rebuild.finish": Pair(
        "projections/state/rebuild.py Rebuild.finish", "projections/state/rebuild.py Rebuild.finish"
    ),
    "projections/state/store_behind_log.py went_back": "only ever stops executors, under the lock of the schema",
    "projections/store/migrate.py open_at_head": "alembic's own; tests/projections/test_migrations.py compares the schema",
    "projections/store/migrate.py revise": "writes a file of the next version, on a developer's machine",
    "projections/store/store.py Store.write": "the transaction that all the others are",
    "projections/store/store.py Store._server_write": "as `Store.write`",
    "projections/store/store.py Store.bind_log": "one word, held against the log's at each opening (`StoreForeignLog`)",
    "projections/store/store.py open_store": "says who uses the store; what is refused has an error of its own",
    "projections/store/store.py upgrade_store": "as `open_at_head`",
    "projections/transfer.py begin": "empties a target that nobody else opens",
    "projections/transfer.py copy": "every row is read back and compared before the move goes on (`differences`)",
    "projections/transfer.py finish": "as `copy`",
    "projections/transfer.py arrived": "`StoreFenced` when it is not this move's whole copy",
    "projections/work/budgets.py Budgets.put": "one text by key; a spent budget that is lost costs a refused call",
    "projections/work/halts.py Halts.caught_up": "takes one row out; nothing else rests on it",
    "projections/work/leases.py Leases.acquire": Pair(
        "projections/work/leases.py Leases.acquire", "projections/work/leases.py _stands"
    ),
    "projections/work/leases.py Leases.renew": "one row by its epoch; `LeaseLost` when it is not there",
    "projections/work/leases.py Leases.release": "one row by its epoch; nothing happens when it is not there",
    "projections/work/outbox.py Outbox.mark_published": Pair(
        "projections/work/outbox.py Outbox.mark_published", "projections/work/outbox.py Outbox.mark_published"
    ),
    "projections/work/polls.py Polls.save": Pair(
        "projections/work/polls.py Polls.save", "projections/work/polls.py Polls.digests"
    ),
    "projections/work/progress.py Progress.advance": Pair(
        "projections/work/progress.py Progress.advance", "projections/work/progress.py Progress.advance"
    ),
    f"{QUEUE} Queue.record_intents": Pair(f"{QUEUE} Queue.record_intents", f"{QUEUE} _queued"),
    f"{QUEUE} Queue._after_call": Pair(f"{QUEUE} Queue._after_call", f"{QUEUE} _queued"),
    f"{QUEUE} Queue.abandoned": Pair(f"{QUEUE} Queue.abandoned", f"{QUEUE} Queue.abandoned"),
    "projections/work/secrets.py Secrets.put": Pair(
        "projections/work/secrets.py Secrets.put", "projections/work/secrets.py Secrets.get"
    ),
    "projections/work/secrets.py Secrets.delete": "takes one row out; nothing else rests on it",
    "streams/log/sqlite/backup.py backup": "the copy is checked as a whole before (`check_structure`), and when opened",
    "streams/log/sqlite/backup.py mark_restored": "as `backup`",
    "streams/log/sqlite/moved.py mark_moved": "marks only the ends that were copied; `False` when there is more by now",
    "streams/log/sqlite/schema.py _fill": "a new file; `check_structure` reads it at each opening",
    "streams/log/sqlite/storage.py Storage.ensure_topics": "read back at once (`_load`)",
    f"{STORAGE} Storage.write": Pair(f"{STORAGE} Storage.write", f"{STORAGE} Storage.check_consecutive"),
    "streams/operate/backup.py _adopt": "as `open_store`; only ever stops executors",
    "streams/operate/move.py _Move._rows": "as `transfer.copy`, and marks the old store as moved",
    "streams/operate/replay.py rebuild": "one word, as `bind_log`",
    "streams/operate/replay.py _verify": "a copy in a temporary folder",
}


def functions():
    """("file name", function) of every function of the store and the streams."""

    def below(file, node, names):
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            inner = [*names, child.name] if named else names
            if named and not isinstance(child, ast.ClassDef):
                yield f"{file.relative_to(ROOT)} {'.'.join(inner)}", child
            yield from below(file, child, inner)

    for room in ("projections", "streams"):
        for file in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in file.parts:
                yield from below(file, ast.parse(file.read_text()), [])


def commits(function):
    """Whether a function begins a write transaction itself."""
    for node in ast.walk(function):
        if isinstance(node, ast.withitem) and node.optional_vars is not None:
            call = node.context_expr
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in {"write", "direct_write", "begin"}
            ):
                return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "write_one":
            return True
        if isinstance(node, ast.Call) and [ast.unparse(one) for one in node.args] == ["'BEGIN IMMEDIATE'"]:
            return True
    return False


def test_every_commit_is_listed_and_both_halves_of_its_pair_are_there():
    found = dict(functions())
    assert {name for name, function in found.items() if commits(function)} == set(COMMITS)
    for pair in (one for one in COMMITS.values() if isinstance(one, Pair)):
        for half in pair:
            assert any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(found[half])), half


def test_every_pair_is_broken_here():
    named = {name.partition(" ")[2] for name, pair in COMMITS.items() if isinstance(pair, Pair)}
    assert set(BROKEN) == {(name, half) for name in named for half in Pair._fields}


# --- the halves, broken ---


def held_lease(store):
    return Leases(store, simulated=True).acquire("acme", "zoho", "one", make.NOW, 60)


def asked(store):
    """One command that waits to be sent."""
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        event = make.event(0)
        batch.record(0, event, make.decision(event, commands=(make.command("cm-1"),)))
        batch.commit(1)
    outbox = Outbox(store)
    outbox.mark_published(outbox.unpublished(0, 9))
    return Queue(store)


def changed(store, statement):
    """Something else than the program changes rows."""
    with store.write() as connection:
        connection.execute(sa.text(statement))


def batch_that_ends_before_its_event(store, _patch):
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        event = make.event(5)
        batch.record(5, event, make.decision(event))
        batch.commit(3)


def batch_that_does_not_keep_what_it_wrote(store, patch):
    patch.setattr(mappings.RowMapping, "keep", lambda self: None)
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        event = make.event(0)
        batch.state("acme").payers["CU1"] = Payer("CU1")
        batch.record(0, event, make.decision(event))
        batch.commit(1)


def partition_that_begins_nowhere(store, _patch):
    take(store, "core", "events", 0, start=-1)


def owner_without_an_epoch(store, _patch):
    take(store, "core", "events", 0)
    changed(store, "UPDATE positions SET owner_epoch = -7")
    take(store, "core", "events", 0)


def rebuild_to_a_position_that_is_none(store, _patch):
    with Rebuild(store, "core", "events", make.NOW) as running:
        running.finish({0: -1}, {})


def rebuild_whose_positions_are_others(store, patch):
    required = Store.require_catch_up

    def meddled(self, connection, *rest):
        connection.execute(sa.text("UPDATE positions SET next_offset = next_offset + 1"))
        return required(self, connection, *rest)

    patch.setattr(Store, "require_catch_up", meddled)
    with Rebuild(store, "core", "events", make.NOW) as running:
        running.finish({0: 4}, {})


def rebuild_that_forgets_to_flush(store, patch):
    patch.setattr(Rebuild, "_flush", lambda self: None)
    with Rebuild(store, "core", "events", make.NOW) as running:
        event = make.event(0)
        running.prepare([event])
        running.state("acme")
        running.record(0, 0, event, make.decision(event))
        running.finish({0: 1}, {})


def lease_that_has_lapsed_already(store, _patch):
    Leases(store, simulated=True).acquire("acme", "zoho", "one", make.NOW, -1)


def change_after_update(patch, table, statement):
    """Something else changes a table in the transaction, right after each update of it."""
    real = sa.Connection.execute

    def changed_after(self, asked, *rest, **more):
        done = real(self, asked, *rest, **more)
        if isinstance(asked, sa.Update) and asked.table.name == table:
            real(self, sa.text(statement))
        return done

    patch.setattr(sa.Connection, "execute", changed_after)


def lease_that_the_database_has_for_another(store, patch):
    held_lease(store)
    real = sa.Connection.exec_driver_sql

    def changed_after(self, asked, *rest):
        done = real(self, asked, *rest)
        if asked.startswith("UPDATE leases"):
            real(self, "UPDATE leases SET owner = 'other'")
        return done

    patch.setattr(sa.Connection, "exec_driver_sql", changed_after)
    held_lease(store)


def decision_published_twice_at_once(store, _patch):
    asked(store)
    own = take(store, "core", "events", 1)
    with own.batch(0) as batch:
        event = make.event(9)
        batch.record(0, event, make.decision(event, commands=(make.command("cm-9"),)))
        batch.commit(1)
    waiting = Outbox(store).unpublished(1, 9)
    Outbox(store).mark_published(waiting * 2)


def relay_that_goes_back(store, patch):
    patch.setattr(Outbox, "_advance", lambda *_: -1)
    asked(store)


def poll_with_half_a_digest(store, _patch):
    Polls(store).save(Poll("acme", "zoho.invoices"), {"1": b"half"})


def poll_whose_digest_was_cut(store, _patch):
    Polls(store).save(Poll("acme", "zoho.invoices"), {"1": b"d" * 16})
    changed(store, "UPDATE poll_rows SET digest = substr(digest, 1, 3)")
    Polls(store).digests("acme", "zoho.invoices", ["1"])


def progress_before_the_beginning(store, _patch):
    Progress(store).advance("translate", "deliveries-zoho", 0, -1)


def progress_that_does_not_stand(store, patch):
    Progress(store).advance("translate", "deliveries-zoho", 0, 3)
    change_after_update(patch, "positions", "UPDATE positions SET next_offset = 0")
    Progress(store).advance("translate", "deliveries-zoho", 0, 7)


def intent_of_what_does_not_wait(store, _patch):
    queue = asked(store)
    (claim,) = queue.claim(make.NOW, "acme", "zoho", 1)
    answered = msgspec.structs.replace(claim, state="answered")
    queue.record_intents(held_lease(store), make.NOW, SOON, [answered])


def call_that_nobody_counted(store, _patch):
    queue = asked(store)
    queue.record_intents(held_lease(store), make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))
    changed(store, "UPDATE command_queue SET calls = 0")
    queue.get("acme", "cm-1")


def answer_of_a_call_that_never_was(store, _patch):
    asked(store).answered("acme", "cm-1", 0)


def command_that_waits_for_nothing(store, _patch):
    queue = asked(store)
    changed(store, "UPDATE command_queue SET due_at = NULL")
    queue.get("acme", "cm-1")


def look_up_that_is_never_due(store, _patch):
    asked(store)
    Queue(store).abandoned(held_lease(store), make.NOW, "")


def begun_call_that_is_forgotten(store, patch):
    queue = asked(store)
    lease = held_lease(store)
    queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))

    def meddled(_store, connection, _keys):
        connection.execute(sa.text("UPDATE command_queue SET state = 'answered'"))

    patch.setattr("projections.work.queue.hold", meddled)
    queue.abandoned(lease, make.NOW, SOON)


def credential_of_no_bytes(store, _patch):
    Secrets(store).put("acme", "zoho", b"")


def credential_that_was_emptied(store, _patch):
    Secrets(store).put("acme", "zoho", b"sealed")
    changed(store, "UPDATE sealed_secrets SET sealed = substr(sealed, 1, 0)")
    Secrets(store).get("acme", "zoho")


async def log_with_a_hole(_store, patch, folder):
    async with opened(folder) as log:
        place = type(log._storage)._place

        def meddled(self, db, append, ends, new):
            placed = place(self, db, append, ends, new)
            ends[next(iter(ends))] += 1
            return placed

        patch.setattr(type(log._storage), "_place", meddled)
        await log.append([NewRecord("t", b"k", b"v")])


async def log_that_lost_a_record(_store, _patch, folder):
    async with opened(folder) as log:
        await log.append([NewRecord("t", b"k", b"v") for _ in range(3)])
        log._storage.reader.execute("DELETE FROM records WHERE id = (SELECT max(id) - 1 FROM records)")
        await log.read(TopicPartition("t", 0), 0, 9)


@contextlib.asynccontextmanager
async def opened(folder):
    log = SqliteLog(folder / "log.db")
    await log.start()
    try:
        await log.ensure_topics([TopicSpec("t", "connection", 1, None, "a test")])
        yield log
    finally:
        await log.stop()


#: (commit, half of its pair) → what breaks it.
BROKEN = {
    ("Batch.commit", "before"): batch_that_ends_before_its_event,
    ("Batch.commit", "after"): batch_that_does_not_keep_what_it_wrote,
    ("take", "before"): partition_that_begins_nowhere,
    ("take", "after"): owner_without_an_epoch,
    ("Rebuild._flush", "before"): rebuild_to_a_position_that_is_none,
    ("Rebuild._flush", "after"): rebuild_that_forgets_to_flush,
    ("Rebuild.finish", "before"): rebuild_to_a_position_that_is_none,
    ("Rebuild.finish", "after"): rebuild_whose_positions_are_others,
    ("Leases.acquire", "before"): lease_that_has_lapsed_already,
    ("Leases.acquire", "after"): lease_that_the_database_has_for_another,
    ("Outbox.mark_published", "before"): decision_published_twice_at_once,
    ("Outbox.mark_published", "after"): relay_that_goes_back,
    ("Polls.save", "before"): poll_with_half_a_digest,
    ("Polls.save", "after"): poll_whose_digest_was_cut,
    ("Progress.advance", "before"): progress_before_the_beginning,
    ("Progress.advance", "after"): progress_that_does_not_stand,
    ("Queue.record_intents", "before"): intent_of_what_does_not_wait,
    ("Queue.record_intents", "after"): call_that_nobody_counted,
    ("Queue._after_call", "before"): answer_of_a_call_that_never_was,
    ("Queue._after_call", "after"): command_that_waits_for_nothing,
    ("Queue.abandoned", "before"): look_up_that_is_never_due,
    ("Queue.abandoned", "after"): begun_call_that_is_forgotten,
    ("Secrets.put", "before"): credential_of_no_bytes,
    ("Secrets.put", "after"): credential_that_was_emptied,
    ("Storage.write", "before"): log_with_a_hole,
    ("Storage.write", "after"): log_that_lost_a_record,
}


@pytest.mark.parametrize("broken", [one for one in BROKEN if one[0] != "Storage.write"], ids=" ".join)
def test_a_broken_half_is_noticed(store: Store, monkeypatch, broken):
    with pytest.raises(AssertionError):
        BROKEN[broken](store, monkeypatch)


@pytest.mark.parametrize(("half", "error"), [("before", LogClosed), ("after", LogCorrupt)])
async def test_a_broken_half_of_the_log_is_noticed(tmp_path, monkeypatch, half, error):
    with pytest.raises(error):
        await BROKEN["Storage.write", half](None, monkeypatch, tmp_path)
