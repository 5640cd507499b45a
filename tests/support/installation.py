"""One process's log, store, clock and counters over real files, without Faust and without APIs: what the tests of
stages stand on.
"""

import asyncio
import hmac
import io
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import msgspec
import orjson
from aiohttp import ClientSession, web

from adapters.deliveries import DeliveryMeta
from adapters.http import Answer, Call
from adapters.vault import Keyring, Vault, new_key
from domain import codec, commands, events, ids, times
from domain.decisions import Decision, Publication, Timer
from domain.envelope import Event
from domain.policy import Accounts, Policy
from domain.state import CommandRow, ConnectionRow, Contact, Element, Invoice, ListRow, Mandate, Payer
from projections.queries import Queries
from projections.state.batch import take
from projections.store.store import open_store
from projections.work.queue import Queue
from streams.credentials import Credentials
from streams.log.engines import log_of
from streams.log.interface import RecordBatch, TopicPartition
from streams.log.records import delivery_record
from streams.log.topics import Topics
from streams.log.worker import HandlerSpec, Worker
from streams.process.health import Health
from streams.settings import Calls, decode
from streams.stages.activity import Activity, Wakeups
from streams.stages.api_access import EMBEDDED_OWNER, ApiAccess
from streams.stages.context import StageContext
from streams.stages.core import STAGE, Core
from streams.stages.executor import Executor
from streams.stages.gateway import Gateway, runner
from streams.stages.metrics import Metrics
from streams.stages.relay import Relay
from streams.stages.translate import Translate

NOW = "2026-03-02T09:00:00.000Z"
GROUP = "test"
PARTITIONS = 2

#: Two connections of one partition, and one of the other (murmur2 of the names, two partitions).
CONNECTIONS = ("acme", "birch", "cedar")
ORGANISATIONS = {"acme": "20077001", "birch": "20077002", "cedar": "20077003"}

POLICY = Policy(
    version=1,
    accounts=Accounts(
        clearing={"GBP": "acc-clearing"},
        suspense={"GBP": "acc-suspense"},
        bank={"BA1": "acc-bank"},
        fees="acc-fees",
        vendor="vendor",
    ),
)


def _keyring(path: Path) -> Keyring:
    if not path.exists():
        path.write_text(new_key("k1"))
        path.chmod(0o600)
    return Keyring.from_file(path)


def sign(secret: str, body: bytes) -> str:
    """GoCardless's signature of a body."""
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


class HandClock:
    """A clock that the test moves by hand."""

    simulated = False

    def __init__(self, at=NOW):
        self._now = at
        self._sleepers = []

    def now(self):
        return self._now

    def move(self, seconds=0, *, to=""):
        self._now = to or times.add_seconds(self._now, seconds)
        for at, woken in list(self._sleepers):
            if at <= self._now and not woken.done():
                woken.set_result(None)

    async def sleep_until(self, at):
        if at <= self._now:
            await asyncio.sleep(0)
            return
        sleeper = (at, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    async def sleep(self, seconds):
        await self.sleep_until(times.add_seconds(self._now, int(seconds)))

    def wake(self):
        pass


class Script:
    """A fake `send`: gives the scripted answers in turn (an exception is raised), and keeps the calls."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    async def __call__(self, call: Call, deadline_s: float) -> Answer:
        self.calls.append(call)
        assert deadline_s > 0
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer()
        return answer


def answer(status, body=b"", **headers) -> Answer:
    """An HTTP answer; `body` may be any JSON-able value."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(
        status,
        {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}},
        raw,
    )


