"""Which call is answered by which function, and the scope it needs (reference 1.3, with its oddities)."""

from collections.abc import Callable
from typing import NamedTuple

from sandbox.zoho import endpoints_money as money
from sandbox.zoho import endpoints_sales as sales
from sandbox.zoho import endpoints_settings as settings
from sandbox.zoho.call import Answer, Call


class Route(NamedTuple):
    method: str
    path: str
    scope: str
    answer: Callable[[Call], Answer]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def routes(automation: settings.AutomationEndpoints) -> list[Route]:
    """All routes, literal paths before those with ids."""
    rows: list[tuple[str, str, str, Callable[[Call], Answer]]] = [
        ("GET", "/organizations", "settings.READ", settings.list_organizations),
        ("GET", "/organizations/{id}", "settings.READ", settings.get_organization),
        ("GET", "/contacts", "contacts.READ", sales.list_contacts),
        ("POST", "/contacts", "contacts.CREATE", sales.create_contact),
        ("PUT", "/contacts", "contacts.UPDATE", sales.upsert_contact),
        ("GET", "/contacts/{id}", "contacts.READ", sales.get_contact),
        ("PUT", "/contacts/{id}", "contacts.UPDATE", sales.update_contact),
        ("DELETE", "/contacts/{id}", "contacts.DELETE", sales.delete_contact),
        ("POST", "/contacts/{id}/active", "contacts.CREATE", sales.activate_contact),
        ("POST", "/contacts/{id}/inactive", "contacts.CREATE", sales.deactivate_contact),
        ("GET", "/invoices", "invoices.READ", sales.list_invoices),
        ("POST", "/invoices", "invoices.CREATE", sales.create_invoice),
        ("PUT", "/invoices", "invoices.UPDATE", sales.upsert_invoice),
        ("GET", "/invoices/{id}", "invoices.READ", sales.get_invoice),
        ("PUT", "/invoices/{id}", "invoices.UPDATE", sales.update_invoice),
        ("DELETE", "/invoices/{id}", "invoices.DELETE", sales.delete_invoice),
        ("PUT", "/invoice/{id}/customfields", "invoices.UPDATE", sales.set_invoice_fields),
        ("POST", "/invoices/{id}/status/sent", "invoices.CREATE", sales.send_invoice),
        ("POST", "/invoices/{id}/status/void", "invoices.CREATE", sales.void_invoice),
        ("POST", "/invoices/{id}/status/draft", "invoices.CREATE", sales.draft_invoice),
        ("POST", "/invoices/{id}/email", "invoices.CREATE", sales.email_invoice),
        ("POST", "/invoices/{id}/writeoff", "invoices.CREATE", sales.write_off_invoice),
        ("POST", "/invoices/{id}/writeoff/cancel", "invoices.CREATE", sales.cancel_write_off),
        ("POST", "/invoices/{id}/credits", "invoices.CREATE", sales.apply_credits),
        ("GET", "/invoices/{id}/payments", "invoices.READ", sales.invoice_payments),
        ("DELETE", "/invoices/{id}/payments/{row_id}", "invoices.DELETE", sales.delete_invoice_payment),
        ("GET", "/invoices/{id}/creditsapplied", "invoices.READ", sales.invoice_credits),
        ("DELETE", "/invoices/{id}/creditsapplied/{row_id}", "invoices.DELETE", sales.delete_invoice_credit),
        ("GET", "/customerpayments", "customerpayments.READ", money.list_payments),
        ("POST", "/customerpayments", "customerpayments.CREATE", money.create_payment),
        ("PUT", "/customerpayments", "customerpayments.UPDATE", money.upsert_payment),
        ("DELETE", "/customerpayments", "customerpayments.DELETE", money.delete_payments),
        ("GET", "/customerpayments/{id}", "customerpayments.READ", money.get_payment),
        ("PUT", "/customerpayments/{id}", "customerpayments.UPDATE", money.update_payment),
        ("DELETE", "/customerpayments/{id}", "customerpayments.DELETE", money.delete_payment),
        ("PUT", "/customerpayment/{id}/customfields", "customerpayments.UPDATE", money.set_payment_fields),
        ("GET", "/customerpayments/{id}/refunds", "customerpayments.READ", money.list_refunds),
        ("POST", "/customerpayments/{id}/refunds", "customerpayments.CREATE", money.create_refund),
        ("GET", "/customerpayments/{id}/refunds/{row_id}", "customerpayments.READ", money.get_refund),
        ("PUT", "/customerpayments/{id}/refunds/{row_id}", "customerpayments.UPDATE", money.update_refund),
        ("DELETE", "/customerpayments/{id}/refunds/{row_id}", "customerpayments.DELETE", money.delete_refund),
        ("GET", "/creditnotes", "creditnotes.READ", sales.list_creditnotes),
        ("POST", "/creditnotes", "creditnotes.CREATE", sales.create_creditnote),
        ("GET", "/creditnotes/refunds", "creditnotes.READ", sales.all_creditnote_refunds),
        ("GET", "/creditnotes/{id}", "creditnotes.READ", sales.get_creditnote),
        ("DELETE", "/creditnotes/{id}", "creditnotes.DELETE", sales.delete_creditnote),
        ("POST", "/creditnotes/{id}/status/open", "creditnotes.CREATE", sales.open_creditnote),
        ("POST", "/creditnotes/{id}/status/draft", "creditnotes.CREATE", sales.draft_creditnote),
        ("POST", "/creditnotes/{id}/status/void", "creditnotes.CREATE", sales.void_creditnote),
        ("GET", "/creditnotes/{id}/invoices", "creditnotes.READ", sales.creditnote_invoices),
        ("POST", "/creditnotes/{id}/invoices", "creditnotes.CREATE", sales.apply_creditnote),
        ("DELETE", "/creditnotes/{id}/invoices/{row_id}", "creditnotes.DELETE", sales.unapply_creditnote),
        ("GET", "/creditnotes/{id}/refunds", "creditnotes.READ", sales.creditnote_refunds),
        ("POST", "/creditnotes/{id}/refunds", "creditnotes.CREATE", sales.refund_creditnote),
        ("DELETE", "/creditnotes/{id}/refunds/{row_id}", "creditnotes.DELETE", sales.delete_creditnote_refund),
        ("GET", "/expenses", "expenses.READ", money.list_expenses),
        ("POST", "/expenses", "expenses.CREATE", money.create_expense),
        ("PUT", "/expenses", "expenses.UPDATE", money.upsert_expense),
        ("GET", "/expenses/{id}", "expenses.READ", money.get_expense),
        ("PUT", "/expenses/{id}", "expenses.UPDATE", money.update_expense),
        ("DELETE", "/expenses/{id}", "expenses.DELETE", money.delete_expense),
        ("GET", "/banktransactions", "banking.READ", money.list_transactions),
        ("POST", "/banktransactions", "banking.CREATE", money.create_transaction),
        ("GET", "/banktransactions/{id}", "banking.READ", money.get_transaction),
        ("PUT", "/banktransactions/{id}", "banking.UPDATE", money.update_transaction),
        ("DELETE", "/banktransactions/{id}", "banking.DELETE", money.delete_transaction),
        ("GET", "/bankaccounts", "banking.READ", settings.list_bankaccounts),
        ("POST", "/bankaccounts", "banking.CREATE", settings.create_bankaccount),
        ("GET", "/bankaccounts/{id}", "banking.READ", settings.get_bankaccount),
        ("PUT", "/bankaccounts/{id}", "banking.UPDATE", settings.update_bankaccount),
        ("DELETE", "/bankaccounts/{id}", "banking.DELETE", settings.delete_account),
        ("GET", "/journals", "accountants.READ", money.list_journals),
        ("POST", "/journals", "accountants.CREATE", money.create_journal),
        ("GET", "/journals/{id}", "accountants.READ", money.get_journal),
        ("DELETE", "/journals/{id}", "accountants.DELETE", money.delete_journal),
        ("GET", "/chartofaccounts", "accountants.READ", settings.list_chart),
        ("POST", "/chartofaccounts", "accountants.CREATE", settings.create_chart_account),
        ("GET", "/chartofaccounts/transactions", "accountants.READ", settings.account_transactions),
        ("GET", "/chartofaccounts/{id}", "accountants.READ", settings.get_chart_account),
        ("PUT", "/chartofaccounts/{id}", "accountants.UPDATE", settings.update_chart_account),
        ("DELETE", "/chartofaccounts/{id}", "accountants.DELETE", settings.delete_account),
        ("GET", "/settings/currencies", "settings.READ", settings.list_currencies),
        ("POST", "/settings/currencies", "settings.CREATE", settings.create_currency),
        ("GET", "/settings/currencies/{id}", "settings.READ", settings.get_currency),
        ("GET", "/settings/currencies/{id}/exchangerates", "settings.READ", settings.list_rates),
        ("POST", "/settings/currencies/{id}/exchangerates", "settings.CREATE", settings.create_rate),
        ("GET", "/settings/taxes", "settings.READ", settings.list_taxes),
        ("POST", "/settings/taxes", "settings.CREATE", settings.create_tax),
        ("GET", "/settings/taxes/{id}", "settings.READ", settings.get_tax),
        ("GET", "/settings/webhooks", "settings.READ", automation.list_webhooks),
        ("POST", "/settings/webhooks", "settings.CREATE", automation.create_webhook),
        ("GET", "/settings/webhooks/histories", "settings.READ", automation.list_histories),
        ("POST", "/settings/webhooks/histories/{id}/resend", "settings.CREATE", automation.resend),
        ("GET", "/settings/webhooks/{id}", "settings.READ", automation.get_webhook),
        ("PUT", "/settings/webhooks/{id}", "settings.UPDATE", automation.update_webhook),
        ("DELETE", "/settings/webhooks/{id}", "settings.DELETE", automation.delete_webhook),
        ("GET", "/settings/workflows", "settings.READ", automation.list_rules),
        ("POST", "/settings/workflows", "settings.CREATE", automation.create_rule),
        ("GET", "/settings/workflows/{id}", "settings.READ", automation.get_rule),
        ("DELETE", "/settings/workflows/{id}", "settings.DELETE", automation.delete_rule),
        ("POST", "/settings/workflows/{id}/active", "settings.CREATE", automation.activate_rule),
        ("POST", "/settings/workflows/{id}/inactive", "settings.CREATE", automation.deactivate_rule),
    ]
    return [Route(method, path, f"ZohoBooks.{scope}", answer) for method, path, scope, answer in rows]
