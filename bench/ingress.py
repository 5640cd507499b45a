"""Ingress: signed webhooks of 250 events, acknowledged when durable, beside a bare handler that does only what cannot
be left out.

Ours is the gateway as it is. The bare one reads the body, compares one HMAC and awaits the same append to a log of the
same kind. Each server has a process of its own, so has the client. They take turns for several rounds; each round gives
one ratio, of two runs one after the other, so that what else the machine does weighs on both; the medians are shown.
Aim: 0.8 of the bare one. Run: `python bench/ingress.py [--rounds 9] [--seconds 1]`.
"""

import argparse
import asyncio
import hmac
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop
from _child import Child
from aiohttp import ClientSession, TCPConnector, web

from adapters.clock import SystemClock
from adapters.vault import Keyring, Vault, new_key
from projections.store.store import open_store
from streams.credentials import Credentials
from streams.log.engines import open_log
from streams.log.interface import Log, NewRecord
from streams.log.topics import Topics
from streams.settings import Connection, Zoho
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.gateway import MAX_BODY_BYTES, Gateway, runner
from streams.stages.metrics import Metrics

AIM: Final = 0.8
CONCURRENCY: Final = (1, 16, 64)
EVENTS: Final = 250  # GoCardless's most in one body
BODIES: Final = 32  # different ones, so that nothing can be remembered
SECRET: Final = b"bench-secret"
PATH: Final = "/webhooks/gocardless/acme"
TOPICS: Final = Topics("", 2)


def body(number: int) -> bytes:
    """A webhook as large as they come, with ids of its own."""
    rows = [
        {
            "id": f"EV{number:06d}{place:06d}",
            "created_at": "2026-03-02T09:00:00.000Z",
            "resource_type": "payments",
            "action": "confirmed",
            "links": {"payment": f"PM{number * 7919 + place:012d}"},
            "details": {
                "origin": "gocardless",
                "cause": "payment_confirmed",
                "description": "Enough time has passed since the payment was submitted for the banks to return an"
                " error; it is confirmed.",
            },
            "metadata": {},
            "resource_metadata": {"zoho_invoice_id": f"4600000000{number * 104_729 + place:08d}"},
            "organisation_id": "OR000000000001",
        }
        for place in range(EVENTS)
    ]
    return json.dumps({"events": rows, "meta": {"webhook_id": f"WB{number:010d}"}}, separators=(",", ":")).encode()


# --- the two servers --------------------------------------------------------------------------------------------------


async def ours(log: Log, folder: Path, topics: Topics = TOPICS) -> web.AppRunner:
    """The gateway over its real parts."""
    store = open_store(f"sqlite:///{folder}/store.db")
    credentials = Credentials(store, Vault(Keyring.from_text(new_key("k1"))))
    credentials.put("acme", "gocardless.webhook.main", SECRET)
    credentials.reload()
    clock = SystemClock()
    connections = {"acme": Connection(environment="sandbox", zoho=Zoho(organization_id="1"))}
    context = StageContext(log, topics, store, clock, Wakeups(Activity(clock)), Metrics(), connections)
    return runner(Gateway(context, credentials).routes())


async def bare(log: Log) -> web.AppRunner:
    """No more than reading, one HMAC and the append."""
    topic = TOPICS.deliveries_gocardless.name
    return handler(lambda content: log.append([NewRecord(topic, b"acme", content)]))


def handler(append: Callable[[bytes], Awaitable[object]]) -> web.AppRunner:
    """Reads, compares one HMAC, and answers when `append` has ended."""

    async def handle(request: web.Request) -> web.Response:
        content = await request.read()
        signature = hmac.new(SECRET, content, "sha256").hexdigest()
        if not hmac.compare_digest(signature, request.headers.get("Webhook-Signature", "")):
            return web.Response(status=401)
        await append(content)
        return web.Response(status=204)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes([web.post(PATH, handle)])
    return web.AppRunner(app, access_log=None)


