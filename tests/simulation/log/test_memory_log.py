"""The log in memory: how appends reach the disk, damage, a full disk, and who may use it."""

import asyncio
import random
from collections import Counter

import pytest

from streams.log.interface import (
    Limits,
    LogClosed,
    LogCorrupt,
    LogFull,
    LogLocked,
    LogOverloaded,
    NewRecord,
    RecordTooLarge,
    TopicPartition,
)
from streams.simulation.memory_log import MemoryLog
from streams.simulation.power import Power, PowerCut
from tests.simulation.log.disks import LONG_S, OTHER, TP, made_disk, made_log, records, started, turns, values

# --- on the way to the disk ---


async def test_an_append_can_be_read_once_the_disk_has_it_and_its_caller_may_learn_it_later(disk):
    log = await started(disk, latency={"sync": 0.01, "acknowledge": 0.02})
    call = asyncio.create_task(log.append(records("1")))
    await turns()
    assert (await log.end_offset(TP), await log.read(TP, 0)) == (0, [])
    assert await log.wait({TP: 0}, 5)
    assert await values(log) == ["1"]
    assert not call.done()
    assert [place.offset for place in await call] == [0]


async def test_an_append_lets_others_run_even_where_no_seam_waits(log):
    told = []
    other = asyncio.create_task(turns(1))
    other.add_done_callback(told.append)
    await log.append(records("1"))
    assert other.done()


async def test_calls_of_one_handle_are_written_in_their_order_whatever_each_waits(disk):
    rng = random.Random(3)
    log = await started(disk, latency=lambda _: rng.uniform(0, 0.003))
    placed = await asyncio.gather(*(log.append(records(f"{each}")) for each in range(40)))
    assert [place.offset for (place,) in placed] == list(range(40))
    assert await values(log) == [f"{each}" for each in range(40)]


async def test_a_call_whose_caller_has_gone_is_left_out_before_it_is_written_and_kept_afterwards(disk):
    log = await started(disk, latency={"append": 0.01, "sync": 0.01})
    early, late = (asyncio.create_task(log.append(records(value))) for value in ("early", "late"))
    await turns()
    early.cancel()
    await asyncio.sleep(0.015)
    late.cancel()
    await log.append(records("last"))
    assert await values(log) == ["late", "last"]


async def test_more_than_may_wait_is_refused_until_some_of_it_is_written(disk):
    log = await started(disk, limits=Limits(pending_bytes=10))
    call = asyncio.create_task(log.append(records("12345678")))
    await asyncio.sleep(0)
    with pytest.raises(LogOverloaded):
        await log.append(records("9"))
    await call
    await log.append(records("9"))


async def test_limits_hold_for_a_record_and_for_an_append(disk):
    log = await started(disk, limits=Limits(record_bytes=20, append_bytes=30, append_records=3))
    for refused in (records("x" * 20), records("x" * 15, "x" * 15), records("1", "2", "3", "4")):
        with pytest.raises(RecordTooLarge):
            await log.append(refused)
    with pytest.raises(RecordTooLarge):
        await log.append([NewRecord("t", b"k", b"v", (("name", b"x" * 15),))])
    assert await log.end_offset(TP) == 0


# --- damage ---


@pytest.mark.parametrize("seed", range(30))
async def test_a_flipped_bit_is_found_by_every_read_and_scan_and_never_handed_out(disk, log, seed):
    rng = random.Random(seed)
    headers = (("empty", b""), ("id", b"12345"))
    await log.append([NewRecord("t", b"key", b"value", headers, partition=0) for _ in range(9)])
    before = await log.read(TP, 0)
    place = disk.flip(rng)
    assert place.tp == TP
    assert await log.read(TP, 0, place.offset) == before[: place.offset]
    assert await log.read(TP, place.offset + 1) == before[place.offset + 1 :]
    for read in (lambda: log.read(TP, 0), lambda: log.read(TP, place.offset, 1)):
        with pytest.raises(LogCorrupt, match="a record is not what was written") as found:
            await read()
        assert found.value.where == f"t[0]@{place.offset}"
    pages = log.scan("t", 0, batch=1)
    assert [record for _ in range(place.offset) for record in next(pages)] == before[: place.offset]
    with pytest.raises(LogCorrupt):
        next(pages)


