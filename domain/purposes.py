"""What was asked for a purpose last: a read that is under way is not asked for again, and a later one stands for those
that were given up.
"""

from msgspec.structs import replace

from domain.commands import Command, writes
from domain.refs import PurposeName
from domain.state import CommandRow, Purpose, State


def last(state: State, purpose: str) -> CommandRow | None:
    """The command that was recorded last for a purpose; None: there was none."""
    held = state.purposes.get(purpose)
    return state.commands.get(held.command) if held is not None and held.command else None


def given_up(state: State, purpose: str) -> str:
    """The last command of a purpose, if it is a read that was given up: one that is asked for now stands for it; else
    "".
    """
    row = last(state, purpose)
    return row.id if row is not None and row.status == "parked" and not writes(row.type) else ""


def record(state: State, command: Command) -> None:
    """Count a command that is recorded; its row comes right after. The read that it stands for waits for nobody any
    more, be it that an earlier version recorded the command, which did not say so.
    """
    before = given_up(state, command.purpose)
    held = state.purposes.get(command.purpose)
    state.purposes[command.purpose] = Purpose(command.purpose, held.count + 1 if held is not None else 1, command.id)
    if before:
        state.commands[before] = replace(state.commands[before], status="superseded")


def is_under_way(state: State, purpose: PurposeName) -> bool:
    """Whether the last command of a purpose has not ended."""
    row = last(state, purpose)
    return row is not None and row.status == "open"


def is_last(state: State, purpose: str, command_id: str) -> bool:
    """Whether no later command of the purpose was recorded."""
    row = last(state, purpose)
    return row is None or row.id == command_id
