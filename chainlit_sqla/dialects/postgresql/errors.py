"""What PostgreSQL's errors mean, and how to repair their causes."""

from __future__ import annotations

import asyncpg
from asyncpg import ClientConfigurationError
from asyncpg.exceptions import InvalidCachedStatementError
from sqlalchemy import URL

from ..error_kinds import CommandTimeout, ErrorKind, SessionFault, driver_error
from .url import where

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
# Values, constraints, and limits of a value: an index row, a JSON document, its depth.
_REJECTED_CLASSES = {"22", "23", "54"}
# Connection, state of the transaction (such as a standby's), login, conflicts, resources,
# shutdown, the server's disk.
_TRANSIENT_CLASSES = {"08", "25", "28", "40", "53", "57", "58"}
# The database accepts no connections, or does not exist; mixed-up prepared statements.
_TRANSIENT_CODES = {"55000", "3D000", "26000", "42P05"}
_SCHEMA_CODES = {"42P01", "42703", "3F000"}  # no table, column, schema
_NO_PARENT, _CANCELED, _LOCK_TIMEOUT = "23503", "57014", "55P03"
_READ_ONLY, _FULL, _PROTOCOL = "25006", "53300", "08P01"
_UNPREPARED_CODES = {"26000", "42P05"}
_POOLER_IS_FULL = ("no more connections allowed", "query_wait_timeout", "client_login_timeout")
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_UNSUPPORTED = (
    ClientConfigurationError,
    asyncpg.UnsupportedClientFeatureError,
    asyncpg.UnsupportedServerFeatureError,
)

_UNUSABLE_URL = (
    "The database URL cannot be used ({error}); correct its parameters, such as sslmode and "
    "sslrootcert"
)
_BY_WORDS = {
    "no pg_hba.conf entry": "PostgreSQL at {where} takes no such login ({error}); let it in by "
    "pg_hba.conf, or correct sslmode in the database URL",
    "unrecognized configuration parameter": _UNUSABLE_URL,
    "statement timeout": "PostgreSQL at {where} stopped a statement ({error}); raise "
    "statement_timeout for {user}, and run it again",
    "violates row-level security": "A row level security policy refuses what {user} writes into "
    "{database!r} ({error}); correct the policy, or connect as a role that it admits",
    "row-level security": "Row level security would hide rows from {user} ({error}); connect "
    "as a role with BYPASSRLS, or as the owner of the tables unless it is forced on them",
    "must be owner": "{user} may not do this in {database!r} ({error}); connect as the owner, or "
    "as a member of the role that owns it",
}
_BY_CODE = {
    "28": "PostgreSQL at {where} refuses the login of {user}; correct the user or the password in "
    "the database URL",
    "3D000": "PostgreSQL at {where} has no database {database!r}; create it (createdb {database}) "
    "or correct the database URL",
    "42501": "{user} may not do this in {database!r} ({error}); grant the permission, or create "
    "the schema as its owner",
    "25006": "PostgreSQL at {where} is read-only ({error}); connect to the primary, or switch "
    "default_transaction_read_only off",
    "55P03": "Another transaction in {database!r} keeps a row locked ({error}); end it",
    "53300": "PostgreSQL at {where} has no connection left; lower CHAINLIT_SQLA_POOL_SIZE or raise "
    "the server's max_connections",
}
_NOT_IN_TIME = (
    "PostgreSQL at {where} did not answer a statement in time; check the server, or raise "
    "CHAINLIT_SQLA_COMMAND_TIMEOUT"
)
_NO_ANSWER = "PostgreSQL at {where} does not answer; check the host, port and firewall"
_UNREACHED = (
    "PostgreSQL at {where} cannot be reached ({error}); start the server or correct the database "
    "URL"
)


def classify(error: BaseException) -> ErrorKind:
    """Return what an error means for a write: by its SQLSTATE, or by the class of the driver's."""
    if code := getattr(error, "sqlstate", None):
        return _classify_code(code, error)
    cause = _cause(error)
    if isinstance(cause, _UNSUPPORTED):
        return ErrorKind.OTHER
    if _is_unbound_value(cause):
        return ErrorKind.REJECTED
    # The driver's view of its connection is out of step with the server's, as when a server ends
    # a connection in two steps.
    return ErrorKind.TRANSIENT if isinstance(cause, DRIVER_ERRORS) else ErrorKind.OTHER


def _classify_code(code: str, error: BaseException) -> ErrorKind:
    cause = _cause(error)
    # Another process migrated; or the session ends, whatever the row.
    if isinstance(cause, InvalidCachedStatementError) or _is_fatal(cause):
        return ErrorKind.TRANSIENT
    if code == _NO_PARENT:
        return ErrorKind.REPEAT
    if code == _LOCK_TIMEOUT:
        return ErrorKind.LOCKED
    if code[:2] in _REJECTED_CLASSES:
        return ErrorKind.REJECTED
    if code == _CANCELED:  # Statement timeout: a smaller batch may be in time.
        return ErrorKind.OTHER
    if code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES:
        return ErrorKind.TRANSIENT
    return ErrorKind.SCHEMA if code in _SCHEMA_CODES else ErrorKind.OTHER


def session_fault(error: BaseException) -> SessionFault | None:
    """Return what an error says about sessions."""
    error = driver_error(error)
    cause, code, message = _cause(error), getattr(error, "sqlstate", None), str(error)
    if isinstance(error, OSError):
        return SessionFault.STALE
    if not code:
        return None if _is_unbound_value(cause) else SessionFault.BROKEN
    if code in _UNPREPARED_CODES or (code == _PROTOCOL and "prepared statement" in message):
        return SessionFault.UNPREPARED
    if code == _FULL or (code == _PROTOCOL and message.startswith(_POOLER_IS_FULL)):
        return SessionFault.FULL
    if code == _READ_ONLY or code[:2] == "08":
        return SessionFault.STALE
    if _is_fatal(cause):
        return SessionFault.STALE if code[:2] == "57" else SessionFault.BROKEN
    return SessionFault.BROKEN if code[:2] == "25" else None


def _cause(error: BaseException) -> BaseException:
    """Return asyncpg's error, which SQLAlchemy's adapter has as its cause."""
    cause = error.__cause__
    return (
        cause
        if isinstance(cause, DRIVER_ERRORS) and not isinstance(error, DRIVER_ERRORS)
        else error
    )


def _is_unbound_value(error: BaseException) -> bool:
    """Recognize asyncpg's ``DataError`` about arguments, hidden by the server's of that name."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


def _is_fatal(error: BaseException) -> bool:
    return getattr(error, "severity_en", None) in {"FATAL", "PANIC"}


def explain(error: BaseException, url: URL) -> str | None:
    """Explain why a connection fails, with the repair; None: not known."""
    error = driver_error(error)
    sentence = _sentence(error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return sentence and sentence.format(
        where=where(url),
        user=repr(url.username),
        database=url.database,
        error=reason,
    )


def _sentence(error: BaseException) -> str | None:
    if code := getattr(error, "sqlstate", None):
        by_words = (sentence for words, sentence in _BY_WORDS.items() if words in str(error))
        return next(by_words, None) or _BY_CODE.get(code) or _BY_CODE.get(code[:2])
    if isinstance(_cause(error), ClientConfigurationError):
        return _UNUSABLE_URL
    if isinstance(error, CommandTimeout):
        return _NOT_IN_TIME
    if isinstance(error, TimeoutError):
        return _NO_ANSWER
    return _UNREACHED if isinstance(error, OSError) else None
