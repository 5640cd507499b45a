"""Webhooks of GoCardless, as the gateway keeps them."""

import hmac
import json
import secrets
from typing import Any

from adapters.deliveries import DeliveryMeta
from tests.support.company import START


def webhook(
    events: list[dict[str, Any]], secret: bytes = b"whsec", *, received_at: str = START
) -> tuple[DeliveryMeta, bytes]:
    """A webhook of GoCardless, signed, as the gateway keeps it."""
    body = json.dumps({"events": events, "meta": {"webhook_id": "WB1"}}).encode()
    signature = hmac.new(secret, body, "sha256").hexdigest()
    headers = {"webhook-signature": signature, "content-type": "application/json"}
    return DeliveryMeta(
        f"wh-{secrets.token_hex(8)}", "c1", "gocardless", "webhook", received_at, headers, "application/json", "main"
    ), body


def gc_event(key: str, payment: str, action: str, at: str, **details: Any) -> dict[str, Any]:
    """An event of a payment, as GoCardless writes it."""
    return {
        "id": key,
        "created_at": at,
        "resource_type": "payments",
        "action": action,
        "links": {"payment": payment},
        "details": {"origin": "gocardless", "cause": f"payment_{action}", "description": "…", **details},
        "metadata": {},
    }
