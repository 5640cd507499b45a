"""Bad input at the start of the program: the settings of a cluster and a server, and what is found there."""

import asyncio
import secrets
import struct
from contextlib import asynccontextmanager

import psycopg
import sqlalchemy as sa
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from projections.store.store import open_store
from streams.cli.command import Session
from streams.cli.explain import explain
from streams.log.interface import NewRecord
from streams.log.kafka import KafkaLog, control, provision
from streams.log.kafka.access import Access
from streams.log.topics import Topics
from streams.process.program import Program
from streams.settings import Kafka
from tests.stages.bad_input import NOW, case
from tests.support.servers_found import free_ports

#: To be found in no message.
SECRET = "hunter2"

PARTITIONS = 2
ONE = Kafka(replication=1, min_insync=1)
NOWHERE = "kafka://127.0.0.1:1"

SETTINGS = """\
log = "{log}"
store = "{store}"
keys = "file:{folder}/keys.txt"
topic_prefix = "{prefix}"
partitions = {partitions}

[gateway]
port = 0

[kafka]
replication = 1
min_insync = 1
{more}
"""


async def told(bench, name, what, *, role="gateway", log=NOWHERE, store="", prefix="", partitions=PARTITIONS, more=""):
    """`run` ends before it does anything: with the code and exit code of the case's row, a place, something to do, and
    no secret.
    """
    company = bench.company
    file = company.folder / "start.toml"
    store = store or bench.fixture("server_store")
    file.write_text(
        SETTINGS.format(log=log, store=store, folder=company.folder, prefix=prefix, partitions=partitions, more=more)
    )
    # How long an address is tried: nobody waits for it here.
    bench.monkeypatch.setitem(KafkaLog.__init__.__kwdefaults__, "reach_limit_s", 1.0)
    fault = None
    try:
        async with Program(Session("run", file, as_json=False, debug=False).settings, role):
            raise AssertionError(f"{name}: it started")
    except Exception as error:
        fault = error
    assert not isinstance(fault, AssertionError), fault
    failure, exit_code = explain(fault)
    assert f"`{failure.code}`, {exit_code}" in bench.row(name), failure.line
    assert what in failure.what, failure.line
    assert failure.where
    assert failure.remedy
    for text in (failure.line, str(fault), repr(fault)):
        assert SECRET not in text
    return "told"


# --- addresses and logins ---------------------------------------------------------------------------------------------


@case
async def kafka_url_that_is_none(bench):
    return await told(
        bench, "kafka-url-that-is-none", "use kafka://host:port", log="kafka://a b:9092", store="postgresql://x/y"
    )


@case
async def kafka_password_in_the_url(bench):
    url = f"kafka://me:{SECRET}@a.example:9092"
    return await told(bench, "kafka-password-in-the-url", "has no place in it", log=url, store="postgresql://x/y")


@case
async def kafka_nobody_listens(bench):
    (port,) = free_ports(1)
    return await told(bench, "kafka-nobody-listens", "no broker answered", log=f"kafka://127.0.0.1:{port}")


@case
async def kafka_name_unknown(bench):
    return await told(bench, "kafka-name-unknown", "no broker answered", log="kafka://nowhere.invalid:9092")


def secured(bench, door="SASL_SSL", *, ca="", password=SECRET, tls=True):
    """Address and settings of a cluster that wants TLS and a login."""
    doors = bench.fixture("secured_cluster").doors
    bench.monkeypatch.setenv("KAFKA_PASSWORD_OF_THE_TEST", password)
    login = 'sasl = "SCRAM-SHA-512"\nusername = "app"\npassword = "env:KAFKA_PASSWORD_OF_THE_TEST"'
    trust = f'security = "tls"\nca = "{ca or doors.ca}"\n' if tls else ""
    return {"log": doors.url(door), "more": trust + login}


async def told_over_tls(bench, name, what, **at):
    """As `told`. aiokafka does not wait for the end of its TLS connections, and the loop of a test may not end before
    them.
    """
    outcome = await told(bench, name, what, **at)
    port = int(at["log"].rpartition(":")[2])
    transports = [
        one
        for one in asyncio.get_running_loop()._transports.values()
        if one.get_extra_info("peername", ("", 0))[1] == port
    ]
    async with asyncio.timeout(10):
        while any(one._sock is not None for one in transports):  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
    return outcome


@case
async def kafka_wrong_password(bench):
    return await told_over_tls(bench, "kafka-wrong-password", "refused the login", **secured(bench))


@case
async def kafka_wrong_authority(bench):
    other = str(bench.fixture("secured_cluster").doors.other_ca)
    return await told_over_tls(bench, "kafka-wrong-authority", "certificate is not trusted", **secured(bench, ca=other))


@case
async def kafka_port_that_wants_tls(bench):
    return await told(bench, "kafka-port-that-wants-tls", "close them at once", **secured(bench, tls=False))


async def _old(reader, writer):
    """A broker of Kafka 0.10: it says which requests it speaks, and no more is asked of it."""
    spoken = {0: (0, 2), 1: (0, 3), 2: (0, 1), 3: (0, 2), 8: (0, 2), 9: (0, 1), 10: (0, 0), 18: (0, 0)}
    body = struct.pack(">hi", 0, len(spoken)) + b"".join(
        struct.pack(">hhh", key, *versions) for key, versions in spoken.items()
    )
    while head := await reader.read(4):
        request = await reader.readexactly(struct.unpack(">i", head)[0])
        writer.write(struct.pack(">i", 4 + len(body)) + request[4:8] + body)
    writer.close()


