"""The signature of Zoho's webhooks, over the bytes as they came.

Signed are the pairs of the query string (and of a form body), sorted by key, key and value joined with nothing between,
then the raw body unless it is a form; HMAC-SHA256, hex, in `X-Zoho-Webhook-Signature`. There is no time stamp and no id
in it: a replay verifies, and is harmless because what a webhook says is compared with what is known. Source:
https://www.zoho.com/us/subscriptions/kb/webhooks/ securing-webhooks.html, and the secret field of
https://www.zoho.com/books/api/v3/webhooks/.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from adapters.vault import Secret

HEADER: Final = "x-zoho-webhook-signature"

#: Largest body accepted, bytes; a larger one is refused before it is parsed or kept. Lower: an invoice with hundreds of
#: lines and custom fields might not fit. Higher: a record would outgrow what the log accepts.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024

#: Pairs of a query or form looked at. Lower: a wide form template is refused. Higher: a hostile form costs time before
#: it is refused.
_MAX_PAIRS: Final = 1000

_FORM: Final = "application/x-www-form-urlencoded"


def verify(headers: Mapping[str, str], raw_body: bytes, query_string: str, secrets: Sequence[Secret]) -> str | None:
    """The name of the secret that signed this request, or None. Takes the same time whichever it is, and whether one
    is.

    Header names in any case; `query_string` as it stood in the url, without "?".
    """
    shown = {name.lower(): value for name, value in headers.items()}
    signature = shown.get(HEADER, "").strip().lower().encode("ascii", "replace")
    signed = string_to_sign(raw_body, query_string, shown.get("content-type", ""))
    name: str | None = None
    for secret in secrets:
        if signed is not None and hmac.compare_digest(_sign(secret.value, signed), signature) and secret.value:
            name = secret.name
    return name


def expected_signature(secret: Secret, raw_body: bytes, query_string: str, content_type: str) -> str | None:
    """The hex that `verify` would accept, for an operator's self-test when Zoho's does not match. None: the pairs
    cannot be read.
    """
    signed = string_to_sign(raw_body, query_string, content_type)
    return None if signed is None else _sign(secret.value, signed).decode()


def string_to_sign(raw_body: bytes, query_string: str, content_type: str) -> bytes | None:
    """The bytes that Zoho signs, or None when there are more pairs than are read."""
    form = is_form(content_type)
    try:
        pairs = _pairs(query_string)
        if form:
            pairs += _pairs(raw_body.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    pairs.sort(key=lambda pair: pair[0])
    joined = "".join(key + value for key, value in pairs).encode("utf-8", "surrogateescape")
    return joined if form else joined + raw_body


def is_form(content_type: str) -> bool:
    """Whether a body is a form, by its content type."""
    return content_type.split(";", 1)[0].strip().lower() == _FORM


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MAX_PAIRS)


def _sign(secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, "sha256").hex().encode()
