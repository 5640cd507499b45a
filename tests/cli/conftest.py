"""An installation on disk: settings, a log and a store, fed through the real stages without any network."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.clock import SystemClock
from adapters.deliveries import DeliveryMeta
from adapters.vault import new_key
from domain.envelope import Event
from projections.store.store import open_store
from streams.cli import main
from streams.credentials import Credentials, open_vault
from streams.log.interface import RecordBatch, TopicPartition
from streams.log.records import delivery_record, event_record
from streams.log.topics import Topics
from streams.operate.installation import opened_log
from streams.settings import GROUP, Settings, load
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.core import Core
from streams.stages.metrics import Metrics
from streams.stages.relay import Relay
from streams.stages.translate import Translate
from tests.support.company import Company

SETTINGS = """\
log = "sqlite:///{folder}/log.db"
store = "sqlite:///{folder}/store.db"
keys = "file:{folder}/keys"
partitions = 2

[gateway]
port = 0

[connections.c1]
environment = "sandbox"
gocardless = {{ url = "http://127.0.0.1:9" }}
zoho = {{ organization_id = "org1", url = "http://127.0.0.1:9" }}
"""


class Installation:
    """One installation of one connection, "c1"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "settings.toml"
        self.config.write_text(SETTINGS.format(folder=folder))
        (folder / "keys").write_text(new_key("one") + "\n")
        (folder / "keys").chmod(0o600)
        self._runner = CliRunner()

    @property
    def settings(self) -> Settings:
        return load(self.config, {})

    @property
    def topics(self) -> Topics:
        return Topics("", self.settings.partitions)

    # --- the command line ---

    def cli(self, *words: str, code: int = 0, **more: Any) -> Result:
        """Run a command; it must end with this code."""
        found = self._runner.invoke(main, [*words, "--config", str(self.config)], **more)
        assert found.exit_code == code, (found.exit_code, found.stdout, found.stderr, found.exception)
        return found

    def json(self, *words: str, code: int = 0, **more: Any) -> Any:
        """Run a command with --json; its envelope's data, or its error."""
        envelope = json.loads(self.cli(*words, "--json", code=code, **more).stdout)
        assert set(envelope) == {"ok", "command", "data", "error"}
        assert envelope["ok"] is (envelope["error"] is None)
        return envelope["data"] if envelope["ok"] else envelope["error"]

    # --- the stages ---

    def feed(
        self, events: list[Event] = (), deliveries: list[tuple[DeliveryMeta, bytes]] = (), *, publish: bool = True
    ) -> None:  # type: ignore[assignment] # empty
        """Append, translate, decide, publish: everything but sending."""
        asyncio.run(self._feed(list(events), list(deliveries), publish=publish))

    def append(self, events: list[Event]) -> None:
        """Append, and no more."""

        async def work() -> None:
            async with opened_log(self.settings) as log:
                await log.append([event_record(self.topics, event) for event in events])

        asyncio.run(work())

    async def _feed(self, events: list[Event], deliveries: list[tuple[DeliveryMeta, bytes]], *, publish: bool) -> None:
        clock = SystemClock()
        async with opened_log(self.settings) as log:
            with open_store(self.settings.store, now=clock.now()) as store:
                store.bind_log(log.incarnation)
                context = StageContext(
                    log, self.topics, store, clock, Wakeups(Activity(clock)), Metrics(), self.settings.connections
                )
                for start in range(0, len(events), 1000):
                    await context.tell(*events[start : start + 1000])
                if deliveries:
                    await context.append([delivery_record(self.topics, meta, body) for meta, body in deliveries])
                translate = Translate(context, GROUP)
                for topic in (self.topics.deliveries_gocardless, self.topics.deliveries_zoho):
                    await self._drain(context, topic.name, translate)
                await self._drain(context, self.topics.events.name, Core(context))
                if publish:
                    relay = Relay(context)
                    for partition in range(self.topics.partitions):
                        await relay.recover(partition)
                    await relay.turn()

    async def _drain(self, context: StageContext, topic: str, stage: Any) -> None:
        for partition in range(self.topics.partitions):
            tp = TopicPartition(topic, partition)
            offset = await stage.resume_at(tp)
            while records := await context.log.read(tp, offset, 500):
                await stage.handle(RecordBatch(tp, records))
                offset = records[-1].offset + 1

    def put_secret(self, name: str, value: bytes) -> None:
        """A credential of the connection."""
        with open_store(self.settings.store) as store:
            Credentials(store, open_vault(self.settings.keys)).put("c1", name, value)

    def event_types(self) -> list[str]:
        """The types of all events in the log, in order."""
        return [one["type"] for one in self.json("events", "--connection", "c1", "--limit", "10000")["records"]]


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as they are in a pipe, whatever whoever runs the tests has set."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def company() -> Any:
    return Company()
