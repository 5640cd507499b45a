"""Settings: one TOML file and the environment. A wrong one says which, where, and what is allowed. No secrets live
here.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from domain.policy import Rules

#: Where the settings file is, when no option says so.
FILE_VARIABLE: Final = "ZOHO_GOCARDLESS_CONFIG"
#: `ZOHO_GOCARDLESS__GATEWAY__PORT=8080` sets `[gateway] port`; two underscores between names.
PREFIX: Final = "ZOHO_GOCARDLESS__"

#: The consumer group of the stages; on the embedded log, whoever holds it is the running program.
GROUP: Final = "zoho-gocardless"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")


class SettingsError(Exception):
    """A setting that cannot be: the message says which, where, and what is allowed."""

    retriable = False


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a table: an unknown name is refused, since it is a misspelt one."""


class GoCardless(_Table, frozen=True):
    """One side of a connection. `url` replaces the environment's own address (the sandbox program, a proxy)."""

    url: str = ""


class Zoho(_Table, frozen=True):
    """The other side. `region` is a code of `adapters.zoho.regions` ("eu"); `url` is for the sandbox program, on
    loopback only.
    """

    organization_id: str
    region: str = ""
    url: str = ""


class Connection(_Table, frozen=True):
    """One Zoho Books organisation paired with one GoCardless creditor, in one environment. The custom fields are Zoho's
    api names.
    """

    environment: Literal["sandbox", "live"]
    zoho: Zoho
    gocardless: GoCardless = GoCardless()
    unique_field: str = "cf_gocardless_key"
    payer_link_field: str = "cf_gocardless_customer"
    rules: Rules = Rules()


class Gateway(_Table, frozen=True):
    """Where webhooks, health and metrics are served."""

    host: str = "127.0.0.1"
    port: int = 8090


class Polling(_Table, frozen=True):
    """Seconds between two walks of each list.

    Lower: quota is spent on looking (Zoho's smallest plan has 1,000 calls a day). Higher: what no webhook told is
    noticed later.
    """

    gocardless_events_s: int = 10_800
    gocardless_customers_s: int = 86_400
    gocardless_mandates_s: int = 86_400
    zoho_invoices_s: int = 10_800
    zoho_contacts_s: int = 43_200
    zoho_currencies_s: int = 86_400


class Calls(_Table, frozen=True):
    """How calls to the APIs end.

    `deadline_s`: lower, slow answers become unknown outcomes; higher, a dead peer holds its place longer. `settle_s`:
    how long after a deadline an API may still be working on a lost call: lower, a look-up may come too early; higher,
    take-overs take longer. `park_after`: tries before a person is asked; `lookup_again_s`: between look-ups of a list
    that may lag behind writes.
    """

    deadline_s: float = 30.0
    settle_s: int = 30
    park_after: int = 30
    lookup_again_s: int = 60


class Kafka(_Table, frozen=True):
    """How the brokers of `kafka://…` are reached, and how our topics are kept there.

    `security` "tls" checks the brokers' certificate against `ca` (a PEM file; "" the system's own authorities);
    `certificate` and `key` (PEM files) are ours where the brokers ask for one. `sasl` logs in as `username` with the
    secret that `password` names: "env:NAME" or "file:/path". `replication` and `min_insync`: copies of each partition,
    and how many must have a record before it is acknowledged; lower than 3 and 2, a lost disk loses acknowledged
    records. `session_timeout_s`: silence after which a worker's partitions go to others; lower, a short stall costs a
    rebalance; higher, a take-over takes longer. `instance`: a name that stays with a worker over restarts, so that a
    quick one costs no rebalance; "" for none. `stalled_after_s`: how long a worker may make no progress with records
    waiting before it ends itself to be restarted; lower, a slow database looks like a stall; higher, a stall lasts
    longer.
    """

    security: Literal["plaintext", "tls"] = "plaintext"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    sasl: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    username: str = ""
    password: str = ""
    replication: int = 3
    min_insync: int = 2
    session_timeout_s: float = 10.0
    instance: str = ""
    stalled_after_s: float = 120.0


