"""Whoever acts beside the program: every act that the simulators know has a way to be drawn and done, and is told."""

import asyncio
import hashlib
import random
from datetime import timedelta

import msgspec
import orjson
import pytest

from sandbox.gocardless.acts import VERBS
from sandbox.gocardless.app import ENDPOINTS as CALLS
from sandbox.loop_time import LoopTime
from sandbox.zoho.human import Person
from streams.simulation import acts_banks, acts_books, acts_dashboard
from streams.simulation.company_documents import hand_payments
from streams.simulation.people import SPECS, ActRates, draw_act, draw_rates, next_act_s, perform
from streams.simulation.virtual_time import run
from tests.support.hash_seeds import said_by
from tests.support.made_worlds import ENDPOINTS, MadeWorld, drawn

CANCEL = "POST /mandates/{id}/actions/cancel"


#: Companies that collect pounds: of what banks do, some is done in few schemes only.
IN_POUNDS = [seed for seed in range(30) if "GBP" in drawn(seed).currencies][:4]


def permissive(seed=IN_POUNDS[0]):
    """A company in which nothing is forbidden, and whose payers leave their invitations lie."""
    one = drawn(seed, days=20)
    return msgspec.structs.replace(
        one,
        gocardless={**one.gocardless, "custom_payment_pages": True, "rate_limit_per_minute": 1000},
        creditor={**one.creditor, "can_create_refunds": True},
        switches={**one.switches, "lock_date": "", "names_unique": False},
        payer={**one.payer, "behaviour": "never"},
        webhooks={"gocardless": True, "zoho": True},
    )


def lived(days=25, seed=IN_POUNDS[0]):
    made = MadeWorld(permissive(seed))
    for _ in range(days):
        made.live_a_day()
    return made


def acted(world, name, rng):
    document = SPECS[name].draw(rng, world)
    return None if document is None else perform(world, name, document)


def test_every_act_of_the_person_at_the_books_can_be_drawn():
    made = MadeWorld(drawn(1))
    assert {f"zoho.{action}" for action in Person(made.books).actions} == {spec.name for spec in acts_books.SPECS}


def test_every_verb_of_gocardless_can_be_drawn():
    assert {f"gocardless.{verb}" for verb in VERBS} == {spec.name for spec in acts_banks.SPECS}
    assert len({spec.name for spec in (*acts_books.SPECS, *acts_banks.SPECS, *acts_dashboard.SPECS)}) == len(SPECS)


#: What makes something that other acts are done on; done each day, so that there is always some of it.
MAKING = (
    "zoho.create_invoice",
    "zoho.record_payment",
    "zoho.edit_payment",
    "gocardless.create_bank_account",
    "gocardless.create_mandate",
    "gocardless.create_payment",
    "gocardless.create_billing_request",
    "gocardless.create_flow",
    "gocardless.collect_customer_details",
    "gocardless.collect_bank_account",
    "gocardless.confirm_payer_details",
)


@pytest.mark.parametrize("seed", IN_POUNDS)
def test_each_act_is_done_at_least_once_in_some_weeks(seed):
    made, rng = lived(seed=seed), random.Random(f"{seed}/people")
    missing, refused, done = set(SPECS), {}, []
    for _ in range(120):
        # Failed payments leave no funds for a refund, so they are not made for longer than they are needed.
        making = (*MAKING, *(["gocardless.fail_payment"] if "gocardless.retry_payment" in missing else []))
        for name in [name for name in SPECS if name in missing or name in making]:
            act = acted(made.world, name, rng)
            if act is None:
                continue
            assert act.words
            assert "{" not in act.words
            assert orjson.loads(orjson.dumps(act.document)) == act.document, "a story can be written down"
            if act.refused:
                refused[name] = act.refused
                continue
            done.append(act)
            missing.discard(name)
        if not missing:
            break
        made.live_a_day()
    assert missing == set(), refused
    silent = {"gocardless.test_webhook", "gocardless.post_events"}
    assert [act.name for act in done if not act.touched and act.name not in silent] == []
    writing = {f"{one.method} {one.path}" for one in CALLS if one.method != "GET"}
    called = {act.document["call"] for act in done if "call" in act.document}
    assert writing - called == set(acts_dashboard.NOT_ACTED), "every writing call is made, or it is said why not"


