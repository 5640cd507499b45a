"""An installation on a cluster: its roles as processes, which can be killed, stopped, started again one by one."""

import asyncio
import contextlib
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from projections.store.databases import engine_of
from projections.store.store import Store, open_store
from projections.store.tables import meta, positions
from streams.demo import demo
from streams.demo.demo import Addresses, ProgramProcess, Simulators
from streams.demo.month import Month
from streams.demo.result import CONNECTION
from streams.log.interface import NewRecord, TopicPartition
from streams.log.topics import Topics
from streams.operate.installation import opened_log
from streams.settings import load
from tests.support import months
from tests.support.kafka_brokers import Cluster
from tests.support.postgres_servers import Databases

#: What a small company would start.
ROLES = {"gateway": "gateway", "worker-1": "worker", "executor": "executor"}

#: Two of each.
PAIRS = {f"{role}-{number}": role for role in ("gateway", "worker", "executor") for number in (1, 2)}

#: Real seconds for which simulated time may stand still: a new worker waits for the session of the killed one to end,
#: the brokers elect leaders, and the machine is shared. Lower: slowness fails a test. Higher: a fleet that hangs is
#: told later.
PATIENCE_S = 240.0

#: Real seconds for which a killed broker stays away. Lower than its session of 4 s: its partitions wait for it rather
#: than for a leader.
_BROKER_DOWN_S = 6.0

#: When debits are made, invitations sent, and payments confirmed and payouts paid.
_BUSY = ("06:00", "10:00", "11:40", "11:40")

#: A stage failed, and its process ended to be started again.
_STAGE_FAILED = 70


class Fleet:
    """Processes by name. Looks like one `ProgramProcess` to whoever lets time pass."""

    def __init__(self, folder: Path, roles: Mapping[str, str]) -> None:
        first = next((name for name, role in roles.items() if role == "gateway"), "")  # listens where the settings say
        ports = {name: None if name == first else demo.free_port() for name in roles}
        self.folder = folder
        self.roles = dict(roles)
        self.ports = ports
        self.programs = {name: ProgramProcess(folder, role, name, ports[name]) for name, role in roles.items()}

    @property
    def participants(self) -> tuple[str, ...]:
        return tuple(self.programs)

    def __getitem__(self, name: str) -> ProgramProcess:
        return self.programs[name]

    def ended(self) -> list[ProgramProcess]:
        return [one for program in self.programs.values() for one in program.ended()]

    async def start(self) -> None:
        await asyncio.gather(*(program.start() for program in self.programs.values()))

    async def ready(self) -> None:
        await asyncio.gather(*(program.ready(PATIENCE_S) for program in self.programs.values()))

    def watch(self) -> None:
        for program in self.programs.values():
            program.watch()

    async def kill(self) -> None:
        await asyncio.gather(*(program.kill() for program in self.programs.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(program.stop() for program in self.programs.values()))

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to one process."""
        process = self.programs[name].process
        assert process is not None
        process.send_signal(number)


async def command(folder: Path, *words: str) -> str:
    """Run the command line beside the fleet; its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", *words, "--config", str(folder / "settings.toml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def on_cluster(kafka_url: str, postgres_url: str, *, brokers: int = 1, more: str = "", prefix: str = "") -> Addresses:
    """Settings for a cluster, under a prefix of its own."""
    copies = min(brokers, 3)
    kafka = f"[kafka]\nreplication = {copies}\nmin_insync = {max(1, copies - 1)}\nsession_timeout_s = 6\n{more}"
    return Addresses(kafka_url, postgres_url, f'topic_prefix = "{prefix or f"t{secrets.token_hex(4)}."}"\n\n{kafka}')


@contextlib.asynccontextmanager
async def open_fleet(
    plan: Month, folder: Path, addresses: Addresses, roles: Mapping[str, str]
) -> AsyncIterator[tuple[Simulators, Fleet]]:
    """Both sides filled, the topics made, the processes running, the gate open, the faults planted. `folder` exists."""
    async with demo.sandbox(plan, folder) as world:
        settings = await demo.prepare(plan, world, folder, addresses)
        await command(folder, "topics", "apply")
        fleet = Fleet(folder, roles)
        try:
            await fleet.start()
            await fleet.ready()
            await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), fleet.watch, fleet.participants)
            await demo.open_gate(settings, world)
            await demo.plant(plan, world)
            yield world, fleet
        finally:
            await fleet.stop()


# --- deaths ---


class Moment(NamedTuple):
    """When to kill whom: at an instant of simulated time, and so many real seconds later, in the midst of what it
    brings.
    """

    at: str
    name: str
    later_s: float


