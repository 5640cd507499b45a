"""`connect`: the credentials of a connection, from files, the environment or a prompt; never from the command line,
which others see.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from adapters.errors import CredentialError
from adapters.http import HttpTransport
from adapters.vault import MAX_SECRET_BYTES
from adapters.zoho.oauth import SCOPES, ClientKey, TokenState, missing_scopes, redeem
from adapters.zoho.regions import REGIONS, simulator
from projections.store.store import open_store
from projections.work.secrets import Secrets
from streams.cli.codes import OK, PERSON
from streams.cli.command import CliCommand, Reply, Session, text
from streams.credentials import GOCARDLESS_TOKEN, ZOHO_CLIENT, ZOHO_TOKEN, Credentials, open_vault
from streams.operate.installation import opened_clock
from streams.settings import Connection, SettingsError

#: `ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN` and so on; a webhook's ends in its label: `…_WEBHOOK_ZOHO_MAIN`.
PREFIX: Final = "ZOHO_GOCARDLESS_SECRET_"
_APIS: Final = ("gocardless", "zoho")

_F = TypeVar("_F", bound=Callable[..., Any])

_encode: Final = msgspec.json.Encoder().encode


class _Given(msgspec.Struct):
    """What was entered; "" is nothing. `webhooks` by (api, label)."""

    gocardless: str = ""
    client: str = ""
    grant: str = ""
    refresh: str = ""
    webhooks: dict[tuple[str, str], str] = {}

    @property
    def any(self) -> bool:
        return bool(self.gocardless or self.client or self.grant or self.refresh or self.webhooks)


def _file(what: str, help_text: str) -> Callable[[_F], _F]:
    return click.option(f"--{what}-file", type=click.Path(path_type=Path, dir_okay=False), help=help_text)


@click.command(cls=CliCommand)
@click.argument("name")
@_file("gocardless-token", "Holds the GoCardless access token.")
@_file("zoho-client", 'Holds {"client_id": …, "client_secret": …} of the client registered in Zoho\'s API console.')
@_file("zoho-grant-code", "Holds a fresh grant code of Zoho; it is good once, for a minute or so.")
@_file("zoho-refresh-token", "Holds a refresh token of Zoho.")
@click.option("--zoho-region", help=f"Zoho's data centre, if the settings do not say it: {', '.join(sorted(REGIONS))}.")
@click.option(
    "--webhook-secret-file",
    "webhooks",
    multiple=True,
    metavar="API:LABEL=PATH",
    help="Holds a webhook secret; several by label.",
)
@click.option("--remove-webhook-secret", "removed", multiple=True, metavar="API:LABEL", help="Forget a webhook secret.")
@click.option("--remove", is_flag=True, help="Forget every credential of the connection.")
def connect(
    session: Session, name: str, zoho_region: str | None, remove: bool, removed: tuple[str, ...], **files: Any
) -> Reply:
    """Enter the credentials of the connection NAME.

    From files; else from the environment (ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN, …_ZOHO_CLIENT, …_ZOHO_GRANT_CODE,
    …_ZOHO_REFRESH_TOKEN, …_WEBHOOK_GOCARDLESS_LABEL, …_WEBHOOK_ZOHO_LABEL); else it asks for each, without showing what
    is typed. What is not given stays.
    """
    connection = session.settings.connections[session.connection(name)]
    if remove or removed:
        return _forget(session, name, [_named(one) for one in removed], everything=remove)
    given = _from_files(files)
    if not given.any:
        given = _from_environment()
    if not given.any and sys.stdin.isatty():
        given = _from_prompts()
    if not given.any:
        raise click.UsageError(
            "no credential was given: name a file, set a variable, or run it on a terminal", click.get_current_context()
        )
    held, lacking = session.run(_keep(session, name, connection, given, zoho_region or connection.zoho.region))
    lines = [f"{name} has: {', '.join(held)}", *_missing(name, held)]
    if lacking:
        lines.append(
            f"Zoho's consent lacks {', '.join(lacking)}: make a grant code with these scopes as well, and enter it."
        )
    data = {"connection": name, "credentials": held, "missing_scopes": lacking}
    return Reply(data, text(*lines), PERSON if lacking else OK)


def _missing(name: str, held: list[str]) -> list[str]:
    wanted = {
        GOCARDLESS_TOKEN: "the GoCardless token",
        ZOHO_CLIENT: "Zoho's client",
        ZOHO_TOKEN: "Zoho's consent",
        "gocardless.webhook.": "a webhook secret of GoCardless",
        "zoho.webhook.": "a webhook secret of Zoho",
    }
    lacking = [what for prefix, what in wanted.items() if not any(one.startswith(prefix) for one in held)]
    return (
        [f"Still missing: {', '.join(lacking)}."]
        if lacking
        else [f"Next: `zoho-gocardless run`, then `zoho-gocardless check {name}`."]
    )


# --- where credentials come from ---


def _from_files(files: dict[str, Any]) -> _Given:
    found = _Given(
        _read(files["gocardless_token_file"]),
        _read(files["zoho_client_file"]),
        _read(files["zoho_grant_code_file"]),
        _read(files["zoho_refresh_token_file"]),
    )
    for one in files["webhooks"]:
        named, _, path = one.partition("=")
        if not path:
            raise click.BadParameter(
                "use API:LABEL=PATH, as in gocardless:main=/run/secrets/gc", param_hint="--webhook-secret-file"
            )
        api_and_label = _named(named)
        found.webhooks[api_and_label] = _read(Path(path))
    return found


def _named(text_: str) -> tuple[str, str]:
    api, _, label = text_.partition(":")
    if api not in _APIS or not label.replace("-", "").replace("_", "").isalnum() or len(label) > 40:
        raise click.BadParameter("use API:LABEL, as in zoho:main, with letters, digits, '-' and '_'")
    return api, label


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            found = file.read(MAX_SECRET_BYTES + 1).decode("ascii").strip()
    except UnicodeDecodeError:
        raise CredentialError(f"the file {path} does not hold a credential: it is not plain text") from None
    if not found:
        raise CredentialError(f"the file {path} is empty")
    return found


def _from_environment() -> _Given:
    def of(name: str) -> str:
        return os.environ.get(PREFIX + name, "").strip()

    found = _Given(of("GOCARDLESS_TOKEN"), of("ZOHO_CLIENT"), of("ZOHO_GRANT_CODE"), of("ZOHO_REFRESH_TOKEN"))
    for api in _APIS:
        prefix = f"{PREFIX}WEBHOOK_{api.upper()}_"
        for name in sorted(os.environ):
            if name.startswith(prefix) and os.environ[name].strip():
                found.webhooks[_named(f"{api}:{name.removeprefix(prefix).lower()}")] = os.environ[name].strip()
    return found


def _from_prompts() -> _Given:
    def ask(what: str) -> str:
        return str(
            click.prompt(
                f"{what} (Enter keeps what is there)", hide_input=True, default="", show_default=False, err=True
            )
        ).strip()

    found = _Given(ask("GoCardless access token"))
    client_id = str(
        click.prompt("Zoho client id (Enter keeps what is there)", default="", show_default=False, err=True)
    ).strip()
    if client_id:
        found.client = _encode({"client_id": client_id, "client_secret": ask("Zoho client secret")}).decode()
    found.grant = ask("Zoho grant code")
    for api in _APIS:
        if secret := ask(f"Webhook secret of {api}"):
            found.webhooks[api, "main"] = secret
    return found


# --- keeping them ---


def _client(value: str) -> ClientKey:
    try:
        found = msgspec.json.decode(value, type=dict[str, str])
        return ClientKey(found["client_id"], found["client_secret"])
    except (msgspec.DecodeError, KeyError):
        raise CredentialError('Zoho\'s client: expected JSON with "client_id" and "client_secret"') from None


async def _keep(
    session: Session, name: str, connection: Connection, given: _Given, region: str
) -> tuple[list[str], list[str]]:
    vault = open_vault(session.settings.keys)
    lacking: list[str] = []
    async with opened_clock(session.making()) as clock:
        with open_store(session.settings.store, now=clock.now()) as store:
            credentials = Credentials(store, vault)
            if given.client:
                key = _client(given.client)
                credentials.put(
                    name, ZOHO_CLIENT, _encode({"client_id": key.client_id, "client_secret": key.client_secret})
                )
            if given.gocardless:
                credentials.put(name, GOCARDLESS_TOKEN, given.gocardless.encode())
            for (api, label), secret in given.webhooks.items():
                credentials.put(name, f"{api}.webhook.{label}", secret.encode())
            if given.grant:
                lacking = await _consent(credentials, name, connection, given.grant, region, clock.now())
            elif given.refresh:
                state = TokenState(refresh_token=given.refresh, accounts_url=_accounts(connection, region))
                credentials.put(name, ZOHO_TOKEN, _encode(state))
            return [held for owner, held in Secrets(store).names() if owner == name], lacking


def _accounts(connection: Connection, region: str) -> str:
    if connection.zoho.url:
        return connection.zoho.url
    if region not in REGIONS:
        known = ", ".join(sorted(REGIONS))
        raise SettingsError(
            f"the settings: zoho.region {region[:16]!r} is not a data centre of Zoho; use one of {known}"
        )
    return REGIONS[region].accounts_url


async def _consent(
    credentials: Credentials, name: str, connection: Connection, code: str, region: str, now: str
) -> list[str]:
    async with HttpTransport() as http:
        accounts = _accounts(connection, region)
        client = credentials.zoho_client(name)
        table = [simulator(connection.zoho.url)] if connection.zoho.url else []
        state = await redeem(http, client, accounts, code, lambda: now, table=table)
    credentials.put(name, ZOHO_TOKEN, _encode(state))
    return missing_scopes(state.scopes, SCOPES)


def _forget(session: Session, name: str, removed: list[tuple[str, str]], *, everything: bool) -> Reply:
    with open_store(session.existing("store").store) as store:
        kept = Secrets(store)
        held = [one for owner, one in kept.names() if owner == name]
        gone = held if everything else [f"{api}.webhook.{label}" for api, label in removed]
        unknown = [one for one in gone if one not in held]
        if unknown:
            raise CredentialError(f"connection {name} has no {', '.join(unknown)}")
        for one in gone:
            kept.delete(name, one)
    return Reply(
        {"connection": name, "removed": gone}, text(f"{name} has lost: {', '.join(gone) or 'nothing, it had none'}")
    )
