"""Writes the frozen databases: ``python -m tests.frozen.make [--into FOLDER] [name …]``.

Chainlit's own layers write the conversations into fresh databases of each shape; the text
that makes such a database again goes into ``files/``. Those of our own revisions are made
by the migrations as they are. Without names: those that have no file yet.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

import asyncpg
import chainlit
from chainlit.context import ChainlitContext, context_var
from chainlit.session import HTTPSession

from chainlit_sqla.database.revision import VERSION_TABLE
from tests.frozen import dump, foreign, ours, prisma
from tests.frozen.catalog import CATALOG, FILES, Entry
from tests.frozen.load import Servers
from tests.frozen.sqlalchemy_layer import Writer, open_layer
from tests.frozen.variants import VARIANTS, Variant

CHAINLIT = f"Chainlit {'.'.join(chainlit.__version__.split('.')[:2])}"
"""The release that is installed."""
_MADE_WITH_TABLES = (VERSION_TABLE,)
_VARIANTS = {variant.name: variant for variant in VARIANTS}


class Maker:
    """Makes databases, for one run.

    Args:
        folder: A folder for what is made on the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = Servers()

    def fresh(self, entry: Entry) -> str:
        """The URL of a database that is empty."""
        if entry.dialect == "sqlite":
            return f"sqlite:///{self.folder / entry.name}.db"
        return self.servers.get(entry.dialect).create_database()

    async def text(self, entry: Entry) -> str:
        """The text that makes a frozen database."""
        if entry.kind == "foreign":
            return f"-- {entry.name}\n\n{foreign.TEXT}"
        url = self.fresh(entry)
        if entry.revision:
            await ours.write(url, entry.revision)
            by, tables = "our migrations", ours.tables_as_sql(entry.revision, entry.dialect)
        elif entry.kind == "prisma":
            tags = entry.name == "postgres_prisma"
            await prisma.write(url, self.folder / "blobs", tags=tags)
            by, tables = _chainlits("ChainlitDataLayer"), _joined(prisma.statements(tags=tags))
        else:
            variant = _VARIANTS[entry.name]
            await self._write(variant, url)
            by, tables = _chainlits("SQLAlchemyDataLayer"), _joined(variant.statements())
        return f"-- {entry.name}: made by {by}\n\n{tables}{await self.rows(url, entry.dialect)}"

    async def _write(self, variant: Variant, url: str) -> None:
        layer = open_layer(variant, url, self.folder / "blobs")
        try:
            for statement in variant.statements():
                await layer.execute_sql(statement.replace(":", "\\:"), {})
            await Writer(variant, layer).write()
        finally:
            await layer.close()

    async def rows(self, url: str, dialect: str) -> str:
        """The rows of a database as SQL."""
        if url.startswith("sqlite:///"):
            return dump.sqlite_rows(url.removeprefix("sqlite:///"), _MADE_WITH_TABLES)
        if dialect != "postgresql":
            return await dump.mysql_rows(url, dialect, ours.ROWS)
        connection = await asyncpg.connect(url)
        try:
            return await dump.postgres_rows(connection, _MADE_WITH_TABLES)
        finally:
            await connection.close()


def _chainlits(layer: str) -> str:
    return f"{layer} of {CHAINLIT}"


def _joined(statements: Iterable[str]) -> str:
    return ";\n\n".join(statements) + ";\n"


async def make(names: list[str], into: Path) -> None:
    """Make the files of these names.

    Args:
        names: Some of the `catalog`.
        into: The folder for them.
    """
    context_var.set(ChainlitContext(HTTPSession(id="session", client_type="webapp")))
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Path(folder))
        try:
            for name in names:
                text = await maker.text(CATALOG[name])
                (into / f"{name}.sql").write_text(text, encoding="utf-8", newline="\n")
                print(name, f"{len(text):,} characters")
        finally:
            maker.servers.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.frozen.make")
    parser.add_argument("names", nargs="*", choices=[*CATALOG, []], metavar="name")
    parser.add_argument("--into", type=Path, default=FILES)
    given = parser.parse_args()
    missing = [name for name in CATALOG if not (given.into / f"{name}.sql").exists()]
    asyncio.run(make(given.names or missing, given.into))


if __name__ == "__main__":
    main()
