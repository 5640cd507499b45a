"""A company that version 0.1.0 has served is carried over in its middle: killed, and gone on with by this version on
the same folder.

Nothing is debited twice, and the month ends as one that nobody interrupted.
"""

import asyncio
import re
from collections import Counter
from typing import Any, NamedTuple

import pytest

from streams.demo.demo import ProgramProcess
from tests.support import months
from tests.support.command_line import command
from tests.support.earlier import lived_in

#: After the commit, and then no answer for longer than any caller waits: the debit is there, and whoever is killed
#: meanwhile never heard.
ANSWER_LOST = {"kind": "timeout_after_commit", "hold_s": 100, "times": 1}

#: Real seconds for a planted fault to strike.
_STRIKES_S = 30


class Moment(NamedTuple):
    """Version 0.1.0 lives until `at`, then on until the answer to one call is lost (`api`, `method`, `path`, after
    `skip` others), and is killed.
    """

    at: str
    lost: tuple[str, str, str] | None = None
    skip: int = 0


DEBIT = ("gocardless", "POST", "^/payments$")
POSTING = ("zoho", "PUT", "/customerpayments$")
TRANSFER = ("zoho", "POST", "/banktransactions$")

MOMENTS = {
    "before the send hour": Moment("2026-03-09T05:59:00.000000Z"),
    "while the first debits are made": Moment("2026-03-09T05:59:00.000000Z", DEBIT, 2),
    "right after debits were made": Moment("2026-03-09T06:01:00.000000Z"),
    "among debits, one confirmed and others submitted": Moment("2026-03-11T05:59:00.000000Z", DEBIT, 1),
    "while payments are posted": Moment("2026-03-13T11:00:00.000000Z", POSTING, 1),
    "while a payout is posted, after a late failure": Moment("2026-03-16T11:00:00.000000Z", TRANSFER, 0),
    "after the first payouts": Moment("2026-03-16T13:00:00.000000Z"),
}


@pytest.fixture(scope="session")
def calm(tmp_path_factory):
    """How the month ends when this version lives it alone."""
    return asyncio.run(months.calm_month(months.SHORT, tmp_path_factory.mktemp("calm")))


async def lose_an_answer(world, moment, until):
    """Let time go on until the fault has struck; the call that met it is still waiting then."""
    api, method, path = moment.lost
    rule = {"api": api, "method": method, "path": path, "skip": moment.skip, **ANSWER_LOST}
    placed = len((await world.state())["faults"])
    await world.post(world.gocardless, "/_sandbox/faults", {"rules": [rule]})
    await world.post(world.gocardless, "/_sandbox/clock/run", {"until": until, "participants": ["program"]})
    for _ in range(_STRIKES_S * 20):
        if (await world.state())["faults"][placed]["hits"]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no call was made whose answer could be lost")


async def carried_over(earlier, folder, moment):
    """The month, lived by 0.1.0 until the moment and by this version from then on; how it ended, and the debits of
    0.1.0.
    """
    plan = months.SHORT
    async with lived_in(earlier, plan, folder) as (world, before):
        await world.run_until(moment.at, before.watch)
        if moment.lost:
            await lose_an_answer(world, moment, plan.drained_at)
        await before.kill()
        debits = (await world.state())["gocardless"]["resources"]["payments"]
        assert before.whose_code() == {earlier.code}
        program = ProgramProcess(folder)
        try:
            await program.start()
            await program.ready()
            await months.live(plan, world, program, months.never)
        finally:
            await program.stop()
        state = await world.state()
        return await months.ending(folder, world), debits, state


@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
async def test_a_month_that_changes_versions_ends_as_one_that_does_not(earlier, calm, tmp_path, moment):
    found, debits, state = await carried_over(earlier, tmp_path, moment)
    payments = state["gocardless"]["resources"]["payments"]
    assert debits
    assert {one["id"] for one in debits} <= {one["id"] for one in payments}
    assert len(payments) == len({one["metadata"]["zoho_invoice_id"] for one in payments}) == 16
    wanted = named(calm)
    for part, value in named(found).items():
        assert value == wanted[part], part
    assert command(tmp_path, "rebuild", "--verify")["differences"] == []


def named(found: Any) -> dict[str, Any]:
    """An ending with its debits called by their invoices, and mandates by the first of them: at the simulator an id
    comes from the idempotency key, which a version may make otherwise. Of the public records only what they say of
    money counts.
    """
    times = Counter()
    names = {}
    for key, payment in sorted(found["gocardless"]["payments"].items(), key=lambda one: one[1][-1]):
        times[payment[-1]] += 1
        names[key] = f"debit {times[payment[-1]]} of {payment[-1]}"
        names.setdefault(payment[3]["mandate"], f"mandate of {payment[-1]}")
    pattern = re.compile("|".join(names))

    def renamed(value):
        if isinstance(value, str):
            return pattern.sub(lambda match: names[match[0]], value)
        if isinstance(value, dict):
            return {renamed(key): renamed(one) for key, one in value.items()}
        if isinstance(value, list):
            return sorted((renamed(one) for one in value), key=repr)
        return tuple(renamed(one) for one in value) if isinstance(value, tuple) else value

    public = {
        key: {name: value.get(name) for name in ("status", "amount_minor", "currency")}
        for key, value in found["public"].items()
    }
    return renamed({**found, "public": public})
