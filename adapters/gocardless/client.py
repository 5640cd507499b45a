"""Sends one call to GoCardless and gives its whole answer, with the token and the fixed headers added. It decides
nothing and repeats nothing; what an answer means is `perform`'s.
"""

import re
from collections.abc import Callable
from typing import Final

from adapters.errors import CredentialError
from adapters.http import Answer, Call, Transport
from adapters.senders import Send, renewing
from adapters.vault import Secret

#: Hosts. The environments share nothing: accounts, tokens, endpoints and ids are separate. Source: API reference, "API
#: usage".
URLS: Final = {"live": "https://api.gocardless.com", "sandbox": "https://api-sandbox.gocardless.com"}

#: The only version there is; without it every call is answered 400. Additive changes come without a new one.
API_VERSION: Final = "2015-07-06"

#: How GoCardless answers a token that it does not know, or no longer.
UNAUTHORISED: Final = 401

#: A query parameter that begins so is a note of ours to the translation of the answer (see `pages`), and does not
#: travel.
NOTE: Final = "_"

_TOKEN: Final = re.compile(rb"[!-~]{1,512}\Z")


class Client:
    """Calls with one access token. The transport is shared; whoever opened it closes it."""

    def __init__(self, transport: Transport, token: Secret, base_url: str) -> None:
        """`base_url`: one of `URLS`, or a simulator's. Raises `CredentialError` when the token could not stand in a
        header.
        """
        if _TOKEN.match(token.value) is None:
            raise CredentialError(
                "the GoCardless access token is empty, or holds a space or a line end: enter it again"
            )
        self._transport = transport
        self._base_url = base_url
        self._headers = {
            "Authorization": f"Bearer {token.value.decode('ascii')}",
            "GoCardless-Version": API_VERSION,
            "Accept": "application/json",
        }

    async def send(self, call: Call, *, deadline_s: float) -> Answer:
        """The answer, whatever its status. Raises `TransportError`."""
        query = {name: value for name, value in call.query.items() if not name.startswith(NOTE)}
        headers = self._headers if call.body is None else {**self._headers, "Content-Type": "application/json"}
        sent = Call(call.method, call.path, query, call.body, call.headers)
        return await self._transport.exchange(self._base_url, sent, headers, deadline_s=deadline_s)


def sender(transport: Transport, token: Callable[[], Secret], environment: str, url: str = "") -> Send:
    """How to send a call. `token` is asked at first, and after GoCardless refused the one it gave; `url` replaces the
    environment's own address (a simulator, a proxy). Raises what `token` raises, and as `Client`.
    """
    return renewing(
        lambda: Client(transport, token(), url or URLS[environment]),
        refused=lambda answer: answer.status == UNAUTHORISED,
    )
