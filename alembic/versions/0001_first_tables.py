"""The first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = (
    sa.TIMESTAMP(timezone=True)
    .with_variant(sa.Text(), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), "mysql")
)
JSON = JSONB().with_variant(sa.Text(), "sqlite").with_variant(sa.JSON(), "mysql")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
# What is in a key or an index: MySQL must know its length. The tables' collation tells keys
# apart by case and trailing spaces.
KEY = sa.Text().with_variant(sa.String(255), "mysql")
IDENTIFIER = sa.Text().with_variant(sa.String(512), "mysql")
# A tombstone of an element: "element " and its id.
GRAVE = sa.Text().with_variant(sa.String(263), "mysql")
# 1,024 bytes: as characters they would be too long for a key. What is longer no store has; it
# is cut, and still longer than any.
OBJECT_KEY = sa.Text().with_variant(mysql.VARBINARY(1100), "mysql")


def thread_key() -> sa.Column[str]:
    return sa.Column("threadId", KEY, nullable=False)


def in_thread(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["threadId"], ["threads.id"], name=f"fk_{table}_threadId_threads", ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", KEY, nullable=False),
        sa.Column("identifier", IDENTIFIER, nullable=False),
        sa.Column("displayName", TEXT),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("identifier", name="uq_users_identifier"),
    )
    op.create_table(
        "threads",
        sa.Column("id", KEY, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("updatedAt", INSTANT, nullable=False),
        sa.Column("name", TEXT),
        sa.Column("userId", KEY),
        sa.Column("userIdentifier", TEXT),
        sa.Column("tags", JSON),
        sa.Column("metadata", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
        sa.ForeignKeyConstraint(
            ["userId"], ["users.id"], name="fk_threads_userId_users", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_threads_userId_updatedAt_id", "threads", ["userId", "updatedAt", "id"])
    op.create_table(
        "steps",
        thread_key(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("parentId", TEXT),
        sa.Column("command", TEXT),
        sa.Column("modes", JSON),
        sa.Column("streaming", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("waitForAnswer", sa.Boolean()),
        sa.Column("isError", sa.Boolean()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("tags", JSON),
        sa.Column("input", TEXT),
        sa.Column("output", TEXT),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("start", INSTANT),
        sa.Column("end", INSTANT),
        sa.Column("generation", JSON),
        sa.Column("showInput", JSON),
        sa.Column("defaultOpen", sa.Boolean()),
        sa.Column("autoCollapse", sa.Boolean()),
        sa.Column("language", TEXT),
        sa.Column("extra", JSON),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("threadId", "id", name="pk_steps"),
        in_thread("steps"),
    )
    op.create_index("ix_steps_id", "steps", ["id"])
    op.create_table(
        "elements",
        thread_key(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("chainlitKey", TEXT),
        sa.Column("url", TEXT),
        sa.Column("objectKey", TEXT),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("display", TEXT),
        sa.Column("size", TEXT),
        sa.Column("byteSize", sa.BigInteger()),
        sa.Column("language", TEXT),
        sa.Column("page", sa.Integer()),
        sa.Column("props", JSON),
        sa.Column("autoPlay", sa.Boolean()),
        sa.Column("playerConfig", JSON),
        sa.Column("forId", TEXT),
        sa.Column("mime", TEXT),
        sa.Column("extra", JSON),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("threadId", "id", name="pk_elements"),
        in_thread("elements"),
    )
    op.create_index("ix_elements_id", "elements", ["id"])
    op.create_table(
        "feedbacks",
        thread_key(),
        sa.Column("forId", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("comment", TEXT),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("threadId", "forId", name="pk_feedbacks"),
        in_thread("feedbacks"),
    )
    op.create_index("ix_feedbacks_id", "feedbacks", ["id"])
    op.create_table(
        "chainlit_sqla_tombstones",
        thread_key(),
        sa.Column("id", GRAVE, nullable=False),
        sa.Column("deletedAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("threadId", "id", name="pk_chainlit_sqla_tombstones"),
    )
    op.create_table(
        "chainlit_sqla_blob_deletions",
        sa.Column("objectKey", OBJECT_KEY, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("objectKey", name="pk_chainlit_sqla_blob_deletions"),
    )


def downgrade() -> None:
    for table in (
        "chainlit_sqla_blob_deletions",
        "chainlit_sqla_tombstones",
        "feedbacks",
        "elements",
        "steps",
        "threads",
        "users",
    ):
        op.drop_table(table)
    for table in ("chainlit_sqla_imports", "chainlit_sqla_quarantine"):  # See 0003.
        op.drop_table(table, if_exists=True)
