"""Paths: a mistyped one is told and leaves nothing behind; a relative one is refused with the path to write."""

import pytest

from streams.settings import SettingsError, load
from tests.support.company import events_of

LOOKS = [
    ("status",),
    ("why", "invoice", "INV-1"),
    ("events",),
    ("parked", "list"),
    ("parked", "replay", "--all"),
    ("decide", "gate", "--close"),
    ("decide", "invoice", "INV-1", "--retry"),
    ("check", "c1"),
    ("keys", "rotate"),
    ("connect", "c1", "--remove"),
    ("rebuild",),
    ("rebuild", "--verify"),
    ("rebuild", "--dry-run"),
    ("backup", "copy"),
]


@pytest.fixture(params=[False, True], ids=["no folder", "an empty folder"])
def mistyped(installation, request):
    """Settings whose log and store are not there; the folder may be."""
    folder = installation.folder / "instalation"
    if request.param:
        folder.mkdir()
    text = installation.config.read_text()
    for name in ("log", "store"):
        text = text.replace(f"{installation.folder}/{name}.db", f"{folder}/{name}.db")
    installation.config.write_text(text)
    return installation


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_what_only_looks_says_that_nothing_is_there_and_makes_nothing(mistyped, words, monkeypatch):
    monkeypatch.chdir(mistyped.folder)
    before = sorted(mistyped.folder.rglob("*"))
    error = mistyped.json(*words, code=69)
    assert (error["code"], error["what"]) == ("unavailable", "nothing is there")
    assert error["where"] in {f"{mistyped.folder}/instalation/{name}.db" for name in ("log", "store")}
    assert error["remedy"].startswith("check the setting ")
    assert sorted(mistyped.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [("run",), ("connect", "c1"), ("store", "upgrade"), ("restore", "copy")], ids=" ".join
)
def test_what_makes_an_installation_makes_no_folder(installation, words, monkeypatch):
    monkeypatch.setenv("ZOHO_GOCARDLESS__LOG", f"sqlite:///{installation.folder}/instalation/log.db")
    monkeypatch.setenv("ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN", "token")
    before = sorted(installation.folder.rglob("*"))
    error = installation.json(*words, code=73)
    assert (error["code"], error["what"]) == ("cannot_create", "the folder of the log is not there")
    assert f"mkdir -p {installation.folder}/instalation" in error["remedy"]
    assert sorted(installation.folder.rglob("*")) == before


def test_a_check_before_the_first_run_makes_the_log_and_one_without_its_log_does_not(installation, company):
    installation.put_secret("gocardless.token", b"value")
    installation.json("check", "c1", code=1)
    (installation.folder / "log.db").unlink()
    company.ready()
    installation.feed(events_of(company))
    for file in installation.folder.glob("log.db*"):
        if file.is_file():
            file.unlink()
    error = installation.json("check", "c1", code=69)
    assert (error["what"], error["where"]) == ("nothing is there", f"{installation.folder}/log.db")
    assert not (installation.folder / "log.db").exists()


def test_credentials_are_entered_without_a_log_also_where_the_sandbox_is_gone(installation, monkeypatch):
    monkeypatch.setenv("ZOHO_GOCARDLESS__CLOCK", "http://127.0.0.1:9")
    monkeypatch.setenv("ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN", "token")
    installation.json("connect", "c1")
    assert not (installation.folder / "log.db").exists()


@pytest.mark.parametrize(
    ("words", "code", "where"),
    [
        (("keys", "new", "k", "--file", "no/keys"), 73, "no"),
        (("backup", "no/copy"), 73, "no"),
        (("restore", "no"), 5, "no"),
        (("connect", "c1", "--gocardless-token-file", "no"), 69, "no"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_path_of_the_command_line_that_leads_nowhere_is_named(installation, words, code, where, monkeypatch):
    installation.feed()
    monkeypatch.chdir(installation.folder)
    error = installation.json(*words, code=code)
    assert "not there" in error["what"] or error["what"] == "nothing is there"
    assert error["where"] in (where, str(installation.folder / where))
    assert not (installation.folder / "no").exists()


def test_settings_that_are_not_there_are_named_with_their_whole_path(installation, monkeypatch):
    monkeypatch.chdir(installation.folder)
    installation.config.unlink()
    installation.config = installation.config.relative_to(installation.folder)
    error = installation.json("status", code=3)
    assert (error["what"], error["where"]) == ("nothing is there", f"{installation.folder}/settings.toml")


# --- relative paths in the settings ---

FILE = """\
log = "{log}"
store = "{store}"
keys = "{keys}"
{more}
"""


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Settings in a folder of their own, read from another one."""
    (tmp_path / "here").mkdir()
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def loaded(log="sqlite:////l", store="sqlite:////s", keys="file:/k", more="", environment=()):
        file = tmp_path / "etc" / "settings.toml"
        file.write_text(FILE.format(log=log, store=store, keys=keys, more=more))
        return load(file, dict(environment))

    return loaded


@pytest.mark.parametrize(
    ("named", "setting", "written"),
    [
        ({"log": "sqlite:///log.db"}, "log", "sqlite:///{etc}/log.db"),
        (
            {"log": "sqlite:///a%20b.db?compress_above_bytes=9"},
            "log",
            "sqlite:///{etc}/a%20b.db?compress_above_bytes=9",
        ),
        ({"log": "sqlite:///var/none/log.db"}, "log", "sqlite:////var/none/log.db"),
        ({"store": "sqlite:///store.db"}, "store", "sqlite:///{etc}/store.db"),
        ({"store": "sqlite:///../store.db"}, "store", "sqlite:///{root}/store.db"),
        ({"store": "sqlite:///var/none/store.db"}, "store", "sqlite:////var/none/store.db"),
        ({"keys": "file:keys"}, "keys", "file:{etc}/keys"),
        ({"keys": "file:~/keys"}, "keys", "file:/home/finance/keys"),
        ({"more": '[kafka]\nca = "ca.pem"'}, "kafka.ca", "{etc}/ca.pem"),
        ({"more": '[kafka]\npassword = "file:pw"'}, "kafka.password", "file:{etc}/pw"),
        ({"environment": {"ZOHO_GOCARDLESS__KEYS": "file:keys"}}, "keys", "file:{root}/here/keys"),
    ],
)
def test_a_relative_path_is_refused_with_the_path_to_write(at, tmp_path, monkeypatch, named, setting, written):
    monkeypatch.setenv("HOME", "/home/finance")
    with pytest.raises(SettingsError) as caught:
        at(**named)
    expected = written.format(etc=tmp_path / "etc", root=tmp_path)
    assert f": {setting}: " in str(caught.value)
    assert f'is a relative path; write "{expected}"' in str(caught.value)


def test_what_stands_where_an_earlier_version_put_it_is_still_taken(at, tmp_path):
    for name in ("store.db", "keys"):
        (tmp_path / "here" / name).touch()
    (tmp_path / "log.db").touch()
    old = f"sqlite://{tmp_path}/log.db"
    found = at(log=old, store="sqlite:///store.db", keys="file:keys")
    assert (found.log, found.store, found.keys) == (old, "sqlite:///store.db", "file:keys")


def test_other_addresses_have_no_paths(at):
    assert at("kafka://a:9092", "postgresql://h/d", "env:KEYS").keys == "env:KEYS"
