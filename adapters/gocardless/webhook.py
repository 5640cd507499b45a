"""The signature of GoCardless's webhooks, over the bytes as they came.

`Webhook-Signature` is the lower-case hex of HMAC-SHA256, keyed with the endpoint's secret, over the raw body. It holds
no time and no number: a replay verifies, and is harmless because event ids are remembered for ever. Each endpoint has
its own secret; while one replaces another, both are held. Source: GoCardless API reference, "Webhooks"; vectors of
GoCardless's own clients.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from adapters.vault import Secret

HEADER: Final = "webhook-signature"

#: Largest body accepted, bytes; a larger one is refused before it is parsed or kept. Lower: 250 events (about 1 kB
#: each; GoCardless's most) with long descriptions and metadata might not fit. Higher: a record would outgrow what the
#: log accepts.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024

#: Events that GoCardless sends in one body at most. More are accepted; a body that holds more is worth counting,
#: because it is a change.
DOCUMENTED_EVENTS: Final = 250


def verify(headers: Mapping[str, str], raw_body: bytes, secrets: Sequence[Secret]) -> str | None:
    """The name of the secret that signed this request, or None. Takes the same time whichever it is, and whether one
    is.

    Header names in any case. Nothing verifies against an empty secret.
    """
    shown = {name.lower(): value for name, value in headers.items()}.get(HEADER, "")
    signature = shown.strip().encode("utf-8", "replace")
    verified: str | None = None
    for secret in secrets:
        expected = hmac.new(secret.value, raw_body, "sha256").hexdigest().encode()
        same = hmac.compare_digest(expected, signature)
        if same and secret.value and verified is None:
            verified = secret.name
    return verified
