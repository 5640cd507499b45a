"""The demo: a company's month, lived by the real program against both simulators, and shown as a bookkeeper would want
it.

Three processes: the sandbox (both APIs, and the time), the program, and this one, which plays the operator. Nothing
here reaches into the program: credentials are entered, the check is run, its decisions are approved, and what is shown
at the end comes from the store, while what is proved is counted in the simulators.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp

from adapters.vault import new_key
from domain import times
from domain.onboarding import Checked
from projections.store.store import open_store
from streams import population
from streams.credentials import Credentials, open_vault
from streams.demo import month
from streams.demo.folder import SETTINGS, DemoError, make_ready, note_settings
from streams.demo.month import Month
from streams.demo.result import CONNECTION, Result, result
from streams.log.records import event_record
from streams.log.topics import Topics
from streams.operate import check
from streams.operate.installation import opened_log
from streams.population import FEES, VAT, VENDOR, account_name
from streams.settings import Settings, load

WEBHOOK_SECRET: Final = "demoWebhookSecret1"  # noqa: S105 - of a simulator that this program starts itself

#: Real seconds for a process to be ready. Lower: a slow machine fails. Higher: a program that cannot start is noticed
#: late.
_READY_S: Final = 30.0

#: Real seconds without any progress of simulated time before the demo gives up.
_STUCK_S: Final = 60.0

Progress = Callable[[str], None]


@dataclass
class Simulators:
    """The two simulators, over HTTP."""

    session: aiohttp.ClientSession
    gocardless: str
    zoho: str
    process: asyncio.subprocess.Process

    async def post(self, base: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Post to a control endpoint. Raises `DemoError` when it is refused."""
        async with self.session.post(base + path, json=document) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise DemoError(f"the sandbox refused {path}: {text[:300]}")
            found: dict[str, Any] = json.loads(text)
            return found

    async def state(self) -> dict[str, Any]:
        """The whole truth."""
        async with self.session.get(f"{self.gocardless}/_sandbox/state") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def now(self) -> str:
        """The simulated instant."""
        async with self.session.get(f"{self.gocardless}/_sandbox/clock") as answer:
            return str((await answer.json())["now"])

    async def run_until(
        self, instant: str, watch: Callable[[], None], participants: tuple[str, ...] = ("program",)
    ) -> None:
        """Let time go on to an instant, while the program's processes take part. `watch` raises when one of them has
        ended.
        """
        await self.post(self.gocardless, "/_sandbox/clock/run", {"until": instant, "participants": list(participants)})
        seen, idle_s = "", 0.0
        while True:
            async with self.session.get(f"{self.gocardless}/_sandbox/clock/wait?timeout_s=1") as answer:
                clock = await answer.json()
            if clock["idle"]:
                return
            watch()
            idle_s = idle_s + 1 if clock["now"] == seen else 0.0
            seen = clock["now"]
            if idle_s > _STUCK_S:
                raise DemoError(f"time has stood still at {seen}: the program is not quiet")


@contextlib.asynccontextmanager
async def sandbox(plan: Month, folder: Path) -> AsyncIterator[Simulators]:
    """Start the simulators as a process of their own."""
    with (folder / "sandbox.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", "--seed", str(plan.seed), "--start", plan.opens_at),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None, "it was asked for"
        line = await asyncio.wait_for(process.stdout.readline(), _READY_S)
        urls = json.loads(line or b"{}")
        if not urls:
            raise DemoError(f"the sandbox did not start: see {folder / 'sandbox.log'}")
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Simulators(session, urls["gocardless"], urls["zoho"], process)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


