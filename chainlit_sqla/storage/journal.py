"""The state of a copy between stores: one row for each blob of the source, in a SQLite file.

Invariants:

- Each call is one transaction, so what was noted survives the process, however it ends. A
  power cut may take the last notes back; those blobs are compared again.
- A blob is ``copied`` only as long as the source lists it with the size and time it had then,
  and the target lists it with that size; else `settle` makes it ``todo`` again.
- A blob that the source no longer lists is never deleted from the journal: it tells what the
  target has too much.
- The file is locked from opening to closing. The lock is the operating system's, so it ends
  with the process, too.
- It is read a page at a time: memory does not grow with the number of blobs.

Keys are kept as bytes: a key may hold a NUL, at which SQLite's text functions stop.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, StorageError
from .base import BlobInfo

PAGE = 500
"""Rows in memory at once."""

_APPLICATION = 0x43537143
_FORMAT = 1
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DENIED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}

_TABLES = """
CREATE TABLE copy (source TEXT NOT NULL, target TEXT NOT NULL, run INTEGER NOT NULL);
CREATE TABLE blobs (
    key BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    modified TEXT NOT NULL,
    sha256 TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    tries INTEGER NOT NULL DEFAULT 0,
    listed INTEGER NOT NULL,
    found INTEGER NOT NULL DEFAULT 0,
    found_size INTEGER
) WITHOUT ROWID;
"""
# listed and found: the last run in which the source and the target listed the blob.

_LISTED = """
INSERT INTO blobs (key, size, modified, state, listed) VALUES (?1, ?2, ?3, 'todo', ?4)
ON CONFLICT (key) DO UPDATE SET
    state = CASE WHEN state = 'copied' AND size = ?2 AND modified = ?3
        THEN 'copied' ELSE 'todo' END,
    size = ?2, modified = ?3, listed = ?4, reason = NULL
"""


@dataclass(frozen=True, slots=True)
class Todo:
    """A blob that is still to be copied.

    Args:
        key: The object key.
        size: Bytes, as the source listed it.
        found_size: Bytes of what the target has under this key; None: nothing.
    """

    key: str
    size: int
    found_size: int | None


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of blobs and the bytes in them."""

    blobs: int = 0
    size: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.blobs + other.blobs, self.size + other.size)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.blobs - other.blobs, self.size - other.size)


NOTHING = Amount()


