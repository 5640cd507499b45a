"""Gateway: a webhook in, verified over its raw bytes, appended, then 2xx. Nothing is acknowledged that is not durable.

| what | answer |
|---|---|
| good signature, appended | GoCardless 204, Zoho 200 |
| bad or missing signature, unknown connection | 401, after the same work and time |
| body not there within 10 s, or broken on its way | 408 |
| body above the limit | 413 |
| too many requests at once; log not available, or not within 7 s | 503, the sender retries |
"""

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.deliveries import DeliveryMeta
from adapters.gocardless import webhook as gocardless
from adapters.texts import encodable
from adapters.vault import Secret
from adapters.zoho import webhook as zoho
from domain import ids
from domain.vocabulary import APIS, Api
from streams import failpoints
from streams.credentials import Credentials
from streams.log.interface import LogError
from streams.log.records import delivery_record
from streams.stages.context import StageContext

#: Largest body accepted. Lower than 1 MiB: a delivery of 250 events with metadata might not fit. Higher: memory per
#: request.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024

#: Real seconds for the append before the sender is told to come again: with the rest of the request, its answer is
#: there within 8. Lower: a slow disk loses deliveries it could have taken. Higher than 10: GoCardless has given up by
#: then (reference 4.3) and the answer reaches nobody.
APPEND_TIMEOUT_S: Final = 7.0

#: Real seconds for the body to come in. Lower: a sender on a bad line is cut off. Higher: who sends a byte a minute
#: holds a place longer.
BODY_TIMEOUT_S: Final = 10.0

#: Requests in hand. Lower: a burst is sent away that could have been taken. Higher: memory, a body of `MAX_BODY_BYTES`
#: each, before anything about the sender is known.
MAX_IN_HAND: Final = 128

#: Real seconds that requests in hand have at a clean stop. Lower: one that waits for a slow disk is cut off, and sent
#: again. Higher: a sender that dawdles holds up the stop.
STOP_S: Final = 10.0

#: A connection that does not exist is verified against this, so that it takes the same path.
_NOBODY: Final = secrets.token_bytes(32)

#: Headers kept as evidence. Others may carry credentials of proxies.
_KEPT: Final = (gocardless.HEADER, zoho.HEADER, "user-agent", "origin", "content-type", "date")

_LATER: Final = {"Retry-After": "30"}


class _Impersonal(logging.Filter):
    """aiohttp quotes, in its log, what it could not read: it may be a signature, or a payer's name."""

    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, HttpProcessingError):
            record.msg, record.args, record.exc_info = (
                "refused a request that is not HTTP: %s",
                (type(fault).__name__,),
                None,
            )
        return True


_http_log: Final = logging.getLogger("zoho_gocardless.http")
_http_log.addFilter(_Impersonal())


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it came: whose it is, the module that Zoho's address names ("" for GoCardless), the raw query, the
    headers (a mapping that knows names in any case), the type of the content without parameters, and the raw body.
    """

    connection: str
    module: str
    query: str
    headers: Mapping[str, str]
    content_type: str
    body: bytes


def runner(routes: Iterable[web.AbstractRouteDef]) -> web.AppRunner:
    """What serves the gateway's routes, and others beside them. Bodies are bounded, and stay as they came: signatures
    are over raw bytes, so nothing is unpacked, and no small body can become a large one.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(routes)
    return web.AppRunner(app, access_log=None, logger=_http_log, shutdown_timeout=STOP_S, auto_decompress=False)


class Gateway:
    """The entrance of webhooks."""

    def __init__(self, context: StageContext, credentials: Credentials) -> None:
        self._context = context
        self._credentials = credentials
        self._count = 0
        self._in_hand = 0
        self._run = context.machine.token_hex(8)
        self._accepted = {api: context.metrics.deliveries.labels(api) for api in APIS}

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.post("/webhooks/gocardless/{connection}", self._gocardless),
            web.post("/webhooks/zoho/{connection}", self._zoho),
            web.post("/webhooks/zoho/{connection}/{module}", self._zoho),
        ]

    async def _gocardless(self, request: web.Request) -> web.Response:
        return await self._admit(request, "gocardless")

    async def _zoho(self, request: web.Request) -> web.Response:
        return await self._admit(request, "zoho")

    async def _admit(self, request: web.Request, api: Api) -> web.Response:
        if self._in_hand >= MAX_IN_HAND:
            return self._refuse(api, "busy", 503)
        self._in_hand += 1
        try:
            return await self._take(request, api)
        finally:
            self._in_hand -= 1

    async def _take(self, request: web.Request, api: Api) -> web.Response:
        with self._context.activity.work("gateway"):
            # A bare timer: `asyncio.timeout` costs a fifth of all that is done here beside the append.
            limit = asyncio.get_running_loop().call_later(BODY_TIMEOUT_S, request.content.set_exception, TimeoutError())
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return self._refuse(api, "too_large", 413)
            except TimeoutError:
                return self._refuse(api, "slow", 408)
            finally:
                limit.cancel()
            webhook = Webhook(
                request.match_info["connection"],
                request.match_info.get("module", ""),
                request.rel_url.raw_query_string,
                request.headers,
                encodable(request.content_type),
                body,
            )
            return await self._receive(api, webhook)

    async def receive(self, api: Api, webhook: Webhook) -> int:
        """Verify a webhook and keep it; the status of the answer."""
        with self._context.activity.work("gateway"):
            return (await self._receive(api, webhook)).status

    async def _receive(self, api: Api, webhook: Webhook) -> web.Response:
        headers = {name: encodable(value) for name in _KEPT if (value := webhook.headers.get(name)) is not None}
        secret = self._verify(api, webhook, headers)
        if secret is None:
            return self._refuse(api, "signature", 401)
        return await self._keep(api, webhook, headers, secret)

    def _verify(self, api: Api, webhook: Webhook, headers: dict[str, str]) -> str | None:
        """The name of the secret that verifies it. An unknown connection is checked against a secret nobody has."""
        connection = webhook.connection
        found = self._credentials.webhook_secrets(connection, api) if connection in self._context.connections else []
        known = [Secret(label, value) for label, value in found or [("", _NOBODY)]]
        if api == "gocardless":
            name = gocardless.verify(headers, webhook.body, known)
        else:
            name = zoho.verify(headers, webhook.body, webhook.query, known)
        return name if found else None

    def _refuse(self, api: Api, reason: str, status: int) -> web.Response:
        self._context.metrics.refused.labels(api, reason).inc()
        return web.Response(status=status, headers=_LATER if status == 503 else None)

    async def _keep(self, api: Api, webhook: Webhook, headers: dict[str, str], secret: str) -> web.Response:
        now = self._context.clock.now()
        self._count += 1
        meta = DeliveryMeta(
            id=f"wh-{ids.digest(webhook.connection, now, self._run, str(self._count))}",
            connection=webhook.connection,
            api=api,
            kind="webhook",
            received_at=now,
            headers=headers,
            content_type=webhook.content_type,
            secret=secret,
            module=webhook.module,
        )
        failpoints.hit("gateway.before_append")
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await self._context.append([delivery_record(self._context.topics, meta, webhook.body)])
        except (LogError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._context.metrics.append_failed(error)
            self._context.journal.error("gateway.log_unavailable", error=type(error).__name__)
            return self._refuse(api, "log", 503)
        failpoints.hit("gateway.after_append")
        self._accepted[api].inc()
        return web.Response(status=204 if api == "gocardless" else 200)
