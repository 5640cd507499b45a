"""Customers: a contact in Zoho is matched with a payer at GoCardless, or invited. Never a second payer, never a guess.

Order of matching: the stored link (Zoho's custom field, or the payer's metadata), then a unique email, then a unique reference; whatever
is ambiguous waits for a person. An invitation is a billing request and its hosted page.
"""

from msgspec.structs import replace

from domain import commands, events, ids
from domain.currencies import CURRENCY_SCHEME
from domain.draft import Draft
from domain.envelope import Event
from domain.state import BillingRequest, CommandRow, Contact, Handle, Mandate, Payer, State

Touched = tuple[tuple[str, str], ...]

#: Invoices remembered as waiting for one contact's mandate. Lower: some of a large customer's would wait for the daily sweep. Higher:
#: the contact's row grows with each.
MAX_WAITING = 500

#: A payment may be made on a mandate in these states (GoCardless API reference, payments; reference traps 8: some schemes activate a
#: mandate only with its first payment, so waiting for "active" would wait for ever).
CHARGEABLE = ("active", "submitted", "pending_submission")


# --- facts ------------------------------------------------------------------------------------------------------------------------


def evolve_contact(state: State, event: Event) -> Touched:
    """A contact as Zoho showed it. An older observation changes nothing; a tie with other content asks for a read."""
    seen: events.ContactFacts = event.data
    if seen.contact_type not in {"customer", ""}:
        return ()
    held = state.contacts.get(seen.id)
    new = replace(
        held or Contact(seen.id),
        name=seen.name,
        email=seen.email.strip().lower(),
        status=seen.status,
        currency=seen.currency,
        reference=seen.reference,
        payer_link=seen.payer_link,
        last_modified=seen.last_modified,
    )
    if held is not None and held.last_modified:
        if held.last_modified > new.last_modified or held == new:
            return ()
        if held.last_modified == new.last_modified and event.type != "zoho.contact_read":
            return (("contact_ties", seen.id),)
    state.contacts[seen.id] = new
    _rehandle(state, "contacts", seen.id, _handles(held), _handles(new))
    return (("contacts", seen.id),)


def evolve_payer(state: State, event: Event) -> Touched:
    """A payer as GoCardless showed it. It touches the contacts it could be."""
    seen: events.PayerRead = event.data
    held = state.payers.get(seen.id)
    new = replace(
        held or Payer(seen.id),
        email=seen.email.strip().lower(),
        name=seen.name,
        link=seen.metadata.get("zoho_contact_id", ""),
    )
    if held == new:
        return ()
    state.payers[seen.id] = new
    old_handles = {f"email:{held.email}"} if held is not None and held.email else set()
    new_handles = {f"email:{new.email}"} if new.email else set()
    _rehandle(state, "payers", seen.id, old_handles, new_handles)
    named = state.handles.get(f"payer:{seen.id}") or Handle("")
    touched = [key for handle in sorted(new_handles) for key in state.handles[handle].contacts] + list(named.contacts)
    if held is not None and held.link != new.link:
        claimed = state.contacts.get(held.link)
        if claimed is not None and claimed.claimed_by == seen.id:
            state.contacts[claimed.id] = replace(claimed, claimed_by="")
            touched.append(claimed.id)
    if new.link:
        state.contacts[new.link] = replace(state.contacts.get(new.link) or Contact(new.link), claimed_by=seen.id)
        touched.append(new.link)
    return tuple(("contacts", key) for key in touched)


def add_reference(state: State, reference: str, payer: str) -> Touched:
    """A payer's mandate carries this reference: contacts with the same one may be it."""
    if not reference:
        return ()
    handle = f"reference:{reference}"
    _rehandle(state, "payers", payer, set(), {handle})
    return tuple(("contacts", key) for key in state.handles[handle].contacts)


def _handles(contact: Contact | None) -> set[str]:
    if contact is None:
        return set()
    found = {f"email:{contact.email}"} if contact.email else set()
    if contact.payer_link:
        found.add(f"payer:{contact.payer_link}")
    return found | ({f"reference:{contact.reference}"} if contact.reference else set())


def _rehandle(state: State, side: str, key: str, old: set[str], new: set[str]) -> None:
    for handle in sorted(old - new):
        row = state.handles.get(handle)
        if row is not None:
            state.handles[handle] = replace(row, **{side: tuple(one for one in getattr(row, side) if one != key)})
    for handle in sorted(new - old):
        row = state.handles.get(handle) or Handle(handle)
        held: tuple[str, ...] = getattr(row, side)
        if key not in held:
            state.handles[handle] = replace(row, **{side: (*held, key)})


