"""One client of the cluster: finding it, its topics and leaders, and questions that are asked again after "not I" or
"not now".

Requests are sent one by one through aiokafka's client, without its producer and consumer: those keep tasks, buffers and
retries of their own that cannot be bounded or ended from outside, and this needs to do both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import ApiVersionRequest, DeleteRecordsRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from streams.log.interface import LogClosed, LogDenied, LogError, LogUnavailable, LogVersion, TopicPartition
from streams.log.kafka.access import Access
from streams.log.kafka.faults import FAULTS, is_final, told

#: How long a start tries to find a broker that answers. Lower: a cluster that is just starting is not waited for.
#: Higher: a wrong address is told late.
REACH_S: Final = 15.0
#: One address, one try. Lower: a far or busy broker counts as away. Higher: one dead address hides the next one for
#: that long.
_TRY_S: Final = 5.0
_PAUSE_S: Final = 0.3
#: Between two tries of a question. Lower: a leader election is hammered. Higher: it is noticed late that it has ended.
RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 1.0
#: A question with all its tries. Lower: an election (seconds) fails readers. Higher: a reader hangs on a dead cluster.
ASK_S: Final = 20.0
#: A topic that was there and is said not to be: a broker that has just started may not know it yet. Lower: that fails.
#: Higher: a deleted topic is told late.
_UNKNOWN_S: Final = 5.0
#: One request that only reads. Lower: a large page on a slow line fails. Higher: a paused broker holds a reader up for
#: that long before the new leader is asked.
REQUEST_S: Final = 8.0
#: How old what is known of leaders may get by itself; a refusal or a lost connection renews it at once.
_METADATA_AGE_MS: Final = 60_000
#: Closing. Lower: a busy loop leaves connections open. Higher: a dead peer holds up a stop.
_CLOSE_S: Final = 3.0

LATEST: Final = -1
EARLIEST: Final = -2
_READ_UNCOMMITTED: Final = 0

# Of what is needed, the versions that came with Kafka 2.1 (headers, idempotent producers, leader epochs); and what this
# program speaks at most: (key of the request, its name, least, most). A broker has to take something in between.
_NEEDED: Final = (
    (0, "Produce", 7, 7),
    (1, "Fetch", 10, 11),
    (2, "ListOffsets", 1, 3),
    (3, "Metadata", 5, 5),
    (8, "OffsetCommit", 2, 3),
    (9, "OffsetFetch", 1, 3),
    (10, "FindCoordinator", 1, 1),
    (19, "CreateTopics", 0, 3),
    (22, "InitProducerId", 0, 0),
)

T = TypeVar("T")


class Identity(NamedTuple):
    """What an idempotent producer is known by."""

    producer_id: int
    epoch: int


async def reach(access: Access, limit_s: float = REACH_S) -> str:
    """Find a broker that answers, lets us in and is new enough; return the id of its cluster.

    Raises:
        LogUnavailable: none answered within `limit_s`.
        LogDenied: one answered and refused the login or the TLS, or closes every connection.
        LogVersion: one answered, and does not speak what is needed.

    """
    arguments = access.arguments()
    arguments.pop("bootstrap_servers")
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    while True:
        last: BaseException | None = None
        for server in access.servers:
            try:
                return await _greet(server, arguments, min(_TRY_S, limit_s))
            except (*FAULTS, LogVersion) as fault:
                if isinstance(fault, LogVersion) or is_final(fault):
                    raise told(fault, f"kafka://{server}", "logging in") from fault
                last = fault
        if loop.time() + _PAUSE_S > deadline_s:
            raise _unreached(last, access, limit_s) from last
        await asyncio.sleep(_PAUSE_S)


def _unreached(fault: BaseException | None, access: Access, limit_s: float) -> LogError:
    if isinstance(fault, errors.KafkaConnectionError | ConnectionResetError):
        return LogDenied(
            f"the brokers take connections and close them at once, for {limit_s:g} s",
            access.where,
            "the listener of this port may want TLS or a login, or not want it: check kafka.security and kafka.sasl",
        )
    reason = (fault.strerror if isinstance(fault, OSError) else None) or type(fault).__name__
    return LogUnavailable(
        f"no broker answered within {limit_s:g} s ({reason})",
        access.where,
        "check the addresses, the network and the brokers",
    )


async def _greet(server: str, arguments: Mapping[str, Any], limit_s: float) -> str:
    host, _, port = server.rpartition(":")
    connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=int(limit_s * 1_000), **arguments)
    try:
        answer = await connection.send(ApiVersionRequest())
        check_versions({key: (low, high) for key, low, high in answer.api_versions}, f"kafka://{server}")
        return str((await connection.send(MetadataRequest([], allow_auto_topic_creation=False))).cluster_id)
    finally:
        connection.close()


def check_versions(spoken: Mapping[int, tuple[int, int]], where: str) -> None:
    """Refuse brokers that are too old, or so new that they dropped what this program speaks.

    Raises:
        LogVersion: they are.

    """
    for key, name, least, most in _NEEDED:
        low, high = spoken.get(key, (0, -1))
        if high < least:
            has = f"at most version {high}" if high >= 0 else "none"
            raise LogVersion(
                f"the broker is too old: of {name} it speaks {has}, {least} is needed",
                where,
                "use Apache Kafka 2.1 or newer",
            )
        if low > most:
            what = f"the broker is too new: of {name} it speaks version {low} at least, this program {most} at most"
            raise LogVersion(what, where, "use a newer version of this program")


class Brokers:
    """Connections to the cluster's brokers, made as they are needed. Belongs to one event loop, from `open` to
    `close`.
    """

    def __init__(self, access: Access, *, request_s: float = REQUEST_S) -> None:
        self.access = access
        self._request_s = request_s
        self._made: Any = None
        self._closed = False
        self._tracked: set[str] = set()

    @property
    def _client(self) -> Any:
        if self._made is None or self._closed:
            raise LogClosed("the log is not started", self.access.where, "start it before use")
        return self._made

    async def open(self) -> None:
        """Learn which brokers there are. Raises `FAULTS`."""
        client: Any = AIOKafkaClient(
            **self.access.arguments(),
            request_timeout_ms=int(self._request_s * 1_000),
            metadata_max_age_ms=_METADATA_AGE_MS,
            retry_backoff_ms=int(RETRY_S * 1_000),
        )
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        self._made = client

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._closed = True
        if self._made is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._made.close()

    # Who leads

    async def topics(self) -> dict[str, int]:
        """All topics that this user may see, with their partition counts. Unlike asking for one by name, this never
        makes one.

        Raises `FAULTS`.
        """
        found = await self._client.fetch_all_metadata()
        return {topic: len(found.partitions_for_topic(topic)) for topic in found.topics(exclude_internal_topics=True)}

    async def track(self, topics: Iterable[str]) -> None:
        """Keep the leaders of these topics, which must exist, at hand."""
        fresh = set(topics) - self._tracked
        if fresh:
            self._tracked |= fresh
            await self._client.set_topics(self._tracked)

    def leader(self, tp: TopicPartition) -> int | None:
        """The broker that leads a partition, as far as is known now."""
        found = self._client.cluster.leader_for_partition(tp)
        return None if found is None or found < 0 else int(found)

    def refresh(self) -> Awaitable[bool]:
        """Have leaders and brokers asked for again; awaiting it waits for the answer."""
        renewed: Awaitable[bool] = self._client.force_metadata_update()
        return renewed

    # Asking

    async def send(self, node: int, request: Any, *, line: Hashable = 0) -> Any:
        """Send one request, once, over the connection called `line`: a broker answers each connection in order. Raises
        `FAULTS`.
        """
        return await self._client.send(node, request, group=line)

    async def persist(self, doing: str, where: str, attempt: Callable[[], Awaitable[T]], limit_s: float = ASK_S) -> T:
        """Try until it succeeds, fails for good, or the time is up. Raises `LogError`."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deadline_s = began_s + limit_s
        pause_s = RETRY_S
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    return await attempt()
            except FAULTS as fault:
                retriable = getattr(fault, "retriable", isinstance(fault, OSError))
                if isinstance(fault, errors.UnknownTopicOrPartitionError):
                    retriable = loop.time() - began_s < _UNKNOWN_S
                if not retriable or loop.time() + pause_s >= deadline_s:
                    raise told(fault, where, doing) from fault
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await self.refresh()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def ask_leader(
        self, tp: TopicPartition, doing: str, request: Any, answer: Callable[[Any], T], *, line: Hashable = 0
    ) -> T:
        """Ask the leader of a partition. `answer` reads the response and raises aiokafka's error if it is one. Raises
        `LogError`.
        """

        async def attempt() -> T:
            return answer(await self.send(self._leader_of(tp), request, line=line))

        await self.track([tp.topic])
        return await self.persist(doing, self.place(tp), attempt)

    def _leader_of(self, tp: TopicPartition) -> int:
        node = self.leader(tp)
        if node is None:
            raise errors.LeaderNotAvailableError
        return node

    async def offsets(self, asked: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Offsets by time (milliseconds, `LATEST`, `EARLIEST`), -1 for none; as they are now. Raises `LogError`."""
        found: dict[TopicPartition, int] = {}

        async def attempt() -> None:
            left = {tp: time for tp, time in asked.items() if tp not in found}
            by_node: dict[int, dict[str, list[tuple[int, int]]]] = {}
            for tp, time in left.items():
                by_node.setdefault(self._leader_of(tp), {}).setdefault(tp.topic, []).append((tp.partition, time))
            requests = [
                (node, OffsetRequest(-1, _READ_UNCOMMITTED, list(topics.items()))) for node, topics in by_node.items()
            ]
            for answer in await asyncio.gather(*(self.send(node, request) for node, request in requests)):
                for topic, partitions in answer.topics:
                    for partition, code, _, offset in partitions:
                        raise_for(code)
                        found[TopicPartition(topic, partition)] = offset

        await self.track({tp.topic for tp in asked})
        await self.persist("asking for offsets", ", ".join(sorted(self.place(tp) for tp in asked)), attempt)
        return found

    async def delete_before(self, tp: TopicPartition, offset: int) -> None:
        """Delete the records below an offset. Raises `LogError`."""

        def answer(response: Any) -> None:
            ((_, ((_, _, code, *_),), *_),) = response.topics
            raise_for(code)

        request = DeleteRecordsRequest([(tp.topic, [(tp.partition, offset)])], int(self._request_s * 1_000))
        await self.ask_leader(tp, "deleting records", request, answer)

    async def identity(self) -> Identity:
        """A new identity for an idempotent producer. Raises `FAULTS`."""
        # No transactions, and so no timeout for them: Kafka's own clients send the largest number.
        request = InitProducerIdRequest(None, 2**31 - 1)
        answer = await self.send(self._any_node(), request)
        raise_for(answer.error_code)
        return Identity(answer.producer_id, answer.producer_epoch)

    def _any_node(self) -> int:
        node: int | None = self._client.get_random_node()
        if node is None:
            raise errors.NoBrokersAvailable
        return node

    async def coordinator(self, group: str) -> int:
        """The broker that keeps a group. Raises `FAULTS`."""
        node: int = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        if not await self._client.ready(node):
            raise errors.NodeNotReadyError
        return node

    def place(self, tp: TopicPartition) -> str:
        """For messages: where a partition is."""
        return f"{tp.topic}[{tp.partition}] on {self.access.where}"


def raise_for(code: int) -> None:
    """Raise aiokafka's error for the code of an answer, if it is one."""
    if code:
        raise errors.for_code(code)
