"""The executor over a real store and log, with scripted answers: what is sent, what is looked up first, what is never
sent.
"""

import asyncio

import orjson
import pytest
from msgspec.structs import replace

from adapters.errors import TransportError
from domain import commands
from streams.settings import Calls
from streams.stages.executor import Executor
from tests.support.api_rows import INVOICE, NO_TRANSFERS, PAYMENT, TRANSFER
from tests.support.installation import answer

CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=3, lookup_again_s=60)


# --- intent, call, answer ---------------------------------------------------------------------------------------------


async def test_an_intent_is_committed_before_the_call_and_the_answer_enters_the_log(company, office, again):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    seen = []

    def look():
        row = company.queue.get("acme", debit.id)
        seen.append((row.state, row.calls, row.deadline_at > company.clock.now()))
        return answer(201, {"payments": PAYMENT}, date="Mon, 02 Mar 2026 09:00:00 GMT")

    access = office("gocardless", look)
    assert await access.turn() is None
    assert seen == [("sent", 1, True)]
    assert access.row(debit.id).state == "answered"
    (record,) = await company.deliveries("gocardless")
    assert orjson.loads(record.value) == {"payments": PAYMENT}
    (call,) = access.send.calls
    assert (call.method, call.path, call.headers["Idempotency-Key"]) == ("POST", "/payments", debit.key)
    assert await company.outcomes() == [("succeeded", "")]
    await company.decide()
    assert access.row(debit.id).state == "done"
    assert company.state("commands")[debit.id].resource_id == "PM1"
    assert company.context.skews["acme/gocardless"] == 0.0


async def test_what_is_not_published_or_not_due_is_not_sent(company, office):
    await company.ask(company.read_invoice("inv-1"), publish=False)
    access = office("zoho")
    assert await access.turn() is None
    assert access.send.calls == []


async def test_debits_go_before_money_before_reads_before_sweeps(company, office):
    sweep = commands.Command("d", "connections:acme", "sweep", commands.ListOpenInvoices(), commands.PRIORITY_SWEEP)
    await company.ask(sweep, company.read_invoice("inv-2"), company.transfer("b"))
    access = office("zoho", *[TransportError("refused", sent=False)] * 3)
    await access.turn()
    await access.turn()
    assert [path for _, path in access.methods] == ["/banktransactions", "/invoices/inv-2", "/invoices"]


async def test_a_list_is_followed_to_its_end_and_each_page_is_a_delivery(company, office):
    view = commands.Command(
        "v", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", "2026-01-01T00:00:00.000Z")
    )
    await company.ask(view)

    def page(after):
        return 200, {"payments": [{**PAYMENT, "id": f"PM{after or 0}"}], "meta": {"cursors": {"after": after}}}

    access = office("gocardless", page("PM1"), page("PM2"), page(None))
    await access.turn()
    assert [call.query.get("after") for call in access.send.calls] == [None, "PM1", "PM2"]
    assert len(await company.deliveries("gocardless")) == 3
    assert await company.outcomes() == [("succeeded", "")]


# --- unknown outcomes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doubtful",
    [
        (500, {"error": {"type": "gocardless", "code": 500}}),
        (502, b"<html>Bad Gateway</html>"),
        TransportError("deadline", sent=True),
    ],
)
async def test_at_gocardless_a_debit_in_doubt_is_looked_up_among_its_mandates_payments(company, office, doubtful):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    made = {**PAYMENT, "metadata": {**PAYMENT["metadata"], "command": debit.id}}
    others = {**PAYMENT, "id": "PM0", "metadata": {"command": "another"}}
    access = office("gocardless", doubtful, (200, {"payments": [others, made], "meta": {"cursors": {"after": None}}}))
    await access.turn()
    assert access.row(debit.id).state == "unknown"
    assert await company.outcomes() == []
    await access.later(1)
    assert access.methods == [("POST", "/payments"), ("GET", "/payments")]
    assert access.send.calls[1].query["mandate"] == "MD1"
    assert await company.outcomes() == [("succeeded", "")]
    assert access.row(debit.id).state == "answered"


