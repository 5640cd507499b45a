"""The executor over a real store and log, with scripted answers: what is sent, what is looked up first, what is never sent."""

import asyncio
import itertools
import math

import orjson
import pytest

from adapters import budgets
from adapters.errors import CredentialError, TransportError
from domain import commands
from projections.leases import Leases
from streams.settings import Calls
from streams.stages.executor import Executor

CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=3, lookup_again_s=60)
PAYMENT = {
    "id": "PM1",
    "status": "pending_submission",
    "amount": 1200,
    "currency": "GBP",
    "created_at": "2026-03-02T09:00:00.000Z",
    "links": {"mandate": "MD1"},
    "metadata": {"zoho_invoice_id": "inv-1"},
}
TRANSFER = {"transaction_id": "T1", "transaction_type": "transfer_fund", "amount": 50.00, "currency_code": "GBP"}
NOTHING_FOUND = {"code": 0, "message": "success", "banktransactions": [], "page_context": {"page": 1, "has_more_page": False}}
INVOICE = {
    "invoice_id": "inv-2",
    "invoice_number": "INV-2",
    "customer_id": "c-1",
    "status": "sent",
    "currency_code": "GBP",
    "total": 12,
    "balance": 12,
    "date": "2026-03-01",
    "due_date": "2026-03-02",
    "exchange_rate": 1,
    "last_modified_time": "2026-03-01T09:00:00+0000",
}


class Office:
    """An executor of one API for one connection, its scripted API, and what the test looks at."""

    def __init__(self, company, api, send):
        self.company = company
        self.api = api
        self.send = send
        self.desk = company.desk(api, send, calls=CALLS)
        self.executor = Executor(company.shop, api, {"acme": self.desk}, CALLS, draw=lambda: 0.0)

    async def turn(self):
        """One turn and the end of what it began; the instant of the next."""
        due = await self.executor.turn()
        await self.executor.drain()
        return due

    async def later(self, seconds):
        self.company.clock.move(seconds)
        return await self.turn()

    def row(self, name):
        return self.company.queue.get("acme", name)

    @property
    def methods(self):
        return [(call.method, call.path) for call in self.send.calls]


@pytest.fixture
def office(company, answer, script):
    """Makes an office whose API gives these answers; a pair (status, body) is an answer."""

    def make(api, *answers):
        return Office(company, api, script(*(answer(*one) if isinstance(one, tuple) else one for one in answers)))

    return make


async def outcomes(company):
    """(kind, reason) of every outcome in the log, once what was answered is translated."""
    await company.translate()
    return [(event.data.kind, event.data.reason) for event in await company.events() if event.type == "command.outcome"]


# --- intent, call, answer --------------------------------------------------------------------------------------------------------


async def test_an_intent_is_committed_before_the_call_and_the_answer_enters_the_log(company, office, answer, again):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    seen = []

    def look():
        row = company.queue.get("acme", debit.id)
        seen.append((row.state, row.calls, row.deadline_at > company.clock.now()))
        return answer(201, {"payments": PAYMENT}, date="Mon, 02 Mar 2026 09:00:00 GMT")

    desk = office("gocardless", look)
    assert await desk.turn() is None
    assert seen == [("sent", 1, True)]
    assert desk.row(debit.id).state == "answered"
    (record,) = await company.deliveries("gocardless")
    assert orjson.loads(record.value) == {"payments": PAYMENT}
    (call,) = desk.send.calls
    assert (call.method, call.path, call.headers["Idempotency-Key"]) == ("POST", "/payments", debit.key)
    assert await outcomes(company) == [("succeeded", "")]
    await company.decide()
    assert desk.row(debit.id).state == "done"
    assert company.state("commands")[debit.id].resource_id == "PM1"
    assert company.shop.skews["acme/gocardless"] == 0.0


async def test_what_is_not_published_or_not_due_is_not_sent(company, office):
    await company.ask(company.read_invoice("inv-1"), publish=False)
    desk = office("zoho")
    assert await desk.turn() is None
    assert desk.send.calls == []


