"""Zoho's data centres, and the check that an address is one of them.

Tokens and calls belong to the data centre where the organisation lives: the same client id at the wrong one is "invalid
client". The address comes from outside (an OAuth callback's `accounts-server`, a token's `api_domain`), so it is
compared with this table before a secret or a token is sent to it. The country of a business says nothing about its data
centre. Source: https://www.zoho.com/books/api/v3/introduction/ (the confirmed rows),
https://www.zoho.com/accounts/protocol/oauth/multi-dc.html.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

#: Longest address looked at. Lower: a long host of a future data centre is refused. Higher: nothing is gained; hosts
#: end at 253.
_MAX_ADDRESS: Final = 300

_LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class RegionError(ValueError):
    """An address that is not one of Zoho's; a secret must not be sent there."""


@dataclass(frozen=True, slots=True)
class Region:
    """One data centre. The urls have no path and no trailing slash. `confirmed`: Zoho Books lists it (else: of other
    Zoho products).
    """

    code: str
    accounts_url: str
    api_url: str
    app_url: str
    confirmed: bool = True
    aliases: frozenset[str] = field(default=frozenset())
    """Further hosts that mean this data centre ("api.zoho.eu", which an accounts page shows as `api_domain`)."""


def _host_of(address: str) -> str:
    """The bare host of an https address; anything more than a host in it is refused, not cut off."""
    if len(address) > _MAX_ADDRESS or not address.isascii() or any(c.isspace() or c in "\\@%" for c in address):
        raise RegionError("not an address of Zoho: unexpected characters")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise RegionError("not an address of Zoho: malformed") from None
    if (
        parts.scheme != "https"
        or not host
        or port is not None
        or parts.path not in ("", "/")
        or "?" in address
        or "#" in address
    ):
        raise RegionError("not an address of Zoho: expected https and a host, nothing more")
    return host


def region(
    code: str, accounts_host: str, api_host: str, app_host: str, *, confirmed: bool = True, aliases: Iterable[str] = ()
) -> Region:
    """A row of the table from bare host names: how an operator adds a data centre that Zoho opens after this was
    written.
    """
    for host in (accounts_host, api_host, app_host, *aliases):
        if _host_of(f"https://{host}") != host:
            raise RegionError(f"data centre {code[:16]!r}: expected bare lower-case host names")
    return Region(
        code, f"https://{accounts_host}", f"https://{api_host}", f"https://{app_host}", confirmed, frozenset(aliases)
    )


#: By code, which is also the callback's `location`. CA's hosts do not follow the pattern of the others.
REGIONS: Final[dict[str, Region]] = {
    row.code: row
    for row in (
        *(
            region(
                code, f"accounts.zoho.{top}", f"www.zohoapis.{top}", f"books.zoho.{top}", aliases=(f"api.zoho.{top}",)
            )
            for code, top in (
                ("us", "com"),
                ("eu", "eu"),
                ("in", "in"),
                ("au", "com.au"),
                ("jp", "jp"),
                ("cn", "com.cn"),
                ("sa", "sa"),
            )
        ),
        region("ca", "accounts.zohocloud.ca", "www.zohoapis.ca", "books.zohocloud.ca", aliases=("api.zohocloud.ca",)),
        *(
            region(code, f"accounts.zoho.{code}", f"www.zohoapis.{code}", f"books.zoho.{code}", confirmed=False)
            for code in ("uk", "ae")
        ),
    )
}


def simulator(url: str) -> Region:
    """The row of the simulators, at the address that the settings name: for `table`, and matched whole, port and
    all.
    """
    url = url.rstrip("/")
    return Region("sandbox", url, url, url, confirmed=False)


def region_of(address: str, *, table: Iterable[Region] = (), sandbox: bool = False) -> Region:
    """The data centre of an accounts, API or app address ("https://accounts.zoho.eu", "www.zohoapis.eu").

    `table` adds an operator's rows to `REGIONS`. `sandbox` also accepts this machine (http, any port), for the
    simulators only. Raises `RegionError` for everything else: another host, a port, a path, user info, plain http.
    """
    if sandbox and (local := _loopback(address)) is not None:
        return local
    for row in table:
        if address.rstrip("/") == row.accounts_url:
            return row
    host = _host_of(address if "://" in address else f"https://{address}")
    for row in (*REGIONS.values(), *table):
        if host in row.aliases or f"https://{host}" in (row.accounts_url, row.api_url, row.app_url):
            return row
    raise RegionError("not a data centre of Zoho that this installation knows")


def _loopback(address: str) -> Region | None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if (
        parts.scheme != "http"
        or host not in _LOOPBACK_HOSTS
        or parts.username is not None
        or parts.path not in ("", "/")
        or parts.query
    ):
        return None
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}" if port is None else f"http://{shown}:{port}"
    return Region("sandbox", url, url, url, confirmed=False)
