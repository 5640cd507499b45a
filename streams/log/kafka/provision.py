"""The topics of an installation on a cluster: what they should be, what they are, and making the one the other.

`plan` compares, `apply` makes and sets, `require` is what a start asks, `ensure` is for tests and tools. A partition
count is never changed, because keys would move; copies are not moved either, because that is a decision about the
cluster: both are contradictions.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from streams.log.interface import (
    MEBIBYTE,
    Limits,
    LogUnavailable,
    NewRecord,
    TopicMismatch,
    TopicPartition,
    UnknownTopic,
)
from streams.log.kafka import control
from streams.log.kafka.access import Access
from streams.log.kafka.admin import Admin, Present, Refusal, denied
from streams.log.kafka.brokers import LATEST, Brokers
from streams.log.kafka.faults import telling
from streams.log.kafka.producer import Producer
from streams.log.topics import Topics, TopicSpec
from streams.settings import Kafka

#: The largest record with what Kafka adds to it. Lower: the brokers refuse a large page of a poll, which our own limit
#: had let through. Higher: managed clusters, which take 8 MiB, refuse the topic.
MESSAGE_BYTES: Final = 8 * MEBIBYTE
#: What Kafka may add: a batch's header of 61 bytes, and lengths. Lower: a record with thousands of headers is refused.
#: Higher: the largest record gets smaller.
_OVERHEAD_BYTES: Final = 4 * 1024
assert Limits().record_bytes + _OVERHEAD_BYTES <= MESSAGE_BYTES

#: All of one command. Lower: a large cluster under load is given up on. Higher: a cluster that hangs is told of later.
_WITHIN_S: Final = 120.0

#: Not sent when a topic is made, but set if it differs then: services that forbid to change it also refuse to be told
#: it.
_SET_LATER: Final = frozenset({"unclean.leader.election.enable"})

APPLY: Final = "run `zoho-gocardless topics apply`"
_SEE: Final = "`zoho-gocardless topics check` shows all"


class Wanted(msgspec.Struct, frozen=True):
    """A topic as it should be. `settings`: Kafka's names and values."""

    name: str
    partitions: int
    replication: int
    settings: dict[str, str]


class TopicDifference(msgspec.Struct, frozen=True):
    """A setting of a topic that is not as it should be."""

    topic: str
    setting: str
    present: str
    wanted: str


class Contradiction(msgspec.Struct, frozen=True):
    """What nothing repairs by itself: a person has to change the settings, or the cluster."""

    topic: str
    what: str
    remedy: str


class Plan(msgspec.Struct, frozen=True):
    """What is, beside what should be. `opened`: the log says whose it is (its control topic has a record)."""

    brokers: int
    topics: tuple[Wanted, ...]
    missing: tuple[str, ...]
    differences: tuple[TopicDifference, ...]
    contradictions: tuple[Contradiction, ...]
    opened: bool

    @property
    def complete(self) -> bool:
        """Whether there is nothing to do and nothing to decide."""
        return self.opened and not (self.missing or self.differences or self.contradictions)


class Done(msgspec.Struct, frozen=True):
    """What `apply` did: topics made, settings set, and whether it opened the log."""

    made: tuple[str, ...]
    changed: tuple[TopicDifference, ...]
    opened: bool


def all_specs(topics: Topics) -> list[TopicSpec]:
    """Every topic of an installation on a cluster."""
    return [*topics, control.topic(topics.prefix)]


def wanted(spec: TopicSpec, kafka: Kafka) -> Wanted:
    """What a topic should be. `docs/kafka.md` holds the same table, and a test holds the two together."""
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if spec.retention_s is None else str(spec.retention_s * 1_000),
        "retention.bytes": "-1",
        "max.message.bytes": str(MESSAGE_BYTES),
        "min.insync.replicas": str(kafka.min_insync),
        "message.timestamp.type": "CreateTime",
        "unclean.leader.election.enable": "false",
    }
    return Wanted(spec.name, spec.partitions, kafka.replication, settings)


async def plan(access: Access, topics: Topics, kafka: Kafka) -> Plan:
    """Compare the topics of an installation with what they should be, and ask the cluster whether it would take the
    changes.

    Raises:
        LogDenied, LogUnavailable: the cluster cannot be asked.

    """
    async with _within(access), Admin(access) as admin:
        return await _plan(access, admin, [wanted(spec, kafka) for spec in all_specs(topics)])


