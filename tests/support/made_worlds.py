"""A world with a drawn company in both simulators, in process."""

import random

from sandbox.gocardless import gocardless_app
from sandbox.inprocess import InProcess
from sandbox.world import World
from sandbox.zoho import zoho_app
from streams.simulation import company, company_documents


async def nobody(_url, _headers, _body):
    """A way of posting: nobody answers."""


class MadeWorld:
    """`company` and what the simulators made of it; `apps`: API → its application, in process."""

    def __init__(self, seed, **sizes):
        self.company = company.draw(random.Random(f"{seed}/company"), seed=seed, **sizes)
        self.world = World(seed=seed, start=self.company.start, post=nobody)
        self.apps = {"gocardless": InProcess(gocardless_app(self.world)), "zoho": InProcess(zoho_app(self.world))}
        self.made = company_documents.populate(self.world, self.company)

    def live_until(self, when):
        """Let everything happen up to an instant, in order. No webhooks are posted."""
        while (next_at := self.world.next_action_at()) is not None and next_at <= when:
            self.world.move_to(next_at)
        self.world.move_to(when)
