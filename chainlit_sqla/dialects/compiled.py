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
    """SQL with the driver's placeholders, and the order of its arguments."""

    sql: str
    slots: tuple[tuple[str, Any, _Bind | None], ...]
    """For each parameter in the driver's order: its name, its default value, and the function
    that converts a value for the driver (None: no conversion)."""

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the arguments in the driver's order and form.

        Values are named as the parameters; those that the statement itself contains (a literal, a
        limit) may be omitted. Another missing value is a KeyError.
        """
        row = []
        for name, fixed, bind in self.slots:
            value = values[name] if fixed is _REQUIRED else values.get(name, fixed)
            row.append(value if bind is None else bind(value))
        return row


def compile_statement(
    statement: Executable, dialect: EngineDialect, schema: str | None = None
) -> Compiled:
    """Compile a statement for the driver, with our tables in a schema.

    IN over a list, which changes the text, is a ValueError; compare with ``any`` of an array.
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
    assert compiled.positiontup is not None  # None of our drivers names its parameters.
    slots = []
    for name in compiled.positiontup:
        parameter = compiled.binds[name]
        is_required = parameter.required or parameter.callable is not None
        bind: _Bind | None = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        slots.append((name, _REQUIRED if is_required else parameter.value, bind))
    return Compiled(str(compiled), tuple(slots))
