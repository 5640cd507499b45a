"""Many invoices of one customer fall due on one day: each is debited once, and no decision grows with their number."""

import pytest

from streams.demo import demo
from streams.demo.demo import ProgramProcess
from tests.support import due_day

#: A decision must stay far below what the log takes (8 MB) however many are due.
LARGEST = 1024 * 1024

NUMBERS = [
    pytest.param(1_000, marks=pytest.mark.timeout(240)),
    pytest.param(5_000, marks=[pytest.mark.soak, pytest.mark.timeout(1_800)]),
    pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
]


@pytest.mark.parametrize("late", due_day.LATE)
@pytest.mark.parametrize("number", NUMBERS)
async def test_each_of_many_invoices_due_on_one_day_is_debited_once(tmp_path, number, late):
    async with demo.sandbox(due_day.PLAN, tmp_path) as world:
        settings = await demo.prepare(due_day.PLAN, world, tmp_path)
        await due_day.owe(world, number)
        program = ProgramProcess(tmp_path)
        try:
            await program.start()
            await program.ready()
            await world.run_until(due_day.PLAN.opens_at.replace("T05:00", "T05:10"), program.watch)
            await demo.open_gate(settings, world)
            await due_day.live(world, program, due_day.LATE[late])
            assert await due_day.ready(tmp_path)
            found = await due_day.debits(world)
        finally:
            await program.stop()
    assert found == due_day.each_once(number)
    assert await due_day.last_read(tmp_path) == due_day.LAST[late]
    sizes = await due_day.decision_sizes(tmp_path)
    print(  # noqa: T201 - the figure is for whoever reads the run
        f"{number} invoices: largest decision {sizes.largest:,} bytes, {sizes.total // number:,} bytes of decisions an invoice"
    )
    assert sizes.largest < LARGEST
