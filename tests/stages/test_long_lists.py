"""A list longer than the budget of a minute is read to its end, each page once, within the budget; also where it waits
for it.
"""

from collections import Counter

import pytest

from adapters import budgets
from domain import commands
from projections.work.polls import Polls
from streams.settings import Calls, Polling
from streams.stages.executor import WALK_KEPT_S, Executor
from streams.stages.poller import Poller
from tests.support.installation import answer

CALLS = Calls(deadline_s=5.0)
PAGES = 75
NOW = "2026-03-02T09:00:00.000Z"


def invoice(number: int) -> dict:
    return {
        "invoice_id": f"i-{number}",
        "invoice_number": f"INV-{number}",
        "customer_id": "c-1",
        "status": "sent",
        "currency_code": "GBP",
        "total": 12,
        "balance": 12,
        "date": "2026-03-01",
        "due_date": "2026-03-02",
        "exchange_rate": 1,
        "last_modified_time": "2026-03-01T09:00:00+0000",
    }


class Books:
    """Zoho's list of invoices, of `PAGES` pages with one row each; every call with its instant."""

    def __init__(self, company):
        self.company = company
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, call, deadline_s):
        page = call.query.get("page", "1")
        name = call.path.rsplit("/", 1)[-1]
        self.asked.append((f"{name} {page}", self.company.clock.now()))
        if name != "invoices":
            return answer(200, {"code": 0, name: [], "page_context": {"page": 1, "has_more_page": False}})
        number = int(page)
        return answer(
            200,
            {
                "code": 0,
                "invoices": [invoice(number)],
                "page_context": {"page": number, "has_more_page": number < PAGES},
            },
        )

    def pages(self) -> Counter:
        return Counter(page for page, _ in self.asked if page.startswith("invoices"))

    def most_in_a_minute(self) -> int:
        """Calls within the fullest sixty seconds."""
        at = [float(instant[14:16]) * 60 + float(instant[17:23]) for _, instant in self.asked]
        return max(sum(start <= one < start + 60 for one in at) for start in at)


EACH_ONCE = {f"invoices {page}": 1 for page in range(1, PAGES + 1)}


@pytest.fixture
def books(company):
    return Books(company)


async def test_a_poll_of_a_long_list_comes_to_its_end_and_reads_no_page_twice(company, books):
    poller = Poller(company.context, "zoho", {"acme": company.access("zoho", books, calls=CALLS)}, Polling(), CALLS)
    for _ in range(200):
        await poller.turn()
        if Polls(company.store).get("acme", "zoho.invoices").head_at:
            break
        company.clock.move(1)
    assert Polls(company.store).get("acme", "zoho.invoices").head_at == NOW, "it counts as read when it was begun"
    assert books.pages() == EACH_ONCE
    assert books.most_in_a_minute() <= 60 + budgets.ZOHO.burst
    await company.translate()
    assert [event.type for event in await company.events()].count("zoho.invoice_seen") == PAGES


async def test_a_poll_that_had_to_wait_for_too_long_begins_anew(company, books):
    poller = Poller(company.context, "zoho", {"acme": company.access("zoho", books, calls=CALLS)}, Polling(), CALLS)
    await poller.turn()
    begun = len(books.pages())
    assert 0 < begun < PAGES
    company.clock.move(WALK_KEPT_S + 1)
    await poller.turn()
    assert books.pages()["invoices 1"] == 2


async def test_a_sweep_of_a_long_list_keeps_to_the_budget_spends_no_attempt_and_reads_no_page_twice(company, books):
    sweep = commands.Command(
        "cm-sweep", "connections:acme", "sweep", commands.ListOpenInvoices(), commands.PRIORITY_DEBIT
    )
    await company.ask(sweep)
    executor = Executor(company.context, "zoho", {"acme": company.access("zoho", books, calls=CALLS)}, CALLS)
    for _ in range(200):
        await executor.turn()
        await executor.drain()
        row = company.queue.get("acme", "cm-sweep")
        if row.state == "answered":
            break
        assert (row.state, row.attempts, row.last_error) == ("ready", 0, "")
        company.clock.move(1)
    assert company.queue.get("acme", "cm-sweep").state == "answered"
    assert books.pages() == EACH_ONCE
    assert books.most_in_a_minute() <= 60 + budgets.ZOHO.burst
    await company.translate()
    listed = [event.data for event in await company.events() if event.type == "zoho.invoices_listed"]
    assert [(one.page, one.as_of, one.complete) for one in listed] == [
        (page, NOW, page == PAGES) for page in range(1, PAGES + 1)
    ]


async def test_a_sweep_that_another_process_had_begun_is_read_from_the_first_page(company, books):
    sweep = commands.Command(
        "cm-sweep", "connections:acme", "sweep", commands.ListOpenInvoices(), commands.PRIORITY_DEBIT
    )
    await company.ask(sweep)
    for _ in range(2):
        executor = Executor(company.context, "zoho", {"acme": company.access("zoho", books, calls=CALLS)}, CALLS)
        await executor.turn()
        await executor.drain()
        company.clock.move(30)
    assert books.pages()["invoices 1"] == 2
