"""Evidence for oracles, and how a test changes one thing of it: the simulators' documents are plain values, our rows
frozen structs, and nothing of the original is touched.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from domain.discrepancies import describe
from domain.state import KINDS, DiscrepancyRow, State
from projections.store.store import open_store
from streams.demo import demo
from streams.demo.result import CONNECTION
from streams.operate.installation import opened_log
from streams.simulation.oracles import Act, Evidence, gather
from streams.simulation.oracles.evidence import PublicRecord

Change = Callable[[dict[str, Any]], None]


@asynccontextmanager
async def ended_month(folder: Path, state: dict[str, Any]):
    """The evidence of a month that a demo has lived in `folder`, its log and its store, both open."""
    settings = demo.load(folder / "settings.toml", {})
    async with opened_log(settings) as log:
        with open_store(settings.store) as store:
            evidence = gather(
                store,
                log,
                connection=CONNECTION,
                settings=settings,
                gocardless=state["gocardless"],
                zoho=state["zoho"],
                now=state["now"],
                calls_a_day={("zoho", "2026-03-09"): 40, ("gocardless", "2026-03-09"): 30},
            )
            yield evidence, log, store


def fixed(evidence: Evidence) -> Evidence:
    """The same, with what it reads of the log in memory."""
    assert evidence.events is not None
    assert evidence.decisions is not None
    assert evidence.public is not None
    events, decisions, public = list(evidence.events()), list(evidence.decisions()), list(evidence.public())
    return msgspec.structs.replace(
        evidence, events=lambda: iter(events), decisions=lambda: iter(decisions), public=lambda: iter(public)
    )


def at_gocardless(evidence: Evidence, change: Change) -> Evidence:
    """With its resources changed."""
    document = copy.deepcopy(evidence.gocardless)
    change(document["resources"])
    return msgspec.structs.replace(evidence, gocardless=document)


def in_zoho(evidence: Evidence, change: Change) -> Evidence:
    """With the books changed. An account's balance is another matter: see `booked`."""
    document = copy.deepcopy(evidence.zoho)
    change(document)
    return msgspec.structs.replace(evidence, zoho=document)


def booked(books: dict[str, Any], account: str, amount_minor: int) -> None:
    """What a record that was put into the books, or taken out, does to an account."""
    found = next(one for one in books["accounts"] if one["account_id"] == account)
    found["balance_minor"] += amount_minor


def with_rows(evidence: Evidence, kind: str, *rows: Any, without: tuple[str, ...] = ()) -> Evidence:
    """With these rows of a kind, and without those keys."""
    mappings = {name: dict(evidence.state.mapping(name)) for name in KINDS}
    for row in rows:
        mappings[kind][row.id] = row
    for key in without:
        del mappings[kind][key]
    return msgspec.structs.replace(evidence, state=State(evidence.connection, mappings))


def with_fields(evidence: Evidence, kind: str, key: str, **fields: Any) -> Evidence:
    """With fields of one row changed."""
    return with_rows(evidence, kind, msgspec.structs.replace(evidence.state.mapping(kind)[key], **fields))


def with_discrepancy(evidence: Evidence, code: str, about: str, **facts: str) -> Evidence:
    """With an open discrepancy, told and published."""
    text, remedy = describe(code, facts)
    row = DiscrepancyRow(f"{code}:{about}", code, about, text, remedy, "EV1", evidence.now)
    return published(with_rows(evidence, "discrepancies", row), "discrepancies", row.id, _told(row))


def _told(row: DiscrepancyRow) -> dict[str, Any]:
    return {"version": 10**6, "status": "open", "code": row.code, "text": row.text, "amount_minor": row.amount_minor}


def published(evidence: Evidence, topic: str, key: str, value: dict[str, Any]) -> Evidence:
    """With one more public record."""
    held = evidence.public
    assert held is not None

    def records() -> Iterator[PublicRecord]:
        yield from held()
        yield PublicRecord(topic, key, value)

    return msgspec.structs.replace(evidence, public=records)


def with_act(evidence: Evidence, name: str, *touched: str, at: str = "") -> Evidence:
    """With something that somebody did beside us; long ago unless told."""
    act = Act(at or "2026-03-20T00:00:00.000Z", name, touched)
    return msgspec.structs.replace(evidence, acts=(*evidence.acts, act))
