"""Column types that have the same Python values on every database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect as EngineDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from . import Dialect, dialect_named


class LongText(TypeDecorator[str]):
    """A text of any length."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        return _dialect_of(dialect).text_type


class Key(TypeDecorator[str]):
    """A text in a key or an index; letter case and trailing spaces are significant."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int = 255) -> None:
        super().__init__()
        self.length = length

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        return _dialect_of(dialect).key_type(self.length)


class ObjectKey(TypeDecorator[str]):
    """The key of a blob as a primary key: up to 1,024 bytes, which not all text types index."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        return _dialect_of(dialect).object_key_type

    def process_bind_param(self, value: str | None, dialect: EngineDialect) -> Any:
        return None if value is None else _dialect_of(dialect).bind_object_key(value)

    def process_result_value(self, value: Any, dialect: EngineDialect) -> str | None:
        return None if value is None else _dialect_of(dialect).result_object_key(value)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with microseconds: aware in Python, UTC in the database."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_dialect_of(dialect).timestamp_type)

    def process_bind_param(self, value: datetime | None, dialect: EngineDialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return _dialect_of(dialect).bind_timestamp(value)

    def process_result_value(self, value: Any, dialect: EngineDialect) -> datetime | None:
        return None if value is None else _dialect_of(dialect).result_timestamp(value)


class JsonDocument(TypeDecorator[Any]):
    """A JSON value; None is SQL NULL, `JsonText` is written unchanged."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: EngineDialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_dialect_of(dialect).json_type)

    def process_bind_param(self, value: Any, dialect: EngineDialect) -> Any:
        return None if value is None else _dialect_of(dialect).bind_json(value)

    def process_result_value(self, value: Any, dialect: EngineDialect) -> Any:
        return None if value is None else _dialect_of(dialect).result_json(value)


def _dialect_of(dialect: EngineDialect) -> Dialect:
    """Return our dialect; for statements that are only printed, that of SQLite."""
    return dialect_named("sqlite" if dialect.name == "default" else dialect.name)
