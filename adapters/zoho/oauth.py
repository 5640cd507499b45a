"""Access tokens: made rarely, shared by all, never asked for twice at once.

Zoho makes ten access tokens in ten minutes from one refresh token and then closes the door, longer with each further
try; an answer with status 200 may be a refusal; a missing scope looks exactly like a dead token. So a token is used for
most of its hour, one refresh is under way at a time (in this process by a shared task, across processes by the store's
lock), failures are spaced, and a 401 causes one refresh per token at most. Source:
https://www.zoho.com/books/api/v3/oauth/, https://www.zoho.com/accounts/protocol/oauth/web-apps/.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlencode

import msgspec

from adapters.errors import AdapterError, CredentialError, TransportError
from adapters.http import Answer, Call, Transport
from adapters.zoho.regions import Region, RegionError, region_of
from domain.times import add_seconds

#: Age at which a token is replaced, seconds; it lives 3600. Lower: more refreshes than needed. Higher: a token may die
#: between the check and a slow call's arrival.
REFRESH_AGE_S: Final = 3300

#: Age until which a token is still used when no new one can be made. Higher: calls with a dead token, each a 401.
_LAST_AGE_S: Final = 3570

#: Seconds between two tries. Lower than 60: more than ten tokens in ten minutes, and Zoho locks the refresh token.
#: Higher: a longer stop after one lost answer.
_GAP_S: Final = 75

#: Seconds of silence after "Access Denied". Lower: each further try lengthens Zoho's lock. Higher: a stop longer than
#: the lock.
THROTTLED_S: Final = 600

#: The gap doubles with each token refused in a row, this often at most (75 s · 2⁵ = 40 min): a user without the right
#: gets 401 for ever.
_MOST_DOUBLINGS: Final = 5

#: Seconds for one request to the token service. Lower: a slow answer is lost, and the token made counts all the same.
#: Higher: callers wait.
_TOKEN_DEADLINE_S: Final = 20.0

#: The least that the connector needs. Status changes and applying credits are CREATE at Zoho, not UPDATE.
SCOPES: Final = (
    "ZohoBooks.contacts.READ",
    "ZohoBooks.contacts.UPDATE",
    "ZohoBooks.invoices.READ",
    "ZohoBooks.customerpayments.ALL",
    "ZohoBooks.expenses.ALL",
    "ZohoBooks.banking.ALL",
    "ZohoBooks.accountants.READ",
    "ZohoBooks.settings.READ",
)

_MODULE_OF_PATH: Final = {
    "invoices": "invoices",
    "contacts": "contacts",
    "customerpayments": "customerpayments",
    "expenses": "expenses",
    "banktransactions": "banking",
    "bankaccounts": "banking",
    "chartofaccounts": "accountants",
    "settings": "settings",
    "organizations": "settings",
}
_RIGHT_OF_METHOD: Final = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}

_TOKEN: Final = re.compile(r"[\x21-\x7e]{8,2048}\Z")


class TokenState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of one consent; the store seals it. Instants are texts of the clock; "" is none.

    `closed_until`: no try before it. `rejections`: tokens refused in a row by the API. `scopes` empty: Zoho did not
    say.
    """

    refresh_token: str
    accounts_url: str
    access_token: str = ""
    api_url: str = ""
    obtained_at: str = ""
    scopes: tuple[str, ...] = ()
    tried_at: str = ""
    closed_until: str = ""
    rejections: int = 0
    dead: str = ""

    def __repr__(self) -> str:
        """Names no token: this may end in a traceback."""
        return f"TokenState(obtained_at={self.obtained_at!r}, closed_until={self.closed_until!r}, dead={self.dead!r})"


class TokenStore(Protocol):
    """Where the state is kept, sealed. `lock` excludes other processes: whoever holds it is the only one to refresh."""

    async def load(self) -> TokenState | None: ...
    async def save(self, state: TokenState) -> None: ...
    def lock(self) -> AbstractAsyncContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The client registered in Zoho's API console; the secret may differ by data centre."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """A token to call with, and where."""

    token: str = field(repr=False)
    api_url: str
    scopes: tuple[str, ...]


