"""Reading users."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from ..dialects import Asked, Dialect
from ..models import users
from .columns import shown

COLUMNS = ("id", "identifier", "displayName", "metadata", "createdAt")
"""The columns of a row."""


def by_identifier(dialect: Dialect, identifier: str) -> Asked:
    """The user that logs in under a name; names differ by case.

    Args:
        dialect: The database's dialect.
        identifier: The name.
    """
    return _by_identifier(dialect), {"identifier": identifier}


@cache
def _by_identifier(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*shown(dialect, users, COLUMNS))
    return query.where(users.c.identifier == bindparam("identifier"))
