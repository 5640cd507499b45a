"""Keys and credentials: from files, the environment or prompts; sealed in the store; shown nowhere."""

import json
import stat

import pytest
from click.testing import CliRunner

from projections.store.store import open_store
from streams.cli import connect as connecting
from streams.cli import main
from streams.credentials import Credentials, open_vault

CLIENT = json.dumps({"client_id": "1000.ABC", "client_secret": "clientSecret1"})


def held(installation, name):
    with open_store(installation.settings.store) as store:
        return Credentials(store, open_vault(installation.settings.keys)).get("c1", name)


def write(installation, name, value):
    path = installation.folder / name
    path.write_text(value + "\n")
    return str(path)


def test_a_new_key_is_printed_or_put_first(tmp_path):
    runner = CliRunner()
    found = runner.invoke(main, ["keys", "new", "2026-04"])
    assert found.exit_code == 0
    assert found.stdout.startswith("2026-04:")
    path = tmp_path / "keys"
    first = runner.invoke(main, ["keys", "new", "old", "--file", str(path)])
    assert (first.exit_code, "only you may open" in first.stdout) == (0, True)
    path.chmod(0o644)
    second = runner.invoke(main, ["keys", "new", "new", "--file", str(path)])
    assert (second.exit_code, "`zoho-gocardless keys rotate`" in second.stdout) == (0, True)
    assert [line.partition(":")[0] for line in path.read_text().splitlines()] == ["new", "old"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert runner.invoke(main, ["keys", "new", "new", "--file", str(path)]).exit_code == 4
    assert runner.invoke(main, ["keys", "new", "x", "--file", str(tmp_path / "no" / "keys")]).exit_code == 73


def test_rotation_seals_everything_under_the_first_key(installation):
    installation.put_secret("gocardless.token", b"token")
    installation.cli("keys", "new", "two", "--file", str(installation.folder / "keys"))
    assert installation.json("keys", "rotate") == {"sealed": 1}
    keys = (installation.folder / "keys").read_text().splitlines()
    (installation.folder / "keys").write_text(keys[0] + "\n")
    assert held(installation, "gocardless.token") == b"token"
    (installation.folder / "keys").write_text(keys[1] + "\n")
    assert installation.json("keys", "rotate", code=4)["code"] == "unknown_key"


def test_credentials_from_files(installation):
    files = [
        *("--gocardless-token-file", write(installation, "gc", "gcToken1")),
        *("--zoho-client-file", write(installation, "client", CLIENT)),
        *("--zoho-refresh-token-file", write(installation, "refresh", "1000.refresh")),
        *("--webhook-secret-file", f"gocardless:main={write(installation, 'hook', 'hookSecret1')}"),
        *("--webhook-secret-file", f"zoho:next={write(installation, 'hook2', 'hookSecret2')}"),
    ]
    found = installation.cli("connect", "c1", *files)
    assert found.stdout.startswith(
        "c1 has: gocardless.token, gocardless.webhook.main, zoho.client, zoho.token, zoho.webhook.next\n"
    )
    assert "Next: `zoho-gocardless run`" in found.stdout
    for secret in ("gcToken1", "clientSecret1", "1000.refresh", "hookSecret1"):
        assert secret not in found.output
    assert held(installation, "gocardless.token") == b"gcToken1"
    assert held(installation, "gocardless.webhook.main") == b"hookSecret1"
    assert json.loads(held(installation, "zoho.client"))["client_secret"] == "clientSecret1"
    token = json.loads(held(installation, "zoho.token"))
    assert (token["refresh_token"], token["accounts_url"]) == ("1000.refresh", "http://127.0.0.1:9")


def test_what_is_not_given_stays_and_what_is_missing_is_told(installation):
    installation.put_secret("gocardless.webhook.main", b"old")
    found = installation.cli("connect", "c1", "--gocardless-token-file", write(installation, "gc", "gcToken1"))
    assert "Still missing: Zoho's client, Zoho's consent, a webhook secret of Zoho." in found.stdout
    assert held(installation, "gocardless.webhook.main") == b"old"


def test_credentials_from_the_environment(installation, monkeypatch):
    monkeypatch.setenv("ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN", "gcToken2")
    monkeypatch.setenv("ZOHO_GOCARDLESS_SECRET_WEBHOOK_ZOHO_MAIN", "hookSecret3")
    data = installation.json("connect", "c1")
    assert data == {"connection": "c1", "credentials": ["gocardless.token", "zoho.webhook.main"], "missing_scopes": []}
    assert held(installation, "zoho.webhook.main") == b"hookSecret3"


def test_credentials_from_prompts_are_not_echoed(installation, monkeypatch):
    monkeypatch.setattr(connecting.sys, "stdin", None, raising=False)
    typed = ["gcToken3", "1000.ABC", "clientSecret9", "", "hookSecret4", ""]
    asked = []

    def prompt(text, **options):
        asked.append((text, options.get("hide_input", False)))
        return typed[len(asked) - 1]

    class Terminal:
        @staticmethod
        def isatty():
            return True

    monkeypatch.setattr(connecting.click, "prompt", prompt)
    monkeypatch.setattr(connecting, "sys", type("Sys", (), {"stdin": Terminal()}))
    data = installation.json("connect", "c1")
    assert data["credentials"] == ["gocardless.token", "gocardless.webhook.main", "zoho.client"]
    assert [text for text, hidden in asked if not hidden] == ["Zoho client id (Enter keeps what is there)"]


def test_credentials_are_forgotten(installation):
    for name in ("gocardless.token", "gocardless.webhook.old", "zoho.webhook.main"):
        installation.put_secret(name, b"value")
    assert installation.json("connect", "c1", "--remove-webhook-secret", "gocardless:old")["removed"] == [
        "gocardless.webhook.old"
    ]
    assert (
        installation.json("connect", "c1", "--remove-webhook-secret", "gocardless:old", code=4)["code"] == "credential"
    )
    assert installation.json("connect", "c1", "--remove")["removed"] == ["gocardless.token", "zoho.webhook.main"]
    assert "nothing, it had none" in installation.cli("connect", "c1", "--remove").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["connect", "c1"], 2),
        (["connect", "c9"], 5),
        (["connect", "c1", "--webhook-secret-file", "gocardless:main"], 2),
        (["connect", "c1", "--webhook-secret-file", "paypal:main=x"], 2),
        (["connect", "c1", "--gocardless-token-file", "/nothing/there"], 69),
        (["connect", "c1", "--gocardless-token", "secret"], 2),
    ],
)
def test_what_is_refused(installation, words, code):
    assert installation.cli(*words, code=code).stderr.count("\n") == 1


