"""A sender keeps its client while its credentials are taken, and makes another once they were refused."""

import pytest

from adapters.errors import CredentialError, TransportError, VaultError
from adapters.http import Answer, Call
from adapters.senders import renewing

CALL = Call("GET", "/customers")


class Made:
    """Makes clients, and says what each of their calls ends with."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.clients = 0
        self.missing = None

    def __call__(self):
        if self.missing is not None:
            raise self.missing
        self.clients += 1
        return self

    async def send(self, call, *, deadline_s):
        assert (call, deadline_s) == (CALL, 5.0)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return Answer(end, {}, b"")


def sender(made):
    return renewing(made, refused=lambda answer: answer.status == 401)


@pytest.mark.parametrize(
    ("end", "clients"),
    [(200, 1), (403, 1), (401, 2), (CredentialError("no"), 2), (TransportError("reset", sent=True), 1)],
)
async def test_only_a_refusal_makes_another_client(end, clients):
    made = Made(end, 200)
    send = sender(made)
    if isinstance(end, Exception):
        with pytest.raises(type(end)):
            await send(CALL, 5.0)
    else:
        assert (await send(CALL, 5.0)).status == end
    assert (await send(CALL, 5.0)).status == 200
    assert made.clients == clients


@pytest.mark.parametrize("missing", [CredentialError("none entered"), VaultError("no key")])
def test_credentials_that_are_not_there_at_the_beginning_are_told_as_they_are(missing):
    made = Made()
    made.missing = missing
    with pytest.raises(type(missing)):
        sender(made)


async def test_credentials_that_cannot_be_opened_later_are_refused_credentials_until_they_can():
    made = Made(401, 200)
    send = sender(made)
    await send(CALL, 5.0)
    made.missing = VaultError("no key")
    with pytest.raises(CredentialError, match="what is stored cannot be opened: no key"):
        await send(CALL, 5.0)
    made.missing = None
    assert (await send(CALL, 5.0)).status == 200