def evolve_billing_request(state: State, event: Event) -> Touched:
    """A billing request, read or told by an event; its metadata names the contact."""
    data = event.data
    if isinstance(data, events.BillingRequestRead):
        key = data.id
        held = state.billing_requests.get(key) or BillingRequest(key)
        new = replace(
            held,
            contact=data.metadata.get("zoho_contact_id", held.contact),
            status=data.status,
            payer=data.customer or held.payer,
            mandate=data.mandate or held.mandate,
        )
    else:
        key = data.links.get("billing_request", "")
        if not key:
            return ()
        held = state.billing_requests.get(key) or BillingRequest(key)
        status = {"fulfilled": "fulfilled", "cancelled": "cancelled", "failed": "failed"}.get(data.action, held.status)
        new = replace(
            held,
            contact=data.resource_metadata.get("zoho_contact_id", held.contact),
            status=status,
            payer=data.links.get("customer", held.payer),
            mandate=data.links.get("mandate_request_mandate", held.mandate),
        )
    if new == held and key in state.billing_requests:
        return ()
    state.billing_requests[key] = new
    return (("billing_requests", key),)


def evolve_flow(state: State, event: Event) -> Touched:
    """The hosted page of a billing request."""
    data: events.FlowRead = event.data
    held = state.billing_requests.get(data.billing_request) or BillingRequest(data.billing_request)
    state.billing_requests[held.id] = replace(held, authorisation_url=data.authorisation_url, expires_at=data.expires_at)
    return ()


def evolve_match(state: State, event: Event) -> Touched:
    """A person decided who a contact is."""
    data: events.MatchApproved = event.data
    return (("contacts", data.contact),) if data.contact in state.contacts else ()


# --- rules ------------------------------------------------------------------------------------------------------------------------


def usable_mandate(state: State, contact: Contact, currency: str) -> Mandate | None:
    """The mandate to debit: of this contact's payer, in this currency, chargeable; an active one first, then the newest."""
    payer = state.payers.get(contact.payer) if contact.payer else None
    if payer is None:
        return None
    found = None
    for key in reversed(payer.mandates):
        mandate = state.mandates.get(key)
        if mandate is None or mandate.currency != currency or mandate.status not in CHARGEABLE:
            continue
        if mandate.status == "active":
            return mandate
        found = found or mandate
    return found


def decide_tie(draft: Draft, key: str) -> None:
    """Two observations of the same second differ: a full read settles it."""
    draft.command(f"contacts:{key}", f"read_contact:{key}", commands.ReadContact(key), priority=commands.PRIORITY_READ)


def decide(draft: Draft, key: str) -> None:
    """Link the contact if it can be told who it is; then wake its waiting invoices, or invite it."""
    contact = draft.state.contacts.get(key)
    if contact is None or contact.status != "active":
        return
    data = draft.event.data
    if isinstance(data, events.MatchApproved) and data.contact == key:
        _approved(draft, contact, data)
    elif contact.match != "linked":
        _match(draft, contact)
    contact = draft.state.contacts[key]
    for currency in _waiting_currencies(draft.state, contact):
        if usable_mandate(draft.state, contact, currency) is None:
            _need_mandate(draft, contact, currency)
        else:
            _wake(draft, contact, currency)


def _approved(draft: Draft, contact: Contact, data: events.MatchApproved) -> None:
    if data.payer:
        if data.payer not in draft.state.payers:
            _read_payer(draft, data.payer)
        draft.mark("payers", data.payer, contact=contact.id)
        _link(draft, contact, data.payer, "operator")
    elif data.invite:
        for currency in _waiting_currencies(draft.state, contact) or [contact.currency]:
            _invite(draft, contact, currency)


def _match(draft: Draft, contact: Contact) -> None:
    state = draft.state
    request = state.billing_requests.get(contact.billing_request)
    if request is not None and request.status == "fulfilled" and request.payer:
        if request.payer not in state.payers:
            _read_payer(draft, request.payer)
        _link(draft, contact, request.payer, "invitation")
        return
    if contact.payer_link and contact.claimed_by and contact.payer_link != contact.claimed_by:
        draft.mark("contacts", contact.id, match="ambiguous")
        draft.open("link_conflict", f"contacts:{contact.id}", name=contact.id)
        return
    stored = contact.payer_link or contact.claimed_by
    if stored:
        if stored in state.payers:
            _link(draft, contact, stored, "stored link")
        else:
            _read_payer(draft, stored)
        return
    for how, handle in (("email", f"email:{contact.email}"), ("reference", f"reference:{contact.reference}")):
        row = state.handles.get(handle)
        if row is None or not row.payers or handle.endswith(":"):
            continue
        free = [key for key in row.payers if not _taken(state, key, contact.id)]
        if len(free) == 1 and len(row.contacts) == 1:
            if how == "reference" or state.policy.match_by_email == "auto":
                _link(draft, contact, free[0], how)
            else:
                draft.mark("contacts", contact.id, match="proposed")
                draft.open("match_proposed", f"contacts:{contact.id}", name=contact.id, how=how, payer=free[0])
            return
        if free:
            draft.mark("contacts", contact.id, match="ambiguous")
            draft.open("contact_ambiguous", f"contacts:{contact.id}", name=contact.id, count=str(len(free)), how=f"same {how}")
            return


