"""Due days and payouts of many, walked by the rules over a state that counts the rows they touch.

A rule that has much to do goes on in a further event: it decides a due time that has come already, and the clock
answers at once. The walk does the same.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from domain import codec, events, ids
from domain.state import KINDS, State

#: Rows of one page, as the APIs give them.
INVOICES_A_PAGE, ITEMS_A_PAGE = 200, 500

#: Customers among whom the invoices of a payout are shared out.
CUSTOMERS = 25

DUE = "2026-03-03T06:00:00.000Z"
CONFIRMED = "2026-03-06T11:40:00.000Z"
PAID = "2026-03-09T09:30:00.000Z"


class Tally:
    """Rows touched and bytes decided, per event, while `counting`."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.bytes: list[int] = []
        self.counting = False
        self.touched = 0

    def touch(self, rows: int = 1) -> None:
        self.touched += rows

    def note(self, decided: int) -> None:
        """An event has been decided."""
        if self.counting:
            self.rows.append(self.touched)
            self.bytes.append(decided)


class CountedRows(dict[str, Any]):
    """A mapping of the state that tells its tally of every row looked up, written or walked over."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def __getitem__(self, key: str) -> Any:
        self._tally.touch()
        return super().__getitem__(key)

    def __setitem__(self, key: str, row: Any) -> None:
        self._tally.touch()
        super().__setitem__(key, row)

    def __delitem__(self, key: str) -> None:
        self._tally.touch()
        super().__delitem__(key)

    def __contains__(self, key: object) -> bool:
        self._tally.touch()
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._tally.touch(len(self))
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        self._tally.touch()
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._tally.touch()
        return super().pop(key, *default)

    def keys(self) -> Any:
        self._tally.touch(len(self))
        return super().keys()

    def values(self) -> Any:
        self._tally.touch(len(self))
        return super().values()

    def items(self) -> Any:
        self._tally.touch(len(self))
        return super().items()


def counted(company: Any) -> Tally:
    """Count what the company's rules do, and let what they put off go on at once."""
    tally = Tally()
    company.state = State("c1", {kind: CountedRows(tally) for kind in KINDS})
    decide = company.tell
    put_off: deque[tuple[str, str]] = deque()

    def one(type_: str, data: Any, **more: str) -> Any:
        tally.touched = 0
        decision = decide(type_, data, **more)
        tally.note(0 if decision.empty else len(codec.encode_decision(decision)))
        put_off.extend((timer.id, timer.at) for timer in decision.timers if timer.at and timer.at <= company.now)
        return decision

    def tell(type_: str, data: Any, **more: str) -> Any:
        decision = one(type_, data, **more)
        while put_off:
            timer, at = put_off.popleft()
            one("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))
        return decision

    company.tell = tell
    company._list_open = lambda: pages_of_open_invoices(company)
    return tally


def pages_of_open_invoices(company: Any) -> str:
    """All open invoices, as pages."""
    keys = sorted(dict.keys(company.state.invoices))
    for start in range(0, max(1, len(keys)), INVOICES_A_PAGE):
        page, rest = keys[start : start + INVOICES_A_PAGE], keys[start + INVOICES_A_PAGE :]
        company.tell("zoho.invoices_listed", events.InvoicesListed("open", company.now, start, page, complete=not rest))
    return ""


def reach(company: Any, moment: str) -> None:
    """Every due time up to a moment comes, and nothing that was asked is answered yet."""
    due = sorted((row.at, row.id) for row in dict.values(company.state.timers) if row.at <= moment)
    company.now = moment
    for at, timer in due:
        company.tell("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))


def answer_all(company: Any) -> None:
    """Both APIs answer everything."""
    company.answer_all(1_000_000)


def owing(company: Any, number: int, customers: int) -> None:
    """So many invoices are due, shared out among so many customers."""
    company.open_gate()
    for place in range(1, customers + 1):
        company.customer(place)
    for place in range(number):
        company.invoice(f"{place:05d}", f"c-{1 + place % customers}")
    answer_all(company)


# --- many invoices of one customer, due on one day --------------------------------------------------------------------

READS = ("zoho.list_open_invoices", "gocardless.read_mandate_payments")


def due_day(company: Any, number: int, reads: tuple[str, ...]) -> Tally:
    """All of them are debited; the two reads that the debits hang on are answered in the order given."""
    tally = counted(company)
    owing(company, number, 1)
    tally.counting = True
    reach(company, DUE)
    for read in reads:
        company.answer(company.take(read))
    answer_all(company)
    tally.counting = False
    assert len(company.asked("gocardless.create_payment")) == number
    assert {row.stage for row in dict.values(company.state.invoices)} == {"collecting"}
    return tally


# --- a payout of many payments ----------------------------------------------------------------------------------------


def paid_out(company: Any, number: int, bookings: str) -> Tally:
    """A payout of so many payments is posted and reconciled. Its payments are booked in Zoho "before" it, "after" its
    own postings, or "by" it: nothing else has said that they were confirmed.
    """
    tally = counted(company)
    owing(company, number, CUSTOMERS)
    reach(company, DUE)
    answer_all(company)
    payments = sorted(row.payment for row in dict.values(company.state.invoices))
    assert len(set(payments)) == number
    company.now = CONFIRMED
    tally.counting = True
    if bookings != "by":
        for payment in payments:
            company.pay(payment, "confirmed", CONFIRMED)
    if bookings == "before":
        answer_all(company)
    company.now = PAID
    payout(company, [one for payment in payments for one in (into(payment), fee(payment))], number * (12_000 - 140))
    if bookings == "after":
        for type_ in ("zoho.create_transfer", "zoho.create_expense"):
            company.answer(company.take(type_))
    answer_all(company)
    tally.counting = False
    assert company.state.payouts["PO1"].stage == "reconciled"
    assert company.clearing() == 0
    return tally


def into(payment: str) -> events.PayoutItem:
    return events.PayoutItem("payment_paid_out", 120_000, payment)


def fee(payment: str) -> events.PayoutItem:
    return events.PayoutItem("gocardless_fee", -1_400, payment)


def payout(company: Any, items: list[events.PayoutItem], amount_minor: int) -> None:
    """The payout is paid, and read page by page."""
    company.gc("payouts", "paid", links={"payout": "PO1"}, id_="EV-PO1")
    command = company.take("gocardless.read_payout")
    read = events.PayoutRead(
        "PO1",
        "paid",
        amount_minor,
        "GBP",
        company.now,
        arrival_date="2026-03-09",
        reference="ACME",
        creditor_bank_account="BA1",
    )
    company.tell("gocardless.payout_read", read)
    company.outcome(command, resource="PO1")
    command = company.take("gocardless.read_payout_items")
    for start in range(0, len(items), ITEMS_A_PAGE):
        page = items[start : start + ITEMS_A_PAGE]
        company.tell(
            "gocardless.payout_items_read",
            events.PayoutItemsRead("PO1", start, page, complete=start + len(page) == len(items)),
        )
    company.outcome(command, resource="PO1")
