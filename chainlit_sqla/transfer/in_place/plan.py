"""Which tables the way back makes: the original ones as far as today's values fit them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Text, cast, func, select
from sqlalchemy.exc import DBAPIError

from ...dialects import Declared, Mover
from ..records import COLUMNS, TABLES
from .older import EMPTY_IDS, SAME_IDS, is_uuid
from .original import ASIDE, NAMES, Form, completed, documented

LOOKED_UP = (
    ("thread", "userId"),
    ("step", "threadId"),
    ("element", "threadId"),
    ("feedback", "forId"),
    ("feedback", "threadId"),
)
"""Columns by which Chainlit's layer finds rows."""

_LENGTH = re.compile(r"char.*\((\d+)\)")


def planned(
    connection: Connection,
    forms: Mapping[str, Form],
    unknown: Mapping[str, Sequence[Declared]],
    mover: Mover,
) -> dict[str, Form]:
    """The tables to make.

    Args:
        connection: To our tables.
        forms: The original ones; empty: there were none.
        unknown: Columns that our tables have besides, by kind.
        mover: The database's.
    """
    newest = documented(uuids=mover.has_uuids)
    plan = {}
    for kind, form in completed(forms, uuids=mover.has_uuids).items():
        needed = {one.name for one in newest[kind].columns if one.required}
        there = {one.name for one in unknown.get(kind, ())}
        columns = [
            replace(one, required=one.required and one.name in needed)
            for one in form.columns
            if one.name in COLUMNS[kind] or one.name in there
        ]
        known = {one.name for one in columns}
        columns += [
            replace(one, required=False) for one in unknown.get(kind, ()) if one.name not in known
        ]
        columns = [_wide_enough(connection, kind, one) for one in columns]
        columns = [_known_to(connection, kind, one, mover) for one in columns]
        plan[kind] = replace(form, columns=columns)
    for group in SAME_IDS:
        _type_ids(connection, plan, group)
    return plan


def _wide_enough(connection: Connection, kind: str, column: Declared) -> Declared:
    limit = _LENGTH.search(column.type)
    if limit is None or column.name not in COLUMNS[kind]:
        return column
    values = TABLES[kind].c[column.name]
    longest = connection.scalar(select(func.max(func.length(values))))
    return replace(column, type="TEXT") if (longest or 0) > int(limit[1]) else column


def _known_to(connection: Connection, kind: str, column: Declared, mover: Mover) -> Declared:
    """Types of somebody's own, such as an enumeration, may not have all values of now."""
    if not mover.has_uuids or "." not in column.type or column.name not in COLUMNS[kind]:
        return column
    values = cast(TABLES[kind].c[column.name], Text())
    query = select(func.count(cast(values, mover.named(column.type))))
    try:
        with connection.begin_nested():
            connection.execute(query)
    except DBAPIError:
        return replace(column, type="TEXT")
    return column


def _type_ids(
    connection: Connection, plan: dict[str, Form], group: Mapping[str, tuple[str, ...]]
) -> None:
    """UUIDs where all of the columns were and all values are; else text."""
    places = [
        (kind, name) for kind, names in group.items() for name in names if name in plan[kind].names
    ]
    types = {plan[kind].columns[plan[kind].names.index(name)].type.lower() for kind, name in places}
    if types == {"uuid"} and all(_all_uuids(connection, *place) for place in places):
        return
    for kind, name in places:
        columns = [
            replace(one, type="TEXT") if one.name == name and one.type.lower() == "uuid" else one
            for one in plan[kind].columns
        ]
        plan[kind] = replace(plan[kind], columns=columns)


def _all_uuids(connection: Connection, kind: str, name: str) -> bool:
    column = TABLES[kind].c[name]
    query = select(column).where(column.is_not(None)).distinct()
    with connection.execute(query.execution_options(yield_per=1_000)) as rows:
        return all(
            is_uuid(value) or (value == "" and (kind, name) in EMPTY_IDS)
            for value in rows.scalars()
        )


def statement(
    connection: Connection, kind: str, form: Form, mover: Mover, schema: str | None
) -> str:
    """What makes a table, under the name that it has meanwhile."""
    return (
        f"CREATE TABLE {mover.qualified(connection, schema, ASIDE[kind])} "
        f"({', '.join(_parts(connection, kind, form, mover, schema))})"
    )


def _parts(
    connection: Connection, kind: str, form: Form, mover: Mover, schema: str | None
) -> Iterator[str]:
    quote, table = connection.dialect.identifier_preparer.quote, NAMES[kind]
    for one in form.columns:
        default = f" DEFAULT {one.default}" if one.default else ""
        required = " NOT NULL" if one.required and one.name != "id" else ""
        yield f"{quote(one.name)} {one.type}{default}{required}"
    yield f"CONSTRAINT {quote(f'{table}_pkey')} PRIMARY KEY (id)"
    if kind == "user":
        yield f"CONSTRAINT {quote('users_identifier_key')} UNIQUE (identifier)"
    for name, other in form.references.items():
        if name in form.names and (mover.refers_by_name or _at_once(kind, name, form)):
            target = NAMES[other] if mover.refers_by_name else ASIDE[other]
            target = mover.qualified(connection, schema, target)
            yield (
                f"CONSTRAINT {quote(f'{table}_{name}_fkey')} "
                f"{_reference(connection, form, name, target)}"
            )


def later(
    connection: Connection, kind: str, form: Form, mover: Mover, schema: str | None
) -> Mapping[str, str]:
    """References that rows of ours need not keep, as constraints for when these are there."""
    if mover.refers_by_name:
        return {}
    return {
        f"{NAMES[kind]}_{name}_fkey": _reference(
            connection, form, name, mover.qualified(connection, schema, NAMES[other])
        )
        for name, other in form.references.items()
        if name in form.names and not _at_once(kind, name, form)
    }


def _at_once(kind: str, name: str, form: Form) -> bool:
    """Whether rows of ours keep a reference, and rows that are put back are to keep it, too."""
    kept = bool(TABLES[kind].c[name].foreign_keys) if name in TABLES[kind].c else False
    return kept and not form.rules.get(name, "").endswith("NOT VALID")


def _reference(connection: Connection, form: Form, name: str, target: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    rule = form.rules.get(name, "ON DELETE CASCADE")
    return f"FOREIGN KEY ({quote(name)}) REFERENCES {target} (id) {rule}".rstrip()
