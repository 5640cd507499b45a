"""One simulated machine: a host whose disk, memory, clock, chance and network are the simulation's.

The disk outlives what runs on it. Everything that a program opens belongs to the power it was opened under, and is good
for nothing once that is cut.
"""

import asyncio
import contextlib
import functools
import random
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from adapters.clock import Clock
from adapters.http import Transport
from adapters.machine import Machine
from adapters.vault import Keyring, Vault, new_key
from projections.store import migrate
from projections.store.databases import engine_of
from projections.store.store import Store, open_store
from streams.log.batch_worker import BatchWorker, HandlerSpec
from streams.log.interface import Limits, Log, NewRecord, Position, TopicPartition
from streams.process.host import Host
from streams.settings import GatewayTable, Settings
from streams.simulation.log_disk import LogDisk
from streams.simulation.memory_log import MemoryLog, Seam
from streams.simulation.memory_worker import MemoryWorker
from streams.simulation.network import Network, SimulatedTransport
from streams.simulation.power import Power
from streams.simulation.trace import Trace
from streams.simulation.virtual_time import VirtualClock
from streams.stages.gateway import Gateway

#: Seconds that a seam of the log takes at the most: mostly a disk's milliseconds. Higher: a month takes longer to
#: simulate, and nothing else meets at it.
_SEAM_S: Final = 0.02


#: Pages of the store's WAL before SQLite copies them back; in memory there is no disk to wait for. Lower: the same
#: pages are copied more often. Higher: each read looks through more of the WAL, which takes new memory all the time.
_CHECKPOINT_PAGES: Final = 1_000


class Disk:
    """What a power cut leaves: the log's disk and the store's file, in a folder of their own."""

    def __init__(self, folder: Path, log: LogDisk) -> None:
        self.folder = folder
        self.log = log
        self.store = folder / "store.db"

    def make_store(self, content: bytes) -> None:
        """A store with this content, in place of what is there."""
        for file in self.folder.glob("store.db*"):
            file.unlink()
        self.store.write_bytes(content)

    def keep_image(self, name: str) -> Path:
        """A copy of the store as it is, as a backup of its volume has it."""
        image = self.folder / f"image-{name}.db"
        with (
            contextlib.closing(sqlite3.connect(self.store)) as source,
            contextlib.closing(sqlite3.connect(image)) as target,
        ):
            source.backup(target)
        return image

    def restore_image(self, image: Path) -> None:
        """Put an earlier copy of the store in its place."""
        self.make_store(image.read_bytes())


@functools.cache
def store_template() -> bytes:
    """A migrated, empty store: made once, since a migration takes longer than a simulated week."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        engine = engine_of(f"sqlite:///{path}").engine
        migrate.open_at_head(engine, str(path))
        engine.dispose()
        return path.read_bytes()


class _TracedLog(MemoryLog):
    """What is appended is part of the trace."""

    def __init__(self, trace: Trace, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._trace = trace

    async def append(
        self,
        records: Sequence[NewRecord],
        *,
        positions: Mapping[str, Mapping[TopicPartition, int]] | None = None,
    ) -> list[Position]:
        places = await super().append(records, positions=positions)
        for record, place in zip(records, places, strict=True):
            self._trace.note("append", f"{place.topic}/{place.partition}/{place.offset}")
            self._trace.bytes_seen(record.value or b"")
        return places


class SimulatedHost(Host):
    """What one incarnation of the program stands on."""

    watched = False

    def __init__(
        self,
        disk: Disk,
        network: Network,
        clock: VirtualClock,
        rng: random.Random,
        trace: Trace,
        keyring: Keyring,
        *,
        limits: Limits | None = None,
        batch_records: int = 1_000,
    ) -> None:
        self.power = Power()
        self.has_address = True
        """Whether webhooks reach it. Two programs on one machine cannot have one address."""
        self.machine = Machine(_loop_s, _loop_s, rng.random, lambda size: rng.randbytes(size).hex())
        self._disk = disk
        self._network = network
        self._clock = clock
        self._rng = rng
        self._trace = trace
        self._vault = Vault(keyring)
        self._limits = limits
        self._batch_records = batch_records

    def clock(self) -> Clock:
        return self._clock

    def log(self, settings: Settings) -> Log:
        del settings
        return _TracedLog(
            self._trace,
            self._disk.log,
            now_ms=self._clock.now_ms,
            latency=self._latency_s,
            power=self.power,
            limits=self._limits,
        )

    def store(self, settings: Settings, now: str) -> Store:
        store = open_store(settings.store, now=now, token_hex=self.machine.token_hex)
        with store.connection() as own:
            own.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        store.on_use = self.power.check
        return store

    def vault(self, settings: Settings) -> Vault:
        del settings
        return self._vault

    def transport(self) -> contextlib.AbstractAsyncContextManager[Transport]:
        return SimulatedTransport(self._network, self.power)

    def worker(self, log: Log, group: str, handlers: Sequence[HandlerSpec]) -> BatchWorker:
        return MemoryWorker(log, group, handlers, batch_records=self._batch_records)

    async def serve(
        self,
        receiver: Gateway | None,
        routes: Iterable[web.AbstractRouteDef],
        table: GatewayTable,
        stack: contextlib.AsyncExitStack,
    ) -> int:
        del routes
        if self.has_address:
            self._network.open(receiver, self.power)
            stack.callback(self._network.shut, self.power)
        return table.port

    def _latency_s(self, seam: Seam) -> float:
        # A read of the embedded log waits for nothing: it is the file's cache.
        return self._rng.random() * _SEAM_S if seam in ("append", "sync", "acknowledge") else 0.0


def keyring() -> Keyring:
    """A key for the vault of a simulated installation. What it seals is in no trace."""
    return Keyring.from_text(new_key("simulation"))


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
