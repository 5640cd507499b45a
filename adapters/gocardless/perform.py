"""From a command to its call, and from an answer to what it means. Pure: no clock, no network.

Every create carries an `Idempotency-Key` that is a function of its cause: a repeat is answered 409 with the id of what
the first one made, which is then read. A debit is looked up without being made: its command's id stands in the
payment's metadata, and a key is honoured for 30 days only. Source: GoCardless API reference, "Idempotency keys",
"Errors" and "Payments".

```
2xx            Done, or Follow to the next page; a payment that is not what was asked is refused: a person must look
401            Retry, the whole API: the token is not accepted
429            Retry, the whole API, until `ratelimit-reset`
409 conflict   Follow: read what the key made before
other 4xx      Done: refused, with GoCardless's reason; of a read that a write has led to, Retry: it says nothing
               about the write
anything else  Unknown for a write (it may have happened), Retry for a read
```
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from adapters.budgets import THROTTLED_S
from adapters.gocardless import facts, pages, wire
from adapters.headers import moment
from adapters.http import Answer, Call
from adapters.verdicts import ABSENT, Done, Follow, Retry, Step, Unknown, Verdict
from domain import commands, events
from domain.commands import Command, CommandData
from domain.errors import DomainError

#: Longest wait that a 429 can ask for, seconds (its window is a minute). Lower: a clock that is off by minutes would
#: cut it short. Higher: a nonsensical header would stop collection for hours.
_MAX_THROTTLED_S: Final = 600.0

#: Longest metadata value and description. Source: API reference, "Metadata"; a longer one is answered 422.
_MAX_VALUE: Final = 500

#: Rows of a page of a walk. Lower: more calls. Higher: a page becomes one event, and payments with the longest texts
#: would outgrow it.
WALK_PAGE: Final = 200

#: Pages of a look-up. Lower: a mandate with thousands of payments is never seen to its end, and its debits wait for a
#: person. Higher: one look-up spends a large part of a minute's calls.
LOOK_UP_PAGES: Final = 20

#: Command → the name, on the wire, of what it makes or reads.
NAMES: Final[dict[type[CommandData], str]] = {
    commands.CreateBillingRequest: "billing_requests",
    commands.CreateFlow: "billing_request_flows",
    commands.CreatePayment: "payments",
    commands.ReadPayment: "payments",
    commands.ReadMandate: "mandates",
    commands.ReadPayer: "customers",
    commands.ReadBillingRequest: "billing_requests",
    commands.ReadPayout: "payouts",
    commands.ReadPayoutItems: "payout_items",
    commands.ReadMandatePayments: "payments",
}

#: Commands that walk over the pages of a list.
WALKS: Final = (commands.ReadPayoutItems, commands.ReadMandatePayments)


def send_call(command: Command) -> Call:
    """The command's own call. Raises `ValueError` for a command of another API."""
    data = command.data
    match data:
        case commands.CreateBillingRequest():
            return _create(command, _billing_request(data))
        case commands.CreateFlow():
            return _create(command, {"links": {"billing_request": data.billing_request}})
        case commands.CreatePayment():
            return _create(command, _payment(command, data))
        case commands.ReadPayoutItems():
            return Call("GET", "/payout_items", {"payout": data.payout, "limit": str(WALK_PAGE)})
        case commands.ReadMandatePayments():
            query = {"mandate": data.mandate, "created_at[gte]": data.since, "limit": str(WALK_PAGE)}
            return Call("GET", "/payments", query)
        case _:
            return _read(NAMES.get(type(data), ""), target(command))


def look_up_call(command: Command) -> Call | None:
    """The search for a debit that may have been made: its mandate's payments, newest first, over all times, since a
    command does not say when it was first sent. None: sending the command again, with its key, is itself the look-up.
    """
    data = command.data
    return (
        Call("GET", "/payments", {"mandate": data.mandate, "limit": str(WALK_PAGE)})
        if isinstance(data, commands.CreatePayment)
        else None
    )


def searches(command: Command, call: Call) -> bool:
    """Whether a call is a page of the look-up of a debit."""
    return isinstance(command.data, commands.CreatePayment) and (call.method, call.path) == ("GET", "/payments")


def claimed(command: Command, page: wire.Page) -> tuple[list[int], bool]:
    """Which rows of a page of payments name the command in their metadata, and whether one could not even be asked."""
    places, damaged = [], False
    for place, raw in enumerate(page.rows):
        try:
            if wire.metadata(wire.read(raw, wire.Tagged).metadata).get("command") == command.id:
                places.append(place)
        except DomainError:
            damaged = True
    return places, damaged


