"""Every bench runs, and says its figure beside an aim or a peer. How fast is for `make bench` on a quiet machine, not
for a test.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"

#: Bench → the smallest run that shows that it works.
RUNS = {
    "agents.py": ["--quick"],
    "history.py": ["--quick"],
    "ingress.py": ["--rounds", "1", "--seconds", "0.1"],
    "kafka_ingress.py": ["--rounds", "1", "--seconds", "0.1"],
    "kafka_live.py": ["--quick"],
    "kafka_log.py": ["--records", "20", "--rounds", "1"],
    "kafka_rebalance.py": ["--rounds", "1"],
    "kafka_replay.py": ["--connections", "2", "--invoices", "10", "--rounds", "1"],
    "kafka_scale.py": ["--quick"],
    "log_wakeup.py": ["--records", "20"],
    "replay.py": ["--connections", "2", "--invoices", "10"],
    "simulation.py": ["--quick"],
    "simulation_coverage.py": ["--quick"],
    "startup.py": ["--quick"],
    "zoho_calls.py": ["--quick"],
}


def test_no_bench_is_left_out():
    assert {path.name for path in BENCH.glob("[a-z]*.py")} == set(RUNS)


#: Half a minute and more: whole weeks; workers that come, go and are missed.
SLOW = {"kafka_rebalance.py", "kafka_scale.py", "zoho_calls.py"}


def runs(names):
    return [pytest.param(name, marks=pytest.mark.soak) if name in SLOW else name for name in sorted(names)]


async def said(name: str, **environment: str) -> str:
    pipe = asyncio.subprocess.PIPE
    words = (sys.executable, BENCH / name, *RUNS[name])
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env={**os.environ, **environment})
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode().lower()


@pytest.mark.parametrize("name", runs(name for name in RUNS if not name.startswith("kafka_")))
async def test_a_bench_runs(name: str):
    assert "aim" in await said(name)


@pytest.mark.parametrize("name", runs(name for name in RUNS if name.startswith("kafka_")))
async def test_a_bench_on_kafka_runs(name: str, kafka_cluster, postgres_server):
    servers = {
        "KAFKA_BOOTSTRAP_SERVERS": ",".join(kafka_cluster.servers),
        "POSTGRES_URL": postgres_server.url("postgres"),
    }
    output = await said(name, **servers)
    assert "aim" in output
    assert "not run: no " not in output


async def test_a_bench_without_a_broker_says_what_was_looked_for(tmp_path):
    """A machine without Docker and Java runs the other benches."""
    output = await said(
        "kafka_log.py",
        KAFKA_BOOTSTRAP_SERVERS="",
        DOCKER_HOST=f"unix://{tmp_path}/none",
        PATH=str(tmp_path),
        JAVA_HOME="",
    )
    assert "not run: no kafka here: kafka_bootstrap_servers is not set; no docker engine answers" in output
