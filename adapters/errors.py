"""What can go wrong with the outside world.

```
AdapterError
├── TransportError     no whole answer came back; `sent` says whether the request may have reached the API (retriable)
├── CredentialError    the API, or its token service, does not accept our credentials: a person must act
├── ClockError         the owner of the time is gone, or answers nonsense
└── VaultError
    ├── KeyringError      the keyring is missing or malformed
    ├── UnknownKeyError   an envelope names a key that the keyring does not hold
    └── EnvelopeError     an envelope is damaged, altered, or belongs to another name
```
`retriable` says whether the same thing may succeed later without a person. An answer that says "no" is not an error but
a `Verdict`. No message holds a secret, a body or personal data.
"""


class AdapterError(Exception):
    """Base of what the outside world does to us; terminal unless a subclass says otherwise."""

    retriable = False


class TransportError(AdapterError):
    """No whole answer. `sent` False: the request surely never left. True: it may have been carried out, so a write's
    outcome is unknown.

    `reason` is one of a few fixed words ("refused", "connect_timeout", "deadline", "reset", "truncated", "too_large",
    "malformed").
    """

    retriable = True

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(f"{reason}: the request {'may have been' if sent else 'was not'} sent")
        self.reason = reason
        self.sent = sent


class CredentialError(AdapterError):
    """Credentials are missing, revoked or refused. `one_call`: they do not reach for this kind of call, and may be good
    for others.
    """

    def __init__(self, message: str, *, one_call: bool = False) -> None:
        super().__init__(message)
        self.one_call = one_call


class ClockError(AdapterError):
    """Time cannot be told any more."""


class VaultError(AdapterError):
    """A secret cannot be sealed or opened."""


class KeyringError(VaultError):
    """No usable keyring."""


class UnknownKeyError(VaultError):
    """The key that sealed this is not in the keyring; `key_id` names it."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"sealed with key {key_id[:32]!r}, which is not in the keyring: add it back, or enter the secret again"
        )
        self.key_id = key_id


class EnvelopeError(VaultError):
    """The bytes are not an envelope of ours, or do not authenticate."""
