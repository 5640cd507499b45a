"""The support that finds and breaks servers for the other tests: a ladder that lies, or a cut that leaks, would make
them worthless.
"""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from tests.support import kafka_brokers, kafka_jars, postgres_servers
from tests.support.kafka_secured import Secured
from tests.support.servers_found import Missing, ServerDied, accepts, free_ports, wait_until
from tests.support.tcp_gate import Gate

TESTS = Path(__file__).parents[1]
NOWHERE = Path("/nonexistent")
REFUSED = 29  # Kafka's code: topic authorization failed
HELD_S = 1.0  # long enough for anything that leaks through a cut on the loopback


# --- which server


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine with nothing: no given servers, no Docker engine, and only this folder's programs in PATH."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "POSTGRES_URL", "TEST_POSTGRES_URL", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (kafka_brokers, postgres_servers):
        monkeypatch.setattr(module, "docker_answers", lambda: False)
    monkeypatch.setattr(postgres_servers, "_DEBIAN", NOWHERE)
    monkeypatch.setattr(postgres_servers, "find_spec", lambda _: None)
    kafka_jars._java.cache_clear()
    yield programs
    kafka_jars._java.cache_clear()


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_given_cluster_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:9092, two:9093")
    with kafka_brokers.brokers(tmp_path) as found:
        assert found.servers == ("one:9092", "two:9093")
        assert found.url == "kafka://one:9092,two:9093"


def test_no_kafka_names_all_three_steps(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing) as caught, kafka_brokers.brokers(tmp_path):
        pass
    assert str(caught.value).split("; ") == [
        "KAFKA_BOOTSTRAP_SERVERS is not set",
        "no Docker engine answers",
        "no Java in JAVA_HOME or PATH",
        "no Maven (mvn) in PATH",
    ]


def test_an_old_java_is_none(bare: Path, tmp_path: Path) -> None:
    program(bare, "java", """echo 'openjdk version "11.0.20" 2023-07-18' >&2""")
    with pytest.raises(Missing, match="Java 11 is older than 17"), kafka_brokers.brokers(tmp_path):
        pass


def test_jars_that_cannot_be_fetched_are_missing_with_the_cause(bare: Path, tmp_path: Path) -> None:
    program(bare, "java", """echo 'openjdk version "17.0.1" 2021-10-19' >&2""")
    program(bare, "mvn", "echo '[ERROR] no such host'; exit 1")
    with (
        pytest.raises(Missing, match=r"cannot fetch Kafka's jars: \[ERROR\] no such host"),
        kafka_brokers.brokers(tmp_path),
    ):
        pass


def test_two_runs_at_once_fetch_the_jars_once(bare: Path, tmp_path: Path) -> None:
    program(bare, "java", """echo 'openjdk version "21" 2023-09-19' >&2""")
    program(
        bare,
        "mvn",
        f"echo called >>{tmp_path}/calls; /bin/sleep 0.2; for a in $*; do case $a in -DoutputDirectory=*) /bin/mkdir -p ${{a#*=}}; esac; done",
    )
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: kafka_jars.java_command(), range(2))
    assert first == second
    assert (tmp_path / "calls").read_text() == "called\n"


def test_a_given_postgres_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", "postgresql://second@host/postgres")
    with postgres_servers.databases() as found:
        assert found.url("books") == "postgresql://second@host/books"
    monkeypatch.setenv("POSTGRES_URL", "postgresql://me:secret@host:5433/postgres")
    with postgres_servers.databases() as found:
        assert found.url("books") == "postgresql://me:secret@host:5433/books"


def test_no_postgres_names_all_four_steps(bare: Path) -> None:
    with pytest.raises(Missing) as caught, postgres_servers.databases():
        pass
    assert str(caught.value).split("; ") == [
        "POSTGRES_URL is not set",
        "no Docker engine answers",
        "no PostgreSQL is installed (initdb in PATH or /nonexistent)",
        "the package pgserver is not there",
    ]


