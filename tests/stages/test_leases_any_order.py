"""Two executors over one store, whatever becomes of them and of their calls: everything is sent, and once."""

import asyncio
import random

import orjson
import pytest

from adapters.errors import TransportError
from domain.state import Payout
from streams.settings import Calls
from streams.stages.executor import Executor
from tests.support.api_rows import NO_TRANSFERS
from tests.support.installation import answer

CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=100, lookup_again_s=60)
TRANSFER = {"transaction_type": "transfer_fund", "amount": 50.00, "currency_code": "GBP"}


class Api:
    """Zoho Books' transfers: what was made, and calls that hang until they are let go."""

    def __init__(self, draw):
        self.draw = draw
        self.made = []
        self.hanging = {}

    def of(self, owner):
        async def send(call, deadline_s):
            if call.method == "GET":
                return await self._maybe(owner, lambda: answer(200, {**NO_TRANSFERS, "banktransactions": self.made}))
            mark = orjson.loads(call.body)["description"]
            return await self._maybe(owner, lambda: self._make(mark))

        return send

    def _make(self, mark):
        self.made.append({**TRANSFER, "transaction_id": f"T{len(self.made)}", "description": mark})
        return answer(201, {"code": 0, "banktransaction": self.made[-1]})

    async def _maybe(self, owner, act):
        fate = self.draw.choice(["answers", "answers", "refused", "fails after", "hangs after", "hangs before"])
        if fate == "refused":
            raise TransportError("refused", sent=False)
        if fate == "hangs before":
            await self._hang(owner)
            raise TransportError("deadline", sent=False)  # as the client does when it is let go after its deadline
        found = act()
        if fate == "fails after":
            raise TransportError("reset", sent=True)
        if fate == "hangs after":
            await self._hang(owner)
        return found

    async def _hang(self, owner):
        release = asyncio.Event()
        self.hanging.setdefault(owner, []).append(release)
        await release.wait()

    def let_go(self, owner):
        for release in self.hanging.pop(owner, []):
            release.set()


class Player:
    """An executor, under an owner's name, whose calls may hang, and which may die."""

    def __init__(self, company, owner, api):
        self.company = company
        self.owner = owner
        self.api = api
        access = company.access("zoho", api.of(owner), owner=owner, calls=CALLS)
        self.executor = Executor(company.context, "zoho", {"acme": access}, CALLS, draw=lambda: 0.0)

    async def turn(self):
        await self.executor.turn()
        await self.settle()

    async def settle(self):
        """Until each call of this process has ended or hangs."""
        while len(self.executor._tasks) > len(self.api.hanging.get(self.owner, [])):
            await asyncio.wait(self.executor._tasks, timeout=0.005)

    async def die(self):
        self.api.hanging.pop(self.owner, None)
        tasks = list(self.executor._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", [5, 6, 7])
async def test_two_executors_and_whatever_becomes_of_them_send_everything_once(company, beside, seed):
    draw = random.Random(seed)
    api = Api(draw)
    names = [f"cm-{number}" for number in range(8)]
    other = await beside()
    players = [Player(company, "one", api), Player(other, "two", api)]
    await company.ask(rows=[("payouts", Payout("PO1"))])
    owners = set()
    waiting, deaths = list(names), 0
    for _ in range(120):
        if waiting and draw.random() < 0.2:
            await company.ask(company.transfer(waiting.pop()))
        place = draw.randrange(2)
        what = draw.random()
        if what < 0.05:
            await players[place].die()
            deaths += 1
            players[place] = Player(players[place].company, f"{players[place].owner}'", api)
        elif what < 0.2:
            api.let_go(players[place].owner)
            await players[place].settle()
        elif what < 0.5:
            company.clock.move(draw.choice([1, 7, 31, 61]))
        else:
            await players[place].turn()
        with company.store.read() as reader:
            owners |= {owner for (owner,) in reader.exec_driver_sql("SELECT owner FROM leases")}
    for name in waiting:
        await company.ask(company.transfer(name))
    draw.choice = lambda _fates: "answers"
    for _ in range(40):
        for player in players:
            api.let_go(player.owner)
            await player.turn()
        company.clock.move(31)
    marks = sorted(one["description"] for one in api.made)
    assert len(marks) == len(set(marks)) == len(names), "each was made once"
    await company.translate()
    await company.decide()
    assert {company.queue.get("acme", name).state for name in names} == {"done"}
    assert len(owners) > 2
    assert deaths
