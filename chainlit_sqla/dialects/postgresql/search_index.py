"""A GIN index of trigrams on the messages, by PostgreSQL's extension ``pg_trgm``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.functions import Function

from ...errors import ConfigurationError
from ..base import BoundStatement
from ..error_kinds import driver_error
from ..search_index import INDEX, SearchIndex, SearchState

_ICU = "und-x-icu"
_STATE = text("""
SELECT EXISTS (SELECT FROM pg_collation
    WHERE collname = 'und-x-icu' AND collnamespace = to_regnamespace('pg_catalog')
    AND collencoding IN (-1, (SELECT encoding FROM pg_database
      WHERE datname = current_database()))),
  (SELECT datctype FROM pg_database WHERE datname = current_database()),
  i.indisvalid AND i.indisready, obj_description(name.oid, 'pg_class')
FROM (SELECT to_regclass(:index) AS oid) name LEFT JOIN pg_index i ON i.indexrelid = name.oid
""")
_SIZE = text("SELECT pg_relation_size(to_regclass(:index))")
_LOCK = text(f"""
SELECT pg_try_advisory_xact_lock({0x636C_7369}, to_regclass(:steps)::oid::int4) AND NOT EXISTS (
  SELECT FROM pg_stat_progress_create_index
  WHERE datname = current_database() AND relid = to_regclass(:steps))
""")  # "clsi"
_EXTENSION = text("""SELECT quote_ident(n.nspname) FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'""")
_NO_PERMISSION = (
    "This account may not create the extension pg_trgm; ask an administrator to run "
    "CREATE EXTENSION pg_trgm in this database, then run: chainlit-sqla search enable"
)
_NO_EXTENSION = (
    "This server has no extension pg_trgm; install PostgreSQL's contrib package on it, then run: "
    "chainlit-sqla search enable"
)
_REFUSALS = {"42501": _NO_PERMISSION, **dict.fromkeys(("58P01", "0A000", "22023"), _NO_EXTENSION)}
_WORD = re.compile(r"[^\W_]{3}")
_ASCII_WORD = re.compile(r"[a-z0-9]{3}", re.IGNORECASE)


def folded(value: ColumnElement[str], *, icu: bool) -> Function[str]:
    """Return a text in lower case: by ICU's rules, or by the locale's (C folds ASCII only)."""
    return func.lower(value.collate(_ICU) if icu else value, type_=Text())


class TrigramIndex(SearchIndex):
    """GIN on the expression that the search compares."""

    def state_query(self, schema: str | None) -> BoundStatement:
        """Ask the catalog; a build that was interrupted leaves an invalid index."""
        return _STATE, {"index": _name(schema)}

    def parse_state(self, row: Sequence[Any]) -> SearchState:
        """Read the comment of the index for its age, which PostgreSQL does not keep."""
        icu, locale, valid, comment = row
        return SearchState(
            valid is not None, bool(valid), comment or "", icu, locale not in {"C", "POSIX"}
        )

    def size_query(self, schema: str | None) -> BoundStatement:
        return _SIZE, {"index": _name(schema)}

    def match(self, text: str, state: SearchState) -> str | None:
        """Return an empty text if there are three letters or digits in a row: a trigram."""
        word = _WORD if state.indexes_unicode else _ASCII_WORD
        return "" if word.search(text) else None

    def hits(self, steps: Table, *, icu: bool) -> Select[Any]:
        """Select by the index; the planner does not see the term, so it takes no other way."""
        term = select(folded(bindparam("term", type_=Text()), icu=icu)).scalar_subquery()
        return select(steps.c.threadId).where(
            steps.c.type.like(literal_column("'%message%'")),
            folded(steps.c.output, icu=icu).like(term),
        )

    async def build(self, engine: AsyncEngine, schema: str | None) -> None:
        """Build the index ``CONCURRENTLY``, which does not block reads and writes."""
        name, steps = _name(schema), f"{_prefix(schema)}steps"
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        # The lock is of a transaction, for a pooler keeps a session and the locks of a session.
        locking = engine.execution_options(isolation_level="READ COMMITTED")
        async with locking.begin() as lock, autocommit.connect() as connection:
            if not await lock.scalar(_LOCK, {"steps": steps}):
                raise ConfigurationError(
                    "Another process is building the search index; wait for it (chainlit-sqla "
                    "search status shows when it is usable)"
                )
            # It also ends the query's snapshot, for which the build would wait.
            await lock.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            state = self.parse_state((await connection.execute(*self.state_query(schema))).one())
            if state.usable:
                return
            trigrams = await _extension(connection)
            collation = f' COLLATE "{_ICU}"' if state.folds_unicode else ""
            built_at = datetime.now(UTC).isoformat(timespec="seconds")
            for statement in (
                f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
                f"CREATE INDEX CONCURRENTLY {INDEX} ON {steps} USING gin "
                f"(lower(output{collation}) {trigrams}.gin_trgm_ops) WHERE type LIKE '%message%'",
                f"COMMENT ON INDEX {name} IS '{built_at}'",
                f"ANALYZE {steps}",
            ):
                await connection.exec_driver_sql(statement)

    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        """Drop it ``CONCURRENTLY``; the extension stays, others may use it."""
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            await connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {_name(schema)}")


async def _extension(connection: AsyncConnection) -> str:
    """Return the quoted schema of ``pg_trgm``, which is created where it is missing."""
    if (schema := await connection.scalar(_EXTENSION)) is None:
        try:
            await connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DBAPIError as error:
            if refusal := _REFUSALS.get(getattr(driver_error(error), "sqlstate", "")):
                raise ConfigurationError(refusal) from error
            raise
        schema = await connection.scalar(_EXTENSION)
    return str(schema)


def _prefix(schema: str | None) -> str:
    return '"' + schema.replace('"', '""') + '".' if schema else ""


def _name(schema: str | None) -> str:
    return _prefix(schema) + INDEX