async def apply(access: Access, planned: Plan, at: str, *, opens: bool = True) -> Done:
    """Make what is missing, set what differs, and open the log if nothing says yet whose it is. Twice changes nothing.

    `at`: the instant for the record that opens the log. `opens` False: somebody else says whose it is.

    Raises:
        TopicMismatch: the plan holds a contradiction; nothing was changed.
        LogDenied, LogUnavailable: the cluster did not do it; what was done stays, and the next call goes on.

    """
    for one in planned.contradictions:
        raise TopicMismatch(one.what, one.topic, one.remedy)
    async with _within(access), Admin(access) as admin:
        by_name = {one.name: one for one in planned.topics}
        made = await _make(admin, [by_name[name] for name in planned.missing])
        present = await _present(admin, planned.topics)
        changed = [found for one in planned.topics for found in _differences(one, present[one.name])]
        refused = await admin.alter(_by_topic(changed))
        for topic, refusal in refused.items():
            if refusal is not None and refusal.denied:
                raise denied(topic, "AlterConfigs")
            if refusal is not None:
                raise _mismatch(_refused(topic, refusal, "AlterConfigs"))
        await admin.known(_by_topic(changed))
    control_topic = planned.topics[-1].name
    opened = opens and not await _is_opened(access, control_topic)
    if opened:
        await _open(access, control_topic, at)
    return Done(tuple(made), tuple(changed), opened)


async def require(access: Access, specs: Iterable[TopicSpec], kafka: Kafka) -> None:
    """See that the topics can hold what an installation puts there. What differs harmlessly is `plan`'s to tell.

    Raises:
        UnknownTopic: one is missing.
        TopicMismatch: one has another partition count, or would refuse, lose or never acknowledge records.
        LogDenied, LogUnavailable: the cluster cannot be asked.

    """
    desired = [wanted(spec, kafka) for spec in specs]
    async with _within(access), Admin(access) as admin:
        present = await _present(admin, desired)
    missing = [one.name for one in desired if one.name not in present]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnknownTopic(
            f"the topic {missing[0]}{more} does not exist", access.where, f"{APPLY}, or check topic_prefix"
        )
    for one in desired:
        for found in _harm(one, present[one.name]):
            raise _mismatch(found)


async def ensure(access: Access, specs: Iterable[TopicSpec], kafka: Kafka) -> None:
    """Make the topics that are missing, with no more copies than there are brokers.

    Raises:
        TopicMismatch: one exists with another partition count.
        LogDenied, LogUnavailable: the cluster did not do it.

    """
    async with _within(access), Admin(access) as admin:
        copies = min(kafka.replication, admin.brokers)
        fitting = msgspec.structs.replace(kafka, replication=copies, min_insync=min(kafka.min_insync, copies))
        desired = [wanted(spec, fitting) for spec in specs]
        present = await _present(admin, desired)
        for one in desired:
            if one.name in present:
                for found in _other_count(one, present[one.name]):
                    raise _mismatch(found)
        await _make(admin, [one for one in desired if one.name not in present])


# --- comparing ---


async def _plan(access: Access, admin: Admin, desired: list[Wanted]) -> Plan:
    present = await _present(admin, desired)
    missing = [one for one in desired if one.name not in present]
    contradictions: list[Contradiction] = []
    differences: list[TopicDifference] = []
    for one in desired:
        if one.name not in present:
            continue
        found = [*_other_count(one, present[one.name]), *_fewer_copies(one, present[one.name])]
        contradictions += found
        # Where fewer copies are than must have a record, setting that would stop every append.
        differences += [
            each for each in _differences(one, present[one.name]) if not found or each.setting != "min.insync.replicas"
        ]
    contradictions += await _refusals(admin, missing, differences)
    control_topic = desired[-1].name
    opened = control_topic in present and await _is_opened(access, control_topic)
    names = tuple(one.name for one in missing)
    return Plan(admin.brokers, tuple(desired), names, tuple(differences), tuple(contradictions), opened)


async def _refusals(admin: Admin, missing: list[Wanted], differences: list[TopicDifference]) -> list[Contradiction]:
    """What the cluster says it would refuse: it knows its own policies, caps and ACLs best."""
    found: list[Contradiction] = []
    for topic, refusal in (await admin.create(_orders(missing), validate_only=True)).items():
        if refusal is None or refusal.exists:
            continue
        if refusal.brokers:
            copies = missing[0].replication
            remedy = f"set kafka.replication to at most {admin.brokers} (and kafka.min_insync), or add brokers"
            few = Contradiction(
                "all topics", f"{copies} copies of each are asked for, and there are {admin.brokers} brokers", remedy
            )
            if few not in found:
                found.append(few)
        else:
            found.append(_refused(topic, refusal, "Create"))
    for topic, refusal in (await admin.alter(_by_topic(differences), validate_only=True)).items():
        if refusal is not None:
            found.append(_refused(topic, refusal, "AlterConfigs"))
    return found


def _differences(one: Wanted, present: Present) -> list[TopicDifference]:
    """What a broker gives by itself counts as well: only where the value in force is another, something has to be set.
    A setting that the cluster does not have cannot differ.
    """
    known = [(key, present.settings[key], value) for key, value in one.settings.items() if key in present.settings]
    return [TopicDifference(one.name, key, found, value) for key, found, value in known if found != value]


