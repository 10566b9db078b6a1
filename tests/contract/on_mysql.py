"""The layer under test on MySQL and on MariaDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asyncmy.errors import MySQLError

from chainlit_sqla.database.revision import VERSION_TABLE
from tests.contract.backends import run_apart
from tests.contract.ours import Ours, _upgrade
from tests.servers.mysql import MySQLServer, empty, rows


class MySQLDatabases:
    """Empty databases: emptying one is much faster than making one.

    Args:
        server: Where they are made.
    """

    def __init__(self, server: MySQLServer) -> None:
        self.server = server
        self.free: list[str] = []

    def take(self) -> str:
        """Give the URL of an empty database that nobody else uses."""
        if self.free:
            return self.free.pop()
        url = self.server.create_database()
        run_apart(_upgrade(url))
        return url

    def give_back(self, url: str) -> None:
        """Empty a database for the next test; one that is held is dropped."""
        try:
            empty(url, VERSION_TABLE)
        except MySQLError:
            self.server.drop_database(url)
        else:
            self.free.append(url)


class OurMySQL(Ours):
    """A database on MySQL or MariaDB.

    Args:
        folder: An empty folder.
        databases: Where to take one from.
    """

    def __init__(self, folder: Path, databases: MySQLDatabases) -> None:
        super().__init__(folder)
        self.databases = databases
        self.url = databases.take()

    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await rows(self.url, query.replace("%", "%%"))

    def drop(self) -> None:
        self.databases.give_back(self.url)
