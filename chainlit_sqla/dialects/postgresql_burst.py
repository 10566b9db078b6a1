"""A burst on PostgreSQL: one statement, which is its own transaction.

All parts of a statement see one snapshot, taken before it waits for a lock; the long way
relies on later statements seeing more. So the statement makes sure that nothing happened
in between, and writes nothing otherwise:

1. It locks the rows of the threads in the order of their ids, as everybody does.
2. Each thread of the snapshot must be locked in the very version of the snapshot
   (``xmin``). Who deletes a thread removes its row, and who deletes from one changes the
   row under an exclusive lock, so a deletion that was committed meanwhile shows.
3. Tombstones and owners are read from the snapshot, which is then up to date.
4. A thread that somebody else made meanwhile is not changed by ``ON CONFLICT DO NOTHING``;
   the answer then says that not all was written, and everything can be written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from .. import _json
from .burst import Burst, BurstSteps, Tables

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

_KNOWN = """
given AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[]{more})
    AS g(id, begun, activity, actor{columns})),
found AS MATERIALIZED (
  SELECT id, "updatedAt", "userIdentifier", xmin AS version
  FROM {threads} WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE),
verdict AS MATERIALIZED (SELECT
  NOT EXISTS (
    SELECT FROM {tombstones} WHERE "threadId" = ANY($1) AND id = ANY($5::text[]))
  AND NOT EXISTS (
    SELECT FROM {threads} t WHERE t.id = ANY($1) AND NOT EXISTS (
      SELECT FROM found f WHERE f.id = t.id AND f.version = t.xmin))
  AND NOT EXISTS (
    SELECT FROM given g JOIN found f ON f.id = g.id AND f."userIdentifier" <> g.actor)
  {known_owners} AS ok)"""
_MORE = ", $6::text[], $7::text[], $8::text[], $9::text[], $10::text[]"
_MORE_COLUMNS = ', name, "userId", tags, metadata, removed'
_KNOWN_OWNERS = """
  AND NOT EXISTS (
    SELECT FROM given g WHERE g."userId" IS NOT NULL AND NOT EXISTS (
      SELECT FROM {users} u WHERE u.id = g."userId"))"""

_MOVED = """
made AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", metadata)
  SELECT g.id, g.begun, greatest(g.begun, g.activity), '{}' FROM given g, verdict
  WHERE ok AND NOT EXISTS (SELECT FROM found f WHERE f.id = g.id)
  ON CONFLICT (id) DO NOTHING RETURNING 1),
moved AS (
  UPDATE {threads} t SET "updatedAt" = g.activity FROM given g, found f, verdict
  WHERE ok AND t.id = g.id AND f.id = g.id AND g.activity > f."updatedAt")"""

_CHANGED = """
owned AS (SELECT g.*, u.identifier FROM given g LEFT JOIN {users} u ON u.id = g."userId"),
made AS (
  INSERT INTO {threads} (id, "createdAt", "updatedAt", metadata,
    name, "userId", "userIdentifier", tags)
  SELECT g.id, g.begun, greatest(g.begun, g.activity), coalesce(g.metadata::jsonb, '{}'),
    g.name, g."userId", g.identifier, g.tags::jsonb FROM owned g, verdict
  WHERE ok AND NOT EXISTS (SELECT FROM found f WHERE f.id = g.id)
  ON CONFLICT (id) DO NOTHING RETURNING 1),
