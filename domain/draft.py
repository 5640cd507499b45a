"""A decision in the making, and how a made decision changes the state.

Rules write through a `Draft`: each thing decided is recorded and applied to the state at once, by the same functions
that `apply` uses for a recorded decision. So a rebuild from recorded decisions cannot end elsewhere than the run that
made them.
"""

from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from domain import ceilings, codec, ids, ledger, lists, purposes, refs
from domain.commands import PRIORITY_READ, AnyCommandData, Command, CreatePayment
from domain.decisions import RULES_VERSION, Decision, Entry, Line, ListChange, Mark, Opened, Publication, Timer
from domain.discrepancies import describe
from domain.envelope import Event
from domain.refs import ListName, PurposeName, Ref, TimerName
from domain.state import CLOSED, KINDS, CommandRow, DiscrepancyRow, State, TimerRow
from domain.vocabulary import Code, RowKind, RuleKind

#: Rows one event may lead to. Lower than a full page of invoices (200) times what each touches: a sweep would be cut
#: short. Higher: a rule that keeps waking itself would hold up its partition for longer before it is stopped and its
#: connection set aside.
MAX_TOUCHES: Final = 20_000

#: Keys of a list that are woken by one event; the rest follow in further ones. Lower: more events on a day with many
#: debits. Higher: a decision grows by about a kilobyte for each, and everybody on the partition waits for it.
WAKE_AT_ONCE: Final = 100

#: What is woken of a list, by the first part of its name.
WOKEN: Final[dict[str, RuleKind]] = {"viewing": "invoices", "waiting": "invoices", "unmatched": "contacts"}


