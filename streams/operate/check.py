"""The first-run check: what a person must know, repair or decide before anything is collected (design rule 15).

It reads both APIs, names what is missing, and turns the account names of the settings into a policy. Its result is an
event; opening the gate is a person's event after it.

```
stop    must be repaired   credentials, the organisation and its time zone, accounts, taxes, the vendor, rates, days,
                           an unfinished import
decide  must be accepted   the policy, several creditors, no verification, what else collects, fields that cannot
                           be seen, what is left out
ok      good to know       the organisation, the creditor, how much has been read
```
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final

import msgspec

from adapters.errors import AdapterError
from adapters.http import open_session
from adapters.senders import Send
from adapters.verdicts import Answer, Call
from adapters.zoho import amounts
from domain import currencies, ids, money, times
from domain.envelope import Event
from domain.errors import AmountError, DomainError
from domain.events import ConnectionChecked, Finding, GateOpened, PolicySet
from domain.policy import Accounts, Policy
from domain.vocabulary import API_NAMES, APIS, Api
from projections.queries import Owing, Queries
from projections.store.store import Store
from projections.work.polls import Polls
from streams.credentials import Credentials, sender
from streams.operate.check_reads import Findings, Reader, Row, Rows
from streams.settings import Settings
from streams.stages.poller import KINDS

#: Zoho's account types that fees can be booked to.
_EXPENSE_TYPES: Final = frozenset({"expense", "other_expense", "cost_of_goods_sold"})

#: GoCardless's statuses of payments that have not come to an end yet.
_UNDER_WAY: Final = ("pending_customer_approval", "pending_submission", "submitted")


class Checked(msgspec.Struct, frozen=True):
    """What the check found, and the policy that the settings ask for (None: it is in force already, or something stops
    it).

    `collect_from`: what fell due before this day stays held, "" where that is settled already. `first_count` and
    `first_minor`: what would be collected first, per currency; None where collection has begun.
    """

    event: ConnectionChecked
    policy: Policy | None
    collect_from: str = ""
    first_count: dict[str, int] | None = None
    first_minor: dict[str, int] | None = None

    @property
    def stops(self) -> list[Finding]:
        """What must be repaired first."""
        return [one for one in self.event.findings if one.level == "stop"]

    @property
    def decisions(self) -> list[Finding]:
        """What a person must accept."""
        return [one for one in self.event.findings if one.level == "decide"]


class _Creditor(msgspec.Struct, frozen=True):
    """What is paid out to: `banks` maps the enabled creditor bank accounts to their currencies; `paid_in` "" without
    foreign exchange.
    """

    id: str = ""
    country_code: str = ""
    paid_in: str = ""
    banks: dict[str, str] | None = None


class _First(msgspec.Struct, frozen=True):
    """What would be collected first, as `Checked` has it."""

    collect_from: str = ""
    count: dict[str, int] | None = None
    minor: dict[str, int] | None = None


class _Check:
    def __init__(
        self,
        name: str,
        settings: Settings,
        store: Store,
        sends: Mapping[Api, Send],
        unheard: Iterable[Api],
        now: str,
        collect_from: str,
    ) -> None:
        connection = settings.connections[name]
        self._name = name
        self._others = settings.connections.keys() - {name}
        self._connection = connection
        self._collect_from = collect_from
        self._queries = Queries(store)
        self._rules = connection.rules
        self._store = store
        self._unheard = unheard
        self._now = now
        self._findings = Findings()
        self._find = self._findings.add
        self._read = Reader(sends, self._findings)

    async def run(self) -> Checked:
        organization = await self._organization()
        creditor = await self._creditor()
        rates = await self._rates(str(organization.get("currency_code", "")))
        accounts = await self._accounts(creditor)
        await self._unique_fields()
        await self._others_collect()
        for api in self._unheard:
            text = (
                f"No webhook secret of {API_NAMES[api]} is entered: what happens there is noticed by polls only, hours"
                " later."
            )
            self._find(f"no_webhooks_{api}", "decide", text)
        self._import()
        zone = str(organization.get("time_zone") or "UTC")
        first = self._first_collection(zone) if organization else _First()
        policy = self._policy(accounts)
        event = ConnectionChecked(
            findings=self._findings.all,
            organization_id=self._connection.zoho.organization_id,
            base_currency=str(organization.get("currency_code", "")),
            time_zone=zone,
            creditor=creditor.id,
            environment=self._connection.environment,
            rates=rates,
            creditor_bank_accounts=creditor.banks or {},
        )
        return Checked(event, policy, first.collect_from, first.count, first.minor)

    # --- the two sides ---

    async def _organization(self) -> Row:
        wanted = self._connection.zoho.organization_id
        rows = await self._read.zoho("/organizations")
        if rows is None:
            return {}
        found = next((row for row in rows if str(row.get("organization_id")) == wanted), None)
        if found is None:
            shown = ", ".join(sorted(str(row.get("organization_id")) for row in rows)) or "none"
            self._find(
                "organization",
                "stop",
                f"This consent does not reach organisation {wanted} of Zoho Books; it reaches {shown}.",
            )
            return {}
        self._find(
            "organization",
            "ok",
            f"Zoho Books: {found.get('name', wanted)}, base currency {found.get('currency_code')}.",
        )
        try:
            times.local_day(self._now, str(found.get("time_zone")))
        except DomainError as error:
            self._find("time_zone", "stop", f"The organisation's time zone cannot be used: {error}.")
        return found

    async def _creditor(self) -> _Creditor:
        rows = await self._read.gocardless("creditors")
        accounts = await self._read.gocardless("creditor_bank_accounts")
        if rows is None or accounts is None:
            return _Creditor()
        if not rows:
            self._find(
                "creditor", "stop", "This GoCardless account has no creditor yet: finish its set-up at GoCardless."
            )
            return _Creditor()
        if len(rows) > 1:
            self._find(
                "creditors",
                "decide",
                f"This GoCardless account has {len(rows)} creditors; all their payouts are posted.",
                len(rows),
            )
        for row in rows:
            status = row.get("verification_status")
            if status != "successful":
                name = row.get("name")
                self._find(
                    "verification",
                    "decide",
                    f"GoCardless has not verified {name} ({status}): it pays nothing out until it has.",
                )
        self._single(str(rows[0].get("id", "")))
        banks = {str(row["id"]): str(row.get("currency", "")) for row in accounts if row.get("enabled", True)}
        paid = ", ".join(sorted(set(banks.values()))) or "no currency yet"
        self._find("creditor", "ok", f"GoCardless: {rows[0].get('name')}, payouts in {paid}.")
        first = rows[0]
        return _Creditor(
            str(first.get("id", "")),
            str(first.get("country_code") or ""),
            str(first.get("fx_payout_currency") or ""),
            banks,
        )

    def _single(self, creditor: str) -> None:
        """A creditor stands in one connection: in two, each would debit the same people (rule 20)."""
        for row in self._queries.connections():
            if row.id in self._others and (row.environment, row.creditor) == (self._connection.environment, creditor):
                text = (
                    f"Creditor {creditor} is that of connection {row.id} already; both would collect from the same"
                    " people. Keep one."
                )
                self._find("creditor_taken", "stop", text)

    async def _rates(self, base: str) -> dict[str, str]:
        rows = await self._read.zoho("/settings/currencies")
        found: dict[str, str] = {}
        for row in rows or []:
            try:
                found[str(row.get("currency_code"))] = amounts.rate(str(row.get("exchange_rate") or ""))
            except DomainError:
                continue  # 0 or "": never used, so it has no rate
        for currency in sorted(self._rules.clearing):
            if rows is not None and base and currency not in {base, *found}:
                self._find(
                    f"rate_{currency}", "stop", f"Zoho Books has no exchange rate for {currency}: add one there."
                )
        return found

    # --- accounts ---

    async def _accounts(self, creditor: _Creditor) -> Accounts:
        rules = self._rules
        self._completeness(creditor)
        places = await self._named_accounts()
        bank = {cur: self._money_account(places, name, f"bank {cur}", cur) for cur, name in sorted(rules.bank.items())}
        return Accounts(
            clearing={
                cur: self._money_account(places, name, f"clearing {cur}", cur)
                for cur, name in sorted(rules.clearing.items())
            },
            suspense={
                cur: self._money_account(places, name, f"suspense {cur}", cur)
                for cur, name in sorted(rules.suspense.items())
            },
            bank={one: bank[cur] for one, cur in sorted((creditor.banks or {}).items()) if cur in bank},
            fees=self._fees_account(places),
            tax=await self._taxes(creditor.country_code),
            vendor=await self._vendor(),
        )

    def _completeness(self, creditor: _Creditor) -> None:
        """What the settings leave out."""
        rules = self._rules
        for what, named in (("clearing", rules.clearing), ("suspense", rules.suspense), ("bank", rules.bank)):
            for currency in sorted(named):
                if currency not in currencies.EXPONENTS:
                    self._find(
                        f"currency_{currency}",
                        "stop",
                        f"rules.{what}: {currency} is no currency; use its three capitals.",
                    )
        if not rules.clearing:
            self._find(
                "no_clearing", "stop", "rules.clearing names no account: add one for each currency that is collected."
            )
        for currency in sorted(rules.clearing):
            paid_in = creditor.paid_in or currency
            if paid_in not in rules.bank:
                self._find(f"no_bank_{paid_in}", "stop", f"rules.bank names no account for payouts in {paid_in}.")
            elif creditor.banks is not None and paid_in not in creditor.banks.values():
                self._find(
                    f"no_bank_{paid_in}",
                    "stop",
                    f"GoCardless has no bank account to pay {paid_in} out to: add one there.",
                )
            if currency not in rules.suspense:
                text = (
                    f"rules.suspense names no account for {currency}: reversals that Zoho Books refuses wait for a"
                    " person."
                )
                self._find(f"no_suspense_{currency}", "decide", text)
        if not rules.fees:
            self._find(
                "no_fees",
                "decide",
                "rules.fees names no account: GoCardless's fees are not booked, and stay in clearing.",
            )
        if not rules.books_from:
            text = "rules.books_from names no day: everything that GoCardless still shows is booked, old payouts too."
            self._find("books_from", "decide", text)
        used = [*rules.clearing.values(), *rules.suspense.values(), *rules.bank.values(), rules.fees]
        for name in sorted({one for one in used if one and used.count(one) > 1}):
            self._find(
                "account_twice",
                "stop",
                f"The rules use the account {name!r} for more than one thing: each needs its own.",
            )

    async def _named_accounts(self) -> dict[str, list[Row]] | None:
        """Name → the active accounts of that name, each once; those of Banking show their currency."""
        chart = await self._read.zoho("/chartofaccounts", filter_by="AccountType.Active")
        banking = await self._read.zoho("/bankaccounts")
        if chart is None or banking is None:
            return None
        by_id: dict[str, Row] = {}
        for row in [*chart, *banking]:
            if str(row.get("is_active", True)).lower() != "false":
                key = str(row.get("account_id"))
                by_id[key] = {**by_id.get(key, {}), **row}
        found: dict[str, list[Row]] = {}
        for row in by_id.values():
            found.setdefault(str(row.get("account_name")), []).append(row)
        return found

    def _account(self, places: dict[str, list[Row]] | None, name: str, what: str) -> Row | None:
        if places is None or not name:
            return None
        code, rows = _code("account", what), places.get(name, [])
        if not rows:
            self._find(
                code,
                "stop",
                f"Zoho Books has no active account named {name!r} ({what}): make it, or correct the settings.",
            )
        elif len(rows) > 1:
            self._find(
                code, "stop", f"Zoho Books has {len(rows)} active accounts named {name!r} ({what}): rename all but one."
            )
        return rows[0] if len(rows) == 1 else None

    def _money_account(self, places: dict[str, list[Row]] | None, name: str, what: str, currency: str) -> str:
        """An account of Banking, in the currency: only those can be transferred between and reconciled."""
        row = self._account(places, name, what)
        if row is None:
            return ""
        if row.get("currency_code") != currency:
            shown = row.get("currency_code")
            kind = f"is in {shown}" if shown else "is not one of Banking"
            self._find(
                _code("account", what),
                "stop",
                f"The account {name!r} ({what}) {kind}: name one of Banking, in {currency}.",
            )
        return str(row.get("account_id"))

    def _fees_account(self, places: dict[str, list[Row]] | None) -> str:
        row = self._account(places, self._rules.fees, "fees")
        if row is None:
            return ""
        if row.get("account_type") not in _EXPENSE_TYPES:
            self._find(
                "account_fees", "stop", f"The account {self._rules.fees!r} (fees) is no expense account: name one."
            )
        return str(row.get("account_id"))

    # --- taxes and the vendor ---

    async def _taxes(self, country_code: str) -> dict[str, str]:
        """Zoho's tax for each tax rate of GoCardless."""
        wanted = self._rules.tax
        if not self._rules.fees:
            return {}
        rates = await self._read.gocardless("tax_rates")
        shown = await self._read.zoho("/settings/taxes") if wanted else Rows()
        if shown is None or rates is None:
            return {}
        by_name = {str(row.get("tax_name")): row for row in shown}
        by_id = {str(row.get("id")): row for row in rates}
        for rate, name in sorted(wanted.items()):
            if name not in by_name:
                self._find(f"tax_{rate}", "stop", f"Zoho Books has no tax named {name!r} (for {rate}).")
            elif rate not in by_id:
                self._find(
                    f"tax_{rate}", "stop", f"GoCardless knows no tax rate {rate}; it knows {', '.join(sorted(by_id))}."
                )
            elif (ours := _percent(by_name[name].get("tax_percentage"))) != (
                theirs := _percent(by_id[rate].get("percentage"))
            ):
                self._find(
                    f"tax_{rate}",
                    "stop",
                    f"The tax {name!r} of Zoho Books is {ours:f} %, GoCardless's {rate} is {theirs:f} %.",
                )
        today = self._now[:10]
        for rate, row in sorted(by_id.items()):
            current = str(row.get("end_date") or today) >= today
            if current and row.get("jurisdiction") == country_code and rate not in wanted:
                text = (
                    f"rules.tax names no tax for {rate} ({row.get('percentage')} %), which GoCardless may charge on"
                    " its fees."
                )
                self._find(f"no_tax_{rate}", "decide", text)
        return {rate: str(by_name[name].get("tax_id")) for rate, name in sorted(wanted.items()) if name in by_name}

    async def _vendor(self) -> str:
        name = self._rules.vendor
        if not name or not self._rules.fees:
            return ""
        rows = await self._read.zoho("/contacts", contact_type="vendor", contact_name=name)
        if rows is None:
            return ""
        found = [
            str(row.get("contact_id"))
            for row in rows
            if row.get("contact_name") == name
            and row.get("contact_type") == "vendor"
            and row.get("status", "active") == "active"
        ]
        if len(found) != 1:
            self._find("vendor", "stop", f"Zoho Books has {len(found)} active vendors named {name!r}: one is needed.")
        return found[0] if found else ""

    async def _unique_fields(self) -> None:
        """The custom field that refuses duplicates. A list shows the fields of its module, but not always, and not what
        they refuse.
        """
        field = self._connection.unique_field
        for module in ("customerpayments", "expenses") if self._rules.fees else ("customerpayments",):
            rows = await self._read.zoho(f"/{module}", most_pages=1)
            if rows is None:
                continue
            shown = rows.context.get("custom_fields") or []
            names = {str(one.get(key)) for one in shown if isinstance(one, dict) for key in ("api_name", "field_name")}
            if field not in names:
                text = (
                    f"Whether {module} have the custom field {field}, set to refuse duplicates, cannot be seen from"
                    " outside: look in Zoho."
                )
                self._find(f"unique_field_{module}", "decide", text)

    # --- what else is going on ---

    async def _others_collect(self) -> None:
        """What else collects from the same people. The filters are checked row by row; instalments are payments that
        wait.
        """
        live = await self._read.gocardless("subscriptions", status="active")
        count = sum(row.get("status") == "active" for row in live or [])
        if live is not None and count:
            text = (
                f"{_at_least(count, cut=live.cut)} live subscriptions at GoCardless go on collecting beside us: end"
                " them, or accept."
            )
            self._find("subscriptions", "decide", text, count)
        count, cut = 0, False
        for status in _UNDER_WAY:
            rows = await self._read.gocardless("payments", status=status)
            if rows is None:
                return
            count += sum(row.get("status") == status and not _ours(row) for row in rows)
            cut = cut or rows.cut
        if count:
            text = (
                f"{_at_least(count, cut=cut)} payments made by others are under way at GoCardless: they may pay"
                " invoices of ours."
            )
            self._find("pending_payments", "decide", text, count)

    def _import(self) -> None:
        polls = Polls(self._store)
        unread = [kind for kind in (*KINDS["gocardless"], *KINDS["zoho"]) if not polls.get(self._name, kind).head_at]
        if unread:
            text = f"Not yet read to the end: {', '.join(unread)}. Keep `run` going, then check again."
            self._find("import", "stop", text, len(unread))
            return
        count = sum(self._queries.status(self._name).invoices.values())
        self._find("import", "ok", f"Both sides are read; {count} invoices are known.", count)

    # --- what would be collected first ---

    def _first_collection(self, zone: str) -> _First:
        """Count, sum and oldest of what is owing; before the first approval, what of it would be held, and what that
        makes the first days' ceiling.
        """
        own = self._queries.status(self._name).connection
        begun = own.gate == "open" or own.opening_posted
        if begun and not self._collect_from:
            rows = self._queries.owing(self._name, own.collect_from)
            self._find(
                "first_collection", "ok", f"Owing and not under way: {_in_words(rows)}.", sum(one.count for one in rows)
            )
            return _First()
        try:
            day = self._collect_from or times.local_day(self._now, zone)
        except DomainError:
            return _First()  # the time zone is a finding of its own
        rows = self._queries.owing(self._name, day)
        due, old = [one for one in rows if not one.early], [one for one in rows if one.early]
        text = f"Collected on their due dates once this is approved: {_in_words(due)}."
        if old:
            text += (
                f" Held, since they fell due before {day}: {_in_words(old)}; accept an earlier day with --collect-from"
                " DAY."
            )
        named = self._rules.max_day.keys() | self._rules.max_day_count.keys()
        silent = sorted(self._rules.clearing.keys() - {one.currency for one in due} - named)
        if silent:
            text += (
                f" Nothing falls due in {', '.join(silent)}: the first debits there wait for you, unless rules.max_day"
                " names a ceiling."
            )
        self._find("first_collection", "decide", text, sum(one.count for one in rows))
        return _First(day, {one.currency: one.count for one in due}, {one.currency: one.amount_minor for one in due})

    # --- the policy ---

    def _policy(self, accounts: Accounts) -> Policy | None:
        """The policy that the settings ask for, when it is not in force and nothing stops it."""
        rules = self._rules
        for what, day in (("books_from", rules.books_from), ("closed_through", rules.closed_through)):
            try:
                times.believable_day(day or "2000-01-01")
            except DomainError as error:
                self._find(what, "stop", f"rules.{what}: {error}.")
        held = self._queries.status(self._name).connection.policy
        wanted = Policy(
            version=(held.version if held else 0) + 1,
            accounts=accounts,
            match_by_email=rules.match_by_email,
            invite=rules.invite,
            send_days_before_due=rules.send_days_before_due,
            send_hour=rules.send_hour,
            max_debit_minor=self._most(rules.max_debit, "max_debit"),
            max_payer_month_minor=self._most(rules.max_payer_month, "max_payer_month"),
            max_day_minor=self._most(rules.max_day, "max_day"),
            max_day_count=dict(sorted(rules.max_day_count.items())),
            opening_clearing_minor=self._minor(rules.opening_clearing, "opening_clearing"),
            unique_field=self._connection.unique_field,
            payer_link_field=self._connection.payer_link_field,
            books_from=rules.books_from,
            closed_through=rules.closed_through,
            fee_expense=bool(rules.fees),
        )
        if any(one.level == "stop" for one in self._findings.all):
            return None
        fields = [name for name in Policy.__struct_fields__ if name != "version"]
        changed = fields if held is None else [name for name in fields if getattr(wanted, name) != getattr(held, name)]
        if not changed:
            return None
        what = "the first one" if held is None else f"it changes {', '.join(changed)}"
        self._find("policy", "decide", f"Policy {wanted.version} of the settings comes into force: {what}.")
        return wanted

    def _most(self, given: dict[str, str], name: str) -> dict[str, int]:
        """A ceiling per currency; below zero it would hold everything for ever, which no one means."""
        found = self._minor(given, name)
        for currency in sorted(one for one, amount in found.items() if amount < 0):
            self._find(f"{name}_{currency}", "stop", f"rules.{name}.{currency}: a ceiling is not below zero.")
        return found

    def _minor(self, given: dict[str, str], name: str) -> dict[str, int]:
        found = {}
        for currency, text in sorted(given.items()):
            try:
                found[currency] = money.minor_from_decimal(Decimal(text), currency)
            except InvalidOperation:
                self._find(
                    f"{name}_{currency}",
                    "stop",
                    f"rules.{name}.{currency}: {text!r} is no amount; write it as 5000.00.",
                )
            except DomainError as error:
                self._find(f"{name}_{currency}", "stop", f"rules.{name}.{currency}: {error}.")
        return found


