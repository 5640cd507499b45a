"""Health by role: what makes which process unready, and that a question is answered though log and store hang."""

import asyncio
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from projections import backlog
from projections.store.errors import StoreUnavailable
from projections.work.halts import Halts
from streams.log.interface import LogUnavailable
from streams.process import health
from streams.process.health import Health
from streams.process.probe import Probe
from streams.process.stall_watch import Stalled
from streams.stages import metrics

DOCS = Path(__file__).parents[2] / "docs"
ROLES = ["gateway", "worker", "executor", "web", "all"]


@pytest.fixture
def made(company):
    """Makes the health of one role, started."""

    def make(role="all", **parts):
        one = Health(company.context, {"gocardless": {}, "zoho": {}}, role=role, **parts)
        one.started = True
        return one

    return make


async def answers(one, path):
    """(status, text) of one of its routes."""
    (handler,) = (route.handler for route in one.routes() if route.path == path)
    found: web.Response = await handler(None)
    return found.status, found.body.decode() if isinstance(found.body, bytes) else found.text


@pytest.fixture
def stuck(monkeypatch):
    """The store answers nothing until the test has ended."""
    ends = threading.Event()
    monkeypatch.setattr(Halts, "set_aside", lambda _: ends.wait(20))
    monkeypatch.setattr(backlog, "read", lambda *_: ends.wait(20))
    yield
    ends.set()


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_is_ready_when_all_is_well(made, role):
    one = made(role)
    assert await one.troubles() == []
    assert await answers(one, "/health") == (200, "ok\n")
    assert (await answers(one, "/ready"))[0] == 200


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("gateway", set()),
        ("web", set()),
        ("worker", {"connection acme is set aside"}),
        ("executor", {"acme/zoho catches up (restored)"}),
        ("all", {"connection acme is set aside", "acme/zoho catches up (restored)"}),
    ],
)
async def test_what_stands_still_is_told_by_the_role_whose_it_is(made, monkeypatch, role, told):
    monkeypatch.setattr(Halts, "set_aside", lambda _: [SimpleNamespace(connection="acme")])
    monkeypatch.setattr(
        Halts, "catch_ups", lambda _: [SimpleNamespace(connection="acme", api="zoho", reason="restored")]
    )
    assert set(await made(role).troubles()) == told


async def test_a_store_that_is_away_makes_no_gateway_unready(made, company, monkeypatch):
    def away(_):
        raise StoreUnavailable("the database answered OperationalError", "store", "try again")

    monkeypatch.setattr(Halts, "set_aside", away)
    assert await made("worker").troubles() == ["the store cannot be read (StoreUnavailable)"]
    assert await made("gateway").troubles() == []
    assert company.count("store_errors", reason="StoreUnavailable") == 1


async def test_ready_answers_in_time_though_log_and_store_hang(made, company, monkeypatch, stuck):
    async def never(tp):
        await asyncio.Event().wait()

    monkeypatch.setattr(company.log, "end_offset", never)
    one = made()
    began_s = time.monotonic()
    assert await one.troubles() == ["the store cannot be read (TimeoutError)", "the log cannot be read (TimeoutError)"]
    assert time.monotonic() - began_s < 2


async def test_one_partition_without_a_leader_is_not_the_whole_log(made, company, monkeypatch):
    real = company.log.end_offset

    async def partly(tp):
        if tp.partition == 0:
            await asyncio.Event().wait()
        return await real(tp)

    monkeypatch.setattr(company.log, "end_offset", partly)
    began_s = time.monotonic()
    assert await made().troubles() == []
    assert time.monotonic() - began_s < 1


async def test_appends_that_fail_make_it_unready_until_one_succeeds_or_a_while_has_passed(made, company, monkeypatch):
    one = made("gateway")
    company.metrics.append_failed(LogUnavailable("no leader", "deliveries.zoho[0]", "wait"))
    assert await one.troubles() == ["the log does not take records (LogUnavailable)"]
    company.metrics.appended()
    assert await one.troubles() == []
    company.metrics.append_failed(LogUnavailable("no leader", "deliveries.zoho[0]", "wait"))
    monkeypatch.setattr(metrics, "APPEND_TROUBLE_S", 0.0)
    assert await one.troubles() == [], "else who balances the load would never send the append that clears it"
    assert company.count("append_failures", reason="LogUnavailable") == 2


async def test_a_failed_stage_is_neither_alive_nor_ready(made):
    async def fail():
        raise RuntimeError("a stage raised")

    running, failing = asyncio.create_task(asyncio.Event().wait()), asyncio.create_task(fail())
    one = made(stages=[running, failing])
    assert await answers(one, "/health") == (200, "ok\n")
    await asyncio.wait([failing])
    assert await answers(one, "/health") == (503, "a stage has failed\n")
    assert await one.troubles() == ["a stage has failed"]
    running.cancel()


