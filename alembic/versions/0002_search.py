"""Signatures of threads, for searching.

A signature holds for the ``updatedAt`` that its thread had. What changes a text without
moving that removes the signature, by a trigger: so other programs may write as well. On
PostgreSQL, the types of columns that triggers name cannot be changed while they are there.
MySQL may refuse triggers to an account that makes tables; then there are none. Revision 0004
drops all of this again.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = (
    sa.TIMESTAMP(timezone=True)
    .with_variant(sa.Text(), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), "mysql")
)
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
KEY = sa.Text().with_variant(sa.String(255), "mysql")
TABLE = "chainlit_sqla_signatures"

# With the rights of whoever changes a text, never of its owner (SECURITY DEFINER): in a
# schema of somebody's own, a trigger of theirs would then run with the owner's rights.
# The lock makes whoever claims the thread wait, or leave it out.
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

# The lock makes whoever claims the thread wait, or leave it out.
MYSQL_TRIGGERS = (
    """
CREATE TRIGGER chainlit_sqla_forget_insert AFTER INSERT ON steps FOR EACH ROW
BEGIN
  IF NEW.type LIKE '%message%' THEN
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.`threadId`;
  END IF;
END
""",
    """
CREATE TRIGGER chainlit_sqla_forget_update AFTER UPDATE ON steps FOR EACH ROW
BEGIN
  DECLARE locked TEXT;
  IF NEW.type LIKE '%message%' AND (NOT OLD.output <=> NEW.output
    OR OLD.type NOT LIKE '%message%' OR OLD.`threadId` <> NEW.`threadId`) THEN
    SELECT id INTO locked FROM threads WHERE id = NEW.`threadId` LOCK IN SHARE MODE;
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.`threadId`;
  END IF;
END
""",
    """
CREATE TRIGGER chainlit_sqla_forget_name AFTER UPDATE ON threads FOR EACH ROW
BEGIN
  IF NOT OLD.name <=> NEW.name THEN
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.id;
  END IF;
END
""",
)
# https://dev.mysql.com/doc/refman/8.4/en/stored-programs-logging.html: with binary logging,
# triggers need a privilege that accounts of managed servers do not have. Or no TRIGGER here.
MYSQL_REFUSALS = {1419, 1142, 1227, 1044}


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("threadId", KEY, nullable=False),
        sa.Column("userId", KEY, nullable=False),
        sa.Column("updatedAt", INSTANT, nullable=False),
        sa.Column("claim", TEXT, nullable=False),
        sa.Column("signature", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("threadId", name=f"pk_{TABLE}"),
        sa.ForeignKeyConstraint(
            ["threadId"], ["threads.id"], name=f"fk_{TABLE}_threadId_threads", ondelete="CASCADE"
        ),
    )
    op.create_index(f"ix_{TABLE}_userId", TABLE, ["userId"])
    triggers: tuple[str, ...]
    if op.get_context().dialect.name == "mysql":
        make_mysql_triggers()
        return
    if op.get_context().dialect.name == "sqlite":
        triggers = SQLITE_TRIGGERS
    else:
        # A search reads all signatures of a user: they stay in their rows, uncompressed.
        op.execute(f"ALTER TABLE {TABLE} SET (toast_tuple_target = 8160)")
        op.execute(POSTGRESQL_FUNCTION)
        triggers = POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)


def make_mysql_triggers() -> None:
    try:
        drop_mysql_triggers()  # Of an upgrade that was interrupted.
        for trigger in MYSQL_TRIGGERS:
            op.execute(trigger)
    except sa.exc.DBAPIError as error:
        if not error.orig or error.orig.args[0] not in MYSQL_REFUSALS:
            raise


def drop_mysql_triggers() -> None:
    """Those that are there: an account that may make none may drop none, not even if."""
    if op.get_context().as_sql:
        return
    # By the schema of the table: MariaDB looks for that of the trigger in all databases.
    there = sa.text(
        "SELECT trigger_name FROM information_schema.triggers "
        "WHERE event_object_schema = DATABASE() AND trigger_name LIKE 'chainlit\\_sqla\\_forget%'"
    )
    for trigger in op.get_bind().scalars(there).all():
        op.execute(f"DROP TRIGGER {trigger}")


def downgrade() -> None:
    dialect = op.get_context().dialect.name
    if dialect == "mysql" and not op.get_context().as_sql:
        drop_mysql_triggers()
        op.drop_table(TABLE)
        return
    by_name = dialect in {"sqlite", "mysql"}
    for trigger, table in (("insert", "steps"), ("update", "steps"), ("name", "threads")):
        place = "" if by_name else f" ON {table}"
        op.execute(f"DROP TRIGGER IF EXISTS chainlit_sqla_forget_{trigger}{place}")
    if not by_name:
        op.execute("DROP FUNCTION IF EXISTS chainlit_sqla_forget()")
    op.drop_table(TABLE)