async def test_debits_go_before_money_before_reads_before_sweeps(company, office):
    sweep = commands.Command("d", "connections:acme", "sweep", commands.ListOpenInvoices(), commands.PRIORITY_SWEEP)
    await company.ask(sweep, company.read_invoice("inv-2"), company.transfer("b"))
    desk = office("zoho", *[TransportError("refused", sent=False)] * 3)
    await desk.turn()
    await desk.turn()
    assert [path for _, path in desk.methods] == ["/banktransactions", "/invoices/inv-2", "/invoices"]


async def test_a_list_is_followed_to_its_end_and_each_page_is_a_delivery(company, office):
    view = commands.Command("v", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", "2026-01-01T00:00:00.000Z"))
    await company.ask(view)

    def page(after):
        return 200, {"payments": [{**PAYMENT, "id": f"PM{after or 0}"}], "meta": {"cursors": {"after": after}}}

    desk = office("gocardless", page("PM1"), page("PM2"), page(None))
    await desk.turn()
    assert [call.query.get("after") for call in desk.send.calls] == [None, "PM1", "PM2"]
    assert len(await company.deliveries("gocardless")) == 3
    assert await outcomes(company) == [("succeeded", "")]


# --- unknown outcomes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doubtful",
    [(500, {"error": {"type": "gocardless", "code": 500}}), (502, b"<html>Bad Gateway</html>"), TransportError("deadline", sent=True)],
)
async def test_at_gocardless_a_debit_in_doubt_is_looked_up_among_its_mandates_payments(company, office, doubtful):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    made = {**PAYMENT, "metadata": {**PAYMENT["metadata"], "command": debit.id}}
    others = {**PAYMENT, "id": "PM0", "metadata": {"command": "another"}}
    desk = office("gocardless", doubtful, (200, {"payments": [others, made], "meta": {"cursors": {"after": None}}}))
    await desk.turn()
    assert desk.row(debit.id).state == "unknown"
    assert await outcomes(company) == []
    await desk.later(1)
    assert desk.methods == [("POST", "/payments"), ("GET", "/payments")]
    assert desk.send.calls[1].query["mandate"] == "MD1"
    assert await outcomes(company) == [("succeeded", "")]
    assert desk.row(debit.id).state == "answered"


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
    desk = office("gocardless", (500, b""), (200, nothing), (409, conflict), (200, {"payments": PAYMENT}))
    await desk.turn()
    await desk.later(1)
    assert desk.methods == [("POST", "/payments"), ("GET", "/payments"), ("POST", "/payments"), ("GET", "/payments/PM1")]
    assert {call.headers["Idempotency-Key"] for call in desk.send.calls if call.method == "POST"} == {debit.key}
    assert await outcomes(company) == [("succeeded", "")]


async def test_a_debit_in_doubt_is_searched_for_twice_before_it_is_given_up(company, office):
    """Withheld must mean that it was never made: given up too early, it would come on top of the next debit."""
    debit, rows = company.debit(not_after="2026-03-02T09:00:05.000Z")
    await company.ask(debit, rows=rows)
    nothing = (200, {"payments": [], "meta": {"cursors": {"after": None}}})
    desk = office("gocardless", (500, b""), nothing, nothing)
    await desk.turn()
    await desk.later(6)
    assert desk.row(debit.id).state == "unknown"
    await desk.later(59)
    assert desk.methods == [("POST", "/payments"), ("GET", "/payments")]
    await desk.later(1)
    assert desk.methods == [("POST", "/payments"), ("GET", "/payments"), ("GET", "/payments")]
    assert await outcomes(company) == [("withheld", "expired")]


async def test_at_zoho_two_searches_apart_find_nothing_before_a_second_write(company, office):
    await company.ask(company.transfer())
    desk = office("zoho", (500, b"oops"), (200, NOTHING_FOUND), (200, NOTHING_FOUND), (201, {"code": 0, "banktransaction": TRANSFER}))
    await desk.turn()
    assert desk.row("cm-transfer").state == "unknown"
    await desk.later(1)
    assert desk.methods == [("POST", "/banktransactions"), ("GET", "/banktransactions")]
    row = desk.row("cm-transfer")
    assert (row.state, row.due_at) == ("unknown", "2026-03-02T09:01:01.000Z")
    await desk.later(59)
    assert len(desk.send.calls) == 2, "the second search waits"
    await desk.later(1)
    assert desk.methods[2:] == [("GET", "/banktransactions"), ("POST", "/banktransactions")]
    assert await outcomes(company) == [("succeeded", "")]


