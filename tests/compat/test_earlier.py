"""The earlier version under test is the one its users run, and not a part of this checkout."""

import zipfile
from pathlib import Path

import pytest

import streams
from streams.demo.month import Month
from tests.support.earlier import WHEELS, lived_in

PLAN = Month(customers=2, invoices=2, days=6, drain_days=1, fail_before=0, fail_after=0, faults=False)


def test_the_wheel_holds_every_room_and_the_first_schema():
    with zipfile.ZipFile(WHEELS / "zoho_gocardless-0.1.0-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names} == {
        "adapters",
        "domain",
        "projections",
        "streams",
        "zoho_gocardless-0.1.0.dist-info",
    }
    assert "projections/migrations/versions/0001_the_first_schema.py" in names


@pytest.mark.parametrize("room", ["adapters", "domain", "projections", "streams"])
def test_its_code_is_the_wheels_and_not_the_checkouts(earlier, room):
    found = Path(earlier.says("-c", f"import {room}; print({room}.__file__)").strip())
    assert found == earlier.code / room / "__init__.py"
    assert found.parents[1] != Path(streams.__file__).parents[1]


def test_its_command_line_says_its_version(earlier):
    assert earlier.says("-m", "streams.cli", "--version").split()[-1] == "0.1.0"


async def test_its_program_runs_its_own_code_against_the_simulators_of_today(earlier, tmp_path):
    async with lived_in(earlier, PLAN, tmp_path) as (world, program):
        await world.run_until("2026-03-01T12:00:00.000000Z", program.watch)
        assert program.whose_code() == {earlier.code}
        await program.stop()
        status = earlier.command(tmp_path, "status")
    assert [one["gate"] for one in status["connections"]] == ["open"]
    assert "Traceback" not in program.output.read_text()