@case
async def kafka_old_broker(bench):
    async with await asyncio.start_server(_old, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await told(bench, "kafka-old-broker", "the broker is too old", log=f"kafka://127.0.0.1:{port}")


# --- topics -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def topics(bench, *, opens=True):
    """The topics of an installation as they should be; how to reach them, and a client to change them."""
    url, prefix = bench.fixture("kafka_url"), bench.fixture("kafka_prefix")
    access = Access.from_url(url, ONE)
    wanted = Topics(prefix, PARTITIONS)
    await provision.apply(access, await provision.plan(access, wanted, ONE), NOW, opens=opens)
    yield access, {"log": url, "prefix": prefix}


@asynccontextmanager
async def admin(access):
    found = AIOKafkaAdminClient(bootstrap_servers=list(access.servers))
    await found.start()
    try:
        yield found
    finally:
        await found.close()


@case
async def topics_that_nobody_made(bench):
    at = {"log": bench.fixture("kafka_url"), "prefix": bench.fixture("kafka_prefix")}
    return await told(bench, "topics-that-nobody-made", "does not exist", **at)


@case
async def topics_with_another_partition_count(bench):
    async with topics(bench) as (_, at):
        return await told(
            bench, "topics-with-another-partition-count", "has 2 partitions and the settings say 3", partitions=3, **at
        )


@case
async def topics_that_take_small_records_only(bench):
    """As a tool that makes topics by itself leaves them."""
    url, prefix = bench.fixture("kafka_url"), bench.fixture("kafka_prefix")
    access = Access.from_url(url, ONE)
    async with admin(access) as client:
        await client.create_topics(
            [NewTopic(f"{prefix}deliveries.zoho", PARTITIONS, 1, topic_configs={"max.message.bytes": "1048588"})]
        )
        made = [one for one in Topics(prefix, PARTITIONS) if not one.name.endswith("deliveries.zoho")]
        await client.create_topics(
            [
                NewTopic(one.name, PARTITIONS, 1, topic_configs={"max.message.bytes": "8388608", "retention.ms": "-1"})
                for one in made
            ]
        )
    at = {"log": url, "prefix": prefix}
    return await told(bench, "topics-that-take-small-records-only", "max.message.bytes is 1048588", **at)


@case
async def log_that_nobody_opened(bench):
    async with topics(bench, opens=False) as (_, at):
        return await told(bench, "log-that-nobody-opened", "nothing says whose log this is", **at)


@case
async def log_that_is_being_moved(bench):
    async with topics(bench, opens=False) as (access, at):
        async with KafkaLog(access, prefix=at["prefix"]) as log:
            await log.write_control(control.Control(state="moving", incarnation="", at=NOW, source="a test"))
        return await told(bench, "log-that-is-being-moved", "is being moved here", **at)


@case
async def log_of_something_else(bench):
    async with topics(bench) as (access, at):
        async with KafkaLog(access, prefix=at["prefix"]) as log:
            await log.append([NewRecord(control.topic(at["prefix"]).name, b"k", b"who am I", partition=0)])
        return await told(bench, "log-of-something-else", "the last control record cannot be read", **at)


# --- what does not go together ----------------------------------------------------------------------------------------


@case
async def role_on_the_embedded_log(bench):
    company = bench.company.settings
    at = {"log": company.log, "store": company.store}
    return await told(bench, "role-on-the-embedded-log", "needs a log that processes can share", role="worker", **at)


@case
async def sqlite_store_on_a_cluster(bench):
    return await told(bench, "sqlite-store-on-a-cluster", "cannot be shared", store=bench.company.settings.store)


# --- the database -----------------------------------------------------------------------------------------------------


@case
async def postgres_nobody_listens(bench):
    (port,) = free_ports(1)
    url = f"postgresql://app:{SECRET}@127.0.0.1:{port}/app"
    return await told(bench, "postgres-nobody-listens", "nothing listens", store=url)


@case
async def postgres_name_unknown(bench):
    return await told(
        bench, "postgres-name-unknown", "name of the server", store=f"postgresql://app:{SECRET}@nowhere.invalid/app"
    )


@case
async def postgres_wrong_password(bench):
    with bench.fixture("start_postgres")() as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'right-one'")
            rules = server.folder / "data" / "pg_hba.conf"
            rules.write_text(f"host all app 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            connection.execute("SELECT pg_reload_conf()")
        store = f"postgresql://app:{SECRET}@127.0.0.1:{server.port}/postgres"
        return await told(bench, "postgres-wrong-password", "refused the user or the password", store=store)


@case
async def postgres_without_the_database(bench):
    url = sa.make_url(bench.fixture("postgres_url")).set(database=f"nope_{secrets.token_hex(4)}")
    store = url.render_as_string(hide_password=False)
    return await told(bench, "postgres-without-the-database", "no database of this name", store=store)


async def changed_schema(bench, name, what, *statements):
    url = bench.fixture("postgres_url")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
    return await told(bench, name, what, store=url)


def schema_of(version):
    return (
        "CREATE TABLE alembic_version (version_num text NOT NULL)",
        f"INSERT INTO alembic_version VALUES ('{version}')",
    )


@case
async def store_with_an_older_schema(bench):
    return await changed_schema(
        bench, "store-with-an-older-schema", "has version 0000 of the schema", *schema_of("0000")
    )


@case
async def store_with_a_newer_schema(bench):
    return await changed_schema(bench, "store-with-a-newer-schema", "made by a newer version", *schema_of("9999"))


@case
async def store_with_foreign_tables(bench):
    return await changed_schema(
        bench, "store-with-foreign-tables", "tables of something else", "CREATE TABLE customers (name text)"
    )


@case
async def store_of_another_log(bench):
    store = bench.fixture("postgres_url")
    with open_store(store) as opened:
        opened.bind_log("another")
    async with topics(bench) as (_, at):
        return await told(bench, "store-of-another-log", "belong to another log", store=store, **at)
