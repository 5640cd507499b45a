"""Oracles of invitations: nobody is asked for a mandate twice, or while there is one."""

from collections.abc import Iterator

from domain import times
from domain.chargeable import CHARGEABLE
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import changed_beside_us

#: A billing request is over with these.
_ENDS = frozenset({"fulfilled", "cancelled", "failed"})


def _invitations(evidence: Evidence) -> list[Document]:
    """The billing requests that name a contact of Zoho, oldest first."""
    made = [one for one in truth.resources(evidence, "billing_requests") if "zoho_contact_id" in one["metadata"]]
    return sorted(made, key=lambda one: one["created_at"])


def _currency(request: Document) -> str:
    return str((request.get("mandate_request") or {}).get("currency", ""))


def invited_twice(evidence: Evidence) -> Iterator[Breach]:
    """One open invitation per contact and currency: none beside another whose page still works."""
    happened = truth.happenings(evidence, "billing_requests", "billing_request")
    pages: dict[str, str] = {}
    for flow in truth.resources(evidence, "billing_request_flows"):
        request = flow["links"]["billing_request"]
        pages[request] = max(pages.get(request, ""), flow["expires_at"])
    made = _invitations(evidence)
    for place, later in enumerate(made):
        contact, at = later["metadata"]["zoho_contact_id"], later["created_at"]
        for earlier in made[:place]:
            same = earlier["metadata"]["zoho_contact_id"] == contact and _currency(earlier) == _currency(later)
            over = any(one["action"] in _ENDS and one["created_at"] <= at for one in happened.get(earlier["id"], []))
            if same and not over and pages.get(earlier["id"], "") > at:
                words = f"{later['id']} was made while the page of {earlier['id']} still worked"
                yield Breach("invited_twice", evidence.connection, str(Ref("contacts", contact)), words)


def invited_beside_mandate(evidence: Evidence) -> Iterator[Breach]:
    """None is sent to whom a usable mandate in that currency belongs, and has for long enough to be known of."""
    happened = truth.happenings(evidence, "mandates", "mandate")
    accounts = truth.by_id(truth.resources(evidence, "customer_bank_accounts"))
    known_after_s = 2 * max(
        evidence.settings.polling.gocardless_mandates_s, evidence.settings.polling.gocardless_customers_s
    )
    for request in _invitations(evidence):
        contact, at = request["metadata"]["zoho_contact_id"], request["created_at"]
        row = evidence.state.contacts.get(contact)
        if row is None or row.match_by in {"", "operator", "invitation"} or changed_beside_us(evidence, contact):
            continue  # whether it was linked at that time cannot be told
        for mandate in truth.resources(evidence, "mandates"):
            account = accounts.get(mandate["links"]["customer_bank_account"])
            if (
                mandate["links"]["customer"] != row.payer
                or account is None
                or account["currency"] != _currency(request)
            ):
                continue
            start = times.instant(times.parse(mandate["created_at"]))
            known = truth.minutes_apart(start, at) * 60 >= known_after_s
            since = times.add_seconds(at, -known_after_s)
            statuses = truth.mandate_statuses(happened.get(mandate["id"], []), since, at)
            if known and all(status in CHARGEABLE for status in statuses):
                words = f"{request['id']} was made; {mandate['id']} of its payer was {statuses[-1]}"
                yield Breach("invited_beside_mandate", evidence.connection, str(Ref("contacts", contact)), words)
