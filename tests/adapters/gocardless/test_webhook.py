"""Signatures: GoCardless's own vectors, what must not verify, and secrets in change."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gocardless.webhook import DOCUMENTED_EVENTS, MAX_BODY_BYTES, verify
from adapters.vault import Secret
from tests.support import gocardless_records as gc

OLD, NEW = Secret("old", b"first-secret"), Secret("new", b"second-secret")


def sign(secret: Secret, body: bytes) -> str:
    return hmac.new(secret.value, body, "sha256").hexdigest()


def test_every_vector_verifies_as_it_says() -> None:
    vectors = gc.load("webhook_vectors.json")["vectors"]
    assert {vector["valid"] for vector in vectors} == {True, False}
    for vector in vectors:
        body = gc.fixture(vector["body_file"]) if "body_file" in vector else vector["body"].encode()
        found = verify(
            {"Webhook-Signature": vector["signature"]}, body, [Secret("endpoint", vector["secret"].encode())]
        )
        assert found == ("endpoint" if vector["valid"] else None), vector["name"]
        if "correct_signature_for_this_body" in vector:
            assert sign(Secret("", vector["secret"].encode()), body) == vector["correct_signature_for_this_body"]


def test_vendored_bodies_are_byte_exact() -> None:
    vectors = [vector for vector in gc.load("webhook_vectors.json")["vectors"] if "body_bytes" in vector]
    assert len(vectors) == 2
    for vector in vectors:
        assert gc.fixture(vector["body_file"]) == vector["body"].encode()
        assert len(gc.fixture(vector["body_file"])) == vector["body_bytes"]


@pytest.mark.parametrize("signing", [OLD, NEW])
@pytest.mark.parametrize("held", [[OLD, NEW], [NEW, OLD]])
def test_either_secret_verifies_while_one_replaces_the_other(signing: Secret, held: list[Secret]) -> None:
    assert verify({"webhook-signature": sign(signing, b"{}")}, b"{}", held) == signing.name


def test_every_secret_is_tried_whichever_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    real = hmac.compare_digest

    def counted(first: bytes, second: bytes) -> bool:
        tried.append(first)
        return real(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for signing in (OLD, NEW, Secret("other", b"x")):
        tried.clear()
        verify({"webhook-signature": sign(signing, b"{}")}, b"{}", [OLD, NEW])
        assert len(tried) == 2


@pytest.mark.parametrize(
    "headers", [{}, {"webhook-signature": ""}, {"webhook-signature": "é" * 64}, {"webhook-signature": "0" * 64}]
)
def test_no_or_a_wrong_signature_does_not_verify(headers: dict[str, str]) -> None:
    assert verify(headers, b"{}", [OLD, NEW]) is None


def test_without_secrets_nothing_verifies() -> None:
    assert verify({"webhook-signature": sign(OLD, b"{}")}, b"{}", []) is None


def test_an_empty_secret_never_verifies() -> None:
    empty = Secret("empty", b"")
    assert verify({"webhook-signature": sign(empty, b"{}")}, b"{}", [empty]) is None


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=64), st.text(max_size=80))
def test_only_the_right_hex_verifies(body: bytes, key: bytes, shown: str) -> None:
    secret = Secret("s", key)
    right = sign(secret, body)
    assert verify({"WEBHOOK-SIGNATURE": right}, body, [secret]) == "s"
    assert verify({"webhook-signature": shown}, body, [secret]) is None
    assert verify({"webhook-signature": right}, body + b"\n", [secret]) is None


def test_a_secret_is_not_shown() -> None:
    assert "first-secret" not in repr(OLD)


def test_a_full_body_fits_the_limit() -> None:
    assert DOCUMENTED_EVENTS * 4096 < MAX_BODY_BYTES
