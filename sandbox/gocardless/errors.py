"""Refusals: GoCardless's error envelope and the reasons the simulator gives.

    Refusal                one answer that is not 2xx: HTTP status, type, reason, items
      made by  usage(...)       invalid_api_usage: the request is wrong, unauthorised or too much
               state(...)       invalid_state: the resource is not in a state for this
               invalid(...)     validation_failed: fields, each with message and request_pointer
               conflict(...)    the 409 that answers a repeated idempotency key

Shapes: the official clients' error fixtures (`errors.py` of gocardless-pro-python reads exactly these).
"""

from typing import Any

_DOCUMENTATION = "https://developer.gocardless.com/api-reference#"

# The HTTP status of a reason. Recorded: 400 invalid_document_structure, 401, 403, 409, 422 of state reasons and 429.
# The others are the natural mapping and UNCONFIRMED.
_USAGE_STATUS = {
    "access_token_not_found": 401,
    "access_token_revoked": 401,
    "bad_request": 400,
    "feature_disabled": 403,
    "forbidden": 403,
    "idempotency_key_too_long": 400,
    "insufficient_permissions": 403,
    "invalid_authorization_header": 401,
    "invalid_document_structure": 400,
    "invalid_filters": 400,
    "invalid_type": 422,
    "link_not_found": 404,
    "method_not_allowed": 405,
    "missing_authorization_header": 401,
    "missing_version_header": 400,
    "not_acceptable": 406,
    "path_not_found": 404,
    "payout_items_gone": 410,
    "customer_data_removed": 410,
    "rate_limit_exceeded": 429,
    "request_body_not_allowed": 400,
    "request_entity_too_large": 413,
    "resource_not_found": 404,
    "unauthorized": 401,
    "unsupported_media_type": 415,
    "version_not_found": 400,
}
_CONFLICT = "A resource has already been created with this idempotency key"


class Refusal(Exception):  # noqa: N818 - it is an answer of the API, not a failure of the program
    """One answer that is not 2xx. `items` become `errors`."""

    def __init__(self, status: int, kind: str, reason: str, message: str, items: list[dict[str, Any]]) -> None:
        super().__init__(f"{message}: {items}")
        self.status = status
        self.kind = kind
        self.reason = reason
        self.message = message
        self.items = items

    def document(self, request_id: str) -> dict[str, Any]:
        """Give the body: `{"error": {...}}`."""
        return {
            "error": {
                "message": self.message,
                "documentation_url": _DOCUMENTATION + self.reason,
                "type": self.kind,
                "request_id": request_id,
                "errors": self.items,
                "code": self.status,
            }
        }


def usage(reason: str, message: str, *, pointer: str | None = None) -> Refusal:
    """Refuse a request that is wrong in itself."""
    item = {"reason": reason, "message": message}
    if pointer is not None:
        item["request_pointer"] = pointer
    return Refusal(_USAGE_STATUS[reason], "invalid_api_usage", reason, message, [item])


def state(reason: str, message: str, *, links: dict[str, str] | None = None, status: int = 422) -> Refusal:
    """Refuse because of the state some resource is in."""
    item: dict[str, Any] = {"reason": reason, "message": message}
    if links is not None:
        item["links"] = links
    return Refusal(status, "invalid_state", reason, message, [item])


def conflict(resource_id: str) -> Refusal:
    """Answer a repeated idempotency key: 409 with the id of what the first request created."""
    links = {"conflicting_resource_id": resource_id}
    return state("idempotent_creation_conflict", _CONFLICT, links=links, status=409)


def bank_account_exists(owner: str, resource_id: str) -> Refusal:
    """Refuse a bank account the customer already has: 409, of type validation_failed in the Python client's fixture."""
    item = {"reason": "bank_account_exists", "message": "Bank account already exists", "links": {owner: resource_id}}
    return Refusal(409, "validation_failed", "bank_account_exists", "Bank account already exists", [item])


def invalid(envelope: str, *problems: tuple[str, str]) -> Refusal:
    """Refuse fields: each problem is (path of the field, message), the path as "links/mandate"."""
    items = [
        {"field": path.rsplit("/", 1)[-1], "message": message, "request_pointer": f"/{envelope}/{path}"}
        for path, message in problems
    ]
    return Refusal(422, "validation_failed", "validation_failed", "Validation failed", items)


def internal() -> Refusal:
    """Fail as the API fails: 500, of type gocardless."""
    item = {"reason": "internal_server_error", "message": "Internal server error"}
    return Refusal(500, "gocardless", "internal_error", "Internal server error", [item])


def rate_limited() -> Refusal:
    """Refuse too many requests."""
    return usage("rate_limit_exceeded", "Rate limit exceeded")