def test_what_is_refused_is_given_back_with_the_words_of_the_books():
    made = lived()
    made.world.apis["zoho"].configure({"switches": {"lock_date": "2030-12-31"}})
    act = acted(made.world, "zoho.void_invoice", random.Random(1))
    assert (act.refused, act.touched) == ("400 120155: The transaction falls in a period that is locked.", ())
    assert act.at == made.world.now
    made.merchant.settings.custom_payment_pages = False
    act = acted(made.world, "gocardless.create_customer", random.Random(1))
    assert act.refused.startswith("403 forbidden: Your account is not approved")


def test_a_shorter_story_may_name_what_is_not_there():
    made, rng = lived(), random.Random(5)
    documents = {name: spec.draw(rng, made.world) for name, spec in SPECS.items()}
    other = MadeWorld(drawn(2))
    acts = [perform(other.world, name, document) for name, document in documents.items() if document is not None]
    assert len(acts) > 40
    assert sum(bool(act.refused) for act in acts) > 25
    assert all(act.words for act in acts)
    with pytest.raises(KeyError, match="nobody"):
        perform(other.world, "zoho.nobody", {})


def test_an_act_touches_what_hangs_on_what_it_names():
    made = lived()
    payments = made.merchant.collections["payments"].records
    payment = next(row for row in payments if row["status"] == "paid_out" and "zoho_invoice_id" in row["metadata"])
    invoice = made.books.invoices.rows[payment["metadata"]["zoho_invoice_id"]]
    act = perform(made.world, "gocardless.charge_back", {"do": "charge_back", "payment": payment["id"]})
    assert {payment["id"], payment["links"]["mandate"], payment["links"]["payout"], invoice.id} <= set(act.touched)
    assert made.merchant.customer_of(payment) in act.touched
    receipt = next(iter(invoice.payments.values())).payment
    act = perform(made.world, "zoho.void_invoice", {"action": "void_invoice", "invoice_id": invoice.id})
    assert act.refused == ""
    assert {invoice.id, invoice.contact.id, receipt.id, f"sandbox:{payment['id']}:1"} <= set(act.touched)
    assert act.words == f"somebody voids {invoice.number} in Zoho Books"
    act = perform(made.world, "zoho.delete_payment", {"action": "delete_payment", "payment_id": receipt.id})
    assert {receipt.id, f"sandbox:{payment['id']}:1"} <= set(act.touched)
    assert act.words == f"somebody deletes customer payment {receipt.number} of {invoice.contact.name} in Zoho Books"


def test_a_mandate_that_ends_touches_the_payments_that_end_with_it():
    made = lived(days=3)
    mandate = next(one for one in made.made.mandates if one is not None)
    currency = made.merchant.collections["customer_bank_accounts"][
        made.merchant.collections["mandates"][mandate]["links"]["customer_bank_account"]
    ]["currency"]
    body = {"amount": 500, "currency": currency, "links": {"mandate": mandate}}
    made_by_hand = perform(made.world, "gocardless.create_payment", {"call": "POST /payments", "body": body})
    assert made_by_hand.refused == ""
    payment = next(one for one in made_by_hand.touched if one.startswith("PM"))
    act = perform(made.world, "gocardless.end_mandate", {"do": "end_mandate", "mandate": mandate})
    assert {mandate, payment} <= set(act.touched)
    assert made.merchant.collections["payments"][payment]["status"] == "cancelled"