def target(command: Command) -> str:
    """The id of the resource that a read is about; "" for a create. Raises `ValueError` for a command of another
    API.
    """
    data = command.data
    match data:
        case commands.CreateBillingRequest() | commands.CreateFlow() | commands.CreatePayment():
            return ""
        case commands.ReadPayment():
            return data.payment
        case commands.ReadMandate() | commands.ReadMandatePayments():
            return data.mandate
        case commands.ReadPayer():
            return data.payer
        case commands.ReadBillingRequest():
            return data.billing_request
        case commands.ReadPayout() | commands.ReadPayoutItems():
            return data.payout
        case _:
            raise ValueError(f"{command.type} is not a command for GoCardless")


def verdict(command: Command, step: Step, call: Call, answer: Answer) -> Verdict:
    """What an answer to `call`, made in `step` ("send", "look_up", "follow"), means for the command. Never raises on
    any answer.

    Raises `ValueError` for a command of another API.
    """
    asked = target(command)
    if 200 <= answer.status < 300:
        if searches(command, call):
            return _searched(command, call, answer)
        return (
            _walked(command, call, answer, asked)
            if isinstance(command.data, WALKS)
            else _succeeded(command, step, answer, asked)
        )
    if answer.status == 401:
        return Retry("unauthorized", scope="api")
    if answer.status == 429:
        return Retry("rate_limited", _until_reset_s(answer.headers), scope="api")
    problem = wire.problem(answer.body)
    if problem is None or problem.theirs or answer.status == 408 or not 400 <= answer.status < 500:
        return _unclear(command, step, f"http_{answer.status}")
    if command.writes and step != "send":
        return Retry(f"{step}_refused: {problem.reason}")
    if problem.reason == "idempotent_creation_conflict" and command.writes:
        if not problem.resource_id:
            return Unknown("conflict_without_id")
        return Follow(_read(NAMES[type(command.data)], problem.resource_id), found=True)
    return Done("refused", reason=problem.reason, message=problem.message)


# --- calls ------------------------------------------------------------------------------------------------------------


def _create(command: Command, content: dict[str, object]) -> Call:
    assert command.key, "a create without a key could be carried out twice"
    name = NAMES[type(command.data)]
    return Call("POST", f"/{name}", body=msgspec.json.encode({name: content}), headers={"Idempotency-Key": command.key})


def _read(name: str, resource_id: str) -> Call:
    return Call("GET", f"/{name}/{quote(resource_id, safe='')}")


def _billing_request(data: commands.CreateBillingRequest) -> dict[str, object]:
    """A request for a mandate. What is asked with the mandate lands on the mandate; the contact's id stands on both."""
    metadata = {"zoho_contact_id": data.contact}
    content: dict[str, object] = {
        "mandate_request": {"currency": data.currency, "scheme": data.scheme, "metadata": metadata},
        "metadata": metadata,
    }
    if data.payer:
        content["links"] = {"customer": data.payer}
    return content


def _payment(command: Command, data: commands.CreatePayment) -> dict[str, object]:
    """A debit on the scheme's first possible day. No `reference`: standard packages refuse it. No `charge_date`: too
    early a one fails.
    """
    content: dict[str, object] = {
        "amount": data.amount_minor,
        "currency": data.currency,
        "links": {"mandate": data.mandate},
        "metadata": {
            "zoho_invoice_id": data.invoice,
            "zoho_invoice_number": data.invoice_number[:_MAX_VALUE],
            "command": command.id,
        },
    }
    if data.invoice_number:
        content["description"] = data.invoice_number[:_MAX_VALUE]
    return content


# --- answers ----------------------------------------------------------------------------------------------------------


def _succeeded(command: Command, step: Step, answer: Answer, asked: str) -> Verdict:
    """One resource: the one that was made, or asked for, and as it was asked for."""
    try:
        raw = wire.resource(answer.body, NAMES[type(command.data)])
    except wire.WireError:
        return _unclear(command, step, "malformed")
    return _as_asked(command, raw, asked, found=command.writes and step != "send")


