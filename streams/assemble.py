"""The wiring: which stages run in this process, over which log, store and clock, and how they start and end.

Start: store and log agree on the incarnation; the gateway opens first (a webhook must never wait for us); the relay marks what an earlier
process had published; then everything runs until asked to stop or until a stage fails. A failed stage ends the process with its error:
whoever runs us starts us again, and every stage goes on from its stored position.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from adapters.clock import Clock, SandboxClock, SystemClock
from adapters.gocardless.client import URLS
from adapters.gocardless.client import Client as GoCardlessClient
from adapters.http import open_session
from adapters.vault import Secret
from adapters.zoho.client import Client as ZohoClient
from adapters.zoho.oauth import TokenSource
from projections.store import open_store
from streams.app import HandlerSpec, Worker
from streams.engines import open_log
from streams.keys import GOCARDLESS_TOKEN, Credentials, SealedTokens, open_vault
from streams.metrics import Metrics
from streams.opened import GROUP
from streams.pulse import Pulse
from streams.settings import Connection, Settings
from streams.stages import gateway
from streams.stages.clock import ClockStage
from streams.stages.core import Core
from streams.stages.desk import EMBEDDED_OWNER, Api, Desk, Send
from streams.stages.executor import Executor
from streams.stages.gateway import Gateway
from streams.stages.health import Health
from streams.stages.poller import Poller
from streams.stages.relay import Relay
from streams.stages.shop import Shop
from streams.stages.translate import Translate
from streams.topics import Topics

APIS: Final[tuple[Api, ...]] = ("gocardless", "zoho")


class Program:
    """One process. `async with Program(settings) as program: await program.run()`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock: Clock = SandboxClock(settings.clock) if settings.clock else SystemClock()
        self.pulse = Pulse(self.clock)
        self.metrics = Metrics()
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._exit = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self.executors: list[Executor] = []
        self.pollers: list[Poller] = []
        self.desks: dict[Api, dict[str, Desk]] = {"gocardless": {}, "zoho": {}}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for executor in self.executors:
            await executor.drain()
        await self._exit.aclose()

    async def run(self) -> None:
        """Run until `stop`; raises what ended a stage."""
        stop = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({stop, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                task.result()
        finally:
            stop.cancel()

    def stop(self) -> None:
        """End `run` cleanly."""
        self._stopping.set()

    # --- start ---

    async def _start(self) -> None:
        settings = self.settings
        with self.pulse.work("start"):
            if isinstance(self.clock, SandboxClock):
                await self.clock.start(self.pulse.quiet)
                self._exit.push_async_callback(self.clock.close)
            self.store = open_store(settings.store, now=self.clock.now())
            self._exit.callback(self.store.close)
            self.log = open_log(settings.log)
            await self._exit.enter_async_context(self.log)
            topics = Topics(settings.topic_prefix, settings.partitions)
            await self.log.ensure_topics(topics)
            self.store.bind_log(self.log.incarnation)
            self.credentials = Credentials(self.store, open_vault(settings.keys))
            self.shop = Shop(self.log, topics, self.store, self.clock, self.pulse, self.metrics, settings.connections)
            session = open_session()
            self._exit.push_async_callback(session.close)
            await self._open_gateway()
            self._open_desks(session)
            await self._start_stages()

    async def _open_gateway(self) -> None:
        self.health = Health(self.shop, self.desks)
        served = gateway.runner([*Gateway(self.shop, self.credentials).routes(), *self.health.routes()])
        await served.setup()
        self._exit.push_async_callback(served.cleanup)
        site = web.TCPSite(served, self.settings.gateway.host, self.settings.gateway.port)
        await site.start()
        self.port = int(served.addresses[0][1])

    def _open_desks(self, session: aiohttp.ClientSession) -> None:
        for name, connection in self.settings.connections.items():
            for api in APIS:
                if self.credentials.has(name, GOCARDLESS_TOKEN if api == "gocardless" else "zoho.token"):
                    send = self._sender(session, api, name, connection)
                    desk = Desk(self.shop, name, api, send, EMBEDDED_OWNER, self.settings.calls)
                    self.desks[api][name] = desk
                    self._exit.callback(desk.release)
                else:
                    self.health.without_credentials.append(f"{name}/{api}")

    def _sender(self, session: aiohttp.ClientSession, api: Api, name: str, connection: Connection) -> Send:
        if api == "gocardless":
            return gocardless_send(session, self.credentials, name, connection)
        return zoho_send(session, self.credentials, name, connection, self.clock.now)

    async def _start_stages(self) -> None:
        topics = self.shop.topics
        translate, core, relay, clock = Translate(self.shop, GROUP), Core(self.shop), Relay(self.shop), ClockStage(self.shop)
        self.health.clock = clock
        handlers = [
            HandlerSpec("translate_gocardless", topics.deliveries_gocardless.name, translate.handle, translate.resume_at),
            HandlerSpec("translate_zoho", topics.deliveries_zoho.name, translate.handle, translate.resume_at),
            HandlerSpec("core", topics.events.name, core.handle, core.resume_at),
        ]
        await relay.recover()
        self.worker = Worker(self.log, GROUP, handlers)
        await self._exit.enter_async_context(self.worker)
        self.health.worker = self.worker
        self._spawn("worker", self.worker.run_until_failed())
        self._spawn("relay", self.pulse.loop("relay", relay.turn))
        self._spawn("clock", self.pulse.loop(clock.name, clock.turn))
        for api in APIS:
            poller = Poller(self.shop, api, self.desks[api], self.settings.polling, self.settings.calls)
            executor = Executor(self.shop, api, self.desks[api], self.settings.calls)
            self.pollers.append(poller)
            self.executors.append(executor)
            self._spawn(executor.name, self.pulse.loop(executor.name, executor.turn))
            self._spawn(poller.name, self.pulse.loop(poller.name, poller.turn))
        self.health.started = True

    def _spawn(self, name: str, running: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(running, name=name))


def gocardless_send(session: aiohttp.ClientSession, credentials: Credentials, name: str, connection: Connection) -> Send:
    """How to send a call to GoCardless for a connection."""
    url = connection.gocardless.url or URLS[connection.environment]
    client = GoCardlessClient(session, Secret(GOCARDLESS_TOKEN, credentials.get(name, GOCARDLESS_TOKEN)), url)
    return lambda call, deadline_s: client.send(call, deadline_s=deadline_s)


def zoho_send(session: aiohttp.ClientSession, credentials: Credentials, name: str, connection: Connection, now: Callable[[], str]) -> Send:
    """How to send a call to Zoho Books for a connection."""
    tokens = SealedTokens(credentials, name)
    source = TokenSource(session, credentials.zoho_client(name), tokens, now, sandbox=bool(connection.zoho.url))
    client = ZohoClient(session, source, connection.zoho.organization_id)
    return lambda call, deadline_s: client.send(call, deadline_s=deadline_s)
