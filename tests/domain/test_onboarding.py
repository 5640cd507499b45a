"""The judge of the first-run check, without an API or a store: one case for each finding that it can give, and none
that it cannot.
"""

from decimal import Decimal
from typing import get_args

import pytest
from msgspec.structs import replace

from domain import onboarding
from domain.onboarding_facts import (
    OF_ONE_LIST,
    Account,
    Asked,
    BankAccount,
    Contact,
    Creditor,
    Currency,
    Facts,
    Held,
    Hindrance,
    Organization,
    Owing,
    Seen,
    Tax,
    TaxRate,
    Unread,
    Why,
)
from domain.onboarding_findings import UNREAD, DecideCode, Level, OkCode, StopCode
from domain.policy import Accounts, Rules
from domain.state import ConnectionRow
from domain.vocabulary import APIS

NOW = "2026-03-02T09:00:00.000Z"
FIELD = "cf_gocardless_key"

RULES = Rules(
    clearing={"GBP": "Clearing GBP", "EUR": "Clearing EUR"},
    suspense={"GBP": "Suspense GBP", "EUR": "Suspense EUR"},
    bank={"GBP": "Bank GBP", "EUR": "Bank EUR"},
    fees="Fees",
    vendor="GoCardless",
    tax={"GB_VAT_1": "VAT 20%"},
    books_from="2026-03-01",
)
ASKED = Asked(
    organization_id="20",
    environment="live",
    unique_field=FIELD,
    payer_link_field="cf_gocardless_customer",
    rules=RULES,
)
ACCOUNTS = (
    *(
        Account(f"{what[0]}-{cur}", f"{what} {cur}", "bank", cur)
        for what in ("Clearing", "Suspense", "Bank", "Other")
        for cur in ("GBP", "EUR", "USD")
    ),
    Account("fees", "Fees", "expense"),
)
ORGANIZATION = Organization("20", "Rosehip", "GBP", "Europe/London")
CREDITOR = Creditor("CR1", "Rosehip Ltd", "successful", "GB")
RATE = TaxRate("GB_VAT_1", "20.0", Decimal(20), "GB")
FACTS = Facts(
    organizations=(ORGANIZATION,),
    creditors=(CREDITOR,),
    bank_accounts=tuple(BankAccount(f"BA-{cur}", cur) for cur in ("GBP", "EUR", "USD")),
    currencies=(Currency("EUR", "0.85"),),
    accounts=ACCOUNTS,
    tax_rates=(RATE,),
    taxes=(Tax("t-20", "VAT 20%", Decimal(20)), Tax("t-5", "VAT 5%", Decimal(5))),
    vendors=(Contact("v-1", "GoCardless", "vendor", "active"),),
    fields={"customerpayments": frozenset({FIELD}), "expenses": frozenset({FIELD})},
    subscriptions=Seen(),
    payments_of_others=Seen(),
)
HELD = Held(
    own=ConnectionRow("acme"),
    invoices=12,
    owing=(
        Owing("EUR", False, 1, 5_000, "2026-03-09"),
        Owing("GBP", False, 2, 24_000, "2026-03-03"),
        Owing("GBP", True, 3, 36_000, "2026-01-31"),
    ),
)
OPEN = ConnectionRow("acme", gate="open", collect_from="2026-02-01")


def judged(**changes):
    """What is found where all is well but for these fields, of whichever part has them."""

    def changed(part):
        return replace(part, **{name: value for name, value in changes.items() if name in part.__struct_fields__})

    asked = changed(replace(ASKED, rules=changed(RULES)))
    facts, held = changed(FACTS), changed(HELD)
    known = {name for part in (asked, asked.rules, facts, held) for name in part.__struct_fields__}
    assert changes.keys() <= known
    return onboarding.judge(asked, facts, held, NOW)


def hindered(api, name, why, said=""):
    return Unread((Hindrance(api, name, why, said),))


def without(*names):
    return tuple(one for one in ACCOUNTS if one.name not in names)


def also(given, **more):
    return {**given, **more}


