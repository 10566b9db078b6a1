"""A fast batch on PostgreSQL: one statement, which is its own transaction.

All parts of a statement see one snapshot, taken before it waits for a lock, while
`chainlit_sqla.writes.execute_saves` relies on later statements seeing more. So the statement
checks that nothing was committed in between, and writes nothing otherwise:

1. It locks the rows of the threads in the order of their ids, like all writers.
2. The locked version of each row (``xmin``) must be that of the snapshot. Deleting a thread
   removes its row, and deleting from a thread changes its row under an exclusive lock, so a
   deletion that was committed meanwhile is detected.
3. Tombstones and owners are read from the snapshot, which is then current.
4. For threads that do not exist, a deletion during a wait would not be detected. So a statement
   that inserts threads inserts all of its threads, and waits for no lock. If only some of them
   exist, it returns their ids, and the batch becomes two statements.
5. If another process inserted a thread meanwhile, its primary key makes the statement fail as a
   whole.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import orjson
from asyncpg import PostgresError
from asyncpg.exceptions import UniqueViolationError
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import StatementError

from ..._internal import json as _json
from ..fast_batch import FastBatch, FastBatchOutcome, FastBatchThread
from .connection import end_after_timeout, transaction

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_quote = _DIALECT.identifier_preparer.quote
# Not supported; no such column or function: PostgreSQL-compatible servers may lack system columns.
_UNSUPPORTED_CODES = {"0A000", "42703", "42883"}


async def write(
    driver: Any, batch: FastBatch, schema: str | None, *, pooler: bool, lock_timeout: float
) -> FastBatchOutcome:
    """Write a batch in one statement, or in two where some of its threads are new.

    Behind a transaction pooler, a transaction keeps the driver's messages in one session, whose
    settings are not ours.
    """
    begin = "BEGIN"
    if lock_timeout:
        begin += f"; SET LOCAL lock_timeout = {lock_timeout * 1000:.0f}"
    try:
        async with transaction(driver, begin) if pooler else nullcontext():
            return await _write(driver, batch, schema)
    except TimeoutError as error:
        raise await end_after_timeout(driver) from error


async def _write(driver: Any, batch: FastBatch, schema: str | None) -> FastBatchOutcome:
    try:
        written, existing = await driver.fetchrow(_statement_for(batch, schema), *_arguments(batch))
    except UniqueViolationError:
        return FastBatchOutcome.NEEDS_STATEMENTS
    except PostgresError as error:
        if error.sqlstate in _UNSUPPORTED_CODES:
            return FastBatchOutcome.UNSUPPORTED
        raise
    if existing is None:
        return FastBatchOutcome.WRITTEN if written else FastBatchOutcome.NEEDS_STATEMENTS
    missing = {thread.id for thread in batch.thread_rows}.difference(existing)
    for thread_ids in (set(existing), missing):
        outcome = await _write(driver, batch.within(thread_ids), schema)
        if outcome is not FastBatchOutcome.WRITTEN:
            break
    return outcome


_CHECKS = """
given AS MATERIALIZED (SELECT * FROM json_to_recordset($1::text::json)
  AS g(id text, begun timestamptz, activity timestamptz, actor text{columns})),
locked_rows AS MATERIALIZED (
  SELECT id, "updatedAt", "userIdentifier", xmin::text AS version FROM {threads}
  WHERE id = ANY(ARRAY(SELECT id FROM given)) ORDER BY id FOR NO KEY UPDATE),
verdict AS MATERIALIZED (SELECT
  NOT EXISTS (
    SELECT FROM {tombstones} WHERE "threadId" = ANY(ARRAY(SELECT id FROM given))
      AND id = ANY(ARRAY(SELECT json_array_elements_text($2::text::json))))
  AND NOT EXISTS (
    SELECT FROM {threads} t WHERE t.id = ANY(ARRAY(SELECT id FROM given))
      AND (t.id, t.xmin::text) NOT IN (SELECT id, version FROM locked_rows))
  AND NOT EXISTS (
    SELECT FROM given g JOIN locked_rows f ON f.id = g.id AND f."userIdentifier" <> g.actor)
  {owner_checks} AS ok,
  (SELECT count(*) FROM locked_rows) NOT IN (0, (SELECT count(*) FROM given)) AS mixed)"""
_MORE_COLUMNS = ', name text, "userId" text, tags jsonb, metadata jsonb, removed json'
_OWNER_CHECKS = """
  AND NOT EXISTS (
    SELECT FROM given g WHERE g."userId" IS NOT NULL AND NOT EXISTS (
      SELECT FROM {users} u WHERE u.id = g."userId"))
  AND NOT EXISTS (
    SELECT FROM given g JOIN {threads} t ON t.id = g.id
    WHERE g.metadata IS NOT NULL AND jsonb_typeof(t.metadata) NOT IN ('object', 'null'))"""

_TOUCH = """
inserted AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", metadata)
  SELECT g.id, g.begun, greatest(g.begun, g.activity), '{}' FROM given g, verdict
  WHERE ok AND NOT mixed AND NOT EXISTS (SELECT FROM locked_rows f WHERE f.id = g.id)),
updated AS (
  UPDATE {threads} t SET "updatedAt" = g.activity FROM given g, locked_rows f, verdict
  WHERE ok AND NOT mixed AND t.id = g.id AND f.id = g.id AND g.activity > f."updatedAt")"""

_CHANGE = """
owned AS (SELECT g.*, u.identifier FROM given g LEFT JOIN {users} u ON u.id = g."userId"),
inserted AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", metadata,
    name, "userId", "userIdentifier", tags)
  SELECT g.id, g.begun, greatest(g.begun, g.activity), coalesce(g.metadata, '{}'),
    g.name, g."userId", g.identifier, g.tags FROM owned g, verdict
  WHERE ok AND NOT mixed AND NOT EXISTS (SELECT FROM locked_rows f WHERE f.id = g.id)),
