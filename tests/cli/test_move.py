"""`move`: everything arrives, at the same offsets; wrong targets are refused; killed anywhere it goes on; one side
alone owns the APIs.
"""

import asyncio
import multiprocessing
import os
import shutil
import threading

import pytest
import sqlalchemy as sa

from adapters.clock import SystemClock
from projections import transfer
from projections.state.rebuild import compare
from projections.store.errors import StoreIsBackup, StoreMoved
from projections.store.store import open_store
from projections.store.tables import budgets, command_queue, leases, poll_rows, polls, positions
from projections.work.halts import Halts
from projections.work.queue import Queue
from streams import failpoints
from streams.credentials import Credentials, open_vault
from streams.log.interface import Limits, LogMoved, LogNotReady, NewRecord, TopicPartition
from streams.log.kafka import control, provision
from streams.log.kafka.access import Access
from streams.log.sqlite import SqliteLog
from streams.log.topics import Topics
from streams.operate import move_records
from streams.operate.move_records import MoveRefused, Pair
from streams.settings import GROUP
from tests.support.company import events_of
from tests.support.deliveries import gc_event, webhook
from tests.support.sides import KAFKA, Side, rows_of

TRIMMED = TopicPartition("deliveries.gocardless", 1)
_built = {}


def _live(installation, company):
    """Facts of every kind, in the log and in the store."""
    payment = company.collect()
    company.confirmed()
    company.customer(2)
    company.invoice("2", "c-2", 5_000)
    company.reach("2026-03-04T12:00:00.000Z")
    hooks = [webhook([gc_event(f"EV{n}", payment, "confirmed", "2026-03-06T11:40:00.000Z")]) for n in range(1, 5)]
    hooks.append(webhook([gc_event("EV9", payment, "paid_out", "2026-03-08T11:40:00.000Z")]))
    told = events_of(company)
    installation.feed(told[:-4], hooks)
    # Decided, and published by nobody yet.
    installation.feed(told[-4:], publish=False)
    installation.put_secret("gocardless.token", b"a token of the test")
    largest = Limits().record_bytes - 4_096

    async def more():
        async with SqliteLog(installation.folder / "log.db") as log:
            odd = (("a", b"\x00\xff"), ("a", b""), ("ü", b"again"))
            topic = installation.topics.deliveries_zoho.name
            await log.append(
                [
                    NewRecord(
                        topic, b"c1", os.urandom(1_000) * (largest // 1_000), odd, timestamp_ms=1_700_000_000_000
                    ),
                    NewRecord(topic, None, None, partition=0, timestamp_ms=1_600_000_000_123),
                    NewRecord(topic, b"", b"", partition=0),
                ]
            )
            await log.append([NewRecord(topic, None, b"%d" % n, partition=0) for n in range(2_500)])
            await log.commit("readers", {TopicPartition("reconciled-payments", 1): 1})
            await log.trim(TRIMMED, 3)
            assert await log.start_offset(TRIMMED) == 3

    asyncio.run(more())
    with open_store(installation.settings.store) as store, store.write() as writer:
        store.put(writer, budgets, [("c1", "zoho", '{"day": 7}')])
        store.put(writer, polls, [("c1", "zoho.invoices", "3", "2026-03-10T00:00:00.000Z", "d", "")])
        store.put(writer, poll_rows, [("c1", "zoho.invoices", str(n), bytes([n % 256]) * 16) for n in range(2_100)])
        store.put(writer, leases, [("c1", "zoho", "embedded", 4, "2099-01-01T00:00:00.000Z")])
        some = sa.select(command_queue.c.id).limit(1).scalar_subquery()
        writer.execute(sa.update(command_queue).where(command_queue.c.id == some).values(state="sent", calls=1))


@pytest.fixture
def old(installation, company, tmp_path_factory):
    """An embedded installation that has lived. It is made once, and copied."""
    with installation.config.open("a") as file:
        file.write("\n[kafka]\nreplication = 1\nmin_insync = 1\n")
    if not _built:
        _live(installation, company)
        _built["folder"] = tmp_path_factory.mktemp("lived") / "copy"
        shutil.copytree(installation.folder, _built["folder"])
    else:
        for file in _built["folder"].iterdir():
            if file.is_file() and file.name != "settings.toml":
                shutil.copy(file, installation.folder)
    return installation


@pytest.fixture
def to(kafka_url, kafka_prefix, postgres_url):
    """The words of the command that name the target."""
    return ["--to", kafka_url, "--store", postgres_url, "--prefix", kafka_prefix]


@pytest.fixture
def here(old):
    return Side(old.settings.log)


@pytest.fixture
def there(kafka_url, kafka_prefix):
    return Side(kafka_url, kafka_prefix)


@pytest.fixture
def new_settings(old, kafka_url, kafka_prefix, postgres_url):
    """The settings file of the new side."""
    lines = old.config.read_text().splitlines()[2:]
    path = old.folder / "new.toml"
    path.write_text(
        "\n".join([f'log = "{kafka_url}"', f'store = "{postgres_url}"', f'topic_prefix = "{kafka_prefix}"', *lines])
    )
    return path


def killed(old, to, failpoint):
    """The move, in a process of its own, which dies at that place."""

    def work():
        failpoints.arm(failpoint)
        old.cli("move", *to)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(100)
    assert process.exitcode == -9, failpoint


def with_settings(old, path, *words, code=0):
    """A command with other settings: its data, or its error."""
    old.config, mine = path, old.config
    try:
        return old.json(*words, code=code)
    finally:
        old.config = mine


def remove(folder, *patterns):
    for file in [file for pattern in patterns for file in folder.glob(pattern)]:
        if file.is_file() and file.suffix != ".moved":
            file.unlink()


def same_records(here, there):
    wanted, got = here.records(), there.records()
    assert wanted[TRIMMED][0] == 3
    for part in wanted:
        assert got[part] == wanted[part], part
    return wanted


def same_store(old, postgres_url, prefix):
    kept = {"budgets", "polls", "poll_rows", "sealed_secrets", "quarantine", "outbox", "outbox_positions"}
    wanted, got = rows_of(old.settings.store), rows_of(postgres_url)
    for name in kept:
        assert got[name] == wanted[name], name
    assert kept - {"quarantine"} <= {name for name, rows in wanted.items() if rows}
    with open_store(old.settings.store, moving=True) as left, open_store(postgres_url) as right:
        assert compare(left, right) == []
        assert {(one.api, one.reason) for one in Halts(right).catch_ups()} == {
            ("gocardless", "moved"),
            ("zoho", "moved"),
        }
        assert {state for _, _, state in Queue(right).counts()} <= {"done", "unknown", "waiting_publication"}
        assert right.generation != left.generation
        credentials = Credentials(right, open_vault(old.settings.keys))
        assert credentials.get("c1", "gocardless.token") == b"a token of the test"
        with left.read() as ours, right.read() as theirs:
            query = sa.select(positions.c.stage, positions.c.topic, positions.c.partition, positions.c.next_offset)
            stood = {(stage, prefix + topic, number): at for stage, topic, number, at in ours.execute(query)}
            found = {(stage, topic, number): at for stage, topic, number, at in theirs.execute(query)}
            assert found.items() >= stood.items()
            assert [tuple(row)[2:4] for row in theirs.execute(sa.select(leases))] == [("", 4)]
    return found


def test_everything_arrives_where_it_was(old, here, there, to, new_settings, postgres_url, kafka_prefix):
    begun = old.json("move", *to)
    wanted = same_records(here, there)
    found = same_store(old, postgres_url, kafka_prefix)
    moved = begun["moved"]
    assert [(one["start"], one["end"]) for one in moved["partitions"]] == [
        (first, end) for first, end, _ in wanted.values()
    ]
    assert len({one["digest"] for one in moved["partitions"] if one["end"]}) == sum(
        1 for _, end, _ in wanted.values() if end
    )
    assert moved["rows"]["poll_rows"] == 2_100
    assert moved["waiting"]["calls"] == 1
    assert moved["waiting"]["decisions"] > 0
    assert set(begun["settings"]) == {"log", "store", "topic_prefix"}
    assert sorted(moved["groups"]) == [f"{kafka_prefix}readers", f"{kafka_prefix}zoho-gocardless"]
    # Where to go on: at the brokers for every group, in the store for the translation.
    assert there.committed(f"{kafka_prefix}readers", "reconciled-payments", 1) == 1
    group = f"{kafka_prefix}{GROUP}"
    assert there.committed(group, *TRIMMED) == here.committed(GROUP, *TRIMMED) == 5
    assert found["translate", f"{kafka_prefix}deliveries.gocardless", 1] == 5
    # What the new side is.
    with open_store(postgres_url) as store:
        assert transfer.log_of(store) == moved["incarnation"]
    said = there.run(lambda log: log.read_control())
    source = here.run(lambda log: asyncio.sleep(0, log.incarnation))
    assert (said.state, said.incarnation, said.ancestors) == ("open", moved["incarnation"], (source,))
    there.run(lambda log: log.require_topics(Topics(kafka_prefix, 2)))
    assert with_settings(old, new_settings, "rebuild", "--verify")["differences"] == []
    assert with_settings(old, new_settings, "status")["log"]["incarnation"] == moved["incarnation"]
    # Asked once more it says where everything is, and changes nothing.
    again = old.json("move", *to)["moved"]
    assert (again["incarnation"], again["partitions"], again["rows"]) == (moved["incarnation"], [], {})
    assert there.run(lambda log: log.end_offset(TopicPartition(f"{kafka_prefix}control", 0))) == 2


def test_the_old_side_is_refused_and_says_where_it_went(old, here, to, kafka_url, kafka_prefix, tmp_path, monkeypatch):
    old.cli("backup", str(tmp_path / "before"))
    shown = old.cli("move", *to).stdout
    assert f'topic_prefix = "{kafka_prefix}"' in shown
    assert "calls were begun and not answered" in shown
    for command in (["run"], ["status"], ["backup", str(tmp_path / "after")], ["connect", "c1", "--remove"]):
        error = old.json(*command, code=69)
        assert (error["code"], error["remedy"][:17]) == ("store_moved", "use postgresql://")
    events = old.json("events", "--connection", "c1", "--limit", "5")
    assert len(events["records"]) == 5

    async def work(log):
        with pytest.raises(LogMoved, match=f"use {kafka_url}, topic_prefix '{kafka_prefix}'"):
            await log.append([NewRecord("events", b"c1", b"{}")])
        with pytest.raises(LogMoved), log.hold_group(GROUP):
            pass

    here.run(work)
    # Without its store.
    remove(old.folder, "store.db*")
    assert old.json("run", code=69)["code"] == "log_moved"
    assert old.json("rebuild", code=69)["code"] == "log_moved"
    # Without its log as well, and from a backup of before: a second owner would be made.
    remove(old.folder, "store.db*", "log.db*")
    assert old.json("run", code=69)["code"] == "log_moved"
    remove(old.folder, "store.db*")
    error = old.json("restore", str(tmp_path / "before"), code=69)
    assert error["code"] == "log_moved"
    assert "remove this file" in error["remedy"]
    assert not (old.folder / "log.db").exists()


def test_a_program_that_runs_is_not_moved(old, here, there, to):
    async def work(log):
        with log.hold_group(GROUP):
            return await asyncio.to_thread(old.json, "move", *to, code=69)

    assert here.run(work)["code"] == "log_locked"
    with pytest.raises(Exception, match="no topic"):
        there.records()


def _topic_with_records(kafka_url, prefix, _):
    async def work(log):
        await log.ensure_topics([spec for spec in Topics(prefix, 2) if spec.name.endswith("events")])
        await log.append([NewRecord(f"{prefix}events", b"c1", b"{}")])

    Side(kafka_url, prefix).run(work)


def _topic_with_more_partitions(kafka_url, prefix, _):
    Side(kafka_url, prefix).run(lambda log: log.ensure_topics([next(iter(Topics(prefix, 3)))]))


def _said(state, source):
    def make(kafka_url, prefix, _):
        async def work(log):
            await log.ensure_topics(provision.all_specs(Topics(prefix, 2)))
            await log.write_control(
                control.Control(state=state, incarnation="ab", at="2026-03-01T00:00:00Z", source=source)
            )

        Side(kafka_url, prefix).run(work)

    return make


def _applied(kafka_url, prefix, _):
    async def work():
        access = Access.from_url(kafka_url, KAFKA)
        planned = await provision.plan(access, Topics(prefix, 2), KAFKA)
        await provision.apply(access, planned, SystemClock().now())

    asyncio.run(work())


def _store_in_use(_, __, postgres_url):
    with open_store(postgres_url) as store:
        store.bind_log("another")


def _store_of_others(_, __, postgres_url):
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id integer)")
    engine.dispose()


