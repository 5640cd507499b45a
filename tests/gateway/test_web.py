"""The status page: what it shows, and that nothing of it can become markup."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from domain.state import DiscrepancyRow
from projections.store.errors import StoreUnavailable
from projections.store.store import open_store
from projections.store.tables import STATE
from streams.web.pages import Web


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


async def shown(pages):
    app = web.Application()
    app.add_routes(pages.routes())
    async with TestClient(TestServer(app)) as client, client.get("/") as answer:
        return answer.status, await answer.text(), answer.headers


def discrepancy(store, **facts):
    columns = STATE["discrepancies"].c
    texts = {column.name: facts.get(column.name, "") for column in columns if column.type.python_type is str}
    numbers = {column.name: 0 for column in columns if column.type.python_type is int}
    with store.write() as writer:
        writer.execute(STATE["discrepancies"].insert().values(**texts, **numbers))


async def test_a_new_installation_says_what_comes_next(store):
    status, text, headers = await shown(Web(store, ["acme", "beta"]))
    assert status == 200
    assert text.index("acme") < text.index("beta")
    assert "the gate is closed: run zoho-gocardless check acme" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


async def test_what_waits_for_a_person_is_listed_with_its_remedy_and_never_as_markup(store):
    assert "remedy" in DiscrepancyRow.__struct_fields__
    discrepancy(
        store,
        connection="acme",
        id="d1",
        code="debit_failed",
        text="INV-1 <b>& more",
        remedy="ask",
        opened_at="2026-03-02T09:00:00.000Z",
    )
    status, text, _ = await shown(Web(store, ["acme"]))
    assert status == 200
    assert "2026-03-02 09:00" in text
    assert "INV-1 &lt;b&gt;&amp; more" in text
    assert "<b>" not in text


async def test_a_store_that_cannot_be_read_is_said_and_not_a_crash(store, monkeypatch):
    pages = Web(store, ["acme"])

    def fail(*_):
        raise StoreUnavailable("the database answered <57P03>", "somewhere", "wait")

    monkeypatch.setattr(pages._queries, "status", fail)
    status, text, _ = await shown(pages)
    assert status == 503
    assert "the database answered &lt;57P03&gt;" in text