@pytest.mark.parametrize("needed", [False, True])
def test_a_run_without_servers_says_so_and_fails_only_where_they_are_required(
    needed: bool, bare: Path, tmp_path: Path
) -> None:
    hidden = f"postgres_servers._DEBIAN = __import__('pathlib').Path('{NOWHERE}')\npostgres_servers.find_spec = lambda _: None\n"
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text() + hidden)
    (tmp_path / "test_it.py").write_text(
        "def test_k(kafka_url): ...\ndef test_p(postgres_url): ...\ndef test_q(postgres_url): ...\n"
    )
    more = {"PYTHONPATH": str(TESTS.parent), "DOCKER_HOST": "tcp://127.0.0.1:1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    more |= {f"REQUIRE_{kind}": "1" if needed else "" for kind in ("KAFKA", "POSTGRES")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
        str(tmp_path / "test_it.py"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | more, cwd=tmp_path, check=False)
    if needed:
        assert ran.returncode == pytest.ExitCode.TESTS_FAILED
        assert "3 errors" in ran.stdout
    else:
        assert ran.returncode == pytest.ExitCode.OK
        assert "NOT RUN: 1 tests, no Kafka here: KAFKA_BOOTSTRAP_SERVERS is not set" in ran.stdout
        assert "NOT RUN: 2 tests, no PostgreSQL here: POSTGRES_URL is not set" in ran.stdout


# --- processes


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    server = f"import socket\nlistening = socket.create_server(('127.0.0.1', {port}))\nwhile True: listening.accept()"
    starter = f"from tests.support.kept_process import KeptProcess\nfrom pathlib import Path\nKeptProcess([{sys.executable!r}, '-c', {server!r}], Path('log').absolute())\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", starter],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
        cwd=tmp_path,
    ) as process:
        wait_until(lambda: accepts(port), lambda: process.poll() is None, str, what="the server", timeout_s=20)
        process.kill()
        process.wait()
        wait_until(lambda: not accepts(port), lambda: True, str, what="the server's end", timeout_s=20)


def test_a_server_that_ends_by_itself_is_told_with_the_end_of_its_log() -> None:
    with pytest.raises(ServerDied, match="it ended by itself:\nthe cause"):
        wait_until(lambda: False, lambda: False, lambda: "the cause", what="it", timeout_s=10)
    with pytest.raises(ServerDied, match="it does not answer within 0 s"):
        wait_until(lambda: False, lambda: True, lambda: "", what="it", timeout_s=0)


# --- the gate


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that answers each line with itself."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_cut_holds_both_directions_and_loses_nothing_that_was_under_way(echo: int) -> None:
    with Gate(echo) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        gate.cut()
        writer.write(b"two\n")
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", gate.port)
        late_writer.write(b"three\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(reader.readline(), late_reader.readline()), HELD_S)
        gate.mend()
        assert await reader.readline() == b"two\n"
        assert await late_reader.readline() == b"three\n"
        writer.close()
        late_writer.close()


async def test_close_all_ends_the_connections_of_the_moment_only(echo: int) -> None:
    with Gate(echo) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        gate.close_all()
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"two\n")
        assert await reader.readline() == b"two\n"
        writer.close()


async def test_with_no_server_behind_the_gate_a_connection_ends() -> None:
    with Gate(free_ports(1)[0]) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        assert await asyncio.wait_for(reader.readline(), 10) == b""
        writer.close()


# --- brokers


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., kafka_brokers.Cluster]) -> Iterator[kafka_brokers.Cluster]:
    """One broker of our own behind a gate, with the topic `t`."""

    async def with_topic(server: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=server)
        await admin.start()
        try:
            await admin.create_topics([NewTopic("t", 1, 1)])
        finally:
            await admin.close()

    with start_cluster(gates=True) as started:
        asyncio.run(with_topic(started.servers[0]))
        yield started


async def append(server: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=server, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait("t", value)
    finally:
        await producer.stop()


async def first(server: str) -> bytes:
    consumer = AIOKafkaConsumer("t", bootstrap_servers=server, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), 20)
        return bytes(record.value)
    finally:
        await consumer.stop()


