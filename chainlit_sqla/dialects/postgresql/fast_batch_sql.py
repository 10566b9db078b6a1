"""The SQL of fast batches; `fast_batch` says what the statements do and why."""

from __future__ import annotations

import re
from collections.abc import Set
from functools import cache, lru_cache

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import asyncpg

from ..fast_batch import FastBatchTables

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_quote = _DIALECT.identifier_preparer.quote

# The parts of both statements: `changed_threads` and `changed_steps` are what to save, `ours` the
# rows of threads that are locked, and `verdict` says whether to write.

_GIVEN_THREADS = """
  SELECT g.*, (SELECT u.identifier FROM {users} u WHERE u.id = g."userId") AS identifier
  FROM json_to_recordset($1::text::json) AS g(id text, begun timestamptz, actor text,
    activity timestamptz, name text, "userId" text, tags jsonb, metadata jsonb, removed json)"""
_GIVEN_STEPS = """
  SELECT s.* FROM json_to_recordset($2::text::json) AS s("threadId" text, id text,
    begun timestamptz, arrival bigint, activity timestamptz, "values" json, extra jsonb)"""

_ACTIVE = """
active AS MATERIALIZED (
  SELECT "threadId" AS id, max(activity) AS activity FROM changed_steps
  WHERE activity IS NOT NULL GROUP BY "threadId"),"""
_SAVE_THREADS = """
inserted_threads AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", metadata,
    name, "userId", "userIdentifier", tags)
  SELECT g.id, g.begun, greatest(g.begun, a.activity), coalesce(g.metadata, '{}'),
    g.name, g."userId", coalesce(g.identifier, g.actor), g.tags
  FROM changed_threads g LEFT JOIN active a ON a.id = g.id CROSS JOIN verdict
  WHERE ok AND NOT EXISTS (SELECT FROM ours o WHERE o.id = g.id) ORDER BY g.id),
updated_threads AS (
  UPDATE {threads} t SET
    "updatedAt" = greatest(t."updatedAt", a.activity),
    name = coalesce(g.name, t.name),
    "userId" = coalesce(g."userId", t."userId"),
    "userIdentifier" = coalesce(g.identifier, t."userIdentifier"),
    tags = coalesce(g.tags, t.tags),
    metadata = CASE WHEN g.metadata IS NULL THEN t.metadata
      ELSE (CASE jsonb_typeof(t.metadata) WHEN 'object' THEN t.metadata ELSE '{}' END
        || g.metadata)
        - ARRAY(SELECT json_array_elements_text(g.removed)) END
  FROM changed_threads g LEFT JOIN active a ON a.id = g.id, ours o, verdict
  WHERE ok AND t.id = g.id AND o.id = g.id AND (a.activity > t."updatedAt"
    OR coalesce(g.name, g."userId") IS NOT NULL
    OR coalesce(g.tags, g.metadata) IS NOT NULL)),"""
_SAVE_STEPS = """
saved_steps AS ({save_steps})"""
_SAVE = _ACTIVE + _SAVE_THREADS + _SAVE_STEPS

# A turn mostly adds steps to a thread; then its other columns cost nothing.
_TOUCHED_THREADS = """
  SELECT * FROM json_to_recordset($1::text::json) AS g(
    id text, begun timestamptz, actor text, activity timestamptz)"""
_TOUCH_THREADS = """
inserted_threads AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", "userIdentifier", metadata)
  SELECT g.id, g.begun, greatest(g.begun, g.activity), g.actor, '{}'
  FROM verdict, changed_threads g
  WHERE ok AND NOT EXISTS (SELECT FROM ours o WHERE o.id = g.id)),
updated_threads AS (
  UPDATE {threads} t SET "updatedAt" = g.activity FROM changed_threads g, ours o, verdict
  WHERE ok AND t.id = g.id AND o.id = g.id AND g.activity > o."updatedAt"),"""

