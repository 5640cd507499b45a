"""Every role ends when it is asked to, also while the broker is away, and goes on where it was when both are back."""

import asyncio
import signal
import time

import pytest

from tests.support import installation, kafka_site
from tests.support.kafka_site import measured

pytestmark = pytest.mark.timeout(240)

ROLES = ("gateway", "worker", "executor")

#: Less than the thirty seconds that Kubernetes gives.
ENDS_WITHIN_S = 20.0


async def ended(role):
    """Ask it to end; (exit code, seconds)."""
    began_s = time.monotonic()
    role.send(signal.SIGTERM)
    return await role.ended(), time.monotonic() - began_s


@pytest.mark.parametrize("how", ["killed", pytest.param("paused", marks=pytest.mark.soak)])
async def test_a_process_ends_when_it_is_asked_to_while_the_broker_is_away(own_cluster, settle_at, how):
    async with settle_at() as site:
        roles = await asyncio.gather(*(site.start(role) for role in ROLES))
        first = [f"EV1{number}" for number in range(5)]
        await site.context.tell(*(site.seen(one.replace("EV", "PM"), id_=one) for one in first))
        await site.decided(first)
        (own_cluster.kill if how == "killed" else own_cluster.pause)(0)
        try:
            # A call that waits for the log, and a worker that has noticed that it is alone.
            waiting = asyncio.create_task(
                kafka_site.Sender(site, roles[0].url).once("/webhooks/gocardless/acme", *signed())
            )
            await asyncio.sleep(2)
            found = await asyncio.gather(*(ended(role) for role in roles))
            assert await waiting in (0, 503)
        finally:
            await asyncio.to_thread(own_cluster.up if how == "killed" else own_cluster.resume, 0)
        for role, process, (exit_code, seconds) in zip(ROLES, roles, found, strict=True):
            measured(f"{role}, broker {how}, ended after s", round(seconds, 2))
            assert exit_code == 0, (role, await process.last_words(), process.said)
            assert seconds < ENDS_WITHIN_S, role
        await site.start("worker", "started-again")
        then = [f"EV2{number}" for number in range(5)]
        await site.context.tell(*(site.seen(one.replace("EV", "PM"), id_=one) for one in then))
        await site.decided(then)
        assert sorted(await site.decisions()) == sorted([*first, *then])


def signed():
    """Body and headers of a delivery without events."""
    body = b'{"events":[]}'
    return body, {"Webhook-Signature": installation.sign("secret-of-acme", body)}
