"""What was asked for a purpose last: a read that is under way is not asked for again, and a later one stands for those
that were given up.
"""

from msgspec.structs import replace

from domain.commands import Command, writes
from domain.refs import PurposeName
from domain.state import Purpose, State


def given_up(state: State, purpose: PurposeName) -> str:
    """The last command of a purpose, if it is a read that was given up: one that is asked for now stands for it; else
    "".
    """
    held = state.purposes.get(purpose)
    row = state.commands.get(held.command) if held is not None and held.command else None
    return row.id if row is not None and row.status == "parked" and not writes(row.type) else ""


def record(state: State, command: Command) -> None:
    """Count a command that is recorded; its row comes right after. The read that it stands for waits for nobody any
    more, be it that an earlier version recorded the command, which did not say so.
    """
    before = given_up(state, PurposeName(command.purpose))
    held = state.purposes.get(command.purpose)
    state.purposes[command.purpose] = Purpose(command.purpose, held.count + 1 if held is not None else 1, command.id)
    if before:
        state.commands[before] = replace(state.commands[before], status="superseded")


def is_under_way(state: State, purpose: PurposeName) -> bool:
    """Whether the last command of a purpose has not ended."""
    held = state.purposes.get(purpose)
    row = state.commands.get(held.command) if held is not None and held.command else None
    return row is not None and row.status == "open"


def is_last(state: State, purpose: str, command_id: str) -> bool:
    """Whether no later command of the purpose was recorded, as far as this version and the last one wrote it down."""
    held = state.purposes.get(purpose)
    return held is None or held.command in ("", command_id)
