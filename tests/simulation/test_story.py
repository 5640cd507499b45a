"""The story of a run: who, what happened that has to do with it, in its order, and which promises did not hold."""

import re
import shlex
from typing import get_args

import click
import msgspec
import pytest

from streams.cli.simulate import simulate_
from streams.simulation import oracles
from streams.simulation import story as stories
from streams.simulation.oracles import Breach
from streams.simulation.plan import HOUSE_FAULTS, HouseFault
from streams.simulation.silence import silent
from streams.simulation.simulation import simulate
from streams.simulation.spec import PlanSpec, kinds_of

SPEC = PlanSpec(seed=4, days=3, invoices=2, heal_days=3, faults=("act", "crash", "full_disk"), with_known=True)


@pytest.fixture(scope="module")
def lived():
    with silent():
        return simulate(SPEC.plan())


def happened(text):
    """The lines of what happened, without the instants."""
    part = text.split("What happened:\n")[1].split("\n\nWhat did not hold")[0]
    return re.findall(r"^  day [ -]*\d+  \S+ \S+Z  (.*)$", part, re.MULTILINE)


def breached(report, *breaches):
    return msgspec.structs.replace(report, breaches=breaches)


def test_it_says_who_the_company_is_in_one_line(lived):
    company = lived.companies["c1"]
    line = next(line for line in stories.story(SPEC, lived).splitlines() if line.startswith("c1: "))
    for word in (
        company.time_zone,
        company.base,
        *company.currencies,
        f"{len(company.customers)} customers",
        "2 invoices",
    ):
        assert word in line


def test_it_tells_what_happened_in_its_order(lived):
    text = stories.story(SPEC, lived)
    days = [int(day) for day in re.findall(r"^  day +(-?\d+)  ", text, re.MULTILINE)]
    assert days == sorted(days)
    lines = happened(text)
    assert "the program starts" in lines[0] or "is sent" in lines[0]
    assert "the operator approves c1" in lines
    assert all(act.words in text for act in lived.acts)
    assert any(line.startswith("the machine loses power") for line in lines)
    assert any("the disk under the log is full" in line for line in lines)


def test_what_names_the_record_is_told_and_of_other_records_nothing(lived):
    (payment, invoice) = next(
        (event["links"]["payment"], event["resource_metadata"]["zoho_invoice_id"])
        for event in lived.gocardless_events
        if event["resource_type"] == "payments" and "zoho_invoice_id" in event["resource_metadata"]
    )
    told = stories.story(SPEC, breached(lived, Breach("debit_left", "c1", f"invoices:{invoice}", "it went on")))
    assert f"GoCardless: payments {payment} created" in told
    assert "INV-0002 is sent" in told
    assert "POST /payments: 201" in told
    other = stories.story(
        SPEC, breached(lived, Breach("debit_left", "c1", "invoices:100000000000000001", "it went on"))
    )
    assert payment not in other


def test_each_breach_is_told_with_what_was_expected(lived):
    breach = Breach("debit_twice", "c1", "commands:cm-1", "one command makes one debit; found 2")
    text = stories.story(SPEC, breached(lived, breach, Breach("debit_twice", "c1", "commands:cm-2", "found 3")))
    assert str(breach) in text
    assert text.count("expected: One debit per command") == 1
    assert "every promise held" in stories.story(SPEC, breached(lived))


def test_every_oracle_says_what_it_expects():
    assert {question.__name__ for question in oracles.ORACLES if not (question.__doc__ or "").strip()} == set()


def test_it_is_short_whatever_happened(lived):
    about = "invoices:100000000000000001"
    report = msgspec.structs.replace(
        lived,
        breaches=tuple(Breach("debit_left", "c1", about, f"{number}") for number in range(100)),
        trace=tuple(f"{number}.0 program ended Fault {number % 100}" for number in range(5_000)),
    )
    text = stories.story(SPEC, report)
    assert len(happened(text)) == stories.MOST_LINES
    assert "more, of what names none of these records or says the same again" in text
    assert "Fault 7 (and 49 times more)" in text
    assert f"  {100 - stories.MOST_BREACHES} more." in text


def test_a_fault_of_a_call_is_named(lived):
    report = msgspec.structs.replace(
        breached(lived, Breach("debit_left", "c1", "payments:PM00000000000000", "…")),
        trace=(
            "10.5 call c1 gocardless GET /payments/PM00000000000000 502 html_before",
            "11.5 call c1 gocardless GET /payments/PM00000000000001 502 html_before",
            "12.5 call c1 zoho POST /customerpayments deadline lost_answer",
            "13.5 call c1 zoho POST /oauth/v2/token 200",
        ),
    )
    lines = happened(stories.story(SPEC, report))
    assert "c1 calls gocardless: GET /payments/PM00000000000000: 502 (html before)" in lines
    assert "c1 calls zoho: POST /customerpayments: deadline (lost answer)" in lines
    assert not any("PM00000000000001" in line or "oauth" in line for line in lines)


def test_every_kind_of_moment_has_words_of_its_own():
    # An outage and an act are told from elsewhere: with both ends, and in the words of whoever did it.
    assert set(stories._MOMENTS) == set(get_args(HouseFault)) - {"outage", "act"}
    for seed in range(40):
        for moment in PlanSpec(seed=seed, faults=HOUSE_FAULTS).plan().moments:
            words = stories._of_moment(moment).words
            assert "{" not in words
            assert moment.kind == "act" or not words.startswith(moment.kind), words


@pytest.mark.parametrize(
    "spec",
    [
        PlanSpec(seed=7),
        PlanSpec(seed=7, days=3, invoices=2, heal_days=4, with_known=True),
        PlanSpec(seed=7, faults=()),
        PlanSpec(seed=7, acts=("zoho.edit_invoice", "gocardless.create_mandate")),
        PlanSpec(seed=7, faults=("crash", "act", "lost"), without=tuple(list(kinds_of(PlanSpec(seed=7)))[:2])),
    ],
)
def test_the_command_plays_the_same_plan_again(spec):
    program, command, *words = shlex.split(spec.command())
    assert (program, command) == ("zoho-gocardless", "simulate")
    given = simulate_.make_context("simulate", words, parent=click.Context(click.Group())).params
    names = tuple(name for part in given["without"] for name in part.split(","))
    fields = {name: given[name] for name in ("seed", "days", "invoices", "heal_days", "faults", "with_known", "acts")}
    assert PlanSpec(**fields, without=names).plan() == spec.plan()
