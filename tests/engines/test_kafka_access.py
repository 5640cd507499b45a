"""How a cluster is reached: the settings, every login over TLS against a real broker, and that each role needs what the
page says.
"""

import asyncio
import logging
import re
import secrets
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from streams.log.interface import LogDenied, LogUnavailable, NewRecord, TopicPartition
from streams.log.kafka import KafkaLog, provision
from streams.log.kafka.access import Access
from streams.log.kafka.admin import Admin
from streams.log.kafka.brokers import reach
from streams.log.topics import Topics, TopicSpec
from streams.settings import GROUP, Kafka, SettingsError
from tests.support.kafka_secured import Secured

PAGE = Path(__file__).parents[2] / "docs" / "kafka.md"
ROLES = ("gateway", "worker", "executor", "web", "tools", "topics apply")
USERS = {"admin": "admin-secret"} | {role.replace(" ", "-"): f"{secrets.token_hex(8)}" for role in ROLES}
AT = "2026-03-02T08:00:00.000Z"
ONE = Kafka(replication=1, min_insync=1)


# --- the address ---


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://a.example", ("a.example:9092",)),
        ("kafka://a.example:9093/", ("a.example:9093",)),
        ("kafka://a.example:9093,b.example", ("a.example:9093", "b.example:9092")),
        ("kafka://10.0.0.1:1", ("10.0.0.1:1",)),
        ("kafka://[::1]", ("[::1]:9092",)),
        ("kafka://[2001:db8::1]:9093,[2001:db8::2]", ("[2001:db8::1]:9093", "[2001:db8::2]:9092")),
    ],
)
def test_an_address_names_brokers(url, servers):
    access = Access.from_url(url, Kafka())
    assert access.servers == servers
    assert access.where == f"kafka://{','.join(servers)}"
    assert access.arguments()["bootstrap_servers"] == list(servers)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kafka:",
        "kafka://",
        "kafka:///",
        "kafka://,",
        "kafka://a,",
        "kafka://a, b",
        "kafka:// a",
        "kafka://a b:9092",
        "kafka://a:port",
        "kafka://a:0",
        "kafka://a:65536",
        "kafka://::1",
        "kafka://[::1",
        "kafka://a/topic",
        "kafka://a?tls=1",
        "kafka://a#b",
        "kafkas://a",
        "kafka://" + ",".join(f"b{number}" for number in range(33)),
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match=r"^log URL: "):
        Access.from_url(url, Kafka())


def test_a_password_in_the_address_is_refused_with_its_place_and_not_repeated():
    with pytest.raises(ValueError, match=r"set sasl, username and password in \[kafka\]") as caught:
        Access.from_url("kafka://me:hunter2@a.example:9092", Kafka())
    assert "hunter2" not in str(caught.value)


# --- the settings ---


def arguments(**settings):
    return Access.from_url("kafka://a.example", Kafka(**settings)).arguments()


SCRAM = {"sasl": "SCRAM-SHA-256", "username": "u"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ca": "x.pem"}, r"kafka\.security: .*set security"),
        ({"certificate": "x.pem"}, r"kafka\.security: .*set security"),
        ({"security": "tls", "ca": "/nowhere/ca.pem"}, r"kafka\.ca: cannot be used \(No such file"),
        ({"security": "tls", "ca": __file__}, r"kafka\.ca: cannot be used"),
        ({"security": "tls", "certificate": "/nowhere/c.pem"}, r"kafka\.certificate: cannot be used \(No such file"),
        ({"security": "tls", "certificate": __file__}, r"kafka\.certificate: cannot be used"),
        ({"security": "tls", "key": "/nowhere/k.pem"}, r"kafka\.certificate: is missing"),
        ({"sasl": "PLAIN", "username": "u", "password": "env:P"}, r"kafka\.sasl: PLAIN sends the password as it is"),
        ({"sasl": "SCRAM-SHA-256", "password": "env:P"}, r"kafka\.username: is missing"),
        (SCRAM, r"kafka\.password: is not said where"),
        ({**SCRAM, "password": "hunter2"}, r"kafka\.password: is not said where"),
        ({**SCRAM, "password": "env:"}, r"kafka\.password: is not said where"),
        ({**SCRAM, "password": "env:NOT_SET_ANYWHERE"}, r"kafka\.password: NOT_SET_ANYWHERE is empty"),
        ({**SCRAM, "password": "file:/nowhere/p"}, r"kafka\.password: /nowhere/p cannot be read"),
        ({"username": "u"}, r"kafka\.sasl: is not set"),
        ({"password": "hunter2"}, r"kafka\.sasl: is not set"),
    ],
)
def test_settings_that_cannot_be_are_named_without_what_is_secret(settings, said):
    with pytest.raises(SettingsError, match=f"^{said}") as caught:
        arguments(**settings)
    assert "hunter2" not in str(caught.value)


