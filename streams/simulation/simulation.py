"""One run: worlds, network, disk, the program with its crashes, the people, and at the end what the oracles say."""

import asyncio
import contextlib
import math
import random
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.vault import Keyring
from domain.times import instant
from domain.vocabulary import APIS
from projections.store.errors import StoreError
from projections.store.store import Store, open_store
from sandbox.gocardless.app import gocardless_app
from sandbox.inprocess import InProcess
from sandbox.loop_time import LoopTime
from sandbox.world import World
from sandbox.zoho.app import zoho_app
from streams import failpoints
from streams.gc_pause import without_collector
from streams.log.batch_worker import WorkerFailed
from streams.log.interface import Log, LogError
from streams.log.topics import Topics
from streams.operate.replay import mend_outbox
from streams.process.program import Program
from streams.settings import Connection, Settings
from streams.simulation import company_documents, oracles
from streams.simulation.acts import Act
from streams.simulation.company import Company, draw
from streams.simulation.log_disk import LogDisk
from streams.simulation.machine import Disk, SimulatedHost, keyring, store_template
from streams.simulation.network import Network, Side, host_of, url_of
from streams.simulation.operator import Person
from streams.simulation.oracles import Breach
from streams.simulation.oracles.webhooks import webhook_breaches
from streams.simulation.people import ActRates, draw_act, perform
from streams.simulation.people import draw_rates as draw_act_rates
from streams.simulation.plan import DAY_S, Moment, Plan
from streams.simulation.power import PowerCut
from streams.simulation.trace import Trace
from streams.simulation.virtual_time import VirtualClock, begin_for, run

WEBHOOK_SECRET: Final = "simulationSecret1"  # noqa: S105 - of a simulator that lives in this process

#: Seconds until a program that ended by itself is started again, doubled while it ends at once, up to the longest: as
#: what runs programs does. Lower: a fault that stays is met more often. Higher: the program is away for longer.
_RESTART_S: Final = 5.0
_LONGEST_RESTART_S: Final = 600.0

