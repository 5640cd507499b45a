"""What a process stands on: how it opens its log, its store, its credentials, its worker, the network and the time.

`Host` is the machine that we run on. The simulation gives another, on which all of it follows from a seed; the wiring
over it (`program`) is the same.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from aiohttp import web

from adapters.clock import Clock, SystemClock
from adapters.http import HttpTransport, Transport
from adapters.machine import MACHINE, Machine
from adapters.vault import Vault
from projections.store.store import Store, open_store
from streams.credentials import open_vault
from streams.log.batch_worker import BatchWorker, HandlerSpec
from streams.log.engines import log_of
from streams.log.interface import Log
from streams.settings import GatewayTable, Settings
from streams.stages import gateway


class Host:
    """The machine that we run on."""

    machine: Machine = MACHINE
    watched = True
    """Whether a worker that stalls ends its process, to be started again. Where it is not, the stall itself is seen."""

    def clock(self) -> Clock:
        """The time, where the settings name no simulators'."""
        return SystemClock()

    def log(self, settings: Settings) -> Log:
        """The log of an installation, not started yet."""
        return log_of(settings)

    def store(self, settings: Settings, now: str) -> Store:
        """The store of an installation, open. Raises `StoreError`."""
        return open_store(settings.store, now=now)

    def vault(self, settings: Settings) -> Vault:
        """What opens the credentials. Raises `KeyringError`."""
        return open_vault(settings.keys)

    def transport(self) -> contextlib.AbstractAsyncContextManager[Transport]:
        """The way to the APIs, to be closed."""
        return HttpTransport()

    def worker(self, log: Log, group: str, handlers: Sequence[HandlerSpec]) -> BatchWorker:
        """What runs handlers over the log, not started yet."""
        from streams.log.worker import Worker  # noqa: PLC0415 - Faust costs a second that only this needs

        return Worker(log, group, handlers)

    async def serve(
        self,
        receiver: gateway.Gateway | None,
        routes: Iterable[web.AbstractRouteDef],
        table: GatewayTable,
        stack: contextlib.AsyncExitStack,
    ) -> int:
        """Serve webhooks (`receiver`, where the process takes them) and other routes until `stack` ends; the port."""
        mounted: list[Any] = [*(receiver.routes() if receiver is not None else []), *routes]
        served = gateway.runner(mounted)
        await served.setup()
        stack.push_async_callback(served.cleanup)
        await web.TCPSite(served, table.host, table.port).start()
        return int(served.addresses[0][1])
