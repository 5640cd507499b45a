"""A decision in the making, and how a made decision changes the state.

Rules write through a `Draft`: each thing decided is recorded and applied to the state at once, by the same functions that `apply` uses
for a recorded decision. So a rebuild from recorded decisions cannot end elsewhere than the run that made them.
"""

from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from domain import codec, ids, ledger
from domain.commands import AnyCommandData, Command
from domain.decisions import Decision, Entry, Line, Mark, Opened, Publication, Timer
from domain.discrepancies import describe
from domain.envelope import Event
from domain.state import KINDS, CommandRow, DiscrepancyRow, Purpose, State, TimerRow

#: Rows one event may lead to. Lower than a full page of invoices (200) times what each touches: a sweep would be cut short. Higher: a
#: rule that keeps waking itself would hold up its partition for longer before it is stopped and its connection set aside.
MAX_TOUCHES: Final = 20_000


class Draft:
    """What `event` makes us decide, so far."""

    __slots__ = (
        "_closed",
        "_commands",
        "_entries",
        "_marks",
        "_opened",
        "_publications",
        "_resends",
        "_timers",
        "_touches",
        "_waiting",
        "_work",
        "at",
        "event",
        "state",
    )

    def __init__(self, state: State, event: Event) -> None:
        self.state = state
        self.event = event
        self.at = event.learned_at
        self._commands: list[Command] = []
        self._resends: list[str] = []
        self._entries: list[Entry] = []
        self._opened: list[Opened] = []
        self._closed: list[str] = []
        self._timers: list[Timer] = []
        self._marks: list[Mark] = []
        self._publications: list[Publication] = []
        self._work: deque[tuple[str, str]] = deque()
        self._waiting: set[tuple[str, str]] = set()
        self._touches = 0

    # --- the work list: rows whose rule must look again ---

    def touch(self, kind: str, key: str) -> None:
        """The rule of this row must look again, after what is being done now."""
        item = (kind, key)
        if key and item not in self._waiting:
            self._touches += 1
            if self._touches > MAX_TOUCHES:
                raise RuntimeError(f"the rules do not come to rest: {kind} {key} was touched once too often")
            self._work.append(item)
            self._waiting.add(item)

    def take(self) -> tuple[str, str] | None:
        """The next row to look at, in the order they were touched."""
        if not self._work:
            return None
        item = self._work.popleft()
        self._waiting.discard(item)
        return item

    # --- what can be decided ---

    def mark(self, kind: str, key: str, **changes: str | int | bool | tuple[str, ...]) -> None:
        """Change fields of a row; nothing is recorded when they hold these values already."""
        mapping = self.state.mapping(kind)
        row = mapping.get(key)
        wanted = changes if row is None else {name: value for name, value in changes.items() if getattr(row, name) != value}
        if row is not None and not wanted:
            return
        _change(mapping, row, kind, key, wanted)
        self._marks.append(Mark(kind, key, {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}))

    def command(
        self,
        about: str,
        purpose: str,
        data: AnyCommandData,
        *,
        priority: int,
        key: str = "",
        not_after: str = "",
        look_up_first: bool = False,
    ) -> Command:
        """Ask for one call. Its attempt counts the commands recorded before for the same purpose; one event asks once for a purpose."""
        command_id = ids.command_id(self.event.id, purpose)
        for asked in self._commands:
            if asked.id == command_id:
                return asked
        attempt = self.attempts(purpose) + 1
        command = Command(command_id, about, purpose, data, priority, attempt, key, not_after, look_up_first)
        _apply_command(self.state, command, self.event.id, self.at)
        self._commands.append(command)
        return command

    def attempts(self, purpose: str) -> int:
        """How many commands have been recorded for a purpose."""
        row = self.state.purposes.get(purpose)
        return row.count if row else 0

    def resend(self, command_id: str) -> None:
        """Send a parked command again, as it is, after a look-up."""
        _apply_resend(self.state, command_id)
        self._resends.append(command_id)

    def entry(self, date: str, text: str, about: str, lines: list[Line]) -> None:
        """Post to the ledger. Lines of zero are left out; raises `LedgerError` when the rest does not balance."""
        kept = [line for line in lines if line.amount_minor]
        if not kept:
            return
        entry = Entry(ids.entry_id(self.event.id, len(self._entries)), date, text, about, kept)
        ledger.post(self.state, entry)
        self._entries.append(entry)

    def open(self, code: str, about: str, *, amount_minor: int = 0, currency: str = "", **facts: str) -> None:
        """Open a discrepancy from the catalogue (`domain.discrepancies`); one per code and row."""
        text, remedy = describe(code, facts)
        opened = Opened(f"{code}:{about}", code, about, text, remedy, amount_minor, currency)
        if opened.id in self._closed:  # a rebuild opens before it closes, so an id must not end in both lists as open
            self._closed.remove(opened.id)
            _apply_reopened(self.state, opened.id)
        held = self.state.discrepancies.get(opened.id)
        if held is not None and not held.closed_at and held.text == text and held.amount_minor == amount_minor:
            return
        _apply_opened(self.state, opened, self.event.id, self.at)
        self._opened.append(opened)

    def close(self, code: str, about: str) -> None:
        """Close a discrepancy if it is open."""
        self.close_id(f"{code}:{about}")

    def close_id(self, discrepancy: str) -> None:
        """Close a discrepancy by its id, if it is open."""
        held = self.state.discrepancies.get(discrepancy)
        if held is not None and not held.closed_at:
            _apply_closed(self.state, discrepancy, self.at)
            self._closed.append(discrepancy)

    def timer(self, name: str, at: str, about: str) -> None:
        """Decide a due time; it comes back as `clock.due_reached`."""
        held = self.state.timers.get(name)
        if held is None or held.at != at:
            self._set_timer(Timer(name, at, about))

    def cancel_timer(self, name: str) -> None:
        """Forget a due time."""
        if name in self.state.timers:
            self._set_timer(Timer(name, ""))

    def _set_timer(self, timer: Timer) -> None:
        _apply_timer(self.state, timer)
        self._timers.append(timer)

    def publish(self, topic: str, key: str, value: msgspec.Struct) -> None:
        """A record for a public topic; a second one for the same key in this decision replaces the first."""
        self._publications = [kept for kept in self._publications if (kept.topic, kept.key) != (topic, key)]
        self._publications.append(Publication(topic, key, codec.encode_json(value)))

    def decision(self) -> Decision:
        """All of it, immutable."""
        return Decision(
            event=self.event.id,
            connection=self.state.connection,
            at=self.at,
            policy=self.state.policy.version,
            commands=self._commands,
            resends=self._resends,
            entries=self._entries,
            opened=self._opened,
            closed=self._closed,
            timers=self._timers,
            marks=self._marks,
            publications=self._publications,
        )

    @property
    def changed_discrepancies(self) -> list[str]:
        """Ids opened or closed by this decision, in order, each once."""
        if not (self._opened or self._closed):
            return []
        return list(dict.fromkeys([opened.id for opened in self._opened] + self._closed))


