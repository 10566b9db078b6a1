"""The layers that are compared, each with its tables.

==================================== ========================================================
chainlit-sqla                        ours, all defaults, on tables made by its migrations
chainlit asyncpg                     ``ChainlitDataLayer`` of the installed Chainlit, on tables
                                     with the indexes of its Prisma schema
chainlit asyncpg + indexes           the same with the indexes that its queries use instead
chainlit sqlalchemy                  ``SQLAlchemyDataLayer`` of the installed Chainlit, on the
                                     documented tables, which have no indexes
chainlit sqlalchemy + indexes        the same with indexes, and WAL on SQLite
limit                                the driver alone on our tables: the least that a
                                     database must do for the same rows
==================================== ========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import schemas

OURS = "chainlit-sqla"
ASYNCPG = "chainlit asyncpg"
ASYNCPG_INDEXED = "chainlit asyncpg + indexes"
SQLALCHEMY = "chainlit sqlalchemy"
SQLALCHEMY_INDEXED = "chainlit sqlalchemy + indexes"
LIMIT = "limit"

REFERENCES = {"postgresql": ASYNCPG, "sqlite": SQLALCHEMY_INDEXED}
"""Whom the others are compared with in the table."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database of one contender's own, and a folder.

    Args:
        database: ``postgresql`` or ``sqlite``.
        url: Such as ``postgresql://user:password@127.0.0.1:5432/name`` or
            ``sqlite:////tmp/x/chats.db``, as the plain drivers know it.
        folder: For files.
        server_pid: The first process of the server, where it runs on this machine.
    """

    database: str
    url: str
    folder: Path
    server_pid: int | None = None

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))


@dataclass(frozen=True, slots=True)
class Contender:
    """A data layer and its tables.

    Args:
        name: As in the records.
        databases: On which databases it works.
        make_tables: Makes its tables in an empty database.
        open: Makes the layer; `None` as storage is the layer's default.
    """

    name: str
    databases: tuple[str, ...]
    make_tables: Callable[[str, str], None]
    open: Callable[[Place, Any], Any]


def _open_ours(place: Place, storage: Any) -> Any:
    from chainlit_sqla import SQLADataLayer

    return SQLADataLayer(place.url, storage=storage)


def _open_asyncpg(place: Place, storage: Any) -> Any:
    from chainlit.data.chainlit_data_layer import ChainlitDataLayer

    return ChainlitDataLayer(place.url, storage_client=storage or _files(place))


def _open_sqlalchemy(place: Place, storage: Any) -> Any:
    from chainlit.data.sql_alchemy import SQLAlchemyDataLayer

    driver = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}[place.database]
    url = place.url.replace(place.database, driver, 1)
    return SQLAlchemyDataLayer(url, storage_provider=storage or _files(place))


def _files(place: Place) -> Any:
    from tests.official.backends import FolderClient

    return FolderClient(place.folder / "files")


def _open_limit(place: Place, storage: Any) -> Any:
    if place.database == "sqlite":
        from .limits.sqlite import SqliteLimit

        return SqliteLimit(place.path)
    from .limits.postgresql import PostgresLimit

    return PostgresLimit(place.url)


_BOTH = ("postgresql", "sqlite")

CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender(OURS, _BOTH, schemas.ours, _open_ours),
        Contender(ASYNCPG, ("postgresql",), schemas.prisma, _open_asyncpg),
        Contender(ASYNCPG_INDEXED, ("postgresql",), schemas.prisma_indexed, _open_asyncpg),
        Contender(SQLALCHEMY, _BOTH, schemas.documented, _open_sqlalchemy),
        Contender(SQLALCHEMY_INDEXED, _BOTH, schemas.documented_indexed, _open_sqlalchemy),
        Contender(LIMIT, _BOTH, schemas.ours, _open_limit),
    )
}
