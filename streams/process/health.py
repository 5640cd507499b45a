"""Health: is this process alive, is it ready, and what do its metrics say. Nothing here is secret or personal.

Each role is ready by what it is for: a gateway when the log takes records, since it holds the webhook secrets in memory
and needs the store for new ones only; a worker and an executor when log and store can be read and nothing of theirs
stands still. What log and store are asked is bounded, and asked in parallel, so that an answer comes within 2 s even
when they hang.

A loop that hangs answers nothing at all, `/health` included: that is how a process is told that waits for a database
for ever.
"""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, Literal

import orjson
from aiohttp import web

from domain.vocabulary import Api
from projections import backlog
from projections.queries import Queries
from projections.store.errors import StoreError
from projections.work.halts import CatchUp, Halts, SetAside
from streams.log.batch_worker import BatchWorker
from streams.log.interface import LogError, TopicPartition
from streams.process.probe import Probe
from streams.process.stall_watch import Watch
from streams.stages.api_access import ApiAccess
from streams.stages.clock import ClockStage
from streams.stages.context import StageContext
from streams.stages.refusals import Refusal, refusals

#: Real seconds for log and store to answer. Lower: a slow moment looks like an outage. Higher: whoever asks `/ready`
#: has given up.
ANSWER_S: Final = 1.5
#: Real seconds for which the figures of the store serve every scrape. Lower: many scrapers cost the store. Higher:
#: figures are older.
BACKLOG_S: Final = 5.0
#: Partitions that are asked whether the log answers; one answer is enough. Lower: a partition between two leaders looks
#: like an outage of the log. Higher: more questions.
_ASKED: Final = 3

Role = Literal["gateway", "worker", "executor", "web", "all"]


class Health:
    """`/health` (alive; 503 once a stage has failed), `/ready` (all parts can work; 503 with what cannot), `/metrics`.

    Parts that start after it are given to it as they come: `worker`, `watch`, `clock`, and `started` at the end.
    `stages` are the tasks of the running stages, and may grow. A part that the role does not have is left out.
    """

    def __init__(
        self,
        context: StageContext,
        accesses: Mapping[Api, Mapping[str, ApiAccess]],
        *,
        role: Role = "all",
        stages: Sequence["asyncio.Task[None]"] = (),
    ) -> None:
        self.started = False
        self.without_credentials: list[str] = []
        self.worker: BatchWorker | None = None
        self.watch: Watch | None = None
        self.clock: ClockStage | None = None
        self._context = context
        self._accesses = accesses
        self._role = role
        self._stages = stages
        self._halts = Probe(self._read_halts, ANSWER_S)
        self._backlog = Probe(lambda: backlog.read(context.store, context.connections, context.clock.now()), ANSWER_S)
        self._backlog_read_at = -BACKLOG_S
        self._began_at = monotonic()

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/health", self._alive), web.get("/ready", self._ready), web.get("/metrics", self._metrics)]

    # --- alive ---

    def failed(self) -> bool:
        """Whether a stage has failed or the worker has stalled: this process only ends now."""
        stages = any(task.done() and not task.cancelled() and task.exception() is not None for task in self._stages)
        worker = self.worker is not None and self.worker.failure is not None
        return stages or worker or (self.watch is not None and self.watch.stalled is not None)

    async def _alive(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=503, text="a stage has failed\n") if self.failed() else web.Response(text="ok\n")

    # --- ready ---

    async def troubles(self) -> list[str]:
        """What keeps this process from working fully; empty when it is ready. Takes `ANSWER_S` at the most."""
        log, store = await asyncio.gather(self._log(), self._standing_still())
        found = [] if self.started else ["starting"]
        if self.failed():
            found.append("a stage has failed")
        found += store
        found += [
            f"{one}: no credentials: enter them with `zoho-gocardless connect`, then start again"
            for one in self.without_credentials
        ]
        for api, accesses in self._accesses.items():
            found += [f"{name}/{api}: {access.trouble}" for name, access in accesses.items() if access.trouble]
        if self.clock is not None:
            found += [f"{name}: {why}" for name, why in self.clock.refusals.items()]
        if self.watch is not None:
            found += self.watch.troubles()
        return found + log

    async def _standing_still(self) -> list[str]:
        """What stands still, as far as it is this role's to say: a gateway serves all the same."""
        if self._role == "gateway":
            return []
        try:
            set_aside, catch_ups, refused, sharing = await self._halts.ask()
        except (StoreError, TimeoutError) as error:
            self._context.metrics.store_failed(error)
            return [f"the store cannot be read ({type(error).__name__})"]
        found = []
        if self._role in ("worker", "all"):
            found += [f"connection {one.connection} is set aside" for one in set_aside]
        if self._role in ("executor", "all"):
            found += [f"{one.connection}/{one.api} catches up ({one.reason})" for one in catch_ups]
            found += [f"{one.connection}/{one.api}: {one.words}" for one in refused]
            found += [f"{name}: {why}" for name, why in sharing.items()]
        return found

    def _read_halts(self) -> tuple[list[SetAside], list[CatchUp], list[Refusal], dict[str, str]]:
        store, connections = self._context.store, self._context.connections
        halts = Halts(store)
        return (
            halts.set_aside(),
            halts.catch_ups(),
            refusals(store, connections),
            Queries(store).sharing(connections),
        )

    async def _log(self) -> list[str]:
        """Whether the log answers, and takes what is appended."""
        failed = self._context.metrics.append_trouble()
        found = [f"the log does not take records ({failed})"] if failed else []
        topics = self._context.topics
        tps = [
            TopicPartition(topics.deliveries_gocardless.name, number)
            for number in range(min(_ASKED, topics.partitions))
        ]
        asked = [asyncio.create_task(self._ask(tp)) for tp in tps]
        fault: Exception | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                for answer in asyncio.as_completed(asked):
                    fault = await answer
                    if fault is None:
                        return found
        except TimeoutError as error:
            fault = error
        finally:
            for task in asked:
                task.cancel()
        return [*found, f"the log cannot be read ({type(fault).__name__})"]

    async def _ask(self, tp: TopicPartition) -> LogError | None:
        try:
            await self._context.log.end_offset(tp)
        except LogError as error:
            return error
        return None

    async def _ready(self, request: web.Request) -> web.Response:
        del request
        troubles = await self.troubles()
        body = orjson.dumps({"ready": not troubles, "troubles": troubles})
        return web.Response(status=503 if troubles else 200, body=body, content_type="application/json")

    # --- metrics ---

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        await self._gauge()
        return web.Response(body=self._context.metrics.text(), content_type="text/plain", charset="utf-8")

    async def _gauge(self) -> None:
        """Bring the gauges up to date that nobody sets as things happen. A store that does not answer leaves its
        figures as they were; how old they are is a figure too.
        """
        metrics = self._context.metrics
        metrics.replaced(self._context.log.producers_replaced)
        for api, accesses in self._accesses.items():
            metrics.leases.labels(api).set(sum(access.holds() for access in accesses.values()))
        if self._role == "gateway":
            return
        if monotonic() - self._backlog_read_at >= BACKLOG_S:
            try:
                metrics.show(await self._backlog.ask())
            except (StoreError, TimeoutError) as error:
                metrics.store_failed(error)
            else:
                self._backlog_read_at = monotonic()
        metrics.backlog_age.set(monotonic() - max(self._backlog_read_at, self._began_at))
