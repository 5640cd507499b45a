"""Bad input on the topics, and in the answers of the APIs."""

from adapters.errors import TransportError
from adapters.gocardless import translate as gocardless
from domain import codec, events, routing
from projections.work.halts import Halts
from projections.work.polls import Polls
from streams.log.interface import NewRecord
from streams.settings import Polling
from streams.stages.poller import Poller
from tests.stages.bad_input import CALLS, case, read_payment
from tests.support.api_rows import PAYMENT

# --- on the topics ----------------------------------------------------------------------------------------------------


async def strange(bench, topic, key, value, *, partition=None):
    await bench.company.log.append([NewRecord(topic, key, value, partition=partition)])
    await bench.company.translate()
    await bench.company.decide()
    return await bench.company.events()


@case
async def delivery_without_meta(bench):
    return bench.parked(await strange(bench, "deliveries.zoho", b"acme", b"{}"), where="meta")


@case
async def delivery_of_nobody(bench):
    (event,) = await strange(bench, "deliveries.gocardless", b"\xff\x00", b"{}", partition=0)
    assert event.type == "delivery.parked"
    return "parked"


async def undecodable(bench, value):
    await bench.company.log.append([NewRecord("events", b"acme", value)])
    await bench.company.context.tell(bench.company.seen("PM1"))
    await bench.company.decide()
    assert bench.company.count("undecodable_records") == 1
    assert list(bench.company.state("payments")) == ["PM1"]
    return "counted"


@case
async def undecodable_event(bench):
    return await undecodable(bench, b'{"id":"EV1","type":')


@case
async def wrong_data_for_type(bench):
    event = codec.encode_event(bench.company.event(events.DayBegan("2026-03-02"), "clock.day_began"))
    return await undecodable(bench, event.replace(b'"day":"2026-03-02"', b'"day":20260302'))


async def not_understood(bench, old, new):
    event = codec.encode_event(bench.company.event(events.DayBegan("2026-03-02"), "clock.day_began"))
    assert old in event
    await strange(bench, "events", b"acme", event.replace(old, new))
    assert bench.company.discrepancies() == ["not_understood"]
    assert bench.company.count("undecodable_records") == 0
    return "shown"


@case
async def day_that_is_none(bench):
    company = bench.company
    await company.due("", "")
    for day in ("9999-99-99", "9998-12-30"):
        await company.context.tell(company.event(events.DayBegan(day), "clock.day_began"))
    await company.decide()
    assert company.state("connections")["acme"].today == company.clock.now()[:10]
    assert Halts(company.store).set_aside() == []
    return "ignored"


@case
async def newer_schema(bench):
    return await not_understood(bench, b'"schema":1', b'"schema":99')


@case
async def unknown_type(bench):
    return await not_understood(bench, b'"type":"clock.day_began"', b'"type":"clock.century_began"')


@case
async def rule_that_raises(bench):
    company, step = bench.company, routing.step

    def raising(state, event):
        if event.id == "EV-bad":
            raise ArithmeticError("a rule that does not hold")
        return step(state, event)

    bench.monkeypatch.setattr(routing, "step", raising)
    await company.context.tell(company.seen("PM1", id_="EV-bad"), company.seen("PM2", "birch"), company.seen("PM3"))
    await company.decide()
    assert [one.connection for one in Halts(company.store).set_aside()] == ["acme"]
    assert company.state("payments") == {}
    assert list(company.state("payments", "birch")) == ["PM2"]
    bench.monkeypatch.undo()
    async with bench.again() as repaired:  # the next start
        await repaired.decide()
        assert Halts(repaired.store).set_aside() == []
        assert sorted(repaired.state("payments")) == ["PM1", "PM3"]
    return "set aside"


@case
async def translator_that_raises(bench):
    def raising(meta, body):
        raise ArithmeticError("a fault of ours")

    bench.monkeypatch.setattr(gocardless, "translate", raising)
    return bench.parked(await bench.webhook({"events": []}), reason="the translator failed: ArithmeticError")


