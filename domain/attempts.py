"""The number of a debit: whoever knows the same of GoCardless and of the books gives an invoice's next one the same,
and so its key.
"""

from domain.state import CommandRow, Invoice, State


def next_number(state: State, invoice: Invoice) -> int:
    """The number of the next debit of an invoice: 1 + those that GoCardless has shown or that may have been made (rule
    3).

    So another installation for the same books counts as this one does, and its debit meets this one's key. One that was
    surely never made counts none: its key is free, and GoCardless answers 409 should it have been made after all.
    """
    counted = state.debit_counts.get(invoice.id)
    last = state.commands.get(invoice.command) if invoice.command else None
    return (
        1
        + (counted.shown if counted is not None else 0)
        + (1 if last is not None and _may_be_unseen(state, last) else 0)
    )


def surely_not_made(command: CommandRow) -> bool:
    """Whether a debit's command ended without a debit: it was never sent, or refused, and no payment shows itself in
    the refusal.
    """
    return command.status in {"withheld", "refused"} and not command.resource_id


def _may_be_unseen(state: State, command: CommandRow) -> bool:
    """Whether a debit may have been made that no read has shown yet."""
    made = state.payments.get(command.resource_id) if command.resource_id else None
    return not surely_not_made(command) and (made is None or not made.read)