class ProgramProcess:
    """The program, or one role of it, as a process of its own, which can be killed and started again. `port`: where it
    answers; None for what the settings say.
    """

    def __init__(self, folder: Path, role: str = "all", name: str = "program", port: int | None = None) -> None:
        self.folder = folder
        self.name = name
        self.process: asyncio.subprocess.Process | None = None
        self._role = role
        self._port = port

    @property
    def output(self) -> Path:
        """Its own words."""
        return self.folder / f"{self.name}.log"

    async def start(self, failpoint: str = "") -> None:
        """Start it."""
        environment = {**os.environ, "ZOHO_GOCARDLESS_FAILPOINT": failpoint}
        if self._port is not None:
            environment["ZOHO_GOCARDLESS__GATEWAY__PORT"] = str(self._port)
        words = ("run", "--role", self._role, "--name", self.name, "--config", str(self.folder / SETTINGS))
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "streams.cli", *words), stdout=output, stderr=output, env=environment
            )

    async def ready(self, limit_s: float = _READY_S) -> None:
        """Wait until it answers. Raises `DemoError` when it has ended, or after `limit_s` real seconds."""
        port = load(self.folder / SETTINGS, {}).gateway.port if self._port is None else self._port
        async with aiohttp.ClientSession() as session:
            for _ in range(int(limit_s / 0.05)):
                self.watch()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/health") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise DemoError(f"{self.name} was not ready after {limit_s:g} s: see {self.output}")

    @property
    def participants(self) -> tuple[str, ...]:
        """Who must be quiet before time moves."""
        return (self.name,)

    def ended(self) -> "list[ProgramProcess]":
        """Itself, if it was started and has ended."""
        return [self] if self.process is not None and self.process.returncode is not None else []

    def watch(self) -> None:
        """Raise when it has ended."""
        if self.process is None or self.process.returncode is not None:
            code = None if self.process is None else self.process.returncode
            raise DemoError(f"{self.name} ended with exit code {code}: see {self.output}")

    async def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None:
            await _end(self.process)


def free_port() -> int:
    """A port of the loopback at which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Addresses:
    """Where an installation's log and store are, and what else its settings say of them."""

    log: str
    store: str
    more: str = ""


def in_folder(folder: Path) -> Addresses:
    """The addresses of one machine: two files."""
    return Addresses(f"sqlite:///{folder / 'log.db'}", f"sqlite:///{folder / 'store.db'}")


def write_settings(folder: Path, world: Simulators, organization: str, addresses: Addresses) -> Settings:
    """The settings file of the demo's installation, and the key of its vault."""
    keys = folder / "keys"
    keys.write_text(new_key("demo") + "\n")
    keys.chmod(0o600)
    purposes: tuple[Literal["clearing", "suspense", "bank"], ...] = ("clearing", "suspense", "bank")
    named = {
        table: ", ".join(f'{currency} = "{account_name(table, currency)}"' for currency in ("GBP", "EUR"))
        for table in purposes
    }
    text = f"""\
log = "{addresses.log}"
store = "{addresses.store}"
keys = "file:{keys}"
clock = "{world.gocardless}"
partitions = 4
{addresses.more}

[gateway]
port = {free_port()}

[connections.{CONNECTION}]
environment = "sandbox"
gocardless = {{ url = "{world.gocardless}" }}
zoho = {{ organization_id = "{organization}", url = "{world.zoho}" }}

[connections.{CONNECTION}.rules]
clearing = {{ {named["clearing"]} }}
suspense = {{ {named["suspense"]} }}
bank = {{ {named["bank"]} }}
fees = "{FEES}"
vendor = "{VENDOR}"
tax = {{ GB_VAT_1 = "{VAT}" }}
match_by_email = "auto"
invite = "auto"
max_day = {{ GBP = "1000000.00", EUR = "1000000.00" }}
"""
    tomllib.loads(text)
    note_settings(folder, text)
    (folder / SETTINGS).write_text(text)
    return load(folder / SETTINGS, {})


def enter_credentials(settings: Settings, world: Simulators, oauth: dict[str, str]) -> None:
    """What `connect` does, for the simulators' credentials."""
    with open_store(settings.store) as store:
        credentials = Credentials(store, open_vault(settings.keys))
        population.enter_credentials(credentials, CONNECTION, oauth, world.zoho, {"demo": WEBHOOK_SECRET})


