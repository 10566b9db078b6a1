"""Drop the signatures of revision 0002, with their triggers: searches no longer use them.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    context.script.get_revision("0002").module.downgrade()


def downgrade() -> None:
    """Drop SQLite's search index too, which older releases do not know; PostgreSQL's stays."""
    if op.get_context().dialect.name == "sqlite":
        for trigger in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER IF EXISTS chainlit_sqla_search_{trigger}")
        for suffix in ("_built", "_rows", ""):
            op.execute(f"DROP TABLE IF EXISTS chainlit_sqla_search{suffix}")
    context.script.get_revision("0002").module.upgrade()
