"""Several processes on one log: contiguous offsets, wake-ups, and what a killed writer had been promised."""

import asyncio
import signal
import time

from streams.log.interface import TopicPartition


async def test_processes_appending_at_once_leave_no_gap_and_lose_nothing(engine, log, tp):
    names = ["a", "b", "c"]
    writers = [await engine.spawn("append", tp.topic, name, "150") for name in names]
    outputs = [(await writer.communicate())[0].decode().splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    said = {int(offset): value for lines in outputs for _, offset, value in (line.split() for line in lines)}
    found = await log.read(tp, 0)
    assert [record.offset for record in found] == list(range(450))
    assert {record.offset: record.value.decode() for record in found} == said


async def test_a_waiting_reader_is_woken_by_another_processs_append(engine, log, tp):
    count = 60
    writer = await engine.spawn("ping", tp.topic, str(count))
    assert await writer.stdout.readline() == b"ready\n"
    took_ms = []
    for offset in range(count):
        waiter = asyncio.create_task(log.wait({tp: offset}, 20))
        await asyncio.sleep(0.002)
        writer.stdin.write(b"\n")
        assert await waiter
        seen_ns = time.monotonic_ns()
        (record,) = await log.read(tp, offset)
        took_ms.append((seen_ns - int(record.value)) / 1e6)
    await writer.communicate()
    # The aim is a p99 of 10 ms, measured by bench/log_wakeup.py on a quiet machine; here: not the poll, which takes
    # 100.
    assert sorted(took_ms)[count // 2] < 25, took_ms


async def test_what_was_acknowledged_is_there_after_the_writer_was_killed(engine, log, tp):
    writer = await engine.spawn("flood", tp.topic, "w")
    lines = [await writer.stdout.readline() for _ in range(300)]
    writer.send_signal(signal.SIGKILL)
    rest, _ = await writer.communicate()
    lines += [line for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    assert writer.returncode == -signal.SIGKILL
    said = {int(offset): value for _, offset, value in (line.decode().split() for line in lines)}
    async with engine.open() as again:
        found = {record.offset: record.value.decode() for page in again.scan(tp.topic, 0) for record in page}
    assert len(said) >= 300
    assert said.items() <= found.items()
    assert sorted(found) == list(range(len(found)))


async def test_an_unhandled_record_is_the_first_one_after_a_kill(engine, log, tp):
    appender = await engine.spawn("append", tp.topic, "w", "40")
    await appender.communicate()
    numbers = [int(record.value.decode().removeprefix("w-")) for record in await log.read(tp, 0)]
    fatal = numbers.index(23)

    killed = await engine.spawn("work", tp.topic, "g", "w-23")
    output, _ = await killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert output.decode().splitlines()[-1] == f"began {fatal} w-23"
    committed = await log.committed("g", tp)
    assert (committed or 0) <= fatal

    again = await engine.spawn("work", tp.topic, "g", "-")
    output, _ = await again.communicate()
    assert again.returncode == 0
    lines = output.decode().splitlines()
    assert lines[0] == f"began {committed or 0} w-{numbers[committed or 0]}"
    assert f"handled {fatal} w-23" in lines
    handled = [int(line.split()[1]) for line in lines if line.startswith("handled")]
    assert handled == list(range(committed or 0, 40))
    assert lines[-1] == "idle 40"
    assert await log.committed("g", TopicPartition(tp.topic, 0)) == 40
