"""Column types that are the same in Python on every database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect as EngineDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from .dialects import dialect_named


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with microseconds: aware in Python, UTC in the database.

    Raises:
        ValueError: On writing a naive datetime, whose instant nobody knows.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        """Ask the dialect for its column type."""
        return dialect.type_descriptor(dialect_named(dialect.name).instant_type())

    def process_bind_param(self, value: datetime | None, dialect: EngineDialect) -> Any:
        """To the driver's form."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return dialect_named(dialect.name).bind_instant(value)

    def process_result_value(self, value: Any, dialect: EngineDialect) -> datetime | None:
        """To an aware datetime."""
        return None if value is None else dialect_named(dialect.name).result_instant(value)


class JsonDocument(TypeDecorator[Any]):
    """A JSON value; None is SQL NULL, `JsonText` is written as it is."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        """Ask the dialect for its column type."""
        return dialect.type_descriptor(dialect_named(dialect.name).json_type())

    def process_bind_param(self, value: Any, dialect: EngineDialect) -> Any:
        """To the driver's form."""
        return None if value is None else dialect_named(dialect.name).bind_json(value)

    def process_result_value(self, value: Any, dialect: EngineDialect) -> Any:
        """To Python's form."""
        return None if value is None else dialect_named(dialect.name).result_json(value)
