"""The simulation misses each protection of the program that is taken out: the same run that breaks no promise with it
breaks one without.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from streams.simulation.bounds import SMALL, Bounds
from streams.simulation.faults import CALL_FAULTS, Rates
from streams.simulation.oracles import Breach
from streams.simulation.plan import DAY_S, Moment, Plan, draw_plan
from streams.simulation.silence import silent
from streams.simulation.simulation import simulate
from tests.simulation import protections


class Case(msgspec.Struct, frozen=True):
    """A protection, the oracles of which one must miss it, and the run in which it is needed. `rates` by kind of fault;
    `moments` and `fields` are laid over the plan that the seed draws without faults.
    `cut_after`: the power goes while the first write to this path is on its way back. `besides`: a protection that
    stands before this one, and is out in both runs.
    """

    removal: Callable[[pytest.MonkeyPatch], None]
    oracles: str
    seed: int
    invoices: int = 8
    heal_days: int = 21
    rates: dict[str, float] = {}
    moments: tuple[Moment, ...] = ()
    acts: tuple[str, ...] = ()
    fields: dict[str, Any] = {}
    cut_after: str = ""
    besides: Callable[[pytest.MonkeyPatch], None] | None = None

    def plan(self) -> Plan:
        """The run."""
        calls = [pair for pair in self.rates.items() if pair[0] in CALL_FAULTS]
        webhooks = [pair for pair in self.rates.items() if pair[0] not in CALL_FAULTS]
        fields = {"connections": 1, "bounds": Bounds(), "zoho_day_calls": 0, "one_company": False, **self.fields}
        return msgspec.structs.replace(
            draw_plan(self.seed, days=8, invoices=self.invoices, allowed=(), acts=self.acts),
            heal_days=self.heal_days,
            rates=Rates(tuple(calls), tuple(webhooks)),
            moments=self.moments,
            **fields,
        )


def each(kind: Any, days: float, value: float = 10.0, what: str = "") -> tuple[Moment, ...]:
    """The same fault again and again, so many days apart, from the start on."""
    return tuple(Moment(f"{kind}:{place}", kind, place * days * DAY_S, value, what) for place in range(int(8 / days)))


def held_up(first_s: float) -> tuple[Moment, ...]:
    """Each day at the hour of sending, first at `first_s`: the program dies with a debit decided, its token is refused
    for a while, and people void invoices meanwhile.
    """
    found: list[Moment] = []
    for day in range(7):
        at_s = first_s + day * DAY_S
        found.append(Moment(f"failpoint:{day}", "failpoint", at_s - 1, 5.0, "relay.after_mark:2"))
        found.append(Moment(f"token_refused:{day}", "token_refused", at_s + 1.5, 0.6 * DAY_S, "c1"))
        found += [
            Moment(f"act:{day}:{place}", "act", at_s + 100 * place, float(100 * day + place), "c1")
            for place in range(1, 9)
        ]
    return tuple(found)


TWO_OF_ONE: dict[str, Any] = {"connections": 2, "one_company": True}
REFUSED = (Moment("token_refused:0", "token_refused", 3 * DAY_S, 20_000.0, "c1"),)

#: A page holds so few rows, and a record so few bytes, that what one customer owes is too much for one decision.
TIGHT = msgspec.structs.replace(SMALL, record_bytes=16_000, decision_bytes=15_000)

CASES = [
    Case(protections.intents, "transfer_twice", 361, invoices=12, heal_days=12, cut_after="/banktransactions"),
    Case(protections.bounds, "program_ended outbox_left", 168, invoices=60, heal_days=6, fields={"bounds": TIGHT}),
    Case(protections.objection, "debit_uncollectable", 4, invoices=12, heal_days=6, moments=held_up(62_700.0), acts=("zoho.void_invoice",)),
    Case(protections.settle_time, "transfer_twice", 365, invoices=12, heal_days=12, rates={"late_request": 0.15}),
    Case(protections.budget, "calls_over_budget", 224, invoices=60, heal_days=6, fields={"bounds": SMALL, "zoho_day_calls": 60}),
    Case(protections.key, "debit_twice", 365, invoices=12, heal_days=12, rates={"late_request": 0.15}),
    Case(protections.look_up, "transfer_twice", 416, rates={"lost_answer": 0.3}),
    Case(protections.second_try, "poll_late", 365, heal_days=6, moments=REFUSED),
    Case(protections.one_owner, "debit_without_command", 365, fields=TWO_OF_ONE),
    Case(protections.append_before_answer, "webhook_taken", 365, heal_days=6, moments=each("failpoint", 0.5, what="gateway.before_append")),
    Case(protections.signature, "webhook_taken", 365, heal_days=6, rates={"forged": 0.2}),
    Case(protections.page_before_cursor, "unseen_resource", 185, heal_days=6, moments=each("failpoint", 0.4, what="poller.after_save")),
    Case(protections.header_guard, "program_ended", 365, heal_days=6, rates={"odd_headers": 0.05}),
    Case(protections.compare_and_set, "rebuild_differs", 365, heal_days=8, moments=each("second_owner", 0.3, 3_600.0), besides=protections.log_lock),
    Case(protections.append_before_mark, "rebuild_differs", 365, heal_days=10, moments=each("failpoint", 0.5, what="relay.after_mark")),
]  # fmt: skip


@functools.cache
def unbroken(plan: Plan, besides: object) -> tuple[Breach, ...]:
    """What is broken with every protection in its place but `besides`; shared by the cases of one run."""
    del besides
    with silent():
        return simulate(plan, limit_s=300).breaches


def first_write(plan: Plan, path: str) -> Moment:
    """A power cut while the answer of the first write to a path is on its way: it takes 10 ms at the least."""
    with silent():
        trace = simulate(plan, limit_s=300).trace
    at_s = next(float(line.split()[0]) for line in trace if f" POST {path} 201" in line)
    return Moment("crash:0", "crash", at_s - 0.005, 1.0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.removal.__name__) for case in CASES])
def test_a_protection_that_is_taken_out_is_missed(case, monkeypatch):
    plan = case.plan()
    if case.cut_after:
        plan = msgspec.structs.replace(plan, moments=(first_write(plan, case.cut_after),))
    if case.besides is not None:
        case.besides(monkeypatch)
    assert [str(breach) for breach in unbroken(plan, case.besides)] == []
    case.removal(monkeypatch)
    with silent():
        report = simulate(plan, limit_s=300)
    words = [str(breach) for breach in report.breaches]
    sys.stdout.write("\n  ".join([str(case.removal.__doc__), *words[:5]]) + "\n")
    assert {breach.oracle for breach in report.breaches} & set(case.oracles.split()), words