class Draft:
    """What `event` makes us decide, so far."""

    __slots__ = (
        "_closed",
        "_commands",
        "_entries",
        "_lists",
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
        self._lists: list[ListChange] = []
        self._publications: list[Publication] = []
        self._work: deque[tuple[RuleKind, str]] = deque()
        self._waiting: set[tuple[RuleKind, str]] = set()
        self._touches = 0

    # --- the work list: rows whose rule must look again ---

    def touch(self, kind: RuleKind, key: str) -> None:
        """The rule of this row must look again, after what is being done now."""
        item = (kind, key)
        if key and item not in self._waiting:
            self._touches += 1
            if self._touches > MAX_TOUCHES:
                raise RuntimeError(f"the rules do not come to rest: {kind} {key} was touched once too often")
            self._work.append(item)
            self._waiting.add(item)

    def take(self) -> tuple[RuleKind, str] | None:
        """The next row to look at, in the order they were touched."""
        if not self._work:
            return None
        item = self._work.popleft()
        self._waiting.discard(item)
        return item

    # --- what can be decided ---

    def mark(self, kind: RowKind, key: str, **changes: Any) -> None:
        """Change fields of a row; nothing is recorded when they hold these values already."""
        mapping = self.state.mapping(kind)
        row = mapping.get(key)
        misspelt = [name for name, values in CLOSED[kind].items() if name in changes and changes[name] not in values]
        assert not misspelt, f"a mark of {kind} outside its words: {misspelt}"
        wanted = (
            changes if row is None else {name: value for name, value in changes.items() if getattr(row, name) != value}
        )
        if row is not None and not wanted:
            return
        _change(mapping, row, kind, key, wanted)
        self._marks.append(Mark(kind, key, {name: _recordable(value) for name, value in wanted.items()}))

    def command(
        self,
        about: Ref,
        purpose: PurposeName,
        data: AnyCommandData,
        *,
        priority: int,
        key: str = "",
        not_after: str = "",
        look_up_first: bool = False,
        attempt: int | None = None,
    ) -> Command:
        """Ask for one call; one event asks once for a purpose. Its attempt counts the commands recorded before for the
        same purpose, unless the caller knows better.
        """
        command_id = ids.command_id(self.event.id, purpose)
        for asked in self._commands:
            if asked.id == command_id:
                return asked
        number = self.attempts(purpose) + 1 if attempt is None else attempt
        command = Command(
            command_id,
            str(about),
            purpose,
            data,
            priority,
            number,
            key,
            not_after,
            look_up_first,
            purposes.given_up(self.state, purpose),
        )
        _apply_command(self.state, command, self.event.id, self.at)
        self._commands.append(command)
        return command

    def ask_once(
        self,
        about: Ref,
        purpose: PurposeName,
        data: AnyCommandData,
        *,
        priority: int = PRIORITY_READ,
        until_cleared: bool = False,
    ) -> None:
        """Ask for a read that was not asked for before, which the purpose's count says. `until_cleared`: the row's
        `read_asked` says it instead, so that a rule can clear it to have the read asked for again.
        """
        if until_cleared:
            assert about.kind != "deliveries", "only a row remembers"
            assert about.kind != "types", "only a row remembers"
            row = self.state.mapping(about.kind).get(about.key)
            if row is not None and row.read_asked:
                return
            self.mark(about.kind, about.key, read_asked=True)
        elif self.attempts(purpose):
            return
        self.command(about, purpose, data, priority=priority)

    def is_under_way(self, purpose: PurposeName) -> bool:
        """Whether the last command of a purpose has not ended: what it says will be as good as what a new one would."""
        return purposes.is_under_way(self.state, purpose)

    def attempts(self, purpose: PurposeName) -> int:
        """How many commands have been recorded for a purpose."""
        row = self.state.purposes.get(purpose)
        return row.count if row else 0

    # --- lists ---

    def join(self, name: ListName, key: str) -> None:
        """Put a key at the end of a list, unless it is in it."""
        self._change_list(ListChange(name, key))

    def leave(self, name: ListName, key: str) -> None:
        """Take a key out of a list, if it is in it."""
        self._change_list(ListChange(name, key, "leave"))

    def wake(self, name: ListName) -> None:
        """Whatever waits in a list looks again, and is in it no longer; as many at once as one decision may hold
        (`wake_next`).
        """
        self._change_list(ListChange(name, act="walk"))
        self.touch("lists", name)

    def wake_next(self, name: ListName) -> None:
        """The next keys of a walk over a list; it goes on in a further event while there are more. What joins meanwhile
        waits for the next walk.
        """
        kind = WOKEN[refs.split(name)[0]]
        for _ in range(WAKE_AT_ONCE):
            row = self.state.lists.get(name)
            if row is None or not row.until:
                return
            self.leave(name, row.first)
            self.touch(kind, row.first)
        row = self.state.lists.get(name)
        if row is not None and row.until:
            self.go_on("lists", name)

    def _change_list(self, change: ListChange) -> None:
        if _apply_list(self.state, change):
            self._lists.append(change)

    def go_on(self, kind: Literal["lists", "payouts"], key: str) -> None:
        """The rule of this row goes on in a further event, which comes at once: this decision holds as much as one may.

        The event is a due time, so that it lies in the log like every other; its number makes it one that has not been
        before.
        """
        number = self.state.own.continued + 1
        self.mark("connections", self.state.connection, continued=number)
        self.timer(refs.timer("more", str(number)), self.at, Ref(kind, key))

    # --- calls, entries, discrepancies, times, publications ---

    def resend(self, command_id: str) -> None:
        """Send a parked command again, as it is, after a look-up."""
        _apply_resend(self.state, command_id)
        self._resends.append(command_id)

    def entry(self, date: str, text: str, about: Ref, lines: list[Line]) -> None:
        """Post to the ledger. Lines of zero are left out; raises `LedgerError` when the rest does not balance."""
        kept = [line for line in lines if line.amount_minor]
        if not kept:
            return
        entry = Entry(ids.entry_id(self.event.id, len(self._entries)), date, text, str(about), kept)
        ledger.post(self.state, entry)
        self._entries.append(entry)

    def open(self, code: Code, about: Ref, *, amount_minor: int = 0, currency: str = "", **facts: str) -> None:
        """Open a discrepancy from the catalogue (`domain.discrepancies`); one per code and row."""
        text, remedy = describe(code, facts)
        opened = Opened(refs.discrepancy(code, about), code, str(about), text, remedy, amount_minor, currency)
        if opened.id in self._closed:  # a rebuild opens before it closes, so an id must not end in both lists as open
            self._closed.remove(opened.id)
            _apply_reopened(self.state, opened.id)
        held = self.state.discrepancies.get(opened.id)
        if held is not None and not held.closed_at and held.text == text and held.amount_minor == amount_minor:
            return
        _apply_opened(self.state, opened, self.event.id, self.at)
        self._opened.append(opened)

    def close(self, code: Code, about: Ref) -> None:
        """Close a discrepancy if it is open."""
        self.close_id(refs.discrepancy(code, about))

    def close_id(self, discrepancy: str) -> None:
        """Close a discrepancy by its id, if it is open."""
        held = self.state.discrepancies.get(discrepancy)
        if held is not None and not held.closed_at:
            _apply_closed(self.state, discrepancy, self.at)
            self._closed.append(discrepancy)

    def timer(self, name: TimerName, at: str, about: Ref) -> None:
        """Decide a due time; it comes back as `clock.due_reached`."""
        held = self.state.timers.get(name)
        if held is None or held.at != at:
            self._set_timer(Timer(name, at, str(about)))

    def cancel_timer(self, name: TimerName) -> None:
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
            rules=RULES_VERSION,
            policy=self.state.policy.version,
            commands=self._commands,
            resends=self._resends,
            entries=self._entries,
            opened=self._opened,
            closed=self._closed,
            timers=self._timers,
            marks=self._marks,
            lists=self._lists,
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
    for change in decision.lists:
        _apply_list(state, change)
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


def _recordable(value: Any) -> Any:
    """A row's value as a mark holds it: what JSON gives back."""
    if isinstance(value, dict):
        return {name: _recordable(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _as_in_row(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_in_row(one) for name, one in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _apply_mark(state: State, mark: Mark) -> None:
    mapping = state.mapping(mark.kind)
    changes = {name: _as_in_row(value) for name, value in mark.changes.items()}
    changes = _without_lists(state, mark, changes)
    _change(mapping, mapping.get(mark.key), mark.kind, mark.key, changes)


def _without_lists(state: State, mark: Mark, changes: dict[str, Any]) -> dict[str, Any]:
    """Version 0.1.0 kept two lists in rows, and recorded them whole: what it recorded becomes rows of those lists."""
    if mark.kind == "mandates" and "viewing" in changes:
        lists.become(state, refs.list_of("viewing", mark.key), changes.pop("viewing"))
    elif mark.kind == "contacts" and "waiting" in changes:
        by_currency: dict[str, list[str]] = {}
        for key in changes.pop("waiting"):
            invoice = state.invoices.get(key)
            if invoice is not None:
                by_currency.setdefault(invoice.currency, []).append(key)
        held = state.contacts.get(mark.key)
        for currency in sorted({*by_currency, *(held.waiting_currencies if held is not None else ())}):
            lists.become(state, refs.list_of("waiting", mark.key, currency), tuple(by_currency.get(currency, ())))
        changes["waiting_currencies"] = tuple(sorted(by_currency))
    return changes


def _apply_list(state: State, change: ListChange) -> bool:
    if change.act == "walk":
        return lists.begin_walk(state, ListName(change.list))
    act = lists.add if change.act == "join" else lists.remove
    return act(state, ListName(change.list), change.key)


def _change(mapping: MutableMapping[str, Any], row: Any, kind: str, key: str, changes: Mapping[str, Any]) -> None:
    mapping[key] = KINDS[kind](key, **changes) if row is None else replace(row, **changes)


def _apply_command(state: State, command: Command, event_id: str, at: str) -> None:
    purposes.record(state, command)
    if isinstance(command.data, CreatePayment):
        ceilings.count(state, command.data, at, 1)
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
        mandate=command.data.mandate if isinstance(command.data, CreatePayment) else "",
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