#: (level, word of the vocabulary, what it is about) → what differs from all being well, and the text that it leads to.
CASES = {
    # --- what could not be read ---
    ("stop", "gocardless_credentials", ""): (
        {"creditors": hindered("gocardless", "creditors", "not_accepted", "no token")},
        "GoCardless does not accept the access token (no token): enter it again.",
    ),
    ("stop", "gocardless_busy", ""): (
        {"creditors": hindered("gocardless", "creditors", "busy")},
        "GoCardless is asked too often just now: check again in a minute.",
    ),
    ("stop", "gocardless_unreachable", ""): (
        {"creditors": hindered("gocardless", "creditors", "fault", "502")},
        "GoCardless answered 502 to creditors: check again later.",
    ),
    ("stop", "gocardless_refused", "tax_rates"): (
        {"tax_rates": hindered("gocardless", "tax_rates", "refused", "forbidden")},
        "GoCardless refuses to show tax_rates (forbidden): give the access token the right to read it.",
    ),
    ("stop", "gocardless_unreadable", "payments"): (
        {"payments_of_others": hindered("gocardless", "payments", "unreadable")},
        "GoCardless shows payments in a form that is not documented.",
    ),
    ("stop", "zoho_credentials", ""): (
        {"currencies": hindered("zoho", "currencies", "not_accepted")},
        "Zoho Books does not accept the consent given: connect it again.",
    ),
    ("stop", "zoho_busy", ""): (
        {"currencies": hindered("zoho", "currencies", "busy")},
        "Zoho Books is asked too often just now: check again in a minute, or tomorrow when the day is spent.",
    ),
    ("stop", "zoho_unreachable", ""): (
        {"currencies": hindered("zoho", "currencies", "unreachable", "reset")},
        "Zoho Books cannot be reached (reset): check the network, then again.",
    ),
    ("stop", "zoho_refused", "contacts"): (
        {"vendors": hindered("zoho", "contacts", "refused", "code 57: not you")},
        "Zoho Books refuses to show contacts (code 57: not you): check the user's rights.",
    ),
    ("stop", "zoho_unreadable", "expenses"): (
        {"fields": also(FACTS.fields, expenses=hindered("zoho", "expenses", "unreadable"))},
        "Zoho Books shows expenses in a form that is not documented.",
    ),
    # --- the two sides ---
    ("stop", "organization", ""): (
        {"organization_id": "30"},
        "This consent does not reach organisation 30 of Zoho Books; it reaches 20.",
    ),
    ("stop", "time_zone", ""): (
        {"organizations": (replace(ORGANIZATION, time_zone="Mars/Olympus"),)},
        (
            "The organisation's time zone cannot be used: unknown time zone 'Mars/Olympus': expected an IANA name such as"
            " Europe/London."
        ),
    ),
    ("stop", "creditor", ""): (
        {"creditors": ()},
        "This GoCardless account has no creditor yet: finish its set-up at GoCardless.",
    ),
    ("stop", "creditor_taken", ""): (
        {"others": (ConnectionRow("birch", environment="live", creditor="CR1"),)},
        "Creditor CR1 is that of connection birch already; both would collect from the same people. Keep one.",
    ),
    ("decide", "creditors", ""): (
        {"creditors": (CREDITOR, replace(CREDITOR, id="CR2"))},
        "This GoCardless account has 2 creditors; all their payouts are posted.",
    ),
    ("decide", "verification", ""): (
        {"creditors": (replace(CREDITOR, verification_status="in_review"),)},
        "GoCardless has not verified Rosehip Ltd (in_review): it pays nothing out until it has.",
    ),
    ("stop", "rate", "EUR"): (
        {"currencies": (Currency("EUR", ""),)},
        "Zoho Books has no exchange rate for EUR: add one there.",
    ),
    # --- what the rules name, and what they leave out ---
    ("stop", "currency", "pounds"): (
        {"suspense": also(RULES.suspense, pounds="")},
        "rules.suspense: pounds is no currency; use its three capitals.",
    ),
    ("stop", "no_clearing", ""): (
        {"clearing": {}},
        "rules.clearing names no account: add one for each currency that is collected.",
    ),
    ("stop", "no_bank", "EUR"): (
        {"bank": {"GBP": "Bank GBP"}},
        "rules.bank names no account for payouts in EUR.",
    ),
    ("decide", "no_suspense", "GBP"): (
        {"suspense": {"EUR": "Suspense EUR"}},
        "rules.suspense names no account for GBP: reversals that Zoho Books refuses wait for a person.",
    ),
    ("decide", "no_fees", ""): (
        {"fees": ""},
        "rules.fees names no account: GoCardless's fees are not booked, and stay in clearing.",
    ),
    ("decide", "books_from", ""): (
        {"books_from": ""},
        "rules.books_from names no day: everything that GoCardless still shows is booked, old payouts too.",
    ),
    ("stop", "books_from", ""): (
        {"books_from": "in May"},
        "rules.books_from: not a day of the form YYYY-MM-DD.",
    ),
    ("stop", "closed_through", ""): (
        {"closed_through": "0001-01-01"},
        "rules.closed_through: before 1970-01-01 or after 9998-12-30.",
    ),
    ("stop", "account_twice", ""): (
        {"suspense": also(RULES.suspense, GBP="Clearing GBP")},
        "The rules use the account 'Clearing GBP' for more than one thing: each needs its own.",
    ),
    ("stop", "account", "bank_GBP"): (
        {"accounts": without("Bank GBP")},
        "Zoho Books has no active account named 'Bank GBP' (bank GBP): make it, or correct the settings.",
    ),
    ("stop", "account", "clearing_GBP"): (
        {"clearing": also(RULES.clearing, GBP="Other EUR")},
        "The account 'Other EUR' (clearing GBP) is in EUR: name one of Banking, in GBP.",
    ),
    ("stop", "account", "suspense_EUR"): (
        {"accounts": (*without("Suspense EUR"), Account("cash", "Suspense EUR", "cash"))},
        "The account 'Suspense EUR' (suspense EUR) is not one of Banking: name one of Banking, in EUR.",
    ),
    ("stop", "account", "fees"): (
        {"fees": "Other GBP"},
        "The account 'Other GBP' (fees) is no expense account: name one.",
    ),
    ("stop", "tax", "GB_VAT_1"): (
        {"tax": {"GB_VAT_1": "VAT 5%"}},
        "The tax 'VAT 5%' of Zoho Books is 5 %, GoCardless's GB_VAT_1 is 20 %.",
    ),
    ("decide", "no_tax", "GB_VAT_2"): (
        {"tax_rates": (RATE, TaxRate("GB_VAT_2", "5.0", Decimal(5), "GB"))},
        "rules.tax names no tax for GB_VAT_2 (5.0 %), which GoCardless may charge on its fees.",
    ),
    ("stop", "vendor", ""): (
        {"vendor": "Nobody"},
        "Zoho Books has 0 active vendors named 'Nobody': one is needed.",
    ),
    ("decide", "unique_field", "expenses"): (
        {"fields": also(FACTS.fields, expenses=frozenset())},
        (
            f"Whether expenses have the custom field {FIELD}, set to refuse duplicates, cannot be seen from outside: look"
            " in Zoho."
        ),
    ),
    ("stop", "max_debit", "GBP"): (
        {"max_debit": {"GBP": "much"}},
        "rules.max_debit.GBP: 'much' is no amount; write it as 5000.00.",
    ),
    ("stop", "max_payer_month", "GBP"): (
        {"max_payer_month": {"GBP": "-5"}},
        "rules.max_payer_month.GBP: a ceiling is not below zero.",
    ),
    ("stop", "max_day", "GBP"): (
        {"max_day": {"GBP": "1.005"}},
        "rules.max_day.GBP: 1.005 does not fit GBP, which has 2 minor digits; nothing is rounded.",
    ),
    ("stop", "max_day_count", "gbp"): (
        {"max_day_count": {"gbp": 5}},
        "rules.max_day_count.gbp: unknown currency 'gbp': expected an ISO 4217 code such as GBP or EUR.",
    ),
    ("stop", "max_day_count", "EUR"): (
        {"max_day_count": {"EUR": -1}},
        "rules.max_day_count.EUR: a ceiling is not below zero.",
    ),
    ("stop", "opening_clearing", "XXX"): (
        {"opening_clearing": {"XXX": "1"}},
        "rules.opening_clearing.XXX: unknown currency 'XXX': expected an ISO 4217 code such as GBP or EUR.",
    ),
    # --- what else is going on ---
    ("decide", "subscriptions", ""): (
        {"subscriptions": Seen(2)},
        "2 live subscriptions at GoCardless go on collecting beside us: end them, or accept.",
    ),
    ("decide", "pending_payments", ""): (
        {"payments_of_others": Seen(900, cut=True)},
        "At least 900 payments made by others are under way at GoCardless: they may pay invoices of ours.",
    ),
    ("decide", "no_webhooks", "zoho"): (
        {"unheard": ("zoho",)},
        "No webhook secret of Zoho Books is entered: what happens there is noticed by polls only, hours later.",
    ),
    ("stop", "import", ""): (
        {"not_read": ("gocardless.mandates", "zoho.invoices")},
        "Not yet read to the end: gocardless.mandates, zoho.invoices. Keep `run` going, then check again.",
    ),
    # --- where all is well ---
    ("ok", "organization", ""): ({}, "Zoho Books: Rosehip, base currency GBP."),
    ("ok", "creditor", ""): ({}, "GoCardless: Rosehip Ltd, payouts in EUR, GBP, USD."),
    ("ok", "import", ""): ({}, "Both sides are read; 12 invoices are known."),
    ("decide", "first_collection", ""): (
        {},
        (
            "Collected on their due dates once this is approved: 1 invoices of 50.00 EUR (oldest due 2026-03-09), 2 invoices"
            " of 240.00 GBP (oldest due 2026-03-03). Held, since they fell due before 2026-03-02: 3 invoices of 360.00 GBP"
            " (oldest due 2026-01-31); accept an earlier day with --collect-from DAY."
        ),
    ),
    ("ok", "first_collection", ""): (
        {"own": OPEN, "owing": (Owing("GBP", False, 2, 24_000, "2026-03-03"),)},
        "Owing and not under way: 2 invoices of 240.00 GBP (oldest due 2026-03-03).",
    ),
    ("decide", "policy", ""): ({}, "Policy 1 of the settings comes into force: the first one."),
}