async def test_each_record_is_damaged_once_in_its_key_its_value_or_a_header(disk, log):
    assert disk.flip(random.Random(1)) is None
    await log.append([NewRecord("t", None, None, partition=0), NewRecord("u", b"", b"", (("a", b""),))])
    assert disk.flip(random.Random(1)) is None, "without bytes there is nothing to damage"
    await log.append([NewRecord("u", b"key", b"value", (("id", b"12345"),)) for _ in range(60)])
    rng = random.Random(2)
    damaged = [disk.flip(rng) for _ in range(61)]
    assert damaged.pop() is None
    assert sorted(place.offset for place in damaged) == list(range(1, 61))
    changed = Counter(
        (record.key != b"key", record.value != b"value", record.headers != (("id", b"12345"),))
        for record in disk._partitions[TopicPartition("u", 0)].records[1:]
    )
    assert set(changed) == {(True, False, False), (False, True, False), (False, False, True)}


# --- a full disk ---


async def test_a_full_disk_refuses_appends_and_positions_and_takes_them_once_there_is_room(disk, log):
    disk.capacity_bytes = 6
    await log.append(records("12"))
    await log.append(records("34"))
    assert disk.bytes_used == 6
    for refused in (log.append(records("5")), log.commit("g", {TP: 1})):
        with pytest.raises(LogFull, match="no room on the disk") as full:
            await refused
        assert full.value.retriable
    assert (await values(log), await log.committed("g", TP)) == (["12", "34"], None)
    disk.capacity_bytes = 20
    await log.append(records("5"), positions={"g": {TP: 1}})
    assert (await values(log), await log.committed("g", TP)) == (["12", "34", "5"], 1)
    disk.capacity_bytes = None
    await log.append(records("6" * 1_000))


async def test_an_append_for_which_there_is_half_the_room_is_refused_whole_or_after_its_first_records(disk, log):
    disk.capacity_bytes = 5
    with pytest.raises(LogFull):
        await log.append(records("1", "2", "3"), positions={"g": {TP: 3}})
    assert await values(log) == ([] if disk.atomic else ["1", "2"])
    assert await log.committed("g", TP) is None
    assert disk.bytes_used == (0 if disk.atomic else 4)
    disk.capacity_bytes = None
    await log.append(records("last"))


async def test_records_that_found_room_are_acknowledged_where_only_their_positions_found_none():
    disk = made_disk(atomic=False, capacity_bytes=4)
    log = await started(disk)
    assert len(await log.append(records("1", "2"), positions={"g": {TP: 2}})) == 2
    assert await log.committed("g", TP) is None


# --- who may use it ---


async def test_a_group_has_one_owner_until_it_lets_go_or_its_power_is_cut(disk, log):
    other = await started(disk)
    with log.hold_group("g"), other.hold_group("h"):
        for second in (log, other):
            with pytest.raises(LogLocked, match="group g has a worker already"), second.hold_group("g"):
                pass
    crashed = log.hold_group("g")
    crashed.__enter__()
    log.power_cut()
    with other.hold_group("g"):
        crashed.__exit__(None, None, None)
        with pytest.raises(LogLocked), (await started(disk)).hold_group("g"):
            pass


async def test_a_stop_writes_what_waits_and_what_comes_after_it_is_refused(disk):
    log = await started(disk, latency={"append": 0.005, "sync": 0.005})
    call = asyncio.create_task(log.append(records("1")))
    await turns()
    stopping = asyncio.create_task(log.stop())
    await turns()
    with pytest.raises(LogClosed):
        await log.append(records("2"))
    await stopping
    await log.stop()
    assert call.done()
    with pytest.raises(LogClosed, match="started already"):
        await (await started(disk)).start()
    await log.start()
    assert await values(log) == ["1"]


