"""The adapter and the simulated Zoho Books, which share no code, talking over a real socket."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest

from adapters.http import HttpTransport
from adapters.verdicts import Done, Follow, Retry
from adapters.zoho import pages, perform
from adapters.zoho.client import Client
from adapters.zoho.oauth import ClientKey, TokenSource, redeem
from adapters.zoho.translate import translate
from domain import commands as c
from domain.times import instant
from sandbox.barrier import Barrier
from sandbox.control import serving
from sandbox.world import World
from sandbox.zoho.app import zoho_app
from tests.support import zoho_records as z

START = {
    "organization": {"currency_code": "GBP", "time_zone": "Europe/London"},
    "accounts": [
        {"key": "clearing", "name": "GoCardless Clearing GBP", "type": "bank", "currency_code": "GBP"},
        {"key": "bank", "name": "Current account", "type": "bank", "currency_code": "GBP"},
        {"key": "fees", "name": "GoCardless fees", "type": "expense"},
    ],
    "custom_fields": [
        {"module": "payment", "api_name": "cf_gocardless_key", "unique": True},
        {"module": "expenses", "api_name": "cf_gocardless_key", "unique": True},
    ],
    "currencies": {"EUR": "0.86"},
    "contacts": [{"contact_name": "Rosehip Bakery", "email": "accounts@rosehip.example"}],
    "invoices": [
        {"contact": 0, "line_items": [{"name": "Bread", "rate": "19.90", "quantity": 1}]},
        {"contact": 0, "line_items": [{"name": "Cake", "rate": "50.00", "quantity": 2}]},
    ],
}


class Memory:
    """A token store in memory."""

    def __init__(self, state):
        self.state = state

    async def load(self):
        return self.state

    async def save(self, state):
        self.state = state

    def lock(self):
        return asyncio.Lock()


@pytest.fixture
async def rig():
    world = World(seed=7)

    def now():
        return instant(world.now)

    async with (
        serving(world, Barrier(world), {"zoho": zoho_app(world)}, host="127.0.0.1", ports={"zoho": 0}) as urls,
        aiohttp.ClientSession() as control,
        HttpTransport() as transport,
    ):
        url = urls["zoho"]
        async with control.post(f"{url}/_sandbox/zoho/populate", json=START) as answer:
            assert answer.status == 200, await answer.text()
            made = await answer.json()
        async with control.post(f"{url}/_sandbox/zoho/grant", json={}) as answer:
            grant = await answer.json()
        key = ClientKey(grant["client_id"], grant["client_secret"])
        state = await redeem(transport, key, url, grant["code"], now, sandbox=True)
        client = Client(
            transport, TokenSource(transport, key, Memory(state), now, sandbox=True), made["organization_id"]
        )

        async def perform_it(data, step="send"):
            """Sends a command, or looks it up, following to the end; the last verdict and everything translated on the
            way.
            """
            command = z.command(data)
            call = perform.send_call(command) if step == "send" else perform.look_up_call(command)
            events = []
            while True:
                answer = await client.send(call, deadline_s=5)
                found = translate(z.answer_meta(data, call, answer.status, step), answer.body, made["organization_id"])
                assert found.parked == []
                events += found.events
                verdict = perform.verdict(command, step, call, answer)
                if not isinstance(verdict, Follow):
                    return verdict, events
                call, step = verdict.call, "follow"

        yield SimpleNamespace(client=client, made=made, do=perform_it, keys=made["keys"], world=world)


def payment(rig, value="sandbox:PM01:1"):
    return c.CreateCustomerPayment(
        customer=rig.made["contacts"][0],
        amount_minor=1990,
        currency="GBP",
        date="2026-01-05",
        account=rig.keys["clearing"],
        reference="PM01",
        unique_field="cf_gocardless_key",
        unique_value=value,
        description="GoCardless PM01",
        applied=[c.Application(rig.made["invoices"][0], 1990)],
    )


async def test_open_invoices_contacts_and_rates_are_read(rig):
    done, events = await rig.do(c.ListOpenInvoices())
    assert done == Done("succeeded")
    seen = {event.data.id: event.data for event in events if event.type == "zoho.invoice_seen"}
    assert seen[rig.made["invoices"][0]].balance_minor == 1990
    assert seen[rig.made["invoices"][1]].total_minor == 10000
    assert events[-2].data.ids == rig.made["invoices"]
    assert events[-2].data.complete
    for kind in pages.KINDS:
        answer = await rig.client.send(pages.first(kind, "2026-01-01T00:00:00.000Z"), deadline_s=5)
        assert pages.is_page(kind, answer)
        assert len(pages.rows(kind, answer.body)) > 0
        assert translate(z.page_meta(kind), answer.body, rig.made["organization_id"]).parked == []
        assert pages.next_page(kind, pages.first(kind), answer) is None
    rates = translate(z.page_meta("zoho.currencies"), answer.body).events[0].data.rates
    assert rates == {"GBP": "1", "EUR": "0.86"}
    assert int(answer.headers["x-rate-limit-remaining"]) > 0


async def test_an_invoice_and_a_contact_are_read_in_full(rig):
    _, events = await rig.do(c.ReadInvoice(rig.made["invoices"][1]))
    assert [event.type for event in events] == ["zoho.invoice_read", "command.outcome"]
    assert events[0].data.line_items[0].total_minor == 10000
    _, events = await rig.do(c.ReadContact(rig.made["contacts"][0]))
    assert events[0].data.email == "accounts@rosehip.example"
    done, events = await rig.do(c.ReadInvoice("910000000000001"))
    assert (done.kind, done.reason) == ("refused", "1002")
    assert [event.type for event in events] == ["zoho.invoice_gone", "command.outcome"]


async def test_a_payment_is_made_once_found_again_and_never_twice(rig):
    data = payment(rig)
    assert (await rig.do(data, "look_up"))[0] == Retry("absent")
    done, events = await rig.do(data)
    assert (done.kind, done.found) == ("succeeded", False)
    read = events[0].data
    assert (read.created, read.key, read.account_id, read.unused_minor) == (
        True,
        "sandbox:PM01:1",
        rig.keys["clearing"],
        0,
    )
    assert (read.invoices[0].applied_minor, read.invoices[0].balance_minor) == (1990, 0)
    found, events = await rig.do(data, "look_up")
    assert found == Done("succeeded", done.resource_id, found=True)
    assert [event.type for event in events] == ["zoho.customer_payment_read", "command.outcome"]
    again, _ = await rig.do(data)
    assert again.resource_id == done.resource_id
    assert (await rig.do(payment(rig, "sandbox:PM01:2"), "look_up"))[0] == Retry("absent")


async def test_more_than_the_balance_is_refused(rig):
    data = c.CreateCustomerPayment(
        rig.made["contacts"][0],
        5000,
        "GBP",
        "2026-01-05",
        rig.keys["clearing"],
        "PM02",
        "cf_gocardless_key",
        "sandbox:PM02:1",
        applied=[c.Application(rig.made["invoices"][0], 5000)],
    )
    done, _ = await rig.do(data)
    assert (done.kind, done.reason) == ("refused", "24016")


async def test_a_reversal_unapplies_and_refunds_and_both_are_found_again(rig):
    made, _ = await rig.do(payment(rig))
    unapply = c.UnapplyPayment(made.resource_id, 1990, "GBP")
    assert (await rig.do(unapply, "look_up"))[0] == Retry("absent")
    done, events = await rig.do(unapply)
    assert done == Done("succeeded", made.resource_id)
    assert events[0].data.unused_minor == 1990
    assert (await rig.do(unapply, "look_up"))[0] == Done("succeeded", made.resource_id, found=True)
    refund = c.RefundPayment(made.resource_id, 1990, "GBP", "2026-01-05", rig.keys["clearing"], "PM01:1:reversal")
    assert (await rig.do(refund, "look_up"))[0] == Retry("absent")
    done, _ = await rig.do(refund)
    assert done.kind == "succeeded"
    assert (await rig.do(refund, "look_up"))[0] == Done("succeeded", done.resource_id, found=True)
    again, _ = await rig.do(refund)
    assert again.kind == "refused"  # only what is unused can be refunded: a blind repeat would not pass here


async def test_a_transfer_and_an_expense_are_made_and_found_again(rig):
    transfer = c.CreateTransfer(
        rig.keys["clearing"], rig.keys["bank"], 1630, "GBP", "2026-01-05", "ROSEHIP-JX3", "PO01", "GoCardless payout"
    )
    assert (await rig.do(transfer, "look_up"))[0] == Retry("absent")
    done, _ = await rig.do(transfer)
    assert (await rig.do(transfer, "look_up"))[0] == Done("succeeded", done.resource_id, found=True)
    expense = c.CreateExpense(
        account=rig.keys["fees"],
        paid_through=rig.keys["clearing"],
        amount_minor=360,
        currency="GBP",
        date="2026-01-05",
        reference="PO01",
        unique_field="cf_gocardless_key",
        unique_value="sandbox:PO01",
        lines=[c.ExpenseLine("Transaction fees", 300), c.ExpenseLine("Payout fees", 60)],
        description="GoCardless fees of PO01",
    )
    assert (await rig.do(expense, "look_up"))[0] == Retry("absent")
    made, _ = await rig.do(expense)
    assert (made.kind, made.reason, made.found) == ("succeeded", "", False)
    assert (await rig.do(expense, "look_up"))[0] == Done("succeeded", made.resource_id, found=True)
    assert (await rig.do(expense))[0].resource_id == made.resource_id


async def test_another_organisation_waits_for_a_person(rig):
    other = Client(rig.client._transport, rig.client._tokens, "1")
    call = perform.send_call(z.command(c.ListOpenInvoices()))
    answer = await other.send(call, deadline_s=5)
    assert perform.verdict(z.command(c.ListOpenInvoices()), "send", call, answer) == Retry("organisation", 600.0, "api")
