"""All that differs between databases, one file each; nothing else compares their names."""

from __future__ import annotations

from ..errors import ConfigurationError
from .base import Asked, Call, Dialect, Fault, Rows, brief, original
from .burst import Burst
from .compiled import CompiledCache
from .postgresql import PostgreSQL
from .sqlite import SQLite

_DIALECTS: dict[str, Dialect] = {}
for _dialect in (PostgreSQL(), SQLite()):
    for _name in (_dialect.name, *_dialect.aliases):
        _DIALECTS[_name] = _dialect


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
    try:
        return _DIALECTS[name]
    except KeyError:
        raise ConfigurationError(
            f"{name!r} is not a database that chainlit-sqla speaks; "
            "use a postgresql:// or sqlite:/// URL"
        ) from None


__all__ = [
    "Asked",
    "Burst",
    "Call",
    "CompiledCache",
    "Dialect",
    "Fault",
    "Rows",
    "brief",
    "dialect_named",
    "original",
]
