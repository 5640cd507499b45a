"""Bank's day: three times at which everything due on that day happens.

    09:30 UTC           payouts are built; tax rates of yesterday's payouts are confirmed
    11:40 UTC           payouts are paid, mandates become active, payments are confirmed or fail, reversals and
                        refunds arrive, subscriptions make their payments
    16:00 in London     mandates, payments and refunds go to the banks

Few times a day keep a simulated month short; the order within a time is the order above.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from sandbox.calendars import london_day, london_time
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.lifecycle import activate_mandate, come_late, settle, submit, submit_mandate
from sandbox.gocardless.merchant import Merchant
from sandbox.gocardless.payouts import build_payouts, confirm_tax_rates, pay_payout
from sandbox.gocardless.refunds import pay_refund, submit_refund
from sandbox.gocardless.schemes import CUT_OFF
from sandbox.gocardless.subscriptions import collect

_PAYOUTS_AT = time(9, 30)
_RESULTS_AT = time(11, 40)


def start_days(merchant: Merchant) -> None:
    """Put the next of each of the three times onto the world's heap; each then puts its own next."""
    _daily(merchant, lambda day: datetime.combine(day, _PAYOUTS_AT, tzinfo=UTC), _pay_out)
    _daily(merchant, lambda day: datetime.combine(day, _RESULTS_AT, tzinfo=UTC), _hear_from_banks)
    _daily(merchant, lambda day: london_time(day, CUT_OFF), _submit_all)


def _daily(merchant: Merchant, when: Callable[[date], datetime], what: Callable[[Merchant, date], None]) -> None:
    def on(day: date) -> None:
        def run() -> None:
            what(merchant, day)
            on(day + timedelta(days=1))

        merchant.world.at(when(day), run)

    today = london_day(merchant.world.now)
    on(today if when(today) >= merchant.world.now else today + timedelta(days=1))


def _pay_out(merchant: Merchant, day: date) -> None:
    for identity, _ in merchant.schedule.take("tax_rates", day):
        confirm_tax_rates(merchant, merchant.collections["payouts"][identity])
    for payout in build_payouts(merchant, day):
        merchant.schedule.put("payout", day, payout["id"])


def _hear_from_banks(merchant: Merchant, day: date) -> None:
    for identity, _ in merchant.schedule.take("payout", day):
        pay_payout(merchant, merchant.collections["payouts"][identity])
    for identity, _ in merchant.schedule.take("mandate_active", day):
        activate_mandate(merchant, merchant.collections["mandates"][identity])
    for payment in _due_payments(merchant, "result", day):
        if payment["status"] == "submitted":
            settle(merchant, payment)
    for payment in _due_payments(merchant, "late", day):
        come_late(merchant, payment)
    for identity, _ in merchant.schedule.take("refund_paid", day):
        pay_refund(merchant, merchant.collections["refunds"][identity])
    collect(merchant)


def _submit_all(merchant: Merchant, day: date) -> None:
    for identity, _ in merchant.schedule.take("mandate_submit", day):
        submit_mandate(merchant, merchant.collections["mandates"][identity])
    for payment in _due_payments(merchant, "submit", day):
        if payment["status"] == "pending_submission":
            submit(merchant, payment)
    for identity, _ in merchant.schedule.take("refund_submit", day):
        submit_refund(merchant.collections["refunds"][identity])


def _due_payments(merchant: Merchant, kind: str, day: date) -> list[Doc]:
    """Give the payments of a day whose schedule entry is of the round they are in."""
    return [
        merchant.collections["payments"][identity]
        for identity, round_ in merchant.schedule.take(kind, day)
        if merchant.payment_files[identity].round == round_
    ]