async def test_at_gocardless_what_is_not_found_is_sent_again_under_the_same_key(company, office):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    nothing = {"payments": [], "meta": {"cursors": {"after": None}}}
    conflict = {
        "error": {
            "type": "invalid_state",
            "code": 409,
            "errors": [{"reason": "idempotent_creation_conflict", "links": {"conflicting_resource_id": "PM1"}}],
        }
    }
    access = office("gocardless", (500, b""), (200, nothing), (409, conflict), (200, {"payments": PAYMENT}))
    await access.turn()
    await access.later(1)
    assert access.methods == [
        ("POST", "/payments"),
        ("GET", "/payments"),
        ("POST", "/payments"),
        ("GET", "/payments/PM1"),
    ]
    assert {call.headers["Idempotency-Key"] for call in access.send.calls if call.method == "POST"} == {debit.key}
    assert await company.outcomes() == [("succeeded", "")]


async def test_a_debit_in_doubt_is_searched_for_twice_before_it_is_given_up(company, office):
    """Withheld must mean that it was never made: given up too early, it would come on top of the next debit."""
    debit, rows = company.debit(not_after="2026-03-02T09:00:05.000Z")
    await company.ask(debit, rows=rows)
    nothing = (200, {"payments": [], "meta": {"cursors": {"after": None}}})
    access = office("gocardless", (500, b""), nothing, nothing)
    await access.turn()
    await access.later(6)
    assert access.row(debit.id).state == "unknown"
    await access.later(59)
    assert access.methods == [("POST", "/payments"), ("GET", "/payments")]
    await access.later(1)
    assert access.methods == [("POST", "/payments"), ("GET", "/payments"), ("GET", "/payments")]
    assert await company.outcomes() == [("withheld", "expired")]


async def test_at_zoho_two_searches_apart_find_nothing_before_a_second_write(company, office):
    await company.ask(company.transfer())
    access = office(
        "zoho",
        (500, b"oops"),
        (200, NO_TRANSFERS),
        (200, NO_TRANSFERS),
        (201, {"code": 0, "banktransaction": TRANSFER}),
    )
    await access.turn()
    assert access.row("cm-transfer").state == "unknown"
    await access.later(1)
    assert access.methods == [("POST", "/banktransactions"), ("GET", "/banktransactions")]
    row = access.row("cm-transfer")
    assert (row.state, row.due_at) == ("unknown", "2026-03-02T09:01:01.000Z")
    await access.later(59)
    assert len(access.send.calls) == 2, "the second search waits"
    await access.later(1)
    assert access.methods[2:] == [("GET", "/banktransactions"), ("POST", "/banktransactions")]
    assert await company.outcomes() == [("succeeded", "")]


async def test_at_zoho_what_a_search_finds_is_not_written_again(company, office):
    await company.ask(company.transfer())
    hit = {**TRANSFER, "description": "GoCardless [sandbox:cm-transfer]"}
    access = office("zoho", TransportError("reset", sent=True), (200, {**NO_TRANSFERS, "banktransactions": [hit]}))
    await access.turn()
    await access.later(1)
    assert [method for method, _ in access.methods] == ["POST", "GET"]
    await company.translate()
    (outcome,) = [event.data for event in await company.events() if event.type == "command.outcome"]
    assert (outcome.kind, outcome.resource_id, outcome.found) == ("succeeded", "T1", True)


async def test_a_search_that_fails_leaves_the_outcome_unknown(company, office):
    await company.ask(company.transfer())
    access = office("zoho", (500, b""), TransportError("refused", sent=False), (503, b"<html>"))
    await access.turn()
    for _ in range(2):
        await access.later(5)
        assert access.row("cm-transfer").state == "unknown"
    assert [method for method, _ in access.methods] == ["POST", "GET", "GET"]


async def test_what_never_left_is_simply_sent_again(company, office):
    await company.ask(company.transfer())
    access = office("zoho", TransportError("refused", sent=False), (201, {"code": 0, "banktransaction": TRANSFER}))
    await access.turn()
    row = access.row("cm-transfer")
    assert (row.state, row.attempts, row.last_error) == ("ready", 1, "refused")
    await access.later(1)
    assert [method for method, _ in access.methods] == ["POST", "POST"]
    assert await company.outcomes() == [("succeeded", "")]


