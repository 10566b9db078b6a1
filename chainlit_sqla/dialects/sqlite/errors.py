"""What errors of SQLite mean, by its result codes (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from sqlalchemy import URL

from ..error_kinds import ErrorKind, driver_error

TRANSIENT_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DISK_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""Errors of the disk, not of a row: it may have space again later."""
_UNUSABLE_CODES = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
}
"""The whole file's fault, not the row's."""


def classify(error: BaseException) -> ErrorKind:
    """Classify an error of the driver.

    Args:
        error: The error.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return ErrorKind.REJECTED
    if code & 0xFF in TRANSIENT_CODES | _DISK_CODES:
        return ErrorKind.TRANSIENT
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return ErrorKind.REPEAT
    # No such table or column, for syntax is ours; or a file that no write gets into, which
    # `explain` names.
    if code == sqlite3.SQLITE_ERROR or code & 0xFF in _UNUSABLE_CODES:
        return ErrorKind.SCHEMA
    return ErrorKind.REJECTED


def explain(error: BaseException, url: URL, busy_seconds: float) -> str | None:
    """Explain files that cannot be opened, read or written, and a missing FTS5.

    Args:
        error: The error.
        url: Names the file.
        busy_seconds: How long a lock was waited for.

    Returns:
        A sentence with the repair; None for other errors.
    """
    database = url.database
    if "no such module: fts5" in str(driver_error(error)):
        return (
            f"The SQLite file {database} has a search index, and the SQLite of this "
            "Python has no FTS5; use a Python that has it, or run with one: "
            "chainlit-sqla search disable"
        )
    code = getattr(driver_error(error), "sqlite_errorcode", None)
    if code is None:
        return None
    match code & 0xFF:
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"The SQLite file {database} cannot be opened; check that its folder "
                "exists and that this user may write in it"
            )
        case sqlite3.SQLITE_NOTADB:
            return f"{database} is not a SQLite database; name another file"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return (
                f"The SQLite file {database} cannot be written; "
                "give this user write permission on the file and its folder"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"The SQLite file {database} has been locked for "
                f"{busy_seconds:.0f} s; end the other program that is writing to it"
            )
        case sqlite3.SQLITE_FULL:
            return f"There is no room for {database}; free disk space, and run it again"
        case sqlite3.SQLITE_IOERR:
            return (
                f"The disk did not read or write {database} or a file beside it "
                "(disk I/O error); see the log of the system, free disk space, check the disk "
                "or mount, and run it again"
            )
        case sqlite3.SQLITE_CORRUPT:
            return (
                f"The SQLite file {database} is damaged; restore a backup, or save what "
                "can be read with sqlite3's .recover"
            )
    return None
