"""`keys`: the keys that seal credentials. A key is shown once, when it is made, and nowhere else."""

import os
import secrets
from pathlib import Path
from typing import Final

import click

from adapters.vault import Keyring, new_key
from projections.store.store import open_store
from streams.cli.codes import CannotCreate
from streams.cli.command import CliCommand, CliGroup, Reply, Session, text
from streams.credentials import Credentials, open_vault

_PRIVATE: Final = 0o600


@click.group(cls=CliGroup)
def keys() -> None:
    """Make a key for the credentials, or seal them anew under the first key of the keyring."""


@keys.command(cls=CliCommand)
@click.argument("key_id", metavar="ID", default="main")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put it first in this keyring file, made if missing.",
)
def new(session: Session, key_id: str, path: Path | None) -> Reply:
    """Make a key named ID. It seals from now on; the older ones still open what they sealed.

    With --file it goes into a file that only you may open. Without it the key is printed, for the environment variable
    that the setting `keys` names.
    """
    del session
    line = new_key(key_id)
    if path is None:
        return Reply({"id": key_id, "key": line}, text(line))
    older = _put_first(path, line)
    told = (
        f"The key {key_id} is first in {path}; next: `zoho-gocardless keys rotate`."
        if older
        else f"The key {key_id} is in {path}, which only you may open. Keep a copy apart from the backups."
    )
    return Reply({"id": key_id, "file": str(path)}, text(told))


def _put_first(path: Path, line: str) -> str:
    """Write the keyring anew, private to this user; the keys that it held before."""
    older = path.read_text("ascii") if path.exists() else ""
    whole = f"{line}\n{older}"
    Keyring.from_text(whole)
    if not path.parent.is_dir():
        remedy = f"make it (mkdir -p {path.absolute().parent}), or choose another file"
        raise CannotCreate("the folder of the keyring is not there", str(path.absolute().parent), remedy)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE), "w") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        remedy = "check that this user may write there"
        raise CannotCreate(f"the keyring file cannot be written ({error.strerror})", str(path), remedy) from None
    finally:
        draft.unlink(missing_ok=True)
    return older


@keys.command(cls=CliCommand)
def rotate(session: Session) -> Reply:
    """Seal every credential anew with the first key. The others can be taken out of the keyring afterwards.

    A running program is not disturbed; it must have been started with the new key in its keyring.
    """
    settings = session.existing("store")
    vault = open_vault(settings.keys)
    with open_store(settings.store) as store:
        count = Credentials(store, vault).rotate()
    return Reply({"sealed": count}, text(f"{count} credentials are sealed with the first key of the keyring."))
