"""A private MySQL or MariaDB server, run from the binaries on this machine."""

from __future__ import annotations

import asyncio
import atexit
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncmy
from asyncmy.errors import MySQLError

from tests.until import PATIENCE

from .binaries import _credentials, _open_to_all
from .ports import free_port

UNPACKED = "/var/lib/test-mysql"
"""Where .ci/packages unpacks MySQL proper, which Debian's releases do not have."""

# A committed transaction must survive kill(), which leaves the operating system alone; so
# only what guards against a power cut is switched off.
SETTINGS: dict[str, object] = {
    "bind-address": "127.0.0.1",
    "innodb-flush-log-at-trx-commit": 2,
    "innodb-doublewrite": 0,
    "sync-binlog": 0,
    "innodb-buffer-pool-size": "32M",
    "performance-schema": "OFF",
    "max-connections": 200,
    "skip-name-resolve": "ON",
}

# Reads until the test process is gone, however it went, then ends the server and its folder.
GUARD = """
cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null) && kill -KILL "$pid"
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -rf "$1"
"""


class Program:
    """How to call a server's program.

    Args:
        kind: ``mysql`` or ``mariadb``.
        command: The program, with what it always needs.
    """

    def __init__(self, kind: str, command: list[str]) -> None:
        self.kind = kind
        self.command = command

    def initialize(self, data: Path, temporary: Path) -> list[str]:
        """The command that makes a data folder."""
        if self.kind == "mysql":
            return [
                *self.command,
                f"--datadir={data}",
                f"--tmpdir={temporary}",
                "--initialize-insecure",
            ]
        program = str(shutil.which("mariadb-install-db"))
        return [
            program,
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={temporary}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]


def find_program(kind: str) -> Program | None:
    """Find a server's program on this machine.

    Args:
        kind: ``mysql`` or ``mariadb``.
    """
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


class LocalServer:
    """One data folder and one server process on 127.0.0.1, gone when this process is gone.

    Args:
        program: What to run.
        settings: Options of the server that replace or complete `SETTINGS`.

    Raises:
        RuntimeError: It does not start; carries what it printed.
    """

    def __init__(self, program: Program, settings: Mapping[str, object] | None = None) -> None:
        self._program = program
        self._settings = {**SETTINGS, **(settings or {})}
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self._user = _unprivileged_user()
        self._folder = self._make_folder()
        # MariaDB's start removes temporary tables there, also those of another server.
        self._temporary = self._folder / "tmp"
        self._temporary.mkdir()
        self._hand_over(self._temporary)
        self._server: subprocess.Popen[Any] | None = None
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.stop)
        self._initialize()
        self.start()

    @property
    def url(self) -> str:
        """The URL of the administration database, as an account that may do everything."""
        kind = self._program.kind
        return f"{kind}://tester:{self.password}@127.0.0.1:{self.port}/mysql"

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self._folder / "socket"

    def start(self) -> None:
        """Start the server and wait until it takes logins; the port stays the same."""
        options = self._settings | {
            "datadir": self._folder / "data",
            "tmpdir": self._temporary,
            "port": self.port,
            "socket": self.socket,
            "pid-file": self._folder / "pid",
            "init-file": self._folder / "accounts.sql",
        }
        command = [*self._program.command, *(f"--{name}={v}" for name, v in options.items())]
        self._server = self._run(command)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                self._stop_and_raise("the server did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End the server and remove its folder; may be called twice."""
        atexit.unregister(self.stop)
        self.kill()
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def _answers(self) -> bool:
        async def log_in() -> None:
            connection = await asyncmy.connect(
                host="127.0.0.1", port=self.port, user="tester", password=self.password
            )
            await connection.ensure_closed()

        def run() -> bool:
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(log_in())
            except (MySQLError, OSError):
                return False
            finally:
                loop.close()
            return True

        with ThreadPoolExecutor(1) as thread:  # The caller may stand inside an event loop.
            return thread.submit(run).result()

    def _initialize(self) -> None:
        accounts = self._folder / "accounts.sql"
        accounts.write_text(
            f"CREATE USER IF NOT EXISTS tester@'%' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO tester@'%' WITH GRANT OPTION;\n"
        )
        self._hand_over(accounts)
        if self._run(self._program.initialize(self._folder / "data", self._temporary)).wait():
            self._stop_and_raise("the data folder could not be made")

    def _run(self, command: list[str]) -> subprocess.Popen[Any]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **_credentials(self._user),
            )

    def _stop_and_raise(self, what: str) -> None:
        said = (self._folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"{what}: {said}")

    def _make_folder(self) -> Path:
        home = next(
            folder
            for folder in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
            if self._user is None or _open_to_all(folder)
        )
        folder = Path(tempfile.mkdtemp(prefix="test-mysql-", dir=home))
        self._hand_over(folder)
        return folder

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The user to run as when this is root, since the servers refuse root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("mysql")
    except KeyError:
        return pwd.getpwnam("nobody")
