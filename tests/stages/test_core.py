"""The core over a real store and log: each event once, whatever the batches; a rule that raises; an owner that was
overtaken.
"""

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from domain import codec, events, routing
from projections.store.errors import StoreFenced
from projections.work.halts import Halts
from streams.log.interface import NewRecord, RecordBatch
from streams.log.worker import HandlerSpec, Worker, WorkerFailed
from streams.stages.core import Core
from streams.stages.relay import Relay

STEP = routing.step


def break_rule(monkeypatch, *event_ids):
    """Make the rules raise at these events."""

    def step(state, event):
        if event.id in event_ids:
            state.timers["half-done"] = None  # what a rule had changed when it raised must not stay
            raise KeyError("a rule that does not hold")
        return STEP(state, event)

    monkeypatch.setattr(routing, "step", step)


async def decided(company):
    """(event, types of commands) of every published decision, by partition and order."""
    await Relay(company.context).turn()
    found = [codec.decode_decision(record.value) for record in await company.records("decisions")]
    return [(one.event, [command.type for command in one.commands]) for one in found]


async def test_an_event_counts_once_in_one_batch_across_batches_and_across_restarts(company):
    twice = company.seen("PM1", id_="EV-one")
    await company.context.tell(twice, twice)
    core = await company.decide()
    await company.context.tell(twice)
    await company.decide(core=core)
    await company.context.tell(twice, company.seen("PM2", id_="EV-two"))
    await company.decide()
    read = ["gocardless.read_payment"]
    assert await decided(company) == [("EV-one", read), ("EV-two", read)]
    assert company.count("events") == 5


async def test_the_same_id_of_another_connection_is_another_event(company):
    await company.context.tell(company.seen("PM1", id_="EV1"), company.seen("PM1", "birch", "EV1"))
    await company.decide()
    assert len(await decided(company)) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_where_a_batch_ends_changes_nothing(company, size):
    told = []
    for number in range(1, 8):
        payment = f"PM{number % 3}"
        told.append(company.seen(payment))
        told.append(
            company.event(
                events.PaymentRead(payment, "confirmed", 1000 + number, "GBP", "MD1", company.clock.now()),
                "gocardless.payment_read",
            )
        )
        told.append(company.event(events.GcEvent("mandates", "created", {"mandate": f"MD{number % 2}"})))
    await company.context.tell(*told)
    await company.decide(batch=size)
    shown = await decided(company)
    rows = {kind: company.state(kind) for kind in ("payments", "mandates", "commands", "discrepancies")}
    expected_rows, expected = in_memory(told)
    assert shown == expected
    assert rows == {kind: expected_rows[kind] for kind in rows}
    assert len(shown) > 3


def in_memory(told):
    """The same events folded into dictionaries: rows by kind, and (event, types of commands) of what was decided."""
    from domain.state import KINDS, State

    state, shown = State("acme"), []
    for event in told:
        decision = STEP(state, event)
        if not decision.empty:
            shown.append((event.id, [command.type for command in decision.commands]))
    return {kind: dict(state.mapping(kind)) for kind in KINDS}, shown


async def test_a_batch_that_does_not_begin_where_the_store_is_is_refused(company):
    places = await company.context.tell(company.seen("PM1"), company.seen("PM2"))
    core = Core(company.context)
    tp = places[0].tp
    assert await core.resume_at(tp) == 0
    later = await company.log.read(tp, 1)
    with pytest.raises(StoreFenced):
        await core.handle(RecordBatch(tp, later))
    await core.handle(RecordBatch(tp, await company.log.read(tp, 0)))
    assert await Core(company.context).resume_at(tp) == 2


async def test_a_commit_that_fails_leaves_nothing_and_the_next_start_decides_the_same(company, again, monkeypatch):
    await company.context.tell(company.seen("PM1", id_="EV1"))
    await (core := Core(company.context)).resume_at(company.tp("events"))
    with company.store.write() as writer:  # the disk refuses one row
        writer.exec_driver_sql("CREATE TRIGGER refuse BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END")
    batch = RecordBatch(company.tp("events"), await company.log.read(company.tp("events"), 0))
    with pytest.raises(Exception, match="database"):
        await core.handle(batch)
    assert company.state("payments") == {}
    with company.store.write() as writer:
        writer.exec_driver_sql("DROP TRIGGER refuse")
    async with again() as restarted:
        await restarted.decide()
        assert await decided(restarted) == [("EV1", ["gocardless.read_payment"])]


async def test_a_rule_that_raises_sets_its_connection_aside_and_the_partition_goes_on(company, monkeypatch):
    break_rule(monkeypatch, "EV-bad")
    assert company.tp("events", "acme") == company.tp("events", "birch")
    await company.context.tell(
        company.seen("PM1", id_="EV-before"),
        company.seen("PM2", id_="EV-bad"),
        company.seen("PM3", "birch", "EV-beside"),
        company.seen("PM4", id_="EV-after"),
    )
    with capture_logs() as journal:
        await company.decide()
    assert [event for event, _ in await decided(company)] == ["EV-before", "EV-beside"]
    assert list(company.state("payments")) == ["PM1"]
    assert company.state("timers") == {}
    (aside,) = Halts(company.store).set_aside()
    assert (aside.connection, aside.event, aside.since_offset) == ("acme", "EV-bad", 1)
    assert "a rule that does not hold" not in aside.reason
    assert company.count("set_aside") == 1
    assert [line["event"] for line in journal] == ["core.set_aside"]


