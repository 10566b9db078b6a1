"""What moving in needs: rows that have no place, and how far an import has come.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = (
    sa.TIMESTAMP(timezone=True)
    .with_variant(sa.Text(), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), "mysql")
)
JSON = JSONB().with_variant(sa.Text(), "sqlite").with_variant(sa.JSON(), "mysql")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
KEY = sa.Text().with_variant(sa.String(255), "mysql")


IMPORTS, QUARANTINE = "chainlit_sqla_imports", "chainlit_sqla_quarantine"


def upgrade() -> None:
    # A downgrade has left those that held something.
    op.create_table(
        QUARANTINE,
        sa.Column("id", KEY, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("row", JSON, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chainlit_sqla_quarantine"),
        if_not_exists=True,
    )
    op.create_table(
        IMPORTS,
        sa.Column("id", KEY, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("position", TEXT),
        sa.Column("details", JSON, nullable=False),
        sa.Column("startedAt", INSTANT, nullable=False),
        sa.Column("finishedAt", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_chainlit_sqla_imports"),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Revision 0002 has no place for these rows: they stay until the next upgrade, or base."""
    for table in (IMPORTS, QUARANTINE):
        if is_empty(table):
            op.drop_table(table)


def is_empty(table: str) -> bool:
    """Where SQL is printed only, nobody knows."""
    if op.get_context().as_sql:
        return False
    connection = op.get_bind()
    if not sa.inspect(connection).has_table(table):  # An interrupted downgrade has dropped it.
        return False
    return connection.scalar(sa.select(sa.literal(1)).select_from(sa.table(table)).limit(1)) is None