_CHECK_TURN = """
changed_steps AS MATERIALIZED ({given_steps}),
ours AS MATERIALIZED (
  SELECT id, "userIdentifier", "updatedAt", xmin::text AS version FROM {threads}
  WHERE id = ANY(ARRAY(SELECT id FROM changed_threads)) ORDER BY id FOR NO KEY UPDATE),
verdict AS MATERIALIZED (SELECT
  NOT EXISTS (
    SELECT FROM {tombstones} WHERE "threadId" = ANY(ARRAY(SELECT id FROM changed_threads))
      AND id = ANY(ARRAY(SELECT id FROM changed_steps) || ''::text))
  AND NOT EXISTS (
    SELECT FROM {threads} t WHERE t.id = ANY(ARRAY(SELECT id FROM changed_threads))
      AND (t.id, t.xmin::text) NOT IN (SELECT id, version FROM ours))
  AND NOT EXISTS (
    SELECT FROM changed_threads g JOIN ours o ON o.id = g.id AND o."userIdentifier" <> g.actor)
  {owner_check}
  AND (SELECT count(*) FROM ours) IN (0, (SELECT count(*) FROM changed_threads)) AS ok),"""
_ACTIVE_IN_TURN = """
active AS (SELECT id, activity FROM changed_threads WHERE activity IS NOT NULL),"""
_OWNER_CHECK = """AND NOT EXISTS (
    SELECT FROM changed_threads WHERE "userId" IS NOT NULL AND identifier IS NULL)"""


def _turn(threads: str, owner_check: str, save_threads: str) -> str:
    return (
        f"WITH changed_threads AS MATERIALIZED ({threads}),"
        + _CHECK_TURN.replace("{owner_check}", owner_check)
        + save_threads
        + _SAVE_STEPS
        + "\nSELECT ok FROM verdict"
    )


TURN = _turn(_GIVEN_THREADS, _OWNER_CHECK, _ACTIVE_IN_TURN + _SAVE_THREADS)
TOUCH = _turn(_TOUCHED_THREADS, "", _TOUCH_THREADS)

# The statement for any batch: locks and checks, the other saves, and deletions.

_IN_SCOPE = """(t."userIdentifier" = d."scopeUser"
    OR t.id = d."scopeThread" AND (t."userIdentifier" IS NULL OR d."scopeUser" IS NULL))"""

_CHECK = f"""
WITH RECURSIVE saved_users AS (
  INSERT INTO {{users}} AS u (id, identifier, "createdAt", metadata, "displayName")
  SELECT id, identifier, begun, metadata, "displayName"
  FROM json_to_recordset($7::text::json) AS g(
    id text, identifier text, begun timestamptz, metadata jsonb, "displayName" text)
  ORDER BY identifier
  ON CONFLICT (identifier) DO UPDATE SET metadata = excluded.metadata,
    "displayName" = coalesce(excluded."displayName", u."displayName")
  RETURNING 1),
deletion AS MATERIALIZED (
  SELECT * FROM json_to_recordset($8::text::json) AS d(kind text, id text, thread text,
    at timestamptz, everywhere boolean, "scopeThread" text, "scopeUser" text,
    "mayBePending" boolean, actor text)),
found_steps AS MATERIALIZED (
  SELECT s."threadId" AS thread, s.id FROM deletion d JOIN {{steps}} s ON s.id = d.id
  WHERE d.kind = 'step' AND (d.everywhere OR EXISTS (
    SELECT FROM {{threads}} t WHERE t.id = s."threadId" AND {{in_scope}}))),
found_elements AS MATERIALIZED (
  SELECT e."threadId" AS thread, e.id FROM deletion d JOIN {{elements}} e ON e.id = d.id
  WHERE d.kind = 'element' AND (d.thread IS NULL OR e."threadId" = d.thread)
    AND (d.everywhere OR EXISTS (
    SELECT FROM {{threads}} t WHERE t.id = e."threadId" AND {{in_scope}}))),
-- Users first, as statement by statement: one order of locks.
locked AS MATERIALIZED (
  SELECT id FROM {{threads}} WHERE (SELECT count(*) FROM saved_users) IS NOT NULL
    AND id = ANY(ARRAY(SELECT json_array_elements_text($3::text::json)
      UNION SELECT thread FROM found_steps WHERE $3::text IS NOT NULL
      UNION SELECT thread FROM found_elements WHERE $3::text IS NOT NULL))
  ORDER BY id FOR UPDATE),
ours AS MATERIALIZED (
  SELECT t.id FROM {{threads}} t
  WHERE t.id = ANY(ARRAY(SELECT id FROM json_to_recordset($1::text::json) AS g(id text)
      UNION SELECT thread FROM found_steps UNION SELECT thread FROM found_elements))
    AND (txid_current_if_assigned() % 4294967296)::text IN (t.xmin::text, t.xmax::text)),
given AS MATERIALIZED ({_GIVEN_THREADS}),
late AS MATERIALIZED (
  SELECT g.id FROM given g JOIN {{tombstones}} d ON d."threadId" = g.id AND d.id = ''),
refused AS MATERIALIZED (
  SELECT c.id, c.actor FROM json_to_recordset($4::text::json -> 'claims') AS c(
    id text, actor text) JOIN {{threads}} t ON t.id = c.id WHERE t."userIdentifier" <> c.actor),
verdict AS MATERIALIZED (SELECT CASE WHEN $4::text IS NULL
  THEN current_setting('chainlit_sqla.writes', true) IS NOT DISTINCT FROM 'yes'
  ELSE current_setting('transaction_isolation') = 'read committed'
    AND NOT EXISTS (SELECT FROM refused)
    -- Of two users who claim a thread that does not exist, the first one becomes its author.
    AND NOT EXISTS (
      SELECT FROM json_to_recordset($4::text::json -> 'claims') AS c(id text)
      WHERE NOT EXISTS (SELECT FROM {{threads}} t WHERE t.id = c.id)
      GROUP BY c.id HAVING count(*) > 1)
    AND NOT EXISTS (
      SELECT FROM json_array_elements_text($4::text::json -> 'owners') AS o(id)
      WHERE NOT EXISTS (SELECT FROM {{users}} u WHERE u.id = o.id))
    AND NOT EXISTS (
      SELECT FROM json_array_elements_text($4::text::json -> 'restored') AS r(id)
      JOIN {{tombstones}} d ON d."threadId" = r.id AND d.id = '') END AS ok),
changed_threads AS MATERIALIZED (
  SELECT g.* FROM given g WHERE NOT EXISTS (SELECT FROM late l WHERE l.id = g.id)),
changed_steps AS MATERIALIZED (
  SELECT s.* FROM ({_GIVEN_STEPS}) s JOIN changed_threads t ON t.id = s."threadId"
  WHERE NOT EXISTS (
    SELECT FROM {{tombstones}} d WHERE d."threadId" = s."threadId" AND d.id = s.id)),"""