def _store_being_filled(_, __, postgres_url):
    with open_store(postgres_url) as store:
        transfer.begin(store, transfer.Filling("another", "ab"))


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (_topic_with_records, "move_refused", "events is not empty"),
        (_topic_with_more_partitions, "move_refused", "it has 3 partitions and the settings say 2"),
        (_said("open", "topics apply"), "move_refused", "the topics there are an installation's"),
        (_applied, "move_refused", "the topics there are an installation's"),
        (_said("moving", "another"), "move_refused", "another log is being moved there"),
        (_store_in_use, "move_refused", "the database is not empty"),
        (_store_of_others, "store_version", "tables of something else"),
        (_store_being_filled, "move_refused", "another installation is being moved into this database"),
    ],
)
def test_a_wrong_target_is_refused_and_nothing_happens(
    old, here, to, kafka_url, kafka_prefix, postgres_url, make, code, said
):
    make(kafka_url, kafka_prefix, postgres_url)
    error = old.json("move", *to, code=69)
    assert (error["code"], said in error["what"]) == (code, True), error
    assert here.run(lambda log: asyncio.sleep(0, log.moved())) is None
    with open_store(old.settings.store):
        old.feed()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "sqlite:///tmp/x.db", "--store", "postgresql://h/d"], "--to"),
        (["--to", "kafka://u:secret@h", "--store", "postgresql://h/d"], "--to: a user or password has no place in it"),
        (["--to", "kafka://h", "--store", "sqlite:///x"], "--store"),
        (["--to", "kafka://h", "--store", "postgresql://h/d", "--prefix", "a b"], "--prefix"),
        (["--to", "kafka://h"], "Missing option '--store'"),
    ],
)
def test_a_target_that_is_none_is_refused(old, words, said):
    error = old.json("move", *words, code=2)
    assert said in error["what"]
    assert "secret" not in error["what"]


