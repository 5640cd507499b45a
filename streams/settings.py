"""Settings: one TOML file and the environment. A wrong one says which, where, and what is allowed. No secrets live
here.
"""

import copy
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_origin

import msgspec

from domain.policy import Rules
from streams import setting_faults, setting_paths
from streams.setting_faults import Fault, dotted

#: Where the settings file is, when no option says so.
FILE_VARIABLE: Final = "ZOHO_GOCARDLESS_CONFIG"
#: `ZOHO_GOCARDLESS__GATEWAY__PORT=8080` sets `[gateway] port`; two underscores between names.
PREFIX: Final = "ZOHO_GOCARDLESS__"

_FOLDER: Final = "zoho-gocardless"
_FILE: Final = "settings.toml"

#: The consumer group of the stages; on the embedded log, whoever holds it is the running program.
GROUP: Final = "zoho-gocardless"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")

#: Seconds from one walk of a list to the next.
_WalkS = Annotated[int, msgspec.Meta(ge=10, le=7 * 86_400)]


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


class GatewayTable(_Table, frozen=True):
    """Where webhooks, health and metrics are served."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8090


class Polling(_Table, frozen=True):
    """Seconds between two walks of each list.

    Lower: quota is spent on looking (Zoho's smallest plan has 1,000 calls a day). Higher: what no webhook told is
    noticed later.
    """

    gocardless_events_s: _WalkS = 10_800
    gocardless_customers_s: _WalkS = 86_400
    gocardless_mandates_s: _WalkS = 86_400
    zoho_invoices_s: _WalkS = 10_800
    zoho_contacts_s: _WalkS = 43_200
    zoho_currencies_s: _WalkS = 86_400


class Calls(_Table, frozen=True):
    """How calls to the APIs end.

    `deadline_s`: lower, slow answers become unknown outcomes; higher, a dead peer holds its place longer. `settle_s`:
    how long after a deadline an API may still be working on a lost call: lower, a look-up may come too early; higher,
    take-overs take longer. `park_after`: tries before a person is asked; `lookup_again_s`: between look-ups of a list
    that may lag behind writes.
    """

    deadline_s: Annotated[float, msgspec.Meta(ge=0.1, le=120)] = 30.0
    settle_s: Annotated[int, msgspec.Meta(ge=0, le=3_600)] = 30
    park_after: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 30
    lookup_again_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 60


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
    replication: Annotated[int, msgspec.Meta(ge=1, le=15)] = 3
    min_insync: Annotated[int, msgspec.Meta(ge=1, le=15)] = 2
    session_timeout_s: Annotated[float, msgspec.Meta(ge=6, le=300)] = 10.0
    instance: str = ""
    stalled_after_s: Annotated[float, msgspec.Meta(ge=5, le=3_600)] = 120.0


class Settings(_Table, frozen=True):
    """Everything that can be set. `log` and `store` are URLs; `keys` names where the key of the vault is: "env:NAME" or
    "file:/path".
    """

    log: str
    store: str
    keys: str = "env:ZOHO_GOCARDLESS_KEYS"
    topic_prefix: str = ""
    partitions: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    clock: str = ""
    connections: dict[str, Connection] = {}
    gateway: GatewayTable = GatewayTable()
    polling: Polling = Polling()
    calls: Calls = Calls()
    kafka: Kafka = Kafka()


def group_of(settings: Settings) -> str:
    """The group of an installation: several may share a cluster, each under its prefix."""
    return settings.topic_prefix + GROUP


class Origin(NamedTuple):
    """Where settings come from: the file (or "the environment"), its tree, and path → variable of what the environment
    set over it.
    """

    file: str
    tree: Mapping[str, Any] = {}
    variables: Mapping[tuple[str, ...], str] = {}

    def of(self, path: tuple[str, ...]) -> str:
        """The variable or the file to correct: the environment is named only where it set the value itself, or made the
        table that it lies in.
        """
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return self.variables[path[:length]]
        for table in (path, path[:-1]):
            if table and not self._holds(table):
                for below, name in self.variables.items():
                    if below[: len(table)] == table:
                        return name
        return self.file

    def _holds(self, path: tuple[str, ...]) -> bool:
        tree: Any = self.tree
        for part in path:
            if not isinstance(tree, Mapping) or part not in tree:
                return False
            tree = tree[part]
        return True

    def folder(self, path: tuple[str, ...]) -> Path:
        """Where a relative path was probably meant: beside the file, or where a variable's reader stands."""
        where = self.of(path)
        return Path.cwd() if where in self.variables.values() else Path(where).absolute().parent

    def refuse(self, fault: Fault) -> "SettingsError":
        """The error that tells of a fault."""
        where, remedy = self.of(fault.path), fault.remedy
        if fault.near and where in self.variables.values():
            named = next(path for path, name in self.variables.items() if name == where)
            meant = (*fault.near, *named[len(fault.path) :])
            remedy = f"did you mean {PREFIX}{'__'.join(meant).upper()}?"
        return SettingsError(f"{where}: {dotted(fault.path)}: {fault.what}; {remedy}")


def usual_files(variables: Mapping[str, str]) -> list[Path]:
    """Where a settings file is looked for that nothing names, in this order."""
    of_user = Path(variables.get("XDG_CONFIG_HOME", ""))
    if not of_user.is_absolute():
        of_user = Path("~/.config").expanduser() if "HOME" in variables else Path("/etc/xdg")
    return [Path(_FILE), of_user / _FOLDER / _FILE, Path("/etc") / _FOLDER / _FILE]


def settings_file(variables: Mapping[str, str]) -> Path | None:
    """The settings file that the environment names; else the first at a usual place, unless the environment holds all
    that a file must.
    """
    if FILE_VARIABLE in variables:
        return Path(variables[FILE_VARIABLE])
    if all(PREFIX + name in variables for name in ("LOG", "STORE")):
        return None
    return next((path for path in usual_files(variables) if path.is_file()), None)


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file (or the one that `ZOHO_GOCARDLESS_CONFIG` names), then the environment over it. Raises
    `SettingsError`.
    """
    return load_with_origin(path, environment)[0]


def load_with_origin(path: Path | None, environment: Mapping[str, str] | None = None) -> tuple[Settings, Origin]:
    """As `load`, with what tells where each setting comes from. Raises `SettingsError`."""
    variables = os.environ if environment is None else environment
    chosen = path or (Path(variables[FILE_VARIABLE]) if FILE_VARIABLE in variables else None)
    tree = {} if chosen is None else _read(chosen)
    where = "the environment" if chosen is None else str(chosen)
    over = {_parts(name[len(PREFIX) :]): name for name in sorted(variables) if name.startswith(PREFIX)}
    origin = Origin(where, copy.deepcopy(tree), over)
    for parts, name in over.items():
        _set(tree, parts, variables[name], origin)
    settings = decode(tree, where, origin)
    _refuse_relative(settings, origin)
    return settings, origin


#: Tables of the rules whose names are currencies, or ids of GoCardless's: in capitals, as no setting of ours is.
_NAMED_IN_CAPITALS: Final = frozenset(
    field.name for field in msgspec.structs.fields(Rules) if get_origin(field.type) is dict
)


def _parts(name: str) -> tuple[str, ...]:
    """The path of a setting from the rest of a variable's name."""
    *tables, last = name.lower().split("__")
    capitals = bool(tables) and tables[-1] in _NAMED_IN_CAPITALS
    return (*tables, last.upper() if capitals else last)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path.absolute()}: nothing is there; give the path with --config") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the path with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{path}: not settings: a number, or a nesting, is too long to be read") from None


