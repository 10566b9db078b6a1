"""Statements compiled once, to be run on the driver itself.

SQLAlchemy's own path costs more per execute than many of our statements take on the
server. So the hot ones are written with the models' tables, compiled here once for each
kind of engine and schema, and run by the dialect's file on the driver's connection.
"""

from __future__ import annotations

from collections import OrderedDict
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
    """SQL as the driver takes it, and what it takes to order its arguments.

    Args:
        sql: The text, with the driver's placeholders.
        slots: For each parameter in the driver's order its name, its value where none is
            given, and what turns a value into the driver's form (None: nothing to do).
            One that occurs twice in the text may be here once (numbered) or twice.
    """

    sql: str
    slots: tuple[tuple[str, Any, _Bind | None], ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Put values into the driver's order and form.

        Args:
            values: By the names of the statement's parameters, as the column types take
                them; what the statement itself fixes (a literal, a limit) may be left out.

        Raises:
            KeyError: A parameter without a value of its own is missing.
        """
        row = []
        for name, fixed, bind in self.slots:
            value = values[name] if fixed is _REQUIRED else values.get(name, fixed)
            row.append(value if bind is None else bind(value))
        return row


class CompiledCache:
    """Keeps what was compiled, for each statement object, engine dialect and schema.

    A statement must be one object that is used again: made at the import of its module, or
    kept by its maker (``functools.cache``). The one not used for longest goes when there
    are too many.

    Args:
        size: How many are kept.

    Example:
        >>> cache = CompiledCache()
        >>> by_id = select(users).where(users.c.id == bindparam("id"))
        >>> compiled = cache.get(by_id, engine.dialect)
        >>> await driver.fetch(compiled.sql, *compiled.arguments({"id": "u"}))
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._kept: OrderedDict[Any, tuple[Compiled, Any, Any]] = OrderedDict()

    def get(
        self,
        statement: Executable,
        dialect: EngineDialect,
        schema: str | None = None,
    ) -> Compiled:
        """Return the compiled form of a statement.

        Args:
            statement: A statement of SQLAlchemy Core, without IN over a list: such a list
                changes the text; compare with ``any`` of an array instead.
            dialect: ``engine.dialect``: its parameter style and options decide the text.
            schema: The schema of our tables; None: the connection's default one.

        Raises:
            ValueError: The text depends on the values.
        """
        key = id(statement), id(dialect), schema
        try:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        except KeyError:
            made = compile_statement(statement, dialect, schema)
        # Both objects are kept with it: an id is unique only as long as its object lives.
        self._kept[key] = made, statement, dialect
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return made

    def __len__(self) -> int:
        return len(self._kept)


def compile_statement(
    statement: Executable,
    dialect: EngineDialect,
    schema: str | None = None,
) -> Compiled:
    """Compile a statement; see `CompiledCache.get`.

    Args:
        statement: A statement of SQLAlchemy Core.
        dialect: ``engine.dialect``.
        schema: The schema of our tables; None: the connection's default one.
    """
    assert isinstance(statement, ClauseElement)
    options: dict[str, Any] = {"dialect": dialect}
    if schema is not None:
        translation: SchemaTranslateMapType = {None: schema}
        options |= {"schema_translate_map": translation, "render_schema_translate": True}
    compiled = statement.compile(**options)
    assert isinstance(compiled, SQLCompiler)
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise ValueError(f"The text depends on the values, so it is not kept: {compiled}")
    order = compiled.positiontup
    assert order is not None  # None of our drivers names its parameters.
    slots = tuple((name, _fixed(compiled, name), _bind(compiled, name, dialect)) for name in order)
    return Compiled(str(compiled), slots)


def _fixed(compiled: SQLCompiler, name: str) -> Any:
    """The value that the statement itself gives a parameter."""
    bind = compiled.binds[name]
    if bind.required or bind.callable is not None:
        return _REQUIRED
    return bind.value


def _bind(compiled: SQLCompiler, name: str, dialect: EngineDialect) -> _Bind | None:
    type_ = compiled.binds[name].type
    processor: _Bind | None = type_.dialect_impl(dialect).bind_processor(dialect)
    return processor


__all__ = ["Compiled", "CompiledCache", "compile_statement"]