async def test_a_stalled_worker_is_neither_alive_nor_ready(made):
    one = made("worker")
    one.watch = SimpleNamespace(
        stalled=None, troubles=lambda: ["events[0] has records waiting and has stood still for 70 s"]
    )
    assert await answers(one, "/health") == (200, "ok\n")
    assert await one.troubles() == ["events[0] has records waiting and has stood still for 70 s"]
    one.watch = SimpleNamespace(stalled=Stalled("it stands", "events[0]", "look"), troubles=list)
    assert (await answers(one, "/health"))[0] == 503
    assert await one.troubles() == ["a stage has failed"]


async def test_the_depths_of_the_store_are_read_on_a_scrape_and_served_for_a_while(made, company, monkeypatch):
    one = made()
    await company.ask(company.read_invoice("inv-9"))
    company.clock.move(90)
    _, shown = await answers(one, "/metrics")
    assert 'zoho_gocardless_queue_commands{api="zoho",state="ready"} 1.0' in shown
    assert 'zoho_gocardless_queue_overdue_seconds{api="zoho"} 90.0' in shown
    await company.ask(company.read_invoice("inv-10"))
    assert 'zoho_gocardless_queue_commands{api="zoho",state="ready"} 1.0' in (await answers(one, "/metrics"))[1]
    monkeypatch.setattr(health, "BACKLOG_S", 0.0)
    assert 'zoho_gocardless_queue_commands{api="zoho",state="ready"} 2.0' in (await answers(one, "/metrics"))[1]


async def test_a_scrape_answers_in_time_though_the_store_hangs_and_says_how_old_its_figures_are(
    made, company, stuck, monkeypatch
):
    monkeypatch.setattr(health, "ANSWER_S", 0.1)
    one = made("executor")
    began_s = time.monotonic()
    status, _ = await answers(one, "/metrics")
    assert (status, time.monotonic() - began_s < 2) == (200, True)
    assert 0.1 <= company.metrics.registry.get_sample_value("zoho_gocardless_store_figures_age_seconds") < 2


async def test_leases_are_counted_and_a_gateway_asks_the_store_for_nothing(made, company, stuck):
    accesses = {
        "gocardless": {},
        "zoho": {"acme": SimpleNamespace(holds=lambda: True), "birch": SimpleNamespace(holds=lambda: False)},
    }
    one = Health(company.context, accesses, role="gateway")
    _, shown = await answers(one, "/metrics")
    assert 'zoho_gocardless_leases_held{api="zoho"} 1.0' in shown
    assert 'zoho_gocardless_leases_held{api="gocardless"} 0.0' in shown


async def test_replaced_producers_are_counted_once_each(made, company, monkeypatch):
    one = made()
    for total in (2, 2, 3):
        monkeypatch.setattr(type(company.log), "producers_replaced", total)
        await answers(one, "/metrics")
        assert company.count("producer_replacements") == total


async def test_a_probe_asks_once_at_a_time_and_a_late_answer_harms_nobody():
    begun, ends = [], threading.Event()

    def work():
        begun.append(1)
        ends.wait(20)
        raise StoreUnavailable("too late", "store", "try again")

    probe = Probe(work, 0.05)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await probe.ask()
    assert len(begun) == 1
    ends.set()
    late = Probe(lambda: 7, 5.0)
    assert await asyncio.gather(late.ask(), late.ask()) == [7, 7]
    with pytest.raises(StoreUnavailable):
        await Probe(work, 5.0).ask()


async def test_labels_are_names_of_ours_and_none_is_an_id(made, company):
    await answers(made(), "/metrics")
    for error in (LogUnavailable("a payer's name", "at", "do"), StoreUnavailable("a payer's name", "at", "do")):
        company.metrics.append_failed(error)
        company.metrics.store_failed(error)
    company.metrics.lag.labels("events", 0).set(1)
    found = {
        label for family in company.metrics.registry.collect() for sample in family.samples for label in sample.labels
    }
    assert found <= {"api", "reason", "result", "kind", "topic", "partition", "state", "role", "version"}
    assert b"payer" not in company.metrics.text()


def test_every_metric_is_documented_with_its_labels_and_none_is_left_over(company):
    rows = re.findall(r"^\| `(zoho_gocardless_\w+)` \|(.*?)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    told = {name: labels.strip() for name, labels in rows}
    known = {}
    for metric in company.metrics.registry._collector_to_names:
        name = metric._name + ("_total" if metric._type == "counter" else "")
        known[name] = ", ".join(f"`{label}`" for label in metric._labelnames)
    assert told == known
