"""Customers: a contact in Zoho is matched with a payer at GoCardless, or invited. Never a second payer, never a guess.

Order of matching: the stored link (Zoho's custom field, or the payer's metadata), then a unique reference, then a
unique e-mail where the policy says so; whatever is ambiguous waits for a person. "Unique" is judged once both sides
have been read to their heads, and again when another contact or payer gets the same one: a link that rests on it is
doubtful from then on, and nothing is collected by it. An invitation is a billing request and its hosted page.
"""

from typing import Final, Literal

from msgspec.structs import replace

from domain import commands, events, ids, lists, purposes, refs
from domain.chargeable import LOST, successor, usable_mandate
from domain.currencies import CURRENCY_SCHEME
from domain.draft import Draft
from domain.envelope import Event, Touched
from domain.refs import Handle, Ref
from domain.state import BillingRequest, CommandRow, Contact, Invoice, Payer, State
from domain.vocabulary import Code

#: Lists that must have been read to their end before anybody is unique.
HEADS: Final = ("gocardless.customers", "gocardless.mandates", "zoho.contacts")

#: Contacts that share an address, or payers, that are looked at together. Lower: a person is shown fewer of them.
#: Higher: one change of a shared address (noreply@…) leads to that many looks. The others look again when they next owe
#: something.
SHARING: Final = 20

#: Contacts that look again when a list has been read to its head, or a policy comes into force.
UNMATCHED: Final = refs.list_of("unmatched")


# --- facts ------------------------------------------------------------------------------------------------------------


