"""Two listings side by side in a temporary SQLite file: memory stays small for millions.

Nothing here knows a store or a database; `storage_audit` fills it and asks it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from ..errors import ConfigurationError
from .base import BlobInfo

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE blob (key TEXT PRIMARY KEY, size INT, at REAL, ours INT) WITHOUT ROWID;
CREATE TABLE holder (
  thread TEXT, id TEXT, key TEXT, name TEXT, size INT, at REAL, lost INT, PRIMARY KEY (thread, id)
) WITHOUT ROWID;
CREATE TABLE waiting (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE finding (
  number INTEGER PRIMARY KEY, kind TEXT, key TEXT, thread TEXT, id TEXT, name TEXT,
  size INT, stored INT, at REAL
);
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS holder_key ON holder (key, lost);
CREATE INDEX IF NOT EXISTS finding_kind ON finding (kind, number);
"""
_COLUMNS = "INSERT INTO finding (kind, key, thread, id, name, size, stored, at) SELECT"
_OF_ROW = "holder.key, holder.thread, holder.id, holder.name, holder.size, blob.size, holder.at"
_HELD = "EXISTS (SELECT 1 FROM holder WHERE holder.key = blob.key)"
_IN_USE = "EXISTS (SELECT 1 FROM holder AS h WHERE h.key = blob.key AND NOT h.lost)"
_WAITING = "EXISTS (SELECT 1 FROM waiting WHERE waiting.key = blob.key)"
_FRESH = f"ours AND at >= :before AND NOT {_HELD} AND NOT {_WAITING}"
_TALLY = f"""
SELECT
  (SELECT count(*) FROM holder WHERE NOT lost) AS rows,
  (SELECT count(*) FROM holder JOIN blob USING (key) WHERE NOT lost) AS present,
  (SELECT count(*) FROM blob WHERE ours OR {_HELD}) AS blobs,
  (SELECT count(*) FROM waiting) AS waiting,
  (SELECT count(*) FROM blob WHERE NOT ours AND NOT {_HELD} AND NOT {_WAITING}) AS strangers,
  (SELECT count(*) FROM blob WHERE {_FRESH}) AS fresh
"""  # noqa: S608 - made of constants


