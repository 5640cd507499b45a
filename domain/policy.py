"""A connection's rules, as finance states them and as they are in force: when to collect, where to post, what a person
must approve.
"""

from typing import Annotated, Final, Literal

import msgspec

#: Who makes a choice each time it comes up: the rules, or a person.
Choice = Literal["auto", "ask"]

#: What holds where nobody has said who chooses: the more careful of the two. Of the settings, and before any policy.
UNSAID: Final[Choice] = "ask"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What finance decides for a connection, as a table of the settings: an unknown name is refused, since it is a
    misspelt one. Accounts are named as Zoho Books names them; the check turns names into ids, and what comes into force
    is a policy event with a version. Amounts are decimals as text ("5000.00"), days are YYYY-MM-DD.
    """

    clearing: dict[str, str] = {}
    suspense: dict[str, str] = {}
    bank: dict[str, str] = {}
    fees: str = ""
    vendor: str = ""
    tax: dict[str, str] = {}
    match_by_email: Choice = UNSAID
    invite: Choice = UNSAID
    send_days_before_due: Annotated[int, msgspec.Meta(ge=0, le=90)] = 0
    send_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 6
    max_debit: dict[str, str] = {}
    max_payer_month: dict[str, str] = {}
    max_day: dict[str, str] = {}
    max_day_count: dict[str, int] = {}
    books_from: str = ""
    closed_through: str = ""
    opening_clearing: dict[str, str] = {}


class Accounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Zoho Books ids of the accounts we post to. Per currency where money of that currency lies.

    `bank` maps GoCardless's creditor bank account id to Zoho's bank account id. `tax` maps GoCardless's tax rate id to
    Zoho's.
    """

    clearing: dict[str, str] = {}
    suspense: dict[str, str] = {}
    bank: dict[str, str] = {}
    fees: str = ""
    tax: dict[str, str] = {}
    vendor: str = ""


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a connection's rules.

    `send_hour` is the organisation's local hour at which the day's debits are sent. `send_days_before_due` 0 sends on
    the due date; GoCardless then charges on the scheme's first possible day. `max_debit_minor` per currency: a larger
    debit waits for a person; `max_payer_month_minor` likewise what is debited from one payer in a month,
    `max_day_count` and `max_day_minor` what is debited in a day (where they are silent, three times the largest day of
    the last 60 days: `domain.ceilings`). `unique_field` is the api name of the custom field "no duplicates" in Zoho's
    payments and expenses. `books_from` and `closed_through` are days of the organisation ("" = none).

    A default here says what a record without the field means, so it stays as it is: "auto" has always been left out of
    what is written of `match_by_email`. It is not what holds where nobody chose; that is `UNSAID`.
    """

    version: int
    accounts: Accounts = Accounts()
    match_by_email: Choice = "auto"
    invite: Choice = "ask"
    send_days_before_due: int = 0
    send_hour: int = 6
    view_hours: int = 6
    max_debit_minor: dict[str, int] = {}
    max_payer_month_minor: dict[str, int] = {}
    max_day_count: dict[str, int] = {}
    max_day_minor: dict[str, int] = {}
    unique_field: str = "cf_gocardless_key"
    payer_link_field: str = "cf_gocardless_customer"
    books_from: str = ""
    closed_through: str = ""
    opening_clearing_minor: dict[str, int] = {}
    fee_expense: bool = True


#: What holds before a person has set a policy: nothing is mapped, nothing collected, nobody matched by e-mail.
NO_POLICY: Final = Policy(version=0, match_by_email=UNSAID, invite=UNSAID)
