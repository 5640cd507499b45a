"""What must hold at every moment is asked while the program is off, and told though it is right again at the end."""

import msgspec

from streams.simulation.oracles import Breach, table
from streams.simulation.plan import Moment, draw_plan
from streams.simulation.silence import silent
from streams.simulation.simulation import simulate


def test_what_was_wrong_for_a_while_is_told_once(monkeypatch):
    plan = msgspec.structs.replace(draw_plan(8, days=2, invoices=2, allowed=()), heal_days=1)
    crashes = tuple(Moment(f"crash:{hour}", "crash", hour * 3_600.0, 5.0) for hour in (10, 20, 40))
    asked: list[tuple[str, int]] = []

    def question(evidence):
        asked.append((evidence.now, len(evidence.state.invoices)))
        if len(asked) < 3:
            yield Breach("entry_unbalanced", evidence.connection, "entries:1", "for a while")

    monkeypatch.setattr(table, "ORACLES_ALWAYS", (question,))
    with silent():
        report = simulate(msgspec.structs.replace(plan, moments=crashes))
    assert [breach.words for breach in report.breaches] == ["for a while"]
    assert len(asked) == 4, "at each crash, and when the run is over"
    assert [at for at, _ in asked] == sorted(at for at, _ in asked)
    assert asked[-1][1] > 0, "it is asked of the store as it is"
