"""The company that a seed gives: the same each time, all of it possible at the simulators, and nothing left undrawn."""

import json
from datetime import timedelta
from urllib.parse import urlencode

import msgspec
import pytest

from adapters.http import Answer
from domain.onboarding import judge
from domain.onboarding_facts import Asked, Held
from domain.policy import Rules
from domain.state import ConnectionRow
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY
from sandbox.gocardless.settings import Settings, Tariff
from sandbox.zoho.books import Switches
from streams.operate.check_reads import read
from streams.settings import Calls, Polling, decode
from streams.simulation import company_accounts
from streams.simulation.apis import gocardless_of, zoho_of
from streams.simulation.company import Company
from streams.simulation.company_documents import connection, hand_payments
from tests.support.hash_seeds import said_by
from tests.support.made_worlds import MadeWorld, drawn

SEEDS = range(250)

#: Field of the rules → why a company never has another value.
FIXED_RULES = {"vendor": "one vendor is enough: without fees nobody is paid"}


@pytest.fixture(scope="module")
def companies():
    return [drawn(seed) for seed in SEEDS]


def test_the_same_seed_gives_the_same_company_and_the_same_world():
    program = """
import hashlib, msgspec
from tests.support.made_worlds import MadeWorld, drawn
for seed in (3, 4):
    made = MadeWorld(drawn(seed))
    made.live_until(made.company.start.replace(year=made.company.start.year + 1))
    state = {name: api.state() for name, api in made.world.apis.items()}
    print(hashlib.sha256(msgspec.json.encode([made.company, made.made, state])).hexdigest())
"""
    said = [said_by(program, hash_seed=seed) for seed in ("0", "1")]
    assert said[0] == said[1]
    assert said[0][0] != said[0][1]


def test_a_smaller_month_is_the_same_company():
    one, small = drawn(8), drawn(8, invoices=5)
    assert small.invoices == one.invoices[:5]
    assert msgspec.structs.replace(one, invoices=(), outcomes=()) == msgspec.structs.replace(
        small, invoices=(), outcomes=()
    )
    assert small.outcomes == tuple(
        row for row in one.outcomes if row["metadata_match"]["zoho_invoice_number"] < "^INV-0006"
    )
    assert all(invoice.sent_at < one.start + timedelta(days=9) for invoice in drawn(8, days=9).invoices)


def test_every_setting_of_both_simulators_is_drawn_or_said_why_not(companies):
    fields = set(Settings.__struct_fields__)
    assert fields == {*company_accounts.GOCARDLESS, *company_accounts.NOT_DRAWN}
    assert set(Switches.__struct_fields__) == {*company_accounts.SWITCHES, "lock_date"}
    for name, values in company_accounts.GOCARDLESS.items():
        assert [value for value in values if all(one.gocardless[name] != value for one in companies)] == [], name
    for name, values in company_accounts.SWITCHES.items():
        assert [value for value in values if all(one.switches[name] != value for one in companies)] == [], name
    assert {bool(one.switches["lock_date"]) for one in companies} == {True, False}
    for kind, table in ((Settings, company_accounts.GOCARDLESS), (Switches, company_accounts.SWITCHES)):
        default = msgspec.to_builtins(kind())
        for name, values in table.items():
            shown = list(default[name]) if isinstance(default[name], tuple) else default[name]
            assert shown in values, f"{name}: the simulator's own value is among them"
            if isinstance(default[name], bool):
                assert set(values) == {True, False}, name


@pytest.mark.parametrize(
    ("kind", "get"),
    [
        (Rules, lambda one: one.rules),
        (Polling, lambda one: one.polling),
        (Calls, lambda one: one.calls),
    ],
)
def test_every_rule_and_setting_of_ours_has_more_than_one_value(companies, kind, get):
    for name in kind.__struct_fields__:
        seen = {json.dumps(getattr(get(one), name)) for one in companies}
        assert (len(seen) > 1) == (name not in FIXED_RULES), name