@pytest.mark.parametrize("how", ["cut", "pause"])
async def test_behind_a_cut_or_in_a_paused_broker_an_append_waits_and_then_arrives(
    cluster: kafka_brokers.Cluster, how: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.gated_url.removeprefix("kafka://"), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait("t", b"before")
        if how == "cut":
            cluster.gates[0].cut()
            await append(cluster.servers[0], b"beside")  # the broker is there for who does not come through the gate
        else:
            cluster.pause(0)
        held = await producer.send("t", b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(held), HELD_S)
        if how == "cut":
            cluster.gates[0].mend()
        else:
            cluster.resume(0)
        await asyncio.wait_for(held, 20)
    finally:
        await producer.stop()


async def test_a_killed_broker_comes_back_with_its_data(cluster: kafka_brokers.Cluster) -> None:
    await append(cluster.servers[0], b"kept")
    before = await first(cluster.servers[0])
    cluster.kill(0)
    assert not accepts(int(cluster.servers[0].rpartition(":")[2]))
    cluster.up(0)
    assert await first(cluster.servers[0]) == before
    with pytest.raises(ValueError, match="broker 0 is running"):
        cluster.up(0)


async def test_only_the_topics_of_the_prefix_are_removed(cluster: kafka_brokers.Cluster) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.servers[0])
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{name}-topic", 1, 1) for name in ("mine", "mine-too", "other")])
        kafka_brokers.remove_topics(cluster.servers, "mine")
        left = set(await admin.list_topics())
        assert {"other-topic", "t"} <= left
        assert not {"mine-topic", "mine-too-topic"} & left
    finally:
        await admin.close()


async def test_a_secured_cluster_lets_in_who_has_the_password_and_does_what_the_acls_say(
    start_cluster: Callable[..., kafka_brokers.Cluster],
) -> None:
    with start_cluster(secured=Secured(acls=True)) as secured:
        doors = secured.doors

        async def created_by(user: str, password: str, *, ca: Path = doors.ca, mechanism: str = "SCRAM-SHA-512") -> int:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=doors.url("SASL_SSL").removeprefix("kafka://"),
                security_protocol="SASL_SSL",
                ssl_context=ssl.create_default_context(cafile=ca),
                sasl_mechanism=mechanism,
                sasl_plain_username=user,
                sasl_plain_password=password,
            )
            try:
                await admin.start()
                made = await admin.create_topics([NewTopic(f"{user}-{mechanism}", 1, 1)])
            finally:
                await admin.close()
            return int(made.topic_errors[0][1])

        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            assert await created_by("admin", doors.users["admin"], mechanism=mechanism) == 0
            assert await created_by("app", doors.users["app"], mechanism=mechanism) == REFUSED
        with pytest.raises(KafkaConnectionError):
            await created_by("app", "not the password")
        with pytest.raises(KafkaConnectionError):
            await created_by("admin", doors.users["admin"], ca=doors.other_ca)


# --- PostgreSQL


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_database_goes_back_to_its_older_copy_with_connections_open(
    postgres_server: postgres_servers.Databases, postgres_url: str
) -> None:
    run(postgres_url, "CREATE TABLE t AS SELECT 1 AS n")
    with psycopg.connect(postgres_url) as held:
        copy = postgres_server.copy(postgres_url)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    run(postgres_url, "INSERT INTO t VALUES (2)")
    assert run(copy, "SELECT n FROM t") == [(1,)]
    with psycopg.connect(postgres_url):
        postgres_server.restore(postgres_url, copy)
    assert run(postgres_url, "SELECT n FROM t") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        run(copy, "SELECT n FROM t")


def test_a_killed_server_keeps_what_was_committed_and_a_broken_one_says_why(
    start_postgres: Callable[[], postgres_servers.Server],
) -> None:
    with start_postgres() as server:
        url = server.create()
        run(url, "CREATE TABLE t AS SELECT 1 AS n")
        with psycopg.connect(url) as open_one:
            open_one.execute("INSERT INTO t VALUES (2)")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                open_one.commit()
        assert not server.answers()
        server.up()
        assert run(url, "SELECT n FROM t") == [(1,)]
        server.kill()
        (server.folder / "data" / "PG_VERSION").unlink()
        with pytest.raises(ServerDied, match="is not a valid data directory"):  # told at once, not waited for
            server.up()
    assert not server.folder.exists()