def test_a_password_comes_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("P", "from-env")
    (tmp_path / "p").write_text("from-file\n")
    for place, password in (("env:P", "from-env"), (f"file:{tmp_path}/p", "from-file")):
        found = arguments(**SCRAM, password=place)
        assert {name: found[name] for name in found if name.startswith("s")} == {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
            "sasl_plain_username": "u",
            "sasl_plain_password": password,
        }


def test_plain_without_tls_is_for_this_machine_alone(monkeypatch):
    monkeypatch.setenv("P", "p")
    kafka = Kafka(sasl="PLAIN", username="u", password="env:P")
    assert (
        Access.from_url("kafka://127.0.0.1:1,[::1]:2,localhost", kafka).arguments()["security_protocol"]
        == "SASL_PLAINTEXT"
    )
    with pytest.raises(SettingsError, match="PLAIN"):
        Access.from_url("kafka://127.0.0.1:1,a.example", kafka).arguments()


def test_no_password_is_written_to_the_log_however_much_is():
    connection = logging.getLogger("aiokafka.conn")
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        assert not connection.isEnabledFor(logging.DEBUG)
    finally:
        root.setLevel(before)


def test_the_page_shows_every_setting():
    blocks = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [shown] = [tomllib.loads(block)["kafka"] for block in blocks if "[kafka]" in block]
    assert msgspec.convert(shown, Kafka).replication == Kafka().replication
    assert tuple(shown) == Kafka.__struct_fields__


# --- a secured cluster ---


@pytest.fixture(scope="module")
def cluster(start_cluster):
    with start_cluster(1, secured=Secured(users=USERS, acls=True, client_certificates="required")) as found:
        yield found


@pytest.fixture
async def goodbyes():
    """aiokafka does not wait for the end of the TLS connections that it found the brokers with; the loop of a test may
    not end before.
    """
    yield
    async with asyncio.timeout(10):
        while any(one._sock is not None for one in asyncio.get_running_loop()._transports.values()):  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


@pytest.fixture
def as_user(cluster, monkeypatch, goodbyes):
    """`as_user(name, door="SASL_SSL", **settings)`: the access of a user."""

    def access(name="admin", door="SASL_SSL", *, secret=None, **settings):
        variable = f"PASSWORD_{secrets.token_hex(4)}"
        monkeypatch.setenv(variable, secret or USERS[name])
        kafka = {"security": "tls", "ca": str(cluster.doors.ca), "replication": 1, "min_insync": 1}
        if door.startswith("SASL"):
            kafka |= {"sasl": "SCRAM-SHA-512", "username": name, "password": f"env:{variable}"}
        return Access.from_url(cluster.doors.url(door), Kafka(**(kafka | settings)))

    return access


@asynccontextmanager
async def opened(access, prefix="", **limits):
    log = KafkaLog(access, prefix=prefix, **limits)
    async with log:
        yield log