class Installation:
    """Log, store, context; `async with`. What a test does to it is in its methods."""

    def __init__(self, folder: Path, empty: Path):
        self.folder = folder
        if not (folder / "store.db").exists():
            shutil.copy(empty, folder / "store.db")
        tree = {
            name: {"environment": "sandbox", "zoho": {"organization_id": ORGANISATIONS[name]}} for name in CONNECTIONS
        }
        self.settings = decode(
            {
                "log": f"sqlite://{folder}/log.db",
                "store": f"sqlite:///{folder}/store.db",
                "partitions": PARTITIONS,
                "connections": tree,
            },
            "test",
        )
        self.clock = HandClock()
        self.topics = Topics("", PARTITIONS)
        self.keyring = _keyring(folder / "keys.txt")
        self._numbers = count(1)
        self._exit = AsyncExitStack()

    async def __aenter__(self):
        self.store = open_store(self.settings.store, now=NOW)
        self._exit.callback(self.store.close)
        self.log = log_of(self.settings)
        await self._exit.enter_async_context(self.log)
        await self.log.ensure_topics(self.topics)
        self.store.bind_log(self.log.incarnation)
        self.credentials = Credentials(self.store, Vault(self.keyring))
        self.activity = Activity(self.clock)
        self.wakeups = Wakeups(self.activity)
        self.metrics = Metrics()
        self.context = self.new_context()
        self.queue = Queue(self.store)
        self.queries = Queries(self.store)
        return self

    async def __aexit__(self, *exc):
        await self._exit.aclose()

    def new_context(self, **changes):
        """The context that the stages share; `changes` replace a part of it."""
        parts = {
            "log": self.log,
            "topics": self.topics,
            "store": self.store,
            "clock": self.clock,
            "wakeups": self.wakeups,
            "metrics": self.metrics,
            "connections": self.settings.connections,
        }
        return StageContext(**{**parts, **changes})

    def leave_room(self, pages: int) -> None:
        """The log's file may grow by so many pages and no more: a disk that gets full."""
        writer = self.log._storage.writer
        (held,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count={held + pages}")

    # --- reading the log ---

    def tp(self, topic: str, connection: str = "acme") -> TopicPartition:
        return TopicPartition(topic, self.log.partition_for(topic, connection.encode()))

    async def records(self, topic: str):
        """Every record of a topic, by partition."""
        found = []
        for partition in range(PARTITIONS):
            tp = TopicPartition(topic, partition)
            at = await self.log.start_offset(tp)
            while page := await self.log.read(tp, at):
                found += page
                at = page[-1].offset + 1
        return found

    async def events(self):
        """Every event in the log."""
        return [codec.decode_event(record.value) for record in await self.records("events")]

    async def deliveries(self, api: str):
        return await self.records(f"deliveries.{api}")

    def count(self, metric: str, **labels) -> float:
        """One of the process's counters."""
        return self.metrics.registry.get_sample_value(f"zoho_gocardless_{metric}_total", labels or None) or 0.0

    def state(self, kind: str, connection: str = "acme"):
        """Rows of the state as the store has them, by id."""
        with take(self.store, "look", f"look-{next(self._numbers)}", 0).batch(0) as batch:
            return dict(batch.state(connection).mapping(kind).items())

    def discrepancies(self, connection: str = "acme") -> list[str]:
        """Codes of the open discrepancies."""
        return sorted(row.code for row in self.queries.discrepancies(connection) if not row.closed_at)

    # --- deliveries, events, decisions ---

    def webhook(self, body: bytes, connection: str = "acme", api="gocardless", **more):
        """A delivery as the gateway would append it."""
        facts = {
            "id": f"wh-{next(self._numbers)}",
            "connection": connection,
            "api": api,
            "kind": "webhook",
            "received_at": self.clock.now(),
        }
        return delivery_record(self.topics, DeliveryMeta(**{**facts, **more}), body)

    async def translate(self, *, group: str = GROUP, batch: int = 1_000):
        """Translate everything that this group has not."""
        stage = Translate(self.context, group)
        for topic in (self.topics.deliveries_gocardless.name, self.topics.deliveries_zoho.name):
            await self._drain(topic, stage, batch)

    async def decide(self, *, core: Core | None = None, batch: int = 1_000) -> Core:
        """Run the core over everything that it has not handled."""
        stage = core or Core(self.context)
        await self._drain(self.topics.events.name, stage, batch)
        return stage

    async def outcomes(self):
        """(kind, reason) of every outcome in the log, once what was answered is translated."""
        await self.translate()
        return [
            (event.data.kind, event.data.reason) for event in await self.events() if event.type == "command.outcome"
        ]

    async def _drain(self, topic: str, stage, batch: int):
        for partition in range(PARTITIONS):
            tp = TopicPartition(topic, partition)
            at = await stage.resume_at(tp)
            while page := await self.log.read(tp, at, batch):
                await stage.handle(RecordBatch(tp, page))
                at = page[-1].offset + 1

    def event(self, data, type_: str = "", connection: str = "acme", id_: str = "") -> Event:
        """An event of any kind; GoCardless's own are named by their data."""
        name = type_ or events.gc_type(data.resource_type, data.action)
        now = self.clock.now()
        return Event(id_ or f"EV{next(self._numbers):06d}", name, connection, now, now, "test", data)

    def seen(self, payment: str, connection: str = "acme", id_: str = "") -> Event:
        """GoCardless says that a payment was made: one we do not know, so the rules ask for a read of it."""
        return self.event(events.GcEvent("payments", "created", {"payment": payment}), connection=connection, id_=id_)

    async def ask(
        self, *asked: commands.Command, connection: str = "acme", publish: bool = True, rows=(), **decided
    ) -> Event:
        """Put a decision into store and log that asks for these commands, as if the rules had made it."""
        event = self.event(events.DayBegan(f"day-{next(self._numbers)}"), "clock.day_began", connection)
        (position,) = await self.context.tell(event)
        owned = take(self.store, STAGE, position.topic, position.partition)
        decision = Decision(event.id, connection, self.clock.now(), commands=list(asked), **decided)
        with owned.batch(owned.position) as writing:
            state = writing.state(connection)
            for kind, row in rows:
                state.mapping(kind)[row.id] = row
            for command in asked:
                money = {
                    name: getattr(command.data, name)
                    for name in ("amount_minor", "currency")
                    if hasattr(command.data, name)
                }
                state.commands[command.id] = CommandRow(
                    command.id,
                    type=command.type,
                    purpose=command.purpose,
                    about=command.about,
                    asked_at=self.clock.now(),
                    **money,
                )
            writing.record(position.offset, event, decision)
            writing.commit(position.offset + 1)
        if publish:
            await Relay(self.context).turn()
        return event

    async def due(self, timer: str, at: str, connection: str = "acme", **row) -> None:
        """Decide a due time."""
        own = ConnectionRow(
            connection, **{"time_zone": "Europe/London", "checked_at": NOW, "today": self.clock.now()[:10], **row}
        )
        rows = [("connections", own)]
        from domain.state import TimerRow

        if at:
            rows.append(("timers", TimerRow(timer, at)))
        await self.ask(connection=connection, rows=rows, timers=[Timer(timer, at)] if at else [])

    # --- commands ---

    def read_invoice(self, name: str, **more) -> commands.Command:
        return commands.Command(name, f"invoices:{name}", f"purpose:{name}", commands.ReadInvoice(name), **more)

    def debit(self, name: str = "cm-debit", **more) -> tuple[commands.Command, list]:
        """A debit that may be sent, and the rows that say so."""
        command = commands.Command(
            name,
            "invoices:inv-1",
            "debit:inv-1",
            commands.CreatePayment("inv-1", "INV-1", "MD1", 1200, "GBP"),
            commands.PRIORITY_DEBIT,
            key=ids.idempotency_key("sandbox", "700", "debit:inv-1", 1),
            **more,
        )
        invoice = Invoice(
            "inv-1",
            number="INV-1",
            contact="c-1",
            currency="GBP",
            status="sent",
            total_minor=1200,
            balance_minor=1200,
            date="2026-03-01",
            due_date="2026-03-02",
            stage="collecting",
            command=name,
        )
        rows = [
            (
                "connections",
                ConnectionRow("acme", gate="open", policy=POLICY, checked_at=NOW, time_zone="Europe/London"),
            ),
            ("contacts", Contact("c-1", status="active", payer="CU1", match="linked")),
            ("payers", Payer("CU1", email="a@example.test", contact="c-1")),
            ("lists", ListRow("mandates:CU1", first="MD1", last="MD1")),
            ("elements", Element("mandates:CU1|MD1")),
            ("mandates", Mandate("MD1", status="active", scheme="bacs", currency="GBP", payer="CU1", read=True)),
            ("invoices", invoice),
        ]
        return command, rows

    def transfer(self, name: str = "cm-transfer", **more) -> commands.Command:
        """A write that Zoho has no upsert for."""
        data = commands.CreateTransfer(
            "acc-clearing", "acc-bank", 5000, "GBP", "2026-03-02", "ACME-REF", f"sandbox:{name}"
        )
        return commands.Command(
            name, "payouts:PO1", f"transfer:{name}", data, commands.PRIORITY_MONEY, key=f"sandbox:{name}", **more
        )

    script = Script
    answer = staticmethod(answer)
    sign = staticmethod(sign)

    def access(
        self, api, send, *, connection: str = "acme", owner: str = EMBEDDED_OWNER, calls: Calls | None = None
    ) -> ApiAccess:
        return ApiAccess(self.context, connection, api, send, owner, calls or Calls())

    def publication(self, topic: str, key: str, **value) -> Publication:
        return Publication(topic, key, msgspec.Raw(msgspec.json.encode(value)))


class GatewayProgram(Installation):
    """The gateway on a real port, with the stages that turn what it takes into events: a program without APIs."""

    async def __aenter__(self):
        await super().__aenter__()
        for api in ("gocardless", "zoho"):
            self.credentials.put("acme", f"{api}.webhook.main", b"secret-of-acme")
            self.credentials.put("birch", f"{api}.webhook.main", b"secret-of-birch")
        self.credentials.reload()
        self.health = Health(self.context, {"gocardless": {}, "zoho": {}})
        serving = runner([*Gateway(self.context, self.credentials).routes(), *self.health.routes()])
        await serving.setup()
        self._exit.push_async_callback(serving.cleanup)
        await web.TCPSite(serving, "127.0.0.1", 0).start()
        self.port = serving.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = await self._exit.enter_async_context(ClientSession())
        return self

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Send a request as it stands; the status it is answered with."""
        async with self.session.post(self.url + path, data=io.BytesIO(body), headers=headers) as response:
            return response.status

    async def hook(self, body: bytes, secret: str = "secret-of-acme", connection: str = "acme", **headers: str) -> int:
        """Send a webhook as GoCardless signs it."""
        signed = {"Webhook-Signature": sign(secret, body), "Content-Type": "application/json", **headers}
        return await self.post(f"/webhooks/gocardless/{connection}", body, signed)

    async def zoho_hook(
        self, body: bytes, secret: str = "secret-of-acme", connection: str = "acme", module: str = ""
    ) -> int:
        """Send a webhook as Zoho signs it, without a query."""
        signed = {"X-Zoho-Webhook-Signature": sign(secret, body), "Content-Type": "application/json"}
        return await self.post(f"/webhooks/zoho/{connection}{module and '/' + module}", body, signed)

    def worker(self, *, core: bool = False) -> Worker:
        """The stages behind the gateway, under Faust."""
        translate, deciding = Translate(self.context, GROUP), Core(self.context)
        handlers = [
            HandlerSpec(
                "translate_gocardless", self.topics.deliveries_gocardless.name, translate.handle, translate.resume_at
            ),
            HandlerSpec("translate_zoho", self.topics.deliveries_zoho.name, translate.handle, translate.resume_at),
        ]
        if core:
            handlers.append(HandlerSpec("core", self.topics.events.name, deciding.handle, deciding.resume_at))
        return Worker(self.log, GROUP, handlers)


class ExecutorOfOne:
    """An executor of one API for one connection, its scripted API, and what the test looks at."""

    def __init__(self, company, api, send, calls: Calls):
        self.company = company
        self.api = api
        self.send = send
        self.access = company.access(api, send, calls=calls)
        self.executor = Executor(company.context, api, {"acme": self.access}, calls, draw=lambda: 0.0)

    async def turn(self):
        """One turn and the end of what it began; the instant of the next."""
        due = await self.executor.turn()
        await self.executor.drain()
        return due

    async def later(self, seconds):
        self.company.clock.move(seconds)
        return await self.turn()

    def row(self, name):
        return self.company.queue.get("acme", name)

    @property
    def methods(self):
        return [(call.method, call.path) for call in self.send.calls]
