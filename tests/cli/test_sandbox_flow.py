"""The real program in the sandbox while time flows by itself: it takes no part in the barrier, and does its work all the
same; paused, time is under control again.
"""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.demo import demo
from streams.demo.demo import CONNECTION
from streams.demo.month import Month

PLAN = Month(customers=4, invoices=5, seed=3, days=3, drain_days=2, fail_before=0, fail_after=0, faults=False)
DUE = "2026-03-04"

#: Real seconds in which something that flowing time brings must have come.
WAIT_S = 60


async def until(seen: Any) -> Any:
    async with asyncio.timeout(WAIT_S):
        while not (found := await seen()):  # noqa: ASYNC110 - another process's doing, which has no event here
            await asyncio.sleep(0.1)
    return found


async def test_the_program_works_while_time_flows_and_under_control_again(tmp_path):
    async with demo.sandbox(PLAN, tmp_path) as world:
        settings = await demo.prepare(PLAN, world, tmp_path)
        program = demo.ProgramProcess(tmp_path)

        async def ready() -> bool:
            program.watch()
            url = f"http://127.0.0.1:{settings.gateway.port}/ready"
            async with world.session.get(url) as answer:
                return bool(json.loads(await answer.text())["ready"])

        async def payments() -> list[dict[str, Any]]:
            program.watch()
            return list((await world.state())["gocardless"]["resources"]["payments"])

        async def all_sent() -> bool:
            return len(await payments()) == PLAN.invoices

        async def all_submitted() -> bool:
            return {one["status"] for one in await payments()} == {"submitted"}

        async def read() -> bool:
            program.watch()
            return not await asyncio.to_thread(stops, tmp_path)

        # From its start on: it imports both sides.
        await world.post(world.gocardless, "/_sandbox/clock/speed", {"speed": 60})
        await program.start()
        await program.ready()
        await until(read)
        await world.post(world.gocardless, "/_sandbox/clock/pause", {})
        await demo.open_gate(settings, world)
        await world.run_until(f"{DUE}T05:50:00Z", program.watch)
        assert await payments() == []

        # At 06:00 the debits of the day are due, with nobody asked whether it is quiet.
        await world.post(world.gocardless, "/_sandbox/clock/speed", {"day_s": 240})
        await until(all_sent)
        assert {one["status"] for one in await payments()} == {"pending_submission"}
        await until(ready)

        await world.post(world.gocardless, "/_sandbox/clock/pause", {})
        await world.run_until("2026-03-05T15:55:00Z", program.watch)
        await world.post(world.gocardless, "/_sandbox/clock/resume", {})
        await until(all_submitted)
        await world.post(world.gocardless, "/_sandbox/clock/pause", {})

        await world.run_until("2026-03-13T00:00:00Z", program.watch)
        state = await world.state()
        await program.stop()
        assert {one["status"] for one in state["gocardless"]["resources"]["payments"]} == {"paid_out"}
        assert {one["status"] for one in state["zoho"]["invoices"]} == {"paid"}


def stops(folder: Any) -> list[str]:
    """What stops the approval, by the command beside the running program."""
    done = CliRunner().invoke(main, ["check", CONNECTION, "--json", "--config", str(folder / "settings.toml")])
    return list(json.loads(done.stdout)["data"]["stops"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--speed", "0"], "a speed is above 0"),
        (["--speed", "1000000"], "at most 86400 simulated seconds"),
        (["--day-s", "0.5"], "takes 1 real seconds or more"),
        (["--speed", "1", "--day-s", "60"], "exclude each other"),
    ],
)
def test_a_speed_that_cannot_be_is_told_as_usage(words, says):
    done = CliRunner().invoke(main, ["sandbox", *words])
    assert done.exit_code == 2
    assert done.stderr.startswith("error[usage]: ")
    assert says in done.stderr
