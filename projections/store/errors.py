"""What can go wrong with the store, and what to do about it.

```
StoreError
├── StoreUnavailable    cannot be used just now: locked, disk full, connection lost; the same call may succeed later
├── StoreFenced         a compare-and-set was lost: another owner, or another generation, writes now
│   └── LeaseLost       only a lease: another process calls that API for that connection now; this one stands by
├── StoreOutdated       an older schema on a server: a person upgrades it, when nothing of the older version runs
├── StoreVersion        made by a newer version of this program, or not a store at all
├── StoreForeignLog     its positions belong to another log
├── StoreIsBackup       a backup, or a rebuild or move that was not finished: not to be used as it stands
├── StoreMoved          what was in it lives in another store now
└── StoreCorrupt        what is in it cannot be what was written
```
Every error says what happened, where, and what to do. None carries a value of a row.
"""

from typing import ClassVar


class StoreError(Exception):
    """A failure of the store. `what` happened, `where` (file or server), `remedy` for the person who reads it."""

    retriable: ClassVar[bool] = False

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{what}; at {where}; {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


class StoreUnavailable(StoreError):  # noqa: N818 - named as the log's errors are: by the condition
    """The store cannot be used just now; nothing was written, or the next compare-and-set tells that it was."""

    retriable = True


class StoreFenced(StoreError):  # noqa: N818 - named by the condition
    """A compare-and-set was lost. Nothing was written; drop what was read and take ownership anew."""


class LeaseLost(StoreFenced):
    """A lease lapsed or is another's. Nothing was written, and nothing may be called under it; whoever had it stands by
    until it lapses.
    """


class StoreOutdated(StoreError):  # noqa: N818 - named by the condition
    """The schema on a server is older than this program. Processes of the older version may be at work: it is not
    upgraded unasked.
    """


class StoreVersion(StoreError):  # noqa: N818 - named by the condition
    """The schema is newer than this program, or it is no store of ours."""


class StoreForeignLog(StoreError):  # noqa: N818 - named by the condition
    """The positions in the store mean records of another log incarnation."""


class StoreIsBackup(StoreError):  # noqa: N818 - named by the condition
    """A backup that was not adopted, or the remains of a rebuild or a move that was not finished."""


class StoreMoved(StoreError):  # noqa: N818 - named by the condition
    """What was in it was moved to another store; it is kept as it was then."""


class StoreCorrupt(StoreError):  # noqa: N818 - named by the condition
    """What was read is not what can have been written."""
