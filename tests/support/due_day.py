"""Many invoices of one customer, due on one day: made in the simulators, lived by a program, and measured in its log."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from streams.demo import demo
from streams.demo.demo import ProgramProcess, Simulators
from streams.demo.month import Month
from streams.demo.result import CONNECTION
from streams.log.interface import TopicPartition
from streams.log.records import header
from streams.log.topics import Topics
from streams.operate.installation import opened_log

#: One customer with a mandate; what it owes comes from `owe`.
PLAN = Month(customers=1, invoices=0, days=2, drain_days=1, fail_before=0, fail_after=0, faults=False)

DUE = "2026-03-02"

#: A minute before the send hour, and when every debit has either been made or will not be.
BEFORE_DUE, AFTER_DUE = f"{DUE}T05:59:00.000000Z", f"{DUE}T11:59:00.000000Z"

#: What is refused for a while on the due day, so that one of the two reads that a debit hangs on is answered after the
#: other.
LATE = {
    "the view of the mandate comes last": {
        "api": "gocardless",
        "method": "GET",
        "path": "^/payments$",
        "kind": "500_before",
        "times": 10,
    },
    "the open invoices come last": {
        "api": "zoho",
        "method": "GET",
        "path": "/invoices$",
        "kind": "500_before",
        "times": 6,
    },
}

#: Which event ends the read that came last.
LAST = {
    "the view of the mandate comes last": "gocardless.mandate_payments_read",
    "the open invoices come last": "zoho.invoices_listed",
}

#: Invoices put into the books by one request. Lower: more requests. Higher: a request that the simulator takes long
#: over.
_AT_ONCE = 2_000


async def owe(world: Simulators, number: int) -> None:
    """The customer owes so many invoices, all sent already and due on one day. Nobody is told by webhook: they are
    found by the walk.
    """
    zoho = (await world.state())["zoho"]
    contact = next(one["contact_id"] for one in zoho["contacts"] if one["contact_type"] == "customer")
    await world.post(world.gocardless, "/_sandbox/config", {"zoho": {"webhooks": []}})
    rows = [
        {
            "contact": contact,
            "invoice_number": f"INV-{place:06d}",
            "date": "2026-02-20",
            "due_date": DUE,
            "currency": "GBP",
            "line_items": [{"name": "Fee", "rate": "10.00", "quantity": 1}],
            "tax": "vat",
        }
        for place in range(1, number + 1)
    ]
    for start in range(0, number, _AT_ONCE):
        await world.post(world.zoho, "/_sandbox/zoho/populate", {"invoices": rows[start : start + _AT_ONCE]})


async def debits(world: Simulators) -> Counter[str]:
    """How many debits the simulator holds for each invoice, by its number."""
    payments = (await world.state())["gocardless"]["resources"]["payments"]
    return Counter(one["metadata"]["zoho_invoice_number"] for one in payments)


def each_once(number: int) -> dict[str, int]:
    """What `debits` should be."""
    return {f"INV-{place:06d}": 1 for place in range(1, number + 1)}


async def ready(folder: Path) -> bool:
    """Whether the program says that it is ready for work."""
    port = demo.load(folder / "settings.toml", {}).gateway.port
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:  # it has ended
        return False


class Sizes(NamedTuple):
    """Bytes of the decisions as they lie in the log."""

    largest: int
    total: int
    events: int


async def _values(folder: Path, topic: str) -> list[tuple[str, bytes]]:
    settings = demo.load(folder / "settings.toml", {})
    topics = Topics(settings.topic_prefix, settings.partitions)
    found = []
    async with opened_log(settings) as log:
        tp = TopicPartition(topics.prefix + topic, log.partition_for(topics.events.name, CONNECTION.encode()))
        offset, end = await log.start_offset(tp), await log.end_offset(tp)
        while offset < end:
            records = await log.read(tp, offset, 500)
            found += [((header(one, "type") or b"").decode(), one.value or b"") for one in records]
            offset = records[-1].offset + 1
    return found


async def decision_sizes(folder: Path) -> Sizes:
    """How large the decisions of an installation are."""
    sizes = [len(value) for _, value in await _values(folder, "decisions")]
    return Sizes(max(sizes), sum(sizes), len(sizes))


async def last_read(folder: Path) -> str:
    """Which of the two reads that the debits hung on ended last: its type of event."""
    types = [type_ for type_, _ in await _values(folder, "events")]
    first_debit = types.index("gocardless.payment_read")
    return next(type_ for type_ in reversed(types[:first_debit]) if type_ in LAST.values())


async def live(world: Simulators, program: ProgramProcess, late: dict[str, Any], until: str = AFTER_DUE) -> None:
    """The due day of an installation whose gate is open, with one of the two reads late."""
    await world.run_until(BEFORE_DUE, program.watch)
    await world.post(world.gocardless, "/_sandbox/faults", {"rules": [late]})
    await world.run_until(until, program.watch)
