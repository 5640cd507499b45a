"""The endpoints of the organisation, accounts, currencies, taxes, webhooks and workflow rules."""

from dataclasses import replace
from operator import attrgetter
from typing import Any

from sandbox.zoho import render_settings, settings
from sandbox.zoho.books import Books, Currency
from sandbox.zoho.call import Answer, Call, Document
from sandbox.zoho.errors import InvalidError, NotFoundError
from sandbox.zoho.ledger import Account
from sandbox.zoho.listing import Predicate, Spec, listed, modified_after
from sandbox.zoho.notify import Notifier
from sandbox.zoho.values import day, needed_text, parsed_day

_GROUPS = {
    "Asset": ("other_asset", "other_current_asset", "intangible_asset", "cash", "bank", "fixed_asset", "stock",
              "accounts_receivable"),
    "Liability": ("other_current_liability", "credit_card", "long_term_liability", "other_liability",
                  "accounts_payable"),
    "Equity": ("equity",),
    "Income": ("income", "other_income"),
    "Expense": ("expense", "cost_of_goods_sold", "other_expense"),
}  # fmt: skip


def _account_status(_books: Books, name: str) -> Predicate:
    if name in ("Active", "Inactive"):
        return lambda account: bool(account.active) is (name == "Active")
    kinds = _GROUPS.get(name, ())
    return lambda account: account.type in kinds


BANKACCOUNTS = Spec(
    key="bankaccounts",
    report="Bank Accounts",
    filters={},
    sorts={
        "account_name": lambda a: a.name.lower(),
        "account_type": attrgetter("type"),
        "account_code": attrgetter("code"),
    },
    default_sort=("account_name", "A"),
    statuses=_account_status,
    context={},
)
CHART = Spec(
    key="chartofaccounts",
    report="List Chart Of Accounts",
    filters={"last_modified_time": modified_after},
    sorts={"account_type": attrgetter("type"), "account_name": lambda a: a.name.lower()},
    default_sort=("account_type", "A"),
    default_filter="AccountType.Active",
    statuses=_account_status,
)
TAXES = Spec(
    key="taxes",
    report="Taxes",
    filters={},
    sorts={"tax_name": attrgetter("name")},
    default_sort=("tax_name", "A"),
    default_filter="Taxes.Active",
    context={},
)


# the organisation


def list_organizations(call: Call) -> Answer:
    books = call.books
    decoys = [render_settings.decoy(books, place, name) for place, name in enumerate(books.org.decoys)]
    return Answer({"organizations": [*decoys, render_settings.organization(books, in_list=True)]})


def get_organization(call: Call) -> Answer:
    if call.path["id"] != call.books.org.id:
        raise NotFoundError("Organization")
    return Answer({"organization": render_settings.organization(call.books, in_list=False)})


# accounts


def list_bankaccounts(call: Call) -> Answer:
    accounts = [account for account in call.books.ledger.accounts.values() if account.banking]
    return listed(call, BANKACCOUNTS, accounts, render_settings.bankaccount_row)


def create_bankaccount(call: Call) -> Answer:
    made = settings.open_account(call.books, call.object(), call.cause, banking=True)
    document = {"bankaccount": render_settings.bankaccount(call.books, made)}
    return Answer(document, "The account has been created.", 201, f"bankaccounts/{made.id}")


def get_bankaccount(call: Call) -> Answer:
    return Answer({"bankaccount": render_settings.bankaccount(call.books, _named_account(call, banking=True))})


def update_bankaccount(call: Call) -> Answer:
    changed = settings.update_account(call.books, _named_account(call, banking=True), call.object())
    document = {"bankaccount": render_settings.bankaccount(call.books, changed)}
    return Answer(document, "The details of the account have been updated.")


def delete_account(call: Call) -> Answer:
    settings.close_account(call.books, _named_account(call))
    return Answer(message="The account has been deleted.")


def list_chart(call: Call) -> Answer:
    with_balance = call.query.get("showbalance") == "true"
    render = render_settings.chart_account_with_balance if with_balance else render_settings.chart_account_row
    return listed(call, CHART, call.books.ledger.accounts.values(), render)


def create_chart_account(call: Call) -> Answer:
    made = settings.open_account(call.books, call.object(), call.cause, banking=False)
    document = {"chart_of_account": render_settings.chart_account_made(call.books, made)}
    return Answer(document, "The account has been created.", 201, f"chartofaccountdetails/{made.id}")


def get_chart_account(call: Call) -> Answer:
    return Answer({"chart_of_account": render_settings.chart_account(call.books, _named_account(call))})


def update_chart_account(call: Call) -> Answer:
    changed = settings.update_account(call.books, _named_account(call), call.object())
    document = {"chart_of_account": render_settings.chart_account_made(call.books, changed)}
    return Answer(document, "The details of the account have been updated.")


def account_transactions(call: Call) -> Answer:
    """The ledger of one account; `date.start`, `date.end`, `transaction_type` narrow it."""
    books, query = call.books, call.query
    account = books.account(query.get("account_id", ""))
    start, end = query.get("date.start", ""), query.get("date.end", "")
    entries = [
        entry
        for entry in books.ledger.of_account(account.id)
        if (not start or entry.date >= parsed_day(start, "date.start"))
        and (not end or entry.date <= parsed_day(end, "date.end"))
        and entry.kind == (query.get("transaction_type") or entry.kind)
    ]
    pairs = [(entry, leg) for entry in entries for leg in entry.legs if leg.account_id == account.id]

    def row(_books: Books, pair: Any) -> Document:
        return render_settings.account_transaction(books, account, *pair)

    spec = Spec(
        key="transactions",
        report="Account Transactions",
        filters={},
        sorts={"date": lambda pair: pair[0].date},
        default_sort=("date", "D"),
        context={},
    )
    return listed(call, spec, pairs, row)


