"""What was asked for a purpose last: a read that is under way is not asked for again, and a later one stands for those
that were given up.
"""

from msgspec.structs import replace

from domain.commands import Command, writes
from domain.refs import PurposeName
from domain.state import Purpose, State


def record(state: State, command: Command) -> None:
    """Count a command that is recorded; its row comes right after. A read of the same purpose that was given up waits
    for nobody any more: the question has been asked anew.
    """
    held = state.purposes.get(command.purpose)
    state.purposes[command.purpose] = Purpose(command.purpose, held.count + 1 if held is not None else 1, command.id)
    before = state.commands.get(held.command) if held is not None and held.command else None
    if before is not None and before.status == "parked" and not writes(before.type):
        state.commands[before.id] = replace(before, status="superseded")


def is_under_way(state: State, purpose: PurposeName) -> bool:
    """Whether the last command of a purpose has not ended."""
    held = state.purposes.get(purpose)
    row = state.commands.get(held.command) if held is not None and held.command else None
    return row is not None and row.status == "open"


def is_last(state: State, purpose: str, command_id: str) -> bool:
    """Whether no later command of the purpose was recorded, as far as this version and the last one wrote it down."""
    held = state.purposes.get(purpose)
    return held is None or held.command in ("", command_id)
