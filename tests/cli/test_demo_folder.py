"""`demo --folder`: only what a demo has marked is removed; an installation of somebody's is not touched, however like a
demo it looks.
"""

import json

import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.demo import demo
from streams.demo import folder as demo_folder
from streams.demo.folder import MARKER, NAMES


class Begun(Exception):
    pass


@pytest.fixture(autouse=True)
def no_demo(monkeypatch):
    """The command up to the point where the simulators would start: the folder is ready then."""

    def sandbox(plan, folder):
        raise Begun

    monkeypatch.setattr(demo, "sandbox", sandbox)


def run(folder, *words):
    return CliRunner().invoke(main, ["demo", "--folder", str(folder), *words])


def begun(folder, *words):
    """The command goes on to the demo; what it said."""
    found = run(folder, *words)
    assert "Begun" in found.output or "begun" in found.output, found.output
    return [line for line in found.stderr.splitlines() if not line.startswith("error[")]


def refused(folder, *words):
    """The command refuses the folder, and nothing in it has changed; the error."""
    before = content(folder)
    found = run(folder, "--json", *words)
    assert found.exit_code == 73, found.output
    assert content(folder) == before
    error = json.loads(found.stdout)["error"]
    assert error["code"] == "cannot_create"
    assert str(folder) in error["where"]
    return f"{error['what']}; {error['remedy']}"


def content(folder):
    return {
        one.relative_to(folder): (one.is_symlink(), one.read_bytes() if one.is_file() else None)
        for one in sorted(folder.rglob("*"))
    }


def a_demo_ran(folder, settings="log = 1\n"):
    """What a demo leaves."""
    demo_folder.make_ready(folder, lambda _: None)
    demo_folder.note_settings(folder, settings)
    for name in NAMES:
        if name == "log.db-wake":
            (folder / name).mkdir()
            (folder / name / "1234").touch()
        else:
            (folder / name).write_text(settings if name == "settings.toml" else name)


def test_a_real_installation_is_refused_and_untouched(installation):
    installation.put_secret("gocardless.token", b"the real one")
    installation.feed()
    assert {"settings.toml", "keys", "log.db", "store.db"} <= {one.name for one in installation.folder.iterdir()}
    said = refused(installation.folder)
    assert "no demo has marked it as its own" in said
    assert "choose another folder with --folder" in said


def test_a_folder_that_the_demo_of_0_1_0_left_is_refused_and_the_error_says_what_to_do(tmp_path):
    folder = tmp_path / ".demo"
    a_demo_ran(folder)
    (folder / MARKER).unlink()
    said = refused(folder)
    assert "version 0.1.0, which left no mark" in said
    assert "remove it yourself" in said


@pytest.mark.parametrize(
    "names", [["notes.txt"], ["settings.toml"], [".hidden"], [f"file-{number}" for number in range(2_000)]]
)
def test_a_folder_with_any_file_and_no_mark_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("mine")
    assert len(refused(tmp_path)) < 400


@pytest.mark.parametrize("mark", ["", "a note of mine", "x" * 10_000])
def test_a_file_that_only_has_the_marks_name_is_no_mark(tmp_path, mark):
    (tmp_path / MARKER).write_text(mark)
    (tmp_path / "settings.toml").write_text("mine")
    refused(tmp_path)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_in_a_demos_folder_only_what_a_demo_makes_is_removed_and_both_are_said(tmp_path, words):
    a_demo_ran(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "march.csv").write_text("mine too")
    said = begun(tmp_path, *words)
    assert said == [
        f"Removing what the last demo left in {tmp_path}: {', '.join(NAMES)}.",
        "Left as it is, since no demo made it: notes.txt, reports.",
    ]
    assert {one.name for one in tmp_path.iterdir()} == {MARKER, "notes.txt", "reports"}
    assert (tmp_path / "reports" / "march.csv").read_text() == "mine too"


@pytest.mark.parametrize("there", [True, False])
def test_a_new_or_an_empty_folder_is_marked_before_anything_else(tmp_path, there):
    folder = tmp_path / "deep" / "new"
    if there:
        folder.mkdir(parents=True)
    assert begun(folder) == []
    assert [one.name for one in folder.iterdir()] == [MARKER]
    assert begun(folder) == [], "and a demo that was cut off there is no obstacle"


def test_settings_that_were_changed_since_make_the_folder_somebodys_own(tmp_path):
    a_demo_ran(tmp_path)
    (tmp_path / "settings.toml").write_text('log = "sqlite:///the/real/one.db"\n')
    assert "settings.toml is not as the demo wrote it" in refused(tmp_path)


def test_a_folder_that_is_a_link_is_refused_and_what_it_leads_to_is_untouched(tmp_path):
    real = tmp_path / "real"
    a_demo_ran(real)
    link = tmp_path / "link"
    link.symlink_to(real)
    before = content(real)
    assert "is a link" in refused(link)
    assert content(real) == before


def test_a_mark_that_is_a_link_is_no_mark(tmp_path):
    demos, real = tmp_path / "demo", tmp_path / "real"
    a_demo_ran(demos)
    real.mkdir()
    (real / "settings.toml").write_text("mine")
    (real / MARKER).symlink_to(demos / MARKER)
    refused(real)


def test_links_under_a_demos_names_are_removed_and_not_followed(tmp_path):
    folder, real = tmp_path / "demo", tmp_path / "real"
    a_demo_ran(folder)
    real.mkdir()
    (real / "keys").write_text("the real keyring")
    for name, target in (("keys", real / "keys"), ("store.db", real)):
        (folder / name).unlink()
        (folder / name).symlink_to(target)
    for one in (folder / "log.db-wake").iterdir():
        one.unlink()
    (folder / "log.db-wake").rmdir()
    (folder / "log.db-wake").symlink_to(real)
    begun(folder)
    assert [one.name for one in folder.iterdir()] == [MARKER]
    assert (real / "keys").read_text() == "the real keyring"


def test_settings_that_are_a_link_are_not_the_demos(tmp_path):
    folder, real = tmp_path / "demo", tmp_path / "real.toml"
    a_demo_ran(folder)
    (folder / "settings.toml").rename(real)
    (folder / "settings.toml").symlink_to(real)
    assert "settings.toml is not as the demo wrote it" in refused(folder)


def test_a_folder_of_a_persons_own_under_a_demos_name_is_refused(tmp_path):
    a_demo_ran(tmp_path)
    (tmp_path / "store.db").unlink()
    (tmp_path / "store.db").mkdir()
    (tmp_path / "store.db" / "mine").write_text("mine")
    assert "store.db is a folder" in refused(tmp_path)
