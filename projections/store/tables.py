"""What is remembered: every table, with the words finance needs to read it.

A table for each kind of state row (`domain.state.KINDS`) is derived from its struct by one function; the others are
written out. `PROJECTIONS` follow from the log alone and are compared after a rebuild; of the others their comment says
why they are not. Text is compared by code point on both engines (`COLLATE "C"` on PostgreSQL), so that order and ranges
agree.
"""

from typing import Any, Final, Literal, get_origin

import sqlalchemy as sa

from domain.state import KINDS, Row
from domain.vocabulary import in_words
from projections.store.rows import Field, Shape, fields_of

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TYPES: Final[dict[Shape, Any]] = {"text": TEXT, "json": TEXT, "integer": sa.BigInteger(), "boolean": sa.Boolean()}

_NOTES: Final = {
    "connection": "The pair of a Zoho Books organisation and a GoCardless creditor that the row belongs to.",
    "id": "Key of the row within its connection.",
    "about": "The row it is about, as kind:id.",
    "currency": "ISO 4217 code.",
    "date": "Day of the organisation, YYYY-MM-DD.",
    "event": "Id of the event that caused it.",
    "event_offset": "Offset of the deciding event in its partition of the topic events.",
    "partition": "Partition of the topic; all records of a connection lie in one.",
}
_SUFFIXES: Final = (
    ("_minor", "Minor units of the row's currency (pence, cents); debits and incoming money above zero."),
    ("_tenths", "Tenths of minor units, exactly as GoCardless states them."),
    ("_at", "Instant in UTC, empty until it happened."),
    ("_date", "Day of the organisation, YYYY-MM-DD; empty until known."),
)

#: Secondary indexes of the tables of state: what `queries` and the clock look up by. Each costs every write of its
#: kind.
_INDEXES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "invoices": (("connection", "number"),),
    "payments": (("connection", "invoice"), ("connection", "payout")),
    "commands": (("connection", "about"),),
    "discrepancies": (("connection", "about"),),
    "timers": (("at",),),
}


def _note(name: str, shape: Shape) -> str | None:
    if name in _NOTES:
        return _NOTES[name]
    if shape == "json":
        return "JSON."
    return next((note for suffix, note in _SUFFIXES if name.endswith(suffix)), None)


def _column(
    name: str, shape: Shape = "text", comment: str | None = None, *, key: bool = False, nullable: bool = False
) -> sa.Column[Any]:
    return sa.Column(
        name,
        _TYPES[shape],
        primary_key=key,
        nullable=nullable,
        autoincrement=False,
        comment=comment or _note(name, shape),
    )


def _table(name: str, *parts: sa.Column[Any] | sa.Index, comment: str) -> sa.Table:
    return sa.Table(name, metadata, *parts, comment=comment, sqlite_with_rowid=False)


def _values(field: Field) -> str | None:
    """The comment of a column with a closed vocabulary: its values."""
    return f"One of {in_words(field.type)}." if get_origin(field.type) is Literal else None


def _kind_table(kind: str, row: type[Row]) -> sa.Table:
    """The table of a kind of state row: key (connection, id), a native column per str, int and bool, JSON text for the
    rest.
    """
    columns = [_column(field.name, field.shape, _values(field), key=field.name == "id") for field in fields_of(row)]
    indexes = [sa.Index(None, *names) for names in _INDEXES.get(kind, ())]
    comment = " ".join((row.__doc__ or kind).replace("`", "").split())
    return _table(kind, _column("connection", key=True), *columns, *indexes, comment=comment)


#: The table of every kind of state row.
STATE: Final[dict[str, sa.Table]] = {kind: _kind_table(kind, row) for kind, row in KINDS.items()}

discrepancies_open: Final = sa.Index(
    "ix_discrepancies_open",
    STATE["discrepancies"].c.connection,
    STATE["discrepancies"].c.opened_at,
    sqlite_where=sa.text("closed_at = ''"),
    postgresql_where=sa.text("closed_at = ''"),
)

