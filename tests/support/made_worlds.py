"""A world with a drawn company in both simulators, in process, and somebody who collects and books by a simple script."""

import random
from datetime import timedelta

from sandbox.gocardless import gocardless_app
from sandbox.inprocess import InProcess
from sandbox.world import World
from sandbox.zoho import zoho_app
from sandbox.zoho.errors import ApiError
from sandbox.zoho.money import major
from streams.population import UNIQUE_FIELD
from streams.simulation import company, company_documents
from streams.simulation.acts_dashboard import call_api
from streams.simulation.apis import merchant_of, zoho_of

ENDPOINTS = {api: {"url": f"http://{api}.example/hook", "secret": "aSecretOfTwelve"} for api in ("gocardless", "zoho")}


async def nobody(_url, _headers, _body):
    """A way of posting: nobody answers."""


def drawn(seed, **sizes):
    return company.draw(random.Random(f"{seed}/company"), seed=seed, **sizes)


class MadeWorld:
    """`company` and what the simulators made of it; `apps`: API → its application, in process."""

    def __init__(self, one, post=nobody):
        self.company = one
        self.world = World(seed=one.seed, start=one.start, post=post)
        self.apps = {"gocardless": InProcess(gocardless_app(self.world)), "zoho": InProcess(zoho_app(self.world))}
        self.made = company_documents.populate(self.world, one, ENDPOINTS)
        self.merchant, self.books = merchant_of(self.world), zoho_of(self.world).books
        self._asked, self._booked = set(), set()

    def live_until(self, when):
        """Let everything happen up to an instant, in order. No webhooks are posted."""
        while (next_at := self.world.next_action_at()) is not None and next_at <= when:
            self.world.move_to(next_at)
        self.world.move_to(when)

    def live_a_day(self):
        self.live_until(self.world.now + timedelta(days=1))
        self._collect()
        self._book()

    def _collect(self):
        """What the program would: one debit for each invoice that is due, and an invitation for whom has no payer."""
        places = {contact: place for place, contact in enumerate(self.made.contacts)}
        for invoice in list(self.books.invoices.rows.values()):
            place = places.get(invoice.contact.id)
            due = invoice.state == "sent" and invoice.balance_minor > 0 and invoice.due <= self.books.today()
            if invoice.id in self._asked or place is None or not due:
                continue
            self._asked.add(invoice.id)
            mandate = self.made.mandates[place]
            if mandate is None:
                self._invite(invoice)
            elif (
                self.merchant.next_possible(self.merchant.collections["mandates"][mandate])
                and invoice.balance_minor < 500_000
            ):
                metadata = {
                    "zoho_invoice_id": invoice.id,
                    "zoho_invoice_number": invoice.number,
                    "command": f"c{invoice.id}",
                }
                links = {"mandate": mandate}
                body = {
                    "amount": invoice.balance_minor,
                    "currency": invoice.currency,
                    "links": links,
                    "metadata": metadata,
                }
                call_api(self.merchant, {"call": "POST /payments", "body": {**body, "description": invoice.number}})

    def _invite(self, invoice):
        metadata = {"zoho_contact_id": invoice.contact.id}
        body = {"mandate_request": {"currency": invoice.currency, "metadata": metadata}, "metadata": metadata}
        made = call_api(self.merchant, {"call": "POST /billing_requests", "body": body})["billing_requests"]
        call_api(
            self.merchant, {"call": "POST /billing_request_flows", "body": {"links": {"billing_request": made["id"]}}}
        )

    def _book(self):
        """A customer payment for each confirmation, a transfer and an expense for each payout."""
        for payment in list(self.merchant.collections["payments"].records):
            if payment["status"] in ("confirmed", "paid_out") and "zoho_invoice_id" in payment["metadata"]:
                self._once(payment["id"], self._receipt, payment)
        for payout in list(self.merchant.collections["payouts"].records):
            if payout["status"] == "paid":
                self._once(payout["id"], self._transfer, payout)

    def _once(self, identity, book, doc):
        if identity not in self._booked:
            self._booked.add(identity)
            book(doc)

    def _account(self, key):
        return next(account.id for account in self.books.ledger.accounts.values() if account.key == key)

    def _receipt(self, payment):
        invoice = self.books.invoices.get(payment["metadata"]["zoho_invoice_id"])
        if invoice is None:
            return
        amount, open_ = (
            str(major(minor, 2)) for minor in (payment["amount"], min(payment["amount"], invoice.balance_minor))
        )
        body = {
            "customer_id": invoice.contact.id,
            "payment_mode": "directdebit",
            "amount": amount,
            "date": self.books.today().isoformat(),
            "account_id": self._account(f"clearing_{invoice.currency}"),
            "invoices": [{"invoice_id": invoice.id, "amount_applied": open_}],
            "custom_fields": [{"api_name": UNIQUE_FIELD, "value": f"sandbox:{payment['id']}:1"}],
        }
        self._edit("record_payment", body)

    def _transfer(self, payout):
        clearing, today = self._account(f"clearing_{payout['currency']}"), self.books.today().isoformat()
        bank = self._account(f"bank_{payout['fx']['fx_currency']}")
        amount = {"amount": str(major(payout["amount"], 2)), "date": today, "reference_number": payout["reference"]}
        sides = {"from_account_id": clearing, "to_account_id": bank}
        self._edit("create_transaction", {"transaction_type": "transfer_fund", **sides, **amount})
        fees = {"amount": str(major(max(payout["deducted_fees"], 1), 2)), "account_id": self._account("fees")}
        self._edit("create_expense", {**fees, "paid_through_account_id": clearing, "date": today})

    def _edit(self, action, body):
        try:
            zoho_of(self.world).edit({"action": action, "body": body})
        except ApiError:
            return  # voided or matched meanwhile: not what these tests are about
