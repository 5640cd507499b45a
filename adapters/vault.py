"""Credentials at rest: sealed with AES-256-GCM under a key that never lies beside them.

The keyring comes from the environment or a file, one key a line (or comma separated): `id:base64 of 32 bytes`. The
first seals; all open. To rotate: put a new key first, re-seal everything with `rotate`, take the old key out. No
restart loses anything in between.

An envelope is: magic, length of the key id, key id, nonce, ciphertext with its tag. Name, magic and key id are
authenticated with it, so an envelope moved to another connection's row does not open.
"""

import base64
import binascii
import os
import re
import secrets
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.errors import EnvelopeError, KeyringError, UnknownKeyError

_MAGIC: Final = b"zgv1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16

#: Most keys in a ring. Lower: a long rotation would not fit. Higher: a file that is no keyring is taken for one.
MAX_KEYS: Final = 16

#: Longest secret, bytes. Lower: a service account's JSON would not fit. Higher: a mistake (a whole file) lands in the
#: store.
MAX_SECRET_BYTES: Final = 65_536

_ENTRY: Final = re.compile(r"([A-Za-z0-9_.-]{1,32}):([A-Za-z0-9+/_=-]+)\Z")
_BETWEEN: Final = re.compile(r"[\s,]+")
_HOW: Final = "expected lines of the form id:base64, each key 32 bytes"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in use. `name` says which it is, in the log and to people; the value is never shown."""

    name: str
    value: bytes = field(repr=False)


class Keyring:
    """Keys by id, in order; the first is active. Shows ids only."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Raises `KeyringError` when empty, too many, or a key is not 32 bytes."""
        if not keys:
            raise KeyringError(f"the keyring holds no key: {_HOW}")
        if len(keys) > MAX_KEYS:
            raise KeyringError(f"the keyring holds more than {MAX_KEYS} keys")
        for key_id, key in keys.items():
            if len(key) != _KEY_BYTES:
                raise KeyringError(f"key {key_id[:32]!r} is {len(key)} bytes long: {_HOW}")
        self._keys = dict(keys)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read keys from text, as in an environment variable. Raises `KeyringError`, which never repeats the text."""
        keys: dict[str, bytes] = {}
        entries = [
            entry
            for line in text.splitlines()
            if not line.lstrip().startswith("#")
            for entry in _BETWEEN.split(line)
            if entry
        ]
        for number, entry in enumerate(entries, start=1):
            match = _ENTRY.match(entry)
            if match is None:
                raise KeyringError(f"entry {number} of the keyring is malformed: {_HOW}")
            key_id, encoded = match.groups()
            if key_id in keys:
                raise KeyringError(f"key {key_id!r} stands twice in the keyring")
            keys[key_id] = _decoded(encoded, key_id)
        return cls(keys)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read keys from a file (a mounted secret) that is closed to the machine's other users: whoever reads it can
        open every credential. Its group may read it. Raises `KeyringError`.
        """
        try:
            with path.open("rb") as file:
                _refuse_open(path, os.fstat(file.fileno()).st_mode)
                text = file.read(MAX_SECRET_BYTES).decode("ascii")
        except FileNotFoundError:
            raise KeyringError(f"the keyring file {path} is not there") from None
        except OSError as error:
            raise KeyringError(f"the keyring file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise KeyringError(f"the keyring file {path} is not text: {_HOW}") from None
        return cls.from_text(text)

    @property
    def active(self) -> str:
        """Id of the key that seals."""
        return next(iter(self._keys))

    @property
    def ids(self) -> list[str]:
        """Ids of all keys, the active one first."""
        return list(self._keys)

    def key(self, key_id: str) -> bytes:
        """The key itself. Raises `UnknownKeyError`."""
        try:
            return self._keys[key_id]
        except KeyError:
            raise UnknownKeyError(key_id) from None

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"


def _refuse_open(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        what = f"every user of this machine may open the keyring file {path} (mode {stat.S_IMODE(mode):04o})"
        raise KeyringError(f"{what}: close it with `chmod 600 {shlex.quote(str(path))}`")


class Vault:
    """Seals and opens secrets. `name` says whose secret it is and which ("connection/api/token"): it must be the same
    to open.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, name: str, secret: bytes) -> bytes:
        """The secret in an envelope under the active key. Raises `VaultError`s."""
        if len(secret) > MAX_SECRET_BYTES:
            raise EnvelopeError(f"a secret of {len(secret)} bytes exceeds {MAX_SECRET_BYTES}")
        key_id = self._keyring.active
        head = _head(key_id)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return head + nonce + AESGCM(self._keyring.key(key_id)).encrypt(nonce, secret, head + name.encode())

    def open(self, name: str, envelope: bytes) -> bytes:
        """The secret. Raises `UnknownKeyError`, or `EnvelopeError` when it is damaged, altered, or sealed under another
        name.
        """
        key_id = key_id_of(envelope)
        head = _head(key_id)
        nonce, sealed = envelope[len(head) : len(head) + _NONCE_BYTES], envelope[len(head) + _NONCE_BYTES :]
        try:
            return AESGCM(self._keyring.key(key_id)).decrypt(nonce, sealed, head + name.encode())
        except InvalidTag:
            raise EnvelopeError(
                f"what is stored for {name!r} was altered, or sealed for something else: enter the secret again"
            ) from None

    def rotate(self, name: str, envelope: bytes) -> bytes:
        """The same secret under the active key; the same envelope when it is under it already. Raises as `open`."""
        secret = self.open(name, envelope)
        return envelope if key_id_of(envelope) == self._keyring.active else self.seal(name, secret)

    def __repr__(self) -> str:
        return f"Vault({self._keyring!r})"


def key_id_of(envelope: bytes) -> str:
    """Which key sealed it; not authenticated until opened. Raises `EnvelopeError`."""
    start = len(_MAGIC) + 1
    if len(envelope) < start or envelope[: len(_MAGIC)] != _MAGIC:
        raise EnvelopeError("not an envelope of this vault")
    length = envelope[len(_MAGIC)]
    if len(envelope) < start + length + _NONCE_BYTES + _TAG_BYTES:
        raise EnvelopeError("the envelope is cut off")
    try:
        return envelope[start : start + length].decode("ascii")
    except UnicodeDecodeError:
        raise EnvelopeError("the envelope's key id is damaged") from None


def new_key(key_id: str) -> str:
    """A fresh random key as a line for the keyring. Raises `KeyringError` when the id is not of the accepted form."""
    line = f"{key_id}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"
    Keyring.from_text(line)
    return line


def _head(key_id: str) -> bytes:
    return _MAGIC + bytes([len(key_id)]) + key_id.encode("ascii")


def _decoded(encoded: str, key_id: str) -> bytes:
    try:
        return base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise KeyringError(f"key {key_id!r} is not base64: {_HOW}") from None