_SAVE_CONTENTS = """,
given_elements AS MATERIALIZED (
  SELECT g.*, s."objectKey" AS "storedKey",
    EXISTS (SELECT FROM changed_threads t WHERE t.id = g."threadId")
    AND NOT EXISTS (
      SELECT FROM {tombstones} d WHERE d."threadId" = g."threadId" AND d.id = g."forId")
    AND NOT EXISTS (
      SELECT FROM {tombstones} d WHERE d."threadId" = g."threadId"
        AND d.id IN ('element ', 'element ' || g.id) AND d."deletedAt" >= g.sent) AS accepted
  FROM verdict, json_to_recordset($5::text::json) AS g("threadId" text, id text,
    begun timestamptz, arrival bigint, sent timestamptz, "forId" text, "objectKey" text,
    replaces boolean, "values" json, extra jsonb)
  LEFT JOIN {elements} s ON s."threadId" = g."threadId" AND s.id = g.id
  WHERE ok),
changed_elements AS MATERIALIZED (SELECT * FROM given_elements WHERE accepted),
saved_elements AS ({save_elements}),
-- A batch whose commit had no answer is repeated, and may find its own keys in the queue.
used_keys AS (
  DELETE FROM {blob_deletions} b USING changed_elements g WHERE b."objectKey" = g."objectKey"),
saved_feedbacks AS (
  INSERT INTO {feedbacks} AS f ("threadId", "forId", id, value, comment, "createdAt")
  SELECT g."threadId", g."forId", g.id, g.value, g.comment, g.begun
  FROM json_to_recordset($6::text::json) AS g("threadId" text, "forId" text, id text,
    value integer, comment text, begun timestamptz)
  JOIN changed_threads t ON t.id = g."threadId" CROSS JOIN verdict
  WHERE ok AND NOT EXISTS (
    SELECT FROM {tombstones} d WHERE d."threadId" = g."threadId" AND d.id = g."forId")
  ON CONFLICT ("threadId", "forId") DO UPDATE
    SET id = excluded.id, value = excluded.value, comment = excluded.comment)"""