async def write_and_read(access):
    spec = TopicSpec(f"t-{secrets.token_hex(6)}", "connection", 1, None, "a test")
    tp = TopicPartition(spec.name, 0)
    async with opened(access) as log:
        await log.ensure_topics([spec])
        await log.append([NewRecord(spec.name, b"k", b"v")])
        assert [record.value for record in await log.read(tp, 0)] == [b"v"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_login_over_tls_appends_and_reads(as_user, mechanism):
    await write_and_read(as_user(sasl=mechanism))


async def test_a_login_without_tls_appends_and_reads(as_user):
    await write_and_read(as_user(door="SASL_PLAINTEXT", security="plaintext", ca=""))


async def test_a_certificate_of_ours_is_a_login_too(cluster, as_user):
    access = as_user(door="SSL", certificate=str(cluster.doors.certificate), key=str(cluster.doors.key))
    prefix = f"t-{secrets.token_hex(5)}-"
    specs = [TopicSpec(prefix + "t", "connection", 1, None, "a test")]
    async with Acls(cluster) as acls:
        await acls.allow(
            *(
                ("CN=client", operation, "Topic", prefix + "t")
                for operation in ("Create", "Write", "Read", "DescribeConfigs")
            )
        )
        async with opened(access) as log:
            await log.ensure_topics(specs)
            await log.append([NewRecord(specs[0].name, b"k", b"v")])


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_told_at_once_with_what_to_check(as_user, mechanism):
    async with asyncio.timeout(10):
        with pytest.raises(
            LogDenied, match=r"refused the login.*check kafka\.username, kafka\.sasl.*kafka\.password"
        ) as caught:
            await reach(as_user(sasl=mechanism, secret="hunter2"))
    assert "hunter2" not in str(caught.value)


async def test_an_authority_that_signed_nothing_is_told(cluster, as_user):
    with pytest.raises(LogDenied, match=r"certificate is not trusted.*set kafka\.ca"):
        await reach(as_user(ca=str(cluster.doors.other_ca)))


async def test_the_systems_authorities_are_asked_without_a_ca(as_user):
    with pytest.raises(LogDenied, match=r"certificate is not trusted.*set kafka\.ca"):
        await reach(as_user(ca=""))


async def test_a_name_that_is_not_in_the_certificate_is_told(as_user):
    access = as_user()
    # Another way to write the same address, which is not in the certificate.
    other = Access(tuple(server.replace("127.0.0.1", "127.1") for server in access.servers), access.kafka)
    with pytest.raises(LogDenied, match=r"not valid for '127\.1'.*the host name that it is for"):
        await reach(other)


KINDS = {
    "TLS on a plaintext port": ("SASL_PLAINTEXT", {}, "close"),
    "plaintext on a TLS port": ("SASL_SSL", {"security": "plaintext", "ca": ""}, "close"),
    "a port that wants a certificate, without one": ("SSL", {}, "close"),
    "a port that takes no login": ("SSL", {"sasl": "SCRAM-SHA-512", "username": "admin"}, "kind of login|close"),
    "a port that wants a login, without one": ("SASL_SSL", {"sasl": "", "username": "", "password": ""}, "close"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_wrong_kind_of_port_is_told(cluster, as_user, monkeypatch, kind):
    door, settings, said = KINDS[kind]
    if "takes no login" in kind:
        monkeypatch.setenv("P", USERS["admin"])
        certificate = {
            "certificate": str(cluster.doors.certificate),
            "key": str(cluster.doors.key),
            "password": "env:P",
        }
        settings = {**settings, **certificate}
    with pytest.raises(LogDenied, match=f"{said}.*kafka\\.s"):
        await reach(as_user(door=door, **settings), 1.0)


# --- the least that each role needs ---

OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11}
RESOURCES = {"Topic": 2, "Group": 3}
ANY, ALLOW, LITERAL = 1, 3, 3


class CreateAcls(CreateAclsRequest):
    """aiokafka's takes one at a time."""

    def __init__(self, creations):
        self._creations = creations

    def build(self, request_struct_class):
        return request_struct_class(self._creations)


class Acls:
    """ACLs on the cluster, which is this module's own: all are gone afterwards."""

    def __init__(self, cluster):
        self.servers = cluster.servers
        self._client = AIOKafkaClient(bootstrap_servers=list(cluster.servers))

    async def __aenter__(self):
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_):
        everything = (ANY, None, ANY, None, None, ANY, ANY)
        await self._ask(DeleteAclsRequest(*everything))
        await self._until(everything, 0)
        await self._client.close()

    async def allow(self, *lines):
        answer = await self._ask(CreateAcls([filled(*line) for line in lines]))
        assert {code for code, _ in answer.creation_responses} == {0}
        for line in lines:
            await self._until(filled(*line), 1)

    async def refuse(self, *line):
        answer = await self._ask(DeleteAclsRequest(*filled(*line)))
        assert len(answer.filter_responses[0][2]) == 1
        await self._until(filled(*line), 0)

    async def _until(self, wanted, count):
        async with asyncio.timeout(10):
            while len((await self._ask(DescribeAclsRequest(*wanted))).resources) != count:  # noqa: ASYNC110 - the broker tells nobody of it
                await asyncio.sleep(0.02)

    async def _ask(self, request):
        return await self._client.send(self._client.get_random_node(), request)


def filled(user, operation, resource, name):
    """A line as the protocol has it."""
    return (RESOURCES[resource], name, LITERAL, f"User:{user}", "*", OPERATIONS[operation], ALLOW)


def granted(prefix):
    """(role, operation, resource, name) of every line of the page's table."""
    section = PAGE.read_text().split("\n## Who may do what\n", 1)[1]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `") or len(cells) != 4:
            continue
        roles, operations, [resource], names = (re.findall(r"`([^`]+)`", cell) for cell in cells)
        if "all topics" in cells[3]:
            names = [spec.name for spec in Topics("", 2)] + names
        for role in roles:
            yield from ((role, operation, resource, prefix + name) for operation in operations for name in names)


@pytest.fixture
async def installation(cluster, as_user):
    """A prefix whose topics the user `topics-apply` has made, with the rights of the page for every role."""
    prefix = f"t-{secrets.token_hex(5)}-"
    topics = Topics(prefix, 2)
    async with Acls(cluster) as acls:
        lines = list(granted(prefix))
        assert {role for role, *_ in lines} == set(ROLES)
        await acls.allow(*((role.replace(" ", "-"), *line) for role, *line in lines))
        access = as_user("topics-apply")
        done = await provision.apply(access, await provision.plan(access, topics, access.kafka), AT)
        assert (len(done.made), done.opened) == (8, True)
        yield topics, acls


def record(spec):
    return NewRecord(spec.name, b"k", b"v", partition=0)


async def test_topics_are_made_compared_and_set_with_the_rights_of_the_page(installation, as_user):
    topics, acls = installation
    async with Admin(Access(acls.servers, ONE)) as admin:
        assert await admin.alter({topics.events.name: {"retention.ms": "1000"}}) == {topics.events.name: None}
        await admin.known({topics.events.name: {"retention.ms": "1000"}})
    access = as_user("topics-apply")
    planned = await provision.plan(access, topics, access.kafka)
    assert [(one.setting, one.present) for one in planned.differences] == [("retention.ms", "1000")]
    assert len((await provision.apply(access, planned, AT)).changed) == 1
    assert (await provision.plan(access, topics, access.kafka)).complete


MAY_WRITE = {
    "gateway": {"deliveries.gocardless", "deliveries.zoho"},
    "executor": {"deliveries.gocardless", "deliveries.zoho", "events"},
    "worker": {"events", "decisions", "reconciled-payments", "reconciled-payouts", "discrepancies"},
    "tools": {"events"},
    "web": set(),
}


@pytest.mark.parametrize("role", MAY_WRITE)
async def test_a_role_does_its_work_with_the_rights_of_the_page_and_no_more(installation, as_user, role):
    topics, _ = installation
    async with opened(as_user(role), topics.prefix) as log:
        await log.require_topics(topics)
        assert log.control is not None
        mine = [spec for spec in topics if spec.name.removeprefix(topics.prefix) in MAY_WRITE[role]]
        assert len(mine) == len(MAY_WRITE[role])
        for spec in topics:
            assert await log.end_offset(TopicPartition(spec.name, 0)) == 0
        await log.append([record(spec) for spec in mine])
        others = next(spec for spec in topics if spec not in mine)
        with pytest.raises(LogUnavailable, match=re.escape(others.name)):
            await log.append([record(others)])
        await log.append([record(spec) for spec in mine])


@pytest.mark.parametrize("role", ["web", "tools"])
async def test_who_looks_may_read_everything(installation, as_user, role):
    topics, _ = installation
    async with opened(as_user(role), topics.prefix) as log:
        for spec in topics:
            assert await log.read(TopicPartition(spec.name, 1), 0) == []
            assert list(await asyncio.to_thread(lambda spec=spec: list(log.scan(spec.name, 1)))) == []


async def test_a_worker_is_a_member_of_its_group_reads_writes_and_commits(installation, as_user):
    topics, _ = installation
    group = topics.prefix + GROUP
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(opened(as_user("gateway"), topics.prefix))
        await gateway.append([record(topics.deliveries_zoho)])
        access = as_user("worker")
        log = await stack.enter_async_context(opened(access, topics.prefix))
        consumed = (topics.deliveries_gocardless.name, topics.deliveries_zoho.name, topics.events.name)
        consumer = AIOKafkaConsumer(
            *consumed, **access.arguments(), group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        async with asyncio.timeout(30), consumer:
            found = await consumer.getone()
            await consumer.commit(
                {
                    found_tp: 1
                    for found_tp in consumer.assignment()
                    if found_tp.topic == found.topic and found_tp.partition == 0
                }
            )
        tp = TopicPartition(topics.deliveries_zoho.name, 0)
        assert await log.committed(group, tp) == 1
        await log.append([record(topics.events)], positions={group: {tp: 1}})
        await log.commit(group, {tp: 0})
        assert await log.committed(group, tp) == 0
        for spec in (topics.deliveries_gocardless, topics.events, topics.decisions):
            await log.read(TopicPartition(spec.name, 0), 0)


async def test_without_the_right_to_write_one_topic_the_append_says_so(installation, as_user):
    topics, acls = installation
    async with opened(as_user("worker"), topics.prefix) as log:
        await log.append([record(topics.decisions)])
        await acls.refuse("worker", "Write", "Topic", topics.decisions.name)
        async with asyncio.timeout(20):
            with pytest.raises(LogDenied, match=rf"{re.escape(topics.decisions.name)}.*docs/kafka\.md"):
                await log.append([record(topics.decisions)])
        await log.append([record(topics.events)])


async def test_without_rights_the_missing_one_is_named(cluster, as_user):
    topics = Topics(f"t-{secrets.token_hex(5)}-", 2)
    access = as_user("topics-apply")
    async with Acls(cluster) as acls:
        with pytest.raises(LogDenied, match=r"the ACL Describe on the topic t-"):
            await provision.plan(access, topics, access.kafka)
        specs = provision.all_specs(topics)
        await acls.allow(*(("topics-apply", "Describe", "Topic", spec.name) for spec in specs))
        planned = await provision.plan(access, topics, access.kafka)
        assert {one.remedy.partition(";")[0] for one in planned.contradictions} == {
            f"give it the ACL Create on the topic {spec.name}" for spec in specs
        }
        await acls.allow(*(("topics-apply", "Create", "Topic", spec.name) for spec in specs))
        with pytest.raises(LogDenied, match=r"the ACL DescribeConfigs on the topic t-"):
            await provision.apply(access, await provision.plan(access, topics, access.kafka), AT)
