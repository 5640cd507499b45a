"""A run as a story, in plain text: who the company is, what happened that has to do with what is wrong, in its order,
and which promises did not hold.

Told is what names a record of a breach, then what struck the machine, the network and the people; what is left out is
said by its number.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain import times
from streams.simulation.company import Company
from streams.simulation.oracles import ORACLES, Breach
from streams.simulation.plan import DAY_S, HouseFault, Moment, Plan
from streams.simulation.simulation import Report
from streams.simulation.spec import PlanSpec

#: Lines of what happened. Lower: what led there is left out. Higher: nobody reads it.
MOST_LINES: Final = 60

#: Breaches that are written out. Lower: a second fault behind the first is not seen. Higher: the same one, many times.
MOST_BREACHES: Final = 12

#: How much a line has to do with what is wrong: it names a record of it, it struck somebody, it is what goes on anyway.
_NAMED: Final = 0
_STRUCK: Final = 1
_USUAL: Final = 2

#: What a moment of the plan is. `value` and `what` are the moment's.
_MOMENTS: Final[Mapping[HouseFault, str]] = {
    "crash": "the machine loses power, for {value:.0f} s",
    "failpoint": "the machine is to lose power when the program comes to {what}, for {value:.0f} s",
    "clock_jump": "our clock is set wrong by {value:.0f} s, for {what} s",
    "clock_ahead": "our clock is set wrong by {value:.0f} s, for {what} s",
    "date_skew": "the clock of {what} is wrong by {value:.0f} s",
    "full_disk": "the disk under the log is full, for {value:.0f} s",
    "store_back": "a copy of the store is made; {value:.0f} s later the power goes, and it is put back",
    "token_refused": "GoCardless does not take the token of {what}, for {value:.0f} s",
    "flipped_bit": "a bit of the log is damaged, and its record put back {value:.0f} s later",
    "second_owner": "a second program begins on the same log and store, for {value:.0f} s",
}

#: Ids of both APIs, of our commands, and numbers of invoices.
_ID: Final = re.compile(r"[A-Z]{2,3}[0-9A-Z]{12,}|cm-[0-9a-f]{16,}|\b\d{12,}\b|INV-\d+")


class _Line(NamedTuple):
    """One thing that happened, at seconds of the run. `most`: how often the same words are told."""

    at_s: float
    weight: int
    words: str
    most: int = 3


def story(spec: PlanSpec, report: Report) -> str:
    """The story of a run that a spec gave."""
    plan = spec.plan()
    names = _names(report.breaches)
    lines = sorted(_happened(plan, report, names), key=lambda line: line.at_s)
    told = _chosen(_without_repeats(lines))
    start = next(iter(report.companies.values())).start
    parts = [
        f"Seed {spec.seed}: {plan.days} days in which something may happen, and {plan.heal_days} to come to rest.",
        *(_who(name, company) for name, company in report.companies.items()),
        f"What struck: {counted(report.faults)}.",
        "",
        "What happened:",
        *(f"  {_when(line.at_s, start)}  {line.words}" for line in told),
    ]
    left_out = len(lines) - len(told)
    if left_out > 0:
        parts.append(f"  {left_out} more, of what names none of these records or says the same again.")
    parts += ["", "What did not hold:", *_broken(report.breaches), "", "Again: " + spec.command()]
    return "\n".join(parts)


# --- who ---


def _who(name: str, company: Company) -> str:
    rules = company.rules
    customers = len(company.customers)
    webhooks = [api for api, sent in company.webhooks.items() if sent]
    parts = (
        f"{name}: a company in {company.time_zone}, with its books in {company.base}",
        f"it collects {', '.join(company.currencies)}",
        f"{customers} customers, {len(company.invoices)} invoices",
        f"webhooks of {' and '.join(webhooks) or 'neither API'}",
        f"it debits {rules.send_days_before_due} days before an invoice is due, at {rules.send_hour}:00",
        f"a link by e-mail: {rules.match_by_email}; an invitation: {rules.invite}",
        f"the books begin on {rules.books_from}" if rules.books_from else "",
        f"they are closed through {rules.closed_through}" if rules.closed_through else "",
        f"given up after {company.calls.park_after} tries",
    )
    return "; ".join(part for part in parts if part) + "."


def counted(numbers: Mapping[str, int]) -> str:
    """Names with their numbers, "none" for none: "13 call.error_before, 1 crash"."""
    return ", ".join(f"{number} {name}" for name, number in numbers.items()) or "none"


# --- what happened ---


def _names(breaches: Iterable[Breach]) -> frozenset[str]:
    """The records that breaches are about, or speak of."""
    return frozenset(name for one in breaches for name in _ID.findall(f"{one.about} {one.words}"))


def _happened(plan: Plan, report: Report, breached: frozenset[str]) -> Iterator[_Line]:
    start = next(iter(report.companies.values())).start
    names = breached | _behind(report, breached)
    for company in report.companies.values():
        for invoice in company.invoices:
            if invoice.number in names:
                customer = company.customers[invoice.customer]
                sent = "is made, a draft" if invoice.draft else "is sent"
                words = f"{invoice.number} {sent}: {customer.company}, {customer.currency}, due on {invoice.due}"
                yield _Line((invoice.sent_at - start).total_seconds(), _NAMED, words)
    yield from (_of_moment(moment) for moment in plan.moments if moment.kind != "act")
    for outage in plan.outages:
        how = "nobody answers at" if outage.silent else "something else than the API answers at"
        yield _Line(outage.begins_s, _STRUCK, f"{how} {outage.api}, for {outage.ends_s - outage.begins_s:.0f} s")
    for act in report.acts:
        refused = f" (refused: {act.refused})" if act.refused else ""
        weight = _NAMED if names & set(act.touched) else _STRUCK
        yield _Line((act.at - start).total_seconds(), weight, act.words + refused)
    for event in report.gocardless_events:
        at_s = (times.parse(event["created_at"]) - start).total_seconds()
        linked = names & set(event["links"].values())
        if linked and at_s > 0:
            words = f"GoCardless: {event['resource_type']} {', '.join(sorted(linked))} {event['action']}"
            yield _Line(at_s, _NAMED, words)
    for line in report.trace:
        found = _of_trace(line, names)
        if found is not None:
            yield found


def _behind(report: Report, names: frozenset[str]) -> frozenset[str]:
    """The payments at GoCardless of these invoices, and the invoices of these payments with their numbers."""
    found: set[str] = set()
    for event in report.gocardless_events:
        metadata = event["resource_metadata"]
        if event["resource_type"] == "payments" and names & {event["links"].get("payment", ""), *metadata.values()}:
            found |= {event["links"].get("payment", ""), *metadata.values()} - {""}
    return frozenset(found)


def _of_moment(moment: Moment) -> _Line:
    words = _MOMENTS.get(moment.kind, f"{moment.kind}, {{value:.0f}} {{what}}")
    what = moment.what.rpartition("/")[0] or moment.what  # a skew's has how long it lasts as well
    return _Line(moment.at_s, _STRUCK, words.format(value=moment.value, what=what))


def _of_trace(line: str, names: frozenset[str]) -> _Line | None:
    """A line of the trace, where it is told from there: what the program, the operator and the calls did."""
    at, kind, *rest = line.split(" ")
    at_s, words = float(at), " ".join(rest)
    named = bool(names & set(_ID.findall(words)))
    match kind, rest:
        case "program", ["ended", *why]:
            return _Line(at_s, _NAMED, f"the program ends by itself: {' '.join(why)}", 1)
        case "program", ["started", *_]:
            return _Line(at_s, _USUAL, "the program starts", 1)
        case "operator", [code, about, *done] if ":" in about:
            did = " ".join(done) or "there is no command for it"
            return _Line(at_s, _NAMED if named else _USUAL, f"the operator sees {code} about {about}: {did}")
        case "operator", ["check", connection, *codes]:
            return _Line(at_s, _USUAL, f"the operator checks {connection}, and cannot approve it: {' '.join(codes)}", 1)
        case "operator", ["gate", connection]:
            return _Line(at_s, _USUAL, f"the operator approves {connection}")
        case "operator", _:
            return _Line(at_s, _USUAL, f"the operator: {words}", 1)
        case "call", [connection, api, method, path, ended, *fault]:
            struck = f" ({fault[0].replace('_', ' ')})" if fault and fault[0] != ended else ""
            said = f"{connection} calls {api}: {method} {path}: {ended}{struck}"
            writes = method != "GET" and not path.startswith("/oauth")
            return _Line(at_s, _NAMED if named else _STRUCK, said) if writes or (named and fault) else None
        case "unhandled", _:
            return _Line(at_s, _NAMED, f"raised, and taken by nobody: {words}")
    return None


# --- what is told of it ---


def _without_repeats(lines: list[_Line]) -> list[_Line]:
    """The same words a few times only, the last of them with how often they came."""
    counts = Counter(line.words for line in lines)
    told: Counter[str] = Counter()
    found: list[_Line] = []
    for line in lines:
        told[line.words] += 1
        if told[line.words] > line.most:
            continue
        again = counts[line.words] - line.most
        if told[line.words] == line.most and again > 0:
            line = line._replace(words=f"{line.words} (and {again} times more)")  # noqa: PLW2901 - the same line, longer
        found.append(line)
    return found


def _chosen(lines: list[_Line]) -> list[_Line]:
    """As many as are read, those that have most to do with what is wrong."""
    heaviest = sorted(range(len(lines)), key=lambda place: (lines[place].weight, place))[:MOST_LINES]
    return [lines[place] for place in sorted(heaviest)]


def _when(at_s: float, start: datetime) -> str:
    at = start + timedelta(seconds=at_s)
    return f"day {int(at_s // DAY_S) + 1:>2}  {at:%Y-%m-%d %H:%M:%S}Z"


# --- what is wrong ---


def _broken(breaches: tuple[Breach, ...]) -> Iterator[str]:
    promises = {question.__name__: " ".join((question.__doc__ or "").split()) for question in ORACLES}
    if not breaches:
        yield "  Nothing: every promise held."
    told: set[str] = set()
    for breach in breaches[:MOST_BREACHES]:
        yield f"  {breach}"
        promise = promises.get(breach.oracle, "")
        if promise and breach.oracle not in told:
            told.add(breach.oracle)
            yield f"    expected: {promise}"
    if len(breaches) > MOST_BREACHES:
        yield f"  {len(breaches) - MOST_BREACHES} more."
