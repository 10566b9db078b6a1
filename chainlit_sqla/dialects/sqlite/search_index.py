"""An FTS5 table of trigrams on the messages, which triggers keep up to date.

The search takes a message for a hit if Python's casefolded text contains the casefolded term;
FTS5 folds case by a table of its own. So that the index never misses a hit, the three frequent
characters on which both differ are replaced as Python folds them, and a message with another one
(`_UNUSUAL`) is a candidate of every search. Candidates are compared as without an index.

``rowid`` of ``steps`` may change in a VACUUM, so the messages have numbers of their own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, Select, String, Table, Text, bindparam, column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ...errors import ConfigurationError
from ..base import driver_error
from ..search_index import INDEX, SearchIndex, SearchState

ROWS, BUILT = f"{INDEX}_rows", f"{INDEX}_built"
WRITES = {"chainlit_sqla_write": True}
"""The execution options of a connection that writes: see `SQLite.write_options`."""
_PAUSE = 0.15
_PORTION = 500
"""Messages that are indexed in one transaction: writers wait for some 100 ms."""
_TRIGRAMS = 16
_UNUSUAL_RANGES = (
    *("\u0149\u0149", "\u01f0\u01f0", "\u0370\u0377", "\u037f\u037f", "\u0390\u0390"),
    *("\u03b0\u03b0", "\u0514\u052f", "\u0587\u0587", "\u13a0\u13ff", "\u1c80\u1cbf"),
    *("\u1e96\u1e9d", "\u1e9f\u1e9f", "\u1f00\u1fff", "\u2c2f\u2c2f", "\u2c5f\u2c7f"),
    *("\ua640\ua7ff", "\uab30\uabbf", "\ufb00\ufb17", "\ufffe\uffff"),
    "\U00010000\U0001efff",
)
_UNUSUAL = "*[" + "".join(f"{pair[0]}-{pair[1]}" for pair in _UNUSUAL_RANGES) + "]*"
"""A GLOB pattern of the characters whose case FTS5 and Python may fold differently."""


def _body(row: str) -> str:
    """Return the SQL of a message's text as it is indexed."""
    return f"replace(replace(replace(coalesce({row}.output, ''), 'ß', 'ss'), 'ẞ', 'ss'), 'İ', 'i̇')"


_MESSAGE = "{row}.type LIKE '%message%' AND {row}.output <> ''"
_DELETE = f"""
  INSERT INTO {INDEX} ({INDEX}, rowid, body) SELECT 'delete', number, {_body("OLD")} FROM {ROWS}
    WHERE "threadId" = OLD."threadId" AND "stepId" = OLD.id;
  DELETE FROM {ROWS} WHERE "threadId" = OLD."threadId" AND "stepId" = OLD.id;"""
_INSERT = f"""
  INSERT OR REPLACE INTO {ROWS} ("threadId", "stepId", unusual)
    SELECT NEW."threadId", NEW.id, NEW.output GLOB '{_UNUSUAL}'
    WHERE {_MESSAGE.format(row="NEW")};
  INSERT INTO {INDEX} (rowid, body) SELECT number, {_body("NEW")} FROM {ROWS}
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
  "stepId" TEXT NOT NULL, unusual INTEGER NOT NULL, UNIQUE ("threadId", "stepId"))""",
    f'CREATE INDEX IF NOT EXISTS ix_{ROWS}_unusual ON {ROWS} ("threadId") WHERE unusual',
    f"""CREATE VIRTUAL TABLE IF NOT EXISTS {INDEX} USING fts5(
  body, content='', columnsize=0, detail='none', tokenize='trigram')""",
    *(f"CREATE TRIGGER IF NOT EXISTS {INDEX}_{name} {sql}" for name, sql in _TRIGGERS.items()),
)
_DROP = (
    *(f"DROP TRIGGER IF EXISTS {INDEX}_{name}" for name in _TRIGGERS),
    *(f"DROP TABLE IF EXISTS {name}" for name in (BUILT, ROWS, INDEX)),
)
_LAST = f"""SELECT "threadId", id FROM steps s WHERE {_MESSAGE.format(row="s")}
AND ("threadId", id) > (?, ?) ORDER BY "threadId", id LIMIT 1 OFFSET {_PORTION - 1}"""
_ADD_ROWS = f"""INSERT OR IGNORE INTO {ROWS} ("threadId", "stepId", unusual)
SELECT "threadId", id, output GLOB '{_UNUSUAL}' FROM steps s WHERE {_MESSAGE.format(row="s")}
AND ("threadId", id) > (?, ?) ORDER BY "threadId", id LIMIT {_PORTION}"""
_ADD_TEXTS = f"""INSERT INTO {INDEX} (rowid, body) SELECT r.number, {_body("s")} FROM {ROWS} r
JOIN steps s ON s."threadId" = r."threadId" AND s.id = r."stepId" WHERE r.number > ?"""
# The age is in the name of a column: one statement reads the state, whatever exists.
_STATE = text(f"""SELECT
  EXISTS (SELECT 1 FROM sqlite_master WHERE name GLOB '{INDEX}*' AND tbl_name <> 'steps'),
  (SELECT name FROM pragma_table_info('{BUILT}'))""")
