"""The accounts server (reference 1): grants, refresh tokens, access tokens, their limits and their deaths.

Errors are `{"error": ...}` with HTTP 200, so a client has to look for `access_token`. All times are simulated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.zoho.errors import MalformedError, UnauthorizedError
from sandbox.zoho.identity import Identity

ACCESS_LIFE = timedelta(seconds=3600)
# The pages name 60 s to 3 min; the shortest makes a slow client fail here rather than there.
GRANT_LIFE = timedelta(seconds=60)
ACTIVE_MAX = 15
REFRESH_TOKENS_MAX = 20
THROTTLE_MAX = 10
THROTTLE_WINDOW = timedelta(minutes=10)
HEADER_WORD = "Zoho-oauthtoken"
FULL_ACCESS = "ZohoBooks.fullaccess.all"

Document = dict[str, Any]


@dataclass(slots=True)
class _Refresh:
    scope: str
    access: list[str] = field(default_factory=list)
    issued: list[datetime] = field(default_factory=list)
    locked_until: datetime | None = None


@dataclass(slots=True)
class _Grant:
    scope: str
    redirect_uri: str
    offline: bool
    expires: datetime


class OAuth:
    """One client and one user. Tokens depend on the seed and on how many were made before."""

    def __init__(self, ids: Identity, now: Callable[[], datetime]) -> None:
        self._ids = ids
        self._now = now
        self.client_id = f"1000.{ids.hex('client', 'id', 15).upper()}"
        self.client_secret = ids.hex("client", "secret", 21)
        # Empty: any redirect address is taken as registered.
        self.redirect_uri = ""
        self.throttle_status = 400
        self._grants: dict[str, _Grant] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._access: dict[str, tuple[str, datetime]] = {}
        self._made = 0

    def grant(self, scope: str, redirect_uri: str = "", *, offline: bool = True) -> str:
        """A grant code, good once, as the consent page or the API console gives."""
        code = self._token("grant")
        self._grants[code] = _Grant(scope, redirect_uri, offline, self._now() + GRANT_LIFE)
        return code

    def lives(self, refresh_token: str) -> bool:
        return refresh_token in self._refresh

    def issue_refresh(self, scope: str) -> str:
        """A refresh token; the 21st silently ends the oldest, with its access tokens."""
        token = self._token("refresh")
        self.take_refresh(token, scope)
        return token

    def take_refresh(self, token: str, scope: str) -> None:
        """Let a refresh token that a scenario has thought of be good, as if it had been issued here."""
        self._refresh[token] = _Refresh(scope)
        if len(self._refresh) > REFRESH_TOKENS_MAX:
            self._end(next(iter(self._refresh)))

    def token(self, form: Mapping[str, str], api_domain: str) -> tuple[int, Document]:
        """`POST /oauth/v2/token`: the status and the body."""
        if form.get("client_id") != self.client_id:
            return 200, {"error": "invalid_client"}
        if form.get("client_secret") != self.client_secret:
            return 200, {"error": "invalid_client_secret"}
        if form.get("grant_type") == "authorization_code":
            return self._exchange(form, api_domain)
        if form.get("grant_type") == "refresh_token":
            return self._renew(form.get("refresh_token", ""), api_domain)
        return 200, {"error": "general_error"}

    def revoke(self, token: str) -> bool:
        """Ends a refresh token and its access tokens, or an access token. Says whether there was one."""
        if token in self._refresh:
            self._end(token)
            return True
        return self._access.pop(token, None) is not None

    def authorize(self, header: str) -> str:
        """The scope of the access token in an Authorization header.

        Raises MalformedError (14) for another word or no token, UnauthorizedError (57) for a dead or unknown one.
        """
        word, _, token = header.partition(" ")
        if word != HEADER_WORD or not token.startswith("1000."):
            raise MalformedError
        refresh, expires = self._access.get(token, ("", self._now()))
        if refresh not in self._refresh or expires <= self._now():
            raise UnauthorizedError
        return self._refresh[refresh].scope

    def kill_access_tokens(self) -> None:
        """Every access token dies at once; refresh tokens live."""
        self._access.clear()

    def kill_refresh_tokens(self) -> None:
        """Every refresh token dies, as when the user is removed: refreshing gives invalid_code."""
        for token in list(self._refresh):
            self._end(token)

    def state(self) -> Document:
        return {"refresh_tokens": len(self._refresh), "access_tokens": len(self._access), "tokens_made": self._made}

    def _exchange(self, form: Mapping[str, str], api_domain: str) -> tuple[int, Document]:
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or grant.expires <= self._now():
            return 200, {"error": "invalid_code"}
        if grant.redirect_uri and grant.redirect_uri != form.get("redirect_uri"):
            return 200, {"error": "invalid_redirect_uri"}
        refresh = self.issue_refresh(grant.scope)
        status, document = self._renew(refresh, api_domain)
        if grant.offline:
            return status, {"access_token": document.pop("access_token"), "refresh_token": refresh, **document}
        return status, document

    def _renew(self, refresh: str, api_domain: str) -> tuple[int, Document]:
        held = self._refresh.get(refresh)
        if held is None:
            return 200, {"error": "invalid_code"}
        now = self._now()
        held.issued = [at for at in held.issued if at + THROTTLE_WINDOW > now]
        if (held.locked_until and held.locked_until > now) or len(held.issued) >= THROTTLE_MAX:
            # Further tries lengthen the lock (reference 1.4).
            held.locked_until = now + THROTTLE_WINDOW
            return self.throttle_status, {
                "error_description": "You have made too many requests continuously. Please try again after some time.",
                "error": "Access Denied",
                "status": "failure",
            }
        held.issued.append(now)
        held.access = [token for token in held.access if self._access.get(token, ("", now))[1] > now]
        while len(held.access) >= ACTIVE_MAX:
            self._access.pop(held.access.pop(0), None)
        token = self._token("access")
        held.access.append(token)
        self._access[token] = (refresh, now + ACCESS_LIFE)
        return 200, {
            "access_token": token,
            "scope": held.scope.replace(",", " "),
            "api_domain": api_domain,
            "token_type": "Bearer",
            "expires_in": int(ACCESS_LIFE.total_seconds()),
        }

    def _end(self, refresh: str) -> None:
        for token in self._refresh.pop(refresh).access:
            self._access.pop(token, None)

    def _token(self, kind: str) -> str:
        self._made += 1
        parts = (self._ids.hex(f"{kind} {half}", str(self._made)) for half in ("first", "second"))
        return ".".join(("1000", *parts))


def covers(granted: str, needed: str) -> bool:
    """Whether a scope list (commas or blanks between) holds a scope, or its module's ALL, or full access."""
    held = {scope.lower() for scope in granted.replace(",", " ").split()}
    module = needed.rpartition(".")[0]
    return not held.isdisjoint({needed.lower(), f"{module}.all".lower(), FULL_ACCESS.lower()})
