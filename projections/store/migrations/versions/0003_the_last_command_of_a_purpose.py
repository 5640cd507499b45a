"""A purpose remembers its last command; a read that was given up and asked for again since waits for nobody."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

#: The command that was recorded last for each purpose, as a rebuild from the log finds it.
LAST = """
UPDATE purposes SET command = COALESCE((
    SELECT c.id FROM commands c WHERE c.connection = purposes.connection AND c.purpose = purposes.id
    ORDER BY c.asked_at DESC, c.attempt DESC, c.id DESC LIMIT 1
), '')
"""

SUPERSEDED = """
UPDATE commands SET status = 'superseded' WHERE status = 'parked' AND (type LIKE '%.read_%' OR type LIKE '%.list_%')
AND NOT EXISTS (SELECT 1 FROM purposes p WHERE p.connection = commands.connection AND p.command = commands.id)
"""


def upgrade() -> None:
    op.add_column("purposes", sa.Column("command", TEXT, server_default="", nullable=False))
    op.execute(LAST)
    op.execute(SUPERSEDED)
