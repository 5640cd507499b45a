"""A backup put back, a store thrown away: nothing is debited or posted twice, and the projections come out the same."""

import json
import sqlite3
import subprocess
import sys

import pytest

from domain import times
from projections.state.rebuild import compare
from projections.store.store import open_store
from streams.demo import demo
from tests.support import months


def command(*words):
    """Run the command line; its answer's data."""
    ran = subprocess.run(
        [sys.executable, "-m", "streams.cli", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert answer["ok"], answer
    return answer["data"]


async def at(world, instant, program):
    await world.run_until(instant, program.watch)


@pytest.mark.timeout(240)
async def test_log_and_store_restored_from_a_backup_of_a_day_ago_double_nothing(short_month, tmp_path):
    plan = months.SHORT
    config = str(tmp_path / "settings.toml")
    async with months.open_month(plan, tmp_path) as (world, program):
        # A day of everything: debits made, payments confirmed, payouts paid after the backup and lost with the log.
        await at(world, "2026-03-10T05:30:00.000000Z", program)
        command("backup", str(tmp_path / "backup"), "--config", config)
        await at(world, "2026-03-11T13:00:00.000000Z", program)
        await program.kill()
        lost = (await world.state())["zoho"]["banktransactions"]
        for name in ("log.db", "store.db"):
            for file in tmp_path.glob(f"{name}*"):
                if file.is_file():
                    file.unlink()
        command("restore", str(tmp_path / "backup"), "--config", config)
        await program.start()
        await program.ready()
        await months.live(plan, world, program, months.never)
        await program.stop()
        found = await months.ending(tmp_path, world)
    assert lost, "nothing was at stake"
    assert found["gocardless"] == short_month["gocardless"]
    assert found["zoho"] == short_month["zoho"]
    assert found["balances"] == short_month["balances"]
    assert found["entries"] == short_month["entries"]


@pytest.mark.timeout(240)
async def test_a_store_restored_alone_takes_over_what_the_log_has_decided(short_month, tmp_path):
    plan = months.SHORT
    settings_file = tmp_path / "settings.toml"
    async with months.open_month(plan, tmp_path) as (world, program):
        settings = demo.load(settings_file, {})
        await at(world, "2026-03-10T05:30:00.000000Z", program)
        with open_store(settings.store) as store:
            store.backup(tmp_path / "older.db", times.normalise(await world.now()))
        await at(world, "2026-03-11T13:00:00.000000Z", program)
        await program.kill()
        for file in tmp_path.glob("store.db*"):
            file.unlink()
        (tmp_path / "older.db").rename(tmp_path / "store.db")
        with open_store(settings.store, now=times.normalise(await world.now()), adopt="restored"):
            pass
        await program.start()
        await program.ready()
        await months.live(plan, world, program, months.never)
        await program.stop()
        found = await months.ending(tmp_path, world)
    months.same(found, short_month)


def test_a_rebuild_gives_the_same_rows_with_nobody_to_talk_to(short_month, short_month_folder):
    """Both simulators are gone: whatever would call out would fail."""
    assert short_month["open_commands"] == {}
    config = str(short_month_folder / "settings.toml")
    settings = demo.load(short_month_folder / "settings.toml", {})
    before = short_month_folder / "before.db"
    with open_store(settings.store) as store, sqlite3.connect(before) as copy:
        store.engine.raw_connection().driver_connection.backup(copy)
    command("rebuild", "--config", config)
    with open_store(settings.store) as rebuilt, open_store(f"sqlite:///{before}") as kept:
        assert compare(kept, rebuilt) == []
        assert rebuilt.generation != kept.generation