_DELETE = """,
-- The limit is for the planner: PostgreSQL compiles (JIT) statements that seem costly.
asked AS MATERIALIZED (SELECT d.* FROM deletion d, verdict WHERE ok LIMIT 1),
-- What is in other users' threads only, unless it was deleted in the session's thread before.
refused_deletion AS MATERIALIZED (SELECT FROM asked d WHERE CASE d.kind
  WHEN 'thread' THEN EXISTS (
    SELECT FROM {threads} t WHERE t.id = d.thread AND t."userIdentifier" <> d.actor)
  WHEN 'step' THEN NOT d.everywhere AND NOT EXISTS (SELECT FROM found_steps)
    AND EXISTS (SELECT FROM {steps} s WHERE s.id = d.id) AND NOT EXISTS (
      SELECT FROM {tombstones} b WHERE b."threadId" = d."scopeThread" AND b.id = d.id)
  WHEN 'element' THEN NOT d.everywhere AND NOT EXISTS (SELECT FROM found_elements)
    AND EXISTS (SELECT FROM {elements} e
      WHERE e.id = d.id AND (d.thread IS NULL OR e."threadId" = d.thread))
    AND NOT EXISTS (SELECT FROM {tombstones} b
      WHERE b."threadId" = d."scopeThread" AND b.id = 'element ' || d.id) END),
chosen AS MATERIALIZED (SELECT * FROM asked WHERE NOT EXISTS (SELECT FROM refused_deletion)),
-- The session's thread, to which another process may add the row later.
pending_threads AS MATERIALIZED (
  SELECT d."scopeThread" AS id FROM chosen d WHERE d."scopeThread" IS NOT NULL
    AND (d."scopeUser" IS NULL
      OR EXISTS (SELECT FROM {threads} t WHERE t.id = d."scopeThread" AND {in_scope}))),
chosen_steps AS MATERIALIZED (
  SELECT f.thread, f.id FROM chosen JOIN found_steps f ON f.id = chosen.id
    JOIN ours o ON o.id = f.thread WHERE kind = 'step'
  UNION SELECT p.id, c.id FROM chosen c, pending_threads p WHERE kind = 'step'
    AND NOT EXISTS (SELECT FROM found_steps)),
-- One document: a join in the recursion could read the whole thread for each of its steps.
children AS MATERIALIZED (
  SELECT jsonb_object_agg(parent, ids) AS of_parent FROM (
    SELECT jsonb_build_array(s."threadId", s."parentId")::text AS parent, jsonb_agg(s.id) AS ids
    FROM {steps} s WHERE s."threadId" = ANY(ARRAY(SELECT thread FROM chosen_steps))
      AND s."parentId" IS NOT NULL GROUP BY 1) AS families),
dead_steps(thread, id) AS (
  SELECT thread, id FROM chosen_steps
  UNION SELECT d.thread, c.id FROM dead_steps d CROSS JOIN LATERAL jsonb_array_elements_text(
    (SELECT of_parent FROM children) -> jsonb_build_array(d.thread, d.id)::text) AS c(id)),
dead_elements AS MATERIALIZED (
  SELECT e."threadId", e.id, e."objectKey" FROM chosen d JOIN {elements} e
    ON e."threadId" = d.thread WHERE d.kind = 'thread'
  UNION SELECT e."threadId", e.id, e."objectKey" FROM dead_steps d JOIN {elements} e
    ON e."threadId" = d.thread AND e."forId" = d.id
  UNION SELECT e."threadId", e.id, e."objectKey" FROM found_elements d JOIN ours o
    ON o.id = d.thread JOIN {elements} e ON e."threadId" = d.thread AND e.id = d.id, chosen),
dead_feedbacks AS MATERIALIZED (
  SELECT f."threadId", f."forId" FROM chosen d JOIN {feedbacks} f
    ON f."threadId" = d.thread WHERE d.kind = 'thread'
  UNION SELECT f."threadId", f."forId" FROM dead_steps d JOIN {feedbacks} f
    ON f."threadId" = d.thread AND f."forId" = d.id
  UNION SELECT f."threadId", f."forId" FROM chosen d JOIN {feedbacks} f ON f.id = d.id
    JOIN {threads} t ON t.id = f."threadId" WHERE d.kind = 'feedback'
    AND (d.actor IS NULL OR t."userIdentifier" IS NULL OR t."userIdentifier" = d.actor)),
added_tombstones AS (
  INSERT INTO {tombstones} ("threadId", id, "deletedAt")
  SELECT thread, '', at FROM chosen WHERE kind = 'thread'
  UNION SELECT thread, id, $9::text::timestamptz FROM dead_steps
  UNION SELECT f.thread, 'element ' || f.id, d.at FROM found_elements f JOIN ours o
    ON o.id = f.thread, chosen d
  -- An upload under way, perhaps of another process, has no row yet.
  UNION SELECT coalesce(thread, "scopeThread"), 'element ' || id, at FROM chosen
    WHERE kind = 'element' AND "mayBePending"
      AND (everywhere OR EXISTS (SELECT FROM pending_threads))
  ON CONFLICT ("threadId", id) DO UPDATE SET "deletedAt" = excluded."deletedAt"),
-- The new version of the row is what a turn in another process notices.
bumped_threads AS (
  UPDATE {threads} t SET "updatedAt" = t."updatedAt" FROM
    (SELECT DISTINCT thread FROM chosen_steps) d WHERE t.id = d.thread),
deleted_elements AS (
  DELETE FROM {elements} e USING dead_elements d
  WHERE e."threadId" = d."threadId" AND e.id = d.id),
deleted_feedbacks AS (
  DELETE FROM {feedbacks} f USING dead_feedbacks d
  WHERE f."threadId" = d."threadId" AND f."forId" = d."forId"),
deleted_steps AS (
  DELETE FROM {steps} s USING dead_steps d WHERE s."threadId" = d.thread AND s.id = d.id),
deleted_steps_of_threads AS (  -- Also where an adopted table has no cascade.
  DELETE FROM {steps} s USING chosen d WHERE d.kind = 'thread' AND s."threadId" = d.thread),
deleted_threads AS (
  DELETE FROM {threads} t USING chosen d WHERE d.kind = 'thread' AND t.id = d.thread RETURNING 1),
unused_keys AS MATERIALIZED (
  SELECT "objectKey" FROM given_elements WHERE NOT accepted AND "objectKey" IS NOT NULL
  UNION SELECT "storedKey" FROM changed_elements
    WHERE replaces AND "storedKey" IS NOT NULL AND "storedKey" IS DISTINCT FROM "objectKey"
  UNION SELECT "objectKey" FROM dead_elements WHERE "objectKey" IS NOT NULL),
queued_blobs AS (
  INSERT INTO {blob_deletions} ("objectKey", "createdAt", attempts)
  SELECT "objectKey", $9::text::timestamptz, 0 FROM unused_keys ORDER BY 1
  ON CONFLICT ("objectKey") DO NOTHING)
SELECT ok,
  set_config('chainlit_sqla.writes', CASE WHEN ok THEN 'yes' ELSE 'no' END, true),
  (SELECT count(*) FROM locked),
  (SELECT json_agg(json_build_array(id, actor))::text FROM refused) AS refused,
  (SELECT json_agg(id)::text FROM late) AS late,
  EXISTS (SELECT FROM unused_keys) AS has_blobs,
  EXISTS (SELECT FROM asked) AS is_deletion,
  (SELECT CASE kind
    WHEN 'thread' THEN EXISTS (SELECT FROM deleted_threads)
    WHEN 'step' THEN EXISTS (SELECT FROM found_steps f JOIN ours o ON o.id = f.thread)
    WHEN 'element' THEN EXISTS (SELECT FROM dead_elements)
    ELSE CASE WHEN EXISTS (SELECT FROM dead_feedbacks) THEN true
      WHEN EXISTS (SELECT FROM {feedbacks} f WHERE f.id = chosen.id) THEN NULL ELSE false END
    END FROM chosen) AS deleted
FROM verdict"""

