"""The poller over a real store and log, with scripted pages: only what is new, and never a page skipped."""

import msgspec
import orjson
import pytest

from adapters.errors import CredentialError, TransportError
from domain import commands
from projections.work.halts import Halts
from projections.work.polls import Polls
from streams.log.interface import LogUnavailable
from streams.settings import Calls, Polling
from streams.stages.poller import KINDS, Poller
from tests.support.installation import Script, answer

NOW = "2026-03-02T09:00:00.000Z"
CALLS = Calls(deadline_s=5.0)


def customer(number, email="a@example.test"):
    return {"id": f"CU{number}", "created_at": NOW, "email": email}


def gc_event(number):
    return {
        "id": f"EV{number}",
        "created_at": NOW,
        "resource_type": "payments",
        "action": "created",
        "links": {"payment": f"PM{number}"},
    }


def page(name, *rows, after=None):
    return {name: list(rows), "meta": {"cursors": {"after": after}}}


def zoho_page(name, *rows, number=1, more=False):
    return {"code": 0, "message": "success", name: list(rows), "page_context": {"page": number, "has_more_page": more}}


def contact(number, name="Rosehip"):
    return {
        "contact_id": f"{number}",
        "contact_name": name,
        "contact_type": "customer",
        "status": "active",
        "last_modified_time": "2026-03-01T09:00:00+0000",
    }


EMPTY = [page("customers"), page("mandates"), page("events")]


class Round:
    """A poller of one API for one connection, and its scripted API."""

    def __init__(self, company, api, send):
        self.company = company
        self.send = send
        self.access = company.access(api, send, calls=CALLS)
        self.poller = Poller(company.context, api, {"acme": self.access}, Polling(), CALLS)
        self.api = api

    async def turn(self):
        return await self.poller.turn()

    def hurry(self):
        """Every list is due."""
        polls = Polls(self.company.store)
        for kind in KINDS[self.api]:
            polls.save(msgspec.structs.replace(polls.get("acme", kind), due_at=""))

    def poll(self, kind):
        return Polls(self.company.store).get("acme", f"{self.api}.{kind}")

    async def metas(self):
        return [
            (orjson.loads(dict(record.headers)["meta"]), record.value)
            for record in await self.company.deliveries(self.api)
        ]


@pytest.fixture
def walk(company):
    """Makes a round whose API gives these pages in turn (a dict: 200)."""

    def make(api, *answers):
        return Round(company, api, Script(*(answer(200, one) if isinstance(one, dict) else one for one in answers)))

    return make


async def shown(company):
    """The events that lists gave, but for what says that one was read to its end."""
    return [event for event in await company.events() if event.type != "poll.head_reached"]


async def types(company):
    await company.translate()
    return [event.type for event in await shown(company)]


async def test_every_list_is_walked_to_its_end_and_due_again_later(company, walk):
    walks = walk(
        "gocardless",
        page("customers", customer(1), after="CU1"),
        page("customers", customer(2)),
        page("mandates"),
        page("events", gc_event(1)),
    )
    assert await walks.turn() == "2026-03-02T12:00:00.000Z"
    assert [(call.path, call.query.get("after")) for call in walks.send.calls] == [
        ("/customers", None),
        ("/customers", "CU1"),
        ("/mandates", None),
        ("/events", None),
    ]
    assert await types(company) == ["gocardless.payer_read", "gocardless.payer_read", "gocardless.payments.created"]
    shown = [(meta["page"]["kind"], meta["page"]["page"], meta["page"]["complete"]) for meta, _ in await walks.metas()]
    assert shown == [
        ("gocardless.customers", 1, False),
        ("gocardless.customers", 2, True),
        ("gocardless.mandates", 1, True),
        ("gocardless.events", 1, True),
    ]
    assert (walks.poll("customers").cursor, walks.poll("customers").head_at) == (NOW, NOW)
    assert company.count("polls", kind="gocardless.customers") == 1


async def test_before_it_is_due_nothing_is_asked_and_then_since_the_last_walk(company, walk):
    walks = walk("gocardless", *EMPTY, page("events"))
    await walks.turn()
    await walks.turn()
    assert len(walks.send.calls) == 3
    company.clock.move(Polling().gocardless_events_s)
    await walks.turn()
    assert walks.send.calls[-1].path == "/events"
    assert walks.send.calls[-1].query["created_at[gte]"] == "2026-03-02T08:30:00.000Z", (
        "the last walk, less the overlap"
    )


async def test_rows_that_look_as_before_are_left_out_and_changed_ones_are_not(company, walk):
    walks = walk("gocardless", page("customers", customer(1), customer(2)), *EMPTY[1:])
    await walks.turn()
    company.clock.move(86_400)
    walks.send.answers = []
    changed = walk(
        "gocardless", page("customers", customer(1), customer(2, "new@example.test"), customer(3)), *EMPTY[1:]
    )
    changed.hurry()
    await changed.turn()
    meta, body = [found for found in await changed.metas() if found[0]["page"]["kind"] == "gocardless.customers"][-1]
    assert meta["page"]["fresh"] == [1, 2]
    assert len(orjson.loads(body)["customers"]) == 3, "a page is kept whole"
    await company.translate()
    assert [event.data.id for event in await company.events() if event.type == "gocardless.payer_read"] == [
        "CU1",
        "CU2",
        "CU2",
        "CU3",
    ]


