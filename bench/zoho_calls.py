"""How many calls to Zoho Books one more paid invoice costs, beside the aim of 1.2: counted in the simulator, not by the
program.

Two fresh installations of the real program live through the same weeks against the simulators of both APIs; they differ
in the number of invoices alone. What grows with the invoices is the price of one; what is called by the clock, whatever
happens in the books, is told apart. Run: `python bench/zoho_calls.py [--invoices 40 120] [--days 8] [--quick]`.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from streams.demo import demo
from streams.demo.month import Month
from streams.demo.result import count

AIM_CALLS = 1.2
#: Days after the last invoice until every debit is paid out and booked.
DRAIN_DAYS = 14
#: Lists that are walked by the clock.
POLLED = ("GET /books/v3/invoices", "GET /books/v3/contacts", "GET /books/v3/settings/currencies")


def weeks(invoices: int, customers: int, days: int, drain_days: int) -> Month:
    """Weeks in which nothing goes wrong, and nobody has to be invited: each of those has a price of its own."""
    return Month(
        customers=customers,
        invoices=invoices,
        days=days,
        drain_days=drain_days,
        fail_before=0,
        fail_after=0,
        invited_every=customers + 1,
        faults=False,
    )


def unwatched(day: str) -> None:
    """Nobody watches the days go by."""
    del day


async def live(plan: Month, folder: Path) -> tuple[int, Counter[str]]:
    """Invoices paid, and calls of each endpoint of Zoho Books."""
    async with demo.sandbox(plan, folder) as world:
        settings = await demo.prepare(plan, world, folder)
        program = demo.ProgramProcess(folder)
        try:
            await demo.live(plan, world, program, settings, unwatched)
        finally:
            await program.stop()
        state = await world.state()
    counted = count(state)
    assert not counted.wrong, counted.wrong
    calls = Counter({name: number for name, number in state["calls"]["zoho"].items() if "oauth" not in name})
    return counted.paid_invoices, calls


async def measure(invoices: list[int], days: int, drain_days: int) -> tuple[list[int], list[Counter[str]]]:
    """Both installations, one after the other."""
    paid, calls = [], []
    for number in invoices:
        with tempfile.TemporaryDirectory() as folder:
            done, counted = await live(weeks(number, max(invoices), days, drain_days), Path(folder))
        paid.append(done)
        calls.append(counted)
        print(
            f"{done} of {number} invoices paid: {counted.total()} calls of Zoho Books in {days + drain_days} days",
            flush=True,
        )
    return paid, calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invoices", type=int, nargs=2, default=[40, 120])
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    invoices, days, drain_days = ([4, 8], 4, 9) if options.quick else (options.invoices, options.days, DRAIN_DAYS)
    paid, calls = asyncio.run(measure(invoices, days, drain_days))
    more = paid[1] - paid[0]
    if more <= 0:
        sys.exit("the second run has paid no more invoices than the first: nothing to measure")
    marginal = (calls[1].total() - calls[0].total()) / more
    for name in sorted({*calls[0], *calls[1]}):
        print(
            f"  {name}: {calls[0][name]} and {calls[1][name]}, {(calls[1][name] - calls[0][name]) / more:+.2f} per "
            f"invoice"
        )
    polls = [sum(one[name] for name in POLLED) / (days + drain_days) for one in calls]
    print(f"fixed polls a day, by the clock: {polls[0]:.1f} and {polls[1]:.1f}")
    print(f"calls per additional paid invoice: {marginal:.2f}")
    print(f"aim {AIM_CALLS:g}: ratio {marginal / AIM_CALLS:.2f} ({'met' if marginal <= AIM_CALLS else 'missed'})")


if __name__ == "__main__":
    main()
