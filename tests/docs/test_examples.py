"""Each file of `examples` does what it says. The consumer in Python is run by `tests/month/test_documents.py`, on the log
of a lived month.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy.engine import make_url

from domain.policy import Rules
from projections.queries import Queries
from projections.store.store import open_store
from streams.settings import load
from tests.support.installation import NOW, GatewayProgram

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LEFT_BEHIND = ROOT / "tests" / "compat" / "fixtures" / "0.1.0.tar.xz"


def tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


# --- the signed webhook ---


@pytest.fixture
async def gateway(tmp_path):
    """The gateway on a real port, over a real log."""
    empty = tmp_path / "empty.db"
    open_store(f"sqlite:///{empty}", now=NOW).close()
    (tmp_path / "installation").mkdir()
    async with GatewayProgram(tmp_path / "installation", empty) as program:
        yield program


async def send(url, secret):
    for needed in ("curl", "openssl"):
        tool(needed)
    process = await asyncio.create_subprocess_exec(
        EXAMPLES / "webhook.sh",
        url,
        env={**os.environ, "WEBHOOK_SECRET": secret},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, complaints = await process.communicate((EXAMPLES / "webhook.json").read_bytes())
    assert process.returncode == 0, complaints
    return int(said)


async def test_a_signed_webhook_is_taken_and_a_wrong_secret_leaves_nothing(gateway):
    url = f"{gateway.url}/webhooks/gocardless/acme"
    assert await send(url, "wrong") == 401
    assert await gateway.deliveries("gocardless") == []
    assert 200 <= await send(url, "secret-of-acme") < 300
    (delivery,) = await gateway.deliveries("gocardless")
    assert delivery.value == (EXAMPLES / "webhook.json").read_bytes()
    await gateway.translate()
    assert [event.id for event in await gateway.events()] == ["EV0000EXAMPLE01"]


async def test_a_webhook_of_zoho_is_signed_as_zoho_signs(gateway):
    url = f"{gateway.url}/webhooks/zoho/acme"
    assert await send(url, "wrong") == 401
    assert 200 <= await send(url, "secret-of-acme") < 300


# --- the consumer in JavaScript ---


@pytest.fixture
def events(log_url, tmp_path):
    """The words of a command that prints the public records of a log."""
    settings = tmp_path / "settings.toml"
    settings.write_text(f'log = "{log_url}"\nstore = "sqlite:///{tmp_path}/store.db"\npartitions = 2\n')
    words = ["-m", "streams.cli", "events", "--topic", "reconciled-payments", "--from", "0", "--json"]
    return [sys.executable, *words, "--config", str(settings)]


def test_the_consumer_in_javascript_prints_the_newest_of_each_payment(events):
    node = [tool("node"), str(EXAMPLES / "consumer.mjs")]
    shown = subprocess.run(events, capture_output=True, check=True, timeout=60).stdout
    told = subprocess.run(node, input=shown * 2, capture_output=True, check=True, timeout=60).stdout.decode()
    assert sorted(told.splitlines()) == [
        "INV-0001 collected 1200 GBP",
        "INV-0001 reconciled 1200 GBP",
        "INV-0002 collected 2400 GBP",
    ]


def test_the_consumer_in_javascript_follows(events):
    node = [tool("node"), str(EXAMPLES / "consumer.mjs")]
    with (
        subprocess.Popen([*events, "--follow"], stdout=subprocess.PIPE) as following,
        subprocess.Popen(node, stdin=following.stdout, stdout=subprocess.PIPE) as consumer,
    ):
        told = [consumer.stdout.readline().decode().split()[0] for _ in range(3)]
        following.send_signal(signal.SIGINT)
        consumer.wait(60)
        following.wait(60)
    assert sorted(told) == ["INV-0001", "INV-0001", "INV-0002"]


def test_the_consumer_in_javascript_says_what_went_wrong():
    failed = b'{"ok":false,"command":"events","data":null,"error":{"code":"c","what":"w","where":"x","remedy":"r"}}\n'
    node = [tool("node"), str(EXAMPLES / "consumer.mjs")]
    ran = subprocess.run(node, input=failed, capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (1, b"c: w; at x; r\n")


# --- the books in SQL ---


def statements():
    """The statements of the file, without its comments."""
    lines = [line for line in (EXAMPLES / "month.sql").read_text().splitlines() if not line.startswith("--")]
    found = [part.strip() for part in "\n".join(lines).split(";")]
    assert found.pop() == ""
    assert len(found) == 3
    return found


def test_the_books_of_each_month_are_those_of_the_ledger(tmp_path):
    with tarfile.open(LEFT_BEHIND) as packed:
        packed.extractall(tmp_path, [one for one in packed if one.name.startswith("stopped/")], filter="data")
    path = tmp_path / "stopped" / "store.db"
    with closing(sqlite3.connect(path)) as reader, open_store(f"sqlite:///{path}", now=NOW) as store:
        months, payouts, items = (reader.execute(one).fetchall() for one in statements())
        (connection,) = {row[0] for row in months}
        balances = {row.id: row.amount_minor for row in Queries(store).balances(connection)}
    if (shell := shutil.which("sqlite3")) is not None:
        with (EXAMPLES / "month.sql").open() as script:
            words = [shell, "-readonly", str(path)]
            shown = subprocess.run(words, stdin=script, capture_output=True, text=True, check=True, timeout=60).stdout
        assert len(shown.splitlines()) == len(months) + len(payouts) + len(items)
    at_the_end = {f"{account}:{currency}": balance for _, _, currency, account, _, balance in months}
    assert len(at_the_end) > 4
    assert {name: sum_ for name, sum_ in at_the_end.items() if sum_} == {n: a for n, a in balances.items() if a}
    sums = defaultdict(int)
    for _, month, currency, _, moved, _ in months:
        sums[month, currency] += moved
    assert set(sums.values()) == {0}
    posted = [row for row in payouts if row[8] == "reconciled"]
    assert posted
    assert all(gross - fee == net for _, _, _, _, gross, fee, _, net, _ in posted)
    clearing = defaultdict(int)
    for _, currency, _, _, amount in items:
        clearing[f"clearing:{currency}"] += amount
    assert {name: amount for name, amount in balances.items() if name.startswith("clearing:") and amount} == {
        name: amount for name, amount in clearing.items() if amount
    }


def test_postgresql_takes_the_same_statements(postgres_url):
    open_store(postgres_url, now=NOW).close()
    url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as reader:
        reader.read_only = True
        assert [reader.execute(one).fetchall() for one in statements()] == [[], [], []]


# --- the settings ---


def test_the_settings_are_settings_and_state_every_rule():
    settings = load(EXAMPLES / "settings.toml", {})
    assert {name: one.environment for name, one in settings.connections.items()} == {"trial": "sandbox", "acme": "live"}
    rules, defaults = settings.connections["acme"].rules, Rules()
    text = (EXAMPLES / "settings.toml").read_text()
    for field in msgspec.structs.fields(Rules):
        assert f"\n{field.name} = " in text, field.name
        if field.name not in {"match_by_email", "send_hour"}:
            assert getattr(rules, field.name) != getattr(defaults, field.name), field.name


def test_every_example_is_told_of_and_tested(document):
    told = document("examples/README.md")
    tests = Path(__file__).read_text() + (ROOT / "tests" / "month" / "test_documents.py").read_text()
    for path in EXAMPLES.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"({path.name})" in told
            assert f'"{path.name}"' in tests
