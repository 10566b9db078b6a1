"""Which databases are frozen, by name: ``<database>_<what>``, as their files are named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from chainlit_sqla.database.revision import REVISIONS

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
    """A frozen database."""

    name: str

    @property
    def file(self) -> Path:
        return FILES / f"{self.name}.sql"

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql``, ``mariadb`` or ``mysql``."""
        return DIALECTS[self.name.split("_")[0]]

    @property
    def kind(self) -> str:
        """Whose tables it has.

        ``chainlit`` (its SQLAlchemy layer, V1 to V8), ``wild`` (that as it was changed),
        ``prisma`` (its asyncpg layer), ``ours`` or ``foreign`` (of another application).
        """
        what = self.name.split("_")[1]
        if what in ("prisma", "foreign", "ours"):
            return what
        return "chainlit" if re.fullmatch(r"v\d", what) else "wild"

    @property
    def revision(self) -> str:
        return self.name.rpartition("_")[2]

    @property
    def schema(self) -> str | None:
        """The PostgreSQL schema of its tables, None for the default one."""
        return "chainlit" if self.name == "postgres_schema" else None

    @property
    def statements(self) -> list[str]:
        """The statements that make the tables of one of Chainlit's."""
        tables = self.file.read_text().partition("\nINSERT INTO")[0]
        return [statement for statement in tables.split(";\n") if statement.strip()]


_OURS = {f"{prefix}_ours_{revision}" for prefix in DIALECTS for revision in REVISIONS}
CATALOG = {name: Entry(name) for name in sorted(_OURS | {path.stem for path in FILES.glob("*")})}
"""All of them; those of our own revisions are as many as this release has."""


def names(*kinds: str, dialect: str | None = None) -> list[str]:
    """The names of the frozen databases of some kinds and of one dialect; by default all."""
    return [
        entry.name
        for entry in CATALOG.values()
        if (not kinds or entry.kind in kinds) and dialect in (None, entry.dialect)
    ]
