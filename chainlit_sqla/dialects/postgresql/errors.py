"""What PostgreSQL's errors mean, and how to repair their causes."""

from __future__ import annotations

from asyncpg import ClientConfigurationError
from sqlalchemy import URL

from ..base import ErrorKind, driver_error

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_CLASSES = {"08", "28", "40", "53", "57", "58"}
# Lock timeout; a standby; idle timeout; the database accepts no connections or does not exist.
_TRANSIENT_CODES = {"55P03", "25006", "25P03", "55000", "3D000"}
_SCHEMA_CODES = {"42P01", "42703", "3F000", "42501"}  # no table, column, schema; no permission
_REPEAT_CODES = {"23503", "57014"}  # no parent row; statement timeout

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
    "53300": "PostgreSQL at {where} has no connection left; lower CHAINLIT_SQLA_POOL_SIZE or raise "
    "the server's max_connections",
}
_NO_ANSWER = "PostgreSQL at {where} does not answer; check the host, port and firewall"
_UNREACHED = (
    "PostgreSQL at {where} cannot be reached ({error}); start the server or correct the database "
    "URL"
)


def classify(error: BaseException) -> ErrorKind:
    """Return what an error means for a write, by its SQLSTATE."""
    code = getattr(error, "sqlstate", None)
    if not code:
        # Raised by asyncpg itself: a wrong argument, or a misuse of the connection.
        is_argument = isinstance(error.__cause__ or error, ValueError)
        return ErrorKind.REJECTED if is_argument else ErrorKind.REPEAT
    if code in _REPEAT_CODES:
        return ErrorKind.REPEAT
    if code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES:
        return ErrorKind.TRANSIENT
    return ErrorKind.SCHEMA if code in _SCHEMA_CODES else ErrorKind.REJECTED


def explain(error: BaseException, url: URL) -> str | None:
    """Explain why a connection fails, with the repair; None: not known."""
    error = driver_error(error)
    sentence = _sentence(error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return sentence and sentence.format(
        where=f"{url.host or 'localhost'}:{url.port or 5432}",
        user=repr(url.username),
        database=url.database,
        error=reason,
    )


def _sentence(error: BaseException) -> str | None:
    if code := getattr(error, "sqlstate", None):
        by_words = (sentence for words, sentence in _BY_WORDS.items() if words in str(error))
        return next(by_words, None) or _BY_CODE.get(code) or _BY_CODE.get(code[:2])
    if isinstance(error.__cause__, ClientConfigurationError):
        return _UNUSABLE_URL
    if isinstance(error, TimeoutError):
        return _NO_ANSWER
    return _UNREACHED if isinstance(error, OSError) else None