def test_what_is_no_embedded_installation_is_refused(old, to, new_settings):
    assert with_settings(old, new_settings, "move", *to, code=3)["what"] == "only an embedded installation is moved"
    (old.folder / "log.db").unlink()
    assert old.json("move", *to, code=69)["what"] == "there is nothing to move"
    assert not (old.folder / "log.db").exists()


def test_a_log_that_is_shared_with_another_installation_is_not_moved(old, here, to):
    async def work(log):
        await log.ensure_topics(Topics("other.", 2))
        await log.append([NewRecord("other.events", b"c1", b"{}")])

    here.run(work)
    assert "other.events" in old.json("move", *to, code=69)["what"]


@pytest.mark.timeout(300)
def test_killed_anywhere_it_goes_on_and_never_do_both_sides_run(
    old, here, there, to, new_settings, postgres_url, kafka_prefix, company
):
    passages = {"move.after_batch": 3, "move.after_rows": 2}
    marked = failpoints.MOVE.index("move.after_mark")
    for place, name in enumerate(failpoints.MOVE):
        killed(old, to, f"{name}:{passages.get(name, 1)}")
        if name != failpoints.MOVE[-1]:
            with pytest.raises(LogNotReady):
                there.run(lambda log: log.require_topics(Topics(kafka_prefix, 2)))
        if place < marked:
            # Given up for the time being: the old side runs on, and the next call takes that along.
            hook = webhook([gc_event(f"EW{place}", "PM-1-1", "created", "2026-03-06T11:40:00.000Z")])
            old.feed(deliveries=[hook], publish=False)
        else:
            with pytest.raises(LogMoved):
                here.run(lambda log: log.append([NewRecord("events", b"c1", b"{}")]))
            assert old.json("run", code=69)["code"] in ("log_moved", "store_moved")
        begun = failpoints.MOVE.index("move.after_begin")
        if begun <= place < failpoints.MOVE.index("move.before_handover"):
            with pytest.raises(StoreIsBackup, match="has not arrived"):
                open_store(postgres_url)
    old.cli("move", *to)
    same_records(here, there)
    with pytest.raises(StoreMoved):
        open_store(old.settings.store)
    same_store(old, postgres_url, kafka_prefix)
    there.run(lambda log: log.require_topics(Topics(kafka_prefix, 2)))
    assert with_settings(old, new_settings, "rebuild", "--verify")["differences"] == []


