"""Each row of `docs/bad-input.md` as a case. The table is read, so that document and tests cannot drift."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from adapters.deliveries import CallInfo, PageInfo
from adapters.errors import TransportError
from adapters.gocardless import translate as gocardless
from domain import codec, commands, events, process
from projections.polls import Polls
from projections.standstills import Standstills
from streams.log import NewRecord
from streams.settings import Calls, Polling
from streams.stages import gateway, translate
from streams.stages.executor import Executor
from streams.stages.poller import Poller
from streams.stages.relay import Relay

DOCUMENT = Path(__file__).parents[2] / "docs" / "bad-input.md"
NOW = "2026-03-02T09:00:00.000Z"
CALLS = Calls(deadline_s=5.0, park_after=3)
INVOICE = {
    "invoice_id": "910000000042001",
    "invoice_number": "INV-0042",
    "date": "2026-02-20",
    "due_date": "2026-03-06",
    "customer_id": "910000000031007",
    "currency_code": "GBP",
    "status": "sent",
    "exchange_rate": 1,
    "total": 119.99,
    "balance": 19.90,
    "last_modified_time": "2026-02-21T10:00:00+0100",
}
PAYMENT = {
    "id": "PM1",
    "status": "pending_submission",
    "amount": 1200,
    "currency": "GBP",
    "created_at": NOW,
    "links": {"mandate": "MD1"},
    "metadata": {"zoho_invoice_id": "inv-1"},
}

CASES = {}


def rows():
    """(case, outcome) of each row of the tables of cases, and the outcomes that the first table explains."""
    outcomes, found, head = {}, [], []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            head = []
        elif not head:
            head = cells
        elif not set(line) <= set("|-"):
            if head[0] == "case":
                found.append((cells[0], cells[-1]))
            else:
                outcomes[cells[0]] = cells[1]
    return found, outcomes


ROWS, OUTCOMES = rows()


def case(run):
    """A case of the table, by its name."""
    CASES[run.__name__.replace("_", "-")] = run
    return run


def test_every_row_has_a_case_and_every_case_a_row():
    assert [name for name, _ in ROWS] == list(dict.fromkeys(name for name, _ in ROWS))
    assert {name for name, _ in ROWS} == CASES.keys()
    assert {outcome for _, outcome in ROWS} <= OUTCOMES.keys()
    assert {outcome for _, outcome in ROWS} == OUTCOMES.keys(), "an outcome that no row has"


@pytest.mark.parametrize(("name", "outcome"), ROWS, ids=[name for name, _ in ROWS])
async def test_row(name, outcome, gateway_program, again, monkeypatch):
    """The case says what came of it; the document must say the same."""
    bench = Bench(gateway_program, again, monkeypatch)
    with capture_logs():
        assert await CASES[name](bench) == outcome
    await bench.still_works()


class Bench:
    """What the cases have at hand."""

    def __init__(self, company, again, monkeypatch):
        self.company = company
        self.again = again
        self.monkeypatch = monkeypatch

    async def still_works(self):
        """After whatever came in, a good webhook goes all the way: nothing was stopped."""
        self.monkeypatch.undo()
        good = orjson.dumps({"events": [gc_row("EV-good", payment="PM-good")]})
        assert await self.company.hook(good, "secret-of-birch", "birch") == 204
        await self.company.translate()
        await self.company.decide()
        assert "PM-good" in self.company.state("payments", "birch")

    # --- the gateway

    def refusals(self, reason):
        return self.company.count("refused_webhooks", api="gocardless", reason=reason)

    async def refused(self, reason, status, expected):
        assert status == expected
        assert self.refusals(reason) == 1
        assert await self.company.deliveries("gocardless") == []
        return "refused"

    # --- deliveries

    async def webhook(self, body, **more):
        """Take a signed webhook through gateway, translate and core; the events that came out."""
        company = self.company
        send = company.zoho_hook if more.pop("zoho", False) else company.hook
        assert await send(body if isinstance(body, bytes) else orjson.dumps(body), **more) in (200, 204)
        await company.translate()
        await company.decide()
        return await company.events()

    async def delivery(self, body, **meta):
        """The same for a page or an answer."""
        company = self.company
        await company.shop.append([company.webhook(body if isinstance(body, bytes) else orjson.dumps(body), **meta)])
        await company.translate()
        await company.decide()
        return await company.events()

    def parked(self, found, *, others=(), where=None, reason=""):
        """One piece is parked, named and shown; the rest came out."""
        pieces = [event for event in found if event.type == "delivery.parked"]
        assert len(pieces) == 1
        assert where is None or pieces[0].data.where == where
        assert reason in pieces[0].data.reason
        assert [event.id for event in found if event.type != "delivery.parked"] == list(others)
        assert "delivery_parked" in self.company.discrepancies()
        assert self.company.count("parked_pieces") == 1
        return "parked"

    # --- answers

    async def executed(self, api, command, *answers, rows=()):
        """Send a command; the API's first answer is the bad one."""
        company = self.company
        await company.ask(command, rows=rows)
        send = company.script(*answers)
        executor = Executor(company.shop, api, {"acme": company.desk(api, send, calls=CALLS)}, CALLS, draw=lambda: 0.0)
        await executor.turn()
        await executor.drain()
        await company.translate()
        await company.decide()
        return executor, send

    async def outcome(self):
        found = [event.data for event in await self.company.events() if event.type == "command.outcome"]
        assert len(found) <= 1
        return found[0] if found else None

    async def looked_up(self, api, command, bad, rows=()):
        """After this answer the next thing asked is a search."""
        executor, send = await self.executed(api, command, bad, TransportError("refused", sent=False), rows=rows)
        assert self.company.queue.get("acme", command.id).state == "unknown"
        assert await self.outcome() is None
        self.company.clock.move(1)
        await executor.turn()
        await executor.drain()
        assert [call.method for call in send.calls] == ["POST", "GET"]
        return "looked up"

    async def stopped(self, command, body, *, status=200, rows=(), code):
        """The command ended, is not sent again, and a person is told."""
        executor, send = await self.executed("gocardless", command, self.company.answer(status, body), rows=rows)
        outcome = await self.outcome()
        assert outcome.kind == "refused"
        assert code in self.company.discrepancies()
        self.company.clock.move(86_400)
        await executor.turn()
        assert len(send.calls) == 1
        return "stopped"


