"""Money: open items per creditor and currency in exact tenths of a minor unit, fees with VAT,
balances of some minutes ago.

Everything that will be in a payout is an open item here first. Nothing else in the simulator adds up money, so the
sums of payouts and the balances can be compared with each other.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, timedelta
from fractions import Fraction

import msgspec

from sandbox.gocardless.collection import Doc, moment
from sandbox.gocardless.settings import Settings
from sandbox.world import World

BALANCE_TYPES = ("confirmed_funds", "pending_payouts", "pending_payments_submitted")
FEE_TYPES = frozenset({"gocardless_fee", "app_fee", "surcharge_fee"})
# Fees include VAT for merchants of these countries (support article 360015515519): country -> (currency, percent).
VAT = {"GB": ("GBP", 20), "FR": ("EUR", 20)}
_BASIS_POINTS = 10_000


class Item(msgspec.Struct, kw_only=True):
    """One line of a payout to come: tenths of a minor unit, signed, VAT inside; `available_on`: the first day it can
    be paid out.
    """

    kind: str
    amount_tenths: int
    links: dict[str, str]
    available_on: date
    tax_tenths: int = 0


class Fee(msgspec.Struct, frozen=True):
    """A fee in tenths: all of it, and the VAT inside it."""

    gross_tenths: int
    tax_tenths: int


class Ledger:
    """Open items and balances of every creditor, per currency."""

    def __init__(self, world: World, settings: Callable[[], Settings]) -> None:
        self._world = world
        self._settings = settings
        self.open: dict[tuple[str, str], list[Item]] = defaultdict(list)
        self._balances: dict[tuple[str, str, str], int] = defaultdict(int)
        self._moves: deque[tuple[datetime, tuple[str, str, str], int]] = deque()

    def add(self, creditor: str, currency: str, item: Item) -> None:
        """Open an item."""
        self.open[creditor, currency].append(item)
        self.move(creditor, currency, "confirmed_funds", item.amount_tenths)

    def withdraw(self, creditor: str, currency: str, payment: str) -> int:
        """Take all open items of a payment back, as if they had never been; gives how many they were."""
        items = self.open[creditor, currency]
        gone = [item for item in items if item.links.get("payment") == payment and "refund" not in item.links]
        for item in gone:
            items.remove(item)
            self.move(creditor, currency, "confirmed_funds", -item.amount_tenths)
        return len(gone)

    def take(self, creditor: str, currency: str, day: date) -> list[Item]:
        """Take the items a payout of this day would have, unless their sum is negative or there are none."""
        items = self.open[creditor, currency]
        ready = [item for item in items if item.available_on <= day]
        total = sum(item.amount_tenths for item in ready)
        if not ready or total < 0:
            return []
        self.open[creditor, currency] = [item for item in items if item.available_on > day]
        self.move(creditor, currency, "confirmed_funds", -total)
        return ready

    def available_tenths(self, creditor: str, currency: str) -> int:
        """Give the sum of the open items: what a refund can be paid from."""
        return sum(item.amount_tenths for item in self.open[creditor, currency])

    def move(self, creditor: str, currency: str, balance_type: str, tenths: int) -> None:
        """Move a balance."""
        key = (creditor, currency, balance_type)
        self._balances[key] += tenths
        self._moves.append((self._world.now, key, tenths))
        self._forget()

    def balances(self, creditor: str) -> list[Doc]:
        """Give the creditor's balances as the API does: in minor units, as they were some minutes ago."""
        self._forget()
        then = dict(self._balances)
        for _, key, tenths in self._moves:
            then[key] -= tenths
        as_of = moment(self._world.now - timedelta(seconds=self._settings().balances_age_s))
        currencies = sorted({currency for owner, currency, _ in then if owner == creditor})
        return [
            {
                "amount": round_tenths(then.get((creditor, currency, balance_type), 0), self._settings()),
                "balance_type": balance_type,
                "currency": currency,
                "last_updated_at": as_of,
                "links": {"creditor": creditor},
            }
            for currency in currencies
            for balance_type in BALANCE_TYPES
        ]

    def balances_now_tenths(self) -> list[Doc]:
        """Give all balances of this very moment, in tenths, for the state document."""
        return [
            {"creditor": creditor, "currency": currency, "balance_type": balance_type, "tenths": tenths}
            for (creditor, currency, balance_type), tenths in sorted(self._balances.items())
        ]

    def fee(self, amount_minor: int, country: str) -> Fee:
        """Compute the fee of a payment from the tariff, to the tenth, VAT on top."""
        tariff = self._settings().tariff
        if tariff.invoiced:
            return Fee(0, 0)
        net = Fraction(amount_minor * tariff.share_bp * 10, _BASIS_POINTS) + tariff.fixed_tenths_minor
        if tariff.min_tenths_minor is not None:
            net = max(net, Fraction(tariff.min_tenths_minor))
        if tariff.cap_tenths_minor is not None:
            net = min(net, Fraction(tariff.cap_tenths_minor))
        return with_vat(net, country)

    def surcharge(self, country: str) -> Fee:
        """Compute the charge for a failure or chargeback."""
        return with_vat(Fraction(self._settings().tariff.surcharge_tenths_minor), country)

    def _forget(self) -> None:
        horizon = self._world.now - timedelta(seconds=self._settings().balances_age_s)
        while self._moves and self._moves[0][0] <= horizon:
            self._moves.popleft()


def with_vat(net: Fraction, country: str) -> Fee:
    """Put VAT on a net fee in tenths; both parts rounded half up to the tenth."""
    percent = VAT[country][1] if country in VAT else 0
    net_tenths, tax_tenths = half_up(net), half_up(net * percent / 100)
    return Fee(net_tenths + tax_tenths, tax_tenths)


def half_up(value: Fraction) -> int:
    """Round to the integer, halves away from zero."""
    magnitude = (abs(value) * 2 + 1) // 2
    return int(magnitude if value >= 0 else -magnitude)


def round_tenths(tenths: int, settings: Settings) -> int:
    """Round tenths of a minor unit to the minor unit (the mode is UNCONFIRMED, hence a switch)."""
    value = Fraction(tenths, 10)
    # Python's own round() rounds halves to even.
    return half_up(value) if settings.payout_rounding == "half_up" else round(value)


def tenths_text(tenths: int) -> str:
    """Write tenths of a minor unit as payout items do: "-45.5"."""
    sign = "-" if tenths < 0 else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"
