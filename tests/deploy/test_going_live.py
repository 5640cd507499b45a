"""docs/going-live.md: what it lists is what the program wants, and its commands are commands."""

import re
import shlex
from typing import get_args

import msgspec
import pytest

from adapters.zoho.oauth import SCOPES
from domain.onboarding_findings import DecideCode
from domain.policy import Rules
from streams.settings import Connection, Zoho
from tests.support.deployment import ROOT, parsed

TEXT = (ROOT / "docs" / "going-live.md").read_text()


def section(name):
    return re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1:][name - 1]


def test_the_readme_leads_to_it():
    assert "`docs/going-live.md`" in (ROOT / "README.md").read_text()
    assert [int(number) for number in re.findall(r"^## (\d)\. ", TEXT, re.MULTILINE)] == list(range(1, 10))


def test_the_scopes_are_those_that_the_program_needs():
    (block,) = re.findall(r"^```\n(ZohoBooks.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert "".join(block.split()).split(",") == list(SCOPES)


def test_every_code_that_must_be_accepted_is_explained():
    rows = re.findall(r"^\| `(\w+)` \| .+ \|$", section(8), re.MULTILINE)
    assert sorted(rows) == sorted(get_args(DecideCode))


def test_what_to_prepare_in_zoho_is_what_the_settings_name():
    named = re.findall(r"\| `([\w.]+)` \|$", section(2), re.MULTILINE)
    kinds = {"zoho": Zoho, "rules": Rules}
    for name in named:
        table, _, setting = name.rpartition(".")
        assert setting in {field.name for field in msgspec.structs.fields(kinds.get(table, Connection))}, name
    assert len(named) == 10


def test_the_webhooks_go_where_the_gateway_takes_them():
    routes = (ROOT / "streams" / "stages" / "gateway.py").read_text()
    for api, module in re.findall(r"/webhooks/(\w+)/acme(/\w+)?`", TEXT):
        path = f"/webhooks/{api}/{{connection}}" + ("/{module}" if module else "")
        assert f'web.post("{path}"' in routes


@pytest.mark.parametrize(
    "line", [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
)
def test_its_commands_are_commands(line):
    words = shlex.split(line)
    assert words.pop(0) == "zoho-gocardless"
    parsed(words)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", TEXT))))
def test_its_links_lead_somewhere(target):
    assert (ROOT / "docs" / target).is_file()
