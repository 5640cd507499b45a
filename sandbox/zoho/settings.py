"""What a person or an integration sets up: accounts, rates, taxes, webhooks and the rules that fire them."""

from datetime import date
from typing import Any

from sandbox.zoho.books import Books
from sandbox.zoho.errors import IN_USE, NAME_TAKEN, InvalidError, NotFoundError, RefusedError, TakenError
from sandbox.zoho.ledger import ACCOUNT_TYPES, BANKING_TYPES, Account
from sandbox.zoho.money import number
from sandbox.zoho.notify import Endpoint
from sandbox.zoho.records import Tax
from sandbox.zoho.values import Body, flag, needed_text, rows, text

Document = dict[str, Any]

# Reference 4.2: rules a module.
RULES_PER_MODULE = 10
# The entity names of rules and the modules they mean; the name for payments is UNCONFIRMED, so several are taken.
_ENTITIES = {
    "invoice": "invoice", "customer": "contact", "contact": "contact", "vendor": "contact",
    "customerpayment": "customerpayment", "customer_payment": "customerpayment", "payment": "customerpayment",
    "creditnote": "creditnote", "expense": "expense", "banktransaction": "banktransaction", "journal": "journal",
}  # fmt: skip
_EVENTS = {"add": ["created"], "edit": ["edited"], "add_edit": ["created", "edited"], "delete": ["deleted"]}

_WEBHOOK_TEXTS = {
    "url": 5000, "method": 10, "description": 100, "secret": 50, "body_type": 50, "raw_data": 100_000,
}  # fmt: skip


def open_account(books: Books, body: Body, cause: str, *, banking: bool, key: str = "") -> Account:
    """A new account of the chart; without a currency it is of the base currency."""
    kind = needed_text(body, "account_type")
    if kind not in (BANKING_TYPES if banking else ACCOUNT_TYPES):
        raise InvalidError("account_type")
    now = books.now()
    return books.open_account(
        Account(
            books.ids.new("account", cause),
            needed_text(body, "account_name", limit=100),
            kind,
            books.currency_of(body, books.base),
            now,
            now,
            key=key,
            code=text(body, "account_code", limit=50),
            description=text(body, "description", limit=500),
            number=text(body, "account_number", limit=50),
            bank_name=text(body, "bank_name", limit=100),
            routing_number=text(body, "routing_number", limit=50),
            primary=flag(body, "is_primary_account"),
        )
    )


def update_account(books: Books, account: Account, body: Body) -> Account:
    """Takes the fields the body names; a change of nothing leaves the time."""
    wanted = {
        "name": text(body, "account_name", limit=100) or account.name,
        "code": text(body, "account_code", account.code, limit=50),
        "description": text(body, "description", account.description, limit=500),
        "number": text(body, "account_number", account.number, limit=50),
        "bank_name": text(body, "bank_name", account.bank_name, limit=100),
    }
    if any(getattr(account, field) != value for field, value in wanted.items()):
        for field, value in wanted.items():
            setattr(account, field, value)
        account.modified_at = books.now()
    return account


def close_account(books: Books, account: Account) -> None:
    if account.system or books.ledger.by_account[account.id]:
        raise RefusedError(IN_USE, "An account with transactions cannot be deleted.")
    books.ledger.close(account.id)


def add_tax(books: Books, body: Body, key: str = "") -> Tax:
    name = needed_text(body, "tax_name")
    percentage = number(body.get("tax_percentage"), "tax_percentage")
    if not 0 <= percentage <= 100:
        raise InvalidError("tax_percentage")
    if any(tax.name == name for tax in books.taxes.values()):
        raise TakenError(f"The tax {name}")
    tax = Tax(books.ids.new("tax", name), name, percentage, key)
    books.taxes[tax.id] = tax
    return tax


def add_rate(books: Books, code: str, body: Body, effective: date) -> str:
    found = number(body.get("rate"), "rate")
    if found <= 0 or code == books.base:
        raise InvalidError("rate")
    return books.add_rate(code, effective, found)


