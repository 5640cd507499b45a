"""Waking other processes: the named pipes beside the file, and the poll where there are none."""

import asyncio
import os
import stat

from streams.log.interface import NewRecord
from streams.log.sqlite import SqliteLog, engine
from streams.log.sqlite.wakeups import LogWakeups

RECORD = NewRecord("t", b"k", b"v")


def pipes(path):
    return [each for each in path.with_name("log.db-wake").iterdir() if stat.S_ISFIFO(each.stat().st_mode)]


async def test_an_open_log_listens_and_a_stopped_one_leaves_nothing(log, path):
    assert len(pipes(path)) == 1
    async with SqliteLog(path):
        assert len(pipes(path)) == 2
    assert len(pipes(path)) == 1
    await log.stop()
    assert pipes(path) == []


async def test_a_ring_reaches_every_other_listener_and_not_the_ringer(path):
    woken = []
    loop = asyncio.get_running_loop()
    several = [LogWakeups(path) for _ in range(3)]
    for number, wakeups in enumerate(several):
        assert wakeups.listen(loop, lambda number=number: woken.append(number))
    for _ in range(3):
        several[0].wake()
    await asyncio.sleep(0.01)
    assert set(woken) == {1, 2}
    several[2].close()
    woken.clear()
    several[0].wake()
    await asyncio.sleep(0.01)
    assert woken == [1]
    for wakeups in several:
        wakeups.close()


async def test_a_listener_that_comes_right_after_a_look_is_not_missed(path):
    loop = asyncio.get_running_loop()
    wakeups = LogWakeups(path)
    wakeups.listen(loop, lambda: None)
    for _ in range(20):  # a folder's time stands still for some milliseconds, so that most of these come unseen by it
        wakeups.wake()
        woken = asyncio.Event()
        late = LogWakeups(path)
        late.listen(loop, woken.set)
        wakeups.wake()
        async with asyncio.timeout(5):
            await woken.wait()
        late.close()
    wakeups.close()


async def test_a_pipe_whose_process_died_is_removed_and_a_full_one_is_left(path):
    loop = asyncio.get_running_loop()
    wakeups, slow = LogWakeups(path), LogWakeups(path)
    wakeups.listen(loop, lambda: None)
    dead = path.with_name("log.db-wake") / "1-dead"
    os.mkfifo(dead)
    wakeups.wake()
    assert not dead.exists()
    os.mkfifo(dead)
    reader = os.open(dead, os.O_RDONLY | os.O_NONBLOCK)
    wakeups.wake()
    assert dead.exists()
    os.close(reader)
    wakeups.wake()
    assert not dead.exists()
    slow.listen(loop, lambda: None)
    for _ in range(100_000):  # more than a pipe holds; the loop has no turn to empty it
        wakeups.wake()
    assert len(pipes(path)) == 2
    wakeups.close()
    slow.close()


async def test_without_named_pipes_a_short_poll_wakes(path, tp, log, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("no pipes here")

    monkeypatch.setattr(os, "mkfifo", refused)
    async with SqliteLog(path) as alone:
        assert alone._poll_s == engine.POLL_ALONE_S
        waiter = asyncio.create_task(alone.wait({tp: 0}, 20))
        await asyncio.sleep(0.01)
        assert not waiter.done()
        await log.append([RECORD])
        assert await waiter


async def test_a_wakeup_that_never_came_is_made_up_by_the_poll(path, tp, log, monkeypatch):
    monkeypatch.setattr(LogWakeups, "wake", lambda self: None)
    async with SqliteLog(path) as other:
        waiter = asyncio.create_task(other.wait({tp: 0}, 20))
        await asyncio.sleep(0.01)
        await log.append([RECORD])
        assert await waiter
