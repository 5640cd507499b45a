"""`MemoryWorker`: handlers over a `MemoryLog`, as Faust runs them over the other engines, in virtual time too.

One batch of a partition is under way at a time. Each handler has one agent, so its partitions wait for each other, and
handlers run side by side. Positions are stored by the commit guard's word, every `commit_interval_s` and at the stop.
"""

import asyncio
from collections.abc import Sequence

from streams.log.base_worker import COMMIT_INTERVAL_S, STOP_GRACE_S, BaseWorker
from streams.log.batch_worker import HandlerSpec
from streams.log.consumption import BATCH_BYTES, BATCH_RECORDS, Consumption
from streams.log.interface import Log, LogError, RecordBatch, TopicPartition
from streams.simulation.memory_log import MemoryLog

_Batches = asyncio.Queue[RecordBatch]


class MemoryWorker(BaseWorker):
    """A `BatchWorker` over a log in memory. A batch has up to `batch_records` records and about `batch_bytes` bytes."""

    def __init__(
        self,
        log: Log,
        group: str,
        handlers: Sequence[HandlerSpec],
        *,
        commit_interval_s: float = COMMIT_INTERVAL_S,
        stop_grace_s: float = STOP_GRACE_S,
        batch_records: int = BATCH_RECORDS,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        super().__init__(log, group, handlers, commit_interval_s=commit_interval_s, stop_grace_s=stop_grace_s)
        assert isinstance(log, MemoryLog), "other logs are consumed by streams.log.worker"
        self._memory = log
        self._batch_records = batch_records
        self._batch_bytes = batch_bytes
        self._tasks: list[asyncio.Task[None]] = []

    def _held(self) -> set[TopicPartition]:
        return {TopicPartition(topic, number) for topic, number in self._partitions()}

    def _partitions(self) -> list[tuple[str, int]]:
        topics = sorted(spec.topic for spec in self.handlers)
        return [(topic, number) for topic in topics for number in range(self.log.partitions(topic))]

    async def _open(self, delivery: Consumption) -> None:
        agents: dict[str, _Batches] = {spec.topic: asyncio.Queue() for spec in self.handlers}
        work = [self._agent(spec, delivery, agents[spec.topic]) for spec in self.handlers]
        work += [self._deliver(delivery, agents), self._commit_often(delivery)]
        self._tasks = [asyncio.create_task(each) for each in work]

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._delivery is not None:
            await self._commit(self._delivery)

    async def _agent(self, spec: HandlerSpec, delivery: Consumption, batches: _Batches) -> None:
        while True:
            await self._run(spec, delivery, await batches.get())

    async def _deliver(self, delivery: Consumption, agents: dict[str, _Batches]) -> None:
        """Put every partition where it resumes, then deliver until a halt."""
        unwatch = self._memory.watch(delivery.wakeup.set)
        try:
            for tp in (TopicPartition(*each) for each in self._partitions()):
                delivery.guard.resume(tp, await delivery.resume(tp))
            delivery.ready.set()
            while not delivery.halted:
                delivery.wakeup.clear()
                if not await self._deliver_all(delivery, agents):
                    await delivery.wakeup.wait()
        except Exception as fault:  # noqa: BLE001 - whatever it is, it halts the worker and is told as its failure
            delivery.on_failure(fault)
        finally:
            unwatch()

    async def _deliver_all(self, delivery: Consumption, agents: dict[str, _Batches]) -> bool:
        """Deliver one batch of each partition that is free and has records; False if there was none."""
        delivered = False
        guard = delivery.guard
        tps = list(guard.positions())
        place = 0
        while (place := self._memory.next_beyond(tps, place, guard.position)) < len(tps):
            if delivery.halted:
                break
            tp, place = tps[place], place + 1
            if not guard.is_free(tp):
                continue
            offset = guard.position(tp)
            assert offset is not None
            records = await self.log.read(tp, offset, self._batch_records, self._batch_bytes)
            batch = RecordBatch(tp, records)
            guard.deliver(batch)
            agents[tp.topic].put_nowait(batch)
            delivered = True
            # The handler may begin with this batch while the next partition is read.
            await asyncio.sleep(0)
        return delivered

    async def _commit_often(self, delivery: Consumption) -> None:
        try:
            while True:
                await asyncio.shield(delivery.next_end())
                await asyncio.sleep(self._commit_interval_s)
                await self._commit(delivery)
        except Exception as fault:  # noqa: BLE001 - as above
            delivery.on_failure(fault)

    async def _commit(self, delivery: Consumption) -> None:
        due = delivery.guard.committable()
        if not due:
            return
        try:
            await self.log.commit(self.group, due)
        except LogError as fault:
            delivery.not_stored(fault)
        else:
            delivery.guard.committed(due)