def test_what_customers_pay_past_us_is_a_share_of_what_is_open_then():
    one = drawn(6)
    planned = hand_payments(one)
    assert planned
    made, told = MadeWorld(one), []
    for at, document in planned:
        made.live_until(max(at, made.world.now))
        invoice = made.books.invoices.rows[made.books.invoices_by_number[document["invoice_number"]]]
        open_minor = invoice.balance_minor
        act = perform(made.world, "zoho.record_payment", document)
        told.append(act.words)
        if not act.refused:
            assert open_minor - invoice.balance_minor == max(1, open_minor * document["percent"] // 100)
    assert f"somebody records a payment of {planned[0][1]['invoice_number']} in Zoho Books" in told[0]


def test_an_act_happens_at_the_present_of_the_loop_and_is_told_by_webhook():
    posts = []

    async def work():
        loop = asyncio.get_running_loop()

        async def post(url, _headers, body):
            posts.append((loop.time(), url, body))
            return 200, {}, b""

        one = permissive()
        shown = msgspec.structs.replace(one, gocardless={**one.gocardless, "webhook_lag_s": [6, 10]})
        made = MadeWorld(msgspec.structs.replace(shown, invoices=(), subscriptions=()), post=post)
        mandate = next(one for one in made.made.mandates if one is not None)
        async with LoopTime(made.world):
            await asyncio.sleep(12.5)
            act = perform(made.world, "gocardless.cancel_mandate", {"call": CANCEL, "id": mandate})
            assert act.refused == ""
            assert act.at == made.company.start + timedelta(seconds=12.5)
            await asyncio.sleep(60)

    run(work())
    at_s, url, body = posts[0]
    assert url == ENDPOINTS["gocardless"]["url"]
    assert 18.5 <= at_s <= 22.5
    assert [event["action"] for event in orjson.loads(body)["events"]] == ["cancelled"]


def test_mixtures_differ_and_what_cannot_be_done_is_passed_over():
    rates = [draw_rates(random.Random(seed)) for seed in range(60)]
    assert {one.acts_a_day for one in rates} >= {0.0, 3.0}
    assert {len(one.weights) > 20 for one in rates} == {True, False}
    assert all(set(one.weights) <= set(SPECS) for one in rates)
    assert next_act_s(random.Random(1), ActRates(0.0, {"zoho.void_invoice": 1})) is None
    assert next_act_s(random.Random(1), ActRates(3.0, {})) is None
    drawn_s = [next_act_s(random.Random(seed), ActRates(2.0, {"zoho.void_invoice": 1})) for seed in range(400)]
    assert 35_000 < sum(drawn_s) / 400 < 52_000
    world = MadeWorld(drawn(1)).world
    nothing = ActRates(1.0, {"gocardless.cancel_chargeback": 5, "gocardless.bounce_payout": 1})
    assert draw_act(random.Random(1), world, nothing) is None
    either = ActRates(1.0, {"gocardless.cancel_chargeback": 5, "gocardless.create_customer": 1})
    assert draw_act(random.Random(1), world, either)[0] == "gocardless.create_customer"


def story(seed, days=30):
    """What people do in a month of a seed's company, as text."""
    made, rng = MadeWorld(drawn(seed)), random.Random(f"{seed}/people")
    rates = ActRates(6.0, dict.fromkeys(SPECS, 1))
    end, acts = made.world.now + timedelta(days=days), []
    collects_at = made.world.now
    while True:
        at = made.world.now + timedelta(seconds=next_act_s(rng, rates))
        if at > end:
            return acts, made
        while collects_at + timedelta(days=1) <= at:
            made.live_a_day()
            collects_at = made.world.now
            at = max(at, collects_at)
        made.live_until(at)
        found = draw_act(rng, made.world, rates)
        if found is not None:
            acts.append(perform(made.world, *found))


def test_the_same_seed_gives_the_same_acts():
    program = """
from tests.simulation.test_people import digest
print(digest(3), digest(4))
"""
    said = [said_by(program, hash_seed=seed) for seed in ("0", "1")]
    assert said[0] == said[1]
    assert len(set(said[0])) == 2


def digest(seed):
    acts, made = story(seed)
    state = {name: api.state() for name, api in made.world.apis.items()}
    return hashlib.sha256(msgspec.json.encode([acts, state])).hexdigest()


@pytest.mark.parametrize("seed", range(20, 40))
def test_whatever_people_do_the_simulators_go_on(seed):
    """Acts in any mixture break neither simulator: time goes on, and the books balance."""
    acts, made = story(seed)
    assert len(acts) > 60
    assert sum(not act.refused for act in acts) > 20
    made.live_until(made.world.now + timedelta(days=40))
    assert sum(leg.base_minor for entry in made.books.ledger.entries.values() for leg in entry.legs) == 0
