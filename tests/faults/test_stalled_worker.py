"""A worker whose consumer has its partitions and fetches nothing ends itself; started again it goes on where it was."""

import signal
import time

import pytest

from tests.support.kafka_site import measured

pytestmark = pytest.mark.timeout(180)


async def test_a_worker_that_fetches_nothing_any_more_ends_with_70_and_goes_on_when_it_is_started_again(settle_at):
    async with settle_at() as site:
        worker = await site.start("worker", stalls=True)
        first = [f"EV{number}" for number in range(5)]
        await site.context.tell(*(site.seen(one.replace("EV", "PM"), id_=one) for one in first))
        await site.decided(first)
        worker.send(signal.SIGUSR1)
        then = [f"EV{number}" for number in range(5, 10)]
        await site.context.tell(*(site.seen(one.replace("EV", "PM"), id_=one) for one in then))
        began_s = time.monotonic()
        assert await worker.ended() == 70, worker.said
        measured("ended after, s", round(time.monotonic() - began_s, 2))
        assert "nothing was fetched for" in worker.said
        assert set(await site.decisions()) == set(first)
        worker = await site.start("worker", "started-again")
        await site.decided(then)
        assert sorted(await site.decisions()) == sorted([*first, *then])
        assert await worker.stop() == 0