#: Seconds between two visits of the operator, at the most. Lower: what waits for a person never waits long. Higher: a
#: month has few of its answers.
_VISIT_S: Final = 2 * DAY_S


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `ends`: why the program ended by itself, each with its number; `faults`: what went wrong, each
    with its number; `digest`: of the trace. `companies`: by connection; `gocardless_events`: what happened there.
    """

    seed: int
    breaches: tuple[Breach, ...]
    ends: dict[str, int]
    faults: dict[str, int]
    calls: int
    digest: str
    acts: tuple[Act, ...] = ()
    trace: tuple[str, ...] = ()
    companies: dict[str, Company] = {}
    gocardless_events: tuple[dict[str, Any], ...] = ()


class _Side(msgspec.Struct, frozen=True):
    """One connection: its company, its world, and the client and token that Zoho gave us."""

    company: Company
    world: World
    settings: Connection
    oauth: dict[str, str]


class Simulation:
    """One run of a plan. `folder`: where the store's file is, best in memory."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.trace = Trace()
        self.ends: dict[str, int] = {}
        self.acts: dict[str, list[Act]] = {}
        self.unhandled: list[Breach] = []
        self.meanwhile: dict[Breach, None] = {}
        self._seconds: list[asyncio.Task[None]] = []
        self._folder = folder
        self._sides: dict[str, _Side] = {}
        self._keyring: Keyring = keyring()
        self._put_back: Path | None = None
        self._crashed = asyncio.Event()
        self._host: SimulatedHost | None = None
        self._over = False

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed}/{name}")

    # --- the world ---

    def _build(self) -> None:
        plan = self.plan
        sides: dict[str, Side] = {}
        self.network = Network(sides, self._rng("network"), plan.rates, list(plan.outages), self.trace)
        start: datetime | None = None
        for number in range(plan.connections):
            name = f"c{number + 1}"
            if number and plan.one_company:
                self._sides[name] = self._again(name, sides)
                continue
            company = draw(
                self._rng(f"company/{name}"),
                seed=plan.seed * 10 + number,
                days=max(1, plan.days - 7),
                invoices=plan.invoices,
                start=start,
                traits=plan.traits,
            )
            start = company.start
            world = World(seed=company.seed, start=company.start, post=self.network.post)
            apps = {"gocardless": gocardless_app(world), "zoho": zoho_app(world)}
            for api in APIS:
                sides[host_of(api, name)] = Side(name, api, world, InProcess(apps[api]))
            self._sides[name] = self._populated(name, company, world)
            if plan.zoho_day_calls:
                world.apis["zoho"].configure({"switches": {"daily_limit": plan.zoho_day_calls}})
        assert start is not None, "an installation has a connection"
        self.clock = VirtualClock(start)
        self._network_sides = sides

    def _again(self, name: str, sides: dict[str, Side]) -> _Side:
        """A second connection to the first one's company."""
        first = self._sides["c1"]
        for api in APIS:
            sides[host_of(api, name)] = Side(name, api, first.world, sides[host_of(api, "c1")].app)
        settings = _connection(name, first.company, first.settings.zoho.organization_id)
        return msgspec.structs.replace(first, settings=settings)

    def _populated(self, name: str, company: Company, world: World) -> _Side:
        def endpoint(api: str) -> dict[str, str]:
            return {"url": f"http://gateway.example/webhooks/{api}/{name}", "secret": WEBHOOK_SECRET}

        made = company_documents.populate(world, company, {api: endpoint(api) for api in APIS})
        return _Side(company, world, _connection(name, company, made.organization), made.oauth)

    def _settings(self) -> Settings:
        first = next(iter(self._sides.values())).company
        return Settings(
            log="memory:",
            store=f"sqlite:///{self.disk.store}",
            partitions=self.plan.partitions,
            connections={name: side.settings for name, side in self._sides.items()},
            polling=first.polling,
            calls=first.calls,
        )

    # --- the run ---

    async def live(self) -> None:
        """From the first start to the last instant."""
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        self._build()
        shape = self._rng("disk")
        log = LogDisk(shape.randbytes(16).hex(), atomic=shape.random() < 0.7)
        self.disk = Disk(self._folder, log)
        self.disk.make_store(store_template())
        self.settings = self._settings()
        self.network.settle_s = float(self.settings.calls.settle_s)
        self._program_rng = self._rng("program")
        drawn = draw_act_rates(self._rng("who"))
        weights = {name: one for name, one in drawn.weights.items() if name in self.plan.acts}
        self._act_rates = ActRates(1.0, weights or dict.fromkeys(self.plan.acts, 1))
        self.person = Person(self.settings, self._new_host, self._rng("operator"), self.trace)
        self.person.enter({name: side.oauth for name, side in self._sides.items()}, WEBHOOK_SECRET)
        async with contextlib.AsyncExitStack() as stack:
            worlds = {side.company.seed: side.world for side in self._sides.values()}  # of one company there is one
            for world in worlds.values():
                await stack.enter_async_context(LoopTime(world))
            supervisor = asyncio.create_task(self._supervise())
            others = [asyncio.create_task(self._moments()), asyncio.create_task(self._visits())]
            try:
                await self._until(self.plan.faults_end_s)
                self._calm()
                await self._until(self.plan.ends_s)
            finally:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, *self._seconds, return_exceptions=True)
                self._over = True
                failpoints.arm("")  # one that nothing met would be the next run's
                await self._cut()
                self._crashed.set()
                await supervisor

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What was raised and nobody took: of a program without power, nothing; else it is a fault of somebody's."""
        error = context.get("exception")
        if not isinstance(error, PowerCut):
            words = f"{context.get('message', '')}: {type(error).__name__}: {error}"
            self.trace.note("unhandled", words)
            self.unhandled.append(Breach("unhandled", "", "", words))

    def _calm(self) -> None:
        self.network.calm()
        self.clock.skew_s = 0.0
        self.disk.log.capacity_bytes = None
        self.disk.log.repair()
        failpoints.arm("")

    @property
    def companies(self) -> dict[str, Company]:
        """The company of each connection."""
        return {name: side.company for name, side in self._sides.items()}

    @property
    def gocardless_events(self) -> tuple[dict[str, Any], ...]:
        """What GoCardless says happened, of all connections, in the order in which it did."""
        states = [side.world.apis["gocardless"].state() for side in self._sides.values()]
        events = [event for state in states for event in state["resources"]["events"]]
        return tuple(sorted(events, key=lambda event: str(event["created_at"])))

    async def judge(self) -> list[Breach]:
        """What the oracles find at the end."""
        try:
            return list(dict.fromkeys((*self.unhandled, *self.meanwhile, *await self._asked())))
        except (LogError, StoreError) as error:
            words = f"it cannot start again: {type(error).__name__}: {error.what}"
            return [*self.unhandled, *self.meanwhile, Breach("program_ended", "", "", words)]

    async def _asked(self) -> list[Breach]:
        host = self._new_host()
        found: list[Breach] = []
        async with host.log(self.settings) as log:
            with host.store(self.settings, self.clock.now()) as store:
                for name, side in self._judged():
                    found += oracles.breaches(self._evidence(name, side, store, log))
                topics = Topics(self.settings.topic_prefix, self.settings.partitions)
                found += webhook_breaches(log, topics, self.network.taken, self.network.forged)
                now = self.clock.now()
                found += oracles.rebuild_breaches(log, topics, store, now, self._folder, store_template())
        return found

    def _ask_meanwhile(self) -> None:
        """While the program is off, ask what must hold at every moment: what is put right later has been wrong. A store
        that a crash has left in the middle of a rebuild is asked of the next time.
        """
        draws = self._rng("meanwhile")
        with (
            contextlib.suppress(StoreError),
            open_store(
                self.settings.store, now=self.clock.now(), token_hex=lambda size: draws.randbytes(size).hex()
            ) as store,
        ):
            for name, side in self._judged():
                evidence = self._evidence(name, side, store, None)
                self.meanwhile |= dict.fromkeys(oracles.breaches_meanwhile(evidence))

    def _evidence(self, name: str, side: _Side, store: Store, log: Log | None) -> oracles.Evidence:
        return oracles.gather(
            store,
            log,
            connection=name,
            settings=self.settings,
            gocardless=side.world.apis["gocardless"].state(),
            zoho=side.world.apis["zoho"].state(),
            now=self.clock.now(),
            acts=[
                oracles.Act(instant(one.at), one.name, one.touched)
                for one in self.acts.get(name, [])
                if not one.refused
            ],
            calls_a_day={(api, day): count for (own, api, day), count in self.network.calls.items() if own == name},
        )

    def _judged(self) -> list[tuple[str, _Side]]:
        """The connections that oracles are asked of: of one company the one that a person has let collect."""
        found = list(self._sides.items())
        if not self.plan.one_company:
            return found
        return [one for one in found if one[0] in self.person.open_gates] or found[:1]

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))

    def _new_host(self) -> SimulatedHost:
        return SimulatedHost(
            self.disk,
            self.network,
            self.clock,
            self._program_rng,
            self.trace,
            self._keyring,
            limits=self.plan.bounds.limits,
            batch_records=self.plan.batch_records,
        )

    # --- the program ---

    async def _supervise(self) -> None:
        """Start the program, and again whenever it ends, as whoever runs it does."""
        off_s = 0.0
        while not self._over:
            await asyncio.sleep(off_s)
            self._crashed.clear()
            began_s = asyncio.get_running_loop().time()
            self._off_s = _RESTART_S
            host = self._host = self._new_host()
            running = begin_for(host.power, self._incarnation(host))
            crashed = asyncio.create_task(self._crashed.wait())
            await asyncio.wait({running, crashed}, return_when=asyncio.FIRST_COMPLETED)
            crashed.cancel()
            if running.done() and host.power.on:
                self._note_end(running)
                if asyncio.get_running_loop().time() - began_s < _LONGEST_RESTART_S:
                    self._off_s = min(max(2 * off_s, _RESTART_S), _LONGEST_RESTART_S)
            await self._cut()
            if not running.cancelled():
                running.exception()  # a program without power ends by whatever it meets
            self._ask_meanwhile()
            if self._put_back is not None:
                self.disk.restore_image(self._put_back)
                self._put_back = None
            off_s = self._off_s

    async def _incarnation(self, host: SimulatedHost) -> None:
        async with Program(self.settings, mend=mend_outbox, host=host) as program:
            self.trace.note("program", "started")
            await program.run()

    def _note_end(self, running: "asyncio.Task[None]") -> None:
        error = None if running.cancelled() else running.exception()
        cause = error.__cause__ if isinstance(error, WorkerFailed) and error.__cause__ is not None else error
        words = f"{type(cause).__name__}: {cause}"[:200]
        self.ends[words] = self.ends.get(words, 0) + 1
        self.trace.note("program", "ended", words)
        if not isinstance(cause, LogError | StoreError):
            self.unhandled.append(Breach("program_ended", "", "", f"it ended by itself: {words}"))

    async def _cut(self) -> None:
        """The power goes: nothing that runs reaches anything any more."""
        host, self._host = self._host, None
        if host is not None:
            await self._end(host)

    async def _end(self, host: SimulatedHost) -> None:
        host.power.cut()
        loop = asyncio.get_running_loop()
        while tasks := loop.tasks_of(host.power):  # type: ignore[attr-defined] # a simulation runs on its own loop
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self.disk.log.end_of_power(self._program_rng)
        self.trace.note("program", "off")

    def _crash(self, off_s: float) -> None:
        self._off_s = off_s
        if self._host is not None:
            self._host.power.cut()
        self._crashed.set()

    # --- what happens ---

    async def _moments(self) -> None:
        for moment in self.plan.moments:
            await self._until(moment.at_s)
            self._happen(moment)

    def _happen(self, moment: Moment) -> None:
        self.trace.note("moment", moment.name)
        self.network.count(moment.kind)
        loop = asyncio.get_running_loop()
        match moment.kind:
            case "crash":
                self._crash(moment.value)
            case "failpoint":
                failpoints.arm(moment.what, die=lambda: self._die(moment.value))
            case "clock_jump" | "clock_ahead":
                self.clock.skew_s = moment.value
                loop.call_later(float(moment.what), self._set_clock_right)
            case "date_skew":
                connection, api, lasts_s = moment.what.split("/")
                side = self._network_sides[host_of(api, connection)]
                side.date_skew_s = moment.value
                loop.call_later(float(lasts_s), setattr, side, "date_skew_s", 0.0)
            case "full_disk":
                self.disk.log.capacity_bytes = self.disk.log.bytes_used
                loop.call_later(moment.value, setattr, self.disk.log, "capacity_bytes", None)
            case "flipped_bit":
                # Whoever reads it must find it; a person puts it back from a copy.
                self.disk.log.flip(self._rng(moment.name))
                loop.call_later(moment.value, self.disk.log.repair)
            case "second_owner":
                self._seconds.append(asyncio.create_task(self._second(moment.value)))
            case "store_back":
                image = self.disk.keep_image(moment.name)
                loop.call_later(moment.value, self._restore, image)
            case "token_refused":
                side = self._network_sides[host_of("gocardless", moment.what)]
                side.token_refused_until_s = loop.time() + moment.value
            case "act":
                self._act(moment)
            case "outage":
                raise AssertionError("an outage is the network's")

    def _act(self, moment: Moment) -> None:
        """Somebody does something at one of the APIs, of what can be done there just now."""
        world, rng = self._sides[moment.what].world, self._rng(moment.name)
        drawn = draw_act(rng, world, self._act_rates)
        if drawn is None:
            return
        done = perform(world, *drawn)
        self.trace.note("act", moment.what, done.name, done.words, done.refused)
        self.acts.setdefault(moment.what, []).append(done)

    async def _second(self, lasts_s: float) -> None:
        """Somebody starts the program a second time beside the one that runs."""
        host = self._new_host()
        host.has_address = False
        running = begin_for(host.power, self._incarnation(host))
        await asyncio.wait([running], timeout=lasts_s)
        if running.done() and not running.cancelled():
            self.trace.note("second", type(running.exception()).__name__)
        await self._end(host)
        if not running.cancelled():
            running.exception()  # whatever it met without power

    def _restore(self, image: Path) -> None:
        """The power goes, and comes back over an older copy of the store; not in a run that has come to rest."""
        if asyncio.get_running_loop().time() < self.plan.faults_end_s:
            self._put_back = image
            self._crash(_RESTART_S)

    def _set_clock_right(self) -> None:
        self.clock.skew_s = 0.0

    def _die(self, off_s: float) -> None:
        failpoints.arm("")
        self._crash(off_s)
        raise PowerCut

    async def _visits(self) -> None:
        # A second connection to one company cannot be approved: nobody hurries to.
        rng, to_open, hurried = self._rng("visits"), len(self._judged()), 0
        while True:
            # Whom the check refuses again and again looks more rarely: it has calls of its own.
            hurry_s = min(600 * 2 ** max(0, hurried - 3), 21_600)
            hurried += 1
            await asyncio.sleep(hurry_s if len(self.person.open_gates) < to_open else rng.random() * _VISIT_S)
            await self.person.visit(thorough=asyncio.get_running_loop().time() > self.plan.faults_end_s)


