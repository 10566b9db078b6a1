"""Which databases are frozen, by name: ``<database>_<what>``, as their files are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chainlit_sqla.database.revision import REVISIONS
from tests.frozen.variants import VARIANTS

DIALECTS = {
    "sqlite": "sqlite",
    "postgres": "postgresql",
    "mariadb": "mariadb",
    "mysql": "mysql",
}
"""What our schema is released for, by the first word of a name."""
FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class Entry:
    """A frozen database.

    Args:
        name: Its name.
        kind: ``chainlit`` (its SQLAlchemy layer, V1 to V8), ``wild`` (that as it was changed),
            ``prisma`` (its asyncpg layer), ``ours`` or ``foreign`` (of another application).
        dialect: ``sqlite``, ``postgresql``, ``mariadb`` or ``mysql``.
        schema: The PostgreSQL schema of its tables, None for the default one.
        revision: That of one of ours.
    """

    name: str
    kind: str
    dialect: str
    schema: str | None = None
    revision: str | None = None

    @property
    def file(self) -> Path:
        """Where its text is."""
        return FILES / f"{self.name}.sql"


def _entries() -> Iterator[Entry]:
    for one in VARIANTS:
        yield Entry(one.name, one.kind, one.dialect, one.schema)
    yield Entry("postgres_prisma", "prisma", "postgresql")
    yield Entry("postgres_prisma_without_tags", "prisma", "postgresql")
    yield Entry("sqlite_foreign_users", "foreign", "sqlite")
    yield Entry("postgres_foreign_users", "foreign", "postgresql")
    for prefix, dialect in DIALECTS.items():
        for revision in REVISIONS:
            yield Entry(f"{prefix}_ours_{revision}", "ours", dialect, revision=revision)


CATALOG: dict[str, Entry] = {entry.name: entry for entry in _entries()}
"""All of them; those of our own revisions are as many as this release has."""


def names(*kinds: str, dialect: str | None = None) -> list[str]:
    """The names of the frozen databases.

    Args:
        *kinds: Only of these kinds.
        dialect: Only of this database.

    Example:
        >>> names("wild", dialect="sqlite")[0]
        'sqlite_declared'
    """
    return [
        entry.name
        for entry in CATALOG.values()
        if (not kinds or entry.kind in kinds) and dialect in (None, entry.dialect)
    ]
