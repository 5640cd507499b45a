"""What the gateway answers, what it keeps, and what it counts: over a real port and a real log."""

import asyncio
import gzip
import hmac
import io
import sqlite3
from contextlib import asynccontextmanager, closing

import orjson
import pytest
from structlog.testing import capture_logs

from adapters.vault import Keyring, Vault, new_key
from streams import credentials as keys
from streams.stages import gateway
from tests.support import installation

EMPTY = b'{"events":[]}'


def payment(number: int) -> bytes:
    row = {"id": f"EV{number}", "created_at": "2026-03-02T09:00:00Z", "resource_type": "payments", "action": "created"}
    return orjson.dumps({"events": [{**row, "links": {"payment": f"PM{number}"}}]})


@asynccontextmanager
async def raw_request(program):
    """A connection to the gateway, to write on what no client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def until_in_hand(program) -> None:
    """Wait until the gateway has a request in hand."""
    async with asyncio.timeout(5):
        while "gateway" not in program.activity.why_not():  # noqa: ASYNC110 - it is the request's own arrival that is waited for
            await asyncio.sleep(0.001)


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "0" * 64},
        {"Webhook-Signature": "é"},
        {"X-Zoho-Webhook-Signature": "0"},
    ],
)
async def test_a_bad_or_missing_signature_is_refused_counted_and_not_kept(gateway_program, headers):
    assert await gateway_program.post("/webhooks/gocardless/acme", EMPTY, headers) == 401
    assert await gateway_program.post("/webhooks/zoho/acme", EMPTY, headers) == 401
    for api in ("gocardless", "zoho"):
        assert await gateway_program.deliveries(api) == []
        assert gateway_program.count("refused_webhooks", api=api, reason="signature") == 1
        assert gateway_program.count("deliveries", api=api) == 0


async def test_the_secret_of_one_connection_does_not_open_another(gateway_program):
    assert await gateway_program.hook(EMPTY, "secret-of-acme", "birch") == 401
    assert await gateway_program.hook(EMPTY, "secret-of-birch", "birch") == 204
    assert await gateway_program.zoho_hook(EMPTY, "secret-of-birch", "acme") == 401
    (record,) = await gateway_program.deliveries("gocardless")
    assert record.key == b"birch"


async def test_several_secrets_are_valid_while_one_replaces_another(gateway_program):
    program = gateway_program
    program.credentials.put("acme", "gocardless.webhook.next", b"the-next")
    program.credentials.reload()
    assert [await program.hook(EMPTY, secret) for secret in ("secret-of-acme", "the-next", "neither")] == [
        204,
        204,
        401,
    ]
    program.credentials.delete("acme", "gocardless.webhook.main")
    program.credentials.reload()
    assert [await program.hook(EMPTY, secret) for secret in ("secret-of-acme", "the-next")] == [401, 204]
    names = [orjson.loads(dict(record.headers)["meta"])["secret"] for record in await program.deliveries("gocardless")]
    assert names == ["main", "next", "next"]


async def test_a_secret_that_another_process_enters_or_removes_is_noticed(gateway_program, monkeypatch):
    """The command line enters secrets beside the running program."""
    monkeypatch.setattr(keys, "RELOAD_S", 0.0)
    program = gateway_program
    beside = keys.Credentials(program.store, Vault(program.keyring))
    beside.put("acme", "gocardless.webhook.next", b"the-next")
    assert await program.hook(EMPTY, "the-next") == 204
    beside.delete("acme", "gocardless.webhook.next")
    assert await program.hook(EMPTY, "the-next") == 401


async def test_a_secret_that_cannot_be_opened_does_not_refuse_the_others(gateway_program, monkeypatch):
    program = gateway_program
    foreign = keys.Credentials(program.store, Vault(program.keyring))
    foreign._vault = Vault(Keyring.from_text(new_key("k2")))
    foreign.put("birch", "gocardless.webhook.next", b"sealed-with-a-key-not-held-here")
    monkeypatch.setattr(keys, "RELOAD_S", 0.0)
    with capture_logs() as journal:
        assert await program.hook(EMPTY) == 204
    assert [(line["event"], line["error"]) for line in journal] == [("keys.not_read_again", "UnknownKeyError")]


@pytest.mark.parametrize("api", ["gocardless", "zoho"])
async def test_an_unknown_connection_takes_the_same_path_as_a_known_one(gateway_program, monkeypatch, api):
    """Not a timing test: the same verification runs over the whole body, against a secret that nobody has."""
    signed, compared = [], []
    new, digest, compare = hmac.new, hmac.digest, hmac.compare_digest

    def counted_new(key, message, name):
        signed.append(len(message))
        return new(key, message, name)

    def counted_digest(key, message, name):
        signed.append(len(message))
        return digest(key, message, name)

    def counted_compare(first, second):
        compared.append(len(first))
        return compare(first, second)

    monkeypatch.setattr(hmac, "new", counted_new)
    monkeypatch.setattr(hmac, "digest", counted_digest)
    monkeypatch.setattr(hmac, "compare_digest", counted_compare)
    work = []
    for connection in ("acme", "nobody", "cedar"):  # known; unknown; known, and without a secret
        signed.clear()
        compared.clear()
        headers = {"Webhook-Signature": "0" * 64, "X-Zoho-Webhook-Signature": "0" * 64}
        assert await gateway_program.post(f"/webhooks/{api}/{connection}", EMPTY, headers) == 401
        work.append((list(signed), list(compared)))
    assert work == [([len(EMPTY)], [64])] * 3
    assert gateway_program.count("refused_webhooks", api=api, reason="signature") == 3


async def test_nobodys_secret_is_not_one_that_can_be_known(gateway_program):
    for secret in ("", "\x00" * 32, "nobody"):
        assert await gateway_program.hook(EMPTY, secret, "nobody") == 401


async def test_a_compressed_body_is_taken_as_the_bytes_it_is(gateway_program):
    """Neither API sends one; what is signed are raw bytes, and nobody can make us unpack gigabytes."""
    program = gateway_program
    packed = gzip.compress(EMPTY)
    encoding = {"Content-Encoding": "gzip"}
    assert await program.hook(packed, **encoding) == 204
    assert (
        await program.post(
            "/webhooks/gocardless/acme",
            packed,
            {"Webhook-Signature": installation.sign("secret-of-acme", EMPTY), **encoding},
        )
        == 401
    )
    assert await program.hook(gzip.compress(bytes(20 * gateway.MAX_BODY_BYTES)), "wrong", **encoding) == 401
    assert [record.value for record in await program.deliveries("gocardless")] == [packed]
    await program.translate()
    (event,) = await program.events()
    assert event.type == "delivery.parked"


async def test_a_body_that_breaks_on_its_way_is_refused_in_time(gateway_program, monkeypatch, caplog):
    monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.2)
    async with raw_request(gateway_program) as (reader, writer):
        writer.write(
            b"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        )
        await until_in_hand(gateway_program)
        writer.write(b"not a size\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    assert await gateway_program.deliveries("gocardless") == []
    assert gateway_program.activity.quiet()
    assert caplog.records == []


async def test_what_is_not_http_is_refused_and_not_quoted_in_the_log(gateway_program, caplog):
    async with raw_request(gateway_program) as (reader, writer):
        writer.write(b"POST /webhooks/gocardless/acme HTTP/1.1\r\nWebhook-Signature Ada Lovelace\r\n\r\n")
        assert b" 400 " in await reader.readline()
    assert "BadHttpMessage" in caplog.text or "InvalidHeader" in caplog.text
    assert "Ada" not in caplog.text
    assert "127.0.0.1" not in caplog.text


async def test_other_methods_and_paths_lead_nowhere(gateway_program):
    async with gateway_program.session.get(gateway_program.url + "/webhooks/gocardless/acme") as response:
        assert response.status == 405
    assert await gateway_program.post("/webhooks/stripe/acme", EMPTY) == 404
    assert await gateway_program.post("/webhooks/gocardless/", EMPTY) == 404


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_refused_and_one_at_the_limit_is_not(gateway_program, chunked):
    async def in_chunks(body):
        for at in range(0, len(body), 65_536):
            yield body[at : at + 65_536]

    statuses = []
    for size in (gateway.MAX_BODY_BYTES - 1, gateway.MAX_BODY_BYTES + 1):
        body = EMPTY + b" " * (size - len(EMPTY))
        program = gateway_program
        headers = {"Webhook-Signature": hmac.new(b"secret-of-acme", body, "sha256").hexdigest()}
        data = in_chunks(body) if chunked else io.BytesIO(body)
        async with program.session.post(
            f"{program.url}/webhooks/gocardless/acme", data=data, headers=headers
        ) as response:
            statuses.append(response.status)
    assert statuses == [204, 413]
    assert gateway_program.count("refused_webhooks", api="gocardless", reason="too_large") == 1
    assert len(await gateway_program.deliveries("gocardless")) == 1


async def test_a_sender_that_goes_away_or_dawdles_leaves_nothing_behind(gateway_program, monkeypatch):
    monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.1)
    head = b"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    async with raw_request(gateway_program) as (_, gone):
        gone.write(head)
        await gone.drain()
    async with raw_request(gateway_program) as (reader, slow):
        slow.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    assert gateway_program.count("refused_webhooks", api="gocardless", reason="slow") >= 1
    assert await gateway_program.deliveries("gocardless") == []
    assert gateway_program.activity.quiet()


async def test_more_requests_than_can_be_held_are_told_to_come_again(gateway_program, monkeypatch):
    monkeypatch.setattr(gateway, "MAX_IN_HAND", 1)
    async with raw_request(gateway_program) as (reader, holding):
        holding.write(
            b"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{"
        )
        await until_in_hand(gateway_program)
        assert await gateway_program.hook(EMPTY) == 503
        holding.write(b"}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        await reader.read()
    assert await gateway_program.hook(EMPTY) == 204
    assert gateway_program.count("refused_webhooks", api="gocardless", reason="busy") == 1


async def test_headers_that_are_no_text_do_not_stop_a_good_delivery(gateway_program):
    body = EMPTY
    head = (
        f"POST /webhooks/gocardless/acme HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        f"Webhook-Signature: {installation.sign('secret-of-acme', body)}\r\n"
    ).encode()
    async with raw_request(gateway_program) as (reader, writer):
        writer.write(head + b"User-Agent: \xff\xfe caf\xe9\r\n\r\n" + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        await reader.read()
    (record,) = await gateway_program.deliveries("gocardless")
    assert "caf" in orjson.loads(dict(record.headers)["meta"])["headers"]["user-agent"]


# --- the log is not available -----------------------------------------------------------------------------------------


async def refused(program) -> None:
    """One good webhook is answered 503, and told when to come again."""
    before = program.count("refused_webhooks", api="gocardless", reason="log")
    with capture_logs() as journal:
        headers = {"Webhook-Signature": hmac.new(b"secret-of-acme", EMPTY, "sha256").hexdigest()}
        async with program.session.post(
            f"{program.url}/webhooks/gocardless/acme", data=EMPTY, headers=headers
        ) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
    assert [line["event"] for line in journal] == ["gateway.log_unavailable"]
    assert program.count("refused_webhooks", api="gocardless", reason="log") == before + 1


async def test_a_closed_log_means_come_again(gateway_program):
    await gateway_program.log.stop()
    await refused(gateway_program)
    await gateway_program.log.start()
    assert await gateway_program.hook(EMPTY) == 204


async def test_a_full_disk_means_come_again_and_with_room_it_goes_on(gateway_program):
    program = gateway_program
    program.leave_room(4)
    kept = 0
    with capture_logs():
        while (
            await program.hook(b'{"events":[],"pad":"' + bytes(97 + n % 26 for n in range(3_000)) + b'%d"}' % kept)
            == 204
        ):
            kept += 1
            assert kept < 200
    program.leave_room(0)
    big = orjson.dumps({"events": [], "pad": [str(number * 7919) for number in range(20_000)]})
    with capture_logs() as journal:
        assert await program.hook(big) == 503
    assert [line["error"] for line in journal] == ["LogFull"]
    program.leave_room(100_000)
    assert await program.hook(EMPTY) == 204
    assert len(await program.deliveries("gocardless")) == kept + 1


async def test_an_append_that_takes_too_long_means_come_again(gateway_program, monkeypatch):
    monkeypatch.setattr(gateway, "APPEND_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(gateway_program.log.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # another process writes, and does not come to an end
        await refused(gateway_program)
        other.execute("ROLLBACK")
    assert await gateway_program.hook(payment(1)) == 204
    assert payment(1) in [record.value for record in await gateway_program.deliveries("gocardless")]


def test_the_sender_is_answered_before_it_gives_up():
    assert gateway.APPEND_TIMEOUT_S < 10, "GoCardless waits ten seconds"


# --- what follows -----------------------------------------------------------------------------------------------------


async def test_a_duplicate_delivery_is_kept_twice_and_counts_once(gateway_program):
    program = gateway_program
    async with program.worker(core=True) as worker:
        for _ in range(2):
            assert await program.hook(payment(7)) == 204
        await worker.until_idle()
    first, second = await program.deliveries("gocardless")
    assert first.value == second.value
    assert dict(first.headers)["id"] != dict(second.headers)["id"]
    assert [event.id for event in await program.events()] == ["EV7", "EV7"]
    assert program.count("events") == 2
    assert [row.type for row in program.state("commands").values()] == ["gocardless.read_payment"]
    assert program.queue.counts() == {("acme", "gocardless", "waiting_publication"): 1}


async def test_many_at_once_are_each_kept_once(gateway_program):
    statuses = await asyncio.gather(*(gateway_program.hook(payment(number)) for number in range(100)))
    assert set(statuses) == {204}
    records = await gateway_program.deliveries("gocardless")
    assert sorted(record.value for record in records) == sorted(payment(number) for number in range(100))
    assert len({dict(record.headers)["id"] for record in records}) == 100
    assert gateway_program.count("deliveries", api="gocardless") == 100


async def test_no_log_line_of_a_refusal_holds_a_secret_or_a_body(gateway_program):
    await gateway_program.log.stop()
    body = b'{"events":[{"customer":"Ada Lovelace"}]}'
    with capture_logs() as journal:
        assert await gateway_program.hook(body) == 503
        assert await gateway_program.hook(body, "wrong") == 401
    assert "Ada" not in str(journal)
    assert "secret-of-acme" not in str(journal)
    await gateway_program.log.start()