def apply(state: State, decision: Decision) -> None:
    """Fold a recorded decision into the state, exactly as making it did."""
    for mark in decision.marks:
        _apply_mark(state, mark)
    for command in decision.commands:
        _apply_command(state, command, decision.event, decision.at)
    for command_id in decision.resends:
        _apply_resend(state, command_id)
    for entry in decision.entries:
        ledger.post(state, entry)
    for opened in decision.opened:
        _apply_opened(state, opened, decision.event, decision.at)
    for discrepancy in decision.closed:
        _apply_closed(state, discrepancy, decision.at)
    for timer in decision.timers:
        _apply_timer(state, timer)


def _apply_mark(state: State, mark: Mark) -> None:
    mapping = state.mapping(mark.kind)
    changes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in mark.changes.items()}
    _change(mapping, mapping.get(mark.key), mark.kind, mark.key, changes)


def _change(mapping: MutableMapping[str, Any], row: Any, kind: str, key: str, changes: Mapping[str, Any]) -> None:
    mapping[key] = KINDS[kind](key, **changes) if row is None else replace(row, **changes)


def _apply_command(state: State, command: Command, event_id: str, at: str) -> None:
    state.purposes[command.purpose] = Purpose(command.purpose, command.attempt)
    state.commands[command.id] = CommandRow(
        command.id,
        type=command.type,
        purpose=command.purpose,
        attempt=command.attempt,
        about=command.about,
        amount_minor=getattr(command.data, "amount_minor", 0),
        currency=getattr(command.data, "currency", ""),
        event=event_id,
        asked_at=at,
    )


def _apply_resend(state: State, command_id: str) -> None:
    row = state.commands.get(command_id)
    if row is not None:
        state.commands[command_id] = replace(row, status="open", reason="", message="", ended_at="")


def _apply_opened(state: State, opened: Opened, event_id: str, at: str) -> None:
    held = state.discrepancies.get(opened.id)
    since = held.opened_at if held is not None and not held.closed_at else at
    state.discrepancies[opened.id] = DiscrepancyRow(
        opened.id,
        opened.code,
        opened.about,
        opened.text,
        opened.remedy,
        event_id,
        since,
        "",
        opened.amount_minor,
        opened.currency,
    )


def _apply_closed(state: State, discrepancy: str, at: str) -> None:
    held = state.discrepancies.get(discrepancy)
    if held is not None:
        state.discrepancies[discrepancy] = replace(held, closed_at=at)


def _apply_reopened(state: State, discrepancy: str) -> None:
    state.discrepancies[discrepancy] = replace(state.discrepancies[discrepancy], closed_at="")


def _apply_timer(state: State, timer: Timer) -> None:
    if timer.at:
        state.timers[timer.id] = TimerRow(timer.id, timer.at, timer.about)
    else:
        state.timers.pop(timer.id, None)
