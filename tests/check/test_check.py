"""The first-run check over both simulators: each thing that must be known, repaired or decided is found, and nothing
else is.
"""

from typing import Any

import pytest

from adapters.vault import Keyring, Vault, new_key
from domain.connections import refusal
from domain.envelope import Event
from domain.events import GateOpened, InvoiceFacts
from domain.state import ConnectionRow
from sandbox.zoho import endpoints_money
from streams import credentials as keys

NAME, START = "acme", "2026-03-02T09:00:00.000Z"

ALWAYS = {
    "unique_field_customerpayments": "decide",
    "unique_field_expenses": "decide",
    "first_collection": "decide",
    "policy": "decide",
}


def owing(key: str, due_date: str) -> Event:
    """An invoice of 120.00 GBP that was sent and is due on a day."""
    facts = InvoiceFacts(key, f"INV-{key}", "c-1", "sent", "GBP", 12_000, 12_000, "2023-01-01", due_date, START)
    return Event(f"seen-{key}", "zoho.invoice_seen", NAME, START, START, "poll", facts)


def account(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "bank", "currency_code": "GBP", **more}


ACCOUNTS = [
    *(
        account(f"{what} {cur}", currency_code=cur)
        for what in ("Clearing", "Suspense", "Bank")
        for cur in ("GBP", "EUR")
    ),
    account("Debit fees", type="expense"),
]


@pytest.fixture
async def ready(office):
    """An office on which nothing is wrong."""
    await office.open()
    office.imported()
    return office


# --- all well ---


async def test_where_all_is_well_only_what_a_person_must_accept_is_left(ready):
    checked = await ready.check()
    assert {one.code: one.level for one in checked.decisions} == ALWAYS
    assert checked.stops == []
    told = {one.code: one.text for one in checked.event.findings if one.level == "ok"}
    assert set(told) == {"organization", "creditor", "import"}
    assert "Rosehip Supplies" in told["organization"]
    assert "EUR, GBP" in told["creditor"]


async def test_it_says_what_the_rules_need_of_both_sides(ready):
    event = (await ready.check()).event
    assert (event.organization_id, event.base_currency, event.time_zone, event.environment) == (
        ready.organization,
        "GBP",
        "Europe/London",
        "sandbox",
    )
    assert event.rates["EUR"] == "0.85"
    assert event.creditor == ready.payers["creditor"]
    assert sorted(event.creditor_bank_accounts.values()) == ["EUR", "GBP"]


async def test_names_become_ids(ready):
    ready.rules |= {
        "max_debit": {"GBP": "5000.00"},
        "opening_clearing": {"EUR": "-12.5"},
        "closed_through": "2026-02-28",
        "send_hour": 8,
    }
    policy = (await ready.check()).policy
    state = (await ready.get("/_sandbox/state"))["zoho"]
    ids = {row["name"]: row["account_id"] for row in state["accounts"]}
    assert policy.accounts.clearing == {"GBP": ids["Clearing GBP"], "EUR": ids["Clearing EUR"]}
    assert policy.accounts.suspense == {"GBP": ids["Suspense GBP"], "EUR": ids["Suspense EUR"]}
    assert set(policy.accounts.bank.values()) == {ids["Bank GBP"], ids["Bank EUR"]}
    assert policy.accounts.fees == ids["Debit fees"]
    assert list(policy.accounts.tax) == ["GB_VAT_1"]
    assert policy.accounts.vendor.isdigit()
    assert policy.accounts.tax["GB_VAT_1"].isdigit()
    assert (policy.version, policy.max_debit_minor, policy.opening_clearing_minor) == (
        1,
        {"GBP": 500000},
        {"EUR": -1250},
    )
    assert (policy.books_from, policy.closed_through, policy.send_hour) == ("2026-03-01", "2026-02-28", 8)


async def test_it_only_reads(ready):
    await ready.check()
    calls = (await ready.get("/_sandbox/state"))["calls"]
    assert {name.split()[0] for api in calls.values() for name in api if "oauth" not in name} == {"GET"}
    assert sum(calls["zoho"].values()) + sum(calls["gocardless"].values()) < 20


