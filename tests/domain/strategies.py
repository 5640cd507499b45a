"""What Hypothesis draws for the rules: events of every type, with ids from small pools so that they collide, and whole
months.

An id that a rule made (a command, a timer, a discrepancy) is drawn as "#n" and resolved against the state when the
event is told. Ids and days keep to what the translators let through (not empty; days and instants that exist); all else
is as wide as its type.
"""

from typing import Any

from hypothesis import strategies as st

from domain import events
from domain.customers import HEADS
from domain.policy import Accounts, Policy

# --- values -----------------------------------------------------------------------------------------------------------

INSTANTS = [f"2026-03-{day:02d}T{hour:02d}:00:00.000Z" for day in (1, 2, 3, 6, 9, 29) for hour in (0, 6, 12, 23)]

odd = st.sampled_from([":", "a:b", "PM1:1", "é", "\x1f", "{number}", "x" * 70, "0"])
words = st.one_of(st.sampled_from(["", "insufficient_funds", "24016", "updated", "mandate_is_inactive", "{x}"]), odd)
instants = st.sampled_from(INSTANTS)
days = st.sampled_from(["2024-02-29", "2026-02-28", "2026-03-01", "2026-03-03", "2026-03-29", "2026-12-31"])
some_days = st.one_of(st.just(""), days)
amounts = st.one_of(st.sampled_from([0, 1, -1, 50, 12_000, -12_000, 10**15]), st.integers(-(10**6), 10**6))
tenths = st.one_of(st.sampled_from([120_000, -120_000, -1_440, 5, -5, 0]), st.integers(-(10**7), 10**7))
currencies = st.sampled_from(["GBP", "GBP", "EUR", "JPY", "KWD", "XXX", ""])


def pool(*ids: str) -> st.SearchStrategy[str]:
    """One of a few ids, seldom an odd one."""
    return st.one_of(*[st.sampled_from(ids)] * 7, odd)


invoices = pool("1", "2")
contacts = pool("c-1", "c-2")
payers = pool("CU1", "CU2")
mandates = pool("MD1", "MD2")
payments = pool("PM1", "PM2", "PM-1-1")
payouts = pool("PO1", "PO2")
requests = pool("BRQ1", "BRQ-c-1")
commands = st.integers(0, 30).map(lambda number: f"#{number}")