def seeded_moments(plan: Month, names: Iterable[str], each: int, seed: int, *, longest_s: float = 0.8) -> list[Moment]:
    """Every name `each` times, in a seeded order, on seeded days at the hours at which the most happens. The same seed
    gives the same moments.
    """
    draw = random.Random(seed)
    victims = [name for name in names for _ in range(each)]
    draw.shuffle(victims)
    days = [date.fromisoformat(plan.start) + timedelta(days=draw.randrange(2, plan.days + 4)) for _ in victims]
    instants = sorted(f"{day.isoformat()}T{draw.choice(_BUSY)}:00.000000Z" for day in days)
    return [Moment(at, name, draw.uniform(0, longest_s)) for at, name in zip(instants, victims, strict=True)]


class Deaths:
    """Kills processes of a fleet, and starts each again under its name: `revive` is for whoever lets time pass. A
    process that ends otherwise than killed is a failure, unless it `stops` because of what is done to its surroundings.

    `failpoints`: by name of the process, those at which its next lives end, one after the other ("name:passage"). One
    that was killed before it came to its own meets the same one in its next life.
    """

    def __init__(
        self, fleet: Fleet, failpoints: Mapping[str, Sequence[str]] | None = None, *, stops: bool = False
    ) -> None:
        self.reached: list[str] = []
        self.killed: list[str] = []
        self.ended: list[str] = []
        self._fleet = fleet
        self._stops = stops
        self._waiting = {name: list(points) for name, points in (failpoints or {}).items()}
        self._armed: dict[str, str] = {}
        self._by_hand: set[str] = set()
        self._revived = asyncio.Condition()

    async def arm(self) -> None:
        """End those that have failpoints before them, so that they meet the first."""
        for name in self._waiting:
            await self.kill(name)

    async def kill(self, name: str) -> None:
        """`kill -9`, if it lives."""
        self._by_hand.add(name)
        await self._fleet[name].kill()

    async def revive(self, program: ProgramProcess) -> None:
        """Start it again."""
        name = program.name
        assert program.process is not None
        code = program.process.returncode
        by_itself = self._stops and code == _STAGE_FAILED
        assert by_itself or code == -signal.SIGKILL, f"{name} ended by itself with {code}: see {program.output}"
        if by_itself:
            self.ended.append(name)
        elif name in self._by_hand:
            self._by_hand.discard(name)
            self.killed.append(name)
        elif name in self._armed:
            self.reached.append(self._armed.pop(name).split(":")[0])
        if name not in self._armed and self._waiting.get(name):
            self._armed[name] = self._waiting[name].pop(0)
        async with self._revived:
            await program.start(self._armed.get(name, ""))
            self._revived.notify_all()

    async def at_moments(self, world: Simulators, moments: Iterable[Moment]) -> None:
        """Kill at these moments, each once its process lives."""
        for moment in moments:
            await until(world, moment.at)
            await asyncio.sleep(moment.later_s)
            program = self._fleet[moment.name]
            async with self._revived:
                while program.ended():
                    await self._revived.wait()
                await self.kill(program.name)


async def until(world: Simulators, instant: str) -> None:
    """Return when simulated time has reached an instant; somebody else lets it pass."""
    while await world.now() < instant:  # noqa: ASYNC110 - the time is in another process
        await asyncio.sleep(0.02)


async def live_through(
    plan: Month,
    folder: Path,
    addresses: Addresses,
    roles: Mapping[str, str] = ROLES,
    *,
    failpoints: Mapping[str, Sequence[str]] | None = None,
    moments: Sequence[Moment] = (),
) -> tuple[Any, Deaths]:
    """The month on a fleet whose processes die at failpoints and at moments. How it ended."""
    async with open_fleet(plan, folder, addresses, roles) as (world, fleet):
        await spread(plan, world, fleet)
        deaths = Deaths(fleet, failpoints)
        await deaths.arm()
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(deaths.at_moments(world, moments))
            await months.live(plan, world, fleet, deaths.revive, patience_s=PATIENCE_S)
            killing.cancel()
        await fleet.stop()
        return await months.ending(folder, world), deaths


async def spread(plan: Month, world: Simulators, fleet: Fleet) -> None:
    """Where there are two gateways: point GoCardless's webhooks at the second one, in place of a load balancer."""
    gateways = [name for name, role in fleet.roles.items() if role == "gateway"]
    if len(gateways) > 1:
        url = f"http://127.0.0.1:{fleet.ports[gateways[1]]}/webhooks/gocardless/{CONNECTION}"
        documents = {"gocardless": {"endpoints": [{"url": url, "secret": demo.WEBHOOK_SECRET}]}}
        await world.post(world.gocardless, "/_sandbox/config", documents)


