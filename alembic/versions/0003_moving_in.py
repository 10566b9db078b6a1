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


def upgrade() -> None:
    op.create_table(
        "chainlit_sqla_quarantine",
        sa.Column("id", KEY, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("row", JSON, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chainlit_sqla_quarantine"),
    )
    op.create_table(
        "chainlit_sqla_imports",
        sa.Column("id", KEY, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("position", TEXT),
        sa.Column("details", JSON, nullable=False),
        sa.Column("startedAt", INSTANT, nullable=False),
        sa.Column("finishedAt", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_chainlit_sqla_imports"),
    )


def downgrade() -> None:
    op.drop_table("chainlit_sqla_imports")
    op.drop_table("chainlit_sqla_quarantine")