def maybe(ids: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One of them, or none."""
    return st.one_of(st.just(""), ids)


metadata: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"zoho_invoice_id": invoices, "command": commands}),
    st.fixed_dictionaries({"zoho_contact_id": contacts}),
    st.dictionaries(st.sampled_from(["command", "zoho_invoice_id", "zoho_contact_id", "x"]), words, max_size=2),
)

# --- data of every type -----------------------------------------------------------------------------------------------

PAYMENT_ACTIONS = [
    "created",
    "submitted",
    "confirmed",
    "paid_out",
    "failed",
    "cancelled",
    "charged_back",
    "chargeback_cancelled",
    "resubmission_requested",
    "late_failure_settled",
    "chargeback_settled",
    "surcharge_fee_debited",
    "customer_approval_denied",
]
_ACTIONS = {
    "payments": [*PAYMENT_ACTIONS, "sds_settlement_delayed"],
    "mandates": [
        "created",
        "active",
        "submitted",
        "cancelled",
        "failed",
        "expired",
        "replaced",
        "transferred",
        "blocked",
        "x",
    ],
    "payouts": ["paid", "fx_rate_confirmed", "tax_exchange_rates_confirmed", "bounced"],
    "billing_requests": ["created", "fulfilled", "cancelled", "failed", "flow_visited"],
    "refunds": ["paid"],
    "unheard_of": ["happened"],
}


@st.composite
def gc_events(draw: st.DrawFn, resource: str) -> tuple[str, Any]:
    """One of GoCardless's own events."""
    action = draw(st.sampled_from(_ACTIONS[resource]))
    links = {
        "payments": {"payment": payments, "payout": payouts},
        "mandates": {"mandate": mandates, "new_mandate": mandates},
        "payouts": {"payout": payouts},
        "billing_requests": {"billing_request": requests, "customer": payers, "mandate_request_mandate": mandates},
    }.get(resource, {})
    some = {name: draw(ids) for name, ids in links.items() if draw(st.integers(0, 9)) or name == "customer"}
    data = events.GcEvent(
        resource,
        action,
        some,
        cause=draw(words),
        will_attempt_retry=draw(st.sampled_from([None, True, False])),
        resource_metadata=draw(metadata),
    )
    return events.gc_type(resource, action), data


payment_reads = st.builds(
    events.PaymentRead,
    payments,
    st.sampled_from(["pending_submission", "submitted", "confirmed", "paid_out", "failed", "x"]),
    amounts,
    currencies,
    mandates,
    instants,
    charge_date=some_days,
    payout=maybe(payouts),
    metadata=metadata,
)
payout_items = st.builds(
    events.PayoutItem,
    st.sampled_from(
        [
            "payment_paid_out",
            "payment_failed",
            "payment_charged_back",
            "payment_refunded",
            "refund",
            "gocardless_fee",
            "app_fee",
            "surcharge_fee",
            "revenue_share",
            "x",
        ]
    ),
    tenths,
    maybe(payments),
    taxes=st.lists(st.builds(events.PayoutTax, st.sampled_from(["GB_VAT_1", "X"]), tenths), max_size=2),
)
invoice_facts = st.builds(
    events.InvoiceFacts,
    invoices,
    words,
    contacts,
    st.sampled_from(["sent", "sent", "overdue", "paid", "void", "draft", "partially_paid", "x"]),
    currencies,
    amounts,
    amounts,
    days,
    some_days,
    instants,
    elsewhere=st.booleans(),
    line_items=st.one_of(st.none(), st.just([events.LineItem("a", "1", 5)])),
    as_of=maybe(instants),
)
contact_facts = st.builds(
    events.ContactFacts,
    contacts,
    words,
    st.sampled_from(["active", "active", "inactive", "x"]),
    st.sampled_from(["customer", "customer", "vendor", ""]),
    instants,
    email=st.sampled_from(["", "a1@example.test", " A1@example.test", "b@example.test"]),
    currency=currencies,
    reference=st.sampled_from(["", "REF-1"]),
    payer_link=maybe(payers),
)
policies = st.builds(
    Policy,
    st.integers(-1, 4),
    st.builds(
        Accounts,
        clearing=st.dictionaries(st.sampled_from(["GBP", "EUR", ""]), st.just("acc-1"), max_size=3),
        suspense=st.dictionaries(st.sampled_from(["GBP", "EUR"]), st.just("acc-2"), max_size=2),
        bank=st.dictionaries(st.sampled_from(["BA1", ""]), st.just("acc-3"), max_size=2),
        tax=st.dictionaries(st.sampled_from(["GB_VAT_1"]), st.just("tax-20"), max_size=1),
    ),
    match_by_email=st.sampled_from(["auto", "ask"]),
    invite=st.sampled_from(["auto", "ask"]),
    send_days_before_due=st.integers(-40, 40),
    send_hour=st.integers(0, 23),
    view_hours=st.integers(0, 48),
    max_debit_minor=st.dictionaries(st.sampled_from(["GBP"]), amounts, max_size=1),
    books_from=some_days,
    closed_through=some_days,
    fee_expense=st.booleans(),
)
rates = st.dictionaries(st.sampled_from(["EUR", "JPY"]), st.sampled_from(["0.85", "1.1"]), max_size=2)

#: Type → its data. Every type of `events.TYPES` is here; a test says so.
DATA: dict[str, st.SearchStrategy[Any]] = {
    "gocardless.payment_read": payment_reads,
    "gocardless.mandate_payments_read": st.builds(
        events.MandatePaymentsRead, mandates, instants, st.lists(payment_reads, max_size=2), st.booleans()
    ),
    "gocardless.mandate_read": st.builds(
        events.MandateRead,
        mandates,
        st.sampled_from(["active", "active", "pending_submission", "submitted", "cancelled", "x"]),
        st.sampled_from(["bacs", "bacs", "sepa_core", "x"]),
        payers,
        instants,
        reference=st.sampled_from(["", "REF-1"]),
        new_mandate=maybe(mandates),
    ),
    "gocardless.payer_read": st.builds(
        events.PayerRead,
        payers,
        instants,
        st.sampled_from(["", "a1@example.test", "b@example.test"]),
        words,
        metadata=metadata,
    ),
    "gocardless.billing_request_read": st.builds(
        events.BillingRequestRead,
        requests,
        st.sampled_from(["pending", "fulfilled", "cancelled", "x"]),
        instants,
        maybe(payers),
        maybe(mandates),
        metadata=metadata,
    ),
    "gocardless.flow_read": st.builds(events.FlowRead, words, requests, words, maybe(instants)),
    "gocardless.payout_read": st.builds(
        events.PayoutRead,
        payouts,
        st.sampled_from(["paid", "paid", "pending", "bounced", "x"]),
        amounts,
        currencies,
        instants,
        arrival_date=some_days,
        payout_type=st.sampled_from(["merchant", "merchant", "partner", "x"]),
        creditor_bank_account=st.sampled_from(["BA1", "BA1", "", "BA9"]),
        fx_currency=st.sampled_from(["", "", "EUR"]),
    ),
    "gocardless.payout_items_read": st.builds(
        events.PayoutItemsRead, payouts, st.integers(-1, 3), st.lists(payout_items, max_size=4), st.booleans()
    ),
    "zoho.invoice_seen": invoice_facts,
    "zoho.invoice_read": invoice_facts,
    "zoho.invoice_notified": invoice_facts,
    "zoho.invoice_gone": st.builds(events.InvoiceGone, invoices),
    "zoho.invoices_listed": st.builds(
        events.InvoicesListed,
        st.sampled_from(["open", "modified"]),
        instants,
        st.integers(0, 3),
        st.lists(invoices, max_size=3),
        st.booleans(),
    ),
    "zoho.contact_seen": contact_facts,
    "zoho.contact_read": contact_facts,
    "zoho.contact_notified": contact_facts,
    "zoho.customer_payment_read": st.builds(
        events.CustomerPaymentRead,
        words,
        contacts,
        amounts,
        amounts,
        currencies,
        days,
        words,
        created=st.sampled_from([None, True, False]),
        invoices=st.lists(
            st.builds(events.AppliedInvoice, invoices, amounts, st.one_of(st.none(), amounts)), max_size=2
        ),
    ),
    "zoho.currencies_read": st.builds(events.CurrenciesRead, rates),
    "command.outcome": st.builds(
        events.Outcome,
        commands,
        st.integers(0, 3),
        st.sampled_from(["succeeded", "succeeded", "refused", "withheld", "parked", "x"]),
        st.one_of(words, payments, requests),
        reason=words,
        message=words,
        http_status=st.sampled_from([0, 404, 410, 422]),
    ),
    "connection.checked": st.builds(
        events.ConnectionChecked,
        st.lists(st.builds(events.Finding, words, st.sampled_from(["ok", "decide", "stop", "x"]), words), max_size=2),
        words,
        st.sampled_from(["GBP", "EUR", ""]),
        st.sampled_from(["Europe/London", "America/New_York", "Pacific/Auckland", "UTC"]),
        words,
        st.sampled_from(["sandbox", "live", ""]),
        rates,
    ),
    "operator.gate_opened": st.builds(
        events.GateOpened,
        words,
        st.lists(words, max_size=2),
        collect_from=st.sampled_from(["", "2026-03-02", "2026-03-05"]),
        first_count=st.sampled_from([None, {}, {"GBP": 1}]),
        first_minor=st.sampled_from([None, {}, {"GBP": 12_000}]),
    ),
    "operator.gate_closed": st.builds(events.GateClosed, words),
    "operator.match_approved": st.builds(events.MatchApproved, words, contacts, maybe(payers), st.booleans()),
    "operator.invoice_released": st.builds(
        events.InvoiceReleased, words, invoices, st.sampled_from(["retry", "retry", "ignore", "x"])
    ),
    "operator.replay_requested": st.builds(events.ReplayRequested, words, commands),
    "operator.discrepancy_closed": st.builds(events.DiscrepancyClosed, words, commands),
    "operator.time_accepted": st.builds(events.TimeAccepted, words, instants),
    "operator.day_accepted": st.builds(events.DayAccepted, words, days, currencies),
    "policy.set": st.builds(events.PolicySet, words, policies),
    "poll.head_reached": st.builds(events.HeadReached, st.sampled_from([*HEADS, "x"]), instants),
    "clock.due_reached": st.builds(events.DueReached, commands, instants),
    "clock.day_began": st.builds(events.DayBegan, days),
    "delivery.parked": st.builds(
        events.DeliveryParked, words, words, st.integers(0, 3), st.integers(0, 3), words, words
    ),
}

_SECONDS = st.sampled_from([0, 1, 3600, 90_000])
_ANSWER = st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from([0, 60]), st.just(""))
_DUE = st.tuples(st.just("due"), st.just(0), st.just(0), st.just(""))


