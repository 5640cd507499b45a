"""docs/sandbox.md: its table has the routes that there are, its examples answer as they stand there, and its other
tables name what can be named.
"""

import re
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson
import pytest

from sandbox.barrier import Barrier
from sandbox.control import add_control_routes
from sandbox.faults import AFTER, BEFORE, EITHER
from sandbox.gocardless import gocardless_app
from sandbox.gocardless.acts import VERBS
from sandbox.gocardless.settings import OutcomeRule, Payer, PayerRule, Settings, Tariff
from sandbox.server import SandboxConfig, running_sandbox
from sandbox.webhooks import WebhookRule
from sandbox.world import World, parse_utc
from sandbox.zoho import zoho_app
from sandbox.zoho.books import Switches
from sandbox.zoho.human import Person

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
ANY = "…"


def table(*heading: str) -> list[list[str]]:
    """The rows of every table with these words in its first line."""
    head = r"\| " + r" \| ".join(re.escape(word) for word in heading) + r"(?: \|.*)?\n\|[-|]+\|\n((?:\|.*\n)+)"
    found = [row for rows in re.findall(head, PAGE) for row in rows.splitlines()]
    assert found, heading
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found]


def named(*heading: str) -> list[str]:
    """What the first column of such tables names."""
    return [name for row in table(*heading) for name in re.findall(r"`([^`]+)`", row[0])]


def routes(app: Any) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/_sandbox/") and route.method != "HEAD"
    }


@pytest.mark.parametrize("name", ["gocardless", "zoho"])
async def test_the_table_has_the_routes_that_there_are_and_no_others(name: str) -> None:
    world = World()
    apps = {"gocardless": gocardless_app(world), "zoho": zoho_app(world)}
    add_control_routes(world, Barrier(world), apps)
    documented = [(row[0], row[1].strip("`")) for row in table("method", "path")]
    assert len(documented) == len(set(documented))
    assert set(documented) == routes(apps[name])


def examples() -> list[tuple[str, str, Any, int, Any]]:
    """Method, path, body, status and answer of every example, in order."""
    found = []
    for block in re.findall(r"^```http\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        request, _, answer = block.partition("\n\n")
        line, _, body = request.partition("\n")
        method, _, path = line.partition(" ")
        status, _, expected = answer.partition("\n")
        found.append((method, path, orjson.loads(body) if body else None, int(status), orjson.loads(expected)))
    return found


def within(expected: Any, got: Any) -> bool:
    """Whether an answer has all that the page shows of it."""
    if expected == ANY:
        return bool(got)
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(key in got and within(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list):
        pairs = zip(expected, got, strict=False)
        return isinstance(got, list) and len(expected) == len(got) and all(within(one, other) for one, other in pairs)
    return bool(expected == got)


async def test_the_examples_answer_as_they_stand_there_and_every_route_has_one() -> None:
    start = parse_utc("2026-03-02T05:00:00Z")
    seen = set()
    async with running_sandbox(SandboxConfig(seed=7, start=start)) as sandbox, aiohttp.ClientSession() as http:
        for number, (method, path, body, status, expected) in enumerate(examples()):
            url = sandbox.zoho_url if number % 2 else sandbox.gocardless_url
            json = {} if body is None else {"json": body}
            async with http.request(method, url + path, **json) as answer:
                got = await (answer.json() if answer.content_type == "application/json" else answer.text())
                assert answer.status == status, (path, got)
            assert within(expected, got), f"{method} {path}\n--- expected\n{expected}\n--- got\n{got}"
            seen.add((method, path.partition("?")[0]))
    assert seen == {(row[0], row[1].strip("`")) for row in table("method", "path")}


def test_the_comparison_can_fail() -> None:
    assert within({"a": ANY, "b": [1]}, {"a": "x", "b": [1], "c": 2})
    assert not within({"a": ANY}, {"a": ""})
    assert not within({"a": 1}, {})
    assert not within([1], [1, 2])


def test_the_acts_are_those_that_there_are() -> None:
    assert sorted(named("`do`")) == sorted(VERBS)
    world = World()
    zoho_app(world)
    person: Person = world.apis["zoho"]._person  # type: ignore[attr-defined] # the simulator's own
    assert sorted(named("`action`")) == sorted(person.actions)


def test_the_settings_are_those_that_there_are() -> None:
    assert sorted(named("setting of `gocardless`")) == sorted(Settings.__struct_fields__)
    assert sorted(named("switch of `zoho`")) == sorted(Switches.__struct_fields__)
    for kind in (OutcomeRule, Payer, PayerRule, Tariff):
        for field in kind.__struct_fields__:
            assert f"`{field}`" in PAGE, (kind, field)


def test_the_faults_are_those_that_there_are() -> None:
    (literal,) = [field.type for field in msgspec.structs.fields(WebhookRule) if field.name == "kind"]
    assert sorted(named("`kind`")) == sorted([*BEFORE, *AFTER, *EITHER, *literal.__args__])
