"""What the pure rules refuse.

```
DomainError
├── AmountError              an amount that does not fit its currency exactly, is negative where it must not be, or is
│                            out of bounds
├── UnknownCurrencyError     not an ISO 4217 code that we know the minor unit of
├── UndecodableEventError    bytes that are not an event of ours
├── OversizeDecisionError    a decision larger than one may be (a rule without a bound; sets its connection aside)
└── LedgerError              an entry whose debits and credits differ (an invariant; stops the connection)
```
Each is terminal: the same input fails the same way again.
"""


class DomainError(Exception):
    """Base of what the rules refuse; never retriable."""

    retriable = False


class AmountError(DomainError):
    """An amount that does not fit."""


class UnknownCurrencyError(DomainError):
    """A currency code without a known minor unit."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"unknown currency {currency[:16]!r}: expected an ISO 4217 code such as GBP or EUR")


class UndecodableEventError(DomainError):
    """Bytes on the events topic that do not decode as an envelope."""


class OversizeDecisionError(DomainError):
    """One event made a rule decide more than one record may hold."""


class LedgerError(DomainError):
    """Debits differ from credits: the books would not balance."""