def test_what_is_appended_at_the_last_moment_is_moved_as_well(old, here, there, to, monkeypatch):
    """A webhook, or an operator's decision, needs no lock."""
    finish, appended = transfer.finish, []

    def late(*args):
        finish(*args)
        if not appended:
            appended.append(True)
            aside = threading.Thread(
                target=here.run, args=(lambda log: log.append([NewRecord("events", b"c1", b"late")]),)
            )
            aside.start()
            aside.join()

    monkeypatch.setattr(transfer, "finish", late)
    assert old.json("move", *to)["moved"]["rows"]["poll_rows"] == 2_100
    assert appended
    assert same_records(here, there)["events", 1][2][-1][3] == b"late"


def test_a_target_that_somebody_wrote_to_is_given_up_for_another(old, here, kafka_url, kafka_prefix, postgres_url):
    first, second = f"{kafka_prefix}a-", f"{kafka_prefix}b-"
    to = ["--to", kafka_url, "--store", postgres_url, "--prefix"]
    killed(old, [*to, first], "move.before_mark")
    Side(kafka_url, first).run(lambda log: log.append([NewRecord(f"{first}events", b"c1", b"theirs")]))
    error = old.json("move", *to, first, code=69)
    assert error["code"] == "move_refused"
    assert "another --prefix" in error["remedy"]
    old.cli("move", *to, second)
    same_records(here, Side(kafka_url, second))
    # The copy of the old store cannot be taken for the other's.
    same_store(old, postgres_url, second)