#: What a person decides where all is well.
ALWAYS = {"first_collection", "policy"}


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_each_finding_is_given_for_its_cause_and_for_no_other_s(case):
    level, word, about = case
    changes, text = CASES[case]
    checked = judged(**changes)
    code = f"{word}_{about}" if about else word
    found = {one.code: one for one in checked.event.findings}
    assert (found[code].level, found[code].text) == (level, text)
    assert {one.code for one in checked.stops} == ({code} if level == "stop" else set())
    assert {one.code for one in checked.decisions} <= ALWAYS | {code}
    assert (checked.policy is None) == (level == "stop")


def test_there_is_a_case_for_every_code_that_can_be_given():
    levels = {"stop": StopCode, "decide": DecideCode, "ok": OkCode}
    assert set(levels) == set(get_args(Level))
    possible = {(level, word) for level, words in levels.items() for word in get_args(words)}
    assert {(level, word) for level, word, _ in CASES} == possible


# --- all well ---


def test_where_all_is_well_nothing_stops_and_names_have_become_ids():
    checked = judged()
    assert checked.stops == []
    assert {one.code for one in checked.decisions} == ALWAYS
    assert checked.policy is not None
    assert checked.policy.accounts == Accounts(
        clearing={"EUR": "C-EUR", "GBP": "C-GBP"},
        suspense={"EUR": "S-EUR", "GBP": "S-GBP"},
        bank={"BA-EUR": "B-EUR", "BA-GBP": "B-GBP"},
        fees="fees",
        tax={"GB_VAT_1": "t-20"},
        vendor="v-1",
    )
    event = checked.event
    assert (event.organization_id, event.base_currency, event.time_zone) == ("20", "GBP", "Europe/London")
    assert (event.environment, event.creditor, event.rates) == ("live", "CR1", {"EUR": "0.85"})
    assert event.creditor_bank_accounts == {"BA-GBP": "GBP", "BA-EUR": "EUR", "BA-USD": "USD"}


