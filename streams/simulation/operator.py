"""The person who runs the installation, as a model: opens the gate, looks at what waits, and does what it says is to be
done. All of it by the same acts as the command line, beside the running program.
"""

import contextlib
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from domain import events, refs
from domain.state import CommandRow, DiscrepancyRow
from projections.queries import Queries
from projections.store.errors import StoreError
from streams import population
from streams.credentials import Credentials
from streams.log.interface import LogError
from streams.operate import acts, check
from streams.settings import Settings
from streams.simulation.machine import SimulatedHost
from streams.simulation.trace import Trace

#: Who does it; it is recorded.
BY: Final = "operator"

#: Chance that a person, looking at one thing that waits, does something about it this time. Lower: what waits for a
#: person waits until the end of the run. Higher: nothing ever waits for days.
_DEALS_WITH: Final = 0.6

#: Codes that ask for a look and no more. What is to be done by hand at an API stays open: this person does nothing
#: there.
_ONLY_TOLD: Final = frozenset({"already_booked", "excess", "facts_left_out", "unapplied"})

#: A command that a remedy prints.
_COMMAND: Final = re.compile(r"`zoho-gocardless ([^`]+)`")


class Person:
    """The operator of one installation. `new_host` gives a host to act from: its own process, of its own power."""

    def __init__(
        self, settings: Settings, new_host: Callable[[], SimulatedHost], rng: random.Random, trace: Trace
    ) -> None:
        self._settings = settings
        self._new_host = new_host
        self._rng = rng
        self._trace = trace
        self.open_gates: set[str] = set()

    @contextlib.asynccontextmanager
    async def _at_work(self) -> AsyncIterator[tuple[acts.Operator, SimulatedHost]]:
        host = self._new_host()
        clock = host.clock()
        async with host.log(self._settings) as log:
            with host.store(self._settings, clock.now()) as store:
                yield acts.Operator(self._settings, log, store, clock, host.machine), host

    def enter(self, oauth: Mapping[str, Mapping[str, str]], webhook_secret: str) -> None:
        """What `connect` does. `oauth`: by connection, what Zoho gave us."""
        host = self._new_host()
        with host.store(self._settings, host.clock().now()) as store:
            credentials = Credentials(store, host.vault(self._settings), host.machine.monotonic_s)
            for name, given in oauth.items():
                zoho_url = self._settings.connections[name].zoho.url
                population.enter_credentials(credentials, name, given, zoho_url, {"main": webhook_secret})

    async def visit(self, *, thorough: bool = False) -> None:
        """Look at everything once. `thorough`: nothing is left for another day. What cannot be done now (the log is
        full, the store locked) is left for the next visit.
        """
        try:
            async with self._at_work() as (operator, host):
                for name in self._settings.connections:
                    if name not in self.open_gates:
                        await self._open_gate(operator, host, name)
                    for row in Queries(operator.store).discrepancies(name, limit=100):
                        if thorough or self._rng.random() < _DEALS_WITH:
                            await self._deal_with(operator, name, row)
        except (LogError, StoreError) as error:
            self._trace.note("operator", "not-now", type(error).__name__)

    async def _open_gate(self, operator: acts.Operator, host: SimulatedHost, name: str) -> None:
        at = operator.clock.now()
        credentials = Credentials(operator.store, host.vault(self._settings), host.machine.monotonic_s)
        async with host.transport() as transport:
            checked = await check.check(
                self._settings, name, operator.store, credentials, operator.clock.now, transport=transport
            )
        if checked.stops:
            self._trace.note("operator", "check", name, *sorted(one.code for one in checked.stops))
            return
        await operator.tell(check.accepted_events(name, checked, BY, at))
        self.open_gates.add(name)
        self._trace.note("operator", "gate", name)

    async def _deal_with(self, operator: acts.Operator, name: str, row: DiscrepancyRow) -> None:
        """Follow one of the commands that the remedy prints; where it prints none and asks for a look alone, close
        the discrepancy. Everything else is to be done at an API, and waits.
        """
        printed = [one.split() for one in _COMMAND.findall(row.remedy)]
        chosen = self._rng.choice(printed) if printed else []
        self._trace.note("operator", row.code, row.about, *chosen)
        with contextlib.suppress(acts.Refused):  # somebody or something else was faster
            match chosen:
                case ["decide", "invoice", *_, "--retry" | "--ignore" as action]:
                    released = events.InvoiceReleased(BY, refs.split(row.about)[1], action.removeprefix("--"))
                    await self._act(operator, name, "operator.invoice_released", released)
                case ["decide", "match", _, *how]:
                    await self._match(operator, name, refs.split(row.about)[1], how)
                case ["decide", "day", day, "--currency", currency]:
                    await self._act(operator, name, "operator.day_accepted", events.DayAccepted(BY, day, currency))
                case ["parked", "replay", item]:
                    await self._replay(operator, name, item, row)
                case _ if row.code in _ONLY_TOLD:
                    closed = events.DiscrepancyClosed(BY, row.id, "dealt with")
                    await self._act(operator, name, "operator.discrepancy_closed", closed)

    async def _act(self, operator: acts.Operator, name: str, type_: str, data: events.Data) -> None:
        await operator.act(operator.event(name, type_, data), refusal="nothing would change")

    async def _match(self, operator: acts.Operator, name: str, contact: str, how: list[str]) -> None:
        payer = how[1] if how[0] == "--payer" else ""
        if payer == "ID":
            payer = self._payer_of(operator, name, contact)
            if not payer:
                return
        data = events.MatchApproved(BY, contact, payer, invite=not payer)
        await self._act(operator, name, "operator.match_approved", data)

    def _payer_of(self, operator: acts.Operator, name: str, contact: str) -> str:
        """Who a person finds the contact to be: a payer that a stored link or its e-mail address names; "" for none."""
        with operator.state(name) as state:
            row = state.contacts.get(contact)
            if row is None:
                return ""
            same = [one.id for one in state.payers.values() if one.email and one.email == row.email]
            found = [state.payers[one] for one in (row.payer_link, row.claimed_by, *same) if one in state.payers]
            # Whose the payer is already, a person would not give it to another.
            return next((one.id for one in found if one.contact in ("", contact)), "")

    async def _replay(self, operator: acts.Operator, name: str, item: str, row: DiscrepancyRow) -> None:
        command = operator.queries.row("commands", name, item)
        if isinstance(command, CommandRow):
            await operator.resend(name, command, BY)
            return
        again = await operator.reread(name, item, BY)
        if again is None or not again.closed:  # it will never be readable: a person has seen what it was
            closed = events.DiscrepancyClosed(BY, row.id, "looked at")
            await self._act(operator, name, "operator.discrepancy_closed", closed)