def _in_words(rows: list[Owing]) -> str:
    """12 invoices of 3,400.00 GBP (oldest due 2026-03-01), and so on, by currency."""
    parts = [
        f"{one.count} invoices of {money.format_minor(one.amount_minor, one.currency)} {one.currency} (oldest due "
        f"{one.oldest})"
        for one in rows
    ]
    return ", ".join(parts) or "none"


def _code(*parts: str) -> str:
    return "_".join(parts).replace(" ", "_")


def _percent(shown: object) -> Decimal:
    """A percentage of either side; 0 where it cannot be read."""
    try:
        return amounts.decimal_of(str(shown), "percentage").normalize()
    except AmountError:
        return Decimal(0)


def _ours(payment: Row) -> bool:
    """Whether a payment was made by this connector: it names the command that made it."""
    metadata = payment.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("command")) and bool(metadata.get("zoho_invoice_id"))


def _at_least(count: int, *, cut: bool) -> str:
    return f"At least {count}" if cut else str(count)


def _send(make: Callable[[], Send]) -> Send:
    """How to send, or, where the credentials are missing or cannot be opened, how to say so at every call."""
    try:
        return make()
    except AdapterError as error:
        missing = error

    async def refuse(call: Call, deadline_s: float) -> Answer:  # noqa: ARG001 - it stands where a client's `send` does
        raise missing

    return refuse


async def check(
    settings: Settings,
    name: str,
    store: Store,
    credentials: Credentials,
    now: Callable[[], str],
    collect_from: str = "",
) -> Checked:
    """Run the check of one connection. Only reads; nothing is appended. What the APIs refuse is a finding, never an
    exception.

    `collect_from`: the day from which an approval is to collect what fell due; "": the organisation's today, at the
    first approval.
    """
    connection = settings.connections[name]
    async with open_session() as session:
        sends = {api: _send(partial(sender, api, session, credentials, name, connection, now)) for api in APIS}
        unheard = [api for api in APIS if not credentials.webhook_secrets(name, api)]
        return await _Check(name, settings, store, sends, unheard, now(), collect_from).run()


def checked_event(name: str, checked: Checked, now: str) -> Event:
    """The event that the check leaves."""
    return Event(
        f"op-{ids.digest(name, 'checked', now)}", "connection.checked", name, now, now, "operator", checked.event
    )


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
