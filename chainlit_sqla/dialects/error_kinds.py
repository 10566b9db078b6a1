"""What the errors of databases mean for a write, and how they are explained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class ErrorKind(Enum):
    """What an error of the database means for the failed write."""

    TRANSIENT = "transient"
    """Lost connection, deadlock, serialization failure: the same write may succeed later."""
    REPEAT = "repeat"
    """A parent row that vanished meanwhile, a statement that took too long: repeat a few times."""
    SCHEMA = "schema"
    """A table or column is missing: no row can be written."""
    REJECTED = "rejected"
    """The row is refused."""


def one_line(error: BaseException) -> str:
    """Return the driver's message in one line, without the SQL and its parameters.

    Args:
        error: An error of SQLAlchemy or of the driver.
    """
    error = driver_error(error)
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error that an error of SQLAlchemy wraps."""
    while isinstance(error, SQLAlchemyError) and isinstance(error, DBAPIError):
        if error.orig is None or error.orig is error:
            break
        error = error.orig
    return error


class ErrorClassification(ABC):
    """What the errors of a database's driver mean."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The errors of a connection; SQLAlchemy 2.0 does not wrap all errors of connecting."""
        return (SQLAlchemyError, OSError)

    def classify(self, error: BaseException) -> ErrorKind:
        """Classify an error by the driver's code: what it means for a write."""
        if isinstance(error, (OSError, PoolTimeout)):
            return ErrorKind.TRANSIENT
        if isinstance(error, DBAPIError):
            if error.connection_invalidated:
                return ErrorKind.TRANSIENT
            return self.classify_driver_error(driver_error(error))
        if isinstance(error, self.errors) and not isinstance(error, SQLAlchemyError):
            return self.classify_driver_error(error)
        return ErrorKind.REJECTED

    @abstractmethod
    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        """Classify an error of the driver itself."""

    @abstractmethod
    def explain(self, error: BaseException, url: URL) -> str | None:
        """Explain in one sentence, with the repair, why a connection fails; None if unknown."""