def test_a_company_may_be_anywhere_and_collect_in_everything(companies):
    assert {one.time_zone for one in companies} >= {"Pacific/Auckland", "America/Los_Angeles", "Europe/London"}
    assert {currency for one in companies for currency in one.currencies} == set(SCHEME_OF_CURRENCY)
    assert {len(one.currencies) for one in companies} == {1, 2, 3}
    assert {len(one.customers) for one in companies} == set(range(2, 9))
    customers = [customer for one in companies for customer in one.customers]
    assert {customer.link for customer in customers} == {"stored", "field", "email", "reference", "invited"}
    assert any(len({c.email.lower() for c in one.customers}) < len(one.customers) for one in companies), (
        "shared addresses"
    )
    assert any(not customer.name.isascii() for customer in customers)
    assert {mandate for one in companies for mandate in one.mandates} == {"active", "pending_submission", None}
    invoices = [invoice for one in companies for invoice in one.invoices]
    assert len(invoices) == len(companies) * 16
    assert {invoice.tax for invoice in invoices} == {"vat", "zero", ""}
    assert {invoice.draft for invoice in invoices} == {True, False}
    assert {invoice.by_hand is None for invoice in invoices} == {True, False}
    assert any(invoice.sent_at < one.start for one in companies for invoice in one.invoices)
    outcomes = [outcome for one in companies for outcome in one.outcomes]
    assert {outcome["outcome"] for outcome in outcomes} == {"failed", "late_failure", "charged_back"}
    assert {outcome.get("will_attempt_retry", False) for outcome in outcomes} == {True, False}
    for name in ("payer", "tariff", "creditor", "zoho_webhook", "webhooks"):
        for key in getattr(companies[0], name):
            values = {json.dumps(getattr(one, name)[key]) for one in companies}
            assert len(values) > 1 or (name, key) == ("creditor", "name"), (name, key)
    assert any(one.subscriptions for one in companies)
    assert any(one.fx_paid_in for one in companies)


def test_a_company_is_data():
    one = drawn(11)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Company) == one


@pytest.mark.parametrize("seed", range(40))
def test_the_simulators_take_every_company_and_live_its_month(seed):
    made = MadeWorld(drawn(seed))
    one, books, gocardless = made.company, zoho_of(made.world).books, gocardless_of(made.world)
    assert len(books.contacts.rows) == len(one.customers) + 1
    settings = gocardless.merchant.settings
    assert len(settings.payment_outcomes) == len(one.outcomes)
    assert settings.tariff == msgspec.convert(one.tariff, Tariff)
    made.live_until(one.start + timedelta(days=one.days))
    assert [invoice.id for invoice in books.invoices.rows.values() if invoice.number.startswith("INV-0")]
    assert set(made.made.invoices) == set(books.invoices.rows)
    for planned, identity in zip(one.invoices, made.made.invoices, strict=True):
        invoice = books.invoices.rows[identity]
        assert (invoice.number, invoice.due) == (planned.number, planned.due)
        assert (invoice.state == "draft") == planned.draft
        assert invoice.total_minor > 0
    for customer, payer, contact in zip(one.customers, made.made.payers, made.made.contacts, strict=True):
        assert (payer is None) == (customer.link == "invited")
        assert bool(books.contacts.rows[contact].custom) == (customer.link == "field")
    assert [at for at, _ in hand_payments(one)] == sorted(at for at, _ in hand_payments(one))


def test_the_settings_of_a_connection_are_allowed():
    for seed in range(40):
        made = drawn(seed)
        wanted = connection(made, "60001", gocardless_url="http://127.0.0.1:1", zoho_url="http://127.0.0.1:2")
        tree = {
            "log": "sqlite:////tmp/log.db",
            "store": "sqlite:////tmp/store.db",
            "connections": {"main": msgspec.to_builtins(wanted)},
            "polling": msgspec.to_builtins(made.polling),
            "calls": msgspec.to_builtins(made.calls),
        }
        found = decode(tree, "a.toml")
        assert (found.connections["main"], found.polling, found.calls) == (wanted, made.polling, made.calls)


@pytest.mark.parametrize("seed", range(25))
async def test_nothing_stops_the_first_run_check(seed):
    """A company whose check stops would never collect anything, and its run would show nothing."""
    made = MadeWorld(drawn(seed))
    made.world.apis["zoho"].configure({"switches": {"minute_limit": 1000}})
    token = zoho_of(made.world).oauth.token({**made.made.oauth, "grant_type": "refresh_token"}, "http://zoho")[1]
    heads = {
        "gocardless": {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"},
        "zoho": {"Authorization": f"Zoho-oauthtoken {token['access_token']}"},
    }

    def send(api):
        async def ask(call, _deadline_s):
            more = {"organization_id": made.made.organization} if api == "zoho" else {}
            base = "/books/v3" if api == "zoho" else ""
            target = f"{base}{call.path}?{urlencode({**call.query, **more})}"
            reply = await made.apps[api].request(call.method, target, {**heads[api], **call.headers}, call.body or b"")
            return Answer(reply.status, reply.headers, reply.body)

        return ask

    wanted = connection(made.company, made.made.organization)
    asked = Asked(
        organization_id=made.made.organization,
        environment=wanted.environment,
        unique_field=wanted.unique_field,
        payer_link_field=wanted.payer_link_field,
        rules=wanted.rules,
        collect_from="",
    )
    facts = await read(asked, {api: send(api) for api in heads})
    checked = judge(
        asked, facts, Held(own=ConnectionRow("main")), made.company.start.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    )
    assert [one.text for one in checked.stops] == []
    assert checked.policy is not None
    assert checked.event.base_currency == made.company.base
