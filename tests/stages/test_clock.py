"""The clock stage over a real store and log: what is due is told once, and a clock that cannot be right tells nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import events
from streams.process.health import Health
from streams.stages.clock import MAX_JUMP_DAYS, MAX_SKEW_S, ClockStage

NINE = "2026-03-02T09:00:00.000Z"
TEN = "2026-03-02T10:00:00.000Z"
MIDNIGHT = "2026-03-03T00:00:00.000Z"


async def told(company):
    """(type, what) of every clock event."""
    found = [event for event in await company.events() if event.source == "clock"]
    return [(event.type, getattr(event.data, "timer", "") or event.data.day) for event in found]


async def test_a_due_time_is_told_when_it_is_reached_and_once(company):
    await company.due("debit:inv-1", TEN)
    stage = ClockStage(company.context)
    assert await stage.turn() == TEN
    assert await told(company) == []
    company.clock.move(3_600)
    assert await stage.turn() == MIDNIGHT
    assert await stage.turn() == MIDNIGHT
    assert await told(company) == [("clock.due_reached", "debit:inv-1")]
    (event,) = [event for event in await company.events() if event.source == "clock"]
    assert (event.happened_at, event.data) == (TEN, events.DueReached("debit:inv-1", TEN))
    await company.decide()
    assert company.state("timers") == {}


async def test_two_clocks_that_both_notice_make_one_event(company):
    """A restart before the core has handled it tells it again, under the same id."""
    await company.due("debit:inv-1", NINE)
    await ClockStage(company.context).turn()
    await ClockStage(company.context).turn()
    first, second = [event for event in await company.events() if event.source == "clock"]
    assert first.id == second.id
    await company.decide()
    assert company.state("timers") == {}


async def test_a_timer_that_is_set_anew_is_told_anew(company):
    stage = ClockStage(company.context)
    for at in (NINE, TEN):
        await company.due("debit:inv-1", at)
        company.clock.move(to=at)
        await stage.turn()
        await company.decide()
    assert await told(company) == [("clock.due_reached", "debit:inv-1")] * 2


async def test_a_day_begins_once_in_the_organisations_own_zone(company):
    await company.due("", "", time_zone="America/New_York")
    stage = ClockStage(company.context)
    company.clock.move(to="2026-03-03T04:59:59.000Z")
    assert await stage.turn() == "2026-03-03T05:00:00.000Z"
    assert await told(company) == []
    company.clock.move(1)
    await stage.turn()
    await stage.turn()
    assert await told(company) == [("clock.day_began", "2026-03-03")]
    await company.decide()
    assert company.state("connections")["acme"].today == "2026-03-03"
    await ClockStage(company.context).turn()
    assert len(await told(company)) == 1


async def test_before_the_first_check_there_is_no_day(company):
    await company.due("", "", checked_at="", today="")
    await ClockStage(company.context).turn()
    assert await told(company) == []


async def test_a_jump_beyond_the_bound_is_refused_until_a_person_vouches_for_it(company):
    await company.due("debit:inv-1", TEN)
    stage = ClockStage(company.context)
    company.clock.move((MAX_JUMP_DAYS + 1) * 86_400)
    await stage.turn()
    assert await told(company) == []
    assert list(stage.refusals) == ["acme"]
    assert "11 days" in stage.refusals["acme"]
    assert company.metrics.registry.get_sample_value("zoho_gocardless_clock_refused") == 1
    until = "2026-03-14T00:00:00.000Z"
    await company.context.tell(company.event(events.TimeAccepted("finance", until), "operator.time_accepted"))
    await company.decide()
    await stage.turn()
    assert stage.refusals == {}
    assert company.metrics.registry.get_sample_value("zoho_gocardless_clock_refused") == 0
    assert await told(company) == [("clock.day_began", "2026-03-13"), ("clock.due_reached", "debit:inv-1")]


async def test_the_longest_pause_that_is_believed_needs_nobody(company):
    await company.due("debit:inv-1", TEN)
    company.clock.move(MAX_JUMP_DAYS * 86_400)
    stage = ClockStage(company.context)
    await stage.turn()
    assert stage.refusals == {}
    assert len(await told(company)) == 2


@pytest.mark.parametrize("skew", [MAX_SKEW_S + 1.0, -MAX_SKEW_S - 1.0])
async def test_an_apis_clock_that_disagrees_is_refused_until_it_agrees(company, skew):
    await company.due("debit:inv-1", NINE)
    stage = ClockStage(company.context)
    company.context.skews["acme/zoho"] = skew
    company.context.skews["birch/zoho"] = 0.0
    await stage.turn()
    assert await told(company) == []
    assert "301 s" in stage.refusals["acme"]
    company.context.skews["acme/zoho"] = float(MAX_SKEW_S)
    await stage.turn()
    assert await told(company) == [("clock.due_reached", "debit:inv-1")]


async def test_what_one_connection_is_refused_another_is_told(company):
    await company.due("debit:inv-1", NINE)
    await company.due("debit:inv-2", NINE, "birch")
    company.context.skews["acme/gocardless"] = 4_000.0
    await ClockStage(company.context).turn()
    assert [event.connection for event in await company.events() if event.source == "clock"] == ["birch"]


async def test_a_connection_that_is_not_in_the_settings_any_more_is_left_alone(company):
    await company.due("debit:inv-1", NINE)
    await company.due("debit:inv-2", NINE, "forgotten")
    await ClockStage(company.context).turn()
    assert [event.connection for event in await company.events() if event.source == "clock"] == ["acme"]


# --- a connection whose state cannot be worked with -------------------------------------------------------------------


async def refused_beside_a_good_one(company, stage):
    """birch is told its due time; acme is refused, is named, and is counted once."""
    for _ in range(2):
        assert await stage.turn() is not None
    assert [event.connection for event in await company.events() if event.source == "clock"] == ["birch"]
    assert list(stage.refusals) == ["acme"]
    assert "zoho-gocardless rebuild" in stage.refusals["acme"]
    assert company.count("clock_faults") == 1
    assert company.metrics.registry.get_sample_value("zoho_gocardless_clock_refused") == 1
    health = Health(company.context, {"gocardless": {}, "zoho": {}}, role="worker")
    health.started, health.clock = True, stage
    (trouble,) = await health.troubles()
    assert trouble.startswith("acme: ")


@pytest.mark.parametrize(
    "row",
    [
        {"today": "9999-99-99"},
        {"today": "²"},
        {"time_zone": "Europe/Nowhere"},
        {"time_zone": "../../etc/passwd"},
    ],
)
async def test_a_connection_whose_state_makes_the_clock_raise_is_refused_and_the_others_go_on(company, row):
    await company.due("debit:inv-1", NINE, **row)
    await company.due("debit:inv-2", NINE, "birch")
    await refused_beside_a_good_one(company, ClockStage(company.context))


async def test_more_bad_timers_than_one_turn_tells_hold_up_no_other_connection(company, monkeypatch):
    monkeypatch.setattr("streams.stages.clock._BATCH", 3)
    for number in range(4):
        await company.due(f"bad:{number}", "2026-02-30T09:00:00.000Z")
    await company.due("debit:inv-2", NINE, "birch")
    await refused_beside_a_good_one(company, ClockStage(company.context))


async def test_a_next_due_time_that_is_none_is_refused_and_does_not_end_the_loop(company):
    await company.due("debit:inv-1", "2026-03-02T25:00:00.000Z")
    await company.due("debit:inv-2", NINE, "birch")
    stage = ClockStage(company.context)
    assert await stage.turn() == "2026-03-02T09:01:00.000Z", "soon: what it hides may be due before it"
    await refused_beside_a_good_one(company, stage)


async def test_once_repaired_a_connection_is_told_its_due_times_again(company):
    await company.due("debit:inv-1", NINE, today="9999-99-99")
    stage = ClockStage(company.context)
    await stage.turn()
    assert list(stage.refusals) == ["acme"]
    await company.due("debit:inv-1", NINE)
    await stage.turn()
    assert stage.refusals == {}
    assert await told(company) == [("clock.due_reached", "debit:inv-1")]


@given(
    today=st.text(max_size=12) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True), zone=st.text(max_size=30)
)
def test_whatever_stands_in_a_row_is_a_refusal_or_none_and_never_an_error(today, zone):
    """The stage's own judgement of a row, without a store."""
    from types import SimpleNamespace

    from domain.state import ConnectionRow

    row = ConnectionRow("acme", time_zone=zone, checked_at=NINE, today=today)
    counted = SimpleNamespace(inc=lambda: None, set=lambda _: None)
    context = SimpleNamespace(
        store=None,
        skews={},
        clock=SimpleNamespace(now=lambda: NINE),
        metrics=SimpleNamespace(clock_faults=counted, clock_refused=counted),
        journal=SimpleNamespace(error=lambda *_, **__: None),
    )
    stage = ClockStage(context)
    with stage._guard("acme", {}):
        stage._refusal(row, TEN)
        stage._ticks(row, TEN)
    assert set(stage.refusals) <= {"acme"}