# --- in the APIs' answers ---------------------------------------------------------------------------------------------


async def doubtful_debit(bench, bad):
    debit, rows = bench.company.debit()
    return await bench.looked_up("gocardless", debit, bad, rows)


@case
async def html_for_a_write(bench):
    return await doubtful_debit(bench, bench.company.answer(502, b"<html><h1>Bad Gateway</h1></html>"))


@case
async def nonsense_for_a_write(bench):
    return await doubtful_debit(bench, bench.company.answer(200, b"OK"))


@case
async def conflict_without_id(bench):
    conflict = {"error": {"type": "invalid_state", "code": 409, "errors": [{"reason": "idempotent_creation_conflict"}]}}
    return await doubtful_debit(bench, bench.company.answer(409, conflict))


@case
async def zoho_nonsense_for_a_write(bench):
    return await bench.looked_up("zoho", bench.company.transfer(), bench.company.answer(200, {"message": "success"}))


@case
async def too_large_answer(bench):
    return await doubtful_debit(bench, TransportError("too_large", sent=True))


@case
async def impossible_headers(bench):
    company = bench.company
    said = {
        "date": "Mon, 31 Nov 2026 09:00:60 GMT",
        "x_rate_limit_limit": "²",
        "x_rate_limit_remaining": "1",
        "x_rate_limit_reset": "9" * 20,
    }
    gone = {"code": 1002, "message": "Invoice does not exist."}
    await bench.executed("zoho", company.read_invoice("inv-1"), company.answer(404, gone, **said))
    assert (await bench.outcome()).kind == "refused"
    ignored = {name: company.count("ignored_headers", api="zoho", header=name.replace("_", "-")) for name in said}
    assert ignored == {"date": 1, "x_rate_limit_limit": 1, "x_rate_limit_remaining": 0, "x_rate_limit_reset": 1}
    assert company.context.skews == {}
    return "ignored"


@case
async def html_for_a_read(bench):
    company = bench.company
    good = company.answer(200, {"payments": PAYMENT})
    executor, send = await bench.executed("gocardless", read_payment(), company.answer(503, b"<html>"), good)
    assert await bench.outcome() is None
    company.clock.move(1)
    await executor.turn()
    await executor.drain()
    await company.translate()
    assert [call.path for call in send.calls] == ["/payments/PM1"] * 2
    assert (await bench.outcome()).kind == "succeeded"
    return "asked again"


@case
async def page_that_is_none(bench):
    company = bench.company
    send = company.script(
        *[company.answer(200, body) for body in (b"<html>", {"customers": []}, {"events": 7, "meta": {"cursors": {}}})]
    )
    poller = Poller(
        company.context, "gocardless", {"acme": company.access("gocardless", send, calls=CALLS)}, Polling(), CALLS
    )
    due = await poller.turn()
    assert due == "2026-03-02T09:01:00.000Z"
    assert [call.path for call in send.calls] == ["/customers", "/mandates", "/events"]
    assert {poll.cursor for poll in Polls(company.store).all()} == {""}
    assert await company.deliveries("gocardless") == []
    return "asked again"


@case
async def other_amount(bench):
    debit, rows = bench.company.debit()
    result = await bench.stopped(
        debit, {"payments": {**PAYMENT, "amount": 120_000}}, status=201, rows=rows, code="debit_refused"
    )
    assert (await bench.outcome()).reason == "amount_mismatch"
    assert bench.company.state("invoices")["inv-1"].stage in {"failed", "hold"}
    return result


@case
async def other_resource(bench):
    result = await bench.stopped(read_payment(), {"payments": {**PAYMENT, "id": "PM2"}}, code="read_refused")
    assert (await bench.outcome()).reason == "other_resource"
    return result


@case
async def refused_without_reason(bench):
    return await bench.stopped(read_payment(), {"error": "no"}, status=422, code="read_refused")
