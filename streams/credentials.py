"""Credentials of connections: sealed in the store, opened by the vault, never in a topic, a log line or an error.

Names: "gocardless.token", "zoho.client" (id and secret), "zoho.token" (the refresh and access tokens), and webhook
secrets "gocardless.webhook.<label>", "zoho.webhook.<label>": several at once while one is being replaced.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import structlog

from adapters.errors import CredentialError, KeyringError, VaultError
from adapters.gocardless import client as gocardless
from adapters.http import Transport
from adapters.senders import Send
from adapters.vault import Keyring, Secret, Vault
from adapters.zoho import client as zoho
from adapters.zoho.oauth import ClientKey, TokenState
from domain.vocabulary import Api
from projections.store.errors import StoreError
from projections.store.store import Store
from projections.work.secrets import Secrets
from streams.settings import Connection

GOCARDLESS_TOKEN: Final = "gocardless.token"  # noqa: S105 - the name of a secret, not one
ZOHO_CLIENT: Final = "zoho.client"
ZOHO_TOKEN: Final = "zoho.token"  # noqa: S105 - as above

#: Real seconds after which the webhook secrets are read again: another process (the command line) enters and removes
#: them. Lower: a read of the store more often than webhooks come. Higher: a new secret's first webhooks are refused for
#: longer, a removed one's taken for longer.
RELOAD_S: Final = 5.0

_decode_token: Final = msgspec.json.Decoder(TokenState).decode
_decode_client: Final = msgspec.json.Decoder(dict[str, str]).decode


def open_vault(keys: str) -> Vault:
    """The vault whose keyring `keys` names: "env:NAME" or "file:/path". Raises `KeyringError`."""
    kind, _, name = keys.partition(":")
    if kind == "file":
        return Vault(Keyring.from_file(Path(name)))
    if kind != "env":
        raise KeyringError('setting "keys": use "env:NAME" or "file:/path"')
    text = os.environ.get(name, "")
    if not text:
        raise KeyringError(
            f"the environment variable {name} holds no key: make one with `zoho-gocardless keys new` and set it"
        )
    return Vault(Keyring.from_text(text))


class Credentials:
    """All credentials of an installation. Webhook secrets are kept opened in memory, for `RELOAD_S` at most."""

    def __init__(self, store: Store, vault: Vault, monotonic_s: Callable[[], float] = monotonic) -> None:
        self._secrets = Secrets(store)
        self._vault = vault
        self._monotonic_s = monotonic_s
        self._webhooks: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self._read_at_s = 0.0
        self.reload()

    def reload(self) -> None:
        """Read the webhook secrets again. Raises `VaultError`, `StoreError`; then those held before stay."""
        found: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        for connection, name in self._secrets.names():
            api, _, label = name.partition(".webhook.")
            if label:
                found.setdefault((connection, api), []).append((label, self.get(connection, name)))
        self._webhooks = found
        self._read_at_s = self._monotonic_s()

    def webhook_secrets(self, connection: str, api: str) -> list[tuple[str, bytes]]:
        """(label, secret) of each that is valid now."""
        if self._monotonic_s() - self._read_at_s > RELOAD_S:
            try:
                self.reload()
            except (
                StoreError,
                VaultError,
                CredentialError,
            ) as error:  # one that cannot be opened must not refuse the webhooks of all
                self._read_at_s = self._monotonic_s()
                structlog.get_logger("zoho_gocardless").warning("keys.not_read_again", error=type(error).__name__)
        return self._webhooks.get((connection, api), [])

    def put(self, connection: str, name: str, secret: bytes) -> None:
        """Seal and keep a credential."""
        self._secrets.put(connection, name, self._vault.seal(f"{connection}/{name}", secret))

    def get(self, connection: str, name: str) -> bytes:
        """Open a credential. Raises `CredentialError` when there is none, `VaultError` when it cannot be opened."""
        secret = self.find(connection, name)
        if secret is None:
            raise CredentialError(
                f"connection {connection} has no {name}: enter it with `zoho-gocardless connect {connection}`"
            )
        return secret

    def find(self, connection: str, name: str) -> bytes | None:
        """Open a credential, None when there is none. Raises `VaultError` when it cannot be opened."""
        sealed = self._secrets.get(connection, name)
        return None if sealed is None else self._vault.open(f"{connection}/{name}", sealed)

    def has(self, connection: str, name: str) -> bool:
        """Whether a credential was entered."""
        return self._secrets.get(connection, name) is not None

    def delete(self, connection: str, name: str) -> None:
        """Forget a credential."""
        self._secrets.delete(connection, name)

    def rotate(self) -> int:
        """Seal every credential anew with the active key; how many."""
        names = self._secrets.names()
        for connection, name in names:
            sealed = self._secrets.get(connection, name)
            if sealed is not None:
                self._secrets.put(connection, name, self._vault.rotate(f"{connection}/{name}", sealed))
        return len(names)

    def gocardless_token(self, connection: str) -> Secret:
        """GoCardless's access token."""
        return Secret(GOCARDLESS_TOKEN, self.get(connection, GOCARDLESS_TOKEN))

    def zoho_client(self, connection: str) -> ClientKey:
        """The OAuth client's id and secret."""
        found = _decode_client(self.get(connection, ZOHO_CLIENT))
        return ClientKey(found["client_id"], found["client_secret"])


class SealedTokens:
    """Zoho's tokens of one connection, kept sealed; the `TokenStore` of `adapters.zoho.oauth`."""

    def __init__(self, credentials: Credentials, connection: str) -> None:
        self._credentials = credentials
        self._connection = connection
        self._lock = asyncio.Lock()

    async def load(self) -> TokenState | None:
        """The tokens, None before `connect`."""
        found = self._credentials.find(self._connection, ZOHO_TOKEN)
        return None if found is None else _decode_token(found)

    async def save(self, state: TokenState) -> None:
        """Keep the tokens; durable when it returns."""
        self._credentials.put(self._connection, ZOHO_TOKEN, msgspec.json.encode(state))

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """One refresh at a time. Only the process that holds the lease of this API calls it, so a lock of this process
        is enough.
        """
        async with self._lock:
            yield


def sender(
    api: Api,
    transport: Transport,
    credentials: Credentials,
    name: str,
    connection: Connection,
    now: Callable[[], str],
) -> Send:
    """How to send a call to an API for the connection `name`: with what was entered, where the settings say.

    Raises:
        CredentialError, VaultError: nothing was entered, or it cannot be used.

    """
    if api == "gocardless":
        url = connection.gocardless.url
        return gocardless.sender(transport, lambda: credentials.gocardless_token(name), connection.environment, url)
    tokens, side = SealedTokens(credentials, name), connection.zoho
    return zoho.sender(transport, lambda: credentials.zoho_client(name), tokens, side.organization_id, now, side.url)
