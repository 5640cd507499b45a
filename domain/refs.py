"""What a text of the form "kind:key" names: a row, a purpose, a due time, a list.

Each is made here and nowhere else, so that a misspelt kind fails the type check, and who reads ahead (`domain.reads`)
asks for the key that the rule will ask for.

```
Ref           the row that a command, an entry or a discrepancy is about      "invoices:4600…"
purpose       what a command is for; its attempts are counted by it           "debit:4600…"
timer         a due time                                                      "view:4600…"
list_of       a list of keys (`domain.lists`)                                 "viewing:MD…"
handle        what a contact and a payer may share                            "email:a@b.example"
subject       whose personal data an event holds                              "payer:CU…"
booking, payout_item, open_item, balance, discrepancy                         keys of rows with more than one part
```
In the log and in the store all of them are text. A text from there is taken apart by `Ref.parse` and `split`.
"""

from typing import Final, Literal, NewType, get_args

import msgspec

from domain.vocabulary import Code, RowKind, RuleKind

#: What something can be about: rows, and what has no row here.
RefKind = Literal[RowKind, "deliveries", "types"]

PurposeKind = Literal[
    "debit",
    "expense",
    "flow",
    "foreign",
    "invite",
    "post",
    "read_billing_request",
    "read_contact",
    "read_invoice",
    "read_mandate",
    "read_payer",
    "read_payment",
    "read_payout",
    "read_payout_items",
    "refund",
    "suspense",
    "sweep",
    "transfer",
    "unapply",
    "view_mandate",
]

#: "debit": an invoice's send time. "view": when its views are asked for again. "payout": when a payout is looked at
#: again. "more": a rule goes on in a further event.
TimerKind = Literal["debit", "more", "payout", "view"]

#: "viewing": invoices that wait for a mandate's payments. "waiting": those that wait for a mandate, by contact and
#: currency. "unmatched": contacts without a payer. "mandates": a payer's. "contacts", "payers": those with a handle.
#: "debit_days": days with debits, by currency.
ListKind = Literal["contacts", "debit_days", "mandates", "payers", "unmatched", "viewing", "waiting"]

HandleKind = Literal["email", "payer", "reference"]
SubjectKind = Literal["contact", "payer"]

PurposeName = NewType("PurposeName", str)
TimerName = NewType("TimerName", str)
ListName = NewType("ListName", str)
Handle = NewType("Handle", str)

_REF_KINDS: Final = frozenset(get_args(RefKind))

#: Kinds of rows that have a rule.
_RULED: Final = frozenset(get_args(RowKind)) & frozenset(get_args(RuleKind))


class Ref(msgspec.Struct, frozen=True, gc=False):
    """A row by kind and key, as decisions name it. `str()` is its text in the log."""

    kind: RefKind
    key: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> "Ref | None":
        """From its text; None when this version does not know the kind."""
        kind, key = split(text)
        return cls(kind, key) if kind in _REF_KINDS else None  # type: ignore[arg-type] # membership was just asked


def split(text: str) -> tuple[str, str]:
    """Kind and key of any of these texts; the key may hold colons."""
    kind, _, key = text.partition(":")
    return kind, key


def ruled(text: str) -> tuple[RuleKind, str] | None:
    """The rule that looks again at what a text is about, and the key of its row; None where there is none."""
    kind, key = split(text)
    return (kind, key) if kind in _RULED else None  # type: ignore[return-value] # membership was just asked


def purpose(kind: PurposeKind, *parts: str) -> PurposeName:
    """What a command is for."""
    return PurposeName(":".join((kind, *parts)))


def timer(kind: TimerKind, key: str) -> TimerName:
    """A due time."""
    return TimerName(f"{kind}:{key}")


def list_of(kind: ListKind, *parts: str) -> ListName:
    """A list of keys."""
    return ListName(":".join((kind, *parts)))


def handle(kind: HandleKind, text: str) -> Handle:
    """What a contact and a payer may share. An e-mail is given in lower case."""
    return Handle(f"{kind}:{text}")


def subject(kind: SubjectKind, key: str) -> str:
    """Whose personal data an event holds."""
    return f"{kind}:{key}"


def booking(payment: str, number: int) -> str:
    """The id of a payment's nth booking."""
    return f"{payment}:{number}"


def payout_item(payout: str, position: int) -> str:
    """The id of a payout's item; ids sort by position."""
    return f"{payout}:{position:06d}"


def open_item(currency: str, item: str) -> str:
    """The id of an open item of the clearing account."""
    return f"{currency}:{item}"


def balance(account: str, currency: str) -> str:
    """The id of an account's balance."""
    return f"{account}:{currency}"


def discrepancy(code: Code, about: Ref) -> str:
    """The id of a discrepancy: one per code and row."""
    return f"{code}:{about}"