def gc_row(id_, resource="payments", action="created", **links):
    return {"id": id_, "created_at": NOW, "resource_type": resource, "action": action, "links": links}


def read_payment():
    return commands.Command("cm-read", "payments:PM1", "read_payment:PM1", commands.ReadPayment("PM1"))


# --- at the gateway ------------------------------------------------------------------------------------------------------------------


@case
async def wrong_signature(bench):
    return await bench.refused("signature", await bench.company.hook(b'{"events":[]}', "not the secret"), 401)


@case
async def no_signature(bench):
    return await bench.refused("signature", await bench.company.post("/webhooks/gocardless/acme", b'{"events":[]}'), 401)


@case
async def unknown_connection(bench):
    return await bench.refused("signature", await bench.company.hook(b'{"events":[]}', connection="nobody"), 401)


@case
async def foreign_secret(bench):
    return await bench.refused("signature", await bench.company.hook(b'{"events":[]}', "secret-of-birch"), 401)


@case
async def huge_body(bench):
    bench.monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 30.0)

    async def chunks():
        for _ in range(33):
            yield b" " * 65_536

    company = bench.company
    async with company.session.post(company.url + "/webhooks/gocardless/acme", data=chunks()) as response:
        return await bench.refused("too_large", response.status, 413)


async def unfinished(bench, *, wait):
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.company.port)
    writer.write(b"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    status = int((await reader.readline()).split()[1]) if wait else 0
    writer.close()
    await writer.wait_closed()
    return status


@case
async def cut_off_body(bench):
    bench.monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.1)
    assert await unfinished(bench, wait=False) == 0
    async with asyncio.timeout(5):
        while not bench.company.pulse.quiet():  # noqa: ASYNC110 - it is the gateway's own end of the request that is waited for
            await asyncio.sleep(0.01)
    assert await bench.company.deliveries("gocardless") == []
    return "refused"


@case
async def slow_body(bench):
    bench.monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.1)
    return await bench.refused("slow", await unfinished(bench, wait=True), 408)


@case
async def header_bytes(bench):
    body = b'{"events":[]}'
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.company.port)
    signed = bench.company.sign("secret-of-acme", body).encode()
    writer.write(b"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 13\r\n")
    writer.write(b"Webhook-Signature: " + signed + b"\r\nUser-Agent: \xff\xfe\r\nOrigin: \x80\r\n\r\n" + body)
    assert b" 204 " in await reader.readline()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    (record,) = await bench.company.deliveries("gocardless")
    assert record.value == body
    return "kept"