changed AS (
  UPDATE {threads} t SET
    "updatedAt" = greatest(t."updatedAt", g.activity),
    name = coalesce(g.name, t.name),
    "userId" = coalesce(g."userId", t."userId"),
    "userIdentifier" = coalesce(g.identifier, t."userIdentifier"),
    tags = coalesce(g.tags::jsonb, t.tags),
    metadata = CASE WHEN g.metadata IS NULL THEN t.metadata
      ELSE (coalesce(t.metadata, '{}') || g.metadata::jsonb)
        - ARRAY(SELECT jsonb_array_elements_text(g.removed::jsonb)) END
  FROM owned g, found f, verdict
  WHERE ok AND t.id = g.id AND f.id = g.id AND (g.activity > f."updatedAt"
    OR coalesce(g.name, g."userId", g.tags, g.metadata) IS NOT NULL))"""


def arguments(burst: Burst) -> list[Any]:
    """The parameters of `statement`, in its order.

    Args:
        burst: What is to be written.
    """
    threads = burst.threads
    values: list[Any] = [
        [thread.id for thread in threads],
        [thread.begun for thread in threads],
        [thread.activity for thread in threads],
        [thread.actor for thread in threads],
        burst.graves,
    ]
    if burst.changes_threads:
        for name in ("name", "userId", "tags"):
            values.append([thread.values.get(name) for thread in threads])
        values.append([_set(thread.metadata) for thread in threads])
        values.append([_removed(thread.metadata) for thread in threads])
    for group in burst.steps:
        values += [_column(group, name) for name in group.columns]
    return values


def _column(group: BurstSteps, name: str) -> list[Any]:
    if name == "extra":
        return [_json.dumps(row[name]) for row in group.rows]
    return [row[name] for row in group.rows]


def statement(burst: Burst, schema: str | None) -> str:
    """The statement for bursts of this shape; it answers whether all was written.

    Args:
        burst: What is to be written.
        schema: The schema of our tables; None: the connection's default one.
    """
    shape = tuple(group.given for group in burst.steps)
    defaults = tuple(sorted(burst.defaults.items()))
    return _statement(burst.tables, shape, burst.changes_threads, defaults, schema)


@lru_cache(maxsize=256)
def _statement(
    tables: Tables,
    shape: tuple[tuple[str, ...], ...],
    changes: bool,
    defaults: tuple[tuple[str, Any], ...],
    schema: str | None,
) -> str:
    names = _Names(tables, schema)
    parts = [_known(names, changes), names.put_into(_CHANGED if changes else _MOVED)]
    next_parameter = 11 if changes else 6
    for position, given in enumerate(shape):
        columns = BurstSteps(given, ()).columns
        parts.append(_steps(names, position, given, next_parameter, dict(defaults)))
        next_parameter += len(columns)
    written = (
        "SELECT ok AND (SELECT count(*) FROM given)"
        " = (SELECT count(*) FROM found) + (SELECT count(*) FROM made) FROM verdict"
    )
    return "WITH " + ",\n".join(parts) + "\n" + written


class _Names:
    """Names as they stand in SQL."""

    def __init__(self, tables: Tables, schema: str | None) -> None:
        quote = _DIALECT.identifier_preparer.quote
        prefix = f"{quote(schema)}." if schema else ""
        self.tables = tables
        self.quote = quote
        self.of_tables = {
            kind: prefix + quote(getattr(tables, kind).name)
            for kind in ("users", "threads", "steps", "tombstones")
        }

    def put_into(self, template: str) -> str:
        """Replace ``{threads}`` and the like."""
        for kind, name in self.of_tables.items():
            template = template.replace(f"{{{kind}}}", name)
        return template

    def type(self, table: Table, name: str) -> str:
        """The type of a column."""
        column: Column[Any] = table.c[name]
        return str(column.type.compile(dialect=_DIALECT))


def _known(names: _Names, changes: bool) -> str:
    """What is given, what is there, and whether the burst may be written."""
    template = _KNOWN.replace("{more}", _MORE if changes else "")
    template = template.replace("{columns}", _MORE_COLUMNS if changes else "")
    return names.put_into(template.replace("{known_owners}", _KNOWN_OWNERS if changes else ""))


def _steps(
    names: _Names, position: int, given: Sequence[str], first: int, defaults: dict[str, Any]
) -> str:
    table, quote = names.tables.steps, names.quote
    columns = BurstSteps(tuple(given), ()).columns
    arrays, values = [], []
    for number, name in enumerate(columns, first):
        kind = names.type(table, name)
        # The driver encodes arrays of text fastest; the server parses JSON either way.
        as_text = kind == "JSONB"
        arrays.append(f"${number}::{'TEXT' if as_text else kind}[]")
        values.append(f"u.{quote(name)}" + ("::jsonb" if as_text else ""))
    fixed = {name: value for name, value in defaults.items() if name not in columns}
    targets = ", ".join(quote(name) for name in (*columns, *fixed))
    source = ", ".join((*values, *map(_literal, fixed.values())))
    labels = ", ".join(quote(name) for name in columns)
    changes = ", ".join(f"{quote(name)} = {_new(quote(name), name)}" for name in given)
    action = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
    return (
        f"steps_{position} AS (INSERT INTO {names.of_tables['steps']} AS s ({targets})"
        f" SELECT {source} FROM unnest({', '.join(arrays)}) AS u({labels}), verdict WHERE ok"
        f' ON CONFLICT ("threadId", id) {action})'
    )


def _new(quoted: str, name: str) -> str:
    if name == "extra":
        return f"coalesce(s.{quoted}, '{{}}'::jsonb) || excluded.{quoted}"
    return f"excluded.{quoted}"


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "'" + value.replace("'", "''") + "'"


def _set(metadata: Any) -> str | None:
    kept = {name: value for name, value in metadata.items() if value is not None}
    return _json.dumps(kept) if metadata else None


def _removed(metadata: Any) -> str:
    return _json.dumps([name for name, value in metadata.items() if value is None])