# --- the gate ---


async def test_the_gate_opens_when_everything_is_accepted(ready):
    checked = await ready.check()
    ready.approve(checked, [one.code for one in checked.decisions])
    assert (ready.own.gate, ready.own.policy) == ("open", checked.policy)


async def test_one_decision_that_is_not_accepted_keeps_it_closed(ready):
    checked = await ready.check()
    ready.approve(checked, [code for code in ALWAYS if code != "unique_field_expenses"])
    assert ready.own.gate == "closed"
    assert refusal(ready.own, GateOpened("finance")).startswith("not yet accepted: ")
    assert "unique_field_expenses" in refusal(
        ready.own, GateOpened("finance", ["policy", "unique_field_customerpayments"])
    )


async def test_a_stop_keeps_it_closed_whatever_is_accepted(ready):
    ready.rules["vendor"] = "Nobody"
    checked = await ready.check()
    assert checked.policy is None
    ready.approve(checked, [one.code for one in checked.event.findings])
    assert ready.own.gate == "closed"
    assert refusal(ready.own, GateOpened("finance")) == "no policy is set"


async def test_a_second_run_finds_the_policy_in_force(ready):
    first = await ready.check()
    ready.approve(first, list(ALWAYS))
    second = await ready.check()
    assert second.policy is None
    assert "policy" not in {one.code for one in second.event.findings}
    ready.rules |= {"send_hour": 9, "max_debit": {"GBP": "10"}}
    third = await ready.check()
    assert third.policy.version == 2
    assert (
        await ready.text("policy")
        == "Policy 2 of the settings comes into force: it changes send_hour, max_debit_minor."
    )


async def test_what_we_collect_ourselves_is_not_somebody_else_s(ready):
    await ready.pay(command="cm-1", zoho_invoice_id="42")
    assert await ready.found() == ALWAYS


# --- what else collects ---


async def test_live_subscriptions_go_on_beside_us(office):
    row = {"customer": 0, "amount": 900}
    await office.open(payers={"subscriptions": [row, row, {**row, "status": "paused"}, {**row, "status": "cancelled"}]})
    office.imported()
    assert await office.found() == ALWAYS | {"subscriptions": "decide"}
    checked = await office.check()
    assert next(one.count for one in checked.decisions if one.code == "subscriptions") == 2
    for one in office.payers["subscriptions"][:2]:
        await office.post("/_sandbox/gocardless/act", {"do": "end_subscription", "subscription": one})
    assert await office.found() == ALWAYS


async def test_payments_of_others_are_under_way(ready):
    await ready.pay()
    await ready.pay(order="7")
    await ready.pay(command="cm-1", zoho_invoice_id="42")
    assert await ready.found() == ALWAYS | {"pending_payments": "decide"}
    assert (await ready.text("pending_payments")).startswith("2 payments made by others")


# --- accounts, taxes, vendor, fields ---


