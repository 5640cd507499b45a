"""One company in two connections of an installation (rule 18): neither sends anything, and both say so."""

import pytest
from msgspec.structs import replace

from adapters.http import Answer
from domain.state import ConnectionRow
from streams.process.health import Health
from streams.settings import Calls, SettingsError, decode
from streams.stages.executor import Executor

CALLS = Calls(deadline_s=5)


def tree(*connections):
    return {
        "log": "sqlite:////tmp/log.db",
        "store": "sqlite:////tmp/store.db",
        "connections": {
            name: {"environment": environment, "zoho": {"organization_id": organization}}
            for name, environment, organization in connections
        },
    }


def test_settings_with_one_organisation_in_two_connections_are_refused_and_both_are_named():
    with pytest.raises(
        SettingsError, match=r"connections\.b\.zoho\.organization_id: 700 is that of connections\.a as well"
    ):
        decode(tree(("a", "live", "700"), ("b", "live", " 700 ")), "settings.toml")


def test_an_organisation_may_stand_in_one_connection_of_each_environment():
    assert set(decode(tree(("a", "live", "700"), ("b", "sandbox", "700")), "settings.toml").connections) == {"a", "b"}


async def open_rows(company, **of_birch):
    """Two connections whose gates are open; `of_birch`: what the second one's row has."""
    own = ConnectionRow("acme", environment="live", organization_id="700", creditor="CR1", gate="open")
    await company.ask(rows=[("connections", own)])
    await company.ask(connection="birch", rows=[("connections", replace(own, id="birch", **of_birch))])


@pytest.mark.parametrize(
    ("of_birch", "sharing"),
    [
        ({}, {"acme", "birch"}),
        ({"creditor": "CR2", "organization_id": "700"}, {"acme", "birch"}),
        ({"creditor": "CR2"}, set()),
        ({"environment": "sandbox"}, set()),
        ({"gate": "closed"}, set()),
    ],
)
async def test_who_shares_a_creditor_or_an_organisation_is_known(company, of_birch, sharing):
    await open_rows(company, **{"organization_id": "701", **of_birch})
    assert set(company.queries.sharing(["acme", "birch"])) == sharing
    assert company.queries.sharing(["acme"]) == {}, "a connection that left the settings collects nothing"


async def test_nothing_is_sent_for_either_until_one_of_them_leaves_the_settings_and_ready_says_why(company):
    sent = []

    async def send(call, deadline_s):
        sent.append(call.path)
        return Answer(404, {}, b"{}")

    await open_rows(company, organization_id="701")
    for name in ("acme", "birch"):
        await company.ask(replace(company.read_invoice(f"cm-{name}"), about="invoices:1"), connection=name)
    accesses = {name: company.access("zoho", send, connection=name, calls=CALLS) for name in ("acme", "birch")}
    executor = Executor(company.context, "zoho", accesses, CALLS)
    await executor.turn()
    await executor.drain()
    assert sent == []
    troubles = await Health(company.context, {"zoho": accesses}).troubles()
    assert [
        one
        for one in troubles
        if one.startswith("acme: creditor CR1 is also that of connection birch: nothing is sent for either")
    ]
    assert [one for one in troubles if one.startswith("birch: creditor CR1 is also that of connection acme")]
    alone = Executor(company.context, "zoho", {"acme": accesses["acme"]}, CALLS)
    await alone.turn()
    await alone.drain()
    assert len(sent) == 1
