"""What a server must have: each function raises `ServerUnsuitable`, with the repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from ..errors import ServerUnsuitable

LOWEST = {
    "PostgreSQL": (12,),
    "MySQL": (8, 0, 19),
    "MariaDB": (10, 6),
    "SQLite": (3, 35),
}
"""The oldest versions that have every statement of ours."""

_MOVE = (
    "set its URL, and run: chainlit-sqla upgrade; chainlit-sqla import --from, with the URL of "
    "this one"
)
_POSTGRESQL = text(
    "SELECT current_setting('server_version_num')::int / 10000, "
    "current_setting('server_encoding'), current_setting('client_encoding')"
)
# Documents and texts, which are in no key, may have another collation.
_MYSQL_TABLES = text("""
    SELECT DISTINCT table_name AS name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name IN :names AND (character_set_name <> 'utf8mb4'
      OR data_type = 'varchar' AND collation_name <> :collation)
    ORDER BY name
""").bindparams(bindparam("names", expanding=True))
_BINARY_LOG = text("SHOW VARIABLES WHERE variable_name IN ('log_bin', 'binlog_format')")


def mysql_collation(dialect: Any) -> str:
    """Return the collation of keys: by code points, with significant trailing spaces."""
    return "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"


def check_postgresql(connection: Connection, tables: Sequence[str]) -> None:  # noqa: ARG001
    """Check the version and the encodings; collations only order, they compare bytes."""
    version, encoding, client = connection.execute(_POSTGRESQL).one()
    _check_version("PostgreSQL", (version,))
    if encoding != "UTF8":
        raise ServerUnsuitable(
            f"The encoding of this database is {encoding}, which cannot hold every message; "
            "create another one (CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0), "
            f"{_MOVE}"
        )
    if client != "UTF8":
        raise ServerUnsuitable(
            f"The connection has client_encoding={client}; remove it from the URL, the pooler, or "
            "the role (ALTER ROLE … RESET client_encoding)"
        )


def check_mysql(connection: Connection, tables: Sequence[str]) -> None:
    """Check the version, the binary log, and what a dump or ALTER TABLE did to the tables."""
    dialect: Any = connection.dialect
    _check_version("MariaDB" if dialect.is_mariadb else "MySQL", dialect.server_version_info)
    log = {name.lower(): value for name, value in connection.execute(_BINARY_LOG)}
    if log.get("log_bin") == "ON" and log.get("binlog_format") == "STATEMENT":
        raise ServerUnsuitable(
            "The server writes its binary log by statement, which InnoDB refuses in READ "
            "COMMITTED; set binlog_format to ROW or MIXED"
        )
    collation = mysql_collation(dialect)
    values = {"names": list(tables), "collation": collation}
    if names := list(connection.scalars(_MYSQL_TABLES, values)):
        raise ServerUnsuitable(
            f"Tables have another character set than utf8mb4, or keys in another collation than "
            f"{collation} ({', '.join(names)}), so messages or users would be lost; create another "
            f"database, {_MOVE}"
        )


def check_sqlite(connection: Connection, tables: Sequence[str]) -> None:  # noqa: ARG001
    """Check the version, and the functions for JSON, which old versions may lack."""
    version = str(connection.scalar(select(func.sqlite_version())))
    _check_version("SQLite", tuple(map(int, version.split("."))))
    try:
        connection.scalar(select(func.json_type("{}")))
    except DBAPIError as error:
        raise ServerUnsuitable(
            "The SQLite of this Python has no functions for JSON; use a Python whose SQLite has "
            "them, such as one from python.org"
        ) from error


def _check_version(name: str, version: Sequence[int]) -> None:
    if tuple(version) < LOWEST[name]:
        found, lowest = (".".join(map(str, parts)) for parts in (version, LOWEST[name]))
        raise ServerUnsuitable(f"{name} {found} is too old; upgrade it to {lowest} or newer")
