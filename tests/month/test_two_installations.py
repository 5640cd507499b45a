"""Two installations of one company, each with a log of its own, know nothing of each other: they meet at GoCardless and
in the books.
"""

from collections import Counter

import pytest

from streams.demo import demo, month
from streams.demo import result as demo_result
from streams.demo.demo import ProgramProcess

PLAN = month.Month(
    customers=6, invoices=14, days=9, drain_days=16, invited_every=99, fail_before=0, fail_after=0, faults=False
)


async def installation(folder, world, books, name):
    folder.mkdir()
    settings = demo.write_settings(folder, world, books["organization_id"], demo.in_folder(folder))
    demo.enter_credentials(settings, world, books["oauth"])
    return settings, ProgramProcess(folder, name=name)


@pytest.mark.timeout(180)
async def test_the_second_meets_the_key_of_the_first_and_takes_its_debit_in(tmp_path, monkeypatch):
    """Once 14 of 14 invoices were debited twice. The two call the connection by different names, as people do."""
    async with demo.sandbox(PLAN, tmp_path) as world:
        books = await world.post(world.zoho, "/_sandbox/zoho/populate", month.zoho_population(PLAN))
        await world.post(
            world.gocardless, "/_sandbox/gocardless/populate", month.gocardless_population(PLAN, books["contacts"])
        )
        first, program = await installation(tmp_path / "first", world, books, "program")
        monkeypatch.setattr(demo, "CONNECTION", "of-the-other")
        other, second = await installation(tmp_path / "other", world, books, "second")
        together = (program.name, second.name)

        def watch():
            program.watch()
            second.watch()

        try:
            for one in (program, second):
                await one.start()
                await one.ready()
            await world.run_until(PLAN.opens_at.replace("T05:00", "T05:10"), watch, together)
            await demo.open_gate(other, world)
            monkeypatch.undo()
            await demo.open_gate(first, world)
            await world.run_until(PLAN.drained_at, watch, together)
        finally:
            await program.stop()
            await second.stop()
        state = await world.state()
    debits = Counter(one["metadata"]["zoho_invoice_number"] for one in state["gocardless"]["resources"]["payments"])
    assert debits == {f"INV-{number:04d}": 1 for number in range(1, 15)}
    assert len(state["zoho"]["payments"]) == 14
    # A transfer has no key at Zoho: two that ask in the same second both find none. Of all that is counted nothing else
    # is there twice.
    assert [one for one in demo_result.count(state).wrong if "transfers" not in one] == []