ANY = _CHECK + _SAVE + _SAVE_CONTENTS + _DELETE


@cache
def not_null(table: Table) -> Set[str]:
    """Return the columns in which NULL is replaced by a default, so that it changes something."""
    return {column.name for column in table.columns if not column.nullable}


@lru_cache(maxsize=256)
def statement_of(
    template: str,
    tables: FastBatchTables,
    defaults: tuple[tuple[tuple[str, str | bool], ...], ...],
    schema: str | None,
    step_columns: tuple[str, ...] | None = None,
) -> str:
    """Return `TURN`, `TOUCH` or `ANY` for tables in a schema.

    ``step_columns``: the columns that steps give, as members of their rows, in the first two;
    None where they are in a document.
    """
    prefix = f"{_quote(schema)}." if schema else ""
    texts = {name: prefix + _quote(table.name) for name, table in tables._asdict().items()}
    texts["in_scope"] = _IN_SCOPE
    for name, table, values in zip(
        ("steps", "elements"), (tables.steps, tables.elements), defaults, strict=True
    ):
        texts[f"save_{name}"] = _upsert(table, texts[name], f"changed_{name}", dict(values))
    texts["given_steps"] = _GIVEN_STEPS
    if step_columns is not None:
        texts["given_steps"] = _given(tables.steps, step_columns)
        texts["save_steps"] = _upsert_columns(texts["steps"], dict(defaults[0]), step_columns)
    return re.sub(r"\{(\w+)\}", lambda match: texts[match[1]], template)