def evolve_contact(state: State, event: Event) -> Touched:
    """A contact as Zoho showed it. An older observation changes nothing; a tie with other content asks for a read."""
    seen: events.ContactFacts = event.data
    if seen.contact_type not in {"customer", ""}:
        return ()
    held = state.contacts.get(seen.id)
    new = replace(
        held or Contact(seen.id),
        name=seen.name,
        email=comparable(seen.email),
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
    return (("contacts", seen.id), *_rehandle(state, "contacts", seen.id, _handles(held), _handles(new)))


def evolve_payer(state: State, event: Event) -> Touched:
    """A payer as GoCardless showed it. It touches the contacts it could be."""
    seen: events.PayerRead = event.data
    held = state.payers.get(seen.id)
    new = replace(
        held or Payer(seen.id),
        email=comparable(seen.email),
        name=seen.name,
        link=seen.metadata.get("zoho_contact_id", ""),
    )
    if held == new:
        return ()
    state.payers[seen.id] = new
    old_handles = {refs.handle("email", held.email)} if held is not None and held.email else set()
    new_handles = {refs.handle("email", new.email)} if new.email else set()
    touched = list(_rehandle(state, "payers", seen.id, old_handles, new_handles))
    touched += _contacts_with(state, refs.handle("payer", seen.id))
    if held is not None and held.link != new.link:
        claimed = state.contacts.get(held.link)
        if claimed is not None and claimed.claimed_by == seen.id:
            state.contacts[claimed.id] = replace(claimed, claimed_by="")
            touched.append(("contacts", claimed.id))
    if new.link:
        state.contacts[new.link] = replace(state.contacts.get(new.link) or Contact(new.link), claimed_by=seen.id)
        touched.append(("contacts", new.link))
    return tuple(touched)


def add_reference(state: State, reference: str, payer: str) -> Touched:
    """A payer's mandate carries this reference: contacts with the same one may be it."""
    return _rehandle(state, "payers", payer, set(), {refs.handle("reference", reference)}) if reference else ()


def comparable(email: str) -> str:
    """An e-mail as it is kept and compared: neither case nor space around it counts."""
    return email.strip().lower()


def _handles(contact: Contact | None) -> set[Handle]:
    """What a contact shares with a payer: "email:<lower case>", "reference:<text>", and "payer:<id>" for the payer that
    it names.
    """
    if contact is None:
        return set()
    found = {refs.handle("email", contact.email)} if contact.email else set()
    if contact.payer_link:
        found.add(refs.handle("payer", contact.payer_link))
    return found | ({refs.handle("reference", contact.reference)} if contact.reference else set())


def _rehandle(
    state: State, side: Literal["contacts", "payers"], key: str, old: set[Handle], new: set[Handle]
) -> Touched:
    """Keep the lists of who shares what; the contacts for which "unique" may have become another answer."""
    for handle in sorted(old - new):
        lists.remove(state, refs.list_of(side, handle), key)
    for handle in sorted(new - old):
        lists.add(state, refs.list_of(side, handle), key)
    return tuple(one for handle in sorted(old ^ new) for one in _contacts_with(state, handle))


def _contacts_with(state: State, handle: Handle) -> Touched:
    return tuple(("contacts", key) for key in lists.oldest(state, refs.list_of("contacts", handle), SHARING))


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
    state.billing_requests[held.id] = replace(
        held, authorisation_url=data.authorisation_url, expires_at=data.expires_at
    )
    return ()


def evolve_match(state: State, event: Event) -> Touched:
    """A person decided who a contact is."""
    data: events.MatchApproved = event.data
    return (("contacts", data.contact),) if data.contact in state.contacts else ()


# --- rules ------------------------------------------------------------------------------------------------------------


def judged(state: State) -> bool:
    """Whether both sides have been read to their heads, so that what is unique can be told."""
    heads = state.own.heads
    return all(kind in heads for kind in HEADS)


def doubtful(state: State, contact: Contact) -> bool:
    """Whether the link of a contact rests on an e-mail or reference that another contact, or another payer, has as
    well.

    Where the payer no longer has it (an address was changed), the link does not rest on it any more.
    """
    if contact.match_by not in {"email", "reference"} or not contact.payer:
        return False
    by_email = contact.match_by == "email"
    handle = refs.handle("email", contact.email) if by_email else refs.handle("reference", contact.reference)
    if not lists.has(state, refs.list_of("payers", handle), contact.payer):
        return False
    return lists.only(state, refs.list_of("contacts", handle)) != contact.id or _candidates(
        state, contact.match_by, handle, contact.id
    ) != [contact.payer]


def _candidates(state: State, how: str, handle: Handle, contact: str) -> list[str]:
    """The payers with this handle, but for those that belong to another contact by something better; of a great many,
    the first.
    """
    having = lists.oldest(state, refs.list_of("payers", handle), SHARING)
    return [key for key in having if not _better_linked(state, key, contact, how)]


def _better_linked(state: State, payer: str, contact: str, how: str) -> bool:
    if not _taken(state, payer, contact):
        return False
    other = state.contacts.get(state.payers[payer].contact)
    return other is None or other.match_by != how


def decide_tie(draft: Draft, key: str) -> None:
    """Two observations of the same second differ: a full read settles it."""
    data = commands.ReadContact(key)
    draft.command(Ref("contacts", key), refs.purpose("read_contact", key), data, priority=commands.PRIORITY_READ)


def decide(draft: Draft, key: str) -> None:
    """Link the contact if it can be told who it is; then wake its waiting invoices, or invite it."""
    contact = draft.state.contacts.get(key)
    if contact is None or contact.status != "active":
        return
    data = draft.event.data
    if isinstance(data, events.MatchApproved) and data.contact == key:
        _approved(draft, contact, data)
    else:
        if contact.match == "linked" and doubtful(draft.state, contact):
            contact = _unlink(draft, contact)
        if contact.match != "linked":
            _match(draft, contact)
    contact = draft.state.contacts[key]
    for currency in _waiting_currencies(draft, contact):
        if usable_mandate(draft.state, contact, currency) is None:
            _need_mandate(draft, contact, currency)
        else:
            _wake(draft, contact, currency)


def _approved(draft: Draft, contact: Contact, data: events.MatchApproved) -> None:
    if data.payer:
        if data.payer not in draft.state.payers:
            read_payer(draft, data.payer)
        draft.mark("payers", data.payer, contact=contact.id)
        _link(draft, contact, data.payer, "operator")
    elif data.invite:
        for currency in _waiting_currencies(draft, contact) or [contact.currency]:
            if not _is_under_way(draft, contact, currency):
                _invite(draft, contact, currency)


def _match(draft: Draft, contact: Contact) -> None:
    state = draft.state
    request = state.billing_requests.get(contact.billing_request)
    if request is not None and request.status == "fulfilled" and request.payer:
        if request.payer not in state.payers:
            read_payer(draft, request.payer)
        _link(draft, contact, request.payer, "invitation")
        return
    if contact.payer_link and contact.claimed_by and contact.payer_link != contact.claimed_by:
        draft.mark("contacts", contact.id, match="ambiguous")
        draft.open("link_conflict", Ref("contacts", contact.id), name=contact.id)
        return
    stored = contact.payer_link or contact.claimed_by
    if stored:
        if stored in state.payers:
            _link(draft, contact, stored, "stored link")
        else:
            read_payer(draft, stored)
        return
    if not judged(state):
        draft.join(UNMATCHED, contact.id)
        return
    for how, handle in (
        ("reference", refs.handle("reference", contact.reference)),
        ("email", refs.handle("email", contact.email)),
    ):
        free = [] if handle.endswith(":") else _candidates(state, how, handle, contact.id)
        if not free:
            continue
        alone = len(free) == 1 and lists.only(state, refs.list_of("contacts", handle)) == contact.id
        if alone and how == "email" and state.own.policy is None:
            draft.join(UNMATCHED, contact.id)
        elif alone and (how == "reference" or state.policy.match_by_email == "auto"):
            _link(draft, contact, free[0], how)
        elif alone:
            draft.join(UNMATCHED, contact.id)
            draft.mark("contacts", contact.id, match="proposed")
            draft.close("contact_ambiguous", Ref("contacts", contact.id))
            draft.open("match_proposed", Ref("contacts", contact.id), name=contact.id, how=_HOW[how], payer=free[0])
        else:
            _ambiguous(draft, contact, how, free, lists.oldest(state, refs.list_of("contacts", handle), SHARING))
        return
    if contact.match in {"ambiguous", "proposed"}:  # who it might have been has gone
        draft.mark("contacts", contact.id, match="none")
        for code in ("contact_ambiguous", "match_proposed", "payer_taken", "link_conflict"):
            draft.close(code, Ref("contacts", contact.id))


_HOW: Final = {"email": "e-mail", "reference": "reference"}


def _ambiguous(draft: Draft, contact: Contact, how: str, payers: list[str], contacts: list[str]) -> None:
    """Several could be meant: all of them are named, and a person decides."""
    draft.mark("contacts", contact.id, match="ambiguous")
    draft.close("match_proposed", Ref("contacts", contact.id))
    draft.open(
        "contact_ambiguous",
        Ref("contacts", contact.id),
        name=contact.id,
        how=_HOW[how],
        contacts=_named(contacts),
        payers=_named(payers),
    )


def _named(keys: list[str]) -> str:
    return ", ".join(keys) + (" and others" if len(keys) >= SHARING else "")


def _unlink(draft: Draft, contact: Contact) -> Contact:
    """A link that rests on what others have as well is none: nothing more is collected by it until a person has said
    who is who.
    """
    draft.mark("payers", contact.payer, contact="")
    draft.mark("contacts", contact.id, payer="", match="none", match_by="")
    row: Contact = draft.state.contacts[contact.id]
    return row


def _taken(state: State, payer: str, contact: str) -> bool:
    row = state.payers.get(payer)
    return row is not None and row.contact not in {"", contact}


def _link(draft: Draft, contact: Contact, payer: str, how: str) -> None:
    about = Ref("contacts", contact.id)
    if _taken(draft.state, payer, contact.id):
        draft.mark("contacts", contact.id, match="ambiguous")
        draft.open("payer_taken", about, name=contact.id, payer=payer, other=draft.state.payers[payer].contact)
        return
    draft.mark("contacts", contact.id, payer=payer, match="linked", match_by=how)
    draft.mark("payers", payer, contact=contact.id)
    draft.leave(UNMATCHED, contact.id)
    for code in ("contact_ambiguous", "payer_taken", "match_proposed", "link_conflict"):
        draft.close(code, about)


def read_payer(draft: Draft, payer: str) -> None:
    """Ask who a payer is, once."""
    draft.ask_once(Ref("payers", payer), refs.purpose("read_payer", payer), commands.ReadPayer(payer))


def wait(draft: Draft, contact: str, invoice: Invoice) -> None:
    """An invoice waits for a mandate of its contact, in its currency; it is woken when there is one."""
    draft.join(refs.list_of("waiting", contact, invoice.currency), invoice.id)
    row = draft.state.contacts.get(contact)
    held = row.waiting_currencies if row is not None else ()
    if invoice.currency not in held:
        draft.mark("contacts", contact, waiting_currencies=tuple(sorted((*held, invoice.currency))))


def _waiting_currencies(draft: Draft, contact: Contact) -> list[str]:
    """The currencies in which an invoice still waits; those that have been paid meanwhile, or moved, leave their list
    on the way.
    """
    found = []
    for currency in contact.waiting_currencies:
        name = refs.list_of("waiting", contact.id, currency)
        for key in lists.oldest(draft.state, name, SHARING):
            row = draft.state.invoices.get(key)
            if row is not None and (row.stage, row.contact, row.currency) == ("waiting", contact.id, currency):
                found.append(currency)
                break
            draft.leave(name, key)
    if len(found) < len(contact.waiting_currencies):
        rest = tuple(
            one
            for one in contact.waiting_currencies
            if lists.first(draft.state, refs.list_of("waiting", contact.id, one))
        )
        draft.mark("contacts", contact.id, waiting_currencies=rest)
    return found


def _wake(draft: Draft, contact: Contact, currency: str) -> None:
    row = draft.state.contacts[contact.id]
    draft.mark(
        "contacts", contact.id, waiting_currencies=tuple(one for one in row.waiting_currencies if one != currency)
    )
    draft.wake(refs.list_of("waiting", contact.id, currency))
    draft.close("needs_mandate", Ref("contacts", contact.id))


def _need_mandate(draft: Draft, contact: Contact, currency: str) -> None:
    undecided = contact.match in {"ambiguous", "proposed"} or not judged(draft.state)
    if draft.state.own.gate != "open" or undecided or _is_under_way(draft, contact, currency):
        return
    if draft.state.policy.invite == "auto" and not draft.attempts(refs.purpose("invite", contact.id, currency)):
        _invite(draft, contact, currency)
    else:
        draft.open("needs_mandate", Ref("contacts", contact.id), name=contact.id)


def _is_under_way(draft: Draft, contact: Contact, currency: str) -> bool:
    """Whether something may still come of the contact's last invitation in a currency: a second one would be a second
    mandate.
    """
    invited = purposes.last(draft.state, refs.purpose("invite", contact.id, currency))
    made = invited.resource_id if invited is not None else contact.billing_request
    request = draft.state.billing_requests.get(made)
    if request is None:  # there was none, or it is being made
        return invited is not None
    if request.status == "fulfilled":
        mandate = successor(draft.state, request.mandate)
        # The payer may have chosen another currency than was asked for.
        return mandate is None or (mandate.status not in LOST and mandate.currency in ("", currency))
    return request.status not in {"cancelled", "failed"} and not "" < request.expires_at <= draft.at


def _invite(draft: Draft, contact: Contact, currency: str) -> None:
    purpose = refs.purpose("invite", contact.id, currency)
    attempt = draft.attempts(purpose) + 1
    if currency not in CURRENCY_SCHEME:
        draft.open("needs_mandate", Ref("contacts", contact.id), name=contact.id)
        return
    if contact.match != "linked":
        draft.mark("contacts", contact.id, match="invited")
    draft.close("needs_mandate", Ref("contacts", contact.id))
    # The one before is over, and says nothing of this one.
    draft.mark("contacts", contact.id, billing_request="")
    draft.command(
        Ref("contacts", contact.id),
        purpose,
        commands.CreateBillingRequest(contact.id, currency, CURRENCY_SCHEME[currency], contact.payer),
        priority=commands.PRIORITY_MONEY,
        key=ids.idempotency_key(draft.state.own.environment, draft.state.own.organization_id, purpose, attempt),
    )


def decide_billing_request(draft: Draft, key: str) -> None:
    """A billing request changed: its contact is told; a fulfilled one has its mandate read."""
    request = draft.state.billing_requests[key]
    if not request.contact:
        purpose = refs.purpose("read_billing_request", key)
        draft.ask_once(Ref("billing_requests", key), purpose, commands.ReadBillingRequest(key))
        return
    if request.mandate and request.mandate not in draft.state.mandates:
        draft.mark("mandates", request.mandate, payer=request.payer)
        draft.touch("mandates", request.mandate)
    if request.contact in draft.state.contacts:
        draft.touch("contacts", request.contact)


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """An invitation's call ended."""
    key = about.key
    if outcome.end != "succeeded":
        code: Code = "posting_refused" if row.type.startswith("gocardless.create") else "read_refused"
        draft.open(code, about, what=row.type, number=key, reason=outcome.reason, id=row.id)
        return
    draft.close("posting_refused", about)
    draft.close("read_refused", about)
    if row.type == "gocardless.create_billing_request":
        draft.mark("contacts", key, billing_request=outcome.resource_id)
        request = draft.state.billing_requests.get(outcome.resource_id)
        if request is None or not request.contact:
            draft.mark("billing_requests", outcome.resource_id, contact=key)
        purpose = refs.purpose("flow", outcome.resource_id)
        own = draft.state.own
        flow_key = ids.idempotency_key(own.environment, own.organization_id, purpose, draft.attempts(purpose) + 1)
        data = commands.CreateFlow(key, outcome.resource_id)
        draft.command(about, purpose, data, priority=commands.PRIORITY_MONEY, key=flow_key)
        draft.touch("billing_requests", outcome.resource_id)