async def test_at_zoho_what_a_search_finds_is_not_written_again(company, office):
    await company.ask(company.transfer())
    hit = {**TRANSFER, "description": "GoCardless [sandbox:cm-transfer]"}
    desk = office("zoho", TransportError("reset", sent=True), (200, {**NOTHING_FOUND, "banktransactions": [hit]}))
    await desk.turn()
    await desk.later(1)
    assert [method for method, _ in desk.methods] == ["POST", "GET"]
    await company.translate()
    (outcome,) = [event.data for event in await company.events() if event.type == "command.outcome"]
    assert (outcome.kind, outcome.resource_id, outcome.found) == ("succeeded", "T1", True)


async def test_a_search_that_fails_leaves_the_outcome_unknown(company, office):
    await company.ask(company.transfer())
    desk = office("zoho", (500, b""), TransportError("refused", sent=False), (503, b"<html>"))
    await desk.turn()
    for _ in range(2):
        await desk.later(5)
        assert desk.row("cm-transfer").state == "unknown"
    assert [method for method, _ in desk.methods] == ["POST", "GET", "GET"]


async def test_what_never_left_is_simply_sent_again(company, office):
    await company.ask(company.transfer())
    desk = office("zoho", TransportError("refused", sent=False), (201, {"code": 0, "banktransaction": TRANSFER}))
    await desk.turn()
    row = desk.row("cm-transfer")
    assert (row.state, row.attempts, row.last_error) == ("ready", 1, "refused")
    await desk.later(1)
    assert [method for method, _ in desk.methods] == ["POST", "POST"]
    assert await outcomes(company) == [("succeeded", "")]


async def test_a_read_is_asked_again_without_a_look_up(company, office):
    await company.ask(company.read_invoice("inv-2"))
    desk = office("zoho", TransportError("deadline", sent=True), (502, b"<html>"), (200, {"code": 0, "invoice": INVOICE}))
    await desk.turn()
    await desk.later(1)
    await desk.later(1)
    assert desk.methods == [("GET", "/invoices/inv-2")] * 3
    assert await outcomes(company) == [("succeeded", "")]


async def test_what_was_begun_when_the_process_died_is_looked_up_after_it_has_settled(company, office, again, script, answer):
    await company.ask(company.transfer())
    started = asyncio.Event()

    async def hanging(call, deadline_s):
        started.set()
        await asyncio.Event().wait()

    desk = company.desk("zoho", hanging, calls=CALLS)
    executor = Executor(company.shop, "zoho", {"acme": desk}, CALLS)
    await executor.turn()
    await started.wait()
    for task in executor._tasks:  # the process dies in the middle of the call
        task.cancel()
    await asyncio.gather(*executor._tasks, return_exceptions=True)
    async with again() as restarted:
        office = Office(restarted, "zoho", script(answer(200, NOTHING_FOUND)))
        assert office.desk.hold()
        assert await office.turn() == "2026-03-02T09:00:35.000Z", "deadline and settle time"
        assert office.row("cm-transfer").state == "unknown"
        await office.later(35)
        assert office.methods == [("GET", "/banktransactions")]


async def test_a_command_that_says_so_is_looked_up_before_its_first_write(company, office):
    await company.ask(company.transfer(look_up_first=True))
    desk = office("zoho", (200, NOTHING_FOUND), (201, {"code": 0, "banktransaction": TRANSFER}))
    await desk.turn()
    assert [method for method, _ in desk.methods] == ["GET", "POST"]


# --- what is not sent ---------------------------------------------------------------------------------------------------------------


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
    from msgspec.structs import replace

    debit, rows = company.debit()
    (kind, invoice) = rows.pop()
    await company.ask(debit, rows=[*rows, (kind, replace(invoice, **change))])
    desk = office("gocardless")
    await desk.turn()
    assert desk.send.calls == []
    assert await outcomes(company) == [("withheld", reason)]
    assert desk.row(debit.id).state == "answered"


async def test_after_its_not_after_nothing_is_sent(company, office):
    debit, rows = company.debit(not_after="2026-03-02T09:00:05.000Z")
    await company.ask(debit, rows=rows)
    desk = office("gocardless")
    await desk.later(6)
    assert desk.send.calls == []
    assert await outcomes(company) == [("withheld", "expired")]