def _harm(one: Wanted, present: Present) -> Iterator[Contradiction]:
    """What must not be when an installation starts."""
    yield from _other_count(one, present)
    found = {key: present.settings.get(key, value) for key, value in one.settings.items()}
    if "compact" in found["cleanup.policy"]:
        yield Contradiction(
            one.name, "cleanup.policy is compact, which keeps only the last record of each connection", APPLY
        )
    if int(found["max.message.bytes"]) < MESSAGE_BYTES:
        what = f"max.message.bytes is {found['max.message.bytes']}, and our largest record needs {MESSAGE_BYTES}"
        yield Contradiction(one.name, what, APPLY)
    if "min.insync.replicas" in present.settings and int(found["min.insync.replicas"]) > present.replication:
        what = (
            f"min.insync.replicas is {found['min.insync.replicas']} with {present.replication} copies: no append is"
            " ever acknowledged"
        )
        yield Contradiction(one.name, what, f"lower kafka.min_insync and {APPLY}, or add copies as docs/kafka.md shows")
    if one.settings["retention.ms"] == "-1":
        for key in ("retention.ms", "retention.bytes"):
            if found[key] != "-1":
                yield Contradiction(one.name, f"{key} is {found[key]}, and this topic is kept for ever", APPLY)


def _other_count(one: Wanted, present: Present) -> Iterator[Contradiction]:
    if present.partitions != one.partitions:
        what = f"it has {present.partitions} partitions and the settings say {one.partitions}"
        remedy = (
            f"set partitions = {present.partitions}, or choose another topic_prefix; it is never changed, because keys"
            " would move"
        )
        yield Contradiction(one.name, what, remedy)


def _fewer_copies(one: Wanted, present: Present) -> Iterator[Contradiction]:
    if present.replication < one.replication:
        what = f"it has {present.replication} copies and the settings say {one.replication}"
        remedy = (
            "add copies with kafka-reassign-partitions, as docs/kafka.md shows, or set kafka.replication (and"
            " kafka.min_insync)"
        )
        yield Contradiction(one.name, what, remedy)


def _refused(topic: str, refusal: Refusal, operation: str) -> Contradiction:
    if refusal.denied:
        missing = denied(topic, operation)
        return Contradiction(topic, missing.what, missing.remedy)
    remedy = "allow it there, or change [kafka]; docs/kafka.md says what is needed"
    return Contradiction(topic, f"the cluster refuses it: {refusal.text}", remedy)


def _mismatch(found: Contradiction) -> TopicMismatch:
    return TopicMismatch(found.what, found.topic, f"{found.remedy}; {_SEE}")


# --- asking and ordering ---


async def _present(admin: Admin, desired: Iterable[Wanted]) -> dict[str, Present]:
    topics = list(desired)
    return await admin.topics([one.name for one in topics], {key for one in topics for key in one.settings})


async def _make(admin: Admin, missing: list[Wanted]) -> list[str]:
    """Make topics and wait until they can be used. Gives those that were not there."""
    made = []
    for topic, refusal in (await admin.create(_orders(missing))).items():
        if refusal is None:
            made.append(topic)
        elif refusal.denied:
            raise denied(topic, "Create")
        elif not refusal.exists:
            raise _mismatch(_refused(topic, refusal, "Create"))
    await admin.known({one.name: {} for one in missing})
    return made


def _orders(missing: list[Wanted]) -> dict[str, tuple[int, int, Mapping[str, str]]]:
    return {
        one.name: (
            one.partitions,
            one.replication,
            {key: value for key, value in one.settings.items() if key not in _SET_LATER},
        )
        for one in missing
    }


def _by_topic(differences: Iterable[TopicDifference]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for one in differences:
        found.setdefault(one.topic, {})[one.setting] = one.wanted
    return found


async def _is_opened(access: Access, topic: str) -> bool:
    """Whether the control topic has a record."""
    brokers = Brokers(access)
    place = TopicPartition(topic, 0)
    with telling(access.where, f"looking at {topic}"):
        await brokers.open()
    try:
        return (await brokers.offsets({place: LATEST}))[place] > 0
    finally:
        await brokers.close()


async def _open(access: Access, topic: str, at: str) -> None:
    """Say that this is a log of its own, to be used."""
    record = control.encode(
        control.Control(state="open", incarnation=secrets.token_hex(16), at=at, source="topics apply")
    )
    place = TopicPartition(topic, 0)
    producer = Producer(access, Limits())
    try:
        await producer.append([(place, NewRecord(topic, control.key(), record))], len(record))
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def _within(access: Access) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_WITHIN_S):
            yield
    except TimeoutError:
        what = f"the cluster did not answer everything within {_WITHIN_S:g} s"
        raise LogUnavailable(what, access.where, "run it again; if it stays so, look at the brokers") from None
