"""What a crash does to the log in memory, and what not."""

import asyncio
import random
from collections import Counter

import pytest

from streams.simulation.memory_log import MemoryLog
from streams.simulation.power import PowerCut
from tests.simulation.log.disks import LONG_S, OTHER, TP, made_disk, records, started, turns, values


async def cut_while_appending(disk, *appends, positions=None):
    """Begin appends whose bytes are on their way to the disk, and crash."""
    log = await started(disk, latency={"sync": LONG_S})
    calls = [asyncio.create_task(log.append(each, positions=positions)) for each in appends]
    await turns()
    log.power_cut()
    for call in calls:
        with pytest.raises(PowerCut):
            await call


@pytest.mark.parametrize(("atomic", "outcomes"), [(True, {"kept", "lost"}), (False, {"kept", "torn", "lost"})])
async def test_an_append_on_its_way_is_kept_or_lost_and_torn_only_where_records_are_atomic_one_by_one(atomic, outcomes):
    seen = Counter()
    for seed in range(60):
        disk = made_disk(atomic=atomic)
        await cut_while_appending(disk, records("1", "2", "3"))
        (outcome,) = disk.end_of_power(random.Random(seed))
        seen[outcome] += 1
        found = await values(await started(disk))
        assert found == ["1", "2", "3"][: len(found)]
        assert {"kept": len(found) == 3, "torn": 0 < len(found) < 3, "lost": not found}[outcome]
        assert disk.bytes_used == sum(len(b"k") + len(value) for value in found)
    assert set(seen) == outcomes
    assert min(seen.values()) > 60 / len(outcomes) / 2, seen


async def test_positions_share_the_fate_of_their_append_where_it_is_atomic():
    seen = set()
    for seed in range(20):
        disk = made_disk()
        await cut_while_appending(disk, records("1", "2"), positions={"g": {OTHER: 7}})
        (outcome,) = disk.end_of_power(random.Random(seed))
        assert await (await started(disk)).committed("g", OTHER) == (7 if outcome == "kept" else None)
        seen.add(outcome)
    assert seen == {"kept", "lost"}


async def test_positions_follow_their_records_where_it_is_not():
    for seed in range(20):
        disk = made_disk(atomic=False)
        await cut_while_appending(disk, records("1", "2"), positions={"g": {OTHER: 7}})
        disk.end_of_power(random.Random(seed))
        assert await (await started(disk)).committed("g", OTHER) is None
    disk = made_disk(atomic=False)
    log = await started(disk, latency={"commit": LONG_S})
    call = asyncio.create_task(log.append(records("1"), positions={"g": {OTHER: 7}}))
    assert await log.wait({TP: 0}, 5)
    log.power_cut()
    with pytest.raises(PowerCut):
        await call
    assert disk.end_of_power(random.Random(1)) == []
    again = await started(disk)
    assert (await values(again), await again.committed("g", OTHER)) == (["1"], None)
    await again.append(records("2"), positions={"g": {OTHER: 8}})
    assert await again.committed("g", OTHER) == 8


async def test_positions_alone_are_kept_or_lost(disk):
    seen = set()
    for seed in range(20):
        log = await started(disk, latency={"sync": LONG_S})
        call = asyncio.create_task(log.commit("g", {TP: seed}))
        await turns()
        log.power_cut()
        with pytest.raises(PowerCut):
            await call
        before = await (await self_healed(disk, seed)).committed("g", TP)
        seen.add(before == seed)
    assert seen == {True, False}


async def self_healed(disk, seed) -> MemoryLog:
    disk.end_of_power(random.Random(seed))
    return await started(disk)


async def test_several_appends_on_their_way_leave_no_gap_in_any_partition():
    seen = Counter()
    for seed in range(60):
        for atomic in (True, False):
            disk = made_disk(atomic=atomic)
            appends = [
                [*records(f"{each}", f"{each}+"), *records(f"{each}", f"{each}+", tp=OTHER)] for each in range(4)
            ]
            await cut_while_appending(disk, *appends)
            outcomes = disk.end_of_power(random.Random(seed))
            log = await started(disk)
            whole = [value for each in range(4) for value in (f"{each}", f"{each}+")]
            for tp in (TP, OTHER):
                found = await values(log, tp)
                assert found == whole[: len(found)]
            if atomic:
                assert await values(log) == await values(log, OTHER)
            assert "kept" not in outcomes[outcomes.index("lost") :] if "lost" in outcomes else True
            seen[atomic, len(await values(log))] += 1
    assert {size for atomic, size in seen if atomic} == {0, 2, 4, 6, 8}
    assert {size for atomic, size in seen if not atomic} >= {0, 1, 2, 3, 4, 6, 8}


