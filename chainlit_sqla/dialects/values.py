"""How each database declares, stores and reads values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.types import TypeEngine

from .._internal.timestamps import format_instant


class ValueConversion(ABC):
    """The column types of a database, and conversions to and from its driver's values.

    Columns have the types of `chainlit_sqla.dialects.column_types`, which call ``bind_…`` and
    ``result_…``. Hot reads select columns by ``select_…`` instead, and convert by
    ``format_timestamp`` and ``load_json``.
    """

    @abstractmethod
    def timestamp_type(self) -> TypeEngine[Any]:
        """Return the column type of a timestamp with microseconds."""

    @abstractmethod
    def json_type(self) -> TypeEngine[Any]:
        """Return the column type of a JSON document."""

    def text_type(self) -> TypeEngine[Any]:
        """Return the column type of a text of any length."""
        return Text()

    def key_type(self, length: int) -> TypeEngine[Any]:  # noqa: ARG002 - for MySQL
        """Return the column type of a text in a key or an index.

        Args:
            length: The largest number of characters, for databases that need one.
        """
        return self.text_type()

    def object_key_type(self) -> TypeEngine[Any]:
        """Return the column type of an object key in a primary key: up to 1,024 bytes."""
        return self.text_type()

    def bind_object_key(self, value: str) -> Any:
        """Convert an object key for the driver."""
        return value

    def result_object_key(self, value: Any) -> str:
        """Convert the driver's value to an object key."""
        return value  # type: ignore[no-any-return]

    def bind_timestamp(self, value: Any) -> Any:
        """Convert an aware UTC datetime for the driver."""
        return value

    def result_timestamp(self, value: Any) -> Any:
        """Convert the driver's value to an aware UTC datetime."""
        return value

    def bind_json(self, value: Any) -> Any:
        """Convert a value or `JsonText` for the driver."""
        return value

    def result_json(self, value: Any) -> Any:
        """Convert the driver's value to Python's objects."""
        return value

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a timestamp in the cheapest form that `format_timestamp` takes."""
        return column

    def format_timestamp(self, value: Any) -> str | None:
        """Format a value of `select_timestamp` as `format_instant` does."""
        return format_instant(value)

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON document in the cheapest form that `load_json` takes."""
        return column

    def load_json(self, value: Any) -> Any:
        """Convert a value of `select_json` to new objects."""
        return value
