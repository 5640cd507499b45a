"""Secrets at rest: sealed under the active key, opened by any key of the ring, and never shown."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import EnvelopeError, KeyringError, UnknownKeyError, VaultError
from adapters.vault import MAX_KEYS, MAX_SECRET_BYTES, Keyring, Vault, key_id_of, new_key

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
NAME, SECRET = "main/gocardless/token", b"sandbox-secret-value"


def line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}"


@pytest.fixture
def vault() -> Vault:
    return Vault(Keyring({"old": OLD}))


@given(st.text(max_size=50), st.binary(max_size=500))
def test_what_was_sealed_opens_under_its_name(name: str, secret: bytes) -> None:
    vault = Vault(Keyring({"old": OLD}))
    sealed = vault.seal(name, secret)
    assert vault.open(name, sealed) == secret
    assert len(secret) < 8 or secret not in sealed


def test_sealing_twice_gives_different_bytes(vault: Vault) -> None:
    assert vault.seal(NAME, SECRET) != vault.seal(NAME, SECRET)


def test_another_name_does_not_open(vault: Vault) -> None:
    with pytest.raises(EnvelopeError, match="other/gocardless/token"):
        vault.open("other/gocardless/token", vault.seal(NAME, SECRET))


def test_no_bit_can_be_changed(vault: Vault) -> None:
    sealed = vault.seal(NAME, SECRET)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(NAME, bytes(altered))


def test_no_cut_envelope_opens(vault: Vault) -> None:
    sealed = vault.seal(NAME, SECRET)
    for length in range(len(sealed)):
        with pytest.raises(EnvelopeError):
            vault.open(NAME, sealed[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_clearly(envelope: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(Keyring({"old": OLD})).open(NAME, envelope)


@given(st.binary(max_size=200))
def test_any_bytes_after_the_magic_are_refused_clearly(rest: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(Keyring({"old": OLD})).open(NAME, b"zgv1" + rest)


def test_rotation_without_downtime(vault: Vault) -> None:
    sealed = vault.seal(NAME, SECRET)
    both = Vault(Keyring.from_text(f"{line('new', NEW)}\n{line('old', OLD)}"))
    assert both.open(NAME, sealed) == SECRET
    rotated = both.rotate(NAME, sealed)
    assert (key_id_of(sealed), key_id_of(rotated)) == ("old", "new")
    assert both.rotate(NAME, rotated) == rotated
    only_new = Vault(Keyring({"new": NEW}))
    assert only_new.open(NAME, rotated) == SECRET
    with pytest.raises(UnknownKeyError, match="old") as caught:
        only_new.open(NAME, sealed)
    assert caught.value.key_id == "old"


def test_a_key_under_a_reused_id_does_not_open(vault: Vault) -> None:
    with pytest.raises(EnvelopeError):
        Vault(Keyring({"old": NEW})).open(NAME, vault.seal(NAME, SECRET))


def test_a_keyring_is_read_from_lines_commas_and_comments() -> None:
    keyring = Keyring.from_text(f"# active first\n{line('2026-03', NEW)},{line('2025', OLD)}\n\n")
    assert (keyring.active, keyring.ids) == ("2026-03", ["2026-03", "2025"])
    assert keyring.key("2025") == OLD


def test_url_safe_base64_is_accepted() -> None:
    key = b"\xff" * 32
    assert Keyring.from_text("k:" + base64.urlsafe_b64encode(key).decode()).key("k") == key


def test_a_keyring_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    path.write_text(line("old", OLD) + "\n")
    path.chmod(0o600)
    assert Keyring.from_file(path).ids == ["old"]
    with pytest.raises(KeyringError, match="is not there"):
        Keyring.from_file(tmp_path / "absent")
    with pytest.raises(KeyringError, match="cannot be read"):
        Keyring.from_file(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyringError, match="not text"):
        Keyring.from_file(path)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o606, 0o777])
def test_a_keyring_that_every_user_may_open_is_refused_with_what_closes_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key ring"
    path.write_text(line("old", OLD) + "\n")
    path.chmod(mode)
    with pytest.raises(KeyringError, match=rf"mode {mode:04o}\): close it with `chmod 600 '{path}'`") as caught:
        Keyring.from_file(path)
    assert "old" not in str(caught.value).replace(str(path), "")
    path.chmod(0o640)
    assert Keyring.from_file(path).ids == ["old"], "its group is somebody's choice, as for a mounted secret"


SHORT = base64.b64encode(b"short-key").decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        (SHORT, "entry 1"),
        (f"a:{SHORT}", "9 bytes"),
        ("a:A===A", "not base64"),
        (f"{line('a', OLD)},{line('a', NEW)}", "twice"),
        ("\n".join(line(f"k{number}", OLD) for number in range(MAX_KEYS + 1)), "more than"),
        (f"{line('a', OLD)} nonsense", "entry 2"),
    ],
)
def test_a_bad_keyring_is_refused_without_repeating_it(text: str, says: str) -> None:
    with pytest.raises(KeyringError, match=says) as caught:
        Keyring.from_text(text)
    assert SHORT not in str(caught.value)
    assert "nonsense" not in str(caught.value)


def test_nothing_shows_a_key_or_a_secret(vault: Vault) -> None:
    shown = f"{vault!r} {vault} {Keyring({'old': OLD})!r}"
    assert "old" in shown
    assert repr(OLD)[2:-1] not in shown
    assert base64.b64encode(OLD).decode() not in shown


def test_a_fresh_key_is_a_keyring_of_its_own() -> None:
    first, second = new_key("2026"), new_key("2026")
    assert first != second
    assert Keyring.from_text(first).ids == ["2026"]
    with pytest.raises(KeyringError):
        new_key("not an id")


def test_a_secret_has_a_limit(vault: Vault) -> None:
    with pytest.raises(EnvelopeError, match=str(MAX_SECRET_BYTES)):
        vault.seal(NAME, b"x" * (MAX_SECRET_BYTES + 1))