def _as_asked(command: Command, raw: facts.Raw, asked: str, *, found: bool, reason: str = "") -> Verdict:
    """What a resource means for the command that made it, or asked for it; `reason` goes with a success."""
    name = NAMES[type(command.data)]
    try:
        read = facts.RESOURCES[name][1](raw)
    except DomainError:
        shown = _id_of(raw)
        if not shown and command.writes:
            return Unknown("malformed")
        return Done(
            "refused",
            shown,
            reason="unreadable",
            message="GoCardless's answer does not have the documented shape",
            found=found,
        )
    if asked and read.id != asked:
        return Done(
            "refused", reason="other_resource", message="GoCardless answered with another resource than was asked for"
        )
    difference = _difference(command.data, read)
    if difference:
        return Done(
            "refused",
            read.id,
            reason=difference,
            message="what GoCardless holds differs from what was asked for",
            found=found,
        )
    return Done("succeeded", read.id, reason=reason, found=found)


def _searched(command: Command, call: Call, answer: Answer) -> Verdict:
    """A page of a look-up: the payment that names the command, the next page, or the end. Only a walk that could ask
    every row, to the last cursor, shows that nothing is there.
    """
    try:
        page = wire.page(answer.body, NAMES[type(command.data)])
    except wire.WireError:
        return Retry("malformed")
    places, damaged = claimed(command, page)
    if places:
        return _as_asked(command, page.rows[places[-1]], "", found=True, reason="duplicate" if len(places) > 1 else "")
    following = pages.next_call(call, page, damaged=damaged, most_pages=LOOK_UP_PAGES)
    if following is not None:
        return Follow(following)
    if page.after:
        return Retry("look_up_endless")
    return Retry("look_up_unreadable" if damaged or pages.query_note(call, pages.DAMAGED, 0) else ABSENT)


def _walked(command: Command, call: Call, answer: Answer, asked: str) -> Verdict:
    """A page: the next one, or the end. A list is complete only at its last cursor, with every row readable."""
    try:
        wire.members(answer.body)
    except wire.WireError:
        return Retry("malformed")
    try:
        page = wire.page(answer.body, NAMES[type(command.data)])
    except wire.WireError:
        return Done("refused", reason="unreadable", message="GoCardless's page does not have the documented shape")
    damaged = not readable(command.data, page)
    following = pages.next_call(call, page, damaged=damaged)
    if following is not None:
        return Follow(following)
    if page.after:
        return Done("refused", reason="endless", message="the list did not come to an end")
    if damaged or pages.query_note(call, pages.DAMAGED, 0):
        return Done("refused", reason="unreadable", message="a row of the list could not be read")
    return Done("succeeded", asked)


def readable(data: CommandData, page: wire.Page) -> bool:
    """Whether every row of a walk's page can be read."""
    reader = facts.payout_item if isinstance(data, commands.ReadPayoutItems) else facts.payment
    try:
        for raw in page.rows:
            reader(raw)
    except DomainError:
        return False
    return True


def _difference(data: CommandData, read: facts.Read) -> str:
    """Why a payment is not the one that was asked for, "" when it is. Keys are compared with nothing at GoCardless: the
    same key with another amount is answered with the first payment.
    """
    if not isinstance(data, commands.CreatePayment) or not isinstance(read, events.PaymentRead):
        return ""
    if (read.amount_minor, read.currency) != (data.amount_minor, data.currency):
        return "amount_mismatch"
    if read.mandate not in ("", data.mandate):
        return "mandate_mismatch"
    return "" if read.metadata.get("zoho_invoice_id", data.invoice) == data.invoice else "invoice_mismatch"


def _unclear(command: Command, step: Step, reason: str) -> Verdict:
    """No answer to rely on. A write may have happened; a read, also of what an earlier write made, is simply asked
    again.
    """
    return Unknown(reason) if command.writes and step == "send" else Retry(reason)


def _id_of(raw: bytes | msgspec.Raw) -> str:
    try:
        return wire.require_id(wire.read(raw, wire.Identity).id, "id")
    except DomainError:
        return ""


def _until_reset_s(headers: Mapping[str, str]) -> float:
    """Seconds until the window ends: `ratelimit-reset` is an HTTP date, compared with the answer's own `date`, not with
    our clock.
    """
    reset, now = (moment(headers.get(name, "")) for name in ("ratelimit-reset", "date"))
    if reset is None or now is None:
        return THROTTLED_S
    left_s = (reset - now).total_seconds()
    return min(max(left_s, 1.0), _MAX_THROTTLED_S)
