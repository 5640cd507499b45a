"""A debit whose answer is lost, with the whole program over both simulators: it is looked up before anything else,
whatever has happened to its invoice since. Nobody is debited twice, and nobody's debit is forgotten.
"""

from typing import Any

import pytest

from tests.support.office import running

OPEN = "2026-03-02T05:10:00.000Z"
DUE = "2026-03-03T06:00:00.000Z"
LATER = "2026-03-03T07:00:00.000Z"
NOT_AFTER = "2026-03-03T12:00:00.000Z"
AFTER = "2026-03-03T12:30:00.000Z"
LONG_AFTER = "2026-03-03T14:00:00.000Z"

LOST = ["500_after_commit", "reset_after_commit", "timeout_after_commit"]


def fault(kind: str, method: str = "POST", times: int = 1, **more: Any) -> dict[str, Any]:
    return {"api": "gocardless", "method": method, "path": "^/payments$", "kind": kind, "times": times, **more}


async def sent(program: Any, *rules: dict[str, Any]) -> None:
    """The gate is open, the due date has come, and the debit's call has met the first rule; the others are for the
    look-ups.
    """
    await program.until(OPEN)
    await program.open_gate()
    await program.office.post("/_sandbox/faults", {"rules": rules[:1]})
    await program.until(DUE)
    assert await program.calls("POST /payments") == 1
    assert debit(program).status == "open"
    await program.office.post("/_sandbox/faults", {"rules": rules[1:]})


async def edit(program: Any, action: str, **more: Any) -> None:
    """A person does something to the invoice."""
    await program.office.post("/_sandbox/zoho/edit", {"action": action, "invoice_number": "INV-1", **more}, zoho=True)


def debit(program: Any) -> Any:
    (row,) = [row for row in program.state().commands.values() if row.type == "gocardless.create_payment"]
    return row


def invoice(program: Any) -> Any:
    (row,) = program.state().invoices.values()
    return row


@pytest.mark.parametrize("kind", LOST)
async def test_one_that_was_made_is_found_though_its_invoice_is_void(kind: str, office: Any) -> None:
    await office.open()
    async with running(office) as program:
        # The look-ups fail until the news of the invoice is there.
        await sent(program, fault(kind, hold_s=5), fault("500_before", "GET", times=5))
        await edit(program, "void_invoice")
        await program.until(LATER)
        assert invoice(program).status == "void"
        (payment,) = await program.payments()
        assert payment["metadata"]["command"] == debit(program).id
        assert (debit(program).status, debit(program).resource_id) == ("succeeded", payment["id"])
        assert (invoice(program).payment, invoice(program).stage) == (payment["id"], "collecting")
        assert await program.calls("POST /payments") == 1


@pytest.mark.parametrize("kind", LOST[:2])
async def test_one_that_was_made_is_found_and_not_made_again(kind: str, office: Any) -> None:
    await office.open()
    async with running(office) as program:
        await sent(program, fault(kind, hold_s=5))
        await program.until(LATER)
        (payment,) = await program.payments()
        assert (debit(program).status, debit(program).resource_id) == ("succeeded", payment["id"])
        assert await program.calls("POST /payments") == 1


@pytest.mark.parametrize(
    ("act", "reason", "stage"),
    [("void_invoice", "not_open", "none"), ("record_payment", "balance_changed", "scheduled")],
)
async def test_one_that_was_not_made_is_withheld_only_after_two_look_ups_found_nothing(
    act: str, reason: str, stage: str, office: Any
) -> None:
    await office.open()
    async with running(office) as program:
        await sent(program, fault("500_before"), fault("500_before", "GET", times=5))
        looked = await program.calls("GET /payments")
        await edit(program, act, amount="40.00")
        await program.until(LATER)
        assert (debit(program).status, debit(program).reason) == ("withheld", reason)
        assert await program.calls("GET /payments") == looked + 5 + 2
        assert await program.calls("POST /payments") == 1
        assert await program.payments() == []
        assert invoice(program).stage == stage


async def test_one_that_was_not_made_is_sent_once_more_with_its_key(office: Any) -> None:
    await office.open()
    async with running(office) as program:
        await sent(program, fault("500_before"))
        await program.until(LATER)
        (payment,) = await program.payments()
        assert (debit(program).status, debit(program).resource_id) == ("succeeded", payment["id"])
        assert await program.calls("POST /payments") == 2


@pytest.mark.parametrize(
    ("kind", "status", "made"), [("500_after_commit", "succeeded", 1), ("500_before", "withheld", 0)]
)
async def test_one_is_looked_up_after_its_time_has_passed(kind: str, status: str, made: int, office: Any) -> None:
    await office.open()
    async with running(office) as program:
        await sent(program, fault(kind))
    await office.post("/_sandbox/clock/run", {"until": AFTER, "participants": []})
    assert (await office.get("/_sandbox/clock/wait?timeout_s=5"))["idle"]
    async with running(office) as program:
        await program.until(LONG_AFTER)
        assert debit(program).status == status
        assert debit(program).ended_at > NOT_AFTER
        payments = [one["id"] for one in await program.payments() if one["metadata"]["command"] == debit(program).id]
        assert payments == [debit(program).resource_id] * made
        assert await program.calls("POST /payments") == 1
