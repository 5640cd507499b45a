"""How a call is sent with the credentials as they are now: what `sender` of both clients has in common.

Credentials are read anew once they were refused, since a person may have entered others. Nothing is sent twice.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from adapters.errors import CredentialError, VaultError
from adapters.http import Answer, Call

#: Sends a call within a deadline (seconds) and gives its whole answer. Raises `TransportError` or `CredentialError`.
Send = Callable[[Call, float], Awaitable[Answer]]


class Client(Protocol):
    """Sends calls with the credentials that it was made with."""

    async def send(self, call: Call, *, deadline_s: float) -> Answer:
        """The answer, whatever its status. Raises `TransportError` or `CredentialError`."""


def renewing(client: Callable[[], Client], refused: Callable[[Answer], bool] = lambda _: False) -> Send:
    """Send with one client until its credentials are refused, then with a new one. `refused`: whether an answer says
    so.

    `client` raises `CredentialError` or `VaultError` where there are no credentials that can be used; both come out of
    here at once when that is so from the beginning.
    """
    current: Client | None = client()

    async def send(call: Call, deadline_s: float) -> Answer:
        nonlocal current
        try:
            current = current or client()
            answer = await current.send(call, deadline_s=deadline_s)
        except CredentialError:
            current = None
            raise
        except VaultError as error:
            current = None
            raise CredentialError(f"what is stored cannot be opened: {error}") from None
        if refused(answer):
            current = None
        return answer

    return send