def test_where_the_policy_is_in_force_and_collection_has_begun_nothing_is_left_to_decide():
    first = judged()
    again = judged(own=replace(OPEN, policy=first.policy))
    assert (again.stops, again.decisions, again.policy, again.first_count) == ([], [], None, None)


def test_a_later_policy_says_what_it_changes():
    first = judged()
    later = judged(own=replace(OPEN, policy=first.policy), send_hour=9, max_debit={"GBP": "10"})
    assert later.policy is not None
    assert (later.policy.version, later.policy.max_debit_minor) == (2, {"GBP": 1_000})
    told = next(one.text for one in later.decisions if one.code == "policy")
    assert told == "Policy 2 of the settings comes into force: it changes send_hour, max_debit_minor."


# --- what could not be read ---


def test_every_hindrance_of_either_api_has_a_text():
    assert set(UNREAD) == {(api, why) for api in APIS for why in get_args(Why)}
    assert set(get_args(Why)) > OF_ONE_LIST


def test_credentials_that_cannot_be_used_are_told_in_their_own_words():
    kept_out = {name: Unread() for name in ("bank_accounts", "tax_rates", "subscriptions", "payments_of_others")}
    checked = judged(creditors=hindered("gocardless", "creditors", "no_credentials", "no token is entered"), **kept_out)
    assert [(one.code, one.text) for one in checked.stops] == [
        ("gocardless_credentials", "GoCardless: no token is entered.")
    ]


