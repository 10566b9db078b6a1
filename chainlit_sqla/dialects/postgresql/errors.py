"""What PostgreSQL's errors mean, and how to repair their causes."""

from __future__ import annotations

from asyncpg import ClientConfigurationError
from sqlalchemy import URL

from ..error_kinds import ErrorKind, driver_error

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_CLASSES = {"08", "28", "40", "53", "57", "58"}
# Lock timeout; a standby; idle timeout; the database accepts no connections or does not exist.
_TRANSIENT_CODES = {"55P03", "25006", "25P03", "55000", "3D000"}
_SCHEMA_CODES = {"42P01", "42703", "3F000", "42501"}  # no table, column, schema; no permission
_REPEAT_CODES = {"23503", "57014"}  # no parent row; statement timeout


def classify(error: BaseException) -> ErrorKind:
    """Return what an error means for a write, by its SQLSTATE.

    Args:
        error: The driver's error.
    """
    code = getattr(error, "sqlstate", None)
    if not code:
        # Raised by asyncpg itself: a wrong argument, or a misuse of the connection.
        return (
            ErrorKind.REJECTED
            if isinstance(error.__cause__ or error, ValueError)
            else ErrorKind.REPEAT
        )
    if code in _REPEAT_CODES:
        return ErrorKind.REPEAT
    if code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES:
        return ErrorKind.TRANSIENT
    if code in _SCHEMA_CODES:
        return ErrorKind.SCHEMA
    return ErrorKind.REJECTED


def explain(error: BaseException, url: URL, port: int | None) -> str | None:
    """Explain why a connection fails, with the repair; None: not known.

    Args:
        error: An error of the driver or of SQLAlchemy.
        url: The URL of the database.
        port: The port that the connection uses.
    """
    error = driver_error(error)
    where = f"{url.host or 'localhost'}:{port}"
    code = getattr(error, "sqlstate", None) or ""
    if "no pg_hba.conf entry" in str(error):
        return (
            f"PostgreSQL at {where} takes no such login ({error}); let it in by pg_hba.conf, or "
            "correct sslmode in the database URL"
        )
    if code[:2] == "28":
        return (
            f"PostgreSQL at {where} refuses the login of {url.username!r}; "
            "correct the user or the password in the database URL"
        )
    match code:
        case "3D000":
            return (
                f"PostgreSQL at {where} has no database {url.database!r}; "
                f"create it (createdb {url.database}) or correct the database URL"
            )
        case "42501" if "row-level security" in str(error):
            return (
                f"Row level security would hide rows from {url.username!r} ({error}); connect "
                "as a role with BYPASSRLS, or as the owner of the tables unless it is forced on "
                "them"
            )
        case "42501" if "must be owner" in str(error):
            return (
                f"{url.username!r} may not do this in {url.database!r} ({error}); connect as the "
                "owner, or as a member of the role that owns it"
            )
        case "42501":
            return (
                f"{url.username!r} may not do this in {url.database!r} ({error}); "
                "grant the permission, or create the schema as its owner"
            )
        case "25006":
            return (
                f"PostgreSQL at {where} is read-only ({error}); connect to the primary, "
                "or switch default_transaction_read_only off"
            )
        case "53300":
            return (
                f"PostgreSQL at {where} has no connection left; lower "
                "CHAINLIT_SQLA_POOL_SIZE or raise the server's max_connections"
            )
    if isinstance(error.__cause__, ClientConfigurationError):
        return (
            f"The database URL cannot be used ({error}); correct its parameters, such as sslmode "
            "and sslrootcert"
        )
    if isinstance(error, TimeoutError):
        return f"PostgreSQL at {where} does not answer; check the host, port and firewall"
    if isinstance(error, OSError):
        return (
            f"PostgreSQL at {where} cannot be reached ({error.strerror or error}); "
            "start the server or correct the database URL"
        )
    return None
