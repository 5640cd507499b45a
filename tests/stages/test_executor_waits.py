"""The executor, when a whole API has to wait, and when it is not this process's to call."""

import asyncio
import itertools
import math

import pytest

from adapters import budgets
from adapters.errors import CredentialError, TransportError
from domain import commands, times
from projections.store.errors import StoreFenced
from projections.work.leases import Leases
from streams.log.interface import LogClosed
from streams.settings import Calls
from streams.stages.executor import Executor
from streams.stages.refusals import refusals
from tests.support.api_rows import INVOICE, NO_TRANSFERS, PAYMENT, TRANSFER
from tests.support.installation import Script, answer

CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=3, lookup_again_s=60)


# --- the whole API waits ----------------------------------------------------------------------------------------------


async def test_a_429_closes_the_api_until_its_window_ends_and_survives_a_restart(company, office, again):
    debit, rows = company.debit()
    await company.ask(debit, rows=rows)
    throttled = answer(
        429,
        {"error": {"type": "invalid_api_usage", "code": 429, "errors": [{"reason": "rate_limit_exceeded"}]}},
        date="Mon, 02 Mar 2026 09:00:00 GMT",
        ratelimit_reset="Mon, 02 Mar 2026 09:00:40 GMT",
    )
    access = office("gocardless", throttled)
    assert await access.turn() is None
    row = access.row(debit.id)
    assert (row.state, row.due_at, row.last_error) == ("ready", "2026-03-02T09:00:40.000Z", "rate_limited")
    assert await company.outcomes() == []
    await company.ask(commands.Command("r", "payments:PM9", "read", commands.ReadPayment("PM9")))
    assert await access.turn() == "2026-03-02T09:00:40.000Z"
    access.access.release()
    async with again() as restarted:
        restart = office(
            "gocardless", answer(201, {"payments": PAYMENT}), TransportError("refused", sent=False), over=restarted
        )
        restarted.clock.move(39)
        assert await restart.turn() == "2026-03-02T09:00:40.000Z"
        assert restart.send.calls == []
        await restart.later(1)
        assert [method for method, _ in restart.methods] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("refusal", "until"),
    [
        ((429, {"code": 44, "message": "the number of calls per minute is exceeded"}), 60),
        ((400, {"code": 45, "message": "the number of calls per day is exceeded"}), 3_600),
        ((401, {"code": 14, "message": "invalid token"}), 60),
    ],
)
async def test_zohos_limits_and_tokens_close_the_api_and_the_write_is_simply_sent_later(
    company, office, refusal, until
):
    await company.ask(company.transfer())
    access = office("zoho", refusal, (201, {"code": 0, "banktransaction": TRANSFER}))
    await access.turn()
    assert access.row("cm-transfer").state == "ready"
    await access.later(until - 1)
    assert len(access.send.calls) == 1
    await access.later(1)
    assert [method for method, _ in access.methods] == ["POST", "POST"]
    assert await company.outcomes() == [("succeeded", "")]


async def test_refused_credentials_stop_the_connection_and_are_shown_until_they_work(company, office):
    await company.ask(company.transfer(), company.read_invoice("inv-2"))
    working = [(201, {"code": 0, "banktransaction": TRANSFER}), (200, {"code": 0, "invoice": INVOICE})]
    access = office("zoho", *[CredentialError("the refresh token was revoked: connect again")] * 2, *working)
    await access.turn()
    (refusal,) = refusals(company.store, company.settings.connections)
    assert (refusal.connection, refusal.api, refusal.since) == ("acme", "zoho", "2026-03-02T09:00:00.000Z")
    assert "the refresh token was revoked: connect again" in refusal.words
    assert company.count("calls", api="zoho", result="credentials") == 2
    assert {(access.row(name).state, access.row(name).attempts) for name in ("cm-transfer", "inv-2")} == {("ready", 0)}
    assert await company.outcomes() == []
    await access.later(59)
    assert len(access.send.calls) == 2
    await access.later(1)
    assert len(access.send.calls) == 3, "one call at a time, until one succeeds"
    assert refusals(company.store, company.settings.connections) == []
    await access.turn()
    assert await company.outcomes() == [("succeeded", "")] * 2


async def test_a_call_that_the_consent_does_not_reach_for_stops_no_other_call(company, office):
    await company.ask(company.transfer(), company.read_invoice("inv-2"))
    lacking = CredentialError("the consent given to this connection lacks ZohoBooks.banking.CREATE", one_call=True)
    access = office("zoho", lacking, (200, {"code": 0, "invoice": INVOICE}), lacking)
    await access.turn()
    assert await company.outcomes() == [("succeeded", "")]
    assert refusals(company.store, company.settings.connections) == []
    row = access.row("cm-transfer")
    assert (row.state, row.attempts, row.due_at) == ("ready", 1, "2026-03-02T09:15:00.000Z")
    await access.later(900)
    assert access.access.trouble == str(lacking)