class Journal:
    """The state of one copy, from one store to one other.

    Args:
        path: The file; made, and closed to other users, unless it is there. None: a
            temporary one that ends with this object.
        source: Names the store that blobs come from.
        target: Names the store that they go to.

    Raises:
        ConfigurationError: The file is not the journal of this copy.
        StorageError: It is damaged, in use, or cannot be made.

    Example:
        ``Journal(Path("copy.db"), "file:///srv/files", "s3://attachments")``
    """

    def __init__(self, path: Path | None, source: str, target: str) -> None:
        self.path = path
        with self._errors():
            if path is not None:
                _make_private(path)
            self._db = sqlite3.connect(path or "", timeout=0, isolation_level=None)
        try:
            with self._errors():
                self._open(source, target)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and end the lock."""
        self._db.close()

    def note_source(self, infos: Sequence[BlobInfo]) -> None:
        """Take down a part of the source's listing."""
        with self._transaction():
            self._db.executemany(
                _LISTED,
                ((i.key.encode(), i.size, i.modified.isoformat(), self._run) for i in infos),
            )

    def note_target(self, infos: Sequence[BlobInfo]) -> None:
        """Take down a part of the target's listing; what the source never had is skipped."""
        with self._transaction():
            self._db.executemany(
                "UPDATE blobs SET found = ?, found_size = ? WHERE key = ?",
                ((self._run, i.size, i.key.encode()) for i in infos),
            )

    def settle(self) -> int:
        """Decide, when both listings are complete, what is left to do.

        Returns:
            How many blobs were never copied and are gone from the source.
        """
        with self._transaction():
            gone = self._db.execute(
                "UPDATE blobs SET state = 'gone' WHERE listed < ? AND state IN ('todo', 'failed')",
                (self._run,),
            ).rowcount
            # Should it come back, nobody knows whether the target's is still that one.
            self._db.execute(
                "UPDATE blobs SET state = 'gone' WHERE listed < ? AND state = 'copied'",
                (self._run,),
            )
            self._db.execute(
                "UPDATE blobs SET state = 'todo' WHERE listed = ?1 AND state = 'copied' "
                "AND (found < ?1 OR found_size <> size)",
                (self._run,),
            )
        return gone

    def todo(self) -> Iterator[Todo]:
        """What is left to do, those that failed in an earlier run last.

        States may change while this is read: a blob comes at most once.
        """
        for tried in (0, 1):
            last = b""
            while page := self._rows(
                "SELECT key, size, CASE WHEN found = ?1 THEN found_size END FROM blobs "
                "WHERE key > ?2 AND state = 'todo' AND listed = ?1 AND (tries > 0) = ?3 "
                "ORDER BY key LIMIT ?4",
                (self._run, last, tried, PAGE),
            ):
                for key, size, found_size in page:
                    yield Todo(key.decode(), size, found_size)
                last = page[-1][0]

    def copied(self, key: str, size: int, sha256: str) -> None:
        """Note that a blob was read back from the target and is right.

        Args:
            key: The object key.
            size: Its bytes.
            sha256: Their SHA-256 in hex.
        """
        self._mark(key, "state = 'copied', size = ?, sha256 = ?, reason = NULL", size, sha256)

    def gone(self, key: str) -> None:
        """Note that the source no longer has a blob."""
        self._mark(key, "state = 'gone', reason = NULL")

    def failed(self, key: str, reason: str) -> None:
        """Note that a blob could not be copied."""
        self._mark(key, "state = 'failed', tries = tries + 1, reason = ?", reason)

    def amount(self, state: str) -> Amount:
        """Count the blobs of the source in a state: ``todo``, ``copied`` or ``failed``."""
        rows = self._rows(
            "SELECT count(*), coalesce(sum(size), 0) FROM blobs WHERE state = ? AND listed = ?",
            (state, self._run),
        )
        return Amount(*rows[0])

    def copied_of(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys whose blob was read back from the target and is right."""
        found = self._rows(
            "SELECT key FROM blobs WHERE state = 'copied' AND listed = ? "
            "AND key IN (SELECT CAST(value AS BLOB) FROM json_each(?))",
            (self._run, json.dumps(list(keys))),
        )
        return {key.decode() for (key,) in found}

    def left_over(self) -> int:
        """Count the blobs that the target has and the source had once, but no longer has."""
        rows = self._rows(
            "SELECT count(*) FROM blobs WHERE listed < ?1 AND found = ?1", (self._run,)
        )
        return int(rows[0][0])

    def already_there(self) -> Amount:
        """Count the blobs left to do of which the target has as many bytes."""
        rows = self._rows(
            "SELECT count(*), coalesce(sum(size), 0) FROM blobs "
            "WHERE state = 'todo' AND listed = ?1 AND found = ?1 AND found_size = size",
            (self._run,),
        )
        return Amount(*rows[0])

    def failures(self, limit: int) -> tuple[tuple[str, str], ...]:
        """The first blobs that failed, each as key and reason."""
        rows = self._rows(
            "SELECT key, reason FROM blobs WHERE state = 'failed' ORDER BY key LIMIT ?", (limit,)
        )
        return tuple((key.decode(), reason) for key, reason in rows)

    def _mark(self, key: str, changes: str, *values: Any) -> None:
        with self._errors():
            self._db.execute(f"UPDATE blobs SET {changes} WHERE key = ?", (*values, key.encode()))  # noqa: S608 - our own words

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._errors():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:  # Commits, or rolls back.
                yield

    def _open(self, source: str, target: str) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        [application] = self._db.execute("PRAGMA application_id").fetchone()
        empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and application != _APPLICATION:
            raise ConfigurationError(
                f"{self.path} is a database of something else; name another file by --journal"
            )
        # With the exclusive lock this works without shared memory, so on network drives too.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN EXCLUSIVE")
        with self._db:
            if empty:
                self._make(source, target)
            self._begin(source, target)

    def _make(self, source: str, target: str) -> None:
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._db.execute(f"PRAGMA user_version = {_FORMAT}")
        self._db.execute("INSERT INTO copy VALUES (?, ?, 0)", (source, target))

    def _begin(self, source: str, target: str) -> None:
        [form] = self._db.execute("PRAGMA user_version").fetchone()
        if form != _FORMAT:
            raise ConfigurationError(
                f"The journal {self.path} was made by another release of chainlit-sqla; "
                "use that one, or delete the file: what is copied already is then compared"
            )
        [sound] = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise self._damaged(sound.splitlines()[-1])
        before = self._db.execute("SELECT source, target, run FROM copy").fetchone()
        if before is None:
            raise self._damaged("it does not say which copy it is of")
        if before[:2] != (source, target):
            raise ConfigurationError(
                f"{self.path} is the journal of the copy from {before[0]} to {before[1]}; "
                "name another file by --journal"
            )
        self._run = int(before[2]) + 1
        self._db.execute("UPDATE copy SET run = ?", (self._run,))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error
        except OSError as error:
            raise StorageError(
                f"Cannot open the journal {self.path} ({error.strerror}); "
                "name another file by --journal"
            ) from error

    def _error(self, error: sqlite3.Error) -> StorageError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # The rest says more, for experts.
        if code in _IN_USE:
            return StorageError(
                f"Another copy is under way with the journal {self.path}; let it end first"
            )
        if code in _DAMAGED:
            return self._damaged(error)
        if code == sqlite3.SQLITE_FULL:
            repair = "free some space and run the same command again"
        elif code in _DENIED:
            repair = "give this process permission, or name another file by --journal"
        else:
            repair = "look at that path, or name another file by --journal"
        where = self.path or "in the temporary folder"
        return StorageError(f"Cannot write the journal {where} ({error}); {repair}")

    def _damaged(self, why: object) -> StorageError:
        return StorageError(
            f"The journal {self.path} is damaged ({why}); delete it and run the same command "
            "again: what is copied already is then compared, not written again"
        )


def _make_private(path: Path) -> None:
    """Make a file that only this user can read; one that is there is not touched.

    Closing a file ends all locks of this process on it, those of SQLite, too.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
