"""An installation of version 0.1.0 that stands for good, since one decision outgrew the log, is set going again by this
version.
"""

import asyncio
import contextlib

import pytest

from streams.demo.demo import DemoError, ProgramProcess
from tests.support import due_day
from tests.support.command_line import command
from tests.support.earlier import lived_in

#: With as many, version 0.1.0 decides more for one event than the log takes.
NUMBER = 900

#: How version 0.1.0 ends when a stage has failed.
_FAILED = 70

STANDING = due_day.LATE["the view of the mandate comes last"]

#: Minutes after the send hour, by when version 0.1.0 has failed.
SOON = f"{due_day.DUE}T06:10:00.000000Z"


async def ends(program):
    """How the program ends by itself."""
    return await asyncio.wait_for(program.process.wait(), 60)


@pytest.mark.timeout(180)
async def test_what_stood_under_the_earlier_version_is_debited_once_by_this_one(earlier, tmp_path):
    async with lived_in(earlier, due_day.PLAN, tmp_path, due_day.owe, NUMBER) as (world, before):
        with contextlib.suppress(DemoError):
            await due_day.live(world, before, STANDING, SOON)
        assert await ends(before) == _FAILED
        await before.start()
        assert await ends(before) == _FAILED, "it does not stand for good"
        assert await due_day.debits(world) == {}
        program = ProgramProcess(tmp_path)
        try:
            await program.start()
            await program.ready()
            await world.run_until(due_day.AFTER_DUE, program.watch)
            assert await due_day.ready(tmp_path)
            assert await due_day.debits(world) == due_day.each_once(NUMBER)
        finally:
            await program.stop()
    assert command(tmp_path, "rebuild", "--verify")["differences"] == []
    assert (await due_day.decision_sizes(tmp_path)).largest < 1024 * 1024
