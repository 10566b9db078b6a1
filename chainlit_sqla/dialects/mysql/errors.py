"""What the errors of MySQL and MariaDB mean, and how to repair their causes.

A statement larger than ``max_allowed_packet`` ends the connection. It looks like a lost connection,
after which a write is repeated; `Packet` distinguishes the two by the size of the statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from ...errors import RejectedRow
from ..error_kinds import CommandTimeout, ErrorKind, SessionFault, driver_error
from .url import where as address

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ExceptionContext

# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and, from 1900 on,
# https://mariadb.com/docs/server/reference/error-codes
_REJECTED_CLASSES = {"22", "23"}
_REJECTED = {
    *(1048, 1138, 1263, 1364),  # NULL, or no value.
    *(1022, 1062, 1169, 1217, 1451, 1557, 1586, 1859),  # Keys.
    *(1264, 1265, 1292, 1300, 1365, 1366, 1367, 1406, 1411, 1441, 1690),  # Range, type, length.
    *(1526, 1748),  # No partition for it.
    *(1118, 1153, 1301),  # Row size, size of a packet.
    *range(3140, 3159),  # MySQL's JSON, without 3159: login without TLS.
    *(3819, 4025),  # Check constraints of MySQL and MariaDB.
    *range(4035, 4041),  # MariaDB's JSON.
}
_FULL = {1040, 1203, 1226}  # No connection left; the user's limits.
_READ_ONLY_CODES = {1290, 1792, 1836, 1015, 1036, 3989}  # Server, transactions, files, database.
_NO_PRIMARY = {*_READ_ONLY_CODES, 1047, 3032}  # A Galera node without its cluster; offline.
_ENDED = {1053, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031}
_CLIENT = range(2000, 2100)
"""Numbers of the client itself: the server cannot be reached, or is lost."""
_TRANSIENT = {
    *_FULL,
    *_NO_PRIMARY,
    *_ENDED,
    *_CLIENT,
    *(1044, 1045, 1049, 1129, 1130, 1698, 3118, 3159),  # Login; database missing.
    *(1021, 1114),  # Disk full; table full.
    *(1206, 1213, 1412, 1020, 1180),  # Deadlock, concurrent change.
}
_LOCKED = {1205, 3058, 3572}
_NO_PARENT = {1216, 1452}
_SCHEMA = {1051, 1054, 1146}  # No table, no column.
_TOO_LONG, _TOO_LARGE = 1406, 1153
_UNREACHED = {2002, 2003}
_OUT_OF_STEP = "Packet sequence number wrong"
"""How the driver's message begins when an error arrives while it sends a large statement. The
connection is unusable then."""
_ESCAPED = "\\'\"\n\r\0\x1a"

_LOGIN = (
    "MySQL at {where} refuses the login of {user}; "
    "correct the user or the password in the database URL"
)
_PERMISSION = (
    "{user} may not do this in {database!r} ({words}); grant the permission "
    "(GRANT ALL ON {database}.* TO the account)"
)
_READ_ONLY = (
    "MySQL at {where} is read-only ({words}); connect to the primary, or switch read_only off"
)
_EXPLAINED = {
    **dict.fromkeys(_READ_ONLY_CODES, _READ_ONLY),
    1045: _LOGIN,
    1698: _LOGIN,
    1130: "MySQL at {where} takes no connections from this host ({words}); "
    "make an account for it, such as {user}@'%'",
    1049: "MySQL at {where} has no database {database!r}; create it "
    "(CREATE DATABASE {database} CHARACTER SET utf8mb4) or correct the database URL",
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370), _PERMISSION),
    **dict.fromkeys(_LOCKED, "Another transaction in {database!r} keeps a row locked; end it"),
    1047: "The Galera node at {where} is not part of its cluster ({words}); connect to another "
    "node, or join it again",
    3032: "MySQL at {where} is offline for all but administrators; set offline_mode to OFF",
    1040: "MySQL at {where} has no connection left; lower CHAINLIT_SQLA_POOL_SIZE "
    "or raise the server's max_connections",
    1665: "The binary log of MySQL at {where} is written by statement, which InnoDB refuses in "
    "READ COMMITTED; set binlog_format to ROW or MIXED",
    3159: "MySQL at {where} takes only encrypted connections; "
    "add ?ssl-mode=REQUIRED to the database URL",
}


def classify(error: BaseException) -> ErrorKind:
    """Return what an error of the driver means for a write, by its number."""
    number, state = _number(error), getattr(driver_error(error), "sqlstate", None) or ""
    if not number or number in _TRANSIENT:  # Without a number: the driver's own, "Not connected".
        return ErrorKind.TRANSIENT
    if number in _NO_PARENT:
        return ErrorKind.REPEAT
    if number in _LOCKED:
        return ErrorKind.LOCKED
    if number in _REJECTED or state[:2] in _REJECTED_CLASSES:
        return ErrorKind.REJECTED
    return ErrorKind.SCHEMA if number in _SCHEMA else ErrorKind.OTHER


def session_fault(error: BaseException) -> SessionFault | None:
    """Return what an error says about sessions."""
    number = _number(error)
    if number in _FULL:
        return SessionFault.FULL
    if number in _NO_PRIMARY or number in _CLIENT or isinstance(driver_error(error), OSError):
        return SessionFault.STALE
    return SessionFault.BROKEN if not number or number in _ENDED else None


def explain(error: BaseException, url: URL) -> str | None:
    """Explain in one sentence, with the repair, why a connection fails; None: not known."""
    error = driver_error(error)
    where = address(url)
    number = _number(error)
    if sentence := _EXPLAINED.get(number or 0):
        return sentence.format(
            where=where, user=repr(url.username), database=url.database, words=_words(error)
        )
    if isinstance(error, CommandTimeout):
        return (
            f"MySQL at {where} did not answer a statement in time; check the server, or raise "
            "CHAINLIT_SQLA_COMMAND_TIMEOUT"
        )
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
        return f"MySQL at {where} does not answer; check the host, port and firewall"
    if number in _UNREACHED or isinstance(error, OSError):
        return (
            f"MySQL at {where} cannot be reached ({_words(error.__cause__ or error)}); "
            "start the server or correct the database URL"
        )
    return None


class Packet:
    """Recognizes statements that are larger than the server's ``max_allowed_packet``."""

    def __init__(self) -> None:
        self._bytes = 0

    def measure(self, connection: Any, _record: Any) -> None:
        """Read the limit on a new connection."""
        cursor = connection.cursor()
        cursor.execute("SELECT @@max_allowed_packet")
        self._bytes = int(cursor.fetchone()[0])
        cursor.close()

    def explain(self, context: ExceptionContext) -> Exception | None:
        """Return a `RejectedRow` for a row that can never be written, None for other errors."""
        number = _number(context.original_exception)
        lost = number == _TOO_LARGE or _is_out_of_step(context.original_exception)
        if number == _TOO_LONG:
            return RejectedRow(
                f"The database takes no such long text ({_words(context.original_exception)}): "
                "ids have 255 characters at most, user identifiers 512; use a shorter one"
            )
        if lost or context.is_disconnect:
            if lost:  # The server has closed this connection only.
                context.is_disconnect = True
                context.invalidate_pool_on_disconnect = False
            size = _largest(context.parameters)
            # The statement is sent with the row. Some servers close the connection before the
            # client has read the error.
            if number == _TOO_LARGE or 0 < self._bytes <= size + len(context.statement or ""):
                return RejectedRow(
                    f"A row of {size:,} bytes is more than the server accepts "
                    f"({self._bytes:,}); raise its max_allowed_packet"
                )
        return None


def _is_out_of_step(error: BaseException) -> bool:
    error = driver_error(error)
    return bool(error.args) and str(error.args[0]).startswith(_OUT_OF_STEP)


def _largest(parameters: Any) -> int:
    """Return the size of the largest row in bytes, as it is sent."""
    rows = parameters if isinstance(parameters, list) else [parameters]
    return max((sum(map(_size, row or ())) for row in rows), default=0)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode()) + sum(map(value.count, _ESCAPED))
    return len(value) if isinstance(value, bytes) else 0


def _number(error: BaseException) -> int | None:
    arguments = driver_error(error).args
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _words(error: BaseException) -> str:
    error = driver_error(error)
    return str(error.args[-1]) if error.args else type(error).__name__
