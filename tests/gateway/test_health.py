"""/health, /ready and /metrics: what they say when all is well, and when something is not."""

from types import SimpleNamespace

import orjson
from sqlalchemy import text

from domain import events, routing
from projections.work.halts import Halts
from streams.settings import Calls
from tests.support import installation


async def get(program, path):
    async with program.session.get(program.url + path) as response:
        return response.status, await response.read(), response.headers["Content-Type"]


async def ready(program):
    status, body, kind = await get(program, "/ready")
    assert kind == "application/json"
    said = orjson.loads(body)
    assert (status, said["ready"]) in {(200, True), (503, False)}
    return said["troubles"]


async def test_alive_from_the_first_moment_and_ready_once_started(gateway_program):
    assert await get(gateway_program, "/health") == (200, b"ok\n", "text/plain; charset=utf-8")
    assert await ready(gateway_program) == ["starting"]
    gateway_program.health.started = True
    assert await ready(gateway_program) == []


async def test_an_api_without_credentials_is_named(gateway_program):
    gateway_program.health.started = True
    gateway_program.health.without_credentials.append("acme/zoho")
    assert await ready(gateway_program) == [
        "acme/zoho: no credentials: enter them with `zoho-gocardless connect`, then start again"
    ]


async def test_a_connection_set_aside_and_an_api_to_catch_up_with_are_named(gateway_program, monkeypatch):
    program = gateway_program
    program.health.started = True

    def raising(state, event):
        raise ValueError("a rule that does not hold")

    monkeypatch.setattr(routing, "step", raising)
    await program.context.tell(program.seen("PM1"))
    await program.decide()
    with program.store.write() as writer:
        program.store.require_catch_up(writer, "restored", program.clock.now())
    troubles = await ready(program)
    assert "connection acme is set aside" in troubles
    monkeypatch.undo()
    await program.ask(program.read_invoice("inv-9"), connection="cedar")
    with program.store.write() as writer:
        program.store.require_catch_up(writer, "restored", program.clock.now())
    assert "cedar/zoho catches up (restored)" in await ready(program)
    Halts(program.store).caught_up("cedar", "zoho")
    assert "cedar/zoho catches up (restored)" not in await ready(program)


async def test_refused_credentials_a_refusing_clock_and_a_failed_stage_are_named(gateway_program):
    program = gateway_program
    program.health.started = True
    access = program.access("zoho", installation.Script(), calls=Calls())
    access.trouble = "the refresh token was revoked: connect again"
    program.health._accesses["zoho"]["acme"] = access

    program.health.clock = SimpleNamespace(
        refusals={"acme": "the clock is 400 days past the last day worked on: check it, then accept it"}
    )
    program.health.worker = SimpleNamespace(failure=RuntimeError("a stage raised"))
    assert await ready(program) == [
        "a stage has failed",
        "acme/zoho: the refresh token was revoked: connect again",
        "acme: the clock is 400 days past the last day worked on: check it, then accept it",
    ]


async def test_a_store_or_a_log_that_cannot_be_read_is_a_trouble_and_no_error_page(gateway_program):
    program = gateway_program
    program.health.started = True
    with program.store.write() as writer:
        writer.execute(text("DROP TABLE quarantine"))
    assert await ready(program) == ["the store cannot be read (StoreError)"]
    await program.log.stop()
    assert await ready(program) == ["the store cannot be read (StoreError)", "the log cannot be read (LogClosed)"]
    assert (await get(program, "/health"))[0] == 200
    await program.log.start()


async def test_metrics_count_in_prometheus_form_and_name_nobody(gateway_program):
    program = gateway_program
    body = orjson.dumps({"events": [{"id": "EV1", "links": {"payment": "PM-of-somebody"}}]})
    assert await program.hook(body) == 204
    assert await program.hook(body, "wrong") == 401
    async with program.worker(core=True) as worker:
        await worker.until_idle()
    status, shown, kind = await get(program, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b'zoho_gocardless_deliveries_total{api="gocardless"} 1.0' in shown
    assert b'zoho_gocardless_refused_webhooks_total{api="gocardless",reason="signature"} 1.0' in shown
    assert b"zoho_gocardless_parked_pieces_total 1.0" in shown
    assert b"zoho_gocardless_events_total 1.0" in shown
    assert b"somebody" not in shown
    (event,) = await program.events()
    assert isinstance(event.data, events.DeliveryParked)