@case
async def same_webhook_twice(bench):
    body = {"events": [gc_row("EV1", payment="PM1")]}
    await bench.webhook(body)
    await bench.webhook(body)
    assert len(await bench.company.deliveries("gocardless")) == 2
    assert len(bench.company.state("commands")) == 1
    return "ignored"


# --- from GoCardless's bodies ---------------------------------------------------------------------------------------------------------


@case
async def not_json(bench):
    return bench.parked(await bench.webhook(b"<xml/>"))


@case
async def truncated_json(bench):
    return bench.parked(await bench.webhook(orjson.dumps({"events": [gc_row("EV1", payment="PM1")]})[:-9]))


@case
async def not_utf8(bench):
    return bench.parked(await bench.webhook(b'{"events":[{"id":"\xff\xfe"}]}'))


@case
async def empty_body(bench):
    return bench.parked(await bench.webhook(b""))


@case
async def no_events(bench):
    assert bench.parked(await bench.webhook({"event": []})) == "parked"
    found = await bench.webhook({"events": {"0": {}}})
    assert [event.type for event in found] == ["delivery.parked"] * 2
    return "parked"


@case
async def deep_nesting(bench):
    return bench.parked(await bench.webhook(b'{"events":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))


@case
async def bad_row_among_good(bench):
    body = {"events": [gc_row("EV1", payment="PM1"), {"id": "EV2"}, gc_row("EV3", payment="PM3")]}
    return bench.parked(await bench.webhook(body), where="events[1]", others=["EV1", "EV3"])


@case
async def wrong_types(bench):
    broken = [
        {**gc_row("EV1"), "links": ["PM1"]},
        {**gc_row("EV2"), "links": {"payment": {"id": "PM1"}}},
        {**gc_row("EV3"), "resource_type": 7},
        {**gc_row("EV4"), "details": "failed"},
        "EV5",
        None,
        [],
    ]
    found = await bench.webhook({"events": broken})
    assert [(event.type, event.data.where) for event in found] == [("delivery.parked", f"events[{place}]") for place in range(len(broken))]
    return "parked"


@case
async def hostile_id(bench):
    body = {"events": [gc_row("EV1", payment="../../creditors"), gc_row("../EV2", payment="PM1"), gc_row("EV3", payment="PM3")]}
    found = await bench.webhook(body)
    assert [event.type for event in found] == ["gocardless.payments.created", "delivery.parked", "delivery.parked"]
    assert list(bench.company.state("payments")) == ["PM3"]
    return "parked"


@case
async def bad_instant(bench):
    return bench.parked(await bench.webhook({"events": [{**gc_row("EV1", payment="PM1"), "created_at": "yesterday"}]}), where="events[0]")


@case
async def nan_and_half_emoji(bench):
    good = orjson.dumps(gc_row("EV1", payment="PM1"))
    spoilt = orjson.dumps({**gc_row("EV2"), "created_at": 1}).replace(b'"created_at":1', b'"created_at":NaN,"x":"\\ud83d"')
    return bench.parked(await bench.webhook(b'{"events":[' + spoilt + b"," + good + b"]}"), where="events[0]", others=["EV1"])


@case
async def thousands_of_bad_rows(bench):
    found = await bench.webhook({"events": [0] * 5_000})
    assert len(found) == translate.MAX_PARKED + 1
    assert "4900 further pieces" in found[-1].data.reason
    return "parked"


@case
async def thousands_of_events(bench):
    body = {"events": [gc_row(f"EV{number}", "exports", "started", export="EX1") for number in range(12_000)]}
    assert len(await bench.webhook(body)) == 12_000
    return "kept"


@case
async def unknown_resource(bench):
    found = await bench.webhook({"events": [gc_row("EV1", "moon_bases", "launched", moon_base="MB1")]})
    assert [event.type for event in found] == ["gocardless.moon_bases.launched"]
    assert bench.company.discrepancies() == ["not_understood"]
    return "shown"


@case
async def unknown_action(bench):
    found = await bench.webhook({"events": [gc_row("EV1", action="teleported", payment="PM1")]})
    assert [event.type for event in found] == ["gocardless.payments.teleported"]
    assert bench.company.discrepancies() == ["not_understood"]
    return "shown"


@case
async def event_of_nobody(bench):
    found = await bench.webhook({"events": [gc_row("EV1"), gc_row("EV2", payout="PO1")]})
    assert [event.id for event in found] == ["EV1", "EV2"]
    assert bench.company.state("payments") == {}
    return "ignored"


@case
async def same_event_other_content(bench):
    await bench.webhook({"events": [gc_row("EV1", payment="PM1")]})
    await bench.webhook({"events": [gc_row("EV1", payment="PM2", action="failed")]})
    assert list(bench.company.state("payments")) == ["PM1"]
    return "ignored"


async def odd_payment(bench, **odd):
    result = await bench.stopped(read_payment(), {"payments": {**PAYMENT, **odd}}, code="read_refused")
    assert "gocardless.payment_read" not in [event.type for event in await bench.company.events()]
    assert "delivery_parked" in bench.company.discrepancies()
    return result


@case
async def negative_amount(bench):
    return await odd_payment(bench, amount=-1200)


@case
async def fractional_amount(bench):
    return await odd_payment(bench, amount=10.5)


@case
async def enormous_amount(bench):
    return await odd_payment(bench, amount=10**18)


@case
async def unknown_currency(bench):
    return await odd_payment(bench, currency="ZZZ")


@case
async def foreign_payment(bench):
    company = bench.company
    await bench.webhook({"events": [gc_row("EV1", payment="PM-of-another")]})
    await Relay(company.shop).turn()
    gone = {"error": {"type": "invalid_api_usage", "code": 404, "errors": [{"reason": "resource_not_found", "message": "not found"}]}}
    send = company.script(company.answer(404, gone))
    executor = Executor(company.shop, "gocardless", {"acme": company.desk("gocardless", send, calls=CALLS)}, CALLS)
    await executor.turn()
    await executor.drain()
    await company.translate()
    await company.decide()
    assert (await bench.outcome()).reason == "resource_not_found"
    assert company.state("payments")["PM-of-another"].claim == "foreign"
    assert company.state("balances") == {}
    return "ignored"


@case
async def oversized_fact(bench):
    pairs = {f"k{number}": "x" * 500 for number in range(40)}
    body = {"payments": [{**PAYMENT, "id": f"PM{n}", "metadata": pairs} for n in range(100)], "meta": {"cursors": {"after": None}}}
    command = commands.Command("cm-view", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", NOW))
    call = CallInfo(command, 1, "send", "GET", "/payments", {}, 200, NOW)
    found = await bench.delivery(body, kind="answer", call=call)
    assert [event.type for event in found] == ["command.outcome", "delivery.parked"]
    assert "exceeds" in found[1].data.reason
    return "parked"


# --- from Zoho Books's bodies ---------------------------------------------------------------------------------------------------------


@case
async def zoho_not_json(bench):
    return bench.parked(await bench.webhook(b"invoice_id=1", zoho=True))


async def odd_invoice(bench, **odd):
    result = bench.parked(await bench.webhook({"invoice": {**INVOICE, **odd}}, zoho=True))
    assert bench.company.state("invoices") == {}
    return result


@case
async def zoho_other_organisation(bench):
    return await odd_invoice(bench, organization_id="20077002")


@case
async def zoho_unknown_module(bench):
    return bench.parked(await bench.webhook({"bill": {"bill_id": "1"}}, zoho=True))


@case
async def zoho_unknown_currency(bench):
    return await odd_invoice(bench, currency_code="ZZZ")


@case
async def zoho_fraction_of_a_penny(bench):
    return await odd_invoice(bench, balance=10.001)


@case
async def zoho_negative_amount(bench):
    return await odd_invoice(bench, balance=-19.90)


@case
async def zoho_exponent(bench):
    assert await odd_invoice(bench, total=1e99) == "parked"
    found = await bench.webhook({"invoice": {**INVOICE, "total": "1" * 40}}, zoho=True)
    assert [event.type for event in found] == ["delivery.parked"] * 2
    return "parked"


@case
async def zoho_wrong_types(bench):
    for odd in ({"invoice_id": ["1", "2"]}, {"balance": {"amount": 1}}, {"status": []}, {"line_items": "none of them", "total": True}):
        found = await bench.webhook({"invoice": {**INVOICE, **odd}}, zoho=True)
        assert found[-1].type == "delivery.parked", odd
    assert bench.company.state("invoices") == {}
    return "parked"


@case
async def zoho_form_without_json(bench):
    found = await bench.delivery(b"invoice_id=1&status=paid", api="zoho", content_type="application/x-www-form-urlencoded")
    return bench.parked(found, reason="JSONString")


@case
async def zoho_deep_nesting(bench):
    body = orjson.dumps({"invoice": {**INVOICE, "x": 0}}).replace(b'"x":0', b'"x":' + b"[" * 100_000 + b"]" * 100_000)
    return bench.parked(await bench.webhook(body, zoho=True))


@case
async def zoho_bad_row_in_page(bench):
    invoices = [INVOICE, {**INVOICE, "invoice_id": "2", "total": "much"}, {**INVOICE, "invoice_id": "3"}]
    body = {"code": 0, "message": "success", "invoices": invoices, "page_context": {"page": 1, "has_more_page": False}}
    found = await bench.delivery(body, api="zoho", kind="page", page=PageInfo("zoho.invoices", 1, NOW, complete=True))
    listed = next(event.data for event in found if event.type == "zoho.invoices_listed")
    assert listed.ids == [INVOICE["invoice_id"], "3"]
    assert sorted(bench.company.state("invoices")) == ["3", INVOICE["invoice_id"]]
    return bench.parked(found, others=[event.id for event in found if event.type != "delivery.parked"])


@case
async def zoho_older_observation(bench):
    await bench.webhook({"invoice": INVOICE}, zoho=True)
    older = {**INVOICE, "balance": 119.99, "last_modified_time": "2026-02-20T10:00:00+0100"}
    await bench.webhook({"invoice": older}, zoho=True)
    assert bench.company.state("invoices")[INVOICE["invoice_id"]].balance_minor == 1_990
    return "ignored"


# --- on the topics ----------------------------------------------------------------------------------------------------------------------


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
    await bench.company.shop.tell(bench.company.seen("PM1"))
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
async def newer_schema(bench):
    return await not_understood(bench, b'"schema":1', b'"schema":99')


@case
async def unknown_type(bench):
    return await not_understood(bench, b'"type":"clock.day_began"', b'"type":"clock.century_began"')


@case
async def rule_that_raises(bench):
    company, step = bench.company, process.step

    def raising(state, event):
        if event.id == "EV-bad":
            raise ArithmeticError("a rule that does not hold")
        return step(state, event)

    bench.monkeypatch.setattr(process, "step", raising)
    await company.shop.tell(company.seen("PM1", id_="EV-bad"), company.seen("PM2", "birch"), company.seen("PM3"))
    await company.decide()
    assert [one.connection for one in Standstills(company.store).set_aside()] == ["acme"]
    assert company.state("payments") == {}
    assert list(company.state("payments", "birch")) == ["PM2"]
    bench.monkeypatch.undo()
    async with bench.again() as repaired:  # the next start
        await repaired.decide()
        assert Standstills(repaired.store).set_aside() == []
        assert sorted(repaired.state("payments")) == ["PM1", "PM3"]
    return "set aside"


@case
async def translator_that_raises(bench):
    def raising(meta, body):
        raise ArithmeticError("a fault of ours")

    bench.monkeypatch.setattr(gocardless, "translate", raising)
    return bench.parked(await bench.webhook({"events": []}), reason="the translator failed: ArithmeticError")


# --- in the APIs' answers ---------------------------------------------------------------------------------------------------------------


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
    send = company.script(*[company.answer(200, body) for body in (b"<html>", {"customers": []}, {"events": 7, "meta": {"cursors": {}}})])
    poller = Poller(company.shop, "gocardless", {"acme": company.desk("gocardless", send, calls=CALLS)}, Polling(), CALLS)
    due = await poller.turn()
    assert due == "2026-03-02T09:01:00.000Z"
    assert [call.path for call in send.calls] == ["/customers", "/mandates", "/events"]
    assert {poll.cursor for poll in Polls(company.store).all()} == {""}
    assert await company.deliveries("gocardless") == []
    return "asked again"


@case
async def other_amount(bench):
    debit, rows = bench.company.debit()
    result = await bench.stopped(debit, {"payments": {**PAYMENT, "amount": 120_000}}, status=201, rows=rows, code="debit_refused")
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


def test_the_document_names_no_case_twice_and_speaks_in_full_rows():
    for line in DOCUMENT.read_text().splitlines():
        if re.match(r"\| [a-z0-9-]+ \|", line) and not line.startswith("| case"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert all(cells), line