def test_one_code_is_one_finding_whatever_it_spoils():
    both = Unread(tuple(Hindrance("zoho", name, "fault", "502") for name in ("chartofaccounts", "bankaccounts")))
    checked = judged(accounts=both)
    assert [(one.code, one.text) for one in checked.stops] == [
        (
            "zoho_unreachable",
            (
                "Zoho Books answered 502 to chartofaccounts: check again later. Zoho Books answered 502 to bankaccounts:"
                " check again later."
            ),
        )
    ]


# --- the day that tells what is owing ---


@pytest.mark.parametrize(
    ("changes", "facts", "own", "day"),
    [
        ({}, FACTS, HELD.own, "2026-03-02"),
        ({"collect_from": "2026-01-01"}, FACTS, HELD.own, "2026-01-01"),
        ({}, FACTS, OPEN, "2026-02-01"),
        ({"collect_from": "2026-01-01"}, FACTS, OPEN, "2026-01-01"),
        ({}, FACTS, replace(HELD.own, opening_posted=True), ""),
        ({"organization_id": "30"}, FACTS, OPEN, None),
        ({}, replace(FACTS, organizations=Unread()), OPEN, None),
        ({}, replace(FACTS, organizations=(replace(ORGANIZATION, time_zone=None),)), HELD.own, "2026-03-02"),
        ({}, replace(FACTS, organizations=(replace(ORGANIZATION, time_zone="Nowhere"),)), HELD.own, None),
    ],
)
def test_the_day_is_the_one_accepted_or_named_or_else_today(changes, facts, own, day):
    assert onboarding.owing_day(replace(ASKED, **changes), facts, own, NOW) == day


def test_an_organisation_far_east_has_its_own_today():
    east = replace(FACTS, organizations=(replace(ORGANIZATION, time_zone="Pacific/Auckland"),))
    assert onboarding.owing_day(ASKED, east, HELD.own, "2026-03-02T22:00:00.000Z") == "2026-03-03"


def test_a_currency_without_debits_waits_unless_a_ceiling_is_named():
    silent = judged(owing=())
    assert (silent.collect_from, silent.first_count, silent.first_minor) == ("2026-03-02", {}, {})
    told = next(one.text for one in silent.decisions if one.code == "first_collection")
    assert told == (
        "Collected on their due dates once this is approved: none. Nothing falls due in EUR, GBP: the first debits there"
        " wait for you, unless rules.max_day names a ceiling."
    )
    named = judged(owing=(), max_day={"EUR": "500"}, max_day_count={"GBP": 10})
    assert "Nothing falls due" not in next(one.text for one in named.decisions if one.code == "first_collection")
