"""Bad input at the gateway and in the bodies that it takes."""

import asyncio
from contextlib import suppress

import orjson

from adapters.deliveries import CallInfo, PageInfo
from domain import commands
from streams.stages import gateway, translate
from streams.stages.executor import Executor
from streams.stages.relay import Relay
from tests.stages.bad_input import CALLS, INVOICE, NOW, case, gc_row, read_payment
from tests.support.api_rows import PAYMENT

# --- at the gateway ---------------------------------------------------------------------------------------------------


@case
async def wrong_signature(bench):
    return await bench.refused("signature", await bench.company.hook(b'{"events":[]}', "not the secret"), 401)


@case
async def no_signature(bench):
    return await bench.refused(
        "signature", await bench.company.post("/webhooks/gocardless/acme", b'{"events":[]}'), 401
    )


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
        while not bench.company.activity.quiet():  # noqa: ASYNC110 - it is the gateway's own end of the request that is waited for
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


# --- from GoCardless's bodies -----------------------------------------------------------------------------------------


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
    assert [(event.type, event.data.where) for event in found] == [
        ("delivery.parked", f"events[{place}]") for place in range(len(broken))
    ]
    return "parked"


@case
async def hostile_id(bench):
    body = {
        "events": [
            gc_row("EV1", payment="../../creditors"),
            gc_row("../EV2", payment="PM1"),
            gc_row("EV3", payment="PM3"),
        ]
    }
    found = await bench.webhook(body)
    assert [event.type for event in found] == ["gocardless.payments.created", "delivery.parked", "delivery.parked"]
    assert list(bench.company.state("payments")) == ["PM3"]
    return "parked"


@case
async def bad_instant(bench):
    return bench.parked(
        await bench.webhook({"events": [{**gc_row("EV1", payment="PM1"), "created_at": "yesterday"}]}),
        where="events[0]",
    )


@case
async def impossible_instant(bench):
    body = {
        "events": [{**gc_row("EV1", payment="PM1"), "created_at": "9999-12-31T23:59:59Z"}, gc_row("EV2", payment="PM2")]
    }
    return bench.parked(await bench.webhook(body), where="events[0]", others=["EV2"])


@case
async def nan_and_half_emoji(bench):
    good = orjson.dumps(gc_row("EV1", payment="PM1"))
    spoilt = orjson.dumps({**gc_row("EV2"), "created_at": 1}).replace(
        b'"created_at":1', b'"created_at":NaN,"x":"\\ud83d"'
    )
    return bench.parked(
        await bench.webhook(b'{"events":[' + spoilt + b"," + good + b"]}"), where="events[0]", others=["EV1"]
    )


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
    await Relay(company.context).turn()
    gone = {
        "error": {
            "type": "invalid_api_usage",
            "code": 404,
            "errors": [{"reason": "resource_not_found", "message": "not found"}],
        }
    }
    send = company.script(company.answer(404, gone))
    executor = Executor(company.context, "gocardless", {"acme": company.access("gocardless", send, calls=CALLS)}, CALLS)
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
    body = {
        "payments": [{**PAYMENT, "id": f"PM{n}", "metadata": pairs} for n in range(100)],
        "meta": {"cursors": {"after": None}},
    }
    command = commands.Command("cm-view", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", NOW))
    call = CallInfo(command, 1, "send", "GET", "/payments", {}, 200, NOW)
    found = await bench.delivery(body, kind="answer", call=call)
    assert [event.type for event in found] == ["command.outcome", "delivery.parked"]
    assert "exceeds" in found[1].data.reason
    return "parked"


# --- from Zoho Books's bodies -----------------------------------------------------------------------------------------


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
    for odd in (
        {"invoice_id": ["1", "2"]},
        {"balance": {"amount": 1}},
        {"status": []},
        {"line_items": "none of them", "total": True},
    ):
        found = await bench.webhook({"invoice": {**INVOICE, **odd}}, zoho=True)
        assert found[-1].type == "delivery.parked", odd
    assert bench.company.state("invoices") == {}
    return "parked"


@case
async def zoho_form_without_json(bench):
    found = await bench.delivery(
        b"invoice_id=1&status=paid", api="zoho", content_type="application/x-www-form-urlencoded"
    )
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
async def zoho_impossible_due_date(bench):
    ids = ["1", "2", "3"]
    days = dict(zip(ids, ["0001-01-01", "2026-03-09", "9999-12-31"], strict=True))
    invoices = [{**INVOICE, "invoice_id": key, "due_date": day} for key, day in days.items()]
    body = {"code": 0, "message": "success", "invoices": invoices, "page_context": {"page": 1, "has_more_page": False}}
    found = await bench.delivery(body, api="zoho", kind="page", page=PageInfo("zoho.invoices", 1, NOW, complete=True))
    assert list(bench.company.state("invoices")) == ["2"]
    assert [event.data.where for event in found if event.type == "delivery.parked"] == ["invoices[0]", "invoices[2]"]
    assert bench.company.discrepancies() != []
    return "parked"


@case
async def zoho_older_observation(bench):
    await bench.webhook({"invoice": INVOICE}, zoho=True)
    older = {**INVOICE, "balance": 119.99, "last_modified_time": "2026-02-20T10:00:00+0100"}
    await bench.webhook({"invoice": older}, zoho=True)
    assert bench.company.state("invoices")[INVOICE["invoice_id"]].balance_minor == 1_990
    return "ignored"
