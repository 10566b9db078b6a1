"""Which databases are frozen, by name: ``<database>_<what>``, as their files are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.frozen.variants import VARIANTS

FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class Entry:
    """A frozen database.

    Args:
        name: Its name.
        kind: ``chainlit`` (V1 to V8), ``wild``.
        dialect: ``sqlite`` or ``postgresql``.
        schema: The PostgreSQL schema of its tables, None for the default one.
    """

    name: str
    kind: str
    dialect: str
    schema: str | None = None

    @property
    def file(self) -> Path:
        """Where its text is."""
        return FILES / f"{self.name}.sql"


CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (*(Entry(one.name, one.kind, one.dialect, one.schema) for one in VARIANTS),)
}


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
