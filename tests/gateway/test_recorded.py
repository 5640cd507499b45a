"""Every signature vector and every recorded body goes in over HTTP, and comes out as the right events, or not at all."""

import hmac

import orjson

from domain import events
from tests.support import installation, recorded

INVOICE = {
    "invoice_id": "910000000042001",
    "invoice_number": "INV-0042",
    "date": "2026-02-20",
    "due_date": "2026-03-06",
    "customer_id": "910000000031007",
    "email": "accounts@rosehip.example",
    "currency_code": "GBP",
    "status": "sent",
    "exchange_rate": 1.000000,
    "total": 119.99,
    "balance": 19.90,
    "last_modified_time": "2026-02-21T10:00:00+0100",
}
CONTACT = {
    "contact_id": "910000000031007",
    "contact_name": "Rosehip Bakery",
    "contact_type": "customer",
    "status": "active",
    "email": "accounts@rosehip.example",
    "currency_code": "GBP",
    "last_modified_time": "2026-02-01T08:00:00+0000",
}

#: Zoho's vectors show how it signs; few of their bodies are a resource. What comes out of each, or the reason why it is
#: parked.
OF_VECTOR = {
    "official-kb-example-query-plus-default-payload": "neither an invoice, a contact nor a customer payment",
    "json-body-no-query": "currency",
    "json-body-trailing-ampersand-query": "a contact with nothing but its id",
    "json-body-encoded-query": "neither an invoice, a contact nor a customer payment",
    "form-payload": "a form without JSONString",
    "form-jsonstring": "zoho.invoice_gone",
    "utf8-body": "contact_id",
    "empty-body": "truncated",
}


async def test_every_vector_of_gocardless_is_answered_as_it_says_and_its_events_come_out(gateway_program):
    program = gateway_program
    expected = []
    async with program.worker() as worker:
        for number, vector in enumerate(recorded.load("gocardless/webhook_vectors.json")["vectors"]):
            body = (
                recorded.raw(f"gocardless/{vector['body_file']}") if "body_file" in vector else vector["body"].encode()
            )
            program.credentials.put("cedar", "gocardless.webhook.vector", vector["secret"].encode())
            program.credentials.reload()
            status = await program.post("/webhooks/gocardless/cedar", body, {"Webhook-Signature": vector["signature"]})
            assert status == (204 if vector["valid"] else 401), vector["name"]
            if vector["valid"]:
                expected += [
                    (raw["id"], f"gocardless.{raw['resource_type']}.{raw['action']}")
                    for raw in orjson.loads(body)["events"]
                ]
            assert len(await program.deliveries("gocardless")) <= number + 1
        await worker.until_idle()
    found = await program.events()
    assert [(event.id, event.type) for event in found] == expected
    assert len(expected) == 3
    assert {event.connection for event in found} == {"cedar"}


async def test_recorded_events_of_gocardless_come_out_with_their_own_ids_in_order_and_content(gateway_program):
    program = gateway_program
    samples = recorded.load("gocardless/webhook_event_samples_synthetic.json")["samples"]
    async with program.worker() as worker:
        for group in samples.values():
            assert await program.hook(orjson.dumps({"events": group})) == 204
        await worker.until_idle()
    raws = [raw for group in samples.values() for raw in group]
    found = await program.events()
    assert [event.id for event in found] == [raw["id"] for raw in raws]
    for event, raw in zip(found, raws, strict=True):
        assert event.type == f"gocardless.{raw['resource_type']}.{raw['action']}"
        assert isinstance(event.data, events.GcEvent)
        assert event.data.links == raw["links"]
        assert event.data.cause == raw["details"]["cause"]
        assert event.happened_at == raw["created_at"]
        assert event.source == "webhook"
    assert len(found) > 25


async def test_every_resource_and_action_of_the_catalogue_comes_out(gateway_program):
    program = gateway_program
    catalogue = recorded.load("gocardless/event_catalogue.json")["resource_types"]
    pairs = [(resource, action) for resource, actions in catalogue.items() for action in actions]
    rows = [
        {
            "id": f"EV{number:06d}",
            "created_at": "2026-03-02T09:00:00.000Z",
            "resource_type": resource,
            "action": action,
            "links": {resource.removesuffix("s"): f"XX{number:06d}"},
            "details": {"origin": "bank", "cause": "test"},
            "metadata": {},
        }
        for number, (resource, action) in enumerate(pairs)
    ]
    async with program.worker() as worker:
        assert await program.hook(orjson.dumps({"events": rows})) == 204
        await worker.until_idle()
    assert [event.type for event in await program.events()] == [
        f"gocardless.{resource}.{action}" for resource, action in pairs
    ]
    assert len(pairs) > 80