class Kind(Enum):
    """What does not fit together."""

    NO_BLOB = "row-without-blob"
    NO_ROW = "blob-without-row"
    UNKNOWN = "unknown-conversation"
    """A blob without row, of a thread that the database never had."""
    DAMAGED = "damaged"
    FOUND_AGAIN = "found-again"
    """The blob of a row that had lost it."""
    LOST_EARLIER = "lost-earlier"
    """A row that says its blob is lost, which it still is."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An element that has a blob, or had one.

    Args:
        thread_id: Its thread.
        id: The element.
        key: The object key.
        name: The element's name.
        size: Bytes; None where the row does not say it.
        at: When the row was made.
        lost: Whether the row says that the blob is lost.
    """

    thread_id: str
    id: str
    key: str
    name: str
    size: int | None
    at: datetime
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A row or a blob that something is wrong with.

    Args:
        number: Its place in the ledger.
        kind: What is wrong.
        key: The object key.
        thread_id: The thread of the row; empty for a blob without row, as are the next two.
        id: The element.
        name: The element's name.
        size: Bytes, as the row says, or for a blob without row as the store says.
        stored: Bytes in the store, None where there is no blob.
        at: When the row was made, or the blob stored.
    """

    number: int
    kind: Kind
    key: str
    thread_id: str
    id: str
    name: str
    size: int | None
    stored: int | None
    at: datetime


class Ledger:
    """A temporary file with what a store and a database say; blocking, for use in threads.

    Use `opened`. One thread at a time may use it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Ledger]:
        """An empty ledger, whose file is gone at the end of the block.

        Raises:
            ConfigurationError: It cannot be made; the methods raise it for a full disk.
        """
        with tempfile.TemporaryDirectory(prefix="chainlit-sqla-") as folder:
            # Used in threads of asyncio, one after the other.
            connection = sqlite3.connect(Path(folder) / "ledger.db", check_same_thread=False)
            try:
                ledger = cls(connection)
                with ledger._change() as run:
                    run.executescript(_TABLES)
                yield ledger
            finally:
                connection.close()

    def add_blobs(self, blobs: Iterable[tuple[BlobInfo, bool]]) -> None:
        """Note blobs of the store, and whether their keys have the shape of ours."""
        rows = [(b.key, b.size, b.modified.timestamp(), ours) for b, ours in blobs]
        self._many("INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?)", rows)

    def add_holders(self, holders: Iterable[Holder]) -> None:
        """Note elements of the database."""
        rows = [
            (h.thread_id, h.id, h.key, h.name, h.size, h.at.timestamp(), h.lost) for h in holders
        ]
        self._many("INSERT OR REPLACE INTO holder VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def add_waiting(self, keys: Iterable[str]) -> None:
        """Note blobs that wait for their deletion."""
        self._many("INSERT OR REPLACE INTO waiting VALUES (?)", [(key,) for key in keys])

    def compare(self, before: datetime) -> None:
        """Find what does not fit together.

        Args:
            before: A younger blob may belong to an upload under way.
        """
        kinds = {kind.name.lower(): kind.value for kind in Kind}
        values = kinds | {"before": before.timestamp()}
        with self._change() as run:
            run.executescript(_INDEXES)
            run.execute(
                f"{_COLUMNS} :no_blob, {_OF_ROW} FROM holder LEFT JOIN blob USING (key) "
                "WHERE NOT lost AND blob.key IS NULL ORDER BY thread, id",
                values,
            )
            run.execute(
                f"{_COLUMNS} :damaged, {_OF_ROW} FROM holder JOIN blob USING (key) "
                "WHERE NOT lost AND holder.size <> blob.size ORDER BY thread, id",
                values,
            )
            run.execute(
                f"{_COLUMNS} :found_again, {_OF_ROW} FROM holder JOIN blob USING (key) "
                f"WHERE lost AND NOT {_IN_USE} AND NOT {_WAITING} ORDER BY thread, id",
                values,
            )
            run.execute(
                f"{_COLUMNS} :lost_earlier, {_OF_ROW} FROM holder LEFT JOIN blob USING (key) "
                "WHERE lost AND blob.key IS NULL ORDER BY thread, id",
                values,
            )
            run.execute(
                f"{_COLUMNS} :no_row, key, '', '', '', size, size, at FROM blob "
                f"WHERE ours AND at < :before AND NOT {_HELD} AND NOT {_WAITING} ORDER BY key",
                values,
            )

    def tally(self, before: datetime) -> dict[str, int]:
        """Count what was noted; call it after `compare`.

        Returns:
            ``rows`` with a blob, ``present`` of them in the store, ``blobs`` of ours or of
            the rows, ``waiting`` for deletion, ``strangers`` that are not ours, and those
            ``fresh``, too young to be judged.
        """
        count = self._connection.execute(_TALLY, {"before": before.timestamp()})
        names = [column[0] for column in count.description]
        return dict(zip(names, count.fetchone(), strict=True))

    def youngest(self, before: datetime) -> datetime | None:
        """When the last of the blobs was stored that are too young to be judged."""
        query = f"SELECT max(at) FROM blob WHERE {_FRESH}"  # noqa: S608 - made of constants
        (at,) = self._connection.execute(query, {"before": before.timestamp()}).fetchone()
        return None if at is None else datetime.fromtimestamp(at, UTC)

    def count(self, kind: Kind) -> int:
        """How many findings of a kind there are."""
        query = "SELECT count(*) FROM finding WHERE kind = ?"
        return int(self._connection.execute(query, (kind.value,)).fetchone()[0])

    def findings(self, kind: Kind, after: int = 0, limit: int = -1) -> list[Finding]:
        """A portion of the findings of a kind.

        Args:
            kind: Which.
            after: The number of the last one of the portion before.
            limit: How many at most; negative: all.
        """
        query = (
            "SELECT number, key, thread, id, name, size, stored, at FROM finding "
            "WHERE kind = ? AND number > ? ORDER BY number LIMIT ?"
        )
        rows = self._connection.execute(query, (kind.value, after, limit))
        return [
            Finding(
                number, kind, key, thread, id, name, size, stored, datetime.fromtimestamp(at, UTC)
            )
            for number, key, thread, id, name, size, stored, at in rows
        ]

    def portions(self, kind: Kind, length: int) -> Iterator[list[Finding]]:
        """All findings of a kind, in lists of a length at most; they may be dropped meanwhile."""
        after = 0
        while portion := self.findings(kind, after, length):
            yield portion
            after = portion[-1].number

    def drop(self, findings: Sequence[Finding]) -> None:
        """Forget findings that turned out to be none."""
        self._many("DELETE FROM finding WHERE number = ?", [(f.number,) for f in findings])

    def reclassify(self, findings: Sequence[tuple[Finding, Kind, int | None]]) -> None:
        """Give findings another kind, and the size in the store."""
        rows = [(kind.value, stored, f.number) for f, kind, stored in findings]
        self._many("UPDATE finding SET kind = ?, stored = ? WHERE number = ?", rows)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection:
                yield self._connection
        except sqlite3.OperationalError as error:
            raise ConfigurationError(
                f"The temporary file for the comparison cannot be written ({error}); "
                "set TMPDIR to a folder on a disk with more room"
            ) from error

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._change() as run:
            run.executemany(statement, rows)