#: Types that work on one another: a history is drawn from one or two of these groups, since few types meet deeper than
#: all at once.
GROUPS: list[list[str]] = [
    ["payouts", "gocardless.payout_read", "gocardless.payout_items_read", "gocardless.payment_read", "payments"],
    [
        "payments",
        "gocardless.payment_read",
        "operator.invoice_released",
        "zoho.customer_payment_read",
        "zoho.invoice_read",
    ],
    [
        "zoho.contact_seen",
        "zoho.contact_read",
        "gocardless.payer_read",
        "gocardless.mandate_read",
        "operator.match_approved",
    ],
    ["zoho.contact_seen", "gocardless.payer_read", "poll.head_reached", "policy.set", "zoho.invoice_seen"],
    [
        "operator.gate_opened",
        "operator.day_accepted",
        "operator.invoice_released",
        "zoho.invoice_seen",
        "zoho.invoices_listed",
    ],
    [
        "billing_requests",
        "gocardless.billing_request_read",
        "gocardless.flow_read",
        "zoho.contact_notified",
        "zoho.invoice_seen",
    ],
    [
        "mandates",
        "gocardless.mandate_read",
        "gocardless.mandate_payments_read",
        "zoho.invoice_seen",
        "operator.gate_closed",
    ],
    [
        "zoho.invoice_seen",
        "zoho.invoice_notified",
        "zoho.invoices_listed",
        "zoho.invoice_gone",
        "operator.invoice_released",
    ],
    [
        "operator.gate_opened",
        "operator.gate_closed",
        "policy.set",
        "connection.checked",
        "zoho.currencies_read",
        "zoho.invoices_listed",
    ],
    ["operator.discrepancy_closed", "operator.replay_requested", "delivery.parked", "unheard_of", "clock.due_reached"],
    sorted(DATA),
    sorted(_ACTIONS),
]