async def test_a_page_of_events_as_gocardless_own_clients_test_with_is_read_as_a_webhook(gateway_program):
    program = gateway_program
    page = recorded.load("gocardless/client-python/events.json")["list"]["body"]
    async with program.worker() as worker:
        assert await program.hook(orjson.dumps({"events": page["events"]})) == 204
        await worker.until_idle()
    expected = [(row["id"], f"gocardless.{row['resource_type']}.{row['action']}") for row in page["events"]]
    assert [(event.id, event.type) for event in await program.events()] == expected
    assert expected


async def test_every_vector_of_zoho_is_accepted_and_its_resource_or_its_reason_comes_out(gateway_program):
    program = gateway_program
    vectors = recorded.load("zoho/webhook-signature-vectors.json")["vectors"]
    program.credentials.put("acme", "zoho.webhook.vector", vectors[0]["secret"].encode())
    program.credentials.reload()
    assert {vector["name"] for vector in vectors} == OF_VECTOR.keys()
    async with program.worker() as worker:
        for vector in vectors:
            headers = {vector["header"]: vector["expected_hex"], "Content-Type": vector["content_type"]}
            status = await program.post(
                f"/webhooks/zoho/acme?{vector['query_string']}", vector["body"].encode(), headers
            )
            assert status == 200, vector["name"]
            first = "1" if vector["expected_hex"][0] == "0" else "0"
            spoilt = {**headers, vector["header"]: first + vector["expected_hex"][1:]}
            assert (
                await program.post(f"/webhooks/zoho/acme?{vector['query_string']}", vector["body"].encode(), spoilt)
                == 401
            )
        await worker.until_idle()
    found = await program.events()
    assert len(found) == len(vectors)
    for vector, event in zip(vectors, found, strict=True):
        if event.type == "delivery.parked":
            assert OF_VECTOR[vector["name"]] in event.data.reason, vector["name"]
        else:
            assert OF_VECTOR[vector["name"]] == event.type


async def test_an_invoice_a_contact_and_a_deletion_of_zoho_come_out(gateway_program):
    program = gateway_program
    async with program.worker() as worker:
        assert await program.zoho_hook(orjson.dumps({"invoice": INVOICE})) == 200
        assert await program.zoho_hook(orjson.dumps({"contact": CONTACT})) == 200
        assert await program.zoho_hook(orjson.dumps({"invoice": {"invoice_id": "910000000042001"}})) == 200
        assert await program.zoho_hook(orjson.dumps(INVOICE), module="invoice") == 200
        await worker.until_idle()
    noted, contact, gone, bare = await program.events()
    assert noted.type == bare.type == "zoho.invoice_notified"
    assert (noted.data.total_minor, noted.data.balance_minor, noted.data.currency) == (11_999, 1_990, "GBP")
    assert noted.data == bare.data
    assert noted.id != bare.id, "an observation is of its delivery, never of its content"
    assert (contact.type, contact.data.email) == ("zoho.contact_notified", "accounts@rosehip.example")
    assert (gone.type, gone.data.id) == ("zoho.invoice_gone", "910000000042001")


async def test_the_raw_body_and_what_is_known_about_it_are_kept(gateway_program):
    program = gateway_program
    body = b' {"events" : [ ] , "n":1.0} \n'
    headers = {
        "Webhook-Signature": installation.sign("secret-of-acme", body),
        "Authorization": "Bearer of-a-proxy",
        "User-Agent": "gocardless/1",
    }
    assert await program.post("/webhooks/gocardless/acme", body, headers) == 204
    (record,) = await program.deliveries("gocardless")
    assert record.value == body
    assert record.key == b"acme"
    meta = orjson.loads(dict(record.headers)["meta"])
    assert meta["secret"] == "main"
    assert meta["headers"] == {
        "webhook-signature": installation.sign("secret-of-acme", body),
        "user-agent": "gocardless/1",
        "content-type": "application/octet-stream",
    }
    assert b"secret-of-acme" not in dict(record.headers)["meta"]


def test_the_helper_signs_as_the_vectors_do():
    vector = recorded.load("gocardless/webhook_vectors.json")["vectors"][0]
    assert hmac.compare_digest(installation.sign(vector["secret"], vector["body"].encode()), vector["signature"])
