"""What is known to be wrong is wrong still, each by the run that shows it, and drawn only where a run asks for it."""

import pytest

from streams.simulation.known import KNOWN, Known, is_known, known_acts
from streams.simulation.oracles import Breach
from streams.simulation.people import SPECS
from streams.simulation.silence import silent
from streams.simulation.simulation import simulate
from streams.simulation.spec import PlanSpec, spec_of
from streams.simulation.traits import TRAITS

#: Real seconds for one run. Higher than what any takes, on a machine that does other things too.
LIMIT_S = 100.0


def held(entry):
    """What is to be told of an entry that shows no more what it says; nothing where it still does."""
    spec = spec_of(entry)
    with silent():
        report = simulate(spec.plan(), limit_s=LIMIT_S)
    ours = [breach for breach in report.breaches if is_known(breach, [entry])]
    others = [str(breach) for breach in report.breaches if not is_known(breach, [entry, *KNOWN])]
    if not ours:
        yield (
            f"{entry}: {spec.command()} does not break {entry.oracle} any more. If that is repaired, remove the entry "
            "from KNOWN, and the traits that are only its own: every run is to have what they let in. If another company "
            "or plan is drawn of this seed now, find another seed."
        )
    if others:
        yield f"{entry}: {spec.command()} breaks what nobody knows: {others}"


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: f"{entry.finding}-{entry.oracle}")
def test_what_is_known_to_be_wrong_still_is(entry):
    assert list(held(entry)) == []


def test_an_entry_that_does_not_break_any_more_is_to_be_removed():
    calm = Known(
        finding="A0",
        words="a calm day",
        oracle="debit_twice",
        acts=(),
        seed=4,
        days=1,
        invoices=1,
        heal_days=1,
        faults=(),
    )
    (told,) = held(calm)
    assert "remove the entry" in told
    assert "A0: a calm day" in told


def test_every_name_is_of_an_act_or_a_trait():
    assert known_acts() <= {*SPECS, *TRAITS}


def test_what_is_known_is_drawn_only_when_asked_for():
    usual, asked = PlanSpec(seed=1).plan(), PlanSpec(seed=1, with_known=True).plan()
    assert set(asked.acts) - set(usual.acts) == known_acts() & set(SPECS)
    assert (set(usual.traits), set(asked.traits)) == (set(), set(TRAITS))
    assert {moment.name for moment in usual.moments} <= {moment.name for moment in asked.moments}


def test_a_breach_is_known_by_its_oracle_and_its_words():
    entry = Known(
        finding="A0", words="…", oracle="heap", found="^purpose sweep: .*found 2", acts=(), seed=1, days=1, invoices=1
    )
    breach = Breach("heap", "c1", "purpose sweep", "one open command per purpose; found 2")
    assert is_known(breach, [entry]) is entry
    assert is_known(Breach("grown", "c1", breach.about, breach.words), [entry]) is None
    assert is_known(Breach("heap", "c1", "purpose debit:1", breach.words), [entry]) is None
