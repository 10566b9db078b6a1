"""Signatures of threads, for searching.

A signature holds for the ``updatedAt`` that its thread had. What changes a text without
moving that removes the signature, by a trigger: so other programs may write as well. On
PostgreSQL, the types of columns that triggers name cannot be changed while they are there.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.Text(), "sqlite")
TABLE = "chainlit_sqla_signatures"

# With the rights of whoever changes a text, never of its owner (SECURITY DEFINER): in a
# schema of somebody's own, a trigger of theirs would then run with the owner's rights.
# For the lock a claim waits, or leaves the thread out: see writes/signatures.py.
POSTGRESQL_FUNCTION = """
CREATE FUNCTION chainlit_sqla_forget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE thread text;
BEGIN
  IF TG_TABLE_NAME = 'threads' THEN thread := NEW.id; ELSE thread := NEW."threadId"; END IF;
  EXECUTE format('SELECT 1 FROM %I.threads WHERE id = $1 FOR KEY SHARE', TG_TABLE_SCHEMA)
    USING thread;
  EXECUTE format('DELETE FROM %I.chainlit_sqla_signatures WHERE "threadId" = $1', TG_TABLE_SCHEMA)
    USING thread;
  RETURN NULL;
END $$
"""
# Calling the function takes longer than storing a message. Whoever removes the signatures of
# all threads in the same statement says so, and is passed over.
FORGETS = "current_setting('chainlit_sqla.forgets', true) IS NOT DISTINCT FROM 'on'"
POSTGRESQL_TRIGGERS = (
    f"""
CREATE TRIGGER chainlit_sqla_forget_insert AFTER INSERT ON steps FOR EACH ROW
WHEN (NEW.type LIKE '%message%' AND NOT {FORGETS}) EXECUTE FUNCTION chainlit_sqla_forget()
""",
    f"""
CREATE TRIGGER chainlit_sqla_forget_update
AFTER UPDATE OF "threadId", type, output ON steps FOR EACH ROW
WHEN (NEW.type LIKE '%message%' AND NOT {FORGETS} AND (OLD.output IS DISTINCT FROM NEW.output
  OR OLD.type NOT LIKE '%message%' OR OLD."threadId" <> NEW."threadId"))
EXECUTE FUNCTION chainlit_sqla_forget()
""",
    f"""
CREATE TRIGGER chainlit_sqla_forget_name AFTER UPDATE OF name ON threads FOR EACH ROW
WHEN (OLD.name IS DISTINCT FROM NEW.name AND NOT {FORGETS}) EXECUTE FUNCTION chainlit_sqla_forget()
""",
)

SQLITE_TRIGGERS = (
    """
CREATE TRIGGER chainlit_sqla_forget_insert AFTER INSERT ON steps
WHEN NEW.type LIKE '%message%'
BEGIN DELETE FROM chainlit_sqla_signatures WHERE "threadId" = NEW."threadId"; END
""",
    """
CREATE TRIGGER chainlit_sqla_forget_update AFTER UPDATE OF "threadId", type, output ON steps
WHEN NEW.type LIKE '%message%'
BEGIN DELETE FROM chainlit_sqla_signatures WHERE "threadId" = NEW."threadId"; END
""",
    """
CREATE TRIGGER chainlit_sqla_forget_name AFTER UPDATE OF name ON threads
WHEN OLD.name IS NOT NEW.name
BEGIN DELETE FROM chainlit_sqla_signatures WHERE "threadId" = NEW.id; END
""",
)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("threadId", sa.Text(), nullable=False),
        sa.Column("userId", sa.Text(), nullable=False),
        sa.Column("updatedAt", INSTANT, nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("threadId", name=f"pk_{TABLE}"),
        sa.ForeignKeyConstraint(
            ["threadId"], ["threads.id"], name=f"fk_{TABLE}_threadId_threads", ondelete="CASCADE"
        ),
    )
    op.create_index(f"ix_{TABLE}_userId", TABLE, ["userId"])
    if op.get_context().dialect.name == "sqlite":
        triggers = SQLITE_TRIGGERS
    else:
        # A search reads all signatures of a user: they stay in their rows, uncompressed.
        op.execute(f"ALTER TABLE {TABLE} SET (toast_tuple_target = 8160)")
        op.execute(POSTGRESQL_FUNCTION)
        triggers = POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)


def downgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    for trigger, table in (("insert", "steps"), ("update", "steps"), ("name", "threads")):
        place = "" if sqlite else f" ON {table}"
        op.execute(f"DROP TRIGGER chainlit_sqla_forget_{trigger}{place}")
    if not sqlite:
        op.execute("DROP FUNCTION chainlit_sqla_forget()")
    op.drop_table(TABLE)