def test_a_client_that_is_none_is_refused(installation):
    error = installation.json("connect", "c1", "--zoho-client-file", write(installation, "client", "{}"), code=4)
    assert "client_id" in error["what"]
    assert (
        installation.json("connect", "c1", "--gocardless-token-file", write(installation, "empty", ""), code=4)["code"]
        == "credential"
    )


def test_a_data_centre_must_be_named(installation):
    text = installation.config.read_text().replace(', url = "http://127.0.0.1:9" }\n', " }\n")
    installation.config.write_text(text)
    path = write(installation, "refresh", "1000.refresh")
    error = installation.json("connect", "c1", "--zoho-refresh-token-file", path, code=3)
    assert "data centre" in error["what"]
    installation.json("connect", "c1", "--zoho-refresh-token-file", path, "--zoho-region", "eu")
    assert json.loads(held(installation, "zoho.token"))["accounts_url"] == "https://accounts.zoho.eu"


def test_a_keyring_that_others_may_open_is_refused_before_anything_is_sealed(installation):
    (installation.folder / "keys").chmod(0o644)
    found = installation.cli("connect", "c1", "--gocardless-token-file", write(installation, "gc", "x1"), code=4)
    assert found.stderr.startswith("error[keyring]: every user of this machine may open the keyring file ")
    assert f"`chmod 600 {installation.folder}/keys`" in found.stderr
    assert not (installation.folder / "store.db").exists()


def test_without_a_keyring_nothing_is_kept(installation):
    (installation.folder / "keys").unlink()
    assert (
        installation.json("connect", "c1", "--gocardless-token-file", write(installation, "gc", "x1"), code=4)["code"]
        == "keyring"
    )
