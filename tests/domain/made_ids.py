"""Ids that the rules made, in the place of those that `strategies` draws as "#n"."""

from typing import Any

import msgspec

from domain import events


def resolved(data: Any, state: Any) -> Any:
    """The data with each "#n" replaced by the nth command, timer or discrepancy that the rules have made."""
    if isinstance(data, events.DueReached):
        timers = sorted(state.timers.values(), key=lambda row: row.id)
        return _nth(timers, data.timer, lambda row: events.DueReached(row.id, row.at), data)
    if isinstance(data, events.DiscrepancyClosed):
        found = sorted(state.discrepancies)
        return _nth(found, data.discrepancy, lambda key: msgspec.structs.replace(data, discrepancy=key), data)
    made = list(state.commands)[::-1]
    if isinstance(data, events.Outcome):
        return _nth(made, data.command, lambda key: msgspec.structs.replace(data, command=key), data)
    if isinstance(data, events.ReplayRequested):
        return _nth(made, data.item, lambda key: msgspec.structs.replace(data, item=key), data)
    if isinstance(data, events.PaymentRead) and "command" in data.metadata:
        claim = lambda key: msgspec.structs.replace(data, metadata={**data.metadata, "command": key})  # noqa: E731 - one use, in this line's neighbour
        return _nth(made, data.metadata["command"], claim, data)
    return data


def _nth(found: list[Any], text: str, make: Any, otherwise: Any) -> Any:
    number = text.removeprefix("#")
    return make(found[int(number) % len(found)]) if found and number.isdigit() else otherwise
