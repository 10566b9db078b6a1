"""The shapes that databases of Chainlit's SQLAlchemy layer have, and what else is frozen.

The columns by version are those that Chainlit's documentation gave at the time; the shapes
"seen in the wild" were reported in its issues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

LAST_VERSION = 8

NATIVE = {"uuid": "UUID", "json": "JSONB", "texts": "TEXT[]", "flag": "BOOLEAN", "whole": "INT"}
AS_TEXT = NATIVE | {"uuid": "TEXT", "json": "TEXT", "texts": "TEXT"}
ALL_TEXT = dict.fromkeys(NATIVE, "TEXT")

# name, kind, what follows, from version, before version
_COLUMNS: dict[str, tuple[tuple[str, str, str, int, int], ...]] = {
    "users": (
        ("id", "uuid", "PRIMARY KEY", 1, 99),
        ("identifier", "TEXT", "NOT NULL UNIQUE", 1, 99),
        ("metadata", "json", "NOT NULL", 1, 99),
        ("createdAt", "TEXT", "", 1, 99),
    ),
    "threads": (
        ("id", "uuid", "PRIMARY KEY", 1, 99),
        ("createdAt", "TEXT", "", 1, 99),
        ("name", "TEXT", "", 1, 99),
        ("userId", "uuid", "REFERENCES users", 1, 99),
        ("userIdentifier", "TEXT", "", 1, 99),
        ("tags", "texts", "", 1, 99),
        ("metadata", "json", "", 1, 99),
    ),
    "steps": (
        ("id", "uuid", "PRIMARY KEY", 1, 99),
        ("name", "TEXT", "NOT NULL", 1, 99),
        ("type", "TEXT", "NOT NULL", 1, 99),
        ("threadId", "uuid", "NOT NULL", 1, 3),
        ("threadId", "uuid", "NOT NULL REFERENCES threads", 3, 99),
        ("parentId", "uuid", "", 1, 99),
        ("disableFeedback", "flag", "NOT NULL", 1, 3),
        ("streaming", "flag", "NOT NULL", 1, 99),
        ("waitForAnswer", "flag", "", 1, 99),
        ("isError", "flag", "", 1, 99),
        ("metadata", "json", "", 1, 99),
        ("tags", "texts", "", 1, 99),
        ("input", "TEXT", "", 1, 99),
        ("output", "TEXT", "", 1, 99),
        ("createdAt", "TEXT", "", 1, 99),
        ("command", "TEXT", "", 5, 99),
        ("start", "TEXT", "", 1, 99),
        ("end", "TEXT", "", 1, 99),
        ("generation", "json", "", 1, 99),
        ("showInput", "TEXT", "", 1, 99),
        ("language", "TEXT", "", 1, 99),
        ("indent", "whole", "", 1, 99),
        ("defaultOpen", "flag", "", 6, 99),
        ("modes", "json", "", 7, 99),
        ("autoCollapse", "flag", "", 8, 99),
    ),
    "elements": (
        ("id", "uuid", "PRIMARY KEY", 1, 99),
        ("threadId", "uuid", "", 1, 3),
        ("threadId", "uuid", "REFERENCES threads", 3, 99),
        ("type", "TEXT", "", 1, 99),
        ("url", "TEXT", "", 1, 99),
        ("chainlitKey", "TEXT", "", 1, 99),
        ("name", "TEXT", "NOT NULL", 1, 99),
        ("display", "TEXT", "", 1, 99),
        ("objectKey", "TEXT", "", 1, 99),
        ("size", "TEXT", "", 1, 99),
        ("page", "whole", "", 1, 99),
        ("language", "TEXT", "", 1, 99),
        ("forId", "uuid", "", 1, 99),
        ("mime", "TEXT", "", 1, 99),
        ("props", "json", "", 4, 99),
        ("autoPlay", "flag", "", 8, 99),
        ("playerConfig", "json", "", 8, 99),
    ),
    "feedbacks": (
        ("id", "uuid", "PRIMARY KEY", 1, 99),
        ("forId", "uuid", "NOT NULL", 1, 99),
        ("threadId", "uuid", "NOT NULL", 2, 3),
        ("threadId", "uuid", "NOT NULL REFERENCES threads", 3, 99),
        ("value", "whole", "NOT NULL", 1, 99),
        ("comment", "TEXT", "", 1, 99),
    ),
}
TABLES = tuple(_COLUMNS)


@dataclass(frozen=True)
class Variant:
    """One shape of a database of Chainlit's SQLAlchemy layer.

    Args:
        name: The name of its file, beginning with the dialect.
        kind: ``chainlit`` (as documented) or ``wild``.
        version: V1 to V8, for the columns.
        types: The SQL type by the kind of a column.
        changes: What a column is declared as instead, by ``table.column``; such a column
            may be one more.
        bare: No primary, unique and foreign keys, nothing required.
        schema: The PostgreSQL schema of the tables.
    """

    name: str
    kind: str
    version: int
    types: Mapping[str, str]
    changes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    bare: bool = False
    schema: str | None = None

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return "sqlite" if self.name.startswith("sqlite") else "postgresql"

    def columns(self, table: str) -> dict[str, str]:
        """The columns of a table by name, with their declarations."""
        found = {
            name: self._declared(kind, rest)
            for name, kind, rest, since, until in _COLUMNS[table]
            if since <= self.version < until
        }
        for place, declared in self.changes.items():
            if place.startswith(f"{table}."):
                found[place.partition(".")[2]] = declared
        return found

    def has_texts(self) -> bool:
        """Whether a column of tags takes lists, and not their JSON."""
        return self.dialect == "postgresql" and self.types["texts"] == "TEXT[]"

    def statements(self) -> Iterator[str]:
        """The statements that make the tables."""
        if self.schema:
            yield f"CREATE SCHEMA {self.schema}"
        prefix = f"{self.schema}." if self.schema else ""
        for table in TABLES:
            lines = (f'    "{name}" {what}' for name, what in self.columns(table).items())
            yield f"CREATE TABLE {prefix}{table} (\n" + ",\n".join(lines) + "\n)"

    def _declared(self, kind: str, rest: str) -> str:
        declared = self.types.get(kind, kind)
        if self.bare or not rest:
            return declared
        rest, refers, other = rest.partition("REFERENCES ")
        if refers:
            place = f"{self.schema}." if self.schema else ""
            rest += f'REFERENCES {place}{other}("id") ON DELETE CASCADE'
        return f"{declared} {rest}"


def documented(dialect: str, version: int = LAST_VERSION) -> Variant:
    """The tables as Chainlit's documentation gave them."""
    types = AS_TEXT if dialect == "sqlite" else NATIVE
    return Variant(f"{dialect}_v{version}", "chainlit", version, types)


