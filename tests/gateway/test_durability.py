"""2xx means durable: the process is killed right after it, and right before it, and what is in the log is looked at."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.support import installation

PROCESS = Path(__file__).with_name("process.py")
BODY = orjson.dumps(
    {
        "events": [
            {
                "id": "EV1",
                "created_at": "2026-03-02T09:00:00Z",
                "resource_type": "payments",
                "action": "created",
                "links": {"payment": "PM1"},
            }
        ]
    }
)


class Killable:
    """The gateway in a process of its own."""

    def __init__(self, folder: Path, failpoint: str = ""):
        self.folder = folder
        self.environment = {**os.environ, "ZOHO_GOCARDLESS_FAILPOINT": failpoint}

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROCESS), str(self.folder), stdout=asyncio.subprocess.PIPE, env=self.environment
        )
        async with asyncio.timeout(30):
            self.port = int(await self.process.stdout.readline())
        return self

    async def __aexit__(self, *exc):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def post(self) -> int:
        """The status, 0 when the process died over it."""
        url = f"http://127.0.0.1:{self.port}/webhooks/gocardless/acme"
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(
                    url, data=BODY, headers={"Webhook-Signature": installation.sign("secret-of-acme", BODY)}
                ) as response:
                    return response.status
            except aiohttp.ClientError:
                return 0


@pytest.fixture
def folder(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "store.db")
    return tmp_path


async def test_what_was_acknowledged_is_there_after_a_kill(folder, empty_store):
    async with Killable(folder) as gateway:
        assert await gateway.post() == 204
        gateway.process.kill()
    async with installation.Installation(folder, empty_store) as after:
        (record,) = await after.deliveries("gocardless")
        assert record.value == BODY
        await after.translate()
        assert [event.id for event in await after.events()] == ["EV1"]


async def test_a_death_before_the_append_acknowledges_nothing_and_keeps_nothing(folder, empty_store):
    async with Killable(folder, "gateway.before_append") as gateway:
        assert await gateway.post() == 0
    async with installation.Installation(folder, empty_store) as after:
        assert await after.deliveries("gocardless") == []


async def test_a_death_between_append_and_answer_is_repaired_by_the_sender_who_comes_again(folder, empty_store):
    async with Killable(folder, "gateway.after_append") as gateway:
        assert await gateway.post() == 0
    async with Killable(folder) as gateway:
        assert await gateway.post() == 204
    async with installation.Installation(folder, empty_store) as after:
        assert [record.value for record in await after.deliveries("gocardless")] == [BODY, BODY]
        await after.translate()
        await after.decide()
        assert [row.type for row in after.state("commands").values()] == ["gocardless.read_payment"]
