"""What an error of a database means, whichever database it is."""

from __future__ import annotations

from enum import Enum

from sqlalchemy.exc import DBAPIError

from .._internal.outage import printable


class ErrorKind(Enum):
    """What an error of the database means for the failed write."""

    TRANSIENT = "transient"
    """Lost connection, deadlock, serialization failure: the same write may succeed later."""
    LOCKED = "locked"
    """Another transaction holds a row's lock longer than the lock timeout."""
    REPEAT = "repeat"
    """A parent row that vanished meanwhile: repeat a few times, then the row is refused."""
    OTHER = "other"
    """Anything else, such as a missing permission: the write may succeed later, but a part of the
    batch may be the cause. It is isolated and repeated alone, and the others are written."""
    SCHEMA = "schema"
    """A table or column is missing, or the file is damaged: no row can be written."""
    REJECTED = "rejected"
    """The database refuses the values of this row. What is not known to be a row's fault is
    never this kind."""


class SessionFault(Enum):
    """What an error says about the database's sessions, apart from the failed statement."""

    BROKEN = "broken"
    """The state of the session is unknown: its connection must not be used again."""
    STALE = "stale"
    """The server is lost or read-only: the sessions that were opened before are unusable, too."""
    UNPREPARED = "unprepared"
    """A pooler gives prepared statements to other sessions than those that prepared them."""
    FULL = "full"
    """The server accepts no further session."""


class CommandTimeout(TimeoutError):
    """A statement had no answer on an open connection, which has been closed."""

    def __str__(self) -> str:
        return "no answer in time"


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error that an error of SQLAlchemy wraps."""
    while isinstance(error, DBAPIError) and error.orig not in (None, error):
        error = error.orig
    return error


def one_line(error: BaseException) -> str:
    """Return the driver's message in one line, without the SQL and its parameters."""
    error = driver_error(error)
    return printable((str(error).splitlines() or [""])[0]) or type(error).__name__