async def test_records_that_a_cluster_deleted_must_be_older_than_it_keeps_them(here, kafka_url, kafka_prefix):
    name = "reconciled-payments"
    pair = Pair(TopicPartition(name, 0), TopicPartition(kafka_prefix + name, 0), 3_600)
    counted = []
    async with here.log() as source, Side(kafka_url, kafka_prefix).log() as target:
        spec = next(spec for spec in Topics(kafka_prefix, 2) if spec.name.endswith(name))
        await target.ensure_topics([spec])
        stamps = (1_500_000_000_000, 1_500_000_000_000, None, None)
        await source.append(
            [NewRecord(name, None, b"%d" % n, partition=0, timestamp_ms=stamp) for n, stamp in enumerate(stamps)]
        )
        whole = await move_records.copy(source, target, pair, counted.append)
        assert (whole.start, whole.end, counted) == (0, 4, [4])
        await target.trim(pair.target, 2)
        rest = await move_records.copy(source, target, pair, counted.append)
        assert (rest.start, rest.end, counted) == (2, 4, [4])
        assert rest.digest != whole.digest
        with pytest.raises(MoveRefused, match="the record at 0 is gone, and its time was not over"):
            await move_records.copy(source, target, pair._replace(retention_s=None), counted.append)
        await target.trim(pair.target, 3)
        with pytest.raises(MoveRefused, match="the record at 2 is gone"):
            await move_records.copy(source, target, pair, counted.append)


def test_it_is_finished_only_with_what_was_begun(old, to, kafka_url, kafka_prefix, postgres_server):
    killed(old, to, "move.after_store_mark")
    empty = postgres_server.create()
    try:
        error = old.json("move", "--to", kafka_url, "--store", empty, "--prefix", kafka_prefix, code=69)
    finally:
        postgres_server.drop(empty)
    assert (error["code"], error["remedy"]) == ("move_refused", "name the same --store as before")
    error = old.json("move", "--to", kafka_url, "--store", to[3], "--prefix", f"{kafka_prefix}c-", code=69)
    assert (error["code"], "to finish it" in error["remedy"]) == ("log_moved", True)
    assert old.json("move", *to)["moved"]["rows"] == {}
