"""`Valued`: how values are declared, stored and shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.types import TypeEngine

from .._internal.timestamps import format_instant


class Valued(ABC):
    """The part of a `Dialect` that knows column types; values are the driver's by default."""

    @abstractmethod
    def timestamp_type(self) -> TypeEngine[Any]:
        """The column type of an instant with microseconds."""

    @abstractmethod
    def json_type(self) -> TypeEngine[Any]:
        """The column type of a JSON document."""

    def text_type(self) -> TypeEngine[Any]:
        """The column type of a text of any length."""
        return Text()

    def key_type(self, length: int) -> TypeEngine[Any]:  # noqa: ARG002 - where keys have one
        """The column type of a text that is part of a key or an index.

        Args:
            length: Characters, where the database must know it.
        """
        return self.text_type()

    def object_key_type(self) -> TypeEngine[Any]:
        """The column type of a key that is an object key: text of up to 1,024 bytes."""
        return self.text_type()

    def bind_object_key(self, value: str) -> Any:
        """An object key as the driver takes it."""
        return value

    def result_object_key(self, value: Any) -> str:
        """What the driver gives, as an object key."""
        return value  # type: ignore[no-any-return]

    def bind_timestamp(self, value: Any) -> Any:
        """An aware UTC datetime as the driver takes it."""
        return value

    def result_timestamp(self, value: Any) -> Any:
        """What the driver gives, as an aware UTC datetime."""
        return value

    def bind_json(self, value: Any) -> Any:
        """A value or `JsonText` as the driver takes it."""
        return value

    def result_json(self, value: Any) -> Any:
        """What the driver gives, as a value."""
        return value

    # Reads: in the form that is shown, as cheaply as the database can make it

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """What to select for a column of an instant; `format_timestamp` takes its values."""
        return column

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """What to select for a JSON document; `load_json` takes its values."""
        return column

    def packed(
        self,
        columns: Sequence[ColumnElement[Any]],  # noqa: ARG002 - others use them
        order_by: ColumnElement[Any] | None = None,  # noqa: ARG002
    ) -> ColumnElement[Any] | None:
        """A row as a JSON array, to read it in the same statement as other rows.

        Args:
            columns: Its values: text, numbers and flags.
            order_by: All rows of a subquery by this, as an array of arrays; None: one row.

        Returns:
            None where one statement more costs less than the packing.
        """
        return None

    def format_timestamp(self, value: Any) -> str | None:
        """A value of `select_timestamp` as `format_instant` writes it."""
        return format_instant(value)

    def load_json(self, value: Any) -> Any:
        """A value of `select_json` as Python's objects, which nobody else has."""
        return value
