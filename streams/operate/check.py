"""The first-run check (design rule 15): both APIs and the store are read, what is read is judged, and what is found is
an event; opening the gate is a person's event after it.
"""

import contextlib
from collections.abc import Callable
from functools import partial

from adapters.errors import AdapterError
from adapters.http import Answer, Call, HttpTransport, Transport
from adapters.senders import Send
from domain import ids
from domain.envelope import Event
from domain.events import GateOpened, PolicySet
from domain.onboarding import Checked, judge, owing_day
from domain.onboarding_facts import Asked, Facts, Held
from domain.vocabulary import APIS
from projections.queries import Queries
from projections.store.store import Store
from projections.work.polls import Polls
from streams.credentials import Credentials, sender
from streams.operate.check_reads import read
from streams.settings import Connection, Settings
from streams.stages.poller import KINDS


async def check(
    settings: Settings,
    name: str,
    store: Store,
    credentials: Credentials,
    now: Callable[[], str],
    collect_from: str = "",
    transport: Transport | None = None,
) -> Checked:
    """Run the check of one connection. Only reads; nothing is appended. What the APIs refuse is a finding, never an
    exception.

    `collect_from`: the day from which an approval is to collect what fell due; "": the organisation's today, at the
    first approval. `transport`: the way to the APIs; None: one of its own, over sockets.
    """
    connection = settings.connections[name]
    asked, at = _asked(connection, collect_from), now()
    async with contextlib.AsyncExitStack() as stack:
        way = transport if transport is not None else await stack.enter_async_context(HttpTransport())
        sends = {api: _send(partial(sender, api, way, credentials, name, connection, now)) for api in APIS}
        facts = await read(asked, sends)
    held = _held(name, settings, store, credentials, asked, facts, at)
    return judge(asked, facts, held, at)


def _asked(connection: Connection, collect_from: str) -> Asked:
    return Asked(
        organization_id=connection.zoho.organization_id,
        environment=connection.environment,
        unique_field=connection.unique_field,
        payer_link_field=connection.payer_link_field,
        rules=connection.rules,
        collect_from=collect_from,
    )


def _send(make: Callable[[], Send]) -> Send:
    """How to send, or, where the credentials are missing or cannot be opened, how to say so at every call."""
    try:
        return make()
    except AdapterError as error:
        missing = error

    async def refuse(call: Call, deadline_s: float) -> Answer:  # noqa: ARG001 - it stands where a client's `send` does
        raise missing

    return refuse


def _held(
    name: str, settings: Settings, store: Store, credentials: Credentials, asked: Asked, facts: Facts, now: str
) -> Held:
    """What the store holds of the connection, and of its neighbours."""
    queries, polls = Queries(store), Polls(store)
    status = queries.status(name)
    others = settings.connections.keys() - {name}
    day = owing_day(asked, facts, status.connection, now)
    return Held(
        own=status.connection,
        others=tuple(row for row in queries.connections() if row.id in others),
        not_read=tuple(kind for api in APIS for kind in KINDS[api] if not polls.get(name, kind).head_at),
        invoices=sum(status.invoices.values()),
        unheard=tuple(api for api in APIS if not credentials.webhook_secrets(name, api)),
        owing=() if day is None else tuple(queries.owing(name, day)),
    )


def checked_event(name: str, checked: Checked, now: str) -> Event:
    """The event that the check leaves."""
    return Event(
        f"op-{ids.digest(name, 'checked', now)}", "connection.checked", name, now, now, "operator", checked.event
    )


def accepted_events(name: str, checked: Checked, by: str, now: str) -> list[Event]:
    """What the check leaves, and a person who accepts each decision that it asks for."""
    accepted = [one.code for one in checked.decisions]
    return [checked_event(name, checked, now), *approval_events(name, checked, by, accepted, now)]


def approval_events(name: str, checked: Checked, by: str, accepted: list[str], now: str, note: str = "") -> list[Event]:
    """The events by which a person puts the policy into force and opens the gate."""
    found = []
    if checked.policy is not None:
        found.append(
            Event(
                f"op-{ids.digest(name, 'policy', now)}",
                "policy.set",
                name,
                now,
                now,
                "operator",
                PolicySet(by, checked.policy),
            )
        )
    gate = GateOpened(by, accepted, note, checked.collect_from, checked.first_count, checked.first_minor)
    found.append(Event(f"op-{ids.digest(name, 'gate', now)}", "operator.gate_opened", name, now, now, "operator", gate))
    return found
