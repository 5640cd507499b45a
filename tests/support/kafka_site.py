"""An installation on brokers that can be killed and cut off: its roles as processes, its log and store also open in the
test.
"""

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import time
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from adapters.clock import SystemClock
from streams.credentials import GOCARDLESS_TOKEN
from streams.log.interface import TopicPartition
from streams.log.kafka import provision
from streams.log.kafka.access import Access
from streams.log.records import ID_HEADER, header
from streams.log.topics import Topics
from streams.settings import load
from tests.support import installation
from tests.support.api_rows import invoice_in_part

PARTITIONS = 2

#: For a process to start or to end, on a machine that is busy.
PATIENCE_S = 60

SETTINGS = """\
log = "{log}"
store = "{store}"
keys = "file:{folder}/keys.txt"
topic_prefix = "{prefix}"
partitions = {partitions}

[gateway]
port = 0

[calls]
deadline_s = 1.0
settle_s = 1

[kafka]
replication = 1
min_insync = 1
session_timeout_s = 6
stalled_after_s = 5

[connections.acme]
environment = "sandbox"
zoho = {{ organization_id = "20077001" }}
gocardless = {{ url = "{api}" }}
"""


async def until(condition, limit_s=PATIENCE_S):
    """Wait for what other processes do, which sets no event here; `condition` may be a coroutine function. Returns the
    seconds it took.
    """
    began_s = time.monotonic()
    async with asyncio.timeout(limit_s):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return time.monotonic() - began_s
            await asyncio.sleep(0.05)