async def test_a_page_with_nothing_new_is_kept_as_its_digest(company, walk):
    first = walk("gocardless", page("customers", customer(1)), *EMPTY[1:])
    await first.turn()
    company.clock.move(60)
    second = walk("gocardless", page("customers", {**customer(1), "a_new_field": "that we do not read"}), *EMPTY[1:])
    second.hurry()
    await second.turn()
    (before, _), (after, body) = [
        found for found in await second.metas() if found[0]["page"]["kind"] == "gocardless.customers"
    ]
    assert "same_as" not in before
    assert after["same_as"]
    assert body == b""
    assert (await types(company)).count("gocardless.payer_read") == 1


async def test_that_a_list_was_read_to_its_end_is_told_until_the_rules_know_it(company, walk):
    """Also by a page that is kept as its digest, since it is equal to the last one; and of the lists on which "unique"
    rests only.
    """
    pages = (
        page("customers", customer(1), after="CU1"),
        page("customers", customer(2)),
        page("mandates"),
        page("events"),
    )
    for turn in range(3):
        walks = walk("gocardless", *pages)
        walks.hurry()
        await walks.turn()
        await company.translate()
        told = [event.data.kind for event in await company.events() if event.type == "poll.head_reached"]
        assert told == ["gocardless.customers", "gocardless.mandates"] * min(turn + 1, 2)
        if turn == 1:
            await company.decide()
        company.clock.move(86_400)
    own = company.state("connections")["acme"]
    assert own.heads == {"gocardless.customers": NOW, "gocardless.mandates": NOW}, "the first time counts"


async def test_a_walk_that_does_not_come_to_its_end_tells_of_none(company, walk):
    walks = walk(
        "gocardless",
        page("customers", customer(1), after="CU1"),
        TransportError("reset", sent=True),
        page("mandates"),
        page("events"),
    )
    await walks.turn()
    await company.translate()
    assert [event.data.kind for event in await company.events() if event.type == "poll.head_reached"] == [
        "gocardless.mandates"
    ]


async def test_events_that_the_core_has_had_by_webhook_are_not_brought_again(company, walk):
    await company.context.append([company.webhook(orjson.dumps({"events": [gc_event(1)]}))])
    await company.translate()
    await company.decide()
    walks = walk("gocardless", page("customers"), page("mandates"), page("events", gc_event(2), gc_event(1)))
    await walks.turn()
    await company.translate()
    assert [event.id for event in await shown(company)] == ["EV1", "EV2"]


@pytest.mark.parametrize(
    "broken",
    [
        TransportError("reset", sent=True),
        (500, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"customers":[]}'),
    ],
)
async def test_a_walk_that_is_cut_short_comes_again_soon_from_the_same_cursor(company, walk, broken):
    cut = answer(*broken) if isinstance(broken, tuple) else broken
    walks = walk("gocardless", page("customers", customer(1), after="CU1"), cut, page("mandates"), page("events"))
    assert await walks.turn() == "2026-03-02T09:01:00.000Z"
    poll = walks.poll("customers")
    assert (poll.cursor, poll.head_at, poll.due_at) == ("", "", "2026-03-02T09:01:00.000Z")
    assert walks.poll("mandates").head_at == NOW, "the other lists go on"
    company.clock.move(60)
    again = walk("gocardless", page("customers", customer(1), after="CU1"), page("customers", customer(2)))
    await again.turn()
    assert again.poll("customers").cursor == "2026-03-02T09:01:00.000Z"
    await company.translate()
    assert [event.data.id for event in await shown(company)] == ["CU1", "CU2"], (
        "what was delivered before the cut is not new again"
    )


async def test_refused_credentials_end_the_round_and_the_lists_stay_due(company, walk):
    walks = walk("gocardless", CredentialError("revoked"), *EMPTY)
    assert await walks.turn() == "2026-03-02T09:01:00.000Z"
    assert len(walks.send.calls) == 1
    assert walks.poll("customers").due_at == ""
    company.clock.move(59)
    assert await walks.turn() == "2026-03-02T09:01:00.000Z"
    assert len(walks.send.calls) == 1
    company.clock.move(1)
    await walks.turn()
    assert len(walks.send.calls) == 4
    assert walks.poll("customers").head_at == "2026-03-02T09:01:00.000Z"


async def test_a_429_closes_the_api(company, walk):
    walks = walk("gocardless", answer(429, {"error": {"code": 429}}))
    assert await walks.turn() == "2026-03-02T09:01:00.000Z"
    assert len(walks.send.calls) == 1
    assert walks.access.may_go(commands.PRIORITY_DEBIT) == "2026-03-02T09:01:00.000Z"


