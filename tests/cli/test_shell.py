"""What a shell and its user meet first: where the settings are, completion, the manual pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.settings import settings_file, usual_files

# --- where the settings are ---


@pytest.fixture
def other(installation, tmp_path):
    """Settings without a connection, beside those of the installation."""
    installation.feed()
    file = tmp_path / "other.toml"
    file.write_text(installation.config.read_text().partition("[connections")[0])
    return str(file)


@pytest.mark.parametrize(
    ("words", "connections"),
    [
        (["--config", "{own}", "status", "--json"], 1),
        (["status", "--config", "{own}", "--json"], 1),
        (["--config", "{other}", "status", "--json"], 0),
        (["--config", "{other}", "status", "--json", "--config", "{own}"], 1),
        (["--config", "{own}", "status", "--json", "--config", "{other}"], 0),
        (["--config", "{other}", "parked", "--config", "{own}", "list", "--json", "--connection", "c1"], None),
    ],
)
def test_the_option_may_stand_before_the_command_or_after_it_and_the_last_one_counts(
    installation, other, words, connections
):
    found = CliRunner().invoke(main, [word.format(own=installation.config, other=other) for word in words])
    assert found.exit_code in (0, 1), found.output
    if connections is not None:
        assert len(re.findall(r'"environment"', found.stdout)) == connections


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A user's home and a present folder, both empty; nothing in the environment."""
    for name in [name for name in os.environ if name.startswith(("ZOHO_GOCARDLESS", "XDG_"))]:
        monkeypatch.delenv(name)
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_what_nothing_names_is_looked_for_in_the_folder_then_with_the_user_then_with_the_machine(places, monkeypatch):
    assert settings_file(os.environ) is None
    assert usual_files(os.environ)[-1] == Path("/etc/zoho-gocardless/settings.toml")
    of_user = put(places / "home" / ".config" / "zoho-gocardless" / "settings.toml")
    assert settings_file(os.environ) == of_user
    monkeypatch.setenv("XDG_CONFIG_HOME", str(places / "xdg"))
    assert settings_file(os.environ) is None
    of_user = put(places / "xdg" / "zoho-gocardless" / "settings.toml")
    assert settings_file(os.environ) == of_user
    here = put(places / "here" / "settings.toml")
    assert settings_file(os.environ).absolute() == here


def test_what_is_named_comes_first_and_an_environment_that_is_whole_needs_no_file(places, monkeypatch):
    put(places / "here" / "settings.toml")
    monkeypatch.setenv("ZOHO_GOCARDLESS__LOG", "sqlite:////l")
    assert settings_file(os.environ) == Path("settings.toml")
    monkeypatch.setenv("ZOHO_GOCARDLESS__STORE", "sqlite:////s")
    assert settings_file(os.environ) is None
    monkeypatch.setenv("ZOHO_GOCARDLESS_CONFIG", "/srv/a.toml")
    assert settings_file(os.environ) == Path("/srv/a.toml")


def test_without_a_home_the_other_places_stand(places):
    assert len(usual_files({})) == 3


def test_a_command_takes_the_settings_of_the_present_folder(installation, places, monkeypatch):
    installation.feed()
    monkeypatch.chdir(installation.folder)
    assert "c1 (sandbox)" in CliRunner().invoke(main, ["status"]).stdout


# --- completion ---


def completed(line, shell="bash"):
    words = line.split(" ")
    environment = {
        **os.environ,
        "_ZOHO_GOCARDLESS_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
    }
    command = [sys.executable, "-m", "streams.cli"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_a_shell_completes_commands_and_options():
    assert completed("zoho-gocardless st").split() == ["plain,status", "plain,store"]
    assert completed("zoho-gocardless decide in").split() == ["plain,invoice"]
    assert completed("zoho-gocardless check acme --a").split() == ["plain,--approve", "plain,--accept"]
    assert completed("zoho-gocardless why in").split() == ["plain,invoice"]
    assert "run\tRun until asked to stop." in completed("zoho-gocardless r", "fish")
    assert "Run until asked to stop." in completed("zoho-gocardless r", "zsh")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_given(shell):
    environment = {**os.environ, "_ZOHO_GOCARDLESS_COMPLETE": f"{shell}_source"}
    command = [sys.executable, "-m", "streams.cli"]
    script = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "_ZOHO_GOCARDLESS_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_commands_are_completed_without_loading_any():
    code = (
        "import sys, click\nfrom streams.cli import main\n"
        "print(len(main.shell_complete(click.Context(main), '')), [one for one in sys.modules if one == 'streams.cli.run'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(main.list_commands(None))} []\n"


# --- manual pages ---


def commands(group, path=("zoho-gocardless",)):
    yield path
    for name in getattr(group, "commands", ()):
        yield from commands(group.commands[name], (*path, name))


def test_each_command_has_a_manual_page(tmp_path):
    core = pytest.importorskip("click_man.core", reason="click-man writes the pages; requirements.lock has it")
    core.write_man_pages("zoho-gocardless", main, version="1", target_dir=str(tmp_path))
    names = {"-".join(path) for path in commands(main)}
    assert {"zoho-gocardless", "zoho-gocardless-check", "zoho-gocardless-decide-invoice"} < names
    assert {page.stem for page in tmp_path.iterdir()} == names
    for page in tmp_path.iterdir():
        text = page.read_text()
        (named,) = re.findall(r"^\.SH NAME\n.* \\- (.*)$", text, re.MULTILINE)
        assert named.endswith("."), page.name
        assert not named.endswith("..."), f"{page.name}: cut off"
        assert "--config" in text.replace("\\", "")
        if shutil.which("groff"):
            command = ["groff", "-K", "utf8", "-man", "-ww", "-T", "utf8", "-z", str(page)]
            assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


def test_the_makefile_writes_them():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "\t$(BIN)/click-man zoho-gocardless --target $(MAN)\n" in makefile
