"""Faust agents, nothing else: runs handlers over a log, each over one topic, and never lets a position pass an
unhandled record. What a handler may rely on stands at `streams.log.batch_worker`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from faust.tables import TableManager

from streams.log.base_worker import BaseWorker
from streams.log.batch_worker import HandlerSpec, WorkerFailed
from streams.log.consumption import Consumption
from streams.log.delivery import BatchSchema
from streams.log.interface import TopicPartition

__all__ = ["HandlerSpec", "Worker", "WorkerFailed"]

# A supervisor that was reviving an agent when the loop ended is back at its wait by then.
_REVIVAL_S: Final = 0.05


class _Tables(TableManager):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """Without tables there is nothing to wait for; Faust sleeps a second for late ones."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):  # type: ignore[misc]  # as above
    """A Faust app that knows what it shares with the engine's consumer."""

    delivery: Consumption

    def _create_directories(self) -> None:
        """Nothing of ours lies in Faust's folders, which would be made where the program happens to run."""


class Worker(BaseWorker):
    """Faust's worker over a log of either engine."""

    _app: Any = None
    _watch: "asyncio.Task[None] | None" = None

    def silent_s(self) -> float | None:
        silent_s: float | None = None if self._app is None else self._app.consumer.silent_s()
        return silent_s

    def _held(self) -> set[TopicPartition]:
        return {TopicPartition(*tp) for tp in self._app.consumer.assignment()}

    async def _open(self, delivery: Consumption) -> None:
        self._app = self._build(delivery)
        await self._app.start()
        self._watch = asyncio.create_task(self._watch_app())

    async def _close(self) -> None:
        try:
            if self._app is not None:
                await self._app.stop()
            if self._watch is not None:
                await self._watch  # ends with the app; cancelled, it would leave Faust's own waits behind
        finally:
            self._app = self._watch = None

    def _build(self, delivery: Consumption) -> Any:
        app = _App(
            self.group,
            broker=self.log.broker_url,
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            broker_commit_interval=self._commit_interval_s,
            store="memory://",
            TableManager=_Tables,
        )
        app.delivery = delivery
        for spec in self.handlers:
            app.agent(app.topic(spec.topic, schema=BatchSchema()), name=spec.name)(self._agent(spec, delivery))
        app.finalize()
        return app

    def _agent(self, spec: HandlerSpec, delivery: Consumption) -> Callable[[Any], Awaitable[None]]:
        async def agent(stream: Any) -> None:
            async for batch in stream:
                await self._run(spec, delivery, batch)

        return agent

    async def _watch_app(self) -> None:
        """Faust notes a crash of its own services and does no more; this tells it."""
        try:
            await self._app.wait_until_stopped()
        except asyncio.CancelledError:
            # The loop is ending without a stop: Faust's supervisors would revive what it cancels, and it would never
            # end.
            for agent in self._app.agents.values():
                agent._stopped.set()  # noqa: SLF001 - Faust has no public way to say so without awaiting
                agent.supervisor._stopped.set()  # noqa: SLF001 - as above
            await asyncio.sleep(_REVIVAL_S)
            for agent in self._app.agents.values():
                agent.supervisor.wakeup()
                for actor in agent._actors:  # noqa: SLF001 - as above
                    actor.actor_task.cancel()
            raise
        if not self._stopping:
            self._fail(self._app.crash_reason or RuntimeError("Faust stopped by itself"))
