"""The first-run check: what a person must know, repair or decide before anything is collected (design rule 15).

It reads both APIs, names what is missing, and turns the account names of the settings into a policy. Its result is an event; opening the
gate is a person's event after it.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from adapters.errors import AdapterError
from adapters.http import open_session
from adapters.verdicts import Answer, Call
from domain import ids, money
from domain.envelope import Event
from domain.errors import DomainError
from domain.events import ConnectionChecked, Finding, GateOpened, PolicySet
from domain.policy import Accounts, Policy
from projections.polls import Polls
from projections.queries import Queries
from projections.store import Store
from streams.assemble import gocardless_send, zoho_send
from streams.keys import Credentials
from streams.settings import Connection, Rules, Settings
from streams.stages.desk import Send
from streams.stages.poller import KINDS

#: Real seconds for one read. The check is run by a person who waits.
_DEADLINE_S: Final = 30.0

_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode


class Checked(msgspec.Struct, frozen=True):
    """What the check found, and the policy that the settings ask for (None: it is in force already, or cannot be made)."""

    event: ConnectionChecked
    policy: Policy | None

    @property
    def stops(self) -> list[Finding]:
        """What must be repaired first."""
        return [one for one in self.event.findings if one.level == "stop"]

    @property
    def decisions(self) -> list[Finding]:
        """What a person must accept."""
        return [one for one in self.event.findings if one.level == "decide"]


class _Check:
    def __init__(self, name: str, connection: Connection, store: Store, gocardless: Send, zoho: Send) -> None:
        self._name = name
        self._connection = connection
        self._store = store
        self._send = {"gocardless": gocardless, "zoho": zoho}
        self._findings: list[Finding] = []

    async def run(self) -> Checked:
        organization = await self._organization()
        creditor, banks = await self._creditor()
        rates = await self._rates()
        policy = await self._policy(banks)
        await self._waiting_money()
        self._import()
        event = ConnectionChecked(
            findings=self._findings,
            organization_id=self._connection.zoho.organization_id,
            base_currency=str(organization.get("currency_code", "")),
            time_zone=str(organization.get("time_zone", "UTC")),
            creditor=creditor,
            environment=self._connection.environment,
            rates=rates,
            creditor_bank_accounts=banks,
        )
        return Checked(event, policy)

    def _find(self, code: str, level: str, text: str, count: int = 0) -> None:
        self._findings.append(Finding(code, level, text, count))

    async def _get(self, api: str, path: str, **query: str) -> dict[str, Any]:
        """A body, {} with a "stop" finding when it cannot be had."""
        try:
            answer: Answer = await self._send[api](Call("GET", path, query), _DEADLINE_S)
            body = _decode(answer.body)
        except AdapterError as error:
            self._find(f"{api}_unreachable", "stop", f"{api}: {path} could not be read: {error}")
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._find(f"{api}_unreachable", "stop", f"{api}: {path} did not answer JSON")
            return {}
        if answer.status != 200 or body.get("code", 0) != 0:
            said = body.get("message") or (body.get("error") or {}).get("message") or answer.status
            self._find(f"{api}_refused", "stop", f"{api}: {path} was refused: {said}. Check the credentials and their rights.")
            return {}
        return body

    async def _organization(self) -> dict[str, Any]:
        wanted = self._connection.zoho.organization_id
        body = await self._get("zoho", f"/organizations/{wanted}")
        found: dict[str, Any] = body.get("organization") or {}
        if body and str(found.get("organization_id")) != wanted:
            self._find("organization", "stop", f"Zoho shows another organisation than {wanted}")
        elif found:
            self._find("organization", "ok", f"Zoho Books: {found.get('name', wanted)}, base currency {found.get('currency_code')}")
        return found

    async def _creditor(self) -> tuple[str, dict[str, str]]:
        rows = (await self._get("gocardless", "/creditors")).get("creditors") or []
        if not rows:
            return "", {}
        if len(rows) > 1:
            self._find("creditors", "decide", f"This GoCardless account has {len(rows)} creditors; all their payouts are posted", len(rows))
        creditor = rows[0]
        if creditor.get("verification_status") != "successful":
            status = creditor.get("verification_status")
            self._find("verification", "decide", f"GoCardless has not verified the creditor ({status}): no payouts until it has")
        accounts = (await self._get("gocardless", "/creditor_bank_accounts")).get("creditor_bank_accounts") or []
        banks = {str(row["id"]): str(row.get("currency", "")) for row in accounts if row.get("enabled", True)}
        self._find("creditor", "ok", f"GoCardless: {creditor.get('name')}, payouts in {', '.join(sorted(set(banks.values())))}")
        return str(creditor.get("id", "")), banks

    async def _rates(self) -> dict[str, str]:
        rows = (await self._get("zoho", "/settings/currencies")).get("currencies") or []
        return {str(row["currency_code"]): str(row["exchange_rate"]) for row in rows if str(row.get("exchange_rate", "0")) not in {"", "0"}}

    async def _policy(self, banks: dict[str, str]) -> Policy | None:
        """The policy that the settings ask for, with Zoho's ids in place of names."""
        rules = self._connection.rules
        names = await self._account_names()
        accounts = Accounts(
            clearing={cur: self._account(names, name, f"clearing {cur}") for cur, name in sorted(rules.clearing.items())},
            suspense={cur: self._account(names, name, f"suspense {cur}") for cur, name in sorted(rules.suspense.items())},
            bank={bank: self._account(names, rules.bank[cur], f"bank {cur}") for bank, cur in sorted(banks.items()) if cur in rules.bank},
            fees=self._account(names, rules.fees, "fees"),
            tax=await self._taxes(rules),
            vendor=await self._vendor(rules),
        )
        if not rules.clearing:
            self._find("no_clearing", "stop", "rules.clearing names no account: add one for each currency that is collected")
        for currency in sorted(rules.clearing):
            if currency not in rules.bank or currency not in banks.values():
                self._find(f"no_bank_{currency}", "stop", f"payouts in {currency} have no bank account in rules.bank or at GoCardless")
            if currency not in rules.suspense:
                self._find(
                    f"no_suspense_{currency}", "decide", f"rules.suspense has no account for {currency}: reversals that Zoho refuses wait"
                )
        await self._unique_field()
        held = self._held()
        wanted = self._limits(rules, Policy(version=(held.version if held else 0) + 1, accounts=accounts))
        if held is not None and msgspec.structs.replace(wanted, version=held.version) == held:
            return None
        self._find("policy", "decide", f"policy {wanted.version} of the settings comes into force")
        return wanted

    def _held(self) -> Policy | None:
        row = next((row for row in Queries(self._store).connections() if row.id == self._name), None)
        return row.policy if row is not None else None

    def _limits(self, rules: Rules, policy: Policy) -> Policy:
        return msgspec.structs.replace(
            policy,
            match_by_email=rules.match_by_email,
            invite=rules.invite,
            send_days_before_due=rules.send_days_before_due,
            send_hour=rules.send_hour,
            max_debit_minor=self._minor(rules.max_debit, "max_debit"),
            opening_clearing_minor=self._minor(rules.opening_clearing, "opening_clearing"),
            unique_field=self._connection.unique_field,
            payer_link_field=self._connection.payer_link_field,
            books_from=rules.books_from,
            closed_through=rules.closed_through,
            fee_expense=bool(rules.fees),
        )

    def _minor(self, amounts: dict[str, str], name: str) -> dict[str, int]:
        found = {}
        for currency, text in sorted(amounts.items()):
            try:
                found[currency] = money.minor_from_decimal(Decimal(text), currency)
            except (InvalidOperation, DomainError) as error:
                self._find(f"{name}_{currency}", "stop", f"rules.{name}.{currency}: {error}")
        return found

    async def _account_names(self) -> dict[str, str]:
        """Name → id of every active account, those of Banking included."""
        rows = (await self._get("zoho", "/chartofaccounts", filter_by="AccountType.Active", per_page="200")).get("chartofaccounts") or []
        banking = (await self._get("zoho", "/bankaccounts", per_page="200")).get("bankaccounts") or []
        return {str(row.get("account_name")): str(row["account_id"]) for row in [*rows, *banking]}

    def _account(self, names: dict[str, str], name: str, what: str) -> str:
        if name and name not in names:
            code = f"account_{what.replace(' ', '_').lower()}"
            self._find(code, "stop", f"Zoho Books has no active account named {name!r} ({what}): make it, or correct the settings")
        return names.get(name, "")

    async def _taxes(self, rules: Rules) -> dict[str, str]:
        if not rules.tax:
            return {}
        rows = (await self._get("zoho", "/settings/taxes")).get("taxes") or []
        by_name = {str(row.get("tax_name")): str(row["tax_id"]) for row in rows}
        for rate, name in sorted(rules.tax.items()):
            if name not in by_name:
                self._find(f"tax_{rate}", "stop", f"Zoho Books has no tax named {name!r} (for {rate})")
        return {rate: by_name.get(name, "") for rate, name in sorted(rules.tax.items())}

    async def _vendor(self, rules: Rules) -> str:
        if not rules.vendor:
            return ""
        rows = (await self._get("zoho", "/contacts", contact_type="vendor", contact_name=rules.vendor)).get("contacts") or []
        found = [str(row["contact_id"]) for row in rows if row.get("contact_name") == rules.vendor and row.get("contact_type") == "vendor"]
        if len(found) != 1:
            self._find("vendor", "stop", f"Zoho Books has {len(found)} vendors named {rules.vendor!r}: one is needed")
        return found[0] if found else ""

    async def _unique_field(self) -> None:
        field = self._connection.unique_field
        for module in ("customerpayments", "expenses"):
            context = (await self._get("zoho", f"/{module}", per_page="1")).get("page_context") or {}
            shown = [
                str(one.get("api_name") or one.get("field_name")) for one in context.get("custom_fields") or [] if isinstance(one, dict)
            ]
            if field not in shown:
                text = (
                    f"Whether {module} have the custom field {field} that refuses duplicates cannot be seen from outside: check it in Zoho"
                )
                self._find(f"unique_field_{module}", "decide", text)

    async def _waiting_money(self) -> None:
        """What else collects from the same people."""
        subscriptions = (await self._get("gocardless", "/subscriptions", status="active")).get("subscriptions") or []
        if subscriptions:
            text = f"{len(subscriptions)} live subscriptions at GoCardless go on collecting beside us: end them, or accept"
            self._find("subscriptions", "decide", text, len(subscriptions))
        pending = 0
        for status in ("pending_submission", "submitted"):
            pending += len((await self._get("gocardless", "/payments", status=status, limit="500")).get("payments") or [])
        if pending:
            self._find("pending_payments", "decide", f"{pending} payments made by others are under way at GoCardless", pending)

    def _import(self) -> None:
        polls = Polls(self._store)
        for kind in (*KINDS["gocardless"], *KINDS["zoho"]):
            if not polls.get(self._name, kind).head_at:
                self._find("import", "stop", f"{kind} has not been read to its end yet: keep `run` going, then check again")
                return
        queries = Queries(self._store)
        status = queries.status(self._name)
        self._find("import", "ok", f"read: {sum(status.invoices.values())} invoices")


async def check(settings: Settings, name: str, store: Store, credentials: Credentials, now: Callable[[], str]) -> Checked:
    """Run the check of one connection. Only reads; nothing is appended."""
    connection = settings.connections[name]
    session = open_session()
    try:
        gocardless = gocardless_send(session, credentials, name, connection)
        zoho = zoho_send(session, credentials, name, connection, now)
        return await _Check(name, connection, store, gocardless, zoho).run()
    finally:
        await session.close()


def checked_event(name: str, checked: Checked, now: str) -> Event:
    """The event that the check leaves."""
    return Event(f"op-{ids.digest(name, 'checked', now)}", "connection.checked", name, now, now, "operator", checked.event)


def approval_events(name: str, checked: Checked, by: str, accepted: list[str], now: str, note: str = "") -> list[Event]:
    """The events by which a person puts the policy into force and opens the gate."""
    found = []
    if checked.policy is not None:
        found.append(
            Event(f"op-{ids.digest(name, 'policy', now)}", "policy.set", name, now, now, "operator", PolicySet(by, checked.policy))
        )
    gate = GateOpened(by, accepted, note)
    found.append(Event(f"op-{ids.digest(name, 'gate', now)}", "operator.gate_opened", name, now, now, "operator", gate))
    return found
