"""Health: is this process alive, is it ready, and what do its counters say. Nothing here is secret or personal."""

from collections.abc import Mapping

import orjson
from aiohttp import web

from projections.errors import StoreError
from projections.standstills import Standstills
from streams.app import Worker
from streams.log import LogError, TopicPartition
from streams.stages.clock import ClockStage
from streams.stages.desk import Api, Desk
from streams.stages.shop import Shop


class Health:
    """`/health` (alive), `/ready` (all parts can work; 503 with what cannot), `/metrics`."""

    def __init__(self, shop: Shop, desks: Mapping[Api, Mapping[str, Desk]]) -> None:
        self._shop = shop
        self._desks = desks
        self.started = False
        self.without_credentials: list[str] = []
        self.worker: Worker | None = None
        self.clock: ClockStage | None = None

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/health", self._alive), web.get("/ready", self._ready), web.get("/metrics", self._metrics)]

    def troubles(self) -> list[str]:
        """What keeps this process from working fully; empty when it is ready."""
        found = [] if self.started else ["starting"]
        if self.worker is not None and self.worker.failure is not None:
            found.append("a stage has failed")
        found += self._standing_still()
        found += [f"{one}: no credentials: enter them with `zoho-gocardless connect`, then start again" for one in self.without_credentials]
        for api, desks in self._desks.items():
            found += [f"{name}/{api}: {desk.trouble}" for name, desk in desks.items() if desk.trouble]
        if self.clock is not None:
            found += [f"{name}: {why}" for name, why in self.clock.refusals.items()]
        return found

    def _standing_still(self) -> list[str]:
        try:
            standstills = Standstills(self._shop.store)
            aside = [f"connection {one.connection} is set aside" for one in standstills.set_aside()]
            return aside + [f"{one.connection}/{one.api} catches up ({one.reason})" for one in standstills.catch_ups()]
        except StoreError as error:
            return [f"the store cannot be read ({type(error).__name__})"]

    async def _log(self) -> list[str]:
        try:
            await self._shop.log.end_offset(TopicPartition(self._shop.topics.events.name, 0))
        except LogError as error:
            return [f"the log cannot be read ({type(error).__name__})"]
        return []

    async def _alive(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        del request
        troubles = self.troubles() + await self._log()
        body = orjson.dumps({"ready": not troubles, "troubles": troubles})
        return web.Response(status=503 if troubles else 200, body=body, content_type="application/json")

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        return web.Response(body=self._shop.metrics.text(), content_type="text/plain", charset="utf-8")