async def test_the_cursor_moves_only_when_the_page_is_durable(company, walk, monkeypatch):
    async def refusing(records, *, positions=None):
        raise LogUnavailable("no", "here", "try again")

    append = company.log.append
    monkeypatch.setattr(company.log, "append", refusing)
    with pytest.raises(LogUnavailable):
        await walk("gocardless", page("customers", customer(1))).turn()
    monkeypatch.setattr(company.log, "append", append)
    walks = walk("gocardless", page("customers", customer(1)), *EMPTY[1:])
    assert walks.poll("customers").cursor == ""
    await walks.turn()
    assert await types(company) == ["gocardless.payer_read"], "the row's digest was not remembered either"


async def test_a_row_that_cannot_be_read_spoils_no_other(company, walk):
    walks = walk("gocardless", page("customers", {"id": "../etc", "created_at": NOW}, customer(2)), *EMPTY[1:])
    await walks.turn()
    assert sorted(await types(company)) == ["delivery.parked", "gocardless.payer_read"]


@pytest.mark.parametrize("where", ["contact_name", "Rosehip", "anything"])
async def test_a_row_of_which_any_part_was_damaged_comes_out_when_it_is_whole_again(company, walk, where):
    """Also where the damage lies in what we do not read of it: what the translator parks was not delivered."""
    currencies = zoho_page("currencies", {"currency_code": "GBP", "is_base_currency": True, "exchange_rate": 0})
    whole = zoho_page("contacts", {**contact(1), "anything": "else"})
    damaged = orjson.dumps(whole).replace(where.encode(), where[:-1].encode() + b"\xff")
    walks = walk("zoho", currencies, answer(200, damaged), zoho_page("invoices"))
    await walks.turn()
    again = walk("zoho", currencies, whole, zoho_page("invoices"))
    again.hurry()
    await again.turn()
    assert "zoho.contact_seen" in await types(company)


async def test_zohos_pages_are_walked_and_changes_come_out(company, walk):
    currencies = zoho_page("currencies", {"currency_code": "GBP", "is_base_currency": True, "exchange_rate": 0})
    walks = walk(
        "zoho",
        currencies,
        zoho_page("contacts", *(contact(n) for n in range(200)), more=True),
        zoho_page("contacts", contact(200), number=2),
        zoho_page("invoices"),
    )
    await walks.turn()
    assert [(call.path, call.query["page"]) for call in walks.send.calls] == [
        ("/settings/currencies", "1"),
        ("/contacts", "1"),
        ("/contacts", "2"),
        ("/invoices", "1"),
    ]
    found = await types(company)
    assert found.count("zoho.contact_seen") == 201
    assert found[0] == "zoho.currencies_read"


async def test_executors_that_wait_for_a_full_walk_are_released_by_it(company, walk):
    await company.ask(company.read_invoice("inv-1"))
    company.clock.move(1)
    walks = walk("gocardless", *EMPTY)
    await walks.turn()
    company.clock.move(1)
    with company.store.write() as writer:
        company.store.require_catch_up(writer, "restored", company.clock.now())
    woken = []
    company.wakeups.wake = woken.append
    standing = Halts(company.store)
    # The walk before the standstill does not count, so every list is walked at once; nor does a walk that is cut short.
    walks.send.answers = [answer(200, one) for one in (*EMPTY[:2], {"no": "page"})]
    await walks.turn()
    assert {one.api for one in standing.catch_ups()} == {"gocardless", "zoho"}
    await walks.turn()  # not again before its short wait is over: there is no further answer to give
    company.clock.move(60)
    walks.send.answers = [answer(200, EMPTY[2])]
    await walks.turn()
    assert {one.api for one in standing.catch_ups()} == {"zoho"}
    assert woken == ["executor.gocardless"]


async def test_sweeps_leave_the_budget_to_what_matters_more(company, walk):
    walks = walk("gocardless", *EMPTY)
    for _ in range(60):
        walks.access.begin(commands.PRIORITY_DEBIT)
        walks.access.in_flight = 0
    due = await walks.turn()
    assert walks.send.calls == []
    assert walks.poll("customers").due_at == due > NOW


async def test_without_the_lease_nothing_is_asked(company):
    from projections.work.leases import Leases

    Leases(company.store).acquire("acme", "zoho", "another process", company.clock.now(), 60)
    poller = Poller(company.context, "zoho", {"acme": company.access("zoho", Script(), calls=CALLS)}, Polling(), CALLS)
    assert await poller.turn() == "2026-03-02T09:01:00.000Z", "when that lease lapses"


def test_who_is_there_is_read_before_what_they_owe():
    for kinds, first, last in (
        (KINDS["gocardless"], "gocardless.customers", "gocardless.events"),
        (KINDS["zoho"], "zoho.contacts", "zoho.invoices"),
    ):
        assert kinds.index(first) < kinds.index(last)
