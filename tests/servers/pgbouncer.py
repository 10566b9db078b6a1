"""A private PgBouncer in front of a PostgreSQL server of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from .local import LocalProcess
from .ports import listens
from .require import unavailable


class PgBouncer(LocalProcess):
    """Pools the connections to a server; ready when its constructor returns.

    Args:
        url: A database of the server; others of it are reached alike.
        mode: ``transaction``, ``session`` or ``statement``.
        pool_size: How many connections to the server it opens for a user and database.
        settings: More of its settings.
    """

    NAME = "pgbouncer"
    PID_FILE = "pid"
    CRASH = signal.SIGKILL
    SETTINGS: ClassVar[Mapping[str, object]] = {
        "listen_addr": "127.0.0.1",
        "max_client_conn": 500,
        "auth_type": "plain",
        # What asyncpg and SQLAlchemy may send when a connection is opened, of what PgBouncer
        # does not know; it refuses the connection otherwise.
        "ignore_startup_parameters": "extra_float_digits,jit,options",
    }

    def __init__(
        self,
        url: str,
        *,
        mode: str = "transaction",
        pool_size: int = 20,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self._program = find_program()
        if self._program is None:
            unavailable("no pgbouncer", "apt install pgbouncer")
        pool = {"pool_mode": mode, "default_pool_size": pool_size}
        super().__init__(pool | {**(settings or {})})
        parts = urlsplit(url)
        account = f'"{unquote(parts.username or "")}" "{unquote(parts.password or "")}"\n'
        options = self.settings | {
            "listen_port": self.port,
            "unix_socket_dir": "",
            "pidfile": self.folder / self.PID_FILE,
            "auth_file": self.write("accounts", account),
        }
        lines = "\n".join(f"{name} = {value}" for name, value in options.items())
        server = f"host={parts.hostname} port={parts.port or 5432}"
        self._config = self.write("ini", f"[databases]\n* = {server}\n[pgbouncer]\n{lines}\n")
        self.start()

    def reach(self, url: str) -> str:
        """Return the URL that reaches, through this pooler, the database at `url`."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{self.port}"))

    def command(self) -> Sequence[str | Path]:
        return [str(self._program), "--quiet", self._config]

    def is_ready(self, server: subprocess.Popen[Any]) -> bool:
        return listens(self.port)


@contextmanager
def start_pgbouncer(url: str, **options: Any) -> Iterator[PgBouncer]:
    """Run a PgBouncer in front of the server at a URL, with the options of `PgBouncer`."""
    pooler = PgBouncer(url, **options)
    try:
        yield pooler
    finally:
        pooler.stop()


def find_program() -> str | None:
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