async def test_what_never_succeeds_is_parked_for_a_person(company, office):
    await company.ask(company.read_invoice("inv-2"))
    desk = office("zoho", *[TransportError("refused", sent=False)] * CALLS.park_after)
    for _ in range(CALLS.park_after):
        await desk.later(1)
    assert await outcomes(company) == []
    await desk.later(1)
    assert len(desk.send.calls) == CALLS.park_after
    assert await outcomes(company) == [("parked", "gave up after 3 tries: refused")]
    await company.decide()
    assert desk.row("inv-2").state == "parked"
    assert company.state("commands")["inv-2"].status == "parked"


async def test_an_endless_list_is_parked(company, office, monkeypatch):
    monkeypatch.setattr("streams.stages.executor._MAX_FOLLOWS", 3)
    view = commands.Command("v", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", "2026-01-01T00:00:00.000Z"))
    await company.ask(view)
    pages = [(200, {"payments": [], "meta": {"cursors": {"after": f"PM{number}"}}}) for number in range(9)]
    desk = office("gocardless", *pages)
    await desk.turn()
    assert len(desk.send.calls) == 4
    assert await outcomes(company) == [("parked", "the list has no end")]


# --- the whole API waits --------------------------------------------------------------------------------------------------------------


async def test_a_429_closes_the_api_until_its_window_ends_and_survives_a_restart(company, office, answer, script, again):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    throttled = answer(
        429,
        {"error": {"type": "invalid_api_usage", "code": 429, "errors": [{"reason": "rate_limit_exceeded"}]}},
        date="Mon, 02 Mar 2026 09:00:00 GMT",
        ratelimit_reset="Mon, 02 Mar 2026 09:00:40 GMT",
    )
    desk = office("gocardless", throttled)
    assert await desk.turn() is None
    row = desk.row(debit.id)
    assert (row.state, row.due_at, row.last_error) == ("ready", "2026-03-02T09:00:40.000Z", "rate_limited")
    assert await outcomes(company) == []
    await company.ask(commands.Command("r", "payments:PM9", "read", commands.ReadPayment("PM9")))
    assert await desk.turn() == "2026-03-02T09:00:40.000Z"
    desk.desk.release()
    async with again() as restarted:
        office = Office(restarted, "gocardless", script(answer(201, {"payments": PAYMENT}), TransportError("refused", sent=False)))
        restarted.clock.move(39)
        assert await office.turn() == "2026-03-02T09:00:40.000Z"
        assert office.send.calls == []
        await office.later(1)
        assert [method for method, _ in office.methods] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("refusal", "until"),
    [
        ((429, {"code": 44, "message": "the number of calls per minute is exceeded"}), 60),
        ((400, {"code": 45, "message": "the number of calls per day is exceeded"}), 3_600),
        ((401, {"code": 14, "message": "invalid token"}), 60),
    ],
)
async def test_zohos_limits_and_tokens_close_the_api_and_the_write_is_simply_sent_later(company, office, refusal, until):
    await company.ask(company.transfer())
    desk = office("zoho", refusal, (201, {"code": 0, "banktransaction": TRANSFER}))
    await desk.turn()
    assert desk.row("cm-transfer").state == "ready"
    await desk.later(until - 1)
    assert len(desk.send.calls) == 1
    await desk.later(1)
    assert [method for method, _ in desk.methods] == ["POST", "POST"]
    assert await outcomes(company) == [("succeeded", "")]


async def test_refused_credentials_stop_the_connection_and_are_shown_until_they_work(company, office):
    await company.ask(company.transfer(), company.read_invoice("inv-2"))
    working = [(201, {"code": 0, "banktransaction": TRANSFER}), (200, {"code": 0, "invoice": INVOICE})]
    desk = office("zoho", *[CredentialError("the refresh token was revoked: connect again")] * 2, *working)
    await desk.turn()
    assert desk.desk.trouble == "the refresh token was revoked: connect again"
    assert company.count("calls", api="zoho", result="credentials") == 2
    assert {desk.row(name).state for name in ("cm-transfer", "inv-2")} == {"ready"}
    assert await outcomes(company) == []
    await desk.later(899)
    assert len(desk.send.calls) == 2
    await desk.later(1)
    assert desk.desk.trouble == ""
    assert await outcomes(company) == [("succeeded", "")] * 2