def _connection(name: str, company: Company, organization: str) -> Connection:
    """The settings of a connection, at addresses of its own."""
    return company_documents.connection(
        company, organization, gocardless_url=url_of("gocardless", name), zoho_url=url_of("zoho", name)
    )


def simulate(plan: Plan, *, limit_s: float = math.inf) -> Report:
    """Live a plan, and ask the oracles. The same plan and version give the same report.

    Raises:
        DeadlockError: nothing is left that could happen.
        OverrunError: it took more than `limit_s` real seconds.

    """
    where = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=where, prefix="simulation-") as made:
        own = Path(made) / "run"
        own.mkdir()

        async def main() -> Report:
            simulation = Simulation(plan, own)
            with plan.bounds.applied():
                await simulation.live()
            return Report(
                seed=plan.seed,
                breaches=tuple(await simulation.judge()),
                ends=simulation.ends,
                faults=dict(sorted(simulation.network.counts.items())),
                calls=sum(simulation.network.calls.values()),
                digest=simulation.trace.digest,
                acts=tuple(act for acts in simulation.acts.values() for act in acts),
                trace=tuple(simulation.trace.lines),
                companies=simulation.companies,
                gocardless_events=simulation.gocardless_events,
            )

        with without_collector():
            return run(main(), limit_s=limit_s)
