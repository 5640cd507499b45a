"""Webhooks out: what is sent, how it is signed, who hears of what, and the daily limit."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from sandbox.zoho.notify import Endpoint, signature

URL = "http://receiver.example/hook"
SECRET = "aSecretOf20Characters"


class Sent:
    """Stands where webhooks are sent: what was handed to it, without sending."""

    def __init__(self, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[dict[str, Any]] = []

        def enqueue(api: str, url: str, headers: dict[str, str], body: bytes, **kwargs: Any) -> None:
            self.messages.append({"api": api, "url": url, "headers": headers, "body": body, **kwargs})

        monkeypatch.setattr(shop.world.webhooks, "enqueue", enqueue)

    def labels(self) -> list[str]:
        found = [message["label"] for message in self.messages]
        self.messages.clear()
        return found


@pytest.fixture
def sent(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(shop, monkeypatch)


@pytest.mark.parametrize(
    ("query", "body", "form", "joined"),
    [
        ("", b'{"invoice":{"total":598.00}}', False, b'{"invoice":{"total":598.00}}'),
        ("name=basic&id=9", b'{"a":1}', False, b'id9namebasic{"a":1}'),
        ("label=a%20b%26c&a=1&", b"{}", False, b"a1labela b&c{}"),
        ("amount=450.00", b"invoice_id=7&status=paid", True, b"amount450.00invoice_id7statuspaid"),
        ("", '{"n":"Zoë"}'.encode(), False, '{"n":"Zoë"}'.encode()),
        ("k=v", b"", False, b"kv"),
    ],
)
def test_the_string_that_is_signed(query: str, body: bytes, form: bool, joined: bytes) -> None:
    expected = hmac.new(SECRET.encode(), joined, hashlib.sha256).hexdigest()
    assert signature(SECRET, f"{URL}?{query}", body, form=form) == expected


def test_the_published_vectors() -> None:
    path = Path(__file__).parents[2] / "fixtures" / "zoho" / "webhook-signature-vectors.json"
    vectors = json.loads(path.read_text())["vectors"]
    assert len(vectors) >= 8
    for vector in vectors:
        form = vector["content_type"] != "application/json"
        made = signature(vector["secret"], f"{URL}?{vector['query_string']}", vector["body"].encode(), form=form)
        assert made == vector["expected_hex"], vector["name"]


def test_one_message_per_record_signed_over_its_bytes_with_no_event_in_it(shop: Any, sent: Sent) -> None:
    shop.simulator.configure({"webhooks": [{"url": URL, "secret": SECRET, "modules": ["invoice", "customerpayment"]}]})
    invoice = shop.invoice("10")
    assert sent.labels() == ["invoice.created", "invoice.edited"]
    shop.pay("10", {invoice: "10"})
    payment_message = next(m for m in sent.messages if m["label"] == "customerpayment.created")
    invoice_message = next(m for m in sent.messages if m["label"] == "invoice.edited")
    document = json.loads(invoice_message["body"])
    assert list(document) == ["invoice"]
    assert (document["invoice"]["status"], document["invoice"]["balance"]) == ("paid", 0)
    made = hmac.new(SECRET.encode(), invoice_message["body"], hashlib.sha256).hexdigest()
    assert invoice_message["headers"]["X-Zoho-Webhook-Signature"] == made
    assert list(json.loads(payment_message["body"])) == ["payment"]
    assert 1 <= invoice_message["delay"].total_seconds() <= 5
    assert len(sent.messages) == 2


def test_a_refused_call_and_one_that_changes_nothing_say_nothing(shop: Any, sent: Sent) -> None:
    invoice = shop.invoice("10")
    shop.simulator.configure({"webhooks": [{"url": URL}]})
    shop.call("POST", "/customerpayments", shop.payment_body("11", {invoice: "11"}))
    shop.ok("PUT", f"/invoices/{invoice}", {"notes": ""})
    assert sent.messages == []
    shop.ok("PUT", f"/contacts/{shop.customer}", {"notes": "x"})
    assert sent.labels() == ["contact.edited"]


def test_without_echo_only_a_persons_changes_are_told(shop: Any, sent: Sent) -> None:
    shop.simulator.configure({"webhooks": [{"url": URL, "echo": False}]})
    invoice = shop.invoice("10")
    assert sent.messages == []
    shop.simulator.edit({"action": "edit_invoice", "invoice_id": invoice, "changes": {"notes": "hello"}})
    assert sent.labels() == ["invoice.edited"]


def test_a_deleted_record_leaves_only_its_id(shop: Any, sent: Sent) -> None:
    invoice = shop.invoice("10", sent=False)
    shop.simulator.configure({"webhooks": [{"url": URL, "modules": ["invoice"]}]})
    shop.ok("DELETE", f"/invoices/{invoice}")
    assert json.loads(sent.messages[0]["body"]) == {"invoice": {"invoice_id": invoice}}


def test_the_three_kinds_of_body_and_the_open_questions(shop: Any, sent: Sent) -> None:
    raw = '{"id":"${INVOICE.INVOICE_ID}","status":"${INVOICE.STATUS}"}'
    shop.simulator.configure(
        {
            "webhooks": [
                {"url": URL, "body_type": "form", "modules": ["invoice"]},
                {"url": URL, "body_type": "raw", "raw_data": raw, "modules": ["invoice"]},
                {"url": URL, "modules": ["customerpayment"]},
            ],
            "switches": {"webhook_ids_as_numbers": True, "payment_key": "customer_payment"},
        }
    )
    invoice = shop.invoice("10", sent=False)
    form, filled = (message["body"].decode() for message in sent.messages)
    assert json.loads(parse_qs(form)["JSONString"][0])["invoice"]["invoice_id"] == int(invoice)
    assert json.loads(filled) == {"id": invoice, "status": "draft"}
    payment = shop.pay("5", {})
    body = json.loads(sent.messages[-1]["body"])
    assert body["customer_payment"]["payment_id"] == int(payment)


def test_a_thousand_a_day(shop: Any, sent: Sent) -> None:
    shop.simulator.configure({"webhooks": [{"url": URL, "modules": ["contact"]}]})
    for n in range(1003):
        shop.simulator.edit({"action": "edit_contact", "contact_id": shop.customer, "changes": {"notes": str(n)}})
    assert len(sent.messages) == 1000
    assert shop.simulator.state()["notifications"] == {"enqueued": 1000, "over_daily_limit": 3}
    shop.pass_time(days=1)
    shop.simulator.edit({"action": "edit_contact", "contact_id": shop.customer, "changes": {"notes": "next day"}})
    assert len(sent.messages) == 1001


def test_provisioning_a_webhook_and_its_rule(shop: Any, sent: Sent) -> None:
    body = {"webhook_name": "Invoices", "url": URL, "entity": "invoice", "method": "POST", "secret": SECRET}
    webhook = shop.ok("POST", "/settings/webhooks", body)["webhook"]
    assert "secret" not in webhook
    assert shop.call("POST", "/settings/webhooks", body).code == 107051
    assert shop.call("POST", "/settings/webhooks", {**body, "webhook_name": "b", "secret": "short"}).code == 2
    shop.invoice("1", sent=False)
    assert sent.messages == []
    rule = {
        "workflow_name": "Invoices edited",
        "rule_type": "add_edit",
        "entity": "invoice",
        "instant_actions": [{"action_id": webhook["webhook_id"], "action_type": "webhook"}],
    }
    workflow = shop.ok("POST", "/settings/workflows", rule)["workflow"]
    assert shop.call("POST", "/settings/workflows", rule).code == 107051
    invoice = shop.invoice("2", sent=False)
    assert sent.messages[0]["headers"]["X-Zoho-Webhook-Signature"]
    assert sent.labels() == ["invoice.created"]
    (row,) = shop.ok("GET", "/settings/webhooks/histories", entity_id=invoice)["histories"]
    assert (row["webhook_id"], row["status"]) == (webhook["webhook_id"], "scheduled")
    shop.ok("POST", f"/settings/webhooks/histories/{row['history_id']}/resend")
    assert len(sent.messages) == 1
    assert shop.call("DELETE", f"/settings/webhooks/{webhook['webhook_id']}").status == 400
    shop.ok("POST", f"/settings/workflows/{workflow['workflow_id']}/inactive")
    sent.messages.clear()
    shop.invoice("3", sent=False)
    assert sent.messages == []
    shop.ok("DELETE", f"/settings/workflows/{workflow['workflow_id']}")
    shop.ok("DELETE", f"/settings/webhooks/{webhook['webhook_id']}")
    assert shop.ok("GET", "/settings/webhooks")["webhooks"] == []


def test_a_module_takes_ten_rules(shop: Any) -> None:
    for n in range(10):
        shop.ok("POST", "/settings/workflows", {"workflow_name": str(n), "rule_type": "add", "entity": "invoice"})
    eleventh = {"workflow_name": "11", "rule_type": "add", "entity": "invoice"}
    assert shop.call("POST", "/settings/workflows", eleventh).status == 400
    shop.ok("POST", "/settings/workflows", {**eleventh, "entity": "customer"})


def test_an_endpoint_without_modules_wants_everything() -> None:
    assert Endpoint(url=URL).wants("invoice", "edited")
    assert not Endpoint(url=URL, events=["created"]).wants("invoice", "edited")