updated AS (
  UPDATE {threads} t SET
    "updatedAt" = greatest(t."updatedAt", g.activity),
    name = coalesce(g.name, t.name),
    "userId" = coalesce(g."userId", t."userId"),
    "userIdentifier" = coalesce(g.identifier, t."userIdentifier"),
    tags = coalesce(g.tags, t.tags),
    metadata = CASE WHEN g.metadata IS NULL THEN t.metadata
      ELSE (CASE jsonb_typeof(t.metadata) WHEN 'object' THEN t.metadata ELSE '{}' END
        || g.metadata)
        - ARRAY(SELECT json_array_elements_text(g.removed)) END
  FROM owned g, locked_rows f, verdict
  WHERE ok AND NOT mixed AND t.id = g.id AND f.id = g.id AND (g.activity > f."updatedAt"
    OR coalesce(g.name, g."userId") IS NOT NULL
    OR coalesce(g.tags, g.metadata) IS NOT NULL))"""


_OUTCOME = """
SELECT ok AND NOT mixed, CASE WHEN ok AND mixed THEN ARRAY(SELECT id FROM locked_rows) END
FROM verdict"""


def _arguments(batch: FastBatch) -> list[str]:
    """Return the parameters of the statement: JSON documents, which the driver encodes fastest."""
    rows = [_row(thread) for thread in batch.thread_rows]
    documents = [rows, batch.tombstone_ids, *(group.rows for group in batch.step_groups)]
    try:
        return [
            orjson.dumps(document, _fragment, orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
            for document in documents
        ]
    except (TypeError, ValueError) as error:
        raise StatementError(str(error), None, None, error) from error


def _fragment(value: Any) -> orjson.Fragment:
    """Insert serialized JSON unchanged; refuse other types."""
    if type(value) is not _json.JsonText:
        raise TypeError(f"{type(value).__name__} is not a value of a fast batch")
    return orjson.Fragment(str(value))


def _row(thread: FastBatchThread) -> dict[str, Any]:
    row: dict[str, Any] = {"id": thread.id, "begun": thread.begun}
    if thread.activity:
        row["activity"] = thread.activity
    if thread.actor is not None:
        row["actor"] = thread.actor
    row |= thread.values
    if thread.metadata:
        row["metadata"] = {k: v for k, v in thread.metadata.items() if v is not None}
        row["removed"] = [k for k, v in thread.metadata.items() if v is None]
    return row


def _statement_for(batch: FastBatch, schema: str | None) -> str:
    """Return the statement for batches of this shape, which selects whether it wrote the batch.

    If only some of the threads exist, it writes nothing and selects their ids.
    """
    tables = (batch.users, batch.threads, batch.steps, batch.tombstones)
    shape = tuple(group.columns for group in batch.step_groups)
    return _statement(tables, shape, batch.changes_threads, batch.step_defaults, schema)


@lru_cache(maxsize=256)
def _statement(
    tables: tuple[Table, ...],
    shape: tuple[tuple[str, ...], ...],
    changes_threads: bool,
    step_defaults: tuple[tuple[str, str | bool], ...],
    schema: str | None,
) -> str:
    prefix = f"{_quote(schema)}." if schema else ""
    users, threads, steps, tombstones = tables
    templates = [
        _CHECKS.replace("{columns}", _MORE_COLUMNS if changes_threads else "").replace(
            "{owner_checks}", _OWNER_CHECKS if changes_threads else ""
        ),
        _CHANGE if changes_threads else _TOUCH,
    ]
    templates += [
        _steps(steps, number, columns, step_defaults) for number, columns in enumerate(shape, 3)
    ]
    sql = "WITH " + ",\n".join(templates) + _OUTCOME
    names = {"users": users, "threads": threads, "steps": steps, "tombstones": tombstones}
    return re.sub(r"\{(\w+)\}", lambda match: prefix + _quote(names[match[1]].name), sql)


def _steps(
    table: Table,
    number: int,
    given: tuple[str, ...],
    step_defaults: tuple[tuple[str, str | bool], ...],
) -> str:
    """Return an upsert of the steps in the parameter of this number."""
    columns = tuple(dict.fromkeys(("threadId", "id", "createdAt", "ordinal", *given)))
    defaults = {name: _literal(value) for name, value in step_defaults if name not in columns}
    targets = ", ".join(map(_quote, (*columns, *defaults)))
    typed = ", ".join(
        f"{_quote(name)} {table.c[name].type.compile(dialect=_DIALECT)}" for name in columns
    )
    source = ", ".join((*(f"u.{_quote(name)}" for name in columns), *defaults.values()))
    changes = ", ".join(f"{name} = {_new_value(name)}" for name in map(_quote, given))
    action = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
    return (
        f"steps_{number} AS (INSERT INTO {{steps}} AS s ({targets})"
        f" SELECT {source} FROM json_to_recordset(${number}::text::json) AS u({typed}), verdict"
        f' WHERE ok AND NOT mixed ON CONFLICT ("threadId", id) {action})'
    )


def _literal(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'"


def _new_value(name: str) -> str:
    if name == "extra":
        return (
            "(CASE jsonb_typeof(s.extra) WHEN 'object' THEN s.extra ELSE '{}' END)"
            " || excluded.extra"
        )
    return f"excluded.{name}"
