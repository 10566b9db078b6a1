"""The first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = JSONB().with_variant(sa.Text(), "sqlite")


def thread_key() -> sa.Column[str]:
    return sa.Column("threadId", sa.Text(), nullable=False)


def in_thread(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["threadId"], ["threads.id"], name=f"fk_{table}_threadId_threads", ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("displayName", sa.Text()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("identifier", name="uq_users_identifier"),
    )
    op.create_table(
        "threads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("updatedAt", INSTANT, nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("userId", sa.Text()),
        sa.Column("userIdentifier", sa.Text()),
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
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("parentId", sa.Text()),
        sa.Column("command", sa.Text()),
        sa.Column("modes", JSON),
        sa.Column("streaming", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("waitForAnswer", sa.Boolean()),
        sa.Column("isError", sa.Boolean()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("tags", JSON),
        sa.Column("input", sa.Text()),
        sa.Column("output", sa.Text()),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.Column("start", INSTANT),
        sa.Column("end", INSTANT),
        sa.Column("generation", JSON),
        sa.Column("showInput", JSON),
        sa.Column("defaultOpen", sa.Boolean()),
        sa.Column("autoCollapse", sa.Boolean()),
        sa.Column("language", sa.Text()),
        sa.Column("extra", JSON),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("threadId", "id", name="pk_steps"),
        in_thread("steps"),
    )
    op.create_index("ix_steps_id", "steps", ["id"])
    op.create_table(
        "elements",
        thread_key(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("chainlitKey", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("objectKey", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display", sa.Text()),
        sa.Column("size", sa.Text()),
        sa.Column("byteSize", sa.BigInteger()),
        sa.Column("language", sa.Text()),
        sa.Column("page", sa.Integer()),
        sa.Column("props", JSON),
        sa.Column("autoPlay", sa.Boolean()),
        sa.Column("playerConfig", JSON),
        sa.Column("forId", sa.Text()),
        sa.Column("mime", sa.Text()),
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
        sa.Column("forId", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("createdAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("threadId", "forId", name="pk_feedbacks"),
        in_thread("feedbacks"),
    )
    op.create_index("ix_feedbacks_id", "feedbacks", ["id"])
    op.create_table(
        "chainlit_sqla_tombstones",
        thread_key(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("deletedAt", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("threadId", "id", name="pk_chainlit_sqla_tombstones"),
    )
    op.create_table(
        "chainlit_sqla_blob_deletions",
        sa.Column("objectKey", sa.Text(), nullable=False),
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
