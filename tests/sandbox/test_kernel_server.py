"""The sandbox as it is started: both simulators on one clock, in this process and as a process of its own; and the same
world twice.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.server import SandboxConfig, running_sandbox

HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}
ROOT = Path(__file__).resolve().parents[2]


async def live_a_month(seed: int, receiver_url: str) -> tuple[bytes, list[str]]:
    """Populate, collect, fail, refund and pay out for a month; give the bytes of the state and of all answers."""
    answers = []
    async with running_sandbox(SandboxConfig(seed=seed)) as sandbox, aiohttp.ClientSession() as http:
        url = sandbox.gocardless_url

        async def call(method: str, path: str, document: Any = None, key: str | None = None) -> Any:
            headers = HEADERS | ({} if key is None else {"Idempotency-Key": key})
            json = {} if document is None else {"json": document}
            async with http.request(method, url + path, headers=headers, **json) as answer:
                text = await answer.text()
                answers.append(f"{method} {path} {answer.status} {answer.headers['Date']} {text}")
                return orjson.loads(text)

        settings = {
            "endpoints": [{"url": receiver_url, "secret": "s"}],
            "payment_outcomes": [{"ordinal": 2, "outcome": "late_failure"}],
        }
        await call("POST", "/_sandbox/config", {"gocardless": settings})
        customers = [{"company_name": f"Co {n}", "email": "c@example.com"} for n in range(3)]
        ids = await call("POST", "/_sandbox/gocardless/populate", {"customers": customers})
        asked = await call("POST", "/billing_requests", {"billing_requests": {"mandate_request": {"currency": "EUR"}}})
        links = {"billing_request": asked["billing_requests"]["id"]}
        await call("POST", "/billing_request_flows", {"billing_request_flows": {"links": links}})
        for n, customer in enumerate(ids["customers"]):
            body = {"amount": 1000 + n, "currency": "GBP", "links": {"mandate": customer["mandate"]}}
            await call("POST", "/payments", {"payments": body}, key=f"k{n}")
        for day in ("08", "15", "22", "29"):
            await call("POST", "/_sandbox/clock/run", {"until": f"2026-01-{day}T12:00:00Z", "participants": []})
            assert (await call("GET", "/_sandbox/clock/wait?timeout_s=20"))["idle"]
            await call("GET", "/events?limit=500")
            await call("GET", "/payouts")
        state = await call("GET", "/_sandbox/state")
        assert state["webhooks"]["counts"]["gocardless.delivered"] > 5
        for attempt in state["webhooks"]["attempts"]:
            # The receiver is a real server: its own Date is the only thing that is not the world's.
            attempt["headers"].pop("Date")
        del state["gocardless"]["resources"]["webhooks"]
        answers.pop()
    return orjson.dumps(state), answers


async def test_one_seed_and_one_sequence_of_calls_give_one_world(receiver: Any) -> None:
    first_state, first_answers = await live_a_month(7, receiver.url)
    first_hooks = list(receiver.requests)
    receiver.requests.clear()
    second_state, second_answers = await live_a_month(7, receiver.url)
    assert second_answers == first_answers
    assert second_state == first_state
    assert [body for _, body in receiver.requests] == [body for _, body in first_hooks]
    assert (await live_a_month(8, receiver.url))[1] != first_answers


async def test_both_addresses_share_one_clock() -> None:
    async with running_sandbox(SandboxConfig(seed=1)) as sandbox, aiohttp.ClientSession() as http:
        run = {"until": "2026-01-06T00:00:00Z", "participants": []}
        async with http.post(f"{sandbox.gocardless_url}/_sandbox/clock/run", json=run) as answer:
            assert answer.status == 200
        async with http.get(f"{sandbox.zoho_url}/_sandbox/clock/wait?timeout_s=10") as answer:
            clock = await answer.json()
        assert (clock["now"], clock["idle"]) == ("2026-01-06T00:00:00.000000Z", True)
        async with http.get(f"{sandbox.zoho_url}/_sandbox/state") as answer:
            assert {"gocardless", "zoho", "calls", "webhooks", "faults"} <= set(await answer.json())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_as_a_process_it_says_where_it_is_and_ends_when_told(ending: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox", "--seed", "3", "--start", "2026-03-02T09:00:00Z"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        urls = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        async with aiohttp.ClientSession() as http, http.get(f"{urls['zoho']}/_sandbox/clock") as answer:
            assert (await answer.json())["now"] == "2026-03-02T09:00:00.000000Z"
        process.send_signal(ending)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