@pytest.mark.parametrize(
    ("atomic", "outcomes"),
    [
        (True, {("kept", "kept"), ("kept", "lost"), ("lost", "lost")}),
        (False, {("kept", "kept"), ("kept", "lost"), ("lost", "kept"), ("lost", "lost")}),
    ],
)
async def test_a_lost_append_takes_those_of_another_partition_with_it_only_where_appends_are_atomic(atomic, outcomes):
    seen = set()
    for seed in range(40):
        disk = made_disk(atomic=atomic)
        await cut_while_appending(disk, records("1"), records("2", tp=OTHER))
        seen.add(tuple(disk.end_of_power(random.Random(seed))))
    assert seen == outcomes


async def test_what_was_not_on_its_way_yet_is_lost(disk):
    log = await started(disk, latency={"append": LONG_S})
    call = asyncio.create_task(log.append(records("1")))
    await turns()
    log.power_cut()
    with pytest.raises(PowerCut):
        await call
    assert disk.end_of_power(random.Random(1)) == []
    assert await values(await started(disk)) == []


@pytest.mark.parametrize("seed", range(25))
async def test_what_was_acknowledged_stays_whenever_the_power_goes(disk, seed):
    rng = random.Random(seed)
    log = await started(disk, latency=lambda _: rng.uniform(0, 0.002))
    acknowledged = []

    async def write(name):
        for number in range(100):
            (place,) = await log.append(records(f"{name}{number}", tp=rng.choice([TP, OTHER])))
            acknowledged.append((place, f"{name}{number}"))

    writers = [asyncio.create_task(write(name)) for name in "abc"]
    await asyncio.sleep(rng.uniform(0.005, 0.03))
    log.power_cut()
    assert [type(error) for error in await asyncio.gather(*writers, return_exceptions=True)] == [PowerCut] * 3
    disk.end_of_power(rng)
    again = await started(disk)
    found = {record.position: record.value.decode() for tp in (TP, OTHER) for record in await again.read(tp, 0)}
    assert acknowledged
    assert dict(acknowledged).items() <= found.items()
    for name in "abc":
        numbers = sorted(int(value[1:]) for value in found.values() if value[0] == name)
        assert numbers == list(range(len(numbers))), "each writer waits for an append before it makes the next"


async def test_a_crash_leaves_alone_what_another_incarnation_is_writing(disk):
    one, two = await started(disk, latency={"sync": LONG_S}), await started(disk, latency={"sync": 0.01})
    calls = [asyncio.create_task(log.append(records(name))) for log, name in ((one, "one"), (two, "two"))]
    await turns()
    one.power_cut()
    assert disk.awaits_end_of_power
    assert disk.end_of_power(random.Random(0)) in (["kept"], ["lost"])
    assert not disk.awaits_end_of_power
    await calls[1]
    assert "two" in await values(two)
    with pytest.raises(PowerCut):
        await calls[0]


async def test_a_dead_handle_settles_nothing_and_hears_of_nothing_however_long_it_stays(disk):
    asked = []

    def latency(seam):
        asked.append(seam)
        return 0.01

    log, other = await started(disk, latency=latency), await started(disk)
    call = asyncio.create_task(log.append(records("1")))
    await asyncio.sleep(0.015)
    assert asked == ["append", "sync"]
    log.power_cut()
    with pytest.raises(PowerCut):
        await call
    await asyncio.sleep(1)
    assert disk.awaits_end_of_power
    await other.append(records("2"))
    assert (await values(other), asked) == (["2"], ["append", "sync"])


async def test_the_next_incarnation_starts_once_it_is_drawn_what_the_crash_did(disk):
    await cut_while_appending(disk, records("1"))
    with pytest.raises(AssertionError, match="what the crash did is drawn"):
        await started(disk)