event_ids: Final = _table(
    "event_ids",
    sa.Column("digest", sa.LargeBinary(), primary_key=True, comment="BLAKE2b-128 of connection and event id."),
    _column("event_offset", "integer"),
    comment="Every event that was processed, once: the only authority for duplicates.",
)

ledger_entries: Final = _table(
    "ledger_entries",
    _column("connection", key=True),
    _column("event_offset", "integer", key=True),
    _column("number", "integer", "Place among the entries of the same event, from 0.", key=True),
    _column("id", comment="The entry's id, derived from its cause."),
    _column("date", comment="Entry date: a day of the organisation, YYYY-MM-DD."),
    _column("text", comment="What was booked, in words."),
    _column("about"),
    _column("event"),
    _column("decided_at"),
    _column("rules", "integer", "Version of the rules that decided it."),
    _column("policy", "integer", "Version of the connection's policy that decided it."),
    sa.Index(None, "connection", "about"),
    comment="The journal: entries are only ever added; a correction is a new entry.",
)

ledger_lines: Final = _table(
    "ledger_lines",
    _column("connection", key=True),
    _column("event_offset", "integer", key=True),
    _column("number", "integer", "Place of the entry among those of the same event, from 0.", key=True),
    _column("line", "integer", "Place in the entry, from 0.", key=True),
    _column("date", comment="Entry date: a day of the organisation, YYYY-MM-DD."),
    _column(
        "account", comment="Our name of the account: clearing, receivables, fees, …; the policy maps it to Zoho's."
    ),
    _column("currency"),
    _column(
        "amount_minor",
        "integer",
        "Minor units; above zero debits, below zero credits. Sums to zero per entry and currency.",
    ),
    _column("item", comment="The open item of the clearing account that it moves; empty outside clearing."),
    _column("item_name", comment="What that open item is."),
    comment="The lines of the journal, one side each.",
)

outbox: Final = _table(
    "outbox",
    _column("partition", "integer", key=True),
    _column("event_offset", "integer", key=True),
    _column("event"),
    _column("connection"),
    sa.Column(
        "decision", sa.LargeBinary(), nullable=False, comment="The decision as it goes into the topic decisions."
    ),
    comment="Decisions that are committed and not yet published. Not compared: it empties as the relay publishes.",
)

outbox_positions: Final = _table(
    "outbox_positions",
    _column("partition", "integer", key=True),
    _column("event_offset", "integer", "Highest event offset whose decision was published."),
    comment="How far decisions were published, per partition. Not compared: it follows the relay.",
)

