"""A real PostgreSQL for tests and benches, from the first of these that is there.

1. `POSTGRES_URL` or `TEST_POSTGRES_URL`: the server at that address, whose user may create databases;
2. a Docker engine: `postgres` in a container;
3. an installed PostgreSQL (`initdb` in PATH, or under /usr/lib/postgresql): a server of our own on the loopback;
4. the `pgserver` package: a server of its own, from a wheel;
5. none: `Missing`, naming what was looked for.

`databases` climbs that ladder. A `Server` (the third step) can also be killed and started again: tests of faults ask
for it.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

import psycopg
import sqlalchemy as sa

from tests.support.kept_process import KeptProcess
from tests.support.servers_found import Missing, and_also, docker_answers, free_ports, wait_until

_IMAGE: Final = "postgres:17-alpine"
_USER: Final = "postgres"
_DEBIAN: Final = Path("/usr/lib/postgresql")
# A start takes under a second, the recovery of a small database little more, an image's first start 5 s. Lower: a
# loaded machine counts as broken; higher: a broken one is seen later.
_ANSWERS_WITHIN_S: Final = 60.0
# Durability as installed. The shared memory is small because several servers share a test machine; connections are many
# because a test of a whole installation opens a pool in each of its processes.
_SETTINGS: Final = {"shared_buffers": "64MB", "max_connections": "200", "log_min_messages": "warning"}


class Databases:
    """A server that somebody runs, and databases of our own in it."""

    def __init__(self, url: str) -> None:
        """`url`: postgresql://user:password@host:port/database, of a user who may create databases."""
        self._admin = sa.make_url(url)

    def url(self, database: str) -> str:
        return self._admin.set(database=database).render_as_string(hide_password=False)

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = _name()
        self._execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Ends the connections to it first."""
        self._execute(f'DROP DATABASE IF EXISTS "{sa.make_url(url).database}" WITH (FORCE)')

    def copy(self, url: str) -> str:
        """The URL of a new database equal to that one now: a backup, to be gone back to. Ends the connections to `url`
        first.
        """
        database, name = sa.make_url(url).database, _name()
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s"
        with self._connect() as connection:
            connection.execute(
                f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'
            )  # or they are back before the copy begins
            try:
                connection.execute(end, (database,))
                connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{database}"')
            finally:
                connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
        return self.url(name)

    def restore(self, url: str, copy: str) -> None:
        """Put `copy` in the place of the database at `url`, under its name: a failover to a standby that lagged. Ends
        the connections.
        """
        self.drop(url)
        self._execute(f'ALTER DATABASE "{sa.make_url(copy).database}" RENAME TO "{sa.make_url(url).database}"')

    def answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            self._admin.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
        )

    def _execute(self, statement: str) -> None:
        with self._connect() as connection:
            connection.execute(statement)


class Server(Databases):
    """An installed PostgreSQL on a free port of the loopback, everybody on this machine its superuser."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        """Use `start`."""
        self.port = free_ports(1)[0]
        super().__init__(f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres")
        self.folder = folder
        self._programs = programs
        self._user = user
        self._running: KeptProcess | None = None

    @classmethod
    def start(cls) -> Self:
        """A new server, answering. Its folder is gone with `stop`.

        Raises:
            Missing: PostgreSQL is not installed, or no user is there to run it as.
            ServerDied: it does not come up.

        """
        programs, user = _programs(), _user()
        server = cls(Path(tempfile.mkdtemp(prefix="postgres-")), programs, user)
        try:
            server._make()
            server.up()
        except BaseException:
            server.stop()
            raise
        return server

    def kill(self) -> None:
        """At once, with all its children, nothing written any more: what is not in its log of writes is lost."""
        assert self._running is not None
        self._running.end()
        self._running = None

    def up(self) -> None:
        """Start it (again, on its own data) and wait until it answers.

        Raises:
            ServerDied: it does not.

        """
        if self._running is not None:
            raise ValueError("the server is running")
        settings = _SETTINGS | {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # SIGQUIT is PostgreSQL's own kill -9: its children die too, so that it can start again at once.
        self._running = KeptProcess(
            [self._programs / "postgres", "-D", self.folder / "data", *options],
            self._log_path,
            user=self._user,
            last=signal.SIGQUIT,
        )
        wait_until(self.answers, self._running.alive, self.log, what="PostgreSQL", timeout_s=_ANSWERS_WITHIN_S)

    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._running is not None:
            self.kill()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log_path(self) -> Path:
        return self.folder / "server.log"

    def _make(self) -> None:
        if self._user:
            shutil.chown(self.folder, self._user)
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                self.folder / "data",
                "-U",
                _USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=self._user,
            extra_groups=[] if self._user else None,
        )


@contextlib.contextmanager
def databases() -> Iterator[Databases]:
    """One server from the first step of the ladder that holds; gone afterwards if it is ours.

    Raises:
        Missing: none does.

    """
    if given := os.environ.get("POSTGRES_URL") or os.environ.get("TEST_POSTGRES_URL"):
        yield Databases(given)
    elif docker_answers():
        with _container() as found:
            yield found
    else:
        with _own() as found:
            yield found


@contextlib.contextmanager
def _own() -> Iterator[Databases]:
    try:
        server = Server.start()
    except Missing as missing:
        if find_spec("pgserver") is None:
            reasons = [
                "POSTGRES_URL is not set",
                "no Docker engine answers",
                str(missing),
                "the package pgserver is not there",
            ]
            raise Missing(and_also(reasons)) from None
        with tempfile.TemporaryDirectory(prefix="postgres-") as folder, _from_wheel(Path(folder)) as found:
            yield found
    else:
        with server:
            yield server


@contextlib.contextmanager
def _from_wheel(folder: Path) -> Iterator[Databases]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it tells of a desktop's folder that a server has none of
        server = import_module("pgserver").get_server(folder)
    try:
        yield Databases(server.get_uri())
    finally:
        server.cleanup()


@contextlib.contextmanager
def _container() -> Iterator[Databases]:
    from testcontainers.core.container import DockerContainer

    port = free_ports(1)[0]
    with (
        DockerContainer(_IMAGE).with_bind_ports(5432, port).with_env("POSTGRES_HOST_AUTH_METHOD", "trust") as container
    ):
        found = Databases(f"postgresql://{_USER}@127.0.0.1:{port}/postgres")
        logged = lambda: "\n".join(part.decode(errors="replace") for part in container.get_logs())  # noqa: E731 - read only if it fails
        wait_until(found.answers, lambda: True, logged, what=_IMAGE, timeout_s=_ANSWERS_WITHIN_S)
        yield found


def _programs() -> Path:
    """Where PostgreSQL's programs are: Debian leaves them out of PATH, and links only some of them into it."""
    linked = shutil.which("initdb")
    installed = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    candidates = sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    if linked:
        candidates.insert(0, Path(linked).resolve().parent)
    for candidate in candidates:
        if (candidate / "postgres").exists():
            return candidate
    raise Missing(f"no PostgreSQL is installed (initdb in PATH or {_DEBIAN})")


def _user() -> str | None:
    """Whom to run it as: PostgreSQL refuses root. None: as we are."""
    if os.geteuid() != 0:
        return None
    for name in (_USER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Missing(f"PostgreSQL refuses to run as root, and there is no user {_USER} or nobody")


def _name() -> str:
    return f"test_{secrets.token_hex(6)}"
