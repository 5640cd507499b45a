"""What the first-run check is told before anything is judged: what the settings ask for, what both APIs show, and what
the store holds.

What could not be read is told as well (`Unread`), so that the judge needs to ask nobody.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from domain.policy import Rules
from domain.state import ConnectionRow
from domain.vocabulary import Api

#: Why a list could not be read. "no_credentials": none that could be used; "not_accepted": the API does not take them;
#: "busy": it is asked too often; "fault": it answered, and not to what was asked; "unreachable": it did not answer;
#: "refused": we may not see the list; "unreadable": its form is none that is documented.
Why = Literal["no_credentials", "not_accepted", "busy", "fault", "unreachable", "refused", "unreadable"]

#: Those that keep us out of one list; the others keep us out of the whole API, which is not asked again.
OF_ONE_LIST: Final[frozenset[Why]] = frozenset({"refused", "unreadable"})


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of the connection. `collect_from`: the day from which a person wants collected what fell
    due, "" where none was named.
    """

    organization_id: str
    environment: str
    unique_field: str
    payer_link_field: str
    rules: Rules
    collect_from: str = ""

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules of Zoho Books that need the unique field: those that we write into."""
        return ("customerpayments", "expenses") if self.rules.fees else ("customerpayments",)


# --- what could not be read ---


class Hindrance(msgspec.Struct, frozen=True):
    """What kept a list from being read. `said`: the API's own words, its status, or how the call ended."""

    api: Api
    name: str
    why: Why
    said: str = ""


class Unread(msgspec.Struct, frozen=True):
    """Stands for what could not be read; without a hindrance where its API had kept us out before."""

    hindrances: tuple[Hindrance, ...] = ()


# --- what both APIs show ---


class Organization(msgspec.Struct, frozen=True):
    """An organisation of Zoho Books that the consent reaches."""

    id: str
    name: str
    base_currency: str | None
    time_zone: str | None


class Currency(msgspec.Struct, frozen=True):
    """A currency of Zoho Books; `rate` "" where it was never used."""

    code: str
    rate: str


class Account(msgspec.Struct, frozen=True):
    """An active account of Zoho Books; those of Banking show their currency."""

    id: str
    name: str
    type: str | None = None
    currency: str | None = None


class Tax(msgspec.Struct, frozen=True):
    """A tax of Zoho Books."""

    id: str
    name: str
    percentage: Decimal


class Contact(msgspec.Struct, frozen=True):
    """A contact of Zoho Books. `type` "vendor" or "customer"."""

    id: str
    name: str | None
    type: str | None
    status: str | None


class Creditor(msgspec.Struct, frozen=True):
    """A creditor of GoCardless. `paid_in`: the currency that its payouts are exchanged to, "" where they are not."""

    id: str
    name: str | None
    verification_status: str | None
    country_code: str = ""
    paid_in: str = ""


class BankAccount(msgspec.Struct, frozen=True):
    """A bank account that GoCardless can pay out to."""

    id: str
    currency: str
    enabled: bool = True


class TaxRate(msgspec.Struct, frozen=True):
    """A tax rate of GoCardless. `shown`: the percentage as it stands there; `end_date` "" while it goes on."""

    id: str
    shown: str
    percentage: Decimal
    jurisdiction: str | None = None
    end_date: str = ""


class Seen(msgspec.Struct, frozen=True):
    """How many there are; `cut`: at least so many, since the list goes on."""

    count: int = 0
    cut: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What both APIs show. What the rules do not need is not read, and empty.

    `fields`: of each module that needs the unique field, the custom fields that its list shows. `subscriptions`: those
    that live; `payments_of_others`: those under way that no command of ours made.
    """

    organizations: tuple[Organization, ...] | Unread
    creditors: tuple[Creditor, ...] | Unread
    bank_accounts: tuple[BankAccount, ...] | Unread
    currencies: tuple[Currency, ...] | Unread
    accounts: tuple[Account, ...] | Unread
    tax_rates: tuple[TaxRate, ...] | Unread
    taxes: tuple[Tax, ...] | Unread
    vendors: tuple[Contact, ...] | Unread
    fields: dict[str, frozenset[str] | Unread]
    subscriptions: Seen | Unread
    payments_of_others: Seen | Unread


# --- what the store holds ---


class Owing(msgspec.Struct, frozen=True):
    """Invoices that would be collected, in one currency: `early`, those that fell due before the day that was asked
    about. `oldest`: the earliest due date among them.
    """

    currency: str
    early: bool
    count: int
    amount_minor: int
    oldest: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds. `others`: the other connections of the settings; `not_read`: the lists that were not yet
    read to their ends; `unheard`: the APIs without a webhook secret; `owing`: as of `onboarding.owing_day`.
    """

    own: ConnectionRow
    others: tuple[ConnectionRow, ...] = ()
    not_read: tuple[str, ...] = ()
    invoices: int = 0
    unheard: tuple[Api, ...] = ()
    owing: tuple[Owing, ...] = ()