class TokenSource:
    """The access token of one connection."""

    def __init__(
        self,
        transport: Transport,
        key: ClientKey,
        store: TokenStore,
        now: Callable[[], str],
        *,
        table: Sequence[Region] = (),
        sandbox: bool = False,
    ) -> None:
        self._transport = transport
        self._key = key
        self._store = store
        self._now = now
        self._table = tuple(table)
        self._sandbox = sandbox
        self._state: TokenState | None = None
        self._refreshing: asyncio.Task[TokenState] | None = None
        self._rejected = ""
        self._accepted = ""

    async def access(self) -> Access:
        """A token that should work. Raises `CredentialError` (a person must act) or `TransportError` with `sent` False
        (try later).
        """
        state = self._state
        if state is None or not self._young(state, REFRESH_AGE_S) or state.access_token == self._rejected:
            state = await self._shared(self._rejected)
        return Access(state.access_token, state.api_url, state.scopes)

    def rejected(self, access_token: str) -> None:
        """The API answered 401 to this token: the next `access` replaces it, once, and not more often than the gap
        allows.
        """
        self._rejected = access_token

    def accepted(self, access_token: str) -> None:
        """The API took this token: what it refused with it before was not for the token's sake."""
        self._accepted = access_token

    async def _shared(self, rejected: str) -> TokenState:
        """One refresh for all who wait; it goes on when a waiter gives up, since Zoho counts the token it makes."""
        task = self._refreshing
        if task is None or task.done():
            task = asyncio.create_task(self._renew(rejected))
            task.add_done_callback(_seen)
            self._refreshing = task
        return await asyncio.shield(task)

    async def _renew(self, rejected: str) -> TokenState:
        async with self._store.lock():
            state = await self._store.load()
            if state is None:
                raise CredentialError("Zoho Books is not connected: give the connection its consent first")
            self._state = state
            if state.dead:
                raise CredentialError(state.dead)
            if not self._young(state, REFRESH_AGE_S):
                return await self._refresh(state)
            return await self._replace(state) if state.access_token == rejected else state

    async def _replace(self, state: TokenState) -> TokenState:
        """Refresh a token that was refused, unless one was made just now: then it stays, for the calls that it is good
        for.
        """
        refused = 0 if state.access_token == self._accepted else state.rejections
        if state.tried_at and self._now() < add_seconds(state.tried_at, _GAP_S * 2 ** min(refused, _MOST_DOUBLINGS)):
            return self._old(state)
        return await self._refresh(msgspec.structs.replace(state, rejections=refused + 1))

    async def _refresh(self, state: TokenState) -> TokenState:
        now = self._now()
        if now < state.closed_until or (state.tried_at and now < add_seconds(state.tried_at, _GAP_S)):
            return self._old(state)
        # Written before the request: a crash right after it must not lead to a second one at once.
        state = await self._keep(msgspec.structs.replace(state, tried_at=now))
        try:
            region = region_of(state.accounts_url, table=self._table, sandbox=self._sandbox)
        except RegionError:
            raise CredentialError(
                "the stored data centre is not one that this installation knows: connect Zoho Books again"
            ) from None
        form = {"grant_type": "refresh_token", "refresh_token": state.refresh_token}
        try:
            said = _decode(await _ask(self._transport, region, self._key, form))
        except TransportError:
            return self._old(state)
        if said.access_token:
            return await self._keep(_filled(state, said, region, self._now(), self._table, sandbox=self._sandbox))
        if said.throttled:
            return self._old(
                await self._keep(msgspec.structs.replace(state, closed_until=add_seconds(now, THROTTLED_S)))
            )
        if said.error == "invalid_code":
            await self._keep(msgspec.structs.replace(state, access_token="", dead=_TERMINAL[said.error]))
        if said.error in _TERMINAL:
            raise CredentialError(_TERMINAL[said.error])
        return self._old(state)

    def _old(self, state: TokenState) -> TokenState:
        """The token at hand, when no new one can be had and it still lives."""
        if state.access_token and self._young(state, _LAST_AGE_S):
            return state
        raise TransportError("no_token", sent=False)

    async def _keep(self, state: TokenState) -> TokenState:
        await self._store.save(state)
        self._state = state
        return state

    def _young(self, state: TokenState, age_s: int) -> bool:
        return bool(state.access_token and state.obtained_at) and self._now() < add_seconds(state.obtained_at, age_s)


async def redeem(
    transport: Transport,
    key: ClientKey,
    accounts_address: str,
    code: str,
    now: Callable[[], str],
    *,
    redirect_uri: str = "",
    table: Sequence[Region] = (),
    sandbox: bool = False,
) -> TokenState:
    """A grant code → the state to save. `accounts_address`: the callback's `accounts-server`, or the data centre of a
    self-client (which has no `redirect_uri`). Grant codes are good once and for a minute or so. Raises
    `CredentialError` or `TransportError`.
    """
    try:
        region = region_of(accounts_address, table=table, sandbox=sandbox)
    except RegionError as error:
        raise CredentialError(f"the accounts server: {error}") from None
    form = {
        "grant_type": "authorization_code",
        "code": code,
        **({"redirect_uri": redirect_uri} if redirect_uri else {}),
    }
    said = _decode(await _ask(transport, region, key, form))
    if not said.access_token:
        known = {
            **_TERMINAL,
            "invalid_code": "the grant code was used before, or is too old: make a new one and enter it at once",
        }
        raise CredentialError(known.get(said.error, "Zoho refused the grant code; no token was given"))
    if not said.refresh_token:
        raise CredentialError("Zoho gave no refresh token: ask for consent with access_type=offline and prompt=consent")
    moment = now()
    state = TokenState(refresh_token=said.refresh_token, accounts_url=region.accounts_url, tried_at=moment)
    return _filled(state, said, region, moment, table, sandbox=sandbox)


