"""Gateway: a webhook in, verified over its raw bytes, appended, then 2xx. Nothing is acknowledged that is not durable.

| what | answer |
|---|---|
| good signature, appended | GoCardless 204, Zoho 200 |
| bad or missing signature, unknown connection | 401, after the same work and time |
| body above the limit | 413 |
| log not available, or not within 8 s | 503, the sender retries |
"""

import asyncio
import secrets
from typing import Final, Literal

from aiohttp import web

from adapters.deliveries import DeliveryMeta
from adapters.gocardless import webhook as gocardless
from adapters.vault import Secret
from adapters.zoho import webhook as zoho
from domain import ids
from streams import failpoints
from streams.keys import Credentials
from streams.log import LogError
from streams.records import delivery_record
from streams.stages.shop import Shop

#: Largest body accepted. Lower than 1 MiB: a delivery of 250 events with metadata might not fit. Higher: memory per request.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024

#: Real seconds for the append before the sender is told to come again. Lower: a slow disk loses deliveries it could have taken. Higher than
#: 10: GoCardless has given up by then (reference 4.3) and the answer reaches nobody.
APPEND_TIMEOUT_S: Final = 8.0

#: A connection that does not exist is verified against this, so that it takes the same path.
_NOBODY: Final = secrets.token_bytes(32)

#: Headers kept as evidence. Others may carry credentials of proxies.
_KEPT: Final = ("webhook-signature", "x-zoho-webhook-signature", "user-agent", "origin", "content-type", "date")

_NO_LOG: Final = {"Retry-After": "30"}

Api = Literal["gocardless", "zoho"]


class Gateway:
    """The HTTP side of webhooks. `ready` tells what is not ready, "" when all is."""

    def __init__(self, shop: Shop, credentials: Credentials) -> None:
        self._shop = shop
        self._credentials = credentials
        self._count = 0
        self._run = secrets.token_hex(8)

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.post("/webhooks/gocardless/{connection}", self._gocardless),
            web.post("/webhooks/zoho/{connection}", self._zoho),
            web.post("/webhooks/zoho/{connection}/{module}", self._zoho),
        ]

    async def _gocardless(self, request: web.Request) -> web.Response:
        return await self._receive(request, "gocardless")

    async def _zoho(self, request: web.Request) -> web.Response:
        return await self._receive(request, "zoho")

    async def _receive(self, request: web.Request, api: Api) -> web.Response:
        with self._shop.pulse.work("gateway"):
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return self._refuse(api, "too_large", 413)
            connection = request.match_info["connection"]
            secret = self._verify(request, api, connection, body)
            if secret is None:
                return self._refuse(api, "signature", 401)
            return await self._keep(request, api, connection, body, secret)

    def _verify(self, request: web.Request, api: Api, connection: str, body: bytes) -> str | None:
        """The name of the secret that verifies it. An unknown connection is checked against a secret nobody has."""
        found = self._credentials.webhook_secrets(connection, api) if connection in self._shop.connections else []
        known = [Secret(label, value) for label, value in found or [("", _NOBODY)]]
        if api == "gocardless":
            name = gocardless.verify(request.headers, body, known)
        else:
            name = zoho.verify(request.headers, body, request.rel_url.raw_query_string, known)
        return name if found else None

    def _refuse(self, api: Api, reason: str, status: int) -> web.Response:
        self._shop.metrics.refused.labels(api, reason).inc()
        return web.Response(status=status)

    async def _keep(self, request: web.Request, api: Api, connection: str, body: bytes, secret: str) -> web.Response:
        now = self._shop.clock.now()
        self._count += 1
        meta = DeliveryMeta(
            id=f"wh-{ids.digest(connection, now, self._run, str(self._count))}",
            connection=connection,
            api=api,
            kind="webhook",
            received_at=now,
            headers={name: request.headers[name] for name in _KEPT if name in request.headers},
            content_type=request.content_type,
            secret=secret,
            module=request.match_info.get("module", ""),
        )
        failpoints.hit("gateway.before_append")
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await self._shop.append([delivery_record(self._shop.topics, meta, body)])
        except (LogError, TimeoutError) as error:
            self._shop.journal.error("gateway.log_unavailable", error=type(error).__name__)
            self._shop.metrics.refused.labels(api, "log").inc()
            return web.Response(status=503, headers=_NO_LOG)
        failpoints.hit("gateway.after_append")
        self._shop.metrics.deliveries.labels(api).inc()
        return web.Response(status=204 if api == "gocardless" else 200)