@pytest.mark.parametrize(
    ("rules", "code", "says"),
    [
        (
            {"clearing": {"GBP": "Clearing", "EUR": "Clearing EUR"}},
            "account_clearing_GBP",
            "no active account named 'Clearing'",
        ),
        (
            {"suspense": {"GBP": "Nowhere", "EUR": "Suspense EUR"}},
            "account_suspense_GBP",
            "no active account named 'Nowhere'",
        ),
        ({"bank": {"GBP": "Bank EUR", "EUR": "Bank EUR 2"}}, "account_bank_GBP", "is in EUR"),
        ({"clearing": {"GBP": "Debit fees 2", "EUR": "Clearing EUR"}}, "account_clearing_GBP", "is not one of Banking"),
        ({"fees": "Nothing"}, "account_fees", "no active account named 'Nothing'"),
        ({"fees": "Other bank"}, "account_fees", "is no expense account"),
        ({"fees": "Twin"}, "account_fees", "2 active accounts named 'Twin'"),
        (
            {"suspense": {"GBP": "Clearing GBP", "EUR": "Suspense EUR"}},
            "account_twice",
            "'Clearing GBP' for more than one thing",
        ),
        ({"tax": {"GB_VAT_1": "VAT 17%"}}, "tax_GB_VAT_1", "no tax named 'VAT 17%'"),
        ({"tax": {"GB_VAT_1": "VAT 5%"}}, "tax_GB_VAT_1", "is 5 %, GoCardless's GB_VAT_1 is 20 %"),
        ({"tax": {"GB_VAT_1": "VAT 20%", "XX_1": "VAT 5%"}}, "tax_XX_1", "it knows FR_VAT_1, GB_VAT_1"),
        ({"vendor": "Somebody"}, "vendor", "0 active vendors named 'Somebody'"),
        ({"vendor": "Quince Ltd"}, "vendor", "0 active vendors named 'Quince Ltd'"),
        ({"clearing": {}}, "no_clearing", "names no account"),
        ({"clearing": {"USD": "Other USD"}}, "no_bank_USD", "rules.bank names no account for payouts in USD"),
        (
            {"clearing": {"USD": "Other USD"}, "bank": {"USD": "Other USD 2"}},
            "no_bank_USD",
            "no bank account to pay USD out to",
        ),
        ({"clearing": {"USD": "Other USD"}}, "rate_USD", "no exchange rate for USD"),
        ({"clearing": {"gbp": "Clearing GBP"}}, "currency_gbp", "gbp is no currency"),
        ({"max_debit": {"GBP": "much"}}, "max_debit_GBP", "'much' is no amount"),
        ({"max_debit": {"GBP": "1.005"}}, "max_debit_GBP", "rules.max_debit.GBP"),
        ({"opening_clearing": {"XXX": "1"}}, "opening_clearing_XXX", "XXX"),
        ({"closed_through": "end of May"}, "closed_through", "not a day"),
    ],
)
async def test_what_is_missing_or_wrong_in_the_rules_stops(office, rules, code, says):
    accounts = [
        *ACCOUNTS,
        account("Debit fees 2", type="expense"),
        account("Bank EUR 2", currency_code="EUR"),
        account("Other bank"),
        account("Other USD", currency_code="USD"),
        account("Other USD 2", currency_code="USD"),
        account("Twin", type="expense"),
        account("Twin", type="expense", currency_code="EUR"),
    ]
    await office.open(books={"accounts": accounts})
    office.imported()
    office.rules |= rules
    checked = await office.check()
    found = {one.code: one for one in checked.stops}
    assert code in found
    assert says in found[code].text
    assert checked.policy is None


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"suspense": {"EUR": "Suspense EUR"}}, "no_suspense_GBP"),
        ({"fees": ""}, "no_fees"),
        ({"books_from": ""}, "books_from"),
        ({"tax": {}}, "no_tax_GB_VAT_1"),
    ],
)
async def test_what_is_left_out_of_the_rules_is_a_decision(ready, rules, code):
    ready.rules |= rules
    found = await ready.found()
    assert found[code] == "decide"
    assert set(found) - {code} <= set(ALWAYS)


async def test_an_inactive_account_is_not_found(office):
    await office.open()
    office.imported()
    state = (await office.get("/_sandbox/state"))["zoho"]
    held = next(row["account_id"] for row in state["accounts"] if row["name"] == "Suspense GBP")
    office.world.apis["zoho"].books.ledger.accounts[held].active = False
    assert (await office.found())["account_suspense_GBP"] == "stop"


async def test_a_field_that_a_list_shows_needs_no_decision(ready, monkeypatch):
    for spec in (endpoints_money.PAYMENTS, endpoints_money.EXPENSES):
        monkeypatch.setitem(
            spec.context, "custom_fields", [{"api_name": "cf_gocardless_key", "label": "GoCardless key"}]
        )
    assert set(await ready.found()) == {"policy", "first_collection"}


async def test_many_accounts_are_read_to_the_last_page(office):
    accounts = [*({"name": f"Cost {number:03}", "type": "expense"} for number in range(220)), *ACCOUNTS]
    await office.open(books={"accounts": accounts})
    office.imported()
    assert await office.found() == ALWAYS


