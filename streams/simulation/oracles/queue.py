"""Oracles of what is to be sent: nothing waits without a due time and a reason, nothing is parked untold, and no heap
grows.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from domain import refs, times
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Evidence, QueueRow
from streams.simulation.oracles.exempt import told

#: Commands that may be done and kept, for each thing that there is, and for each day that was lived. Lower: a month
#: with many repeats looks like growth. Higher: a heap of finished reads is noticed later.
_KEPT_PER_THING: Final = 20
_KEPT_PER_DAY: Final = 4

#: Commands that may be done and kept by a connection with nothing in it. Lower: its first day looks like growth.
#: Higher: nothing.
_KEPT_ANYHOW: Final = 100

_THINGS: Final = ("invoices", "payments", "payouts", "mandates", "contacts", "payers", "billing_requests")


def command_open(evidence: Evidence) -> Iterator[Breach]:
    """Each command has its final outcome, or waits for an instant that is to come with a reason, or is told; while the
    connection stands still, that says so (`set_aside`, `catch_up`).
    """
    waits = {row.command.id for row in evidence.queue}
    for row in evidence.queue:
        key = refs.split(row.command.about)[1]
        words = _stands_still(evidence, row)
        halted = evidence.set_aside or any(one.api == row.api for one in evidence.catch_ups)
        if words and not halted and not told(evidence, row.command.id):
            about = str(Ref("commands", row.command.id))
            yield Breach("command_open", evidence.connection, about, f"{row.command.type} about {key}: {words}")
    for command in evidence.state.commands.values():
        if command.status == "open" and command.id not in waits:
            words = f"{command.type} about {command.about} has no outcome, and nothing will send it"
            yield Breach("command_open", evidence.connection, str(Ref("commands", command.id)), words)


def _stands_still(evidence: Evidence, row: QueueRow) -> str:
    """What is wrong with how a command waits; "" for nothing."""
    early = truth.before(evidence, truth.GRACE_S)
    state = row.state.replace("_", " ")
    if row.state == "parked":
        return ""  # `parked_untold` asks for these
    if row.asked_at > early:
        return ""
    if row.state not in {"ready", "unknown"}:
        return f"it is {state} since {row.deadline_at or row.asked_at}, and nothing will move it"
    if row.due_at < early:
        return f"it was due at {row.due_at}, and is still {state}"
    return "" if row.last_error else f"it waits until {row.due_at} without a reason"


def heap(evidence: Evidence) -> Iterator[Breach]:
    """One open command per purpose: what waits is not asked for a second time."""
    for purpose, count in Counter(row.command.purpose for row in evidence.queue).items():
        if count > 1:
            words = f"one open command per purpose; found {count}"
            yield Breach("heap", evidence.connection, f"purpose {purpose}", words)


def grown(evidence: Evidence) -> Iterator[Breach]:
    """What is kept of finished commands is in proportion to the things there are and the days lived."""
    things = sum(len(evidence.state.mapping(kind)) for kind in _THINGS)
    lived = [row.asked_at for row in evidence.state.commands.values() if row.asked_at]
    days = (times.parse(evidence.now) - times.parse(min(lived))).days + 1 if lived else 0
    most = _KEPT_ANYHOW + _KEPT_PER_THING * things + _KEPT_PER_DAY * days
    if evidence.queue_done > most:
        words = f"{evidence.queue_done} finished commands are kept of {things} things and {days} days; at most {most}"
        yield Breach("grown", evidence.connection, "command_queue", words)


def parked_untold(evidence: Evidence) -> Iterator[Breach]:
    """Whatever is parked is named by an open discrepancy: commands, and deliveries that could not be read."""
    for row in evidence.state.commands.values():
        if row.status == "parked" and not told(evidence, row.id):
            words = f"{row.type} about {row.about} is parked ({row.reason}), and no open discrepancy names it"
            yield Breach("parked_untold", evidence.connection, str(Ref("commands", row.id)), words)
    if evidence.events is None:
        return
    for _, event in evidence.events():
        if event.type == "delivery.parked":
            about = Ref("deliveries", event.data.delivery)
            if refs.discrepancy("delivery_parked", about) not in evidence.state.discrepancies:
                words = "it is parked, and no discrepancy was ever opened about it"
                yield Breach("parked_untold", evidence.connection, str(about), words)


def outbox_left(evidence: Evidence) -> Iterator[Breach]:
    """Every decision is published."""
    if evidence.unpublished:
        words = f"{evidence.unpublished} decisions are not published"
        yield Breach("outbox_left", evidence.connection, "outbox", words)
