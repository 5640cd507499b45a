"""The month, moved in its middle: it begins on one machine and ends on a cluster, and nothing is debited or posted
twice.
"""

import asyncio
import dataclasses

import pytest

from streams.demo import demo
from streams.log.kafka import KafkaLog, control
from tests.support import fleet, months

#: In the midst of debits, confirmations and payouts.
_MOVED_AT = "2026-03-11T13:00:00.000000Z"

#: Real seconds of life after that, before the program is killed. Lower: it dies doing nothing. Higher: the month is
#: over.
_ON_S = 1.0


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_month_that_is_moved_ends_as_one_that_was_not(
    short_month, tmp_path, kafka_url, kafka_prefix, postgres_url
):
    plan = months.SHORT
    addresses = dataclasses.replace(
        demo.in_folder(tmp_path), more=fleet.on_cluster(kafka_url, postgres_url, prefix="").more
    )
    addresses = dataclasses.replace(addresses, more=addresses.more[addresses.more.index("[kafka]") :])
    async with demo.sandbox(plan, tmp_path) as world:
        settings = await demo.prepare(plan, world, tmp_path, addresses)
        program = demo.ProgramProcess(tmp_path)
        try:
            await program.start()
            await program.ready()
            await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), program.watch)
            await demo.open_gate(settings, world)
            await demo.plant(plan, world)
            await world.run_until(_MOVED_AT, program.watch)
            # Not asked to stop: calls are under way, and decisions are not published.
            more = {"until": plan.drained_at, "participants": list(program.participants)}
            await world.post(world.gocardless, "/_sandbox/clock/run", more)
            await asyncio.sleep(_ON_S)
            await program.kill()
        finally:
            await program.stop()
        before = await world.state()
        assert before["zoho"]["payments"]
        assert before["zoho"]["banktransactions"]
        said = await fleet.command(
            tmp_path, "move", "--to", kafka_url, "--store", postgres_url, "--prefix", kafka_prefix
        )
        assert "read back and compared" in said
        file = tmp_path / "settings.toml"
        lines = [line for line in file.read_text().splitlines() if not line.startswith(("log = ", "store = "))]
        file.write_text(
            "\n".join([f'log = "{kafka_url}"', f'store = "{postgres_url}"', f'topic_prefix = "{kafka_prefix}"', *lines])
        )
        running = fleet.Fleet(tmp_path, fleet.ROLES)
        try:
            await running.start()
            await running.ready()
            await months.live(plan, world, running, months.never, patience_s=fleet.PATIENCE_S)
        finally:
            await running.stop()
        found = await months.ending(tmp_path, world)
        settings = demo.load(file, {})
    async with KafkaLog.from_url(kafka_url, kafka=settings.kafka, prefix=kafka_prefix) as log:
        assert log.control is not None
        assert (log.control.state, len(log.control.ancestors)) == ("open", 1)
        assert log.partitions(control.topic(kafka_prefix).name) == 1
    months.same(found, short_month)
