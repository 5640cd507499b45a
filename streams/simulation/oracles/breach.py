"""What an oracle finds: which promise does not hold, of what, in words."""

from typing import Literal

import msgspec

#: Every oracle by name. The first part is about safety, the second about liveness, the last about the rebuild.
Oracle = Literal[
    "account_differs",
    "balance_differs",
    "clearing_items",
    "debit_amount",
    "debit_beside_live",
    "debit_creditor",
    "debit_mandate",
    "debit_twice",
    "debit_uncollectable",
    "debit_without_command",
    "entry_unbalanced",
    "expense_tax",
    "expense_twice",
    "expense_unfounded",
    "invited_beside_mandate",
    "invited_twice",
    "overcollected",
    "payout_figures",
    "posting_differs",
    "posting_twice",
    "posting_unfounded",
    "public_record",
    "refund_twice",
    "refund_unfounded",
    "transfer_twice",
    "transfer_unfounded",
    "unknown_resource",
    # liveness
    "calls_over_budget",
    "catch_up",
    "command_open",
    "debit_left",
    "discrepancy_stale",
    "future_instant",
    "grown",
    "heap",
    "invoice_left",
    "outbox_left",
    "parked_untold",
    "payout_left",
    "poll_late",
    "posting_missing",
    "set_aside",
    "stale_row",
    "timer_past",
    "todo_overdue",
    "unseen_resource",
    # rebuild
    "rebuild_differs",
    # of the run itself: the program ended for no reason that it may end for; something was raised and nobody took it; a
    # webhook was taken that is not in the log, or that was forged
    "program_ended",
    "unhandled",
    "webhook_taken",
]


class Breach(msgspec.Struct, frozen=True, order=True):
    """A promise that does not hold. `about` names the record ("payments:PM…", "zoho payment 460…"); `words` say what
    was expected and what was found.
    """

    oracle: Oracle
    connection: str
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.connection}: {self.about}: {self.words}"
