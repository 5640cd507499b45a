"""Questions and orders to a cluster about its topics, in few words and bounded time. What topics should be like is
`provision`'s matter.

Any broker is asked: it passes orders on to the controller itself. Settings are changed one by one (KIP-339), so that
those that somebody else set stay; aiokafka has no request for that, so it is spelt out here.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import msgspec
from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from streams.log.interface import LogDenied, LogUnavailable
from streams.log.kafka.access import Access
from streams.log.kafka.brokers import reach
from streams.log.kafka.faults import FAULTS, telling, told

#: One request. Lower: a controller under load counts as away. Higher: a broker that hangs holds the command up that
#: long.
_REQUEST_S: Final = 15.0
#: Until every broker knows of a change. Lower: a busy cluster is given up on. Higher: a partition without leader is
#: told of later.
_KNOWN_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.05

_TOPIC: Final = 2  # the resource type of the protocol
_SET: Final = 0  # the operation of the protocol
#: Text of the brokers that is passed on. Lower: reasons are cut. Higher: an error is no longer one line.
_TEXT: Final = 300


class Present(msgspec.Struct, frozen=True):
    """A topic as it is. `replication`: of the partition that has the fewest copies."""

    partitions: int
    replication: int
    settings: dict[str, str]


class Refusal(msgspec.Struct, frozen=True):
    """What a broker said no to. `code` is Kafka's own."""

    code: int
    text: str

    @property
    def denied(self) -> bool:
        """Whether this user may not do it."""
        return self.code in _DENIED

    @property
    def exists(self) -> bool:
        """Whether it was made in the meantime."""
        return self.code == _EXISTS

    @property
    def brokers(self) -> bool:
        """Whether there are fewer brokers than copies."""
        return self.code == _TOO_FEW_BROKERS


_DENIED: Final = {errors.TopicAuthorizationFailedError.errno, errors.ClusterAuthorizationFailedError.errno}
_EXISTS: Final[int] = errors.TopicAlreadyExistsError.errno
_TOO_FEW_BROKERS: Final[int] = errors.InvalidReplicationFactorError.errno
_UNKNOWN: Final[int] = errors.UnknownTopicOrPartitionError.errno
#: A topic that is only just made, or a broker that is only just gone.
_PASSING: Final = {errors.LeaderNotAvailableError.errno, errors.ReplicaNotAvailableError.errno}


