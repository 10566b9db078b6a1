"""What errors of SQLite mean, by its result codes (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from sqlalchemy import URL

from ..error_kinds import ErrorKind, driver_error

TRANSIENT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""The disk's fault, not the row's: it may have room again later."""


def classify(error: BaseException) -> ErrorKind:
    """Say what to do about an error.

    Args:
        error: Of the driver.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return ErrorKind.REJECTED
    if code & 0xFF in TRANSIENT | _DISK:
        return ErrorKind.TRANSIENT
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return ErrorKind.REPEAT
    if code == sqlite3.SQLITE_ERROR:  # No such table or column; syntax is ours.
        return ErrorKind.SCHEMA
    return ErrorKind.REJECTED


def explain(error: BaseException, url: URL, busy_seconds: float) -> str | None:
    """Say why a file cannot be used, with the repair; None: not known.

    Args:
        error: Any.
        url: Names the file.
        busy_seconds: How long a lock was waited for.
    """
    code = getattr(driver_error(error), "sqlite_errorcode", None)
    if code is None:
        return None
    match code & 0xFF:
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"The SQLite file {url.database} cannot be opened; check that its folder "
                "exists and that this user may write in it"
            )
        case sqlite3.SQLITE_NOTADB:
            return f"{url.database} is not a SQLite database; name another file"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return (
                f"The SQLite file {url.database} cannot be written; "
                "give this user write permission on the file and its folder"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"The SQLite file {url.database} has been locked for "
                f"{busy_seconds:.0f} s; end the other program that is writing to it"
            )
        case sqlite3.SQLITE_FULL:
            return f"There is no room for {url.database}; free disk space, and run it again"
        case sqlite3.SQLITE_IOERR:
            return (
                f"The disk did not read or write {url.database} or a file beside it "
                "(disk I/O error); see the log of the system, free disk space, check the disk "
                "or mount, and run it again"
            )
        case sqlite3.SQLITE_CORRUPT:
            return (
                f"The SQLite file {url.database} is damaged; restore a backup, or save what "
                "can be read with sqlite3's .recover"
            )
    return None