async def test_a_read_is_asked_again_without_a_look_up(company, office):
    await company.ask(company.read_invoice("inv-2"))
    access = office(
        "zoho", TransportError("deadline", sent=True), (502, b"<html>"), (200, {"code": 0, "invoice": INVOICE})
    )
    await access.turn()
    await access.later(1)
    await access.later(1)
    assert access.methods == [("GET", "/invoices/inv-2")] * 3
    assert await company.outcomes() == [("succeeded", "")]


async def test_what_was_begun_when_the_process_died_is_looked_up_after_it_has_settled(company, office, again):
    await company.ask(company.transfer())
    started = asyncio.Event()

    async def hanging(call, deadline_s):
        started.set()
        await asyncio.Event().wait()

    access = company.access("zoho", hanging, calls=CALLS)
    executor = Executor(company.context, "zoho", {"acme": access}, CALLS)
    await executor.turn()
    await started.wait()
    for task in executor._tasks:  # the process dies in the middle of the call
        task.cancel()
    await asyncio.gather(*executor._tasks, return_exceptions=True)
    async with again() as restarted:
        restart = office("zoho", answer(200, NO_TRANSFERS), over=restarted)
        assert restart.access.hold()
        assert await restart.turn() == "2026-03-02T09:00:35.000Z", "deadline and settle time"
        assert restart.row("cm-transfer").state == "unknown"
        await restart.later(35)
        assert restart.methods == [("GET", "/banktransactions")]


async def test_a_command_that_says_so_is_looked_up_before_its_first_write(company, office):
    await company.ask(company.transfer(look_up_first=True))
    access = office("zoho", (200, NO_TRANSFERS), (201, {"code": 0, "banktransaction": TRANSFER}))
    await access.turn()
    assert [method for method, _ in access.methods] == ["GET", "POST"]


# --- what is not sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"balance_minor": 700}, "balance_changed"),
        ({"status": "void"}, "not_open"),
        ({"command": "another"}, "superseded"),
        ({"elsewhere": True}, "collected_elsewhere"),
    ],
)
async def test_a_debit_whose_invoice_has_changed_is_withheld(company, office, change, reason):
    debit, rows = company.debit()
    (kind, invoice) = rows.pop()
    await company.ask(debit, rows=[*rows, (kind, replace(invoice, **change))])
    access = office("gocardless")
    await access.turn()
    assert access.send.calls == []
    assert await company.outcomes() == [("withheld", reason)]
    assert access.row(debit.id).state == "answered"


async def test_after_its_not_after_nothing_is_sent(company, office):
    debit, rows = company.debit(not_after="2026-03-02T09:00:05.000Z")
    await company.ask(debit, rows=rows)
    access = office("gocardless")
    await access.later(6)
    assert access.send.calls == []
    assert await company.outcomes() == [("withheld", "expired")]


async def test_what_never_succeeds_is_parked_for_a_person(company, office):
    await company.ask(company.read_invoice("inv-2"))
    access = office("zoho", *[TransportError("refused", sent=False)] * CALLS.park_after)
    for _ in range(CALLS.park_after):
        await access.later(1)
    assert await company.outcomes() == []
    await access.later(1)
    assert len(access.send.calls) == CALLS.park_after
    assert await company.outcomes() == [("parked", "gave up after 3 tries: refused")]
    await company.decide()
    assert access.row("inv-2").state == "parked"
    assert company.state("commands")["inv-2"].status == "parked"


async def test_an_endless_list_is_parked(company, office, monkeypatch):
    monkeypatch.setattr("streams.stages.executor._MAX_FOLLOWS", 3)
    view = commands.Command(
        "v", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", "2026-01-01T00:00:00.000Z")
    )
    await company.ask(view)
    pages = [(200, {"payments": [], "meta": {"cursors": {"after": f"PM{number}"}}}) for number in range(9)]
    access = office("gocardless", *pages)
    await access.turn()
    assert len(access.send.calls) == 4
    assert await company.outcomes() == [("parked", "the list has no end")]
