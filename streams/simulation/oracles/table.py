"""Every oracle: which functions ask for it, and when it may be asked."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from streams.simulation.oracles import (
    accounts,
    books,
    debit_commands,
    debits,
    discrepancies,
    invitations,
    postings,
    public,
    queue,
    rows,
    running,
    waiting,
)
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Evidence

Question = Callable[[Evidence], Iterator[Breach]]

#: May be asked at any moment: nothing that is under way makes them untrue.
ORACLES_ALWAYS: Final[tuple[Question, ...]] = (
    debits.debit_twice,
    debits.debit_beside_live,
    debits.debit_uncollectable,
    debits.debit_creditor,
    invitations.invited_twice,
    invitations.invited_beside_mandate,
    postings.posting_twice,
    postings.posting_unfounded,
    postings.expense_twice,
    books.entry_unbalanced,
    books.balance_differs,
    books.clearing_items,
)

#: Asked at the end: the faults are over, and what was under way had time to end.
ORACLES: Final[tuple[Question, ...]] = (
    *ORACLES_ALWAYS,
    accounts.account_differs,
    books.payout_figures,
    debit_commands.debit_amount,
    debit_commands.debit_decided,
    debit_commands.debit_mandate,
    debit_commands.debit_without_command,
    debits.debit_left,
    debits.overcollected,
    postings.expense_tax,
    postings.expense_unfounded,
    postings.posting_differs,
    postings.refund_twice,
    postings.refund_unfounded,
    postings.transfer_twice,
    postings.transfer_unfounded,
    public.public_record,
    queue.command_open,
    queue.grown,
    queue.heap,
    queue.outbox_left,
    queue.parked_untold,
    rows.stale_row,
    rows.unknown_resource,
    rows.unseen_resource,
    running.calls_over_budget,
    running.catch_up,
    running.future_instant,
    running.poll_late,
    running.set_aside,
    running.timer_past,
    discrepancies.discrepancy_stale,
    waiting.invoice_left,
    waiting.payout_left,
    waiting.posting_missing,
    waiting.todo_overdue,
)


def breaches(evidence: Evidence, oracles: Iterable[Question] = ORACLES) -> list[Breach]:
    """What these oracles find, each finding once, in order of their names."""
    return sorted({breach: None for oracle in oracles for breach in oracle(evidence)})


def breaches_meanwhile(evidence: Evidence) -> list[Breach]:
    """What the oracles find that may be asked at any moment."""
    return breaches(evidence, ORACLES_ALWAYS)
