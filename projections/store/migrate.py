"""The schema's versions: an empty database and an older SQLite file are brought up to date when a store is opened; an
older schema on a server is refused until `zoho-gocardless store upgrade`, a newer one always.

A new version: change `tables`, run `python -m projections.store.migrate "what changes"`, read and format what it wrote,
set `HEAD`. While the newest version is not released, `python -m projections.store.migrate --rewrite "The first schema"`
writes that one anew instead.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.schema import SetColumnComment, SetTableComment

from projections.store.errors import StoreOutdated, StoreVersion
from projections.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest version this program knows; a test holds it to the folder `migrations/versions`.
HEAD: Final = "0003"

#: The version of a database without a schema; it sorts before all others.
EMPTY: Final = ""

#: Alembic's table; it holds the version of the schema.
_TABLE: Final = "alembic_version"
#: Where the versions lie.
FOLDER: Final = Path(__file__).parent / "migrations"

#: Any number; the same in every process, so that roles that start together migrate one after another.
_ADVISORY_LOCK: Final = 7_060_271


def open_at_head(engine: sa.Engine, where: str) -> None:
    """See that a database is at `HEAD`: an empty one gets all of it, an older SQLite file is brought up to date. Costs
    one query when there is nothing to do. A server may be shared with processes of the older version, so there an
    upgrade is a person's decision.

    Raises:
        StoreOutdated: an older schema on a server.
        StoreVersion: newer than this program, or it holds tables of something else.

    """
    with engine.connect().execution_options(reads=True) as connection, connection.begin():
        if version(connection, where) == HEAD:
            return
    with engine.begin() as connection:
        lock(connection)
        held = version(connection, where)
        if engine.dialect.name == "postgresql" and EMPTY < held < HEAD:
            what = f"the database has version {held} of the schema, and this program works with {HEAD}"
            raise StoreOutdated(what, where, "stop what still runs, then `zoho-gocardless store upgrade`")
        if held != HEAD:
            _run(connection, where)


def upgrade(connection: sa.Connection, where: str) -> str:
    """Bring a database to `HEAD` within a write transaction, under the lock. Returns the version it had, `EMPTY` for
    none.

    Raises:
        StoreVersion: newer than this program, or it holds tables of something else.

    """
    held = version(connection, where)
    if held != HEAD:
        _run(connection, where)
    return held


def lock(connection: sa.Connection) -> None:
    """One process at a time until the transaction ends: for what is done once for a whole store. SQLite has one writer
    anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def version(connection: sa.Connection, where: str) -> str:
    """The version of the schema, `EMPTY` when there is none. Raises `StoreVersion` when it holds tables of something
    else.
    """
    if connection.dialect.has_table(connection, _TABLE):
        # As text: compiled anew for each store that is opened, it would take longer than all the rest.
        return str(connection.exec_driver_sql(f"SELECT version_num FROM {_TABLE}").scalar() or EMPTY)  # noqa: S608 - of our own
    if sa.inspect(connection).get_table_names():
        raise StoreVersion("the database holds tables of something else", where, "give the store a database of its own")
    return EMPTY


def _run(connection: sa.Connection, where: str) -> None:
    from alembic import command  # noqa: PLC0415 - half a second that only a migration needs
    from alembic.util.exc import CommandError  # noqa: PLC0415 - as above

    config = config_for_migrations()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreVersion(
            "the store was made by a newer version of this program", where, "upgrade the program"
        ) from None
    if connection.dialect.supports_comments:
        _comment(connection)


def _comment(connection: sa.Connection) -> None:
    """Comments are this program's words about the tables, not schema: they are set anew with each version."""
    for table in metadata.tables.values():
        connection.execute(SetTableComment(table))
        for column in table.columns:
            if column.comment:
                connection.execute(SetColumnComment(column))


def schema() -> sa.MetaData:
    """The tables without their comments: what the versions must add up to."""
    bare = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        copy = table.to_metadata(bare)
        copy.comment = None
        for column in copy.columns:
            column.comment = None
    return bare


def config_for_migrations() -> "Config":
    """Alembic's configuration, without a file."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def revise(message: str, *, rewrite: bool) -> None:
    """Write the next version: what `tables` has and the versions so far do not. With `rewrite`, write the newest one
    anew, which is right only until it is released.
    """
    from alembic import command  # noqa: PLC0415 - as above

    if rewrite:
        for newest in (FOLDER / "versions").glob(f"{HEAD}_*.py"):
            newest.unlink()
    revision = HEAD if rewrite else f"{int(HEAD) + 1:04d}"
    with TemporaryDirectory() as folder:
        engine = sa.create_engine(f"sqlite:///{folder}/schema")
        with engine.begin() as connection:
            config = config_for_migrations()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            command.revision(config, message=message, autogenerate=True, rev_id=revision)
        engine.dispose()


if __name__ == "__main__":
    words = sys.argv[1:]
    revise(" ".join(word for word in words if word != "--rewrite") or "change", rewrite="--rewrite" in words)
