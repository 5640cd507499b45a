"""Where Alembic enters: on the connection that `projections.store.migrate` hands in, or (for printing SQL) on a dialect
alone.
"""

from typing import Any, Literal

from alembic import context

from projections.store.migrate import schema
from projections.store.tables import TEXT


def _render(kind: str, item: Any, _autogenerate: Any) -> str | Literal[False]:
    return "TEXT" if kind == "type" and item is TEXT else False


connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=schema(), render_item=_render)
else:
    context.configure(dialect_name=context.config.attributes["dialect"], target_metadata=schema())
with context.begin_transaction():
    context.run_migrations()