class Automation:
    """Webhook actions and the workflow rules that fire them (reference 4.1). A webhook without a rule never fires."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.webhooks: dict[str, Document] = {}
        self.rules: dict[str, Document] = {}

    def add_webhook(self, body: Body) -> Document:
        name = needed_text(body, "webhook_name", limit=50)
        self._refuse_name(self.webhooks, "webhook_name", name, "webhook")
        needed_text(body, "url", limit=5000)
        self._check_secret(body)
        entity = needed_text(body, "entity")
        if entity not in _ENTITIES:
            raise InvalidError("entity")
        webhook_id = self._books.ids.new("webhook", name)
        self.webhooks[webhook_id] = {
            "webhook_id": webhook_id,
            "webhook_name": name,
            "entity": entity,
            **{field: text(body, field, limit=limit) for field, limit in _WEBHOOK_TEXTS.items()},
            "headers": _headers(body),
        }
        return self.webhook(webhook_id)

    def update_webhook(self, webhook_id: str, body: Body) -> Document:
        self.webhook(webhook_id)
        self._check_secret(body)
        named: Document = {
            field: text(body, field, limit=limit) for field, limit in _WEBHOOK_TEXTS.items() if field in body
        }
        if "headers" in body:
            named["headers"] = _headers(body)
        self.webhooks[webhook_id] |= named
        return self.webhook(webhook_id)

    def delete_webhook(self, webhook_id: str) -> None:
        """Refused while a rule fires it."""
        self.webhook(webhook_id)
        if any(_action_ids(rule) & {webhook_id} for rule in self.rules.values()):
            raise RefusedError(IN_USE, "The webhook is used by a workflow rule.")
        del self.webhooks[webhook_id]

    def webhook(self, webhook_id: str) -> Document:
        if webhook_id not in self.webhooks:
            raise NotFoundError("Webhook")
        related = [
            {"workflow_id": rule["workflow_id"], "workflow_name": rule["workflow_name"]}
            for rule in self.rules.values()
            if webhook_id in _action_ids(rule)
        ]
        shown = {key: value for key, value in self.webhooks[webhook_id].items() if key != "secret"}
        return {**shown, "related_rules": related}

    def add_rule(self, body: Body) -> Document:
        name = needed_text(body, "workflow_name")
        self._refuse_name(self.rules, "workflow_name", name, "workflow")
        entity, rule_type = needed_text(body, "entity"), needed_text(body, "rule_type")
        if entity not in _ENTITIES:
            raise InvalidError("entity")
        if rule_type not in _EVENTS:
            raise InvalidError("rule_type")
        if sum(_ENTITIES[rule["entity"]] == _ENTITIES[entity] for rule in self.rules.values()) >= RULES_PER_MODULE:
            raise RefusedError(IN_USE, "No more rules can be made for this module.")
        actions = [
            {"action_id": needed_text(row, "action_id"), "action_type": needed_text(row, "action_type")}
            for row in rows(body, "instant_actions")
        ]
        if any(action["action_id"] not in self.webhooks for action in actions):
            raise NotFoundError("Webhook")
        workflow_id = self._books.ids.new("workflow", name)
        self.rules[workflow_id] = {
            "workflow_id": workflow_id,
            "workflow_name": name,
            "entity": entity,
            "rule_type": rule_type,
            "is_active": True,
            "instant_actions": actions,
        }
        return self.rules[workflow_id]

    def set_rule_active(self, workflow_id: str, *, active: bool) -> Document:
        self.rule(workflow_id)["is_active"] = active
        return self.rule(workflow_id)

    def rule(self, workflow_id: str) -> Document:
        if workflow_id not in self.rules:
            raise NotFoundError("Workflow")
        return self.rules[workflow_id]

    def delete_rule(self, workflow_id: str) -> None:
        self.rule(workflow_id)
        del self.rules[workflow_id]

    def endpoints(self) -> list[Endpoint]:
        """One address per active rule and webhook: two rules with one webhook send twice."""
        found = []
        for rule in self.rules.values():
            if not rule["is_active"]:
                continue
            for webhook_id in sorted(_action_ids(rule)):
                webhook = self.webhooks[webhook_id]
                kind = str(webhook["body_type"])
                found.append(
                    Endpoint(
                        url=str(webhook["url"]),
                        secret=str(webhook["secret"]),
                        modules=[_ENTITIES[rule["entity"]]],
                        events=_EVENTS[rule["rule_type"]],
                        headers={h["param_name"]: h["param_value"] for h in webhook["headers"]},
                        body_type="form" if "form" in kind else "raw" if webhook["raw_data"] else "json",
                        raw_data=str(webhook["raw_data"]),
                        webhook_id=webhook_id,
                    )
                )
        return found

    def _refuse_name(self, held: dict[str, Document], field: str, name: str, what: str) -> None:
        if any(row[field] == name for row in held.values()):
            raise RefusedError(NAME_TAKEN, f"A {what} with the same name already exists.")

    def _check_secret(self, body: Body) -> None:
        secret = text(body, "secret")
        if secret and not (12 <= len(secret) <= 50 and secret.isalnum() and secret.isascii()):
            raise InvalidError("secret")


def _action_ids(rule: Document) -> set[str]:
    return {action["action_id"] for action in rule["instant_actions"] if action["action_type"] == "webhook"}


def _headers(body: Body) -> list[Document]:
    return [
        {"param_name": needed_text(row, "param_name"), "param_value": text(row, "param_value", limit=5000)}
        for row in rows(body, "headers")
    ]
