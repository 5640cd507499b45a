"""Every bench runs, and says its figure beside an aim or a peer. How fast is for `make bench` on a quiet machine, not for a test."""

import asyncio
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"

#: Bench → the smallest run that shows that it works.
RUNS = {
    "agents.py": ["--quick"],
    "history.py": ["--quick"],
    "ingress.py": ["--rounds", "1", "--seconds", "0.1"],
    "log_wakeup.py": ["--records", "20"],
    "replay.py": ["--connections", "2", "--invoices", "10"],
    "startup.py": ["--quick"],
    "zoho_calls.py": ["--quick"],
}


def test_no_bench_is_left_out():
    assert {path.name for path in BENCH.glob("[a-z]*.py")} == set(RUNS)


#: Two installations and a fortnight each: half a minute.
SLOW = {"zoho_calls.py"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.soak) if name in SLOW else name for name in sorted(RUNS)])
async def test_a_bench_runs(name: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, BENCH / name, *RUNS[name], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert "aim" in said.decode().lower()
