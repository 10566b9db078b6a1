"""An FTS5 table of trigrams on the messages, which triggers keep up to date.

The texts are indexed as `SQLite.contains` compares them: casefolded by Python. So while there is
an index, programs that do not register the function ``chainlit_sqla_fold`` cannot write to
``steps``.

``rowid`` of ``steps`` may change in a VACUUM, so the messages have numbers of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, String, Table, Text, bindparam, column, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from ...errors import ConfigurationError
from ..base import BoundStatement
from ..search_index import INDEX, SearchIndex, SearchState

ROWS, BUILT = f"{INDEX}_rows", f"{INDEX}_built"
WRITES = {"chainlit_sqla_write": True}
"""The execution options of a connection whose transactions begin with BEGIN IMMEDIATE."""
_PAUSE = 0.15
_PORTION = 500
"""Messages that are indexed in one transaction: writers wait for some 100 ms."""
_TRIGRAMS = 16
_MESSAGE = "{row}.type LIKE '%message%' AND {row}.output <> ''"
_DELETE = f"""
  INSERT INTO {INDEX} ({INDEX}, rowid, body)
    SELECT 'delete', number, chainlit_sqla_fold(CAST(OLD.output AS BLOB)) FROM {ROWS}
    WHERE "threadId" = OLD."threadId" AND "stepId" = OLD.id;
  DELETE FROM {ROWS} WHERE "threadId" = OLD."threadId" AND "stepId" = OLD.id;"""
_INSERT = f"""
  INSERT OR REPLACE INTO {ROWS} ("threadId", "stepId")
    SELECT NEW."threadId", NEW.id WHERE {_MESSAGE.format(row="NEW")};
  INSERT INTO {INDEX} (rowid, body)
    SELECT number, chainlit_sqla_fold(CAST(NEW.output AS BLOB)) FROM {ROWS}
    WHERE "threadId" = NEW."threadId" AND "stepId" = NEW.id;"""
_TRIGGERS = {
    "insert": f"AFTER INSERT ON steps WHEN {_MESSAGE.format(row='NEW')} BEGIN{_INSERT} END",
    "update": (
        'AFTER UPDATE OF "threadId", id, type, output ON steps WHEN OLD.output IS NOT NEW.output '
        'OR OLD.type <> NEW.type OR OLD.id <> NEW.id OR OLD."threadId" <> NEW."threadId" '
        f"BEGIN{_DELETE}{_INSERT} END"
    ),
    "delete": f"AFTER DELETE ON steps WHEN {_MESSAGE.format(row='OLD')} BEGIN{_DELETE} END",
}
_CREATE = (
    f"""CREATE TABLE IF NOT EXISTS {ROWS} (number INTEGER PRIMARY KEY, "threadId" TEXT NOT NULL,
  "stepId" TEXT NOT NULL, UNIQUE ("threadId", "stepId"))""",
    f"""CREATE VIRTUAL TABLE IF NOT EXISTS {INDEX} USING fts5(
  body, content='', columnsize=0, detail='none', tokenize='trigram case_sensitive 1')""",
    *(f"CREATE TRIGGER IF NOT EXISTS {INDEX}_{name} {sql}" for name, sql in _TRIGGERS.items()),
)
_DROP = (
    *(f"DROP TRIGGER IF EXISTS {INDEX}_{name}" for name in _TRIGGERS),
    *(f"DROP TABLE IF EXISTS {name}" for name in (BUILT, ROWS, INDEX)),
)
_LAST = f"""SELECT "threadId", id FROM steps s WHERE {_MESSAGE.format(row="s")}
AND ("threadId", id) > (?, ?) ORDER BY "threadId", id LIMIT 1 OFFSET {_PORTION - 1}"""
_TOP = f"SELECT coalesce(max(number), 0) FROM {ROWS}"
_ADD_ROWS = f"""INSERT INTO {ROWS} ("threadId", "stepId")
SELECT "threadId", id FROM steps s WHERE {_MESSAGE.format(row="s")}
AND ("threadId", id) > (?, ?) ORDER BY "threadId", id LIMIT {_PORTION} ON CONFLICT DO NOTHING"""
_ADD_TEXTS = f"""INSERT INTO {INDEX} (rowid, body)
SELECT r.number, chainlit_sqla_fold(CAST(s.output AS BLOB)) FROM {ROWS} r
JOIN steps s ON s."threadId" = r."threadId" AND s.id = r."stepId" WHERE r.number > ?"""
# Triggers of older releases index texts that this one does not search for.
_IS_CURRENT = f"""SELECT count(*) FROM sqlite_master
WHERE name = '{INDEX}_insert' AND sql LIKE '%chainlit_sqla_fold%'"""
# The age is in the name of a column: one statement reads the state, whatever exists.
_STATE = text(f"""SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '{ROWS}'),
  (SELECT name FROM pragma_table_info('{BUILT}') WHERE ({_IS_CURRENT}))""")
_SIZE = text(f"SELECT coalesce(sum(length(block)), 0) FROM {INDEX}_data")
_DROPPED = "The search index was dropped while it was built; run: chainlit-sqla search enable"
_HITS = f"""SELECT r."threadId" FROM {INDEX} JOIN {ROWS} r ON r.number = {INDEX}.rowid
WHERE {INDEX} MATCH :match"""


class FtsIndex(SearchIndex):
    """A contentless FTS5 table; `BUILT` exists once every message is in it."""

    def state_query(self, schema: str | None) -> BoundStatement:
        return _STATE, {}

    def parse_state(self, row: Sequence[Any]) -> SearchState:
        exists, built_at = row
        return SearchState(bool(exists), built_at is not None, built_at or "")

    def size_query(self, schema: str | None) -> BoundStatement:
        return _SIZE, {}

    def match(self, text: str, state: SearchState) -> str | None:
        """Return the trigrams of the casefolded text, of a long one some."""
        folded = text.casefold()
        trigrams = [folded[start : start + 3] for start in range(len(folded) - 2)]
        stride = max(1, len(trigrams) // _TRIGRAMS)
        quoted = ('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::stride])
        return " AND ".join(quoted) or None

    def hits(self, steps: Table, *, icu: bool) -> Select[Any]:
        matches = text(_HITS).bindparams(bindparam("match", type_=Text()))
        return select(matches.columns(column("threadId", String())).subquery("matches"))

    async def build(self, engine: AsyncEngine, schema: str | None) -> None:
        """Create the triggers first, then index older messages in short transactions.

        Messages that have a number are in the index: those of an interrupted build are skipped.
        """
        writing = engine.execution_options(**WRITES)
        async with writing.begin() as connection:
            is_current = (await connection.exec_driver_sql(_IS_CURRENT)).scalar()
            for statement in _CREATE if is_current else (*_DROP, *_CREATE):
                await connection.exec_driver_sql(statement)
        position: Sequence[Any] | None = ("", "")
        while position is not None:
            async with writing.begin() as connection:
                if not (await connection.exec_driver_sql(_IS_CURRENT)).scalar():
                    raise ConfigurationError(_DROPPED)
                last = (await connection.exec_driver_sql(_LAST, tuple(position))).first()
                top = (await connection.exec_driver_sql(_TOP)).scalar()
                await connection.exec_driver_sql(_ADD_ROWS, tuple(position))
                await connection.exec_driver_sql(_ADD_TEXTS, (top,))
                if last is None:
                    built_at = datetime.now(UTC).isoformat(timespec="seconds")
                    marker = f'CREATE TABLE IF NOT EXISTS {BUILT} ("{built_at}")'
                    await connection.exec_driver_sql(marker)
            position = last
            # A waiting writer looks for the lock every 100 ms.
            await asyncio.sleep(_PAUSE)

    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        async with engine.execution_options(**WRITES).begin() as connection:
            for statement in _DROP:
                await connection.exec_driver_sql(statement)
