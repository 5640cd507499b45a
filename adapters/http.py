"""The rules that every call to an API obeys: one write, a hard deadline, a bounded answer, and a clear word on what is unknown.

Both clients use this; neither adds a retry of its own. `exchange` sends one `Call` exactly once: aiohttp would silently send GET, PUT and
DELETE again on a kept connection that died, which for a payment record in Zoho (PUT) would be a blind second write.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from adapters.errors import TransportError
from adapters.verdicts import Answer, Call

#: Seconds to get a connection (DNS, TCP, TLS, and a free place in the pool). Lower: a slow handshake fails calls that would have worked.
#: Higher: when an API is down, each call holds its place longer before it is known not to have been sent.
CONNECT_TIMEOUT_S: Final = 10.0

#: Seconds of silence while reading an answer. Lower: Zoho's slow pages are cut off. Higher: a dead peer is noticed only by the deadline.
SILENCE_TIMEOUT_S: Final = 60.0

#: Longest answer accepted, bytes after decompression. Lower: a full page of 500 GoCardless events (about 1 kB each) or 200 Zoho invoices
#: with custom fields would not fit. Higher: with its headers an answer could outgrow the log's largest record (8 MiB), and could not be
#: kept.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024

#: Connections of one session. Lower: calls of different connections wait for each other. Higher: more than the APIs' concurrency allows.
MAX_CONNECTIONS: Final = 20

#: Seconds an idle connection is kept. Lower: a TLS handshake per call. Higher: servers close first, and a write into a dying connection is
#: an unknown outcome that must be looked up.
KEEP_ALIVE_S: Final = 15.0

_USER_AGENT: Final = "zoho-gocardless/1"
_CHUNK_BYTES: Final = 65536


class _SecondSendError(aiohttp.ClientError):
    """aiohttp wanted to send the same request again."""


class _Once:
    """Middleware for one request: lets it through once."""

    def __init__(self) -> None:
        self._sent = False

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if self._sent:
            raise _SecondSendError
        self._sent = True
        return await handler(request)


def open_session() -> aiohttp.ClientSession:
    """A session with no cookies, no proxies or credentials from the environment, and bounded connections. The caller closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
    )


async def exchange(session: aiohttp.ClientSession, base_url: str, call: Call, headers: Mapping[str, str], *, deadline_s: float) -> Answer:
    """Send `call` once to `base_url` + `call.path` and give the whole answer, whatever its status; redirects are answers too.

    `headers` (credentials, fixed headers) win over `call.headers`. `deadline_s`: seconds from now for everything, the body included.
    Raises `TransportError` when no whole answer came.
    """
    if deadline_s <= 0:
        raise TransportError("deadline", sent=False)
    connect_s = min(CONNECT_TIMEOUT_S, deadline_s)
    try:
        # aiohttp rounds its own long timeouts up to whole seconds; the deadline is exact.
        async with asyncio.timeout(deadline_s):
            return await _send(session, base_url, call, headers, connect_s)
    except aiohttp.ConnectionTimeoutError:
        raise TransportError("connect_timeout", sent=False) from None
    except TimeoutError:
        raise TransportError("deadline", sent=True) from None
    except aiohttp.ClientConnectorError:  # DNS, TCP and TLS failures: before the request
        raise TransportError("refused", sent=False) from None
    except aiohttp.ClientPayloadError:
        raise TransportError("truncated", sent=True) from None
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, _SecondSendError, ConnectionError):
        raise TransportError("reset", sent=True) from None
    except aiohttp.ClientError:
        raise TransportError("malformed", sent=True) from None


async def _send(session: aiohttp.ClientSession, base_url: str, call: Call, headers: Mapping[str, str], connect_s: float) -> Answer:
    async with session.request(
        call.method,
        URL(base_url.rstrip("/") + call.path, encoded=True).update_query(call.query),
        data=call.body,
        headers={**call.headers, **headers},
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=SILENCE_TIMEOUT_S),
        middlewares=(_Once(),),
    ) as response:
        body = await _read(response)
        return Answer(response.status, _lower(response.headers), body)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise TransportError("too_large", sent=True)
    return bytes(body)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names in lower case; of a repeated header the last counts."""
    return {name.lower(): value for name, value in headers.items()}