async def serve(kind: str) -> None:
    """One of the two, over a log of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_log(f"sqlite://{folder}/log.db") as log:
            await log.ensure_topics(TOPICS)
            await answer(await (ours(log, Path(folder)) if kind == "ours" else bare(log)))


async def answer(serving: web.AppRunner) -> None:
    """Say the address, serve until the input ends."""
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{serving.addresses[0][1]}{PATH}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await serving.cleanup()


# --- the client -------------------------------------------------------------------------------------------------------


async def load(url: str, concurrency: int, seconds: float, requests: list[tuple[bytes, dict[str, str]]]) -> float:
    """Webhooks acknowledged per second, each worker sending its next when its last is answered."""
    done = 0
    ends_s = time.perf_counter() + seconds

    async def worker(session: ClientSession, number: int) -> None:
        nonlocal done
        while time.perf_counter() < ends_s:
            content, headers = requests[number % len(requests)]
            number += concurrency
            async with session.post(url, data=io.BytesIO(content), headers=headers) as response:
                if response.status != 204:
                    raise RuntimeError(f"answered {response.status}")
            done += 1

    began_s = time.perf_counter()
    async with ClientSession(connector=TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session, number) for number in range(concurrency)))
    return done / (time.perf_counter() - began_s)


async def client() -> None:
    """For each line `url concurrency seconds`, say the rate."""
    contents = [body(number) for number in range(BODIES)]
    requests = [
        (
            content,
            {"Webhook-Signature": hmac.new(SECRET, content, "sha256").hexdigest(), "Content-Type": "application/json"},
        )
        for content in contents
    ]
    while line := await asyncio.to_thread(sys.stdin.readline):
        url, concurrency, seconds = line.split()
        print(await load(url, int(concurrency), float(seconds), requests), flush=True)


# --- the comparison ---------------------------------------------------------------------------------------------------


async def compare(rounds: int, seconds: float, *words: str) -> dict[int, dict[str, list[float]]]:
    """Rates by concurrency and server, one per round. Who goes first changes from round to round. `words`: how the
    servers are started, before the name of each.
    """
    servers = {name: await Child.start(*words, name) for name in ("ours", "bare")}
    urls = {name: await server.says() for name, server in servers.items()}
    sender = await Child.start(__file__, "--client")
    rates: dict[int, dict[str, list[float]]] = {number: {"ours": [], "bare": []} for number in CONCURRENCY}
    for url in urls.values():
        await sender.ask(f"{url} 16 0.5")  # warm
    for number in range(rounds):
        for concurrency in CONCURRENCY:
            for name in ("ours", "bare") if number % 2 else ("bare", "ours"):
                rates[concurrency][name].append(float(await sender.ask(f"{urls[name]} {concurrency} {seconds}")))
    for child in (sender, *servers.values()):
        await child.end()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--serve", choices=("ours", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
    elif options.client:
        uvloop.run(client())
    else:
        show(asyncio.run(compare(options.rounds, options.seconds, __file__, "--serve")), options.rounds)


def show(rates: dict[int, dict[str, list[float]]], rounds: int) -> None:
    median: Callable[[list[float]], float] = statistics.median
    print(
        f"signed webhooks of {EVENTS} events ({len(body(0)) // 1024} KiB), durable before 2xx; medians of {rounds} "
        f"rounds"
    )
    print(f"{'at once':>8} {'ours/s':>9} {'bare/s':>9} {'ratio':>6}")
    worst = 1.0
    for concurrency, of in rates.items():
        ratio = median([one / other for one, other in zip(of["ours"], of["bare"], strict=True)])
        worst = min(worst, ratio)
        print(f"{concurrency:>8} {median(of['ours']):>9.0f} {median(of['bare']):>9.0f} {ratio:>6.2f}")
    print(f"aim {AIM:g}: {'met' if worst >= AIM else 'missed'}")


if __name__ == "__main__":
    main()