async def test_a_connection_that_waits_holds_up_no_other(company, office, script, answer):
    await company.ask(company.read_invoice("inv-1"))
    await company.ask(company.read_invoice("inv-2"), connection="birch")
    sent = script(answer(200, {"code": 0, "invoice": INVOICE}))
    closed, open_ = company.desk("zoho", script(), calls=CALLS), company.desk("zoho", sent, connection="birch", calls=CALLS)
    closed.close(600, "closed")
    executor = Executor(company.shop, "zoho", {"acme": closed, "birch": open_}, CALLS)
    assert await executor.turn() == "2026-03-02T09:10:00.000Z"
    await executor.drain()
    assert len(sent.calls) == 1


async def test_no_more_calls_at_once_than_the_api_allows(company, script):
    await company.ask(*(company.read_invoice(f"inv-{number}") for number in range(20)))
    under_way, most, release = 0, 0, asyncio.Event()

    async def slow(call, deadline_s):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        raise TransportError("refused", sent=False)

    executor = Executor(company.shop, "zoho", {"acme": company.desk("zoho", slow, calls=CALLS)}, CALLS)
    await executor.turn()
    await asyncio.sleep(0)
    await executor.turn()
    limits = budgets.ZOHO
    assert under_way == limits.at_once - limits.at_once_kept[commands.PRIORITY_READ]
    release.set()
    await executor.drain()
    assert most == under_way + limits.at_once - limits.at_once_kept[commands.PRIORITY_READ]


# --- ownership ------------------------------------------------------------------------------------------------------------------------


async def test_without_the_lease_nothing_is_sent(company, office):
    await company.ask(company.transfer())
    lease = Leases(company.store).acquire("acme", "zoho", "another process", company.clock.now(), 60)
    desk = office("zoho", (201, {"code": 0, "banktransaction": TRANSFER}))
    assert await desk.turn() == "2026-03-02T09:00:05.000Z"
    assert desk.send.calls == []
    Leases(company.store).release(lease, company.clock.now())
    await desk.later(5)
    assert len(desk.send.calls) == 1


async def test_after_a_restore_nothing_is_sent_before_the_api_was_polled_to_its_head(company, office):
    await company.ask(company.transfer())
    with company.store.write() as writer:
        company.store.require_catch_up(writer, "restored", company.clock.now())
    desk = office("zoho")
    await desk.turn()
    assert desk.send.calls == []
    assert desk.row("cm-transfer").state == "unknown", "it may have been sent by what was lost"


async def test_an_owner_that_lost_its_lease_ends_with_the_stores_word(company, office):
    await company.ask(company.transfer())
    desk = office("zoho")
    assert desk.desk.hold()
    with company.store.write() as writer:
        writer.exec_driver_sql("UPDATE leases SET owner = 'another', epoch = epoch + 1")
    from projections.errors import StoreFenced

    with pytest.raises(StoreFenced):
        await desk.turn()
    assert desk.send.calls == []


async def test_a_log_that_is_lost_ends_the_loop_and_the_answer_is_asked_for_again(company, office, again, script, answer):
    await company.ask(company.transfer())
    desk = office("zoho", (201, {"code": 0, "banktransaction": TRANSFER}))
    await company.log.stop()
    await desk.executor.turn()
    await desk.executor.drain()
    from streams.log import LogClosed

    with pytest.raises(LogClosed):
        await desk.executor.turn()
    await company.log.start()
    async with again() as restarted:
        hit = {**TRANSFER, "description": "[sandbox:cm-transfer]"}
        office = Office(restarted, "zoho", script(answer(200, {**NOTHING_FOUND, "banktransactions": [hit]})))
        assert office.desk.hold()
        await office.later(35)
        assert [method for method, _ in office.methods] == ["GET"]
        assert await outcomes(restarted) == [("succeeded", "")]


def test_the_wait_between_tries_grows_to_its_cap():
    waits = [budgets.backoff_s(attempt, 1.0) for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert math.isclose(waits[-1], budgets.BACKOFF_CAP_S)
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(waits))