async def test_the_wait_for_refused_credentials_doubles_to_an_hour_and_a_start_tries_at_once(company, office, again):
    await company.ask(company.read_invoice("inv-2"))
    access = office("zoho", *[CredentialError("revoked")] * 9)
    waits = []
    for _ in range(8):
        due = await access.turn()
        due = due or await access.turn()
        waits.append((times.parse(due) - times.parse(company.clock.now())).total_seconds())
        company.clock.move(to=due)
    assert waits == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    await access.turn()
    access.access.release()
    async with again() as restarted:
        restarted.clock.move(to=company.clock.now())
        good = company.answer(200, {"code": 0, "invoice": INVOICE})
        restart = office("zoho", good, over=restarted)
        await restart.turn()
        assert len(restart.send.calls) == 1
        assert refusals(restarted.store, restarted.settings.connections) == []


async def test_a_connection_that_waits_holds_up_no_other(company, office):
    await company.ask(company.read_invoice("inv-1"))
    await company.ask(company.read_invoice("inv-2"), connection="birch")
    sent = Script(answer(200, {"code": 0, "invoice": INVOICE}))
    closed, open_ = (
        company.access("zoho", Script(), calls=CALLS),
        company.access("zoho", sent, connection="birch", calls=CALLS),
    )
    closed.close(600, "closed")
    executor = Executor(company.context, "zoho", {"acme": closed, "birch": open_}, CALLS)
    assert await executor.turn() == "2026-03-02T09:10:00.000Z"
    await executor.drain()
    assert len(sent.calls) == 1


async def test_no_more_calls_at_once_than_the_api_allows(company):
    await company.ask(*(company.read_invoice(f"inv-{number}") for number in range(20)))
    under_way, most, release = 0, 0, asyncio.Event()

    async def slow(call, deadline_s):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        raise TransportError("refused", sent=False)

    executor = Executor(company.context, "zoho", {"acme": company.access("zoho", slow, calls=CALLS)}, CALLS)
    await executor.turn()
    await asyncio.sleep(0)
    await executor.turn()
    limits = budgets.ZOHO
    assert under_way == limits.at_once - limits.at_once_kept[commands.PRIORITY_READ]
    release.set()
    await executor.drain()
    assert most == under_way + limits.at_once - limits.at_once_kept[commands.PRIORITY_READ]


# --- ownership --------------------------------------------------------------------------------------------------------


async def test_without_the_lease_nothing_is_sent_until_it_lapses(company, office):
    await company.ask(company.transfer())
    Leases(company.store).acquire("acme", "zoho", "another process", company.clock.now(), 60)
    access = office("zoho", (201, {"code": 0, "banktransaction": TRANSFER}))
    assert await access.turn() == "2026-03-02T09:01:00.000Z"
    await access.later(59)
    assert access.send.calls == []
    await access.later(1)
    assert len(access.send.calls) == 1


async def test_after_a_restore_nothing_is_sent_before_the_api_was_polled_to_its_head(company, office):
    await company.ask(company.transfer())
    with company.store.write() as writer:
        company.store.require_catch_up(writer, "restored", company.clock.now())
    access = office("zoho")
    await access.turn()
    assert access.send.calls == []
    assert access.row("cm-transfer").state == "unknown", "it may have been sent by what was lost"


async def test_an_owner_that_lost_its_lease_gives_back_what_it_claimed_and_stands_by(company, office):
    await company.ask(company.transfer())
    access = office("zoho", (201, {"code": 0, "banktransaction": TRANSFER}))
    assert access.access.hold()
    before = access.row("cm-transfer")
    with company.store.write() as writer:
        writer.exec_driver_sql(
            "UPDATE leases SET owner = 'another', epoch = epoch + 1, until = '2026-03-02T09:00:20.000Z'"
        )
    assert await access.turn() == "2026-03-02T09:00:20.000Z"
    assert access.send.calls == []
    assert access.row("cm-transfer") == before
    assert access.access.in_flight == 0
    await access.later(20)
    assert len(access.send.calls) == 1


async def test_a_store_of_another_generation_ends_the_process(company, office):
    await company.ask(company.transfer())
    access = office("zoho")
    with company.store.write() as writer:
        company.store.set_meta(writer, "generation", "another")
    with pytest.raises(StoreFenced, match="restart this process"):
        await access.turn()
    assert access.send.calls == []


async def test_a_log_that_is_lost_ends_the_loop_and_the_answer_is_asked_for_again(company, office, again):
    await company.ask(company.transfer())
    access = office("zoho", (201, {"code": 0, "banktransaction": TRANSFER}))
    await company.log.stop()
    await access.executor.turn()
    await access.executor.drain()
    with pytest.raises(LogClosed):
        await access.executor.turn()
    await company.log.start()
    async with again() as restarted:
        hit = {**TRANSFER, "description": "[sandbox:cm-transfer]"}
        restart = office("zoho", answer(200, {**NO_TRANSFERS, "banktransactions": [hit]}), over=restarted)
        assert restart.access.hold()
        await restart.later(35)
        assert [method for method, _ in restart.methods] == ["GET"]
        assert await restarted.outcomes() == [("succeeded", "")]


def test_the_wait_between_tries_grows_to_its_cap():
    waits = [budgets.backoff_s(attempt, 1.0) for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert math.isclose(waits[-1], budgets.BACKOFF_CAP_S)
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(waits))