def _set(tree: dict[str, Any], path: tuple[str, ...], value: str, origin: Origin) -> None:
    for count, part in enumerate(path[:-1], start=1):
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            fault = Fault(path[:count], "is not a table", "two underscores stand between a table and a setting in it")
            raise SettingsError(f"{origin.of(path)}: {dotted(fault.path)}: {fault.what}; {fault.remedy}")
        tree = below
    tree[path[-1]] = value


def decode(tree: dict[str, Any], where: str, origin: Origin | None = None) -> Settings:
    """Settings from a tree of tables. Raises `SettingsError` naming the setting, the place and what is allowed."""
    origin = origin or Origin(where, tree)
    fault = next(setting_faults.faults(tree, Settings), None)
    if fault is not None:
        raise origin.refuse(fault)
    settings = msgspec.convert(tree, Settings, strict=False)
    for name in settings.connections:
        if not _NAME.match(name):
            remedy = "use up to 40 of a-z, 0-9, '-' and '_', beginning with a letter or a digit"
            raise origin.refuse(Fault(("connections", name), "is no name of a connection", remedy))
    if settings.kafka.min_insync > settings.kafka.replication:
        remedy = f"use a whole number from 1 to {settings.kafka.replication}, the setting replication"
        raise origin.refuse(Fault(("kafka", "min_insync"), f"{settings.kafka.min_insync} is not allowed", remedy))
    _refuse_shared(settings, origin)
    return settings


def _refuse_relative(settings: Settings, origin: Origin) -> None:
    """A path that leads elsewhere from another folder is refused, with the one to write."""
    kafka, pem = settings.kafka, setting_paths.corrected
    paths: list[tuple[tuple[str, ...], str, Callable[[str, Path], str]]] = [
        (("log",), settings.log, setting_paths.corrected_log),
        (("store",), settings.store, setting_paths.corrected_store),
        (("keys",), settings.keys, setting_paths.corrected_file),
        *(
            ((("kafka", name), value, pem))
            for name, value in (("ca", kafka.ca), ("certificate", kafka.certificate), ("key", kafka.key))
        ),
        (("kafka", "password"), kafka.password, setting_paths.corrected_file),
    ]
    for path, value, corrected in paths:
        found = corrected(value, origin.folder(path))
        if found:
            slashes = ", with four slashes" if found.startswith("sqlite:") else ""
            remedy = f"write {setting_faults.shown(found, len(found))}{slashes}"
            raise origin.refuse(Fault(path, f"{setting_faults.shown(value)} is a relative path", remedy))


def _refuse_shared(settings: Settings, origin: Origin) -> None:
    """An organisation that stood in two connections would have each invoice debited twice (rule 18)."""
    seen: dict[tuple[str, str], str] = {}
    for name, connection in settings.connections.items():
        organization = connection.zoho.organization_id.strip()
        other = seen.setdefault((connection.environment, organization), name)
        if other != name:
            what = f"{organization} is that of connections.{other} as well, and each would collect the same invoices"
            raise origin.refuse(Fault(("connections", name, "zoho", "organization_id"), what, "keep one of the two"))
