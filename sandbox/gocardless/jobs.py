"""The room of the bank's day: three times at which everything due on that day happens.

    09:30 UTC           payouts are built; tax rates of yesterday's payouts are confirmed
    11:40 UTC           payouts are paid, mandates become active, payments are confirmed or fail, reversals and
                        refunds arrive, subscriptions make their payments
    16:00 in London     mandates, payments and refunds go to the banks

Few times a day keep a simulated month short; the order within a time is the order above.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from sandbox.calendars import london_day, london_time
from sandbox.gocardless.lifecycle import activate_mandate, come_late, settle, submit, submit_mandate
from sandbox.gocardless.office import Office
from sandbox.gocardless.payouts import build_payouts, confirm_tax_rates, pay_payout
from sandbox.gocardless.refunds import pay_refund, submit_refund
from sandbox.gocardless.schemes import CUT_OFF
from sandbox.gocardless.store import Doc
from sandbox.gocardless.subscriptions import collect

_PAYOUTS_AT = time(9, 30)
_RESULTS_AT = time(11, 40)


def start_days(office: Office) -> None:
    """Put the next of each of the three times onto the world's heap; each then puts its own next."""
    _daily(office, lambda day: datetime.combine(day, _PAYOUTS_AT, tzinfo=UTC), _pay_out)
    _daily(office, lambda day: datetime.combine(day, _RESULTS_AT, tzinfo=UTC), _hear_from_banks)
    _daily(office, lambda day: london_time(day, CUT_OFF), _submit_all)


def _daily(office: Office, when: Callable[[date], datetime], what: Callable[[Office, date], None]) -> None:
    def on(day: date) -> None:
        def run() -> None:
            what(office, day)
            on(day + timedelta(days=1))

        office.world.at(when(day), run)

    today = london_day(office.world.now)
    on(today if when(today) >= office.world.now else today + timedelta(days=1))


def _pay_out(office: Office, day: date) -> None:
    for identity, _ in office.diary.take("tax_rates", day):
        confirm_tax_rates(office, office.shelves["payouts"][identity])
    for payout in build_payouts(office, day):
        office.diary.put("payout", day, payout["id"])


def _hear_from_banks(office: Office, day: date) -> None:
    for identity, _ in office.diary.take("payout", day):
        pay_payout(office, office.shelves["payouts"][identity])
    for identity, _ in office.diary.take("mandate_active", day):
        activate_mandate(office, office.shelves["mandates"][identity])
    for payment in _due_payments(office, "result", day):
        if payment["status"] == "submitted":
            settle(office, payment)
    for payment in _due_payments(office, "late", day):
        come_late(office, payment)
    for identity, _ in office.diary.take("refund_paid", day):
        pay_refund(office, office.shelves["refunds"][identity])
    collect(office)


def _submit_all(office: Office, day: date) -> None:
    for identity, _ in office.diary.take("mandate_submit", day):
        submit_mandate(office, office.shelves["mandates"][identity])
    for payment in _due_payments(office, "submit", day):
        if payment["status"] == "pending_submission":
            submit(office, payment)
    for identity, _ in office.diary.take("refund_submit", day):
        submit_refund(office.shelves["refunds"][identity])


def _due_payments(office: Office, kind: str, day: date) -> list[Doc]:
    """Give the payments of a day whose diary entry is of the round they are in."""
    return [
        office.shelves["payments"][identity]
        for identity, round_ in office.diary.take(kind, day)
        if office.payment_files[identity].round == round_
    ]