def _documented() -> Iterator[Variant]:
    for version in range(1, LAST_VERSION + 1):
        yield documented("sqlite", version)
        yield documented("postgres", version)


_OF_OTHERS = {"steps.icon": "TEXT", "elements.path": "TEXT"}

VARIANTS: tuple[Variant, ...] = (
    *_documented(),
    Variant("sqlite_declared", "wild", 7, NATIVE, _OF_OTHERS),
    Variant("sqlite_text", "wild", 8, ALL_TEXT, _OF_OTHERS),
    Variant("sqlite_no_foreign_keys", "wild", 6, AS_TEXT, bare=True),
    Variant("sqlite_duplicates", "wild", 7, AS_TEXT, bare=True),
    Variant("postgres_text_ids", "wild", 8, NATIVE | {"uuid": "TEXT"}, _OF_OTHERS),
    Variant("postgres_text_json", "wild", 8, NATIVE | {"json": "TEXT", "texts": "TEXT"}),
    Variant("postgres_duplicates", "wild", 7, NATIVE, bare=True),
    Variant("postgres_no_foreign_keys", "wild", 7, NATIVE, bare=True),
    Variant(
        "postgres_schema",
        "wild",
        7,
        NATIVE,
        {
            f"{table}.createdAtTimestamp": "TIMESTAMPTZ DEFAULT now()"
            for table in ("users", "threads", "steps")
        }
        | _OF_OTHERS,
        schema="chainlit",
    ),
    Variant(
        "postgres_float_feedback",
        "wild",
        6,
        NATIVE,
        {
            "feedbacks.value": "FLOAT NOT NULL",
            "feedbacks.threadId": "UUID",
            "feedbacks.forId": "UUID",
            "steps.disableFeedback": "BOOLEAN NOT NULL DEFAULT false",
        },
    ),
)
