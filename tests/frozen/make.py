"""Writes the frozen databases: ``python -m tests.frozen.make [--into FOLDER] [name …]``.

Chainlit's own layers write the conversations into fresh databases of each shape; the text
that makes such a database again goes into ``files/``. Those of our own revisions are made
by the migrations as they are. Without names: those that have no file yet.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import chainlit
from chainlit.context import ChainlitContext, context_var
from chainlit.session import HTTPSession

from tests.frozen import dump
from tests.frozen.sqlalchemy_layer import Writer, open_layer
from tests.frozen.variants import VARIANTS, Variant
from tests.servers.postgres import PostgresServer, start_postgres

FILES = Path(__file__).parent / "files"


class Maker:
    """Makes databases, for one run.

    Args:
        folder: A folder for what is made on the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: PostgresServer | None = None

    @property
    def server(self) -> PostgresServer:
        """The PostgreSQL server, started when it is needed."""
        self._server = self._server or start_postgres()
        return self._server

    def stop(self) -> None:
        """End the server."""
        if self._server:
            self._server.stop()

    def fresh(self, name: str, dialect: str) -> str:
        """The URL of a database that is empty."""
        if dialect == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        return self.server.create_database()

    async def variant(self, variant: Variant) -> str:
        """The text of a database of Chainlit's SQLAlchemy layer."""
        url = self.fresh(variant.name, variant.dialect)
        layer = open_layer(variant, url, self.folder / "blobs")
        try:
            for statement in variant.statements():
                await layer.execute_sql(statement.replace(":", "\\:"), {})
            await Writer(variant, layer).write()
        finally:
            await layer.close()
        header = f"-- {variant.name}: written by SQLAlchemyDataLayer of Chainlit {_release()}\n\n"
        tables = ";\n\n".join(variant.statements()) + ";\n"
        return header + tables + await self.rows(url)

    async def rows(self, url: str) -> str:
        """The rows of a database as SQL."""
        if url.startswith("sqlite:///"):
            return dump.sqlite_rows(url.removeprefix("sqlite:///"))
        connection = await asyncpg.connect(url)
        try:
            return await dump.postgres_rows(connection)
        finally:
            await connection.close()


def _release() -> str:
    return ".".join(chainlit.__version__.split(".")[:2])


def all_names() -> Iterator[str]:
    """What there is to make."""
    for variant in VARIANTS:
        yield variant.name


async def make(names: list[str], into: Path) -> None:
    """Make the files of these names."""
    context_var.set(ChainlitContext(HTTPSession(id="session", client_type="webapp")))
    variants = {variant.name: variant for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Path(folder))
        try:
            for name in names:
                text = await maker.variant(variants[name])
                (into / f"{name}.sql").write_text(text, encoding="utf-8", newline="\n")
                print(name, f"{len(text):,} characters")
        finally:
            maker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.frozen.make")
    parser.add_argument("names", nargs="*", choices=[*all_names(), []], metavar="name")
    parser.add_argument("--into", type=Path, default=FILES)
    given = parser.parse_args()
    missing = [name for name in all_names() if not (given.into / f"{name}.sql").exists()]
    asyncio.run(make(given.names or missing, given.into))


if __name__ == "__main__":
    main()
