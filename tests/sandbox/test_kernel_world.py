"""The world's promises: order, chance and ids depend on causes alone; calendars know the banks' days."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from sandbox.calendars import (
    add_working_days,
    is_working_day,
    london_day,
    london_time,
    working_day_on_or_after,
)
from sandbox.world import DEFAULT_START, World, iso_utc, parse_utc

HOUR = timedelta(hours=1)


def test_due_things_happen_by_time_then_order_then_sequence() -> None:
    world = World()
    seen: list[str] = []
    world.at(world.now + 2 * HOUR, lambda: seen.append("late"))
    world.at(world.now + HOUR, lambda: seen.append("second"), order=1)
    world.at(world.now + HOUR, lambda: seen.append("third"), order=1)
    world.at(world.now + HOUR, lambda: seen.append("first"), order=0)
    world.move_to(world.now + HOUR)
    assert seen == ["first", "second", "third"]
    assert world.next_action_at() == DEFAULT_START + 2 * HOUR


def test_what_a_due_thing_makes_due_happens_in_the_same_step() -> None:
    world = World()
    seen: list[str] = []

    def first() -> None:
        seen.append("cause")
        world.at(world.now - HOUR, lambda: seen.append("effect"))

    world.at(world.now, first)
    world.run_due()
    assert seen == ["cause", "effect"]


def test_time_neither_goes_back_nor_jumps_over_an_action() -> None:
    world = World()
    world.at(world.now + HOUR, lambda: None)
    with pytest.raises(ValueError, match="jump"):
        world.move_to(world.now + 2 * HOUR)
    with pytest.raises(ValueError, match="back"):
        world.move_to(world.now - HOUR)


def test_streams_of_chance_do_not_disturb_each_other() -> None:
    one, two = World(seed=7), World(seed=7)
    for _ in range(10):
        two.rng("other").random()
    assert one.rng("payer").random() == two.rng("payer").random()
    assert World(seed=8).rng("payer").random() != World(seed=7).rng("payer").random()


def test_ids_and_chances_depend_on_seed_and_cause_alone() -> None:
    assert World(seed=1).opaque("PM", "key", length=12) == World(seed=1).opaque("PM", "key", length=12)
    assert len({World(seed=seed).opaque("PM", key, length=12) for seed in (1, 2) for key in "ab"}) == 4
    assert 0 <= World(seed=1).chance("x") < 1
    assert [World().counter("a") for _ in range(2)] == [1, 1]


def test_moments_are_written_and_read_in_utc() -> None:
    moment = datetime(2026, 7, 1, 9, 30, 0, 5, tzinfo=UTC)
    assert iso_utc(moment) == "2026-07-01T09:30:00.000005Z"
    assert parse_utc(iso_utc(moment)) == moment
    assert parse_utc("2026-07-01T10:30:00.000005+01:00") == moment
    for bad in ("2026-07-01T09:30:00", None, "soon"):
        with pytest.raises(ValueError):
            parse_utc(bad)


@pytest.mark.parametrize(
    ("day", "scheme", "works"),
    [
        (date(2024, 3, 29), "bacs", False),  # Good Friday
        (date(2024, 4, 1), "bacs", False),  # Easter Monday
        (date(2026, 5, 25), "bacs", False),  # Spring bank holiday
        (date(2026, 5, 25), "sepa_core", True),
        (date(2026, 5, 1), "sepa_core", False),  # TARGET closes on 1 May
        (date(2026, 5, 1), "bacs", True),
        (date(2026, 12, 28), "bacs", False),  # Boxing Day in lieu
        (date(2026, 1, 3), "bacs", False),
        (date(2026, 7, 3), "ach", False),  # Independence Day observed
    ],
)
def test_working_days(day: date, scheme: str, works: bool) -> None:
    assert is_working_day(day, scheme) is works


def test_working_day_arithmetic_crosses_easter() -> None:
    assert add_working_days(date(2024, 3, 28), 1, "bacs") == date(2024, 4, 2)
    assert add_working_days(date(2024, 4, 2), -1, "bacs") == date(2024, 3, 28)
    assert working_day_on_or_after(date(2024, 3, 29), "bacs") == date(2024, 4, 2)
    assert working_day_on_or_after(date(2024, 3, 28), "bacs") == date(2024, 3, 28)


def test_london_clock_follows_summer_time() -> None:
    assert london_time(date(2026, 1, 5), time(16)) == datetime(2026, 1, 5, 16, tzinfo=UTC)
    assert london_time(date(2026, 7, 6), time(16)) == datetime(2026, 7, 6, 15, tzinfo=UTC)
    assert london_day(datetime(2026, 7, 6, 23, 30, tzinfo=UTC)) == date(2026, 7, 7)
