"""Positions of consumer groups at the brokers."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiokafka import errors
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from streams.log.interface import LogUnavailable, TopicPartition
from streams.log.kafka.brokers import Brokers, raise_for

#: Of a commit that is no member's: no generation, no name, and the broker's own time of keeping.
_NO_GENERATION: Final = -1
_NO_NAME: Final = ""
_BROKERS_RETENTION: Final = -1
_COORDINATION: Final = ConnectionGroup.COORDINATION


class Member(Protocol):
    """The membership of this process in a group. The broker takes positions of a group that has members from them
    alone.
    """

    async def commit(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Set positions; False when they could not be stored."""


class Positions:
    """Positions by group, through the member in this process where there is one."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._members: dict[str, Member] = {}
        self._coordinators: dict[str, int] = {}

    def joined(self, group: str, member: Member) -> None:
        """From now on positions of the group go through this member."""
        self._members[group] = member

    def left(self, group: str) -> None:
        """The process is no member any more."""
        self._members.pop(group, None)

    async def committed(self, group: str, tp: TopicPartition) -> int | None:
        """As `Log.committed`."""

        async def attempt() -> int | None:
            node = await self._coordinator(group)
            response = await self._of(group, node, OffsetFetchRequest(group, [(tp.topic, [tp.partition])]))
            if response.API_VERSION > 1:
                self._check(group, response.error_code)
            ((_, ((_, offset, _, code),)),) = response.topics
            self._check(group, code)
            return None if offset < 0 else int(offset)

        return await self._brokers.persist("asking for a position", self._where(group), attempt)

    async def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """As `Log.commit`."""
        if not positions:
            return
        member = self._members.get(group)
        if member is None:
            await self._brokers.persist("setting positions", self._where(group), lambda: self._commit(group, positions))
        elif not await member.commit(positions):
            what = "the positions were not stored: a rebalance is under way, or the partition is another worker's now"
            raise LogUnavailable(what, self._where(group), "go on from the stored position")

    async def _commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for tp, offset in positions.items():
            topics.setdefault(tp.topic, []).append((tp.partition, offset, ""))
        node = await self._coordinator(group)
        request = OffsetCommitRequest(group, _NO_GENERATION, _NO_NAME, _BROKERS_RETENTION, list(topics.items()))
        response = await self._of(group, node, request)
        for _, partitions in response.topics:
            for _, code in partitions:
                self._check(group, code)

    async def _coordinator(self, group: str) -> int:
        node = self._coordinators.get(group)
        if node is None:
            node = self._coordinators[group] = await self._brokers.coordinator(group)
        return node

    async def _of(self, group: str, node: int, request: OffsetCommitRequest | OffsetFetchRequest) -> Any:
        try:
            return await self._brokers.send(node, request, line=_COORDINATION)
        except errors.KafkaError:
            self._coordinators.pop(group, None)
            raise

    def _check(self, group: str, code: int) -> None:
        if code:
            self._coordinators.pop(group, None)
        raise_for(code)

    def _where(self, group: str) -> str:
        return f"group {group} on {self._brokers.access.where}"