class Role:
    """A process of one role. `.url` once it is started; `.said` is what it logged."""

    def __init__(self, site, role, name, changes, log):
        self.site, self.role, self.name, self.changes, self.log = site, role, name, changes, log
        self.process = None
        self.url = ""

    async def start(self):
        """Returns when it is running."""
        environment = dict(os.environ)
        if self.log:
            environment["ZOHO_GOCARDLESS__LOG"] = self.log
        words = [
            "run",
            "--role",
            self.role,
            "--name",
            self.name,
            "--config",
            str(self.site.folder / "settings.toml"),
            "--json",
        ]
        script = str(Path(__file__).with_name("kafka_site_process.py"))
        with self.path.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, script, json.dumps(self.changes), *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
        told = json.loads(line or b"{}")
        assert told.get("ok"), (self.name, told, self.said)
        self.url = told["data"]["url"]
        return self

    @property
    def path(self):
        return self.site.folder / f"{self.name}.log"

    @property
    def said(self):
        return self.path.read_text()

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    def send(self, number):
        self.process.send_signal(number)

    async def ended(self):
        """Wait for its end; the exit code."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def last_words(self):
        """What it said at its end: its error, if it ended with one."""
        return (await self.process.stdout.read()).decode()

    async def stop(self):
        """Ask it to end, also when it was stopped by a signal; the exit code."""
        if self.running:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        try:
            return await self.ended()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()

    async def kill(self):
        if self.running:
            self.process.kill()
            await self.process.wait()

    def processor_s(self):
        """How long it has kept a processor busy so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """What it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


class Site(installation.Installation):
    """An installation on a cluster and a PostgreSQL, for the connection "acme" alone."""

    def __init__(self, folder, log, store, prefix, *, api="http://127.0.0.1:9", partitions=PARTITIONS):
        self.folder = folder
        text = SETTINGS.format(log=log, store=store, folder=folder, prefix=prefix, partitions=partitions, api=api)
        (folder / "settings.toml").write_text(text)
        self.settings = load(folder / "settings.toml", {})
        self.clock = SystemClock()
        self.topics = Topics(prefix, partitions)
        self.keyring = installation._keyring(folder / "keys.txt")
        self._numbers = installation.count(1)
        self._exit = contextlib.AsyncExitStack()
        self.roles = []

    async def __aenter__(self):
        access = Access.from_url(self.settings.log, self.settings.kafka)
        await provision.apply(access, await provision.plan(access, self.topics, self.settings.kafka), self.clock.now())
        await super().__aenter__()
        for api in ("gocardless", "zoho"):
            self.credentials.put("acme", f"{api}.webhook.main", b"secret-of-acme")
        self.credentials.put("acme", GOCARDLESS_TOKEN, b"a-token")
        self.session = await self._exit.enter_async_context(ClientSession(timeout=ClientTimeout(total=10)))
        self._exit.push_async_callback(self._end_all)
        return self

    async def _end_all(self):
        for role in self.roles:
            await role.kill()

    def role(self, role, name="", *, log="", **changes):
        """A process, not started yet. `log`: by which address it reaches the brokers; `changes`: see `kafka_site_process.py`."""
        made = Role(self, role, name or role, changes, log)
        self.roles.append(made)
        return made

    async def start(self, role, name="", *, log="", **changes):
        return await self.role(role, name, log=log, **changes).start()

    # --- the log ---

    async def records(self, topic):
        """Every record of a topic (its name without the prefix), by partition."""
        found = []
        for partition in range(self.topics.partitions):
            tp = TopicPartition(self.topics.prefix + topic, partition)
            at = await self.log.start_offset(tp)
            while page := await self.log.read(tp, at, 10_000):
                found += page
                at = page[-1].offset + 1
        return found

    async def decisions(self):
        """The ids of the events that were decided, one for each record of the topic, in order."""
        return [header(record, ID_HEADER).decode() for record in await self.records("decisions")]

    async def published(self):
        """By partition: the offsets of the events that decisions were published of, in the order in which they were
        first published.
        """
        found = {}
        for record in await self.records("decisions"):
            offset = int(header(record, "event-offset"))
            offsets = found.setdefault(record.partition, [])
            if offset not in offsets:
                offsets.append(offset)
        return found

    async def decided(self, ids, limit_s=PATIENCE_S):
        """Wait until decisions of all these events are published; seconds."""

        async def published():
            return set(ids) <= set(await self.decisions())

        return await until(published, limit_s)

    def all_handled(self):
        """Whether nothing waits in the outbox, by the store."""
        with self.store.read() as reader:
            return reader.exec_driver_sql("SELECT count(*) FROM outbox").scalar() == 0

    def owner_epochs(self):
        """Of each partition of the events, how often it was taken."""
        with self.store.read() as reader:
            rows = reader.exec_driver_sql(
                "SELECT partition, owner_epoch FROM positions WHERE stage = 'core' ORDER BY 1"
            ).all()
        return {row[0]: row[1] for row in rows}


class Sender:
    """Sends webhooks as GoCardless and Zoho do: again and again until one is answered with 2xx, giving each request ten
    seconds.
    """

    def __init__(self, site, url, again_s=0.3):
        self.site, self.url, self.again_s = site, url, again_s
        self.answers = []  # (status, seconds) of each request; 0: no answer
        self.refused = asyncio.Event()
        self.took = asyncio.Event()

    async def once(self, path, body, headers):
        began_s = time.monotonic()
        try:
            async with self.site.session.post(self.url + path, data=body, headers=headers) as answer:
                status = answer.status
        except (ClientError, TimeoutError):
            status = 0
        self.answers.append((status, time.monotonic() - began_s))
        (self.took if status in (200, 204) else self.refused).set()
        return status

    async def deliver(self, path, body, headers):
        while await self.once(path, body, headers) not in (200, 204):  # noqa: ASYNC110 - as a sender does, that nobody tells anything
            await asyncio.sleep(self.again_s)

    async def gocardless(self, *ids):
        """One delivery with an event for each id, which is also the name of its payment."""
        rows = [
            {
                "id": one,
                "created_at": installation.NOW,
                "resource_type": "payments",
                "action": "created",
                "links": {"payment": one.replace("EV", "PM")},
            }
            for one in ids
        ]
        body = json.dumps({"events": rows}).encode()
        signed = {"Webhook-Signature": installation.sign("secret-of-acme", body), "Content-Type": "application/json"}
        await self.deliver("/webhooks/gocardless/acme", body, signed)

    async def zoho(self, number):
        """One delivery of an invoice."""
        body = json.dumps({"invoice": invoice_in_part(number, f"INV-{number}")}).encode()
        signed = {
            "X-Zoho-Webhook-Signature": installation.sign("secret-of-acme", body),
            "Content-Type": "application/json",
        }
        await self.deliver("/webhooks/zoho/acme", body, signed)

    def slowest_s(self):
        return max((seconds for _, seconds in self.answers), default=0.0)


class Api:
    """GoCardless, as far as an executor asks: what it made is told when it is looked for. A write waits for
    `may_answer`.
    """

    def __init__(self):
        self.made = []
        self.got = []
        self.writing = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def serve(self, request):
        who = request.match_info["who"]
        resource = request.match_info["resource"]
        self.got.append((time.monotonic(), who, request.method, resource))
        if request.method == "GET":
            rows = self.made if resource == "payments" else []
            return web.json_response(
                {resource: rows, "meta": {"cursors": {"before": None, "after": None}, "limit": 500}}
            )
        asked = (await request.json())["payments"]
        payment = {
            "id": f"PM{len(self.made) + 1:04d}",
            "status": "pending_submission",
            "amount": asked["amount"],
            "currency": asked["currency"],
            "created_at": SystemClock().now(),
            "links": {"mandate": asked["links"]["mandate"]},
            "metadata": asked.get("metadata", {}),
        }
        self.made.append(payment)
        self.writing.set()
        await self.may_answer.wait()
        return web.json_response({"payments": payment}, status=201)

    def writes(self):
        return [(who, method) for _, who, method, _ in self.got if method != "GET"]


def measured(what, figure):
    """Tell a figure: shown when the test fails, and by `pytest -rP`."""
    sys.stdout.write(f"{what}: {figure}\n")
