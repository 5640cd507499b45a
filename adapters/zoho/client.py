"""Sends one call to Zoho Books and gives its whole answer, with the organisation and the token added. It decides
nothing and repeats nothing; what an answer means is `perform`'s.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from adapters.errors import CredentialError, TransportError
from adapters.http import Answer, Call, Transport
from adapters.senders import Send, renewing
from adapters.zoho.oauth import Access, ClientKey, TokenSource, TokenStore, missing_scopes, scope_for
from adapters.zoho.regions import simulator

#: Below the data centre's API address; v4 exists, and what differs in it is not known. Source: Zoho Books API v3,
#: introduction.
BASE_PATH: Final = "/books/v3"


class Client:
    """Calls for one organisation. The transport is shared; whoever opened it closes it."""

    def __init__(self, transport: Transport, tokens: TokenSource, organization_id: str) -> None:
        self._transport = transport
        self._tokens = tokens
        self._organization_id = organization_id

    async def send(self, call: Call, *, deadline_s: float) -> Answer:
        """The answer, whatever its status; its headers hold `x-rate-limit-limit`, `-remaining` and `-reset` (seconds).

        `deadline_s` covers the token, should one have to be made. After a 401 the next call gets a new token. Raises
        `TransportError`, and `CredentialError` when a person must act (no consent, a missing scope: at Zoho they look
        alike).
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                access = await self._tokens.access()
        except TimeoutError:
            raise TransportError("deadline", sent=False) from None
        _check_scope(access, call)
        answer = await self._transport.exchange(
            access.api_url + BASE_PATH,
            Call(
                call.method,
                call.path,
                {**call.query, "organization_id": self._organization_id},
                call.body,
                call.headers,
            ),
            {"Authorization": f"Zoho-oauthtoken {access.token}"},
            deadline_s=end_s - loop.time(),
        )
        if answer.status == 401:
            self._tokens.rejected(access.token)
        else:
            self._tokens.accepted(access.token)
        return answer


def sender(
    transport: Transport,
    key: Callable[[], ClientKey],
    tokens: TokenStore,
    organization_id: str,
    now: Callable[[], str],
    url: str = "",
) -> Send:
    """How to send a call. `key` is asked at first, and after the credentials were refused; `url` is where a simulator
    is. Raises what `key` raises.
    """
    table = [simulator(url)] if url else []
    # A 401 is the client's own affair: it replaces the token.
    return renewing(lambda: Client(transport, TokenSource(transport, key(), tokens, now, table=table), organization_id))


def _check_scope(access: Access, call: Call) -> None:
    wanted = scope_for(call)
    if wanted and missing_scopes(access.scopes, [wanted]):
        raise CredentialError(
            f"the consent given to this connection lacks {wanted}: connect Zoho Books again and grant it", one_call=True
        )
