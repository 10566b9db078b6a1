"""A burst on SQLite: one transaction in one visit to the connection's thread.

Each visit costs more than most statements. The write lock is held from the start, so what
is read in the transaction stays true until it ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Column
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator

from ..._internal import json as _json
from ..fast_batch import Burst, BurstSteps, BurstThread, Defaults, StepsUpsert, Tables

_DIALECT = sqlite.dialect()
_Rows = Mapping[str, sqlite3.Row | tuple[Any, ...]]


def write(connection: sqlite3.Connection, burst: Burst) -> bool:
    """Write a burst; called in the connection's thread.

    Args:
        connection: In no transaction.
        burst: What is to be written.

    Returns:
        False where it is more than a burst; then nothing was written.

    Raises:
        sqlite3.Error: As SQLite says; nothing was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        written = _write(connection, burst)
        connection.execute("COMMIT" if written else "ROLLBACK")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return written


def _write(connection: sqlite3.Connection, burst: Burst) -> bool:
    sql = _Statements.of(burst.tables)
    ids = _json.dumps(burst.thread_ids)
    if connection.execute(sql.graves, (ids, _json.dumps(burst.graves))).fetchone():
        return False
    found = {row[0]: row for row in connection.execute(sql.threads, (ids,))}
    owners = _owners(connection, sql, burst)
    if owners is None or any(_is_strange(thread, found) for thread in burst.threads):
        return False
    new, changed = [], []
    for thread in burst.threads:
        row = found.get(thread.id)
        if row is None:
            new.append(sql.new_thread(thread, owners))
        elif thread.values or thread.metadata or _moves(sql, thread, row[1]):
            changed.append(sql.changed_thread(thread, row, owners))
    connection.executemany(sql.insert_thread, new)
    connection.executemany(sql.update_thread, changed)
    for group in burst.steps:
        text, binds = sql.upsert_steps(group.given, burst.defaults)
        rows = _with_extra(connection, sql, group, ids) if "extra" in group.given else group.rows
        connection.executemany(text, _bound(rows, binds))
    return True


def _owners(
    connection: sqlite3.Connection, sql: _Statements, burst: Burst
) -> Mapping[str, str] | None:
    """The identifiers of the new owners by id; None where one is not there."""
    ids = {id for thread in burst.threads if (id := thread.values.get("userId"))}
    if not ids:
        return {}
    found = dict(connection.execute(sql.users, (_json.dumps(sorted(ids)),)).fetchall())
    return found if len(found) == len(ids) else None


def _is_strange(thread: BurstThread, found: _Rows) -> bool:
    owner = found[thread.id][2] if thread.id in found else None
    return None not in (owner, thread.actor) and owner != thread.actor


def _moves(sql: _Statements, thread: BurstThread, stored: str) -> bool:
    return thread.activity is not None and sql.instant(thread.activity) > stored


def _with_extra(
    connection: sqlite3.Connection, sql: _Statements, group: BurstSteps, threads: str
) -> list[Mapping[str, Any]]:
    """Complete the ``extra`` documents with the members stored before."""
    ids = _json.dumps([row["id"] for row in group.rows])
    stored = {(row[0], row[1]): row[2] for row in connection.execute(sql.extra, (threads, ids))}
    rows: list[Mapping[str, Any]] = []
    for row in group.rows:
        known = stored.get((row["threadId"], row["id"]))
        members = {**(_json.loads(known) or {}), **row["extra"]} if known else row["extra"]
        rows.append({**row, "extra": members})
    return rows


def _bound(
    rows: Sequence[Mapping[str, Any]], binds: Sequence[tuple[str, Callable[[Any], Any] | None]]
) -> list[list[Any]]:
    return [
        [row[name] if bind is None else bind(row[name]) for name, bind in binds] for row in rows
    ]


class _Statements:
    """SQL for these tables."""

    def __init__(self, tables: Tables) -> None:
        threads, graves, users = tables.threads.name, tables.tombstones.name, tables.users.name
        listed = "(SELECT value FROM json_each(?))"
        self.tables = tables
        self.graves = (
            f'SELECT 1 FROM {graves} WHERE "threadId" IN {listed} AND id IN {listed} LIMIT 1'
        )
        self.threads = (
            'SELECT id, "updatedAt", "userIdentifier", metadata'
            f" FROM {threads} WHERE id IN {listed}"
        )
        self.extra = (
            f'SELECT "threadId", id, extra FROM {tables.steps.name}'
            f' WHERE "threadId" IN {listed} AND id IN {listed} AND extra IS NOT NULL'
        )
        self.users = f"SELECT id, identifier FROM {users} WHERE id IN {listed}"
        self.insert_thread = (
            f'INSERT INTO {threads} (id, "createdAt", "updatedAt", name, "userId",'
            ' "userIdentifier", tags, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
        )
        self.update_thread = (
            f'UPDATE {threads} SET "updatedAt" = ?, name = coalesce(?, name),'
            ' "userId" = coalesce(?, "userId"), "userIdentifier" = coalesce(?, "userIdentifier"),'
            " tags = coalesce(?, tags), metadata = ? WHERE id = ?"
        )
        instant = _bind(tables.threads.c.updatedAt)
        assert instant
        self.instant = instant

    @staticmethod
    @lru_cache(maxsize=2)
    def of(tables: Tables) -> _Statements:
        """The statements for some tables, made once."""
        return _Statements(tables)

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as the process, by `of`
    def upsert_steps(
        self, given: tuple[str, ...], defaults: Defaults
    ) -> tuple[str, Sequence[tuple[str, Callable[[Any], Any] | None]]]:
        """An upsert of steps, and what turns each value into the driver's form."""
        table = self.tables.steps
        upsert = StepsUpsert.of(given, defaults, _DIALECT.identifier_preparer.quote)
        values = ", ".join((*("?" for _ in upsert.columns), *upsert.defaults))
        text = (
            f"INSERT INTO {table.name} ({upsert.targets}) VALUES ({values})"
            f' ON CONFLICT ("threadId", id) {upsert.action}'
        )
        return text, [(name, _bind(table.c[name])) for name in upsert.columns]

    def new_thread(self, thread: BurstThread, owners: Mapping[str, str]) -> list[Any]:
        """The parameters of `insert_thread`."""
        values = thread.values
        at = max(thread.begun, thread.activity or thread.begun)
        return [
            thread.id,
            self.instant(thread.begun),
            self.instant(at),
            values.get("name"),
            values.get("userId"),
            owners.get(values.get("userId", "")),
            values.get("tags"),
            _merged("{}", thread.metadata),
        ]

    def changed_thread(
        self, thread: BurstThread, row: Sequence[Any], owners: Mapping[str, str]
    ) -> list[Any]:
        """The parameters of `update_thread`."""
        values = thread.values
        return [
            self.instant(thread.activity) if _moves(self, thread, row[1]) else row[1],
            values.get("name"),
            values.get("userId"),
            owners.get(values.get("userId", "")),
            values.get("tags"),
            _merged(row[3], thread.metadata),
            thread.id,
        ]


def _merged(stored: str, metadata: Mapping[str, Any]) -> str:
    if not metadata:
        return stored
    merged = {**(_json.loads(stored) or {}), **metadata}
    return _json.dumps({name: value for name, value in merged.items() if value is not None})


def _bind(column: Column[Any]) -> Callable[[Any], Any] | None:
    """What turns a value of this column into the driver's form; None: nothing to do."""
    kind = column.type
    if isinstance(kind, TypeDecorator):
        return partial(kind.process_bind_param, dialect=_DIALECT)
    return None  # Text, numbers and flags.
