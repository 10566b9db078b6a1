"""Compiles statements once, to run them on the driver's own connection.

SQLAlchemy's execution costs more than many of our statements take on the server. So hot
statements are built from the models' tables, compiled here, and kept by `Database`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, Executable
from sqlalchemy.engine import Dialect as EngineDialect
from sqlalchemy.engine.interfaces import SchemaTranslateMapType
from sqlalchemy.sql.compiler import SQLCompiler

_Bind = Callable[[Any], Any]
_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL with the driver's placeholders, and the order of its arguments.

    Args:
        sql: The text.
        slots: For each parameter in the driver's order: its name, its default value, and the
            function that converts a value for the driver (None: no conversion).
    """

    sql: str
    slots: tuple[tuple[str, Any, _Bind | None], ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the arguments in the driver's order and form.

        Args:
            values: Values by the names of the parameters, as the column types take them;
                values that the statement itself contains (a literal, a limit) may be omitted.

        Raises:
            KeyError: A parameter without a default is missing.
        """
        row = []
        for name, fixed, bind in self.slots:
            value = values[name] if fixed is _REQUIRED else values.get(name, fixed)
            row.append(value if bind is None else bind(value))
        return row


def compile_statement(
    statement: Executable, dialect: EngineDialect, schema: str | None = None
) -> Compiled:
    """Compile a statement for the driver.

    Args:
        statement: A statement of SQLAlchemy Core, without IN over a list, which changes the
            text; compare with ``any`` of an array instead.
        dialect: ``engine.dialect``: its parameter style and options decide the text.
        schema: The schema of our tables; None: the connection's default one.

    Raises:
        ValueError: The text depends on the values.

    Example:
        >>> by_id = select(users).where(users.c.id == bindparam("id"))
        >>> compiled = compile_statement(by_id, engine.dialect)
        >>> await driver.fetch(compiled.sql, *compiled.arguments({"id": "u"}))
    """
    assert isinstance(statement, ClauseElement)
    options: dict[str, Any] = {"dialect": dialect}
    if schema is not None:
        translation: SchemaTranslateMapType = {None: schema}
        options |= {"schema_translate_map": translation, "render_schema_translate": True}
    compiled = statement.compile(**options)
    assert isinstance(compiled, SQLCompiler)
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise ValueError(f"The text depends on the values, so it cannot be reused: {compiled}")
    order = compiled.positiontup
    assert order is not None  # None of our drivers names its parameters.
    slots = tuple((name, _fixed(compiled, name), _bind(compiled, name, dialect)) for name in order)
    return Compiled(str(compiled), slots)


def _fixed(compiled: SQLCompiler, name: str) -> Any:
    """Return the value that the statement itself contains for a parameter."""
    bind = compiled.binds[name]
    if bind.required or bind.callable is not None:
        return _REQUIRED
    return bind.value


def _bind(compiled: SQLCompiler, name: str, dialect: EngineDialect) -> _Bind | None:
    type_ = compiled.binds[name].type
    processor: _Bind | None = type_.dialect_impl(dialect).bind_processor(dialect)
    return processor