# --- the two sides ---


async def test_a_creditor_that_is_not_verified_is_a_decision(office):
    await office.open(payers={"creditor": {"verification_status": "in_review"}})
    office.imported()
    assert await office.found() == ALWAYS | {"verification": "decide"}


async def test_a_second_creditor_is_a_decision(office):
    await office.open(payers={"creditor": {"name": "Second Ltd", "additional": True}})
    office.imported()
    assert await office.found() == ALWAYS | {"creditors": "decide"}


async def test_payouts_in_a_foreign_currency_need_that_currency_s_bank_only(office):
    await office.open(payers={"creditor": {"payout_currencies": ["GBP"], "fx_payout_currency": "GBP"}})
    office.imported()
    assert await office.found() == ALWAYS


async def test_a_currency_that_gocardless_cannot_pay_out_stops(office):
    await office.open(payers={"creditor": {"payout_currencies": ["GBP"]}})
    office.imported()
    assert (await office.found())["no_bank_EUR"] == "stop"


async def test_another_organisation_stops_and_is_the_only_complaint(ready):
    right = ready.organization
    ready.organization = "999000111"
    assert right in await ready.text("organization")
    checked = await ready.check()
    assert "organization" in {one.code for one in checked.stops}
    assert checked.policy is None
    assert "account_fees" not in {one.code for one in checked.stops}


async def test_a_time_zone_that_is_not_known_stops(ready):
    ready.world.apis["zoho"].books.org.time_zone = "PST8PDT/Nowhere"
    assert (await ready.found())["time_zone"] == "stop"


async def test_without_webhook_secrets_a_person_decides(ready):
    ready.credentials.delete("acme", "zoho.webhook.main")
    ready.credentials.reload()
    assert await ready.found() == ALWAYS | {"no_webhooks_zoho": "decide"}


# --- what cannot be read ---


async def test_a_dead_token_of_gocardless_is_one_finding(ready):
    await ready.post("/_sandbox/config", {"gocardless": {"access_tokens": {"another": "read_write"}}})
    stops = {one.code for one in (await ready.check()).stops}
    assert stops == {"gocardless_credentials"}
    assert (await ready.get("/_sandbox/state"))["calls"]["gocardless"] == {"GET /creditors": 1}


async def test_a_dead_consent_of_zoho_is_one_finding(ready):
    client = b'{"client_id": "nobody", "client_secret": "none"}'
    ready.credentials.put("acme", keys.ZOHO_CLIENT, client)
    stops = {one.code: one.text for one in (await ready.check()).stops}
    assert set(stops) == {"zoho_credentials"}
    assert "client" in stops["zoho_credentials"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (keys.GOCARDLESS_TOKEN, "gocardless_credentials"),
        (keys.ZOHO_CLIENT, "zoho_credentials"),
        (keys.ZOHO_TOKEN, "zoho_credentials"),
    ],
)
async def test_credentials_that_were_never_entered_are_a_finding(ready, name, code):
    ready.credentials.delete("acme", name)
    stops = {one.code: one.text for one in (await ready.check()).stops}
    assert set(stops) == {code}
    assert "connect" in stops[code].lower()


async def test_credentials_that_cannot_be_opened_are_a_finding(ready):
    ready.credentials._vault = Vault(Keyring.from_text(new_key("k2")))
    assert {one.code for one in (await ready.check()).stops} == {"gocardless_credentials", "zoho_credentials"}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"api": "gocardless", "path": "^/creditors$", "kind": "500_before"}, "gocardless_unreachable"),
        ({"api": "gocardless", "path": "^/subscriptions$", "kind": "429_gocardless"}, "gocardless_busy"),
        ({"api": "gocardless", "path": "^/creditors$", "kind": "html_502"}, "gocardless_unreachable"),
        ({"api": "gocardless", "path": "^/tax_rates$", "kind": "reset_after_commit"}, "gocardless_unreachable"),
        ({"api": "zoho", "path": "/chartofaccounts$", "kind": "500_before"}, "zoho_unreachable"),
        ({"api": "zoho", "path": "/organizations$", "kind": "429_minute"}, "zoho_busy"),
        ({"api": "zoho", "path": "/bankaccounts$", "kind": "reset_after_commit"}, "zoho_unreachable"),
    ],
)
async def test_an_api_that_does_not_answer_is_one_finding(ready, rule, code):
    await ready.post("/_sandbox/faults", {"rules": [{"method": "GET", "times": 1, **rule}]})
    assert {one.code for one in (await ready.check()).stops} == {code}
    assert {one.code for one in (await ready.check()).stops} == set()


