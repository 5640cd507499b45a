"""`docs/versions.md` says what the code says, and of an earlier release what that release says; the changelog is dated."""

import json
import re
import sqlite3
import tomllib
import zipfile
from datetime import date
from pathlib import Path

from domain.decisions import RULES_VERSION
from domain.events import SCHEMA
from projections.store import migrate
from streams.log.sqlite import schema as file

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "tests" / "compat" / "zoho_gocardless-0.1.0-py3-none-any.whl"


def shown(document, column):
    lines = [line for line in document("docs/versions.md").splitlines() if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0]: cells[head.index(column)] for cells in rows}


def public_schemas():
    found = [json.loads(path.read_text())["$id"] for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))]
    assert len(found) == 3
    return ", ".join(found)


def test_the_column_of_this_version_is_the_codes(document):
    assert shown(document, "this version") == {
        "rules": str(RULES_VERSION),
        "schema of the store": migrate.HEAD,
        "events": str(SCHEMA),
        "public records": public_schemas(),
        "format of the embedded log": str(file.FORMAT),
    }


def test_each_stands_where_it_is_said_to_stand(document):
    for place in shown(document, "where it stands in the code").values():
        name, path = re.match(r"`(\w+)`.* in `([\w/.]+)`", place).groups()
        assert re.search(rf"^ *{name}\b.*= ", (ROOT / path).read_text(), re.MULTILINE), place


def test_the_format_stands_in_the_file(log_url):
    with sqlite3.connect(log_url.removeprefix("sqlite://")) as log:
        assert log.execute("PRAGMA user_version").fetchone() == (file.FORMAT,)
    log.close()


def test_the_column_of_the_release_is_the_releases_own(document):
    with zipfile.ZipFile(RELEASED) as wheel:
        text = "\n".join(wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py"))
    constants = dict(re.findall(r'^(RULES_VERSION|HEAD|SCHEMA|FORMAT): Final = "?(\w+)"?$', text, re.MULTILINE))
    records = sorted(set(re.findall(r'schema: Literal\["([\w/-]+)"\]', text)))
    assert shown(document, "0.1.0") == {
        "rules": constants["RULES_VERSION"],
        "schema of the store": constants["HEAD"],
        "events": constants["SCHEMA"],
        "public records": ", ".join(records),
        "format of the embedded log": constants["FORMAT"],
    }


def test_every_release_has_a_date_and_the_newest_is_the_programs_version(document):
    newest, *releases = re.findall(r"^## (.*)$", document("CHANGELOG.md"), re.MULTILINE)
    assert newest == "Unreleased"
    dated = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", release) for release in releases]
    assert all(dated), releases
    days = [date.fromisoformat(match[2]) for match in dated]
    assert days == sorted(days, reverse=True)
    assert dated[0][1] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_every_release_that_is_carried_over_has_a_column(document):
    wheels = [path.name.split("-")[1] for path in RELEASED.parent.glob("*.whl")]
    assert wheels
    assert all(shown(document, version) for version in wheels)