command_queue: Final = _table(
    "command_queue",
    _column("connection", key=True),
    _column("id", key=True, comment="The command's id."),
    _column("api", comment="gocardless or zoho."),
    _column("type", comment="What it does, for example gocardless.create_payment."),
    _column("priority", "integer", "Lower goes first: 0 debits, 1 other money, 2 reads, 3 sweeps."),
    _column("state", comment="waiting_publication, ready, sent, unknown, answered, done or parked."),
    _column("due_at", comment="When it may be sent or looked up; NULL while nothing is to be done.", nullable=True),
    _column("not_after", comment="The instant after which it must not be sent; empty for none."),
    _column("asked_at"),
    _column("deadline_at", comment="Hard deadline of the last call that was begun; empty before the first."),
    _column("calls", "integer", "Calls begun: intents committed before each."),
    _column("attempts", "integer", "Transport attempts that failed since it was asked or sent again."),
    _column("last_error", comment="Why the last attempt failed; no personal data."),
    _column("command", "json", "The command, JSON."),
    _column("partition", "integer"),
    _column("event_offset", "integer"),
    sa.Index(
        "ix_command_queue_claimable",
        "connection",
        "api",
        "priority",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index(
        "ix_command_queue_due",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index(
        "ix_command_queue_sent",
        "connection",
        "api",
        sqlite_where=sa.text("state = 'sent'"),
        postgresql_where=sa.text("state = 'sent'"),
    ),
    sa.Index(
        "ix_command_queue_waiting",
        "partition",
        "event_offset",
        sqlite_where=sa.text("state = 'waiting_publication'"),
        postgresql_where=sa.text("state = 'waiting_publication'"),
    ),
    comment="Calls to make and how far each is. Not compared: it records our own sending, which the log cannot prove.",
)

positions: Final = _table(
    "positions",
    _column("stage", key=True, comment="The stage that reads the topic."),
    _column("topic", key=True),
    _column("partition", "integer", key=True),
    _column("next_offset", "integer", "Where the stage resumes: the offset it handles next."),
    _column("generation", comment="The store's generation when this was written."),
    _column("owner_epoch", "integer", "Raised by each new owner; a write of an older owner is refused."),
    comment="Where each stage resumes. Not compared: owners and generations differ by design.",
)

meta: Final = _table(
    "meta",
    _column("key", key=True),
    _column("value"),
    comment="Facts about the store itself: generation, the log's incarnation, whether it is a backup or being rebuilt.",
)

leases: Final = _table(
    "leases",
    _column("connection", key=True),
    _column("api", key=True),
    _column("owner", comment="The process that may call the API for this connection."),
    _column("epoch", "integer", "Raised by each new owner."),
    _column("until", comment="Instant at which it lapses unless renewed."),
    comment="Who may call which API. Outlives a rebuild: it is about processes, not about facts.",
)

budgets: Final = _table(
    "budgets",
    _column("connection", key=True),
    _column("api", key=True),
    _column("state", "json", "Calls used in the current windows, JSON."),
    comment="Call budgets used. Outlives a rebuild: the API counts on.",
)

polls: Final = _table(
    "polls",
    _column("connection", key=True),
    _column("kind", key=True, comment="What is polled, for example zoho.invoices."),
    _column("cursor", comment="Where the next page begins, as the API names it."),
    _column("due_at", comment="When to poll next."),
    _column("digest", comment="Digest of the last page; an equal page is kept as its digest."),
    _column("head_at", comment="When the last complete walk to the head began; empty before the first."),
    comment="How far each poll is. Outlives a rebuild; losing it only means that pages are read again.",
)

poll_rows: Final = _table(
    "poll_rows",
    _column("connection", key=True),
    _column("kind", key=True, comment="What is polled."),
    _column("id", key=True, comment="The resource's id at the API."),
    sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Digest of the row as it was last seen."),
    comment="What each polled row looked like. Outlives a rebuild; losing it only means that rows are shown again.",
)

sealed_secrets: Final = _table(
    "sealed_secrets",
    _column("connection", key=True),
    _column("name", key=True, comment="Which credential."),
    sa.Column(
        "sealed",
        sa.LargeBinary(),
        nullable=False,
        comment="Encrypted bytes with the id of their key; useless without it.",
    ),
    comment="Credentials, encrypted. They never travel in a topic, so a rebuild keeps them.",
)

quarantine: Final = _table(
    "quarantine",
    _column("connection", key=True),
    _column("partition", "integer"),
    _column("since_offset", "integer", "Its position is frozen here: the first event that was not processed."),
    _column("event"),
    _column("reason", comment="Which rule raised, and what; no personal data."),
    _column("frozen_at"),
    comment="Connections that are set aside because a rule raised. Outlives a rebuild: a person or a new version "
    "releases them.",
)

catch_ups: Final = _table(
    "catch_ups",
    _column("connection", key=True),
    _column("api", key=True),
    _column("reason", comment="rebuilt, restored, moved."),
    _column("required_at"),
    comment="APIs that must be polled to their heads before anything is sent. Not in the log: it is about this store's "
    "past.",
)

#: Tables that follow from the log alone, in the order in which a rebuild is compared.
PROJECTIONS: Final[tuple[sa.Table, ...]] = (*STATE.values(), event_ids, ledger_entries, ledger_lines)

#: Tables that a rebuild empties and fills again: the projections, and what stands between them and the world.
REBUILT: Final[tuple[sa.Table, ...]] = (*PROJECTIONS, outbox, outbox_positions, command_queue, positions)
