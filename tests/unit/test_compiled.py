"""Statements that are compiled once mean the same as SQLAlchemy's own execution of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, literal, select
from sqlalchemy.ext.asyncio import create_async_engine

from chainlit_sqla.dialects.compiled import compile_statement
from chainlit_sqla.models import steps, users

BY_NAME = select(users.c.id, literal("x")).where(
    users.c.identifier == bindparam("name"), users.c.displayName == bindparam("name")
)


def dialect(url: str) -> Any:
    return create_async_engine(url).dialect


@pytest.fixture
def postgresql() -> Any:
    return dialect("postgresql+asyncpg://localhost/none")


def test_values_come_in_the_drivers_order_and_literals_from_the_statement(postgresql: Any) -> None:
    compiled = compile_statement(BY_NAME, postgresql)
    assert compiled.arguments({"name": "n"}) == ["x", "n"]
    in_sqlite = compile_statement(BY_NAME, dialect("sqlite+aiosqlite://"))
    assert in_sqlite.arguments({"name": "n"}) == ["x", "n", "n"]


def test_a_missing_value_is_an_error_and_not_null(postgresql: Any) -> None:
    with pytest.raises(KeyError):
        compile_statement(BY_NAME, postgresql).arguments({})


def test_each_schema_has_its_own_text(postgresql: Any) -> None:
    assert '"my schema".users' in compile_statement(BY_NAME, postgresql, "my schema").sql
    assert "my schema" not in compile_statement(BY_NAME, postgresql).sql


def test_a_text_that_depends_on_the_values_is_refused(postgresql: Any) -> None:
    with pytest.raises(ValueError, match="depends on the values"):
        compile_statement(select(users).where(users.c.id.in_(["a", "b"])), postgresql)


def test_literals_of_null_stay_null(postgresql: Any) -> None:
    compiled = compile_statement(select(steps.c.id, literal(None)), postgresql)
    assert compiled.arguments({}) in ([], [None])
