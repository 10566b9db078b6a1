"""All that differs between databases; nothing else compares their names."""

from __future__ import annotations

from importlib import import_module

from ..errors import ConfigurationError
from .base import NO_LIMITS, BoundStatement, CompiledCall, Dialect, Rows
from .error_kinds import CommandTimeout, ErrorKind, SessionFault, driver_error, one_line
from .in_place import BACKUP_SUFFIX, Dependent, TableReplacement, qualified

# Each is imported when it is first used, for SQLAlchemy's part of it is large.
_MODULES = {
    "postgresql": ("postgresql.dialect", "PostgreSQL"),
    "postgres": ("postgresql.dialect", "PostgreSQL"),
    "sqlite": ("sqlite.dialect", "SQLite"),
    "mysql": ("mysql.dialect", "MySQL"),
    "mariadb": ("mysql.dialect", "MariaDB"),
}
_DIALECTS: dict[str, Dialect] = {}


def dialect_named(name: str) -> Dialect:
    """Return the dialect for the backend name of a URL, before "://" and any "+driver"."""
    if (dialect := _DIALECTS.get(name)) is not None:
        return dialect
    if name not in _MODULES:
        raise ConfigurationError(
            f"{name!r} is not a supported database; "
            "use a postgresql://, mysql://, mariadb:// or sqlite:/// URL"
        )
    module, class_name = _MODULES[name]
    dialect = getattr(import_module(f".{module}", __name__), class_name)()
    for alias, target in _MODULES.items():
        if target == _MODULES[name]:
            _DIALECTS.setdefault(alias, dialect)
    return _DIALECTS[name]


__all__ = [
    "BACKUP_SUFFIX",
    "NO_LIMITS",
    "BoundStatement",
    "CommandTimeout",
    "CompiledCall",
    "Dependent",
    "Dialect",
    "ErrorKind",
    "Rows",
    "SessionFault",
    "TableReplacement",
    "dialect_named",
    "driver_error",
    "one_line",
    "qualified",
]
