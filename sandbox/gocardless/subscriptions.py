"""Subscriptions: what a merchant has set up beside the program, in the dashboard or by another app.

They are read only through the API (list, get) and are put into the world by a scenario. An active one makes its
payments by itself, with no metadata and nothing behind them that the program knows. How long before its charge date a
payment is made is UNCONFIRMED; here it is the last day on which it can still be made.
"""

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count, islice
from typing import Any

from sandbox.calendars import add_working_days, is_working_day, working_day_on_or_after
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.lifecycle import LIVE_SUBSCRIPTION, end_subscription
from sandbox.gocardless.merchant import CHARGEABLE, Call, Merchant
from sandbox.gocardless.payments import add_payment
from sandbox.gocardless.schemes import SCHEMES

STATUSES = ("pending_customer_approval", "customer_approval_denied", "active", "finished", "cancelled", "paused")
_UNITS = ("weekly", "monthly", "yearly")
_UPCOMING_MAX = 10
_LAST_DAY = -1
_WORDS = frozenset(
    {
        "amount",
        "count",
        "currency",
        "customer",
        "day_of_month",
        "interval",
        "interval_unit",
        "metadata",
        "name",
        "start_date",
        "status",
    }
)


def new_subscription(merchant: Merchant, mandate: Doc, given: dict[str, Any]) -> Doc:
    """Make a subscription. ValueError: a field is unknown or does not fit the others."""
    unknown = set(given) - _WORDS
    if unknown:
        raise ValueError(f"a subscription has no {', '.join(sorted(unknown))}")
    unit, interval, status = (
        given.get("interval_unit", "monthly"),
        given.get("interval", 1),
        given.get("status", "active"),
    )
    if unit not in _UNITS or status not in STATUSES or not isinstance(interval, int) or interval < 1:
        raise ValueError(
            f"interval_unit is one of {', '.join(_UNITS)}, interval from 1, status one of {', '.join(STATUSES)}"
        )
    currency = given.get("currency", SCHEMES[mandate["scheme"]].currency)
    if currency != SCHEMES[mandate["scheme"]].currency:
        raise ValueError("currency is that of the mandate's scheme")
    earliest = merchant.next_possible(mandate) or merchant.world.now.date().isoformat()
    start = max(given.get("start_date", earliest), earliest)
    day_of_month = given.get("day_of_month", min(28, date.fromisoformat(start).day)) if unit == "monthly" else None
    if day_of_month is not None and day_of_month != _LAST_DAY and not 1 <= day_of_month <= 28:
        raise ValueError("day_of_month is 1 to 28, or -1")
    subscription = merchant.collections["subscriptions"].add(
        {
            "id": merchant.new_id("SB"),
            "created_at": merchant.now_text,
            "amount": given["amount"],
            "app_fee": None,
            "count": given.get("count"),
            "currency": currency,
            "day_of_month": day_of_month,
            "earliest_charge_date_after_resume": None,
            "end_date": None,
            "interval": interval,
            "interval_unit": unit,
            "metadata": dict(given.get("metadata", {})),
            "month": None,
            "name": given.get("name"),
            "parent_plan_paused": False,
            "payment_reference": None,
            "retry_if_possible": False,
            "start_date": start,
            "status": status,
            "links": {"mandate": mandate["id"]},
        }
    )
    merchant.subscription_turns[subscription["id"]] = 0
    merchant.events.record(
        "subscriptions", "created", {"subscription": subscription["id"]}, cause="subscription_created", origin="api"
    )
    return subscription


def collect(merchant: Merchant) -> None:
    """Make the payments of active subscriptions whose last day to be made is today."""
    for subscription in merchant.collections["subscriptions"].records:
        mandate = merchant.collections["mandates"][subscription["links"]["mandate"]]
        if subscription["status"] == "active" and mandate["status"] in CHARGEABLE:
            earliest = date.fromisoformat(merchant.next_possible(mandate) or "")
            due = [day for day in islice(charge_dates(merchant, subscription), _UPCOMING_MAX) if day <= earliest]
            for _ in due:
                _charge(merchant, subscription, mandate, earliest)


def _charge(merchant: Merchant, subscription: Doc, mandate: Doc, day: date) -> None:
    """Make the next payment of a subscription."""
    merchant.subscription_turns[subscription["id"]] += 1
    payment = add_payment(
        merchant,
        mandate,
        amount=subscription["amount"],
        charge_date=day,
        description=subscription["name"],
        origin="gocardless",
        links={"subscription": subscription["id"]},
    )
    links = {"subscription": subscription["id"], "payment": payment["id"]}
    merchant.events.record("subscriptions", "payment_created", links, cause="payment_created")
    if next(charge_dates(merchant, subscription), None) is None:
        end_subscription(merchant, subscription, status="finished", cause="subscription_finished", origin="gocardless")


def charge_dates(merchant: Merchant, subscription: Doc) -> Iterator[date]:
    """Give the charge dates still to come, without end unless it has a `count`: on a day of rest the next working day,
    of a month's last day the one before.
    """
    scheme = merchant.collections["mandates"][subscription["links"]["mandate"]]["scheme"]
    made, most = merchant.subscription_turns[subscription["id"]], subscription["count"]
    numbers = count(made) if most is None else range(made, most)
    for number in numbers:
        day = _turn(subscription, number)
        if subscription["day_of_month"] == _LAST_DAY:
            yield day if is_working_day(day, scheme) else add_working_days(day, -1, scheme)
        else:
            yield working_day_on_or_after(day, scheme)


def list_subscriptions(merchant: Merchant, call: Call) -> Doc:
    """GET /subscriptions."""
    page = merchant.page("subscriptions", call)
    return {**page, "subscriptions": [shown(merchant, doc) for doc in page["subscriptions"]]}


def get_subscription(merchant: Merchant, call: Call) -> Doc:
    """GET /subscriptions/{id}."""
    return {"subscriptions": shown(merchant, merchant.collections["subscriptions"].get(call.identity))}


def shown(merchant: Merchant, subscription: Doc) -> Doc:
    """Give a subscription as the API shows it: with its next charges."""
    dates = (
        islice(charge_dates(merchant, subscription), _UPCOMING_MAX)
        if subscription["status"] in LIVE_SUBSCRIPTION
        else ()
    )
    return {
        **subscription,
        "upcoming_payments": [{"charge_date": day.isoformat(), "amount": subscription["amount"]} for day in dates],
    }


def _turn(subscription: Doc, number: int) -> date:
    """Give the day of the nth turn, from 0, whatever the banks do on it."""
    start, step = date.fromisoformat(subscription["start_date"]), number * subscription["interval"]
    if subscription["interval_unit"] == "weekly":
        return start + timedelta(weeks=step)
    if subscription["interval_unit"] == "yearly":
        return start.replace(year=start.year + step, day=min(start.day, 28))
    day = subscription["day_of_month"]
    # The first turn is the first such day that is not before the start.
    offset = int(day not in (None, _LAST_DAY) and day < start.day)
    year, month = divmod(start.year * 12 + start.month - 1 + step + offset, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, last if day == _LAST_DAY else day)