def missing_scopes(granted: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Which of the wanted scopes a consent lacks; none, when Zoho did not say what it granted."""
    return [scope for scope in wanted if granted and not _covered(scope, frozenset(granted))]


def scope_for(call: Call) -> str:
    """The scope a call needs, "" where the path is not one of ours."""
    module = _MODULE_OF_PATH.get(call.path.split("/")[1] if call.path.startswith("/") else "", "")
    return f"ZohoBooks.{module}.{_RIGHT_OF_METHOD[call.method]}" if module else ""


def _covered(scope: str, granted: frozenset[str]) -> bool:
    whole = f"{scope.rsplit('.', 1)[0]}.ALL"
    held = {name.lower() for name in granted}
    if scope.endswith(".ALL") and scope.lower() not in held:
        rights = (f"{scope.rsplit('.', 1)[0]}.{right}".lower() for right in _RIGHT_OF_METHOD.values())
        return "zohobooks.fullaccess.all" in held or all(right in held for right in rights)
    return bool({scope.lower(), whole.lower(), "zohobooks.fullaccess.all"} & held)


class _Said(msgspec.Struct, frozen=True):
    """The token service's answer; `error` is set where there is no token, whatever the status."""

    access_token: str = ""
    refresh_token: str = ""
    scope: str = ""
    api_domain: str = ""
    error: str = ""

    @property
    def throttled(self) -> bool:
        return self.error.lower() == "access denied"

    def __repr__(self) -> str:
        return f"_Said(error={self.error!r})"


_TERMINAL: Final = {
    "invalid_code": (
        "Zoho no longer accepts the refresh token: it was revoked, its user left, or a 21st consent of the same user "
        "pushed it out. "
        "Connect Zoho Books again, with a user that serves this alone"
    ),
    "invalid_client": (
        "Zoho does not know this client id in this data centre: check the id, and that the client is open to all data "
        "centres"
    ),
    "invalid_client_secret": "Zoho refuses the client secret: each data centre may have its own",
    "invalid_redirect_uri": "the redirect address differs from the one registered at Zoho",
    "access_denied": "consent was refused at Zoho",
}
_decode_said: Final = msgspec.json.Decoder(_Said).decode


async def _ask(transport: Transport, region: Region, key: ClientKey, form: dict[str, str]) -> Answer:
    """One request to the token service, its secrets in the body, not in the address."""
    body = urlencode({**form, "client_id": key.client_id, "client_secret": key.client_secret}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    call = Call("POST", "/oauth/v2/token", body=body, headers=headers)
    try:
        return await transport.exchange(region.accounts_url, call, {}, deadline_s=_TOKEN_DEADLINE_S)
    except TransportError as error:
        # To the caller, whatever happened here, its own call was not sent.
        raise TransportError(error.reason, sent=False) from None


def _decode(answer: Answer) -> _Said:
    """What the service said, judged by the presence of a token. Raises `TransportError` when it is not its answer at
    all.
    """
    try:
        said = _decode_said(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TransportError("malformed", sent=False) from None
    if said.access_token and _TOKEN.match(said.access_token) is None:
        raise TransportError("malformed", sent=False)
    return said


def _filled(
    state: TokenState, said: _Said, asked: Region, now: str, table: Sequence[Region], *, sandbox: bool
) -> TokenState:
    """The state with a new token. Its `api_domain` says where to call, when it is an address of Zoho; else the place
    that was asked.
    """
    try:
        region = region_of(said.api_domain, table=table, sandbox=sandbox)
    except RegionError:
        region = asked
    scopes = tuple(sorted(re.split(r"[\s,]+", said.scope.strip()))) if said.scope.strip() else state.scopes
    return msgspec.structs.replace(
        state,
        access_token=said.access_token,
        api_url=region.api_url,
        obtained_at=now,
        scopes=scopes,
        closed_until="",
        dead="",
    )


def _seen(task: asyncio.Task[TokenState]) -> None:
    """Take note of a failure that every waiter was cancelled before seeing."""
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, AdapterError):
        task.get_loop().call_exception_handler({"message": "a token refresh failed", "exception": error, "task": task})