#: Every public method of a handle, as it is called.
METHODS = {
    "start": lambda log: log.start(),
    "stop": lambda log: log.stop(),
    "ensure_topics": lambda log: log.ensure_topics([]),
    "require_topics": lambda log: log.require_topics([]),
    "partitions": lambda log: log.partitions("t"),
    "partition_for": lambda log: log.partition_for("t", b"k"),
    "append": lambda log: log.append(records("x")),
    "commit": lambda log: log.commit("g", {TP: 0}),
    "read": lambda log: log.read(TP, 0),
    "scan": lambda log: next(log.scan("t", 0)),
    "start_offset": lambda log: log.start_offset(TP),
    "end_offset": lambda log: log.end_offset(TP),
    "end_offsets": lambda log: log.end_offsets([TP]),
    "next_beyond": lambda log: log.next_beyond([TP], 0, {TP: 0}.get),
    "offset_at_time": lambda log: log.offset_at_time(TP, 0),
    "committed": lambda log: log.committed("g", TP),
    "wait": lambda log: log.wait({TP: 5}, LONG_S),
    "watch": lambda log: log.watch(print),
    "hold_group": lambda log: log.hold_group("g").__enter__(),
    "incarnation": lambda log: log.incarnation,
    "ancestors": lambda log: log.ancestors,
}
#: What a handle says of itself, without the disk; and the crash.
CONSTANT = {"broker_url", "keeps_positions", "producers_replaced", "power_cut"}
WITHIN = {
    "ensure_topics": "look",
    "require_topics": "look",
    "append": "append",
    "commit": "commit",
    "read": "read",
    "start_offset": "look",
    "end_offset": "look",
    "end_offsets": "look",
    "offset_at_time": "look",
    "committed": "look",
    "wait": "wake",
}


def test_the_lists_name_every_method():
    public = {name for name in dir(MemoryLog) if not name.startswith("_")}
    assert set(METHODS) | CONSTANT == public
    assert not set(METHODS) & CONSTANT


async def called(method, log):
    found = METHODS[method](log)
    if asyncio.iscoroutine(found):
        await found


@pytest.mark.parametrize("method", METHODS)
async def test_a_dead_handle_does_nothing_any_more(disk, log, method):
    await log.append(records("1"))
    log.power_cut()
    log.power_cut()
    with pytest.raises(PowerCut):
        await called(method, log)
    with pytest.raises(PowerCut):
        await called(method, made_log(disk, power=log.power))
    assert not isinstance(PowerCut(), Exception)


@pytest.mark.parametrize("method", WITHIN)
async def test_whoever_waits_at_a_seam_when_the_power_goes_gets_no_answer(disk, method):
    log = await started(disk, latency={WITHIN[method]: 0.01})
    call = asyncio.create_task(called(method, log))
    await turns()
    assert not call.done()
    log.power_cut()
    cut_s = asyncio.get_running_loop().time()
    with pytest.raises(PowerCut):
        await call
    assert asyncio.get_running_loop().time() - cut_s < 1


async def test_a_page_of_a_scan_is_the_last_before_the_crash(disk, log):
    await log.append(records("1", "2"))
    pages = log.scan("t", 0, batch=1)
    assert len(next(pages)) == 1
    log.power_cut()
    with pytest.raises(PowerCut):
        next(pages)


async def test_handles_of_one_incarnation_die_together_and_others_live_on(disk):
    power = Power()
    one, two = await started(disk, power=power), await started(disk, power=power)
    other = await started(disk)
    await other.append(records("1"))
    power.cut()
    for dead in (one, two):
        with pytest.raises(PowerCut):
            await dead.read(TP, 0)
    assert await values(other) == ["1"]


# --- positions and time ---


async def test_a_cluster_forgets_the_positions_of_a_group_and_the_embedded_engine_never(disk, log):
    await log.commit("g", {TP: 0, OTHER: 0})
    await log.commit("h", {TP: 0})
    assert log.keeps_positions is disk.atomic
    if disk.keeps_positions:
        with pytest.raises(AssertionError, match="for ever"):
            disk.forget_positions("g")
        return
    disk.forget_positions("g")
    assert [await log.committed(group, tp) for group, tp in (("g", TP), ("g", OTHER), ("h", TP))] == [None, None, 0]


async def test_a_record_without_a_time_gets_that_of_the_moment_it_is_written(disk):
    now_ms = 5_000
    log = MemoryLog(disk, now_ms=lambda: now_ms)
    await log.start()
    await log.append(records("1"))
    now_ms = 9_000
    await log.append(records("2"))
    assert [record.timestamp_ms for record in await log.read(TP, 0)] == [5_000, 9_000]
    assert await log.offset_at_time(TP, 5_001) == 1
