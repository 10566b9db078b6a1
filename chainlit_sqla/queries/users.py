"""Statements that read users."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from ..dialects import BoundStatement, Dialect
from ..models import users
from . import select_columns

COLUMNS = ("id", "identifier", "displayName", "metadata", "createdAt")
"""The columns of a user row."""


def by_identifier(dialect: Dialect, identifier: str) -> BoundStatement:
    """Select the user with an identifier; identifiers are case-sensitive.

    Args:
        dialect: The dialect of the database.
        identifier: The identifier.
    """
    return _by_identifier(dialect), {"identifier": identifier}


@cache
def _by_identifier(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*select_columns(dialect, users, COLUMNS))
    return query.where(users.c.identifier == bindparam("identifier"))
