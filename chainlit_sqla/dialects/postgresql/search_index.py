"""A GIN index of trigrams on the messages, by PostgreSQL's extension ``pg_trgm``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
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
from ..base import driver_error
from ..search_index import INDEX, SearchIndex, SearchState

_ICU = "und-x-icu"
_STATE = """
SELECT EXISTS (SELECT FROM pg_collation
    WHERE collname = 'und-x-icu' AND collnamespace = 'pg_catalog'::regnamespace
    AND collencoding IN (-1, (SELECT encoding FROM pg_database
      WHERE datname = current_database()))),
  (SELECT datctype FROM pg_database WHERE datname = current_database()),
  i.indisvalid AND i.indisready, obj_description(name.oid, 'pg_class')
FROM (SELECT to_regclass('{index}') AS oid) name LEFT JOIN pg_index i ON i.indexrelid = name.oid
"""
_BUILDING = """SELECT 1 FROM pg_stat_progress_create_index
WHERE datname = current_database() AND index_relid = to_regclass('{index}')"""
_EXTENSION = """SELECT quote_ident(n.nspname) FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'"""
_REFUSED = "42501"
_MISSING = {"58P01", "0A000", "22023"}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: the name is taken.
_DUPLICATE = {"23505", "42P07"}
_WORD = re.compile(r"[^\W_]{3}")
_ASCII_WORD = re.compile(r"[a-z0-9]{3}", re.IGNORECASE)


def folded(value: ColumnElement[str], *, icu: bool) -> Function[str]:
    """Return a text in lower case: by ICU's rules, or by those of the database's locale.

    Args:
        value: The text.
        icu: Whether the server has ICU collations; with the C locale it folds ASCII only.
    """
    return func.lower(value.collate(_ICU) if icu else value, type_=Text())


class TrigramIndex(SearchIndex):
    """GIN on the expression that the search compares."""

    def state_query(self, schema: str | None) -> Executable:
        """Ask the catalog; a build that was interrupted leaves an invalid index."""
        return _state_query(schema)

    def parse_state(self, row: Sequence[Any] | None) -> SearchState:
        """Read the comment of the index for its age, which PostgreSQL does not keep."""
        icu, locale, valid, comment = row or (True, "", None, None)
        return SearchState(
            valid is not None, bool(valid), comment or "", icu, locale not in {"C", "POSIX"}
        )

    async def size(self, connection: AsyncConnection, schema: str | None) -> int:
        """Return the bytes on disk."""
        query = text(f"SELECT coalesce(pg_relation_size(to_regclass('{_literal(schema)}')), 0)")
        return int(await connection.scalar(query) or 0)

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
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            row = (await connection.execute(self.state_query(schema))).one()
            state = self.parse_state(row)
            if state.usable:
                return
            trigrams = await _extension(connection)
            if state.exists:
                await _refuse_concurrent(connection, schema)
                await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_name(schema)}"))
            prefix = f"{_quote(schema)}." if schema else ""
            collation = f' COLLATE "{_ICU}"' if state.folds_unicode else ""
            statement = (
                f"CREATE INDEX CONCURRENTLY {INDEX} ON {prefix}steps USING gin "
                f"(lower(output{collation}) {trigrams}.gin_trgm_ops) WHERE type LIKE '%message%'"
            )
            try:
                await connection.exec_driver_sql(statement)
            except DBAPIError as error:
                if getattr(driver_error(error), "sqlstate", None) not in _DUPLICATE:
                    raise
                await _refuse_concurrent(connection, schema)
                return  # Another process has just completed it.
            built_at = datetime.now(UTC).isoformat(timespec="seconds")
            await connection.execute(text(f"COMMENT ON INDEX {_name(schema)} IS '{built_at}'"))
            await connection.execute(text(f"ANALYZE {prefix}steps"))

    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        """Drop it ``CONCURRENTLY``; the extension stays, others may use it."""
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_name(schema)}"))


@cache
def _state_query(schema: str | None) -> Executable:
    return text(_STATE.replace("{index}", _literal(schema)).replace(":", "\\:"))


async def _extension(connection: AsyncConnection) -> str:
    """Return the quoted schema of ``pg_trgm``, which is created where it is missing.

    Raises:
        ConfigurationError: It is missing, and may not or cannot be created.
    """
    if (schema := await connection.scalar(text(_EXTENSION))) is not None:
        return str(schema)
    try:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except DBAPIError as error:
        code = getattr(driver_error(error), "sqlstate", None)
        if code == _REFUSED:
            raise ConfigurationError(
                "This account may not create the extension pg_trgm; ask an administrator to run "
                "CREATE EXTENSION pg_trgm in this database, then run: chainlit-sqla search enable"
            ) from error
        if code in _MISSING:
            raise ConfigurationError(
                "This server has no extension pg_trgm; install PostgreSQL's contrib package on "
                "it, then run: chainlit-sqla search enable"
            ) from error
        raise
    return str(await connection.scalar(text(_EXTENSION)))


async def _refuse_concurrent(connection: AsyncConnection, schema: str | None) -> None:
    query = text(_BUILDING.replace("{index}", _literal(schema)).replace(":", "\\:"))
    if await connection.scalar(query):
        raise ConfigurationError(
            "Another process is building the search index; wait for it (chainlit-sqla search "
            "status shows when it is usable)"
        )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name(schema: str | None) -> str:
    """Return the name of the index as a part of a statement of `text`."""
    return (f"{_quote(schema)}.{INDEX}" if schema else INDEX).replace(":", "\\:")


def _literal(schema: str | None) -> str:
    """Return the name of the index for a literal in single quotes."""
    return (f"{_quote(schema)}.{INDEX}" if schema else INDEX).replace("'", "''")