def _taken(state: State, payer: str, contact: str) -> bool:
    row = state.payers.get(payer)
    return row is not None and row.contact not in {"", contact}


def _link(draft: Draft, contact: Contact, payer: str, how: str) -> None:
    about = f"contacts:{contact.id}"
    if _taken(draft.state, payer, contact.id):
        draft.mark("contacts", contact.id, match="ambiguous")
        draft.open("contact_ambiguous", about, name=contact.id, count="1", how="linked to another contact")
        return
    draft.mark("contacts", contact.id, payer=payer, match="linked", match_by=how)
    draft.mark("payers", payer, contact=contact.id)
    for code in ("contact_ambiguous", "match_proposed", "link_conflict"):
        draft.close(code, about)


def _read_payer(draft: Draft, payer: str) -> None:
    purpose = f"read_payer:{payer}"
    if draft.attempts(purpose) == 0:
        draft.command(f"payers:{payer}", purpose, commands.ReadPayer(payer), priority=commands.PRIORITY_READ)


def _waiting_currencies(state: State, contact: Contact) -> list[str]:
    rows = (state.invoices.get(key) for key in contact.waiting)
    return sorted({row.currency for row in rows if row is not None and row.stage == "waiting"})


def _wake(draft: Draft, contact: Contact, currency: str) -> None:
    rest = []
    for key in contact.waiting:
        row = draft.state.invoices.get(key)
        if row is not None and row.stage == "waiting":
            if row.currency == currency:
                draft.touch("invoices", key)
            else:
                rest.append(key)
    draft.mark("contacts", contact.id, waiting=tuple(rest))
    draft.close("needs_mandate", f"contacts:{contact.id}")


def _need_mandate(draft: Draft, contact: Contact, currency: str) -> None:
    request = draft.state.billing_requests.get(contact.billing_request)
    invited = draft.attempts(f"invite:{contact.id}:{currency}") > 0
    over = request is not None and request.status in {"cancelled", "failed"}
    if draft.state.own.gate != "open" or contact.match in {"ambiguous", "proposed"} or (invited and not over):
        return
    if draft.state.policy.invite == "auto" and not over:
        _invite(draft, contact, currency)
    else:
        draft.open("needs_mandate", f"contacts:{contact.id}", name=contact.id)


def _invite(draft: Draft, contact: Contact, currency: str) -> None:
    purpose = f"invite:{contact.id}:{currency}"
    attempt = draft.attempts(purpose) + 1
    if currency not in CURRENCY_SCHEME:
        draft.open("needs_mandate", f"contacts:{contact.id}", name=contact.id)
        return
    if contact.match != "linked":
        draft.mark("contacts", contact.id, match="invited")
    draft.close("needs_mandate", f"contacts:{contact.id}")
    draft.command(
        f"contacts:{contact.id}",
        purpose,
        commands.CreateBillingRequest(contact.id, currency, CURRENCY_SCHEME[currency], contact.payer),
        priority=commands.PRIORITY_MONEY,
        key=ids.idempotency_key(draft.state.connection, purpose, attempt),
    )


def decide_billing_request(draft: Draft, key: str) -> None:
    """A billing request changed: its contact is told; a fulfilled one has its mandate read."""
    request = draft.state.billing_requests[key]
    if not request.contact:
        purpose = f"read_billing_request:{key}"
        if draft.attempts(purpose) == 0:
            data = commands.ReadBillingRequest(key)
            draft.command(f"billing_requests:{key}", purpose, data, priority=commands.PRIORITY_READ)
        return
    if request.mandate and request.mandate not in draft.state.mandates:
        draft.mark("mandates", request.mandate, payer=request.payer)
        draft.touch("mandates", request.mandate)
    contact = draft.state.contacts.get(request.contact)
    if contact is not None and contact.billing_request == key:
        draft.touch("contacts", contact.id)


def on_outcome(draft: Draft, key: str, row: CommandRow, outcome: events.Outcome) -> None:
    """An invitation's call ended."""
    about = f"contacts:{key}"
    if outcome.kind != "succeeded":
        code = "posting_refused" if row.type.startswith("gocardless.create") else "read_refused"
        draft.open(code, about, what=row.type, number=key, reason=outcome.reason, id=row.id)
        return
    draft.close("posting_refused", about)
    draft.close("read_refused", about)
    if row.type == "gocardless.create_billing_request":
        draft.mark("contacts", key, billing_request=outcome.resource_id)
        request = draft.state.billing_requests.get(outcome.resource_id)
        if request is None or not request.contact:
            draft.mark("billing_requests", outcome.resource_id, contact=key)
        purpose = f"flow:{outcome.resource_id}"
        flow_key = ids.idempotency_key(draft.state.connection, purpose, draft.attempts(purpose) + 1)
        data = commands.CreateFlow(key, outcome.resource_id)
        draft.command(about, purpose, data, priority=commands.PRIORITY_MONEY, key=flow_key)
        draft.touch("billing_requests", outcome.resource_id)