class Settings(_Table, frozen=True):
    """Everything that can be set. `log` and `store` are URLs; `keys` names where the key of the vault is: "env:NAME" or
    "file:/path".
    """

    log: str
    store: str
    keys: str = "env:ZOHO_GOCARDLESS_KEYS"
    topic_prefix: str = ""
    partitions: int = 8
    clock: str = ""
    connections: dict[str, Connection] = {}
    gateway: Gateway = Gateway()
    polling: Polling = Polling()
    calls: Calls = Calls()
    kafka: Kafka = Kafka()


def group_of(settings: Settings) -> str:
    """The group of an installation: several may share a cluster, each under its prefix."""
    return settings.topic_prefix + GROUP


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file (or the one that `ZOHO_GOCARDLESS_CONFIG` names), then the environment over it. Raises
    `SettingsError`.
    """
    variables = os.environ if environment is None else environment
    chosen = path or (Path(variables[FILE_VARIABLE]) if FILE_VARIABLE in variables else None)
    tree: dict[str, Any] = {}
    where = "the environment"
    if chosen is not None:
        where = str(chosen)
        try:
            tree = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{chosen}: cannot be read ({error.strerror}); give the path with --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{chosen}: not TOML: {error}") from None
    for name in sorted(name for name in variables if name.startswith(PREFIX)):
        _set(tree, name[len(PREFIX) :].lower().split("__"), variables[name], name)
    return decode(tree, where)


def _set(tree: dict[str, Any], path: list[str], value: str, name: str) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise SettingsError(f"{name}: {part} is not a table")
        tree = below
    tree[path[-1]] = value


def decode(tree: dict[str, Any], where: str) -> Settings:
    """Settings from a tree of tables. Raises `SettingsError` naming the setting, the place and what is allowed."""
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        at = text.rsplit("`$.", 1)[1].rstrip("`") if "`$." in text else "the top level"
        raise SettingsError(f"{where}: {at}: {text.split(' - at ', maxsplit=1)[0]}") from None
    for name in settings.connections:
        if not _NAME.match(name):
            raise SettingsError(f"{where}: connections.{name}: use up to 40 of a-z, 0-9, '-' and '_'")
    _check_numbers(settings, where)
    _refuse_shared(settings, where)
    return settings


def _refuse_shared(settings: Settings, where: str) -> None:
    """An organisation that stood in two connections would have each invoice debited twice (rule 18)."""
    seen: dict[tuple[str, str], str] = {}
    for name, connection in settings.connections.items():
        organization = connection.zoho.organization_id.strip()
        other = seen.setdefault((connection.environment, organization), name)
        if other != name:
            raise SettingsError(
                f"{where}: connections.{name}.zoho.organization_id: {organization} is that of connections.{other} as "
                f"well; each would "
                "collect the same invoices. Keep one of the two"
            )


def _check_numbers(settings: Settings, where: str) -> None:
    bounds: dict[str, tuple[float, float, float]] = {
        "gateway.port": (settings.gateway.port, 0, 65_535),
        "partitions": (settings.partitions, 1, 256),
        "calls.deadline_s": (settings.calls.deadline_s, 0.1, 120),
        "calls.settle_s": (settings.calls.settle_s, 0, 3_600),
        "calls.park_after": (settings.calls.park_after, 1, 1_000),
        "calls.lookup_again_s": (settings.calls.lookup_again_s, 1, 3_600),
        "kafka.replication": (settings.kafka.replication, 1, 15),
        "kafka.min_insync": (settings.kafka.min_insync, 1, settings.kafka.replication),
        "kafka.session_timeout_s": (settings.kafka.session_timeout_s, 6, 300),
        "kafka.stalled_after_s": (settings.kafka.stalled_after_s, 5, 3_600),
    }
    for field in Polling.__struct_fields__:
        bounds[f"polling.{field}"] = (getattr(settings.polling, field), 10, 7 * 86_400)
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise SettingsError(f"{where}: {name}: {value} is not within {low:g} to {high:g}")