async def test_a_rule_that_decides_more_than_a_record_may_hold_sets_its_connection_aside_and_the_partition_goes_on(
    company, monkeypatch
):
    def boundless(state, event):
        decision = STEP(state, event)
        return replace(decision, closed=["x" * 1_000] * 3_000) if event.connection == "acme" else decision

    monkeypatch.setattr(routing, "step", boundless)
    await company.context.tell(company.seen("PM1", id_="EV1"), company.seen("PM2", "birch", "EV2"))
    with capture_logs():
        await company.decide()
    (aside,) = Halts(company.store).set_aside()
    assert (aside.connection, aside.event) == ("acme", "EV1")
    assert aside.reason == "OversizeDecisionError at gocardless.payments.created"
    assert [one[0] for one in await decided(company)] == ["EV2"]
    assert company.state("payments") == {}, "what it had changed is taken back"


async def test_while_set_aside_no_money_moves_and_reads_go_on(company, monkeypatch):
    debit, rows = company.debit()
    await company.ask(debit, company.transfer(), company.read_invoice("inv-2"), rows=rows)
    now = company.clock.now()
    assert [one.command.type for one in company.queue.claim(now, "acme", "gocardless", 9)] == [
        "gocardless.create_payment"
    ]
    assert [one.command.type for one in company.queue.claim(now, "acme", "zoho", 9)] == [
        "zoho.create_transfer",
        "zoho.read_invoice",
    ]
    break_rule(monkeypatch, "EV-bad")
    await company.context.tell(company.seen("PM2", id_="EV-bad"))
    with capture_logs():
        await company.decide()
    assert company.queue.claim(now, "acme", "gocardless", 9) == []
    assert [one.command.type for one in company.queue.claim(now, "acme", "zoho", 9)] == ["zoho.read_invoice"]


async def test_a_repaired_rule_catches_up_at_the_next_start_in_order_and_once(company, again, monkeypatch):
    break_rule(monkeypatch, "EV-bad")
    await company.context.tell(
        company.seen("PM2", id_="EV-bad"), company.seen("PM4", id_="EV-after"), company.seen("PM5", "birch")
    )
    with capture_logs():
        core = await company.decide()
        await company.context.tell(company.seen("PM6", id_="EV-later"))
        await company.decide(core=core)
    assert list(company.state("payments")) == []
    async with again() as still_broken:
        with capture_logs():
            await still_broken.decide()
        assert [one.connection for one in Halts(still_broken.store).set_aside()] == ["acme"]
    monkeypatch.undo()
    async with again() as repaired:
        await repaired.decide()
        assert Halts(repaired.store).set_aside() == []
        assert sorted(repaired.state("payments")) == ["PM2", "PM4", "PM6"]
        mine = [event for event, _ in await decided(repaired) if event.startswith("EV-")]
        assert mine == ["EV-bad", "EV-after", "EV-later"]
    async with again() as once_more:
        await once_more.decide()
        assert len(await decided(once_more)) == 4


async def test_a_half_repaired_rule_stops_at_the_next_event_that_it_cannot_decide(company, again, monkeypatch):
    break_rule(monkeypatch, "EV-bad", "EV-worse")
    told = [company.seen("PM1", id_="EV-bad"), company.seen("PM2", id_="EV-good"), company.seen("PM3", id_="EV-worse")]
    await company.context.tell(*told, company.seen("PM4", id_="EV-end"))
    with capture_logs():
        await company.decide()
        break_rule(monkeypatch, "EV-worse")
        async with again() as halfway:
            await halfway.decide()
            (aside,) = Halts(halfway.store).set_aside()
            assert (aside.event, aside.since_offset) == ("EV-worse", 2)
            assert sorted(halfway.state("payments")) == ["PM1", "PM2"]


async def test_an_owner_that_was_overtaken_ends_its_worker(company):
    first, second = Core(company.context), Core(company.context)
    await company.context.tell(company.seen("PM1"))
    worker = Worker(company.log, "first", [HandlerSpec("core", "events", first.handle, first.resume_at)])
    await worker.start()
    await worker.until_idle()
    await company.decide(core=second)
    await company.context.tell(company.seen("PM2"))
    with pytest.raises(WorkerFailed) as failed:
        await worker.run_until_failed()
    assert isinstance(failed.value.__cause__, StoreFenced)
    assert list(company.state("payments")) == ["PM1"], "nothing of an overtaken owner is written"
    await company.decide()
    assert sorted(company.state("payments")) == ["PM1", "PM2"]


async def test_what_is_not_an_event_is_counted_and_passed_over(company):
    await company.context.append([NewRecord("events", b"acme", b"not an event"), NewRecord("events", b"acme", None)])
    await company.context.tell(company.seen("PM1"))
    with capture_logs() as journal:
        await company.decide()
    assert company.count("undecodable_records") == 2
    assert [(line["event"], line["offset"]) for line in journal] == [("core.undecodable", 0), ("core.undecodable", 1)]
    assert list(company.state("payments")) == ["PM1"]


async def test_what_was_decided_wakes_the_relay_and_the_clock(company):
    woken = []
    company.wakeups.wake = woken.append
    await company.context.tell(company.seen("PM1"))
    core = await company.decide()
    assert woken == ["relay", "clock"]
    await company.context.tell(company.event(events.GcEvent("customers", "created", {"customer": "CU1"})))
    await company.decide(core=core)
    assert woken == ["relay", "clock"], "an event that decides nothing wakes nobody"