_EXISTS = f"SELECT 1 FROM sqlite_master WHERE name = '{ROWS}'"
_IS_BUILT = f"SELECT 1 FROM sqlite_master WHERE name = '{BUILT}'"
_HITS = f"""SELECT r."threadId" FROM {INDEX} JOIN {ROWS} r ON r.number = {INDEX}.rowid
WHERE {INDEX} MATCH :match UNION ALL SELECT "threadId" FROM {ROWS} WHERE unusual"""


class FtsIndex(SearchIndex):
    """A contentless FTS5 table; `BUILT` exists once every message is in it."""

    def state_query(self, schema: str | None) -> Executable:
        """Read the names of the tables, and of `BUILT` its age."""
        return _STATE

    def parse_state(self, row: Sequence[Any] | None) -> SearchState:
        """Return the state by the columns of `_STATE`."""
        exists, built_at = row or (0, None)
        return SearchState(bool(exists), built_at is not None, built_at or "")

    async def size(self, connection: AsyncConnection, schema: str | None) -> int:
        """Return the bytes of the trigrams."""
        query = text(f"SELECT coalesce(sum(length(block)), 0) FROM {INDEX}_data")
        return int(await connection.scalar(query) or 0)

    def match(self, text: str, state: SearchState) -> str | None:
        """Return the trigrams of the casefolded text, of a long one some."""
        folded = text.casefold()
        trigrams = [folded[start : start + 3] for start in range(len(folded) - 2)]
        stride = max(1, len(trigrams) // _TRIGRAMS)
        quoted = ('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::stride])
        return " AND ".join(quoted) or None

    def hits(self, steps: Table, *, icu: bool) -> Select[Any]:
        """Select by the trigrams; unusual characters make a message a candidate."""
        matches = text(_HITS).bindparams(bindparam("match", type_=Text()))
        return select(matches.columns(column("threadId", String())).subquery("matches"))

    async def build(self, engine: AsyncEngine, schema: str | None) -> None:
        """Create the triggers first, then index older messages in short transactions."""
        writing = engine.execution_options(**WRITES)
        try:
            async with writing.connect() as connection, connection.begin():
                if await connection.scalar(text(_IS_BUILT)):
                    return
                for statement in _CREATE:
                    await connection.exec_driver_sql(statement)
        except DBAPIError as error:
            raise _explained(error) from error
        position: tuple[Any, ...] = ("", "")
        while True:
            async with writing.connect() as connection, connection.begin():
                if not await connection.scalar(text(_EXISTS)):
                    raise ConfigurationError(
                        "The search index was dropped while it was built; run: "
                        "chainlit-sqla search enable"
                    )
                if await connection.scalar(text(_IS_BUILT)):  # By another process.
                    return
                last = (await connection.exec_driver_sql(_LAST, position)).first()
                top = await connection.scalar(text(f"SELECT coalesce(max(number), 0) FROM {ROWS}"))
                await connection.exec_driver_sql(_ADD_ROWS, position)
                await connection.exec_driver_sql(_ADD_TEXTS, (top,))
                if last is None:
                    built_at = datetime.now(UTC).isoformat(timespec="seconds")
                    await connection.exec_driver_sql(f'CREATE TABLE {BUILT} ("{built_at}")')
                    return
                position = tuple(last)
            # A waiting writer looks for the lock every 100 ms.
            await asyncio.sleep(_PAUSE)

    async def drop(self, engine: AsyncEngine, schema: str | None) -> None:
        """Drop the triggers, then the tables."""
        writing = engine.execution_options(**WRITES)
        try:
            async with writing.connect() as connection, connection.begin():
                for statement in _DROP:
                    await connection.exec_driver_sql(statement)
        except DBAPIError as error:
            raise _explained(error) from error


def _explained(error: DBAPIError) -> Exception:
    """Return the error to raise: FTS5 or its trigrams may be missing from this Python."""
    message = str(driver_error(error))
    if "no such module" in message or "no such tokenizer" in message:
        return ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} of this Python has no FTS5 index of trigrams "
            f"({message}); use a Python whose sqlite3 has FTS5, of SQLite 3.34 or newer"
        )
    return error