# currencies and taxes


def list_currencies(call: Call) -> Answer:
    held = sorted(call.books.currencies.values(), key=lambda currency: currency.code)
    context = {"page": 1, "per_page": 200, "has_more_page": False, "report_name": "Currencies"}
    rows = [render_settings.currency_row(call.books, currency) for currency in held]
    return Answer({"currencies": rows, "page_context": context})


def create_currency(call: Call) -> Answer:
    made = call.books.add_currency(needed_text(call.object(), "currency_code"))
    document = {"currency": render_settings.currency_row(call.books, made)}
    return Answer(document, "The currency has been added.", 201, f"settings/currencies/{made.id}")


def get_currency(call: Call) -> Answer:
    return Answer({"currency": render_settings.currency_row(call.books, _named_currency(call))})


def list_rates(call: Call) -> Answer:
    """All rates of a currency, newest first; with `from_date`, the nearest one at or before that day."""
    held = _named_currency(call)
    places = list(range(len(held.rates)))[::-1]
    if call.query.get("from_date"):
        wanted = parsed_day(call.query["from_date"], "from_date")
        places = [place for place in places if held.rates[place][1] <= wanted][:1]
    return Answer({"exchange_rates": [render_settings.rate_row(held, place) for place in places]})


def create_rate(call: Call) -> Answer:
    held, body = _named_currency(call), call.object()
    rate_id = settings.add_rate(call.books, held.code, body, day(body, "effective_date", call.books.today()))
    place = next(place for place, row in enumerate(held.rates) if row[0] == rate_id)
    path = f"settings/currencies/{held.id}/exchangerates/{rate_id}"
    return Answer(
        {"exchange_rate": render_settings.rate_row(held, place)}, "The exchange rate has been added.", 201, path
    )


def list_taxes(call: Call) -> Answer:
    today = call.books.today().isoformat()
    spec = replace(TAXES, context={"as_of_date": today, "to_date": today})
    return listed(call, spec, call.books.taxes.values(), render_settings.tax)


def get_tax(call: Call) -> Answer:
    held = call.books.taxes.get(call.path["id"])
    if held is None:
        raise NotFoundError("Tax")
    return Answer({"tax": render_settings.tax(call.books, held)})


def create_tax(call: Call) -> Answer:
    made = settings.add_tax(call.books, call.object())
    document = {"tax": render_settings.tax(call.books, made)}
    return Answer(document, "The tax has been added.", 201, f"settings/taxes/{made.id}")


class AutomationEndpoints:
    """Webhooks, workflow rules and the delivery log. The log lives in the notifier."""

    def __init__(self, automation: settings.Automation, notifier: Notifier) -> None:
        self._automation = automation
        self._notifier = notifier

    def list_webhooks(self, _call: Call) -> Answer:
        return Answer({"webhooks": [self._automation.webhook(held) for held in self._automation.webhooks]})

    def create_webhook(self, call: Call) -> Answer:
        made = self._automation.add_webhook(call.object())
        return Answer({"webhook": made}, "Webhook has been created.", 201, f"settings/webhooks/{made['webhook_id']}")

    def get_webhook(self, call: Call) -> Answer:
        return Answer({"webhook": self._automation.webhook(call.path["id"])})

    def update_webhook(self, call: Call) -> Answer:
        return Answer({"webhook": self._automation.update_webhook(call.path["id"], call.object())}, "Webhook updated.")

    def delete_webhook(self, call: Call) -> Answer:
        self._automation.delete_webhook(call.path["id"])
        return Answer(message="Webhook has been deleted.")

    def list_rules(self, _call: Call) -> Answer:
        return Answer({"workflows": list(self._automation.rules.values())})

    def create_rule(self, call: Call) -> Answer:
        made = self._automation.add_rule(call.object())
        return Answer(
            {"workflow": made}, "Workflow has been created.", 201, f"settings/workflows/{made['workflow_id']}"
        )

    def get_rule(self, call: Call) -> Answer:
        return Answer({"workflow": self._automation.rule(call.path["id"])})

    def activate_rule(self, call: Call) -> Answer:
        return Answer(
            {"workflow": self._automation.set_rule_active(call.path["id"], active=True)}, "Workflow activated."
        )

    def deactivate_rule(self, call: Call) -> Answer:
        changed = self._automation.set_rule_active(call.path["id"], active=False)
        return Answer({"workflow": changed}, "Workflow deactivated.")

    def delete_rule(self, call: Call) -> Answer:
        self._automation.delete_rule(call.path["id"])
        return Answer(message="Workflow has been deleted.")

    def list_histories(self, call: Call) -> Answer:
        """The delivery log, newest first; `webhook_id`, `entity_id` and `filter_by=Status.Failed` narrow it."""
        rows = list(self._notifier.history.values())[::-1]
        for name in ("webhook_id", "entity_id"):
            if call.query.get(name):
                rows = [row for row in rows if row[name] == call.query[name]]
        wanted = call.query.get("filter_by", "Status.All").partition(".")[2].lower()
        if wanted not in ("all", ""):
            rows = [row for row in rows if row["status"] == wanted]
        return Answer({"histories": rows})

    def resend(self, call: Call) -> Answer:
        if not self._notifier.resend(call.path["id"]):
            raise NotFoundError("History")
        return Answer(message="The webhook has been scheduled again.")


def _named_account(call: Call, *, banking: bool = False) -> Account:
    account = call.books.ledger.accounts.get(call.path["id"])
    if account is None or (banking and not account.banking):
        raise NotFoundError("Account")
    return account


def _named_currency(call: Call) -> Currency:
    for held in call.books.currencies.values():
        if held.id == call.path["id"]:
            return held
    raise InvalidError("currency_id")
