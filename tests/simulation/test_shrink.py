"""A run that breaks is made as small as it can be: what is left is all needed, and the same promise is broken."""

import pytest

from streams.simulation import oracles
from streams.simulation.acts import Act
from streams.simulation.oracles import Breach
from streams.simulation.shrink import same, shrink
from streams.simulation.silence import silent
from streams.simulation.simulation import Report, simulate
from streams.simulation.spec import PlanSpec, family_of, in_short, kinds_of

BREACH = Breach("debit_twice", "c1", "commands:cm-1", "found 2")


def report(*breaches):
    return Report(seed=1, breaches=breaches, ends={}, faults={}, calls=0, digest="")


def busy():
    """A seed of which much happens, of many kinds."""
    found = max((PlanSpec(seed=seed) for seed in range(1, 40)), key=lambda spec: len(kinds_of(spec)))
    assert len(kinds_of(found)) > 25
    return found


class Runs:
    """Runs that break as a predicate says; a second of real time each."""

    def __init__(self, breaks, breach=BREACH):
        self.breaks, self.breach = breaks, breach
        self.specs = []

    def __call__(self, spec, limit_s):
        assert limit_s > 0
        self.specs.append(spec)
        return report(self.breach) if self.breaks(spec) else report()

    def now_s(self):
        return float(len(self.specs))

    def shrink(self, spec, **more):
        return shrink(spec, report(BREACH), BREACH, attempt=self, now_s=self.now_s, **more)


def needs(*names, invoices=1, days=1):
    return lambda spec: {*names} <= {*kinds_of(spec)} and spec.invoices >= invoices and spec.days >= days


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_what_is_left_is_what_is_needed(count):
    spec = busy()
    wanted = list(kinds_of(spec))[:: len(kinds_of(spec)) // 5][:count]
    shrunk = Runs(needs(*wanted)).shrink(spec, most_runs=200)
    assert sorted(kinds_of(shrunk.spec)) == sorted(wanted)
    assert (shrunk.spec.invoices, shrunk.spec.days, shrunk.whole) == (1, 1, True)
    assert shrunk.report.breaches == (BREACH,)


def test_whole_families_go_at_once():
    spec = busy()
    kinds = kinds_of(spec)
    first = next(iter(kinds))
    runs = Runs(needs(first))
    runs.shrink(spec)
    families = {family_of(kind) for kind in kinds.values()}
    assert len(runs.specs) < len(families) + 20 < len(kinds) + 20


def test_as_few_invoices_and_days_are_left_as_break():
    shrunk = Runs(needs(invoices=5, days=9)).shrink(PlanSpec(seed=1))
    assert (shrunk.spec.invoices, shrunk.spec.days) == (5, 9)


def test_another_promise_or_another_kind_of_record_is_not_the_same():
    assert same(BREACH, report(Breach("debit_twice", "c1", "commands:cm-2", ""))) is not None
    for other in (
        Breach("debit_twice", "c1", "payments:PM1", ""),
        Breach("debit_left", "c1", "commands:cm-1", ""),
    ):
        assert same(BREACH, report(other)) is None
        shrunk = Runs(lambda spec: True, other).shrink(PlanSpec(seed=1))
        assert shrunk.spec == PlanSpec(seed=1)
    assert (
        same(Breach("expense_tax", "c1", "zoho expense 1", ""), report(Breach("expense_tax", "c1", "zoho bill 1", "")))
        is None
    )


def test_it_ends_after_so_many_runs_or_seconds_and_says_so():
    everything = needs(*kinds_of(busy()))
    for bound in ({"most_runs": 7}, {"most_s": 7.0}):
        runs = Runs(everything)
        shrunk = runs.shrink(busy(), **bound)
        assert (len(runs.specs), shrunk.runs, shrunk.whole) == (7, 7, False)
        assert kinds_of(shrunk.spec) == kinds_of(busy())


def test_a_run_that_raises_is_told_and_not_taken():
    spec = busy()
    wanted = next(iter(kinds_of(spec)))

    def breaks(spec):
        if wanted not in kinds_of(spec):
            raise RuntimeError("there is no loop")
        return True

    shrunk = Runs(breaks).shrink(spec)
    assert list(kinds_of(shrunk.spec)) == [wanted]
    assert shrunk.raised["RuntimeError: there is no loop"] >= 1


def test_no_run_is_tried_twice():
    runs = Runs(needs(*list(kinds_of(busy()))[::7], invoices=3))
    runs.shrink(busy())
    tried = [spec.plan() for spec in runs.specs]
    assert len(tried) == len(set(tried))


def test_a_plan_in_short_is_the_same_plan():
    for seed in range(1, 30):
        spec = PlanSpec(seed=seed)
        names = list(kinds_of(spec))
        for without in (names, names[::2], [name for name in names if name.startswith("act")]):
            cut = PlanSpec(seed=seed, without=tuple(without))
            assert in_short(cut).plan() == cut.plan()
            assert len(in_short(cut).command()) <= len(cut.command())
    everything = PlanSpec(seed=1, without=tuple(kinds_of(PlanSpec(seed=1))))
    assert in_short(everything).command() == "zoho-gocardless simulate --seed 1 --faults none"


def test_a_real_run_shrinks_to_the_act_that_somebody_did(monkeypatch):
    """An oracle that finds one kind of act: what is left is the moment at which it is done."""

    def somebody_did(evidence):
        return [
            Breach("debit_left", evidence.connection, f"acts:{act.name}", "somebody did it")
            for act in evidence.acts
            if act.name == "zoho.create_invoice"
        ]

    monkeypatch.setattr(oracles, "breaches", somebody_did)
    spec = PlanSpec(
        seed=4,
        days=2,
        invoices=2,
        heal_days=1,
        faults=("act", "reset_after", "error_before"),
        acts=("zoho.create_invoice", "zoho.create_contact"),
    )
    with silent():
        first = simulate(spec.plan())
        shrunk = shrink(spec, first, first.breaches[0], most_runs=25)
        again = simulate(shrunk.spec.plan())
    assert len(first.acts) > 1
    done: list[Act] = [act for act in again.acts if act.name == "zoho.create_invoice"]
    assert len(again.acts) == len(done) == 1
    assert again.faults == {"act": 1}
    assert again.digest == shrunk.report.digest
    assert shrunk.whole
