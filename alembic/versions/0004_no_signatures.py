"""Drop the signatures of revision 0002, with their triggers: searches no longer use them.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import context

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    context.script.get_revision("0002").module.downgrade()


def downgrade() -> None:
    context.script.get_revision("0002").module.upgrade()