@st.composite
def anything(draw: st.DrawFn) -> list[tuple[str, Any, int, str]]:
    """Up to fifty steps.

    A step is ("tell", (type, data), seconds later, when it happened), ("answer", which pending command, seconds later,
    "") or "due".
    """
    groups = draw(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=2))
    types = ["command.outcome", *(one for group in groups for one in group)]
    facts = [gc_events(one) if one in _ACTIONS else _typed(one) for one in types]
    tell = st.tuples(st.just("tell"), st.one_of(*facts), _SECONDS, instants)
    return draw(st.lists(st.one_of(tell, tell, tell, _ANSWER, _DUE), max_size=50))


def _typed(type_: str) -> st.SearchStrategy[tuple[str, Any]]:
    return DATA[type_].map(lambda data: (type_, data))


# --- a month of plausible business ------------------------------------------------------------------------------------

#: The life of one payment: (action, cause, retried by GoCardless) in an order that GoCardless's state machine allows
#: (reference 3.2).
LIVES: list[list[tuple[str, str, bool]]] = [
    [("created", "", False), ("submitted", "", False), ("confirmed", "", False), ("paid_out", "", False)],
    [("submitted", "", False), ("failed", "insufficient_funds", False)],
    [
        ("submitted", "", False),
        ("failed", "insufficient_funds", True),
        ("resubmission_requested", "", False),
        ("confirmed", "", False),
    ],
    [("confirmed", "", False), ("failed", "refer_to_payer", False), ("late_failure_settled", "", False)],
    [
        ("confirmed", "", False),
        ("paid_out", "", False),
        ("charged_back", "refund_requested", False),
        ("chargeback_settled", "", False),
    ],
    [
        ("confirmed", "", False),
        ("charged_back", "authorisation_disputed", False),
        ("chargeback_cancelled", "", False),
        ("paid_out", "", False),
    ],
    [
        ("confirmed", "", False),
        ("failed", "x", False),
        ("resubmission_requested", "", False),
        ("submitted", "", False),
        ("confirmed", "", False),
    ],
    [
        ("confirmed", "", False),
        ("charged_back", "x", False),
        ("chargeback_cancelled", "", False),
        ("charged_back", "x", False),
        ("chargeback_cancelled", "", False),
    ],
    [("cancelled", "payment_cancelled", False)],
    [("customer_approval_denied", "", False)],
]
lives = st.sampled_from(LIVES)
facts_of_a_payment = st.lists(st.tuples(st.sampled_from(PAYMENT_ACTIONS), st.integers(1, 9), st.booleans()), max_size=7)


@st.composite
def months(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """The lives of three payments, their payouts, and answers and refusals, woven together at random."""
    strands: list[list[tuple[Any, ...]]] = []
    for number in (1, 2, 3):
        life = draw(lives)
        strands.append([("fact", number, action, f"EV-{number}-{place}") for place, (action, _, _) in enumerate(life)])
    kinds = st.sampled_from(["payment_paid_out", "payment_paid_out", "payment_failed", "payment_charged_back"])
    parts = st.lists(st.tuples(st.integers(1, 4), kinds, st.integers(0, 500)), min_size=1, max_size=4)
    order = st.lists(st.sampled_from(["event", "read", "items"]), min_size=1, max_size=5)
    strands.append(
        [
            ("payout", draw(st.sampled_from(["PO1", "PO2"])), draw(parts), draw(order))
            for _ in range(draw(st.integers(0, 3)))
        ]
    )
    strands.append([("answer", draw(st.integers(0, 5))) for _ in range(draw(st.integers(0, 12)))])
    refusals = st.tuples(
        st.just("refuse"),
        st.integers(0, 5),
        st.sampled_from(["refused", "parked"]),
        st.sampled_from(["24016", "locked", "1002"]),
    )
    strands.append(draw(st.lists(refusals, max_size=3)))
    woven = []
    while any(strands):
        strand = draw(st.sampled_from([one for one in strands if one]))
        woven.append(strand.pop(0))
    return woven
