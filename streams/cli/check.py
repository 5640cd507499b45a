"""`check`: what a person must know before anything is collected, and the approval that opens the gate."""

import getpass

import click
from rich.console import Console

from domain.events import Finding
from domain.onboarding import Checked
from projections.store.store import open_store
from streams.cli import places
from streams.cli.codes import OK, PERSON, Undecided
from streams.cli.command import CliCommand, Reply, Session, day_of, table
from streams.credentials import Credentials, open_vault
from streams.operate import check as checks
from streams.operate.acts import Operator, Told, operating
from streams.settings import Settings


@click.command(cls=CliCommand)
@click.argument("name")
@click.option("--approve", is_flag=True, help="Put the policy into force and open the gate.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who approves; it is recorded.")
@click.option("--accept", multiple=True, metavar="CODE", help="Accept what the check wants decided; once for each.")
@click.option(
    "--collect-from",
    default="",
    metavar="DAY",
    callback=day_of,
    help="Collect what fell due from this day on (YYYY-MM-DD).",
)
@click.option("--note", default="", help="Why, in your words; it is recorded.")
def check(
    session: Session, name: str, approve: bool, by: str, accept: tuple[str, ...], collect_from: str, note: str
) -> Reply:
    """Check the connection NAME: credentials, accounts, custom fields, what else collects, what has been read, what is
    collected first.

    It only reads, and leaves its findings as an event. With --approve, and when nothing stops it and each decision is
    accepted, the policy of the settings comes into force and collection may begin. What fell due before the day of the
    first approval (or --collect-from) stays held until it is accepted by itself.
    """
    name = session.connection(name)
    return session.run(
        _check(session, name, approve=approve, by=by, accept=list(accept), collect_from=collect_from, note=note)
    )


async def _check(
    session: Session, name: str, *, approve: bool, by: str, accept: list[str], collect_from: str, note: str
) -> Reply:
    async with operating(_settings(session)) as operator:
        credentials = Credentials(operator.store, open_vault(session.settings.keys))
        with session.progress("reading both APIs"):
            checked = await checks.check(
                session.settings, name, operator.store, credentials, operator.clock.now, collect_from
            )
        now = operator.clock.now()
        acts = [checks.checked_event(name, checked, now)]
        refusal = _refusal(checked, accept) if approve else ""
        if approve and not refusal:
            acts += checks.approval_events(name, checked, by, accept, now, note)
        told = await operator.tell(acts)
        if refusal:
            raise Undecided(refusal, name, _to_do(name, checked))
        return _reply(name, checked, told[-1], approve=approve, gate=_gate(operator, name))


def _settings(session: Session) -> Settings:
    """The check may be the first to open the log, but not when the store belongs to one that is not there."""
    settings = session.existing("store")
    log = places.files(settings).get("log")
    if log is None or log.exists():
        return settings
    with open_store(settings.store) as store:
        bound = store.get_meta("log_incarnation")
    return session.existing("log") if bound else session.making()


def _refusal(checked: Checked, accept: list[str]) -> str:
    if checked.stops:
        return f"the check found {', '.join(one.code for one in checked.stops)}"
    missing = [one.code for one in checked.decisions if one.code not in accept]
    return f"not yet accepted: {', '.join(missing)}" if missing else ""


def _to_do(name: str, checked: Checked) -> str:
    if checked.stops:
        return f"`zoho-gocardless check {name}` says how to repair it; then approve again"
    return f"read what each means with `zoho-gocardless check {name}`, then: {_approval(name, checked)}"


def _approval(name: str, checked: Checked) -> str:
    """The command that approves, with every code that it needs."""
    accepts = "".join(f" --accept {one.code}" for one in checked.decisions)
    return f"zoho-gocardless check {name} --approve --by WHO{accepts}"


def _gate(operator: Operator, name: str) -> str:
    with operator.state(name) as state:
        return state.own.gate


def _reply(name: str, checked: Checked, last: Told, *, approve: bool, gate: str) -> Reply:
    findings = checked.event.findings
    open_codes = [one.code for one in (*checked.stops, *checked.decisions)]
    data = {
        "connection": name,
        "findings": findings,
        "stops": [one.code for one in checked.stops],
        "decisions": [one.code for one in checked.decisions],
        "approved": approve,
        "gate": gate,
        "taken": last.taken,
    }
    person = bool(checked.stops) or (not approve and (gate != "open" or bool(open_codes)))

    def show(console: Console) -> None:
        console.print(table("", "code", "finding", rows=[_row(one) for one in findings]))
        console.print()
        if approve:
            when = {
                True: "The gate is open.",
                False: "The running program has not taken it in yet.",
                None: "It holds when the program runs.",
            }
            console.print(f"Approved. {when[last.taken]}")
        elif checked.stops:
            console.print(f"{len(checked.stops)} findings stop it: repair them, then check again.")
        elif open_codes or gate != "open":
            console.print(f"To begin: {_approval(name, checked)}")

    return Reply(data, show, PERSON if person else OK)


def _row(one: Finding) -> tuple[str, str, str]:
    return {"ok": "ok", "decide": "decide", "stop": "STOP"}.get(one.level, one.level), one.code, one.text
