"""What tables of Chainlit's SQLAlchemy layer look like, as found and as documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, inspect

from ...database.revision import CHAINLIT_TABLES, REQUIRED_TABLES
from ...dialects import Declared, Mover
from ...dialects.letter_case import canonical
from ..records import COLUMNS
from .old_sources.sqlalchemy_layer import DocumentedSource

NAMES: Mapping[str, str] = DocumentedSource.NAMES
"""The table of each kind of record."""
ASIDE: Mapping[str, str] = {kind: f"chainlit_sqla_aside_{name}" for kind, name in NAMES.items()}
"""What the tables in Chainlit's form are named while both forms are there."""
ORIGINALS = {aside: NAMES[kind] for kind, aside in ASIDE.items()}

_OURS_TOO = ("UNIQUE (identifier)",)
"""Constraints that our tables have as well."""

# The schema that Chainlit documents, and the columns that Chainlit 2.12 writes besides.
_DOCUMENTED: Mapping[str, str] = {
    "user": "id:uuid! identifier:text! metadata:json! createdAt:text",
    "thread": "id:uuid! createdAt:text name:text userId:uuid userIdentifier:text tags:texts "
    "metadata:json",
    "step": "id:uuid! name:text! type:text! threadId:uuid! parentId:uuid streaming:flag! "
    "waitForAnswer:flag isError:flag metadata:json tags:texts input:text output:text "
    "createdAt:text command:text start:text end:text generation:json showInput:text "
    "language:text defaultOpen:flag autoCollapse:flag modes:json",
    "element": "id:uuid! threadId:uuid type:text url:text chainlitKey:text name:text! "
    "display:text objectKey:text size:text page:whole language:text forId:uuid mime:text "
    "props:json autoPlay:flag playerConfig:json",
    "feedback": "id:uuid! forId:uuid! threadId:uuid! value:whole! comment:text",
}
FORMS = {"uuid": "UUID", "text": "TEXT", "json": "JSONB", "texts": "TEXT[]"} | {
    "flag": "BOOLEAN",
    "whole": "INTEGER",
}
PLAIN_FORMS = FORMS | {"uuid": "TEXT", "json": "TEXT", "texts": "TEXT"}


@dataclass(frozen=True, slots=True)
class Form:
    """How a table is made.

    Args:
        columns: Its columns.
        references: The kind of the table that a column refers to.
        indexes: Statements for its indexes, by name.
        constraints: Unique and check constraints of somebody's own, by name.
        rules: What a reference says besides, by column; not there: as Chainlit documents it.
    """

    columns: Sequence[Declared]
    references: Mapping[str, str] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Form:
        """Read what `document` gave."""
        columns = [Declared(**one) for one in document["columns"]]
        return cls(
            columns,
            document["references"],
            document["indexes"],
            document.get("constraints", {}),  # Earlier adoptions did not keep them.
            document.get("rules", {}),
        )


def documented(*, uuids: bool) -> dict[str, Form]:
    """The newest documented form of each kind's table.

    Args:
        uuids: Whether the database has types of its own for UUIDs, JSON and lists.
    """
    forms = FORMS if uuids else PLAIN_FORMS
    references = {
        "thread": {"userId": "user"},
        "step": {"threadId": "thread"},
        "element": {"threadId": "thread"},
        "feedback": {"threadId": "thread"},
    }
    return {
        kind: Form(list(_parsed(text, forms)), references.get(kind, {}))
        for kind, text in _DOCUMENTED.items()
    }


def _parsed(text: str, forms: Mapping[str, str]) -> Iterator[Declared]:
    for one in text.split():
        name, form = one.rstrip("!").split(":")
        yield Declared(name, forms[form], required=one.endswith("!"))


def found(connection: Connection, mover: Mover, schema: str | None) -> dict[str, Form]:
    """The forms of the tables that are there, by kind."""
    inspector = inspect(connection)
    kinds = {name: kind for kind, name in NAMES.items()}
    names = canonical(connection, inspector.get_table_names(schema=schema), kinds)
    forms = {}
    for real, name in names.items():
        if (kind := kinds.get(name)) is None:
            continue
        declared = mover.columns(connection, schema, real)
        ours = canonical(connection, [one.name for one in declared], COLUMNS[kind])
        references, rules, said = {}, {}, mover.rules(connection, schema, real)
        for one in inspector.get_foreign_keys(real, schema=schema):
            if one["referred_schema"] != schema:
                continue  # Another table of that name, such as Supabase's auth.users.
            if names.get(one["referred_table"]) in kinds and len(one["constrained_columns"]) == 1:
                column = ours[one["constrained_columns"][0]]
                references[column] = kinds[names[one["referred_table"]]]
                rules[column] = said.get(one["constrained_columns"][0], "")
        forms[kind] = Form(
            [replace(one, name=ours[one.name]) for one in declared],
            references,
            mover.indexes(connection, schema, real),
            {
                one: sql
                for one, sql in mover.constraints(connection, schema, real).items()
                if sql not in _OURS_TOO
            },
            rules=rules,
        )
    return {kind: forms[kind] for kind in NAMES if kind in forms}


def unlike(forms: Mapping[str, Form]) -> list[str]:
    """Why tables are not those of Chainlit's layer; empty: they are."""
    reasons = []
    for kind, name in NAMES.items():
        if kind not in forms:
            if name in REQUIRED_TABLES:
                reasons.append(f"there is no table {name}")
        elif missing := CHAINLIT_TABLES[name].difference(forms[kind].names):
            reasons.append(f"{name} has no column {', '.join(sorted(missing))}")
    return reasons


def strangers(forms: Mapping[str, Form]) -> dict[str, list[Declared]]:
    """Columns by kind that our tables do not have."""
    return {
        kind: [column for column in form.columns if column.name not in COLUMNS[kind]]
        for kind, form in forms.items()
    }


def completed(forms: Mapping[str, Form], *, uuids: bool) -> dict[str, Form]:
    """The same with every column that Chainlit 2.12 needs, in the types of those that are there."""
    complete = {}
    for kind, newest in documented(uuids=uuids).items():
        given = forms.get(kind)
        if given is None:
            complete[kind] = newest
            continue
        json = next((one.type for one in given.columns if one.name == "metadata"), "TEXT")
        columns = [
            Declared(one.name, json if one.type == "JSONB" else one.type)
            for one in newest.columns
            if one.name not in given.names
        ]
        complete[kind] = replace(given, columns=[*given.columns, *columns])
    return complete