async def prepare(plan: Month, world: Simulators, folder: Path, addresses: Addresses | None = None) -> Settings:
    """Fill both simulators, write the settings, enter the credentials, point the webhooks at the gateway."""
    books = await world.post(world.zoho, "/_sandbox/zoho/populate", month.zoho_population(plan))
    payers = month.gocardless_population(plan, books["contacts"])
    await world.post(world.gocardless, "/_sandbox/gocardless/populate", payers)
    settings = write_settings(folder, world, books["organization_id"], addresses or in_folder(folder))
    enter_credentials(settings, world, books["oauth"])
    gateway = f"http://127.0.0.1:{settings.gateway.port}/webhooks"
    endpoint = {"url": f"{gateway}/gocardless/{CONNECTION}", "secret": WEBHOOK_SECRET}
    zoho = {"url": f"{gateway}/zoho/{CONNECTION}", "secret": WEBHOOK_SECRET, "modules": ["invoice", "contact"]}
    documents = {"gocardless": month.gocardless_settings(plan, endpoint), "zoho": {"webhooks": [zoho]}}
    await world.post(world.gocardless, "/_sandbox/config", documents)
    return settings


async def open_gate(settings: Settings, world: Simulators) -> Checked:
    """Run the first-run check and approve it, as an operator does beside the running program."""
    at = times.normalise(await world.now())
    with open_store(settings.store) as store:
        credentials = Credentials(store, open_vault(settings.keys))
        checked = await check.check(settings, CONNECTION, store, credentials, lambda: at)
    if checked.stops:
        raise DemoError("the first-run check found: " + "; ".join(one.text for one in checked.stops))
    events = check.accepted_events(CONNECTION, checked, "demo", at)
    topics = Topics(settings.topic_prefix, settings.partitions)
    async with opened_log(settings) as log:
        await log.append([event_record(topics, event) for event in events])
    return checked


async def live(
    plan: Month, world: Simulators, program: ProgramProcess, settings: Settings, progress: Progress
) -> Checked:
    """From the first import to the drained month."""
    await program.start()
    await program.ready()
    await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), program.watch)
    checked = await open_gate(settings, world)
    await plant(plan, world)
    for day in days(plan):
        progress(day)
        await world.run_until(f"{day}T00:00:00.000000Z", program.watch)
    return checked


async def plant(plan: Month, world: Simulators) -> None:
    """What goes wrong."""
    await world.post(world.gocardless, "/_sandbox/faults", {"rules": month.faults(plan)})
    await world.post(world.gocardless, "/_sandbox/webhooks", {"rules": month.webhook_faults(plan)})


def days(plan: Month) -> list[str]:
    """Every midnight of the month and of the drain."""
    first = date.fromisoformat(plan.start)
    return [(first + timedelta(days=number)).isoformat() for number in range(1, plan.days + plan.drain_days + 1)]


@dataclass
class Demo:
    """A demo that has run."""

    folder: Path
    gocardless: str
    zoho: str
    checked: Checked
    result: Result

    @property
    def example_invoice(self) -> str:
        """An invoice worth asking about: one that is still open, if any is."""
        words = " ".join(self.result.still_open).replace(":", " ").split()
        return next((word for word in words if word.startswith("INV-")), "INV-0001")


async def run(plan: Month, folder: Path, progress: Progress, say: Progress) -> Demo:
    """The whole demo in a folder of its own. `progress` is told each day that begins; `say` what is removed first.

    Raises:
        FolderTakenError: the folder holds what no demo has marked as its own.
        DemoError: the demo could not go on.

    """
    make_ready(folder, say)
    started = asyncio.get_running_loop().time()
    async with sandbox(plan, folder) as world:
        settings = await prepare(plan, world, folder)
        program = ProgramProcess(folder)
        try:
            checked = await live(plan, world, program, settings, progress)
        finally:
            await program.stop()
        state = await world.state()
        seconds = asyncio.get_running_loop().time() - started
        return Demo(folder, world.gocardless, world.zoho, checked, await result(plan, settings, state, seconds))