def _upsert(table: Table, name: str, source: str, defaults: dict[str, str | bool]) -> str:
    """Return the upsert of rows with a document of values; columns that it lacks stay.

    The rows cannot change meanwhile, since the row of their thread is locked.
    """
    keys = ("threadId", "id")
    special = {
        "createdAt": 'coalesce(r."createdAt", g.begun)',
        "ordinal": "coalesce(r.ordinal, g.arrival)",
        "extra": "CASE WHEN g.extra IS NULL THEN r.extra"
        " WHEN jsonb_typeof(r.extra) = 'object' THEN r.extra || g.extra ELSE g.extra END",
    }
    values = {
        # A NULL that is given is not replaced: the column refuses it.
        column: f"coalesce(r.{_quote(column)}, CASE WHEN g.\"values\" -> '{column}' IS NULL"
        f" THEN {_literal(value)}::{table.c[column].type.compile(dialect=_DIALECT)} END)"
        for column, value in defaults.items()
    }
    columns = [column.name for column in table.columns if column.name not in keys]
    sources = [values.get(c) or special.get(c) or f"r.{_quote(c)}" for c in columns]
    changes = ", ".join(f"{name} = excluded.{name}" for name in map(_quote, columns))
    return (
        f"INSERT INTO {name} ({', '.join(map(_quote, (*keys, *columns)))})"
        f' SELECT g."threadId", g.id, {", ".join(sources)} FROM {source} g CROSS JOIN verdict'
        f" CROSS JOIN LATERAL json_populate_record((SELECT s FROM {name} s"
        f' WHERE s."threadId" = g."threadId" AND s.id = g.id), g."values") r'
        f' WHERE ok ON CONFLICT ("threadId", id) DO UPDATE SET {changes}'
    )


def _given(table: Table, columns: tuple[str, ...]) -> str:
    """Return the query for steps whose values are members of their rows."""
    typed = "".join(
        f", {_quote(column)} {table.c[column].type.compile(dialect=_DIALECT)}" for column in columns
    )
    return f"""
  SELECT * FROM json_to_recordset($2::text::json) AS s("threadId" text, id text,
    begun timestamptz, arrival bigint{typed})"""


def _upsert_columns(name: str, defaults: dict[str, str | bool], columns: tuple[str, ...]) -> str:
    """Return the upsert of steps that give some of the columns: it does not read the old rows.

    A value that a row does not give is NULL, which changes nothing.
    """
    values = {"createdAt": "g.begun", "ordinal": "g.arrival"}
    values |= {column: _literal(value) for column, value in defaults.items()}
    values |= {column: f"g.{_quote(column)}" for column in columns}
    changes = ", ".join(
        f"{column} = coalesce(excluded.{column}, s.{column})" for column in map(_quote, columns)
    )
    return (
        f'INSERT INTO {name} AS s ("threadId", id, {", ".join(map(_quote, values))})'
        f' SELECT g."threadId", g.id, {", ".join(values.values())} FROM verdict, changed_steps g'
        ' WHERE ok ON CONFLICT ("threadId", id)'
        + (f" DO UPDATE SET {changes}" if columns else " DO NOTHING")
    )


def _literal(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'"
