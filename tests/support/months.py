"""A month lived by the real program in its own process, killed as often as a test wants, against live simulators in
another.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from projections.queries import Queries
from projections.store.store import open_store
from streams.demo import demo
from streams.demo import result as demo_result
from streams.demo.demo import ProgramProcess, Simulators
from streams.demo.month import Month
from streams.demo.result import CONNECTION
from streams.log.interface import TopicPartition
from streams.log.topics import Topics
from streams.operate.installation import opened_log

#: Small enough for a minute, large enough for every kind of fact: both currencies, an invitation, both unhappy ends.
SHORT = Month(customers=8, invoices=16, days=16, drain_days=16, invited_every=4, fail_before=1, fail_after=1)

_PUBLIC = ("reconciled-payments", "reconciled-payouts", "discrepancies")


class Ended(dict[str, Any]):
    """How a month ended, without what names positions or learning times. `planted`: how often each planted fault
    struck.
    """

    planted: dict[str, int]


async def ending(folder: Path, world: Simulators) -> Ended:
    """Both simulators, the ledger, and the last public record of each key."""
    state = await world.state()
    counted = demo_result.count(state)
    assert counted.wrong == []
    settings = demo.load(folder / "settings.toml", {})
    found = Ended(gocardless=_gocardless(state["gocardless"]["resources"]), zoho=_zoho(state["zoho"]))
    rules = [*state["faults"], *state["webhooks"]["rules"]]
    found.planted = {
        f"{rule['api']} {rule.get('path') or rule.get('match')} {rule['kind']}": rule["hits"] for rule in rules
    }
    with open_store(settings.store) as store:
        queries = Queries(store)
        found["balances"] = {row.id: row.amount_minor for row in queries.balances(CONNECTION)}
        found["entries"] = sorted(
            (
                one.date,
                one.text,
                sorted((line.account, line.currency, line.amount_minor, line.item) for line in one.lines),
            )
            for one in queries.entries(CONNECTION, 10_000)
        )
        found["invoices"] = queries.status(CONNECTION).invoices
        found["open_commands"] = {
            key: count for key, count in queries.status(CONNECTION).commands.items() if key[1] != "done"
        }
    topics = Topics(settings.topic_prefix, settings.partitions)
    last: dict[str, Any] = {}
    async with opened_log(settings) as log:
        for topic in _PUBLIC:
            for partition in range(topics.partitions):
                tp = TopicPartition(topics.prefix + topic, partition)
                for record in await log.read(tp, await log.start_offset(tp), 10_000):
                    value = json.loads(record.value or b"{}")
                    key = f"{topic}/{(record.key or b'').decode()}"
                    if value["version"] >= last.get(key, {"version": -1})["version"]:
                        last[key] = value
    found["public"] = {
        key: {name: part for name, part in value.items() if name not in {"version", "event"}}
        for key, value in last.items()
    }
    return found


def _gocardless(resources: dict[str, Any]) -> dict[str, Any]:
    payments = {
        one["id"]: (one["status"], one["amount"], one["currency"], one["links"], one["metadata"]["zoho_invoice_number"])
        for one in resources["payments"]
    }
    payouts = {
        one["id"]: (one["status"], one["amount"], one["currency"], one["arrival_date"]) for one in resources["payouts"]
    }
    requests = sorted((one["status"], str(one["metadata"])) for one in resources["billing_requests"])
    return {"payments": payments, "payouts": payouts, "billing_requests": requests}


def _zoho(books: dict[str, Any]) -> dict[str, Any]:
    return {
        "accounts": {one["account_id"]: one["balance_minor"] for one in books["accounts"]},
        "invoices": {one["invoice_number"]: (one["status"], one["balance_minor"]) for one in books["invoices"]},
        "payments": sorted(
            (one["description"], one["amount_minor"], one["date"], one["unused_minor"]) for one in books["payments"]
        ),
        "refunds": sorted((one["reference_number"], one["amount_minor"], one["date"]) for one in books["refunds"]),
        "expenses": sorted(
            (one["description"], one["total_minor"], one["tax_minor"], one["date"]) for one in books["expenses"]
        ),
        "transfers": sorted(
            (one["description"], one["amount_minor"], one["date"]) for one in books["banktransactions"]
        ),
    }


Reviver = Callable[[ProgramProcess], Awaitable[None]]


@asynccontextmanager
async def open_month(plan: Month, folder: Path) -> AsyncIterator[tuple[Simulators, ProgramProcess]]:
    """Both sides filled, the program running, the gate open, the faults planted. `folder` exists."""
    async with demo.sandbox(plan, folder) as world:
        settings = await demo.prepare(plan, world, folder)
        program = ProgramProcess(folder)
        try:
            await program.start()
            await program.ready()
            await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), program.watch)
            await demo.open_gate(settings, world)
            await demo.plant(plan, world)
            yield world, program
        finally:
            await program.stop()


async def live(
    plan: Month, world: Simulators, program: Any, revive: Reviver, *, until: str = "", patience_s: float = 60
) -> None:
    """Let the month pass, or the part `until` an instant; whenever the program (or one of a fleet's) has died, `revive`
    starts it again. `patience_s`: real seconds for which time may stand still.
    """
    participants = list(program.participants)
    await world.post(
        world.gocardless, "/_sandbox/clock/run", {"until": until or plan.drained_at, "participants": participants}
    )
    seen, still = "", 0
    while True:
        async with world.session.get(f"{world.gocardless}/_sandbox/clock/wait?timeout_s=0.2") as answer:
            clock = await answer.json()
        if clock["idle"]:
            return
        still = still + 1 if clock["now"] == seen else 0
        seen = clock["now"]
        assert still < patience_s / 0.2, f"time has stood still at {seen} for {patience_s:g} s: see {program.folder}"
        for one in program.ended():
            await revive(one)
            still = 0


async def never(program: ProgramProcess) -> None:
    """No revival: that it died is a failure."""
    program.watch()


def same(found: Ended, wanted: Ended) -> None:
    """Compare part by part, so that a difference names its place."""
    for part in wanted:
        assert found[part] == wanted[part], part


async def calm_month(plan: Month, folder: Path) -> Ended:
    """The month without a kill."""
    async with open_month(plan, folder) as (world, program):
        await live(plan, world, program, never)
        await program.stop()
        return await ending(folder, world)


async def failing_month(plan: Month, folder: Path, failpoints: list[str]) -> tuple[Ended, list[str]]:
    """The month with the program dying at each failpoint in turn. Also returns those that were reached."""
    waiting = list(failpoints)
    reached: list[str] = []

    async def revive(program: ProgramProcess) -> None:
        assert program.process is not None
        assert program.process.returncode == -9, (
            f"the program ended by itself with {program.process.returncode}: {program.folder}"
        )
        reached.extend(reached_now)
        reached_now.clear()
        following = waiting.pop(0) if waiting else ""
        if following:
            reached_now.append(following.split(":")[0])
        await program.start(following)

    reached_now: list[str] = []
    async with open_month(plan, folder) as (world, program):
        await program.kill()
        await live(plan, world, program, revive)
        await program.stop()
        return await ending(folder, world), reached


async def harried_month(plan: Month, folder: Path, kills: int, seed: int, longest_s: float) -> Ended:
    """The month with `kill -9` at seeded moments."""
    draw = random.Random(seed)

    async def revive(program: ProgramProcess) -> None:
        assert program.process is not None
        assert program.process.returncode == -9, (
            f"the program ended by itself with {program.process.returncode}: {program.folder}"
        )
        await program.start()
        revived.set()

    revived = asyncio.Event()
    async with open_month(plan, folder) as (world, program):

        async def harry() -> None:
            for _ in range(kills):
                await asyncio.sleep(draw.uniform(0.2, longest_s))
                await program.kill()
                revived.clear()
                await revived.wait()

        killer = asyncio.create_task(harry())
        try:
            await live(plan, world, program, revive)
        finally:
            killer.cancel()
        await program.stop()
        return await ending(folder, world)
