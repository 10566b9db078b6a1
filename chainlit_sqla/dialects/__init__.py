"""All that differs between databases, one file each; nothing else compares their names."""

from __future__ import annotations

from importlib import import_module

from ..errors import ConfigurationError
from .base import BoundStatement, CompiledCall, Dialect, Rows
from .compiled import CompiledCache
from .error_kinds import ErrorKind, driver_error, one_line
from .fast_batch import FastBatch, FastBatchOutcome, FastBatchSteps, FastBatchThread
from .in_place import BACKUP_SUFFIX, Dependent, TableReplacement, TablesInUse

# Each is imported when it is first used, for SQLAlchemy's part of it is large.
_HOMES = {
    "postgresql": ("postgresql.dialect", "PostgreSQL"),
    "postgres": ("postgresql.dialect", "PostgreSQL"),
    "sqlite": ("sqlite.dialect", "SQLite"),
    "mysql": ("mysql.dialect", "MySQL"),
    "mariadb": ("mysql.dialect", "MariaDB"),
}
_DIALECTS: dict[str, Dialect] = {}


def dialect_named(name: str) -> Dialect:
    """Find the dialect for the backend name of a URL.

    Args:
        name: The part of a URL before "://" and before any "+driver".

    Raises:
        ConfigurationError: There is no such dialect.

    Example:
        >>> dialect_named("postgres").title
        'PostgreSQL'
    """
    if (found := _DIALECTS.get(name)) is not None:
        return found
    if name not in _HOMES:
        raise ConfigurationError(
            f"{name!r} is not a database that chainlit-sqla speaks; "
            "use a postgresql://, mysql://, mariadb:// or sqlite:/// URL"
        )
    module, kind = home = _HOMES[name]
    made = getattr(import_module(f".{module}", __name__), kind)()
    for other in _HOMES:
        if _HOMES[other] == home:
            _DIALECTS.setdefault(other, made)
    return _DIALECTS[name]


__all__ = [
    "BACKUP_SUFFIX",
    "BoundStatement",
    "CompiledCache",
    "CompiledCall",
    "Dependent",
    "Dialect",
    "ErrorKind",
    "FastBatch",
    "FastBatchOutcome",
    "FastBatchSteps",
    "FastBatchThread",
    "Rows",
    "TableReplacement",
    "TablesInUse",
    "dialect_named",
    "driver_error",
    "one_line",
]
