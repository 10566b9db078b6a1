"""What an error of the database means for a write."""

from __future__ import annotations

from enum import Enum

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class ErrorKind(Enum):
    """What an error of the database means for the write that met it."""

    TRANSIENT = "transient"
    """Lost connection, deadlock, serialization failure: the same write may succeed later."""
    REPEAT = "repeat"
    """A parent that vanished meanwhile, a statement that took too long: worth a few times."""
    SCHEMA = "schema"
    """A table or column is missing: no row can be written."""
    REJECTED = "rejected"
    """This very row is refused."""


def one_line(error: BaseException) -> str:
    """The driver's message in one line, without the SQL and its parameters.

    Args:
        error: An error of SQLAlchemy or of the driver.
    """
    error = driver_error(error)
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def driver_error(error: BaseException) -> BaseException:
    """The driver's error below SQLAlchemy's."""
    while isinstance(error, SQLAlchemyError) and isinstance(error, DBAPIError):
        if error.orig is None or error.orig is error:
            break
        error = error.orig
    return error