class Admin:
    """A connection to a cluster. `async with Admin(access) as admin`; every method raises `LogError`s."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: Any = None

    async def __aenter__(self) -> Self:
        await reach(self._access)
        self._client = AIOKafkaClient(**self._access.arguments(), request_timeout_ms=int(_REQUEST_S * 1_000))
        try:
            with telling(self._access.where, "looking for the brokers"):
                await self._client.bootstrap()
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    @property
    def brokers(self) -> int:
        """How many brokers there are just now."""
        return len(self._client.cluster.brokers())

    async def topics(self, names: Iterable[str], settings: Iterable[str]) -> dict[str, Present]:
        """Those of the topics that exist, with those of their settings. Makes none, whatever the brokers do by
        themselves.

        Raises:
            LogDenied: the ACL Describe or DescribeConfigs is missing on one.

        """
        found = {name: one for name, one in (await self._metadata(names)).items() if one["error_code"] != _UNKNOWN}
        if not found:
            return {}
        wanted = list(settings)
        answer = await self._ask(DescribeConfigsRequest([(_TOPIC, name, wanted) for name in found]))
        present: dict[str, Present] = {}
        for one in answer.to_object()["resources"]:
            name = one["resource_name"]
            if one["error_code"] == _UNKNOWN:
                continue
            self._check(one["error_code"], name, "DescribeConfigs")
            values = {entry["config_names"]: entry["config_value"] or "" for entry in one["config_entries"]}
            partitions = found[name]["partitions"]
            present[name] = Present(
                len(partitions), min((len(each["replicas"]) for each in partitions), default=0), values
            )
        return present

    async def create(
        self, topics: Mapping[str, tuple[int, int, Mapping[str, str]]], *, validate_only: bool = False
    ) -> dict[str, Refusal | None]:
        """Make topics: (partitions, copies, settings) by name. `validate_only`: only ask whether the cluster would."""
        if not topics:
            return {}
        no_places: list[Any] = []
        asked = [
            (name, partitions, copies, no_places, list(settings.items()))
            for name, (partitions, copies, settings) in topics.items()
        ]
        answer = await self._ask(CreateTopicsRequest(asked, int(_REQUEST_S * 1_000), validate_only))
        return {
            one["topic"]: _refusal(one["error_code"], one.get("error_message"))
            for one in answer.to_object()["topic_errors"]
        }

    async def alter(
        self, topics: Mapping[str, Mapping[str, str]], *, validate_only: bool = False
    ) -> dict[str, Refusal | None]:
        """Set settings of topics, and leave all others as they are. `validate_only` as in `create`."""
        if not topics:
            return {}
        asked = [
            (_TOPIC, name, [(key, _SET, value) for key, value in settings.items()]) for name, settings in topics.items()
        ]
        answer = await self._ask(_ChangeSettings(asked, validate_only))
        return {
            one["resource_name"]: _refusal(one["error_code"], one["error_message"])
            for one in answer.to_object()["responses"]
        }

    async def known(self, topics: Mapping[str, Mapping[str, str]]) -> None:
        """Wait until the topics are there, each partition with a leader, with these settings.

        Raises:
            LogUnavailable: they are not, after 30 s.

        """
        names = {key for settings in topics.values() for key in settings}
        try:
            async with asyncio.timeout(_KNOWN_S):
                while not await self._are_known(topics, names):  # noqa: ASYNC110 - the brokers tell nobody of it
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            what = "topics were ordered, but the brokers do not show them yet"
            raise LogUnavailable(
                what, self._access.where, "run it again; if it stays so, look at the brokers' logs"
            ) from None

    async def _are_known(self, topics: Mapping[str, Mapping[str, str]], names: set[str]) -> bool:
        for node in self._nodes():
            led = await self._metadata(topics, [node])
            if any(one["error_code"] or any(each["leader"] < 0 for each in one["partitions"]) for one in led.values()):
                return False
        present = await self.topics(topics, names) if names else {}
        return all(
            present[name].settings.get(key, value) == value
            for name, wanted in topics.items()
            for key, value in wanted.items()
        )

    async def _metadata(self, names: Iterable[str], nodes: list[int] | None = None) -> dict[str, Any]:
        answer = await self._ask(MetadataRequest(list(names), allow_auto_topic_creation=False), nodes)
        found = {one["topic"]: one for one in answer.to_object()["topics"]}
        for name, one in found.items():
            if one["error_code"] not in _PASSING | {_UNKNOWN}:
                self._check(one["error_code"], name, "Describe")
        return found

    def _check(self, code: int, topic: str, operation: str) -> None:
        if code in _DENIED:
            raise denied(topic, operation)
        if code:
            raise told(errors.for_code(code)(), f"{topic} on {self._access.where}", "looking at the topic")

    def _nodes(self) -> list[int]:
        return [broker.nodeId for broker in self._client.cluster.brokers()]

    async def _ask(self, request: Any, nodes: list[int] | None = None) -> Any:
        """Ask one broker after the other until one answers."""
        asked = nodes or random.sample(self._nodes(), self.brokers)
        fault: BaseException = errors.NodeNotReadyError()
        for node in asked:
            try:
                return await self._client.send(node, request)
            except FAULTS as error:
                fault = error
        if isinstance(fault, errors.NodeNotReadyError):
            what = "a broker answers at this address, but none where they say that they are"
            raise LogUnavailable(
                what,
                self._access.where,
                "check that what they announce (advertised.listeners) can be reached from here",
            )
        raise told(fault, self._access.where, "asking about topics") from fault


def denied(topic: str, operation: str) -> LogDenied:
    """What to say where the user lacks an ACL on a topic."""
    remedy = f"give it the ACL {operation} on the topic {topic}; docs/kafka.md lists what each role needs"
    return LogDenied(f"the user of [kafka] may not {operation} the topic", topic, remedy)


def _refusal(code: int, said: str | None) -> Refusal | None:
    if not code:
        return None
    text = (said or errors.for_code(code).description).replace("\n", " ")
    return Refusal(code, text[:_TEXT])


class _SettingsChanged(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _ChangeSettingsV0(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _SettingsChanged
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("configs", Array(("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8")))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _ChangeSettings(Request[_ChangeSettingsV0]):  # type: ignore[misc]  # as above
    """IncrementalAlterConfigs of Kafka's protocol."""

    API_KEY = 44

    def __init__(self, resources: list[Any], validate_only: bool) -> None:
        self._resources = resources
        self._validate_only = validate_only

    def build(self, request_struct_class: type[_ChangeSettingsV0]) -> _ChangeSettingsV0:
        return request_struct_class(self._resources, self._validate_only)