def by_process(points: Iterable[str], roles: Mapping[str, str] = ROLES) -> dict[str, list[str]]:
    """Failpoints ("name:passage"), each with the first process whose role passes it."""
    passed_by = {"gateway": "gateway", "poller": "executor", "executor": "executor"}
    first: dict[str, str] = {}
    for name, role in roles.items():
        first.setdefault(role, name)
    found: dict[str, list[str]] = {}
    for point in points:
        found.setdefault(first[passed_by.get(point.split(".")[0], "worker")], []).append(point)
    return found


async def brokers_die(cluster: Cluster, world: Simulators, moments: Iterable[Moment]) -> None:
    """Kill the brokers named by their numbers at these moments, one at a time, and start each again."""
    for moment in moments:
        await until(world, moment.at)
        await asyncio.sleep(moment.later_s)
        await asyncio.to_thread(cluster.kill, int(moment.name))
        await asyncio.sleep(_BROKER_DOWN_S)
        await asyncio.to_thread(cluster.up, int(moment.name))


async def live_through_failover(
    folder: Path, addresses: Addresses, server: Databases, *, kill: Iterable[str] = (), nameless: bool = False
) -> tuple[Any, Deaths]:
    """The short month, in which the database goes back by a day: to before the first posting, from after the first
    debits of a later morning, the first payout, and the first payment that failed after all. `kill`: who is dead
    meanwhile. `nameless`: nothing in the database tells that it is another copy. How it ended.
    """
    plan = months.SHORT
    async with open_fleet(plan, folder, addresses, ROLES) as (world, fleet):
        deaths = Deaths(fleet, stops=True)
        await months.live(plan, world, fleet, deaths.revive, until="2026-03-10T10:00:00.000000Z", patience_s=PATIENCE_S)
        before = _made(await world.state())
        older = await asyncio.to_thread(server.copy, addresses.store)
        await months.live(plan, world, fleet, deaths.revive, until="2026-03-11T13:00:00.000000Z", patience_s=PATIENCE_S)
        assert all(more > less for less, more in zip(before, _made(await world.state()), strict=True)), (
            "too little was at stake"
        )
        assert not deaths.ended, "a copy of the database ended a process"
        for name in kill:
            await deaths.kill(name)
        await asyncio.to_thread(server.restore, addresses.store, older)
        if nameless:
            _pretend_same(addresses.store)
        await months.live(plan, world, fleet, deaths.revive, patience_s=PATIENCE_S)
        await fleet.stop()
        return await months.ending(folder, world), deaths


def _pretend_same(url: str) -> None:
    """Have a copy say that it is what its users knew, as on a server that does not tell its copies apart."""
    database = engine_of(url)
    with database.engine.begin() as connection:
        connection.execute(sa.update(meta).where(meta.c.key == "copy").values(value=database.copy.name))
    database.engine.dispose()


def _made(state: dict[str, Any]) -> tuple[int, ...]:
    """How many debits, postings, refunds, transfers there are."""
    books = state["zoho"]
    return (
        len(state["gocardless"]["resources"]["payments"]),
        len(books["payments"]),
        len(books["refunds"]),
        len(books["banktransactions"]),
    )


async def take_over_s(plan: Month, folder: Path, addresses: Addresses, roles: Mapping[str, str]) -> float:
    """Real seconds from `kill -9` of `worker-1` until `worker-2` has handled a record of every partition of every topic
    that workers read.
    """
    async with open_fleet(plan, folder, addresses, roles) as (_, fleet):
        settings = load(folder / "settings.toml", {})
        topics = Topics(settings.topic_prefix, settings.partitions)
        read = (topics.deliveries_gocardless, topics.deliveries_zoho, topics.events)
        async with opened_log(settings) as log:
            with open_store(settings.store) as store:
                await fleet["worker-1"].kill()
                began = time.monotonic()
                # Nothing that anybody understands: it is counted or parked, and the position moves.
                strange = [
                    NewRecord(spec.name, b"nobody", b"?", partition=number)
                    for spec in read
                    for number in range(spec.partitions)
                ]
                wanted = {place.tp: place.offset + 1 for place in await log.append(strange)}
                while any(_position(store, tp) < offset for tp, offset in wanted.items()):
                    fleet["worker-2"].watch()
                    await asyncio.sleep(0.02)
                return time.monotonic() - began


def _position(store: Store, tp: TopicPartition) -> int:
    """The offset before which a partition is handled, as the store has it."""
    here = (positions.c.topic == tp.topic, positions.c.partition == tp.partition)
    with store.read() as reader:
        return int(reader.execute(sa.select(positions.c.next_offset).where(*here)).scalar() or 0)
