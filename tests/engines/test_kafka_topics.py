"""Topics on a real cluster: planned, made, set right, and refused where nothing may repair them silently."""

import re
import secrets
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.log.interface import Limits, NewRecord, RecordTooLarge, TopicMismatch, UnknownTopic
from streams.log.interface import TopicPartition as LogPartition
from streams.log.kafka import KafkaLog, control, provision
from streams.log.kafka.access import Access
from streams.log.kafka.admin import Admin
from streams.log.topics import TOPICS, Topics, TopicSpec
from streams.settings import Kafka

PAGE = Path(__file__).parents[2] / "docs" / "kafka.md"
AT = "2026-03-02T08:00:00.000Z"
ONE = Kafka(replication=1, min_insync=1)
SETTINGS = sorted(provision.wanted(TOPICS[0], ONE).settings)


class Place:
    """A prefix of one test's own on a cluster, and a look at it that is not the code under test."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.topics = Topics(f"t-{secrets.token_hex(5)}-", 2)
        self.admin = AIOKafkaAdminClient(bootstrap_servers=list(access.servers))

    @property
    def specs(self) -> list[TopicSpec]:
        return provision.all_specs(self.topics)

    async def names(self) -> set[str]:
        return {name for name in await self.admin.list_topics() if name.startswith(self.topics.prefix)}

    async def make(self, name: str, partitions: int, **settings: str) -> None:
        made = await self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        assert [code for _, code, _ in made.topic_errors] == [0]
        async with Admin(self.access) as admin:
            await admin.known({name: {}})

    async def settings(self, name: str) -> dict[str, str]:
        [answer] = await self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    async def control_records(self) -> list[control.Control]:
        place = TopicPartition(self.topics.prefix + "control", 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=list(self.access.servers), auto_offset_reset="earliest")
        consumer.assign([place])
        async with consumer:
            end = (await consumer.end_offsets([place]))[place]
            return [control.decode((await consumer.getone()).value, "") for _ in range(end)]

    async def plan(self, kafka: Kafka = ONE) -> provision.Plan:
        return await provision.plan(self.access, self.topics, kafka)

    async def apply(self, kafka: Kafka = ONE) -> provision.Done:
        return await provision.apply(self.access, await self.plan(kafka), AT)


@pytest.fixture
async def place(kafka_url):
    found = Place(Access.from_url(kafka_url, ONE))
    await found.admin.start()
    yield found
    if names := await found.names():
        await found.admin.delete_topics(sorted(names))
    await found.admin.close()


async def test_what_is_missing_is_planned_and_made_and_the_second_time_nothing_is_done(place):
    planned = await place.plan()
    everything = [one.name for one in place.specs]
    assert list(planned.missing) == everything
    assert (planned.differences, planned.contradictions, planned.opened, planned.complete) == ((), (), False, False)
    assert await place.names() == set()

    done = await provision.apply(place.access, planned, AT)
    assert (sorted(done.made), done.changed, done.opened) == (sorted(everything), (), True)
    [record] = await place.control_records()
    assert (record.state, record.ancestors, record.at) == ("open", (), AT)
    assert len(bytes.fromhex(record.incarnation)) == 16

    assert (await place.plan()).complete
    assert await place.apply() == provision.Done((), (), opened=False)
    assert await place.control_records() == [record]
    await provision.require(place.access, place.specs, ONE)


async def test_made_topics_have_what_is_wanted_of_them(place):
    await place.apply()
    shapes = {one["topic"]: one["partitions"] for one in await place.admin.describe_topics(sorted(await place.names()))}
    for spec in place.specs:
        assert [len(each["replicas"]) for each in shapes[spec.name]] == [1] * spec.partitions
        found = await place.settings(spec.name)
        assert {key: found[key] for key in SETTINGS} == provision.wanted(spec, ONE).settings


async def test_a_record_of_the_largest_size_fits_and_managed_clusters_take_its_topic(place):
    assert provision.MESSAGE_BYTES <= 8_388_608
    await place.apply()
    name = place.topics.deliveries_zoho.name
    headers = tuple((f"header-{number}", b"x" * 100) for number in range(200))
    room = Limits().record_bytes - sum(len(key) + len(value) for key, value in headers) - 1
    async with KafkaLog(place.access, prefix=place.topics.prefix) as log:
        await log.append([NewRecord(name, b"k", secrets.token_bytes(room), headers, partition=1)])
        [found] = await log.read(LogPartition(name, 1), 0)
        assert len(found.value) == room
        with pytest.raises(RecordTooLarge):
            await log.append([NewRecord(name, b"k", bytes(room + 1), headers, partition=1)])


async def test_what_differs_is_set_and_what_others_set_stays(place):
    await place.apply()
    name = place.topics.events.name
    other = {"retention.ms": "1000", "unclean.leader.election.enable": "true", "segment.ms": "7200000"}
    await place.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, other)])
    async with Admin(place.access) as admin:
        await admin.known({name: other})

    planned = await place.plan()
    expected = {
        provision.TopicDifference(name, "retention.ms", "1000", "-1"),
        provision.TopicDifference(name, "unclean.leader.election.enable", "true", "false"),
    }
    # The other call replaced all settings of the topic: those whose default is another differ as well.
    assert expected <= set(planned.differences)
    assert {one.topic for one in planned.differences} == {name}
    assert not planned.contradictions

    done = await provision.apply(place.access, planned, AT)
    assert set(done.changed) == set(planned.differences)
    found = await place.settings(name)
    assert found["segment.ms"] == "7200000"
    assert {key: found[key] for key in SETTINGS} == provision.wanted(place.topics.events, ONE).settings
    assert (await place.plan()).complete


async def test_another_partition_count_is_never_repaired(place):
    name = place.topics.reconciled_payouts.name
    await place.make(name, 3)
    planned = await place.plan()
    [found] = planned.contradictions
    assert (found.topic, "3 partitions" in found.what, "partitions = 3" in found.remedy) == (name, True, True)

    with pytest.raises(TopicMismatch, match="3 partitions and the settings say 2"):
        await provision.apply(place.access, planned, AT)
    with pytest.raises(TopicMismatch, match="3 partitions and the settings say 2"):
        await provision.require(place.access, [place.topics.reconciled_payouts], ONE)
    with pytest.raises(TopicMismatch, match="3 partitions and the settings say 2"):
        await provision.ensure(place.access, place.specs, ONE)
    assert await place.names() == {name}


async def test_more_copies_than_brokers_are_told_once_and_nothing_is_made(place):
    kafka = msgspec.structs.replace(ONE, replication=15)
    planned = await place.plan(kafka)
    [found] = planned.contradictions
    assert found.topic == "all topics"
    assert f"set kafka.replication to at most {planned.brokers}" in found.remedy
    with pytest.raises(TopicMismatch, match="15 copies"):
        await provision.apply(place.access, planned, AT)
    assert await place.names() == set()


async def test_fewer_copies_than_wanted_are_told_with_kafkas_own_tool(place):
    await place.apply()
    planned = await place.plan(Kafka(replication=2, min_insync=2))
    assert {one.topic for one in planned.contradictions} == {one.name for one in place.specs}
    assert all("kafka-reassign-partitions" in one.remedy and "1 copies" in one.what for one in planned.contradictions)
    # With one copy, two in step would stop every append.
    assert not planned.differences


async def test_what_the_cluster_would_refuse_is_in_the_plan(place):
    wrong = msgspec.structs.replace(ONE, min_insync=0)
    [*refused] = (await place.plan(wrong)).contradictions
    assert {one.topic for one in refused} == {one.name for one in place.specs}
    assert all("the cluster refuses it" in one.what for one in refused)

    await place.apply()
    with pytest.raises(TopicMismatch, match="the cluster refuses it"):
        await place.apply(wrong)


async def test_a_missing_topic_is_named_with_the_command_that_makes_it(place):
    with pytest.raises(UnknownTopic, match=r"and 7 more does not exist.*zoho-gocardless topics apply"):
        await provision.require(place.access, place.specs, ONE)


HARM = {
    "max.message.bytes": ("1048588", "our largest record needs"),
    "cleanup.policy": ("compact", "keeps only the last record"),
    "retention.ms": ("86400000", "kept for ever"),
    "retention.bytes": ("1000000", "kept for ever"),
    "min.insync.replicas": ("2", "no append is ever acknowledged"),
}


@pytest.mark.parametrize("setting", HARM)
async def test_a_start_is_refused_on_a_topic_that_would_lose_or_refuse_records(place, setting):
    value, said = HARM[setting]
    spec = place.topics.decisions
    await place.make(spec.name, 2, **(provision.wanted(spec, ONE).settings | {setting: value}))
    with pytest.raises(TopicMismatch, match=f"{re.escape(said)}.*zoho-gocardless topics apply"):
        await provision.require(place.access, [spec], ONE)


async def test_a_setting_that_differs_without_harm_does_not_stop_a_start(place):
    spec = place.topics.reconciled_payments
    harmless = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime", "max.message.bytes": "10000000"}
    await place.make(spec.name, 2, **(provision.wanted(spec, ONE).settings | harmless))
    await provision.require(place.access, [spec], ONE)
    assert {one.setting for one in (await place.plan()).differences} == set(harmless)


async def test_ensure_makes_what_fits_the_cluster(place):
    specs = [place.topics.events, place.topics.decisions]
    kafka = Kafka(replication=15, min_insync=14)
    await provision.ensure(place.access, specs, kafka)
    await provision.ensure(place.access, specs, kafka)
    assert await place.names() == {one.name for one in specs}
    async with Admin(place.access) as admin:
        found = await admin.topics([one.name for one in specs], ["min.insync.replicas"])
        copies = min(15, admin.brokers)
    assert {one.replication for one in found.values()} == {copies}
    assert {one.settings["min.insync.replicas"] for one in found.values()} == {str(min(14, copies))}


def rows(heading: str) -> list[tuple[str, ...]]:
    """The rows of the table under a heading of docs/kafka.md."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = [
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    assert found
    return found


def test_the_page_lists_the_topics_and_how_long_they_are_kept():
    kafka = Kafka()
    documented = {name: (partitions, kept) for name, partitions, kept, _ in rows("Topics")}
    expected = {}
    for spec in provision.all_specs(Topics("", 8)):
        kept = provision.wanted(spec, kafka).settings["retention.ms"]
        partitions = "1" if spec.name == "control" else "the setting `partitions`"
        expected[spec.name] = (partitions.strip("`"), "for ever" if kept == "-1" else f"{int(kept) // 86_400_000} days")
    assert documented == expected


def test_the_page_lists_the_settings_of_every_topic():
    kafka = Kafka(replication=9, min_insync=7)
    documented = {setting: value for setting, value, _ in rows("How a topic is set")}
    for spec in provision.all_specs(Topics("", 8)):
        settings = provision.wanted(spec, kafka).settings
        assert settings.pop("min.insync.replicas") == "7"
        settings["min.insync.replicas"] = "kafka.min_insync"
        assert settings.pop("retention.ms") == ("-1" if spec.retention_s is None else str(spec.retention_s * 1_000))
        settings["retention.ms"] = "-1, or the days above in milliseconds"
        assert documented == settings
