"""A private MySQL or MariaDB server, run from the binaries on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import asyncmy
from asyncmy.errors import MySQLError

from .local import LocalProcess
from .server import run_apart

UNPACKED = "/var/lib/test-mysql"
"""Where .ci/packages unpacks MySQL proper, which Debian's releases do not have."""


@dataclass
class Program:
    kind: str
    command: list[str]

    def initialize(self, data: Path, temporary: Path) -> list[str]:
        folders = [f"--datadir={data}", f"--tmpdir={temporary}"]
        if self.kind == "mysql":
            return [*self.command, *folders, "--initialize-insecure"]
        options = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        return [str(shutil.which("mariadb-install-db")), "--no-defaults", *folders, *options]


def find_program(kind: str) -> Program | None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if kind == "mariadb":
        found = shutil.which("mariadbd", path=path)
        complete = found and shutil.which("mariadb-install-db", path=path)
        return Program(kind, [str(found), "--no-defaults"]) if complete else None
    own = ["--mysqlx=OFF", "--secure-file-priv=NULL"]
    found = shutil.which("mysqld", path=path)
    if found and b"MariaDB" not in subprocess.run([found, "--version"], capture_output=True).stdout:
        return Program(kind, [found, "--no-defaults", *own])
    root = Path(os.environ.get("TEST_MYSQL_FOLDER", UNPACKED))
    return Program(kind, [*_by_own_loader(root), *own]) if _is_unpacked(root) else None


def _is_unpacked(root: Path) -> bool:
    return (root / "usr/sbin/mysqld").is_file() and any(root.glob("usr/lib/*/ld-linux*"))


def _by_own_loader(root: Path) -> list[str]:
    """A program of a newer Debian, with the C library that it was made for."""
    loader = next(root.glob("usr/lib/*/ld-linux*"))
    share = root / "usr/share/mysql"
    return [
        *(str(loader), "--library-path", str(loader.parent), str(root / "usr/sbin/mysqld")),
        # The first option of all.
        "--no-defaults",
        f"--basedir={root / 'usr'}",
        f"--lc-messages-dir={share}",
        f"--character-sets-dir={share / 'charsets'}",
        f"--plugin-dir={root / 'usr/lib/mysql/plugin'}",
    ]


class LocalServer(LocalProcess):
    NAME = "mysql"
    PID_FILE = "pid"
    CRASH = signal.SIGKILL
    # A committed transaction must survive kill(), which leaves the operating system alone; so
    # only what guards against a power cut is switched off.
    SETTINGS: ClassVar[Mapping[str, object]] = {
        "bind-address": "127.0.0.1",
        "innodb-flush-log-at-trx-commit": 2,
        "innodb-doublewrite": 0,
        "sync-binlog": 0,
        "innodb-buffer-pool-size": "32M",
        "performance-schema": "OFF",
        "max-connections": 200,
        "skip-name-resolve": "ON",
    }

    def __init__(self, program: Program, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(settings)
        self._program = program
        # MariaDB's start removes temporary tables there, also those of another server.
        self._temporary = self.folder / "tmp"
        self._temporary.mkdir()
        self.hand_over(self._temporary)
        self._initialize()
        self.start()

    @property
    def url(self) -> str:
        """The URL of the administration database, as an account that may do everything."""
        kind = self._program.kind
        return f"{kind}://tester:{self.password}@127.0.0.1:{self.port}/mysql"

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def command(self) -> Sequence[str | Path]:
        options = self.settings | {
            "datadir": self.folder / "data",
            "tmpdir": self._temporary,
            "port": self.port,
            "socket": self.socket,
            "pid-file": self.folder / "pid",
            "init-file": self.folder / "accounts.sql",
        }
        return [*self._program.command, *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self, server: subprocess.Popen[Any]) -> bool:
        async def log_in() -> None:
            connection = await asyncmy.connect(
                host="127.0.0.1", port=self.port, user="tester", password=self.password
            )
            await connection.ensure_closed()

        try:
            run_apart(log_in())
        except (MySQLError, OSError):
            return False
        return True

    def _initialize(self) -> None:
        self.write(
            "accounts.sql",
            f"CREATE USER IF NOT EXISTS tester@'%' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO tester@'%' WITH GRANT OPTION;\n",
        )
        if self.run(self._program.initialize(self.folder / "data", self._temporary)).wait():
            self.stop_and_raise("the data folder could not be made")
