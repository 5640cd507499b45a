"""The wiring: which stages run in this process, over which log, store and clock, and how they start and end.

| role | stages |
|---|---|
| gateway | webhooks in |
| worker | translate, core, and for the partitions it owns relay and clock |
| executor | executors and pollers of both APIs, for the connections whose lease it holds |
| web | what people look at |
| all | everything, in one process |

Start: store and log agree on the incarnation; the gateway opens first (a webhook must never wait for us); a partition
begins with what an earlier owner had published and not marked; then everything runs until asked to stop or until a
stage fails. A failed stage ends the process with its error: whoever runs us starts us again, and every stage goes on
from its stored position.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Self, get_args

from aiohttp import web

from adapters.clock import Clock
from adapters.http import Transport
from adapters.sandbox_clock import SandboxClock
from domain.vocabulary import APIS, Api
from projections.store.errors import StoreError
from projections.store.store import Store
from projections.store.wakeups import StoreWakeups, open_wakeups
from streams.credentials import GOCARDLESS_TOKEN, Credentials, sender
from streams.log.batch_worker import HandlerSpec
from streams.log.interface import Log, TopicPartition
from streams.log.topics import Topics
from streams.process.health import Health, Role
from streams.process.host import Host
from streams.process.quiescence import Quiescence
from streams.process.stall_watch import Watch
from streams.settings import Settings, SettingsError, group_of
from streams.stages.activity import Activity, Wakeups
from streams.stages.api_access import EMBEDDED_OWNER, ApiAccess
from streams.stages.clock import ClockStage
from streams.stages.context import StageContext
from streams.stages.core import Core
from streams.stages.executor import Executor
from streams.stages.gateway import Gateway
from streams.stages.metrics import Metrics
from streams.stages.poller import Poller
from streams.stages.relay import Relay
from streams.stages.translate import Translate

ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: Real seconds for which an append that the cluster did not take is tried again before the process ends. Lower: the
#: election of a leader ends processes. Higher: a client that has lost its way stays lost that much longer; a restart
#: would help it.
PATIENCE_S: Final = 300.0


#: The pages of an installation: made of its store and the names of its connections.
Pages = Callable[[Store, Iterable[str]], list[web.RouteDef]]

#: A repair before the worker begins: settings, log, topics, store, and the instant.
Mend = Callable[[Settings, Log, Topics, Store, str], None]


class Program:
    """One process of a role. `async with Program(settings) as program: await program.run()`. `name` tells it apart from
    others of its role to the simulators' clock. `pages`: what is served to people; `mend`: what is repaired before a
    worker begins; `host`: what it stands on.

    Raises:
        SettingsError: the settings are not for this role.

    """

    def __init__(
        self,
        settings: Settings,
        role: Role = "all",
        name: str = "",
        *,
        pages: Pages | None = None,
        mend: Mend | None = None,
        host: Host | None = None,
    ) -> None:
        self.settings = settings
        self.host = host or Host()
        self._pages = pages
        self._mend = mend
        self.role = role
        self.shared = settings.log.startswith("kafka:")
        _refuse_mixtures(settings, role, shared=self.shared)
        self.name = name or ("program" if role == "all" else role)
        self._simulated = SandboxClock(settings.clock, participant=self.name) if settings.clock else None
        self.clock: Clock = self._simulated or self.host.clock()
        self.activity = Activity(self.clock)
        self.wakeups = Wakeups(self.activity)
        self.metrics = Metrics(role, self.host.machine.monotonic_s)
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._exit = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self.executors: list[Executor] = []
        self.pollers: list[Poller] = []
        self.accesses: dict[Api, dict[str, ApiAccess]] = {"gocardless": {}, "zoho": {}}

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
        with self.activity.work("start"):
            if self._simulated is not None:
                await self._simulated.start(self.activity.quiet, self._all_quiet if self.shared else None)
                self._exit.push_async_callback(self._simulated.close)
                self._spawn("simulated-time", self._simulated.run_until_failed())
            self.store = self.host.store(settings, self.clock.now())
            self._exit.callback(self.store.close)
            self.log = self.host.log(settings)
            await self._exit.enter_async_context(self.log)
            topics = Topics(settings.topic_prefix, settings.partitions)
            await self.log.require_topics(topics)
            self.store.bind_log(self.log.incarnation)
            self.credentials = Credentials(self.store, self.host.vault(settings), self.host.machine.monotonic_s)
            self.context = StageContext(
                self.log,
                topics,
                self.store,
                self.clock,
                self.wakeups,
                self.metrics,
                settings.connections,
                patience_s=PATIENCE_S if self.shared else 0.0,
                machine=self.host.machine,
            )
            self.quiescence = Quiescence(self.log, topics, self.store, self.wakeups)
            await self._open_http()
            if self.role in ("worker", "all"):
                await self._start_worker()
            if self.role in ("executor", "all"):
                await self._start_executors()
            self.health.started = True

    async def _all_quiet(self) -> str | None:
        """Asked only while this process is quiet, which it is not before it has started."""
        return await self.quiescence()

    async def _open_http(self) -> None:
        self.health = Health(self.context, self.accesses, role=self.role, stages=self._tasks)
        receiver = Gateway(self.context, self.credentials) if self.role in ("gateway", "all") else None
        pages = self._pages(self.store, self.settings.connections) if self._pages is not None else []
        routes = [*pages, *self.health.routes()]
        self.port = await self.host.serve(receiver, routes, self.settings.gateway, self._exit)

    def _open_accesses(self, transport: Transport) -> None:
        owner = f"{self.name}-{self.host.machine.token_hex(6)}" if self.shared else EMBEDDED_OWNER
        for name, connection in self.settings.connections.items():
            for api in APIS:
                if self.credentials.has(name, GOCARDLESS_TOKEN if api == "gocardless" else "zoho.token"):
                    send = sender(api, transport, self.credentials, name, connection, self.clock.now)
                    access = ApiAccess(self.context, name, api, send, owner, self.settings.calls)
                    self.accesses[api][name] = access
                    self._exit.callback(self._release, access)
                else:
                    self.health.without_credentials.append(f"{name}/{api}")

    def _release(self, access: ApiAccess) -> None:
        """What cannot be given back lapses; and that it could not must not hide why this process ends."""
        try:
            access.release()
        except StoreError as error:
            self.context.journal.warning("lease.not_released", api=access.api, error=type(error).__name__)

    async def _start_worker(self) -> None:
        if self._mend is not None:
            self._mend(self.settings, self.log, self.context.topics, self.store, self.clock.now())
        topics, group = self.context.topics, group_of(self.settings)
        translate, core = Translate(self.context, group), Core(self.context)
        owning = dataclasses.replace(self.context, owns=core.owns)
        relay, clock = Relay(owning), ClockStage(owning)
        self.health.clock = clock

        async def own(tp: TopicPartition) -> int:
            position = await core.resume_at(tp)
            await relay.recover(tp.partition)
            self.wakeups.wake("relay")
            self.wakeups.wake(clock.name)
            return position

        translating = (translate.handle, translate.resume_at, translate.revoked)
        handlers = [
            HandlerSpec("translate_gocardless", topics.deliveries_gocardless.name, *translating),
            HandlerSpec("translate_zoho", topics.deliveries_zoho.name, *translating),
            HandlerSpec("core", topics.events.name, core.handle, own, core.revoked),
        ]
        self.worker = self.host.worker(self.log, group, handlers)
        await self._exit.enter_async_context(self.worker)
        self.health.worker = self.worker
        self._spawn("worker", self.worker.run_until_failed())
        if self.host.watched:
            watch = Watch(
                self.log, self.worker, self.metrics, self.settings.kafka.stalled_after_s, silent_s=self.worker.silent_s
            )
            self.health.watch = watch
            self._spawn("watch", watch.run())
        self._spawn("relay", self.wakeups.loop("relay", relay.turn))
        self._spawn("clock", self.wakeups.loop(clock.name, clock.turn))

    async def _start_executors(self) -> None:
        self._open_accesses(await self._exit.enter_async_context(self.host.transport()))
        for api in APIS:
            poller = Poller(self.context, api, self.accesses[api], self.settings.polling, self.settings.calls)
            executor = Executor(self.context, api, self.accesses[api], self.settings.calls)
            self.pollers.append(poller)
            self.executors.append(executor)
            self._spawn(executor.name, self.wakeups.loop(executor.name, executor.turn))
            self._spawn(poller.name, self.wakeups.loop(poller.name, poller.turn))
        self._listen()

    def _listen(self) -> None:
        """What a worker publishes wakes the executors of other processes."""
        wakeups = open_wakeups(self.settings.store)
        if wakeups is None:
            return
        self._exit.callback(wakeups.close)
        loop = asyncio.get_running_loop()
        loop.add_reader(wakeups.fileno(), self._woken, wakeups)
        self._exit.callback(loop.remove_reader, wakeups.fileno())

    def _woken(self, wakeups: StoreWakeups) -> None:
        for name in wakeups.take():
            self.wakeups.wake(name)

    def _spawn(self, name: str, running: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(running, name=name))


def _refuse_mixtures(settings: Settings, role: Role, *, shared: bool) -> None:
    if role != "all" and not shared:
        raise SettingsError(
            f"--role: {role} alone needs a log that processes can share; set log = kafka://…, or run all in one process"
        )
    if shared and settings.store.startswith("sqlite:"):
        raise SettingsError(
            "store: a SQLite file cannot be shared by the processes of a cluster; set store = postgresql://…"
        )
