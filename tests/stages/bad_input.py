"""What the cases of `docs/bad-input.md` stand on: an installation, and the ways in which bad input reaches it."""

import orjson

from adapters.errors import TransportError
from domain import commands
from streams.settings import Calls
from streams.stages.executor import Executor
from tests.support.api_rows import invoice_in_part

NOW = "2026-03-02T09:00:00.000Z"
CALLS = Calls(deadline_s=5.0, park_after=3)
INVOICE = invoice_in_part("910000000042001", "INV-0042")

CASES = {}


def case(run):
    """A case of the table, by its name."""
    CASES[run.__name__.replace("_", "-")] = run
    return run


class Bench:
    """What the cases have at hand."""

    def __init__(self, company, again, monkeypatch, fixture, row):
        self.company = company
        self.again = again
        self.monkeypatch = monkeypatch
        self.fixture = fixture
        """Gives a fixture by its name: servers, for the cases that need them."""
        self.row = row
        """Gives what the document says happens in a case."""

    async def still_works(self):
        """After whatever came in, a good webhook goes all the way: nothing was stopped."""
        self.monkeypatch.undo()
        good = orjson.dumps({"events": [gc_row("EV-good", payment="PM-good")]})
        assert await self.company.hook(good, "secret-of-birch", "birch") == 204
        await self.company.translate()
        await self.company.decide()
        assert "PM-good" in self.company.state("payments", "birch")

    # --- the gateway

    def refusals(self, reason):
        return self.company.count("refused_webhooks", api="gocardless", reason=reason)

    async def refused(self, reason, status, expected):
        assert status == expected
        assert self.refusals(reason) == 1
        assert await self.company.deliveries("gocardless") == []
        return "refused"

    # --- deliveries

    async def webhook(self, body, **more):
        """Take a signed webhook through gateway, translate and core; the events that came out."""
        company = self.company
        send = company.zoho_hook if more.pop("zoho", False) else company.hook
        assert await send(body if isinstance(body, bytes) else orjson.dumps(body), **more) in (200, 204)
        await company.translate()
        await company.decide()
        return await company.events()

    async def delivery(self, body, **meta):
        """The same for a page or an answer."""
        company = self.company
        await company.context.append([company.webhook(body if isinstance(body, bytes) else orjson.dumps(body), **meta)])
        await company.translate()
        await company.decide()
        return await company.events()

    def parked(self, found, *, others=(), where=None, reason=""):
        """One piece is parked, named and shown; the rest came out."""
        pieces = [event for event in found if event.type == "delivery.parked"]
        assert len(pieces) == 1
        assert where is None or pieces[0].data.where == where
        assert reason in pieces[0].data.reason
        assert [event.id for event in found if event.type != "delivery.parked"] == list(others)
        assert "delivery_parked" in self.company.discrepancies()
        assert self.company.count("parked_pieces") == 1
        return "parked"

    # --- answers

    async def executed(self, api, command, *answers, rows=()):
        """Send a command; the API's first answer is the bad one."""
        company = self.company
        await company.ask(command, rows=rows)
        send = company.script(*answers)
        executor = Executor(
            company.context, api, {"acme": company.access(api, send, calls=CALLS)}, CALLS, draw=lambda: 0.0
        )
        await executor.turn()
        await executor.drain()
        await company.translate()
        await company.decide()
        return executor, send

    async def outcome(self):
        found = [event.data for event in await self.company.events() if event.type == "command.outcome"]
        assert len(found) <= 1
        return found[0] if found else None

    async def looked_up(self, api, command, bad, rows=()):
        """After this answer the next thing asked is a search."""
        executor, send = await self.executed(api, command, bad, TransportError("refused", sent=False), rows=rows)
        assert self.company.queue.get("acme", command.id).state == "unknown"
        assert await self.outcome() is None
        self.company.clock.move(1)
        await executor.turn()
        await executor.drain()
        assert [call.method for call in send.calls] == ["POST", "GET"]
        return "looked up"

    async def stopped(self, command, body, *, status=200, rows=(), code):
        """The command ended, is not sent again, and a person is told."""
        executor, send = await self.executed("gocardless", command, self.company.answer(status, body), rows=rows)
        outcome = await self.outcome()
        assert outcome.kind == "refused"
        assert code in self.company.discrepancies()
        self.company.clock.move(86_400)
        await executor.turn()
        assert len(send.calls) == 1
        return "stopped"


def gc_row(id_, resource="payments", action="created", **links):
    return {"id": id_, "created_at": NOW, "resource_type": resource, "action": action, "links": links}


def read_payment():
    return commands.Command("cm-read", "payments:PM1", "read_payment:PM1", commands.ReadPayment("PM1"))
