import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.vault import Secret
from adapters.zoho import webhook
from adapters.zoho.webhook import verify
from sandbox.zoho import notify

VECTORS = json.loads((Path(__file__).parents[2] / "fixtures/zoho/webhook-signature-vectors.json").read_text())[
    "vectors"
]
OLD, NEW = Secret("old", b"OldSecret123"), Secret("new", b"NewSecret123")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vectors(vector):
    raw, secret = vector["body"].encode(), Secret("main", vector["secret"].encode())
    assert (
        webhook.string_to_sign(raw, vector["query_string"], vector["content_type"]) == vector["string_to_sign"].encode()
    )
    headers = {vector["header"]: vector["expected_hex"], "Content-Type": vector["content_type"]}
    assert verify(headers, raw, vector["query_string"], [secret]) == "main"
    assert (
        verify({**headers, vector["header"]: vector["expected_hex"].upper()}, raw, vector["query_string"], [secret])
        == "main"
    )
    assert (
        webhook.expected_signature(secret, raw, vector["query_string"], vector["content_type"])
        == vector["expected_hex"]
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_one_changed_byte_is_refused(vector):
    secret = Secret("main", vector["secret"].encode())
    headers = {vector["header"]: vector["expected_hex"], "Content-Type": vector["content_type"]}
    assert verify(headers, vector["body"].encode() + b"&x=1", vector["query_string"], [secret]) is None
    assert verify(headers, vector["body"].encode(), vector["query_string"] + "&x=1", [secret]) is None


def test_the_secret_that_signed_is_named_while_two_are_held():
    signature = webhook.expected_signature(NEW, b"{}", "", "application/json")
    assert signature is not None
    for secrets in ([OLD, NEW], [NEW, OLD]):
        assert verify({"x-zoho-webhook-signature": signature}, b"{}", "", secrets) == "new"
    assert verify({"x-zoho-webhook-signature": signature}, b"{}", "", [OLD]) is None
    assert verify({"x-zoho-webhook-signature": signature}, b"{}", "", []) is None


def test_header_names_are_compared_in_any_case():
    signature = webhook.expected_signature(OLD, b"{}", "", "")
    assert signature is not None
    assert verify({"X-ZOHO-WEBHOOK-SIGNATURE": signature}, b"{}", "", [OLD]) == "old"


@pytest.mark.parametrize("signature", ["", "deadbeef", "é" * 64, "0" * 64, "\x00"])
def test_a_wrong_signature_is_refused(signature):
    assert verify({"X-Zoho-Webhook-Signature": signature}, b"{}", "", [OLD]) is None


def test_no_header_and_an_empty_secret_never_verify():
    assert verify({}, b"{}", "", [OLD]) is None
    empty = Secret("empty", b"")
    signature = webhook.expected_signature(empty, b"{}", "", "")
    assert signature is not None
    assert verify({"X-Zoho-Webhook-Signature": signature}, b"{}", "", [empty]) is None


def test_too_many_pairs_are_refused_before_any_work():
    many = "&".join(f"a{n}=1" for n in range(2000))
    assert webhook.expected_signature(OLD, b"", many, "") is None
    assert verify({"X-Zoho-Webhook-Signature": "00"}, b"", many, [OLD]) is None


def test_a_secret_shows_in_no_repr():
    assert "OldSecret123" not in repr(OLD)


@given(
    st.binary(max_size=200),
    st.text(max_size=80),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded; charset=UTF-8", ""]),
)
def test_what_is_signed_verifies_and_nothing_raises(raw, query, content_type):
    signature = webhook.expected_signature(NEW, raw, query, content_type)
    shown = {"X-Zoho-Webhook-Signature": signature or "", "Content-Type": content_type}
    assert verify(shown, raw, query, [OLD, NEW]) == ("new" if signature else None)


@given(st.text(max_size=60), st.text(max_size=80), st.booleans())
def test_the_simulator_which_shares_no_code_signs_the_same(query, raw, form):
    query = quote(query, safe="=&+")
    payload = (quote(raw, safe="=&+") if form else raw).encode()
    theirs = notify.signature("NewSecret123", f"http://hook.example/zoho?{query}", payload, form=form)
    shown = {
        "X-Zoho-Webhook-Signature": theirs,
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
    }
    assert verify(shown, payload, query, [OLD, NEW]) == "new"