async def test_an_import_that_has_not_ended_stops(office):
    await office.open()
    office.imported("gocardless.mandates", "zoho.invoices")
    found = await office.found()
    assert found["import"] == "stop"
    assert "gocardless.mandates, zoho.invoices" in await office.text("import")
    assert (await office.check()).policy is None


# --- what would be collected first ---


async def test_it_lists_count_sum_and_oldest_of_what_would_be_collected_first(ready):
    ready.decide(
        *(
            owing(key, due)
            for key, due in (
                ("old", "2024-06-30"),
                ("older", "2023-01-31"),
                ("next", "2026-03-09"),
                ("last", "2026-03-20"),
            )
        )
    )
    text = await ready.text("first_collection")
    assert text.startswith(
        "Collected on their due dates once this is approved: 2 invoices of 240.00 GBP (oldest due 2026-03-09)."
    )
    assert "Held, since they fell due before 2026-03-02: 2 invoices of 240.00 GBP (oldest due 2023-01-31)" in text
    assert "Nothing falls due in EUR: the first debits there wait for you" in text
    checked = await ready.check()
    assert (checked.collect_from, checked.first_count, checked.first_minor) == (
        "2026-03-02",
        {"GBP": 2},
        {"GBP": 24_000},
    )


async def test_an_earlier_day_may_be_accepted(ready):
    ready.decide(owing("old", "2024-06-30"), owing("older", "2023-01-31"))
    checked = await ready.check(collect_from="2024-01-01")
    ready.approve(checked, [one.code for one in checked.decisions])
    assert (ready.own.gate, ready.own.collect_from, ready.own.accepted_count) == ("open", "2024-01-01", {"GBP": 1})


async def test_a_later_approval_changes_nothing_of_it_unless_a_day_is_named(ready):
    first = await ready.check()
    ready.approve(first, [one.code for one in first.decisions])
    again = await ready.check()
    assert (again.collect_from, again.first_count) == ("", None)
    assert next(one.level for one in again.event.findings if one.code == "first_collection") == "ok"
    named = await ready.check(collect_from="2025-01-01")
    assert (named.collect_from, named.first_count) == ("2025-01-01", {})


async def test_a_creditor_of_another_connection_stops(ready):
    taken = ConnectionRow("birch", environment="sandbox", creditor=ready.payers["creditor"])
    ready.keep(taken)
    ready.others = {"birch": {"environment": "sandbox", "zoho": {"organization_id": "999"}}}
    assert (await ready.found())["creditor_taken"] == "stop"
    assert "is that of connection birch already" in await ready.text("creditor_taken")
    ready.others = {}
    assert "creditor_taken" not in await ready.found(), "a connection that was renamed is not in its own way"


@pytest.mark.parametrize("name", ["max_debit", "max_payer_month", "max_day"])
async def test_a_ceiling_below_zero_stops(ready, name):
    ready.rules[name] = {"GBP": "-5"}
    assert (await ready.found())[f"{name}_GBP"] == "stop"


async def test_ceilings_of_the_settings_become_the_policys(ready):
    ready.rules |= {"max_payer_month": {"GBP": "20000"}, "max_day": {"GBP": "50000.50"}, "max_day_count": {"GBP": 400}}
    policy = (await ready.check()).policy
    assert (policy.max_payer_month_minor, policy.max_day_minor, policy.max_day_count) == (
        {"GBP": 2_000_000},
        {"GBP": 5_000_050},
        {"GBP": 400},
    )
