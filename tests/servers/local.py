"""What private PostgreSQL and MySQL servers have in common: a folder, a user, a process."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import signal
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.until import PATIENCE

from .ports import free_port

# Reads until the test process is gone, however it went, then ends the server and its folder.
GUARD = """
cat >/dev/null
pid=$(head -n 1 "$1/$2" 2>/dev/null) && kill -"$3" "$pid"
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -rf "$1"
"""


class LocalProcess(ABC):
    """One data folder and one server process on 127.0.0.1, gone when this process is gone."""

    NAME: ClassVar[str]
    SETTINGS: ClassVar[Mapping[str, object]]
    PID_FILE: ClassVar[str]
    """Below the folder."""
    CRASH: ClassVar[signal.Signals]
    """Ends the server without a shutdown."""

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        self.settings = {**self.SETTINGS, **(settings or {})}
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.user = _unprivileged_user(self.NAME)
        self.folder = self._create_folder()
        self._server: subprocess.Popen[Any] | None = None
        name = self.CRASH.name.removeprefix("SIG")
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self.folder), self.PID_FILE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.stop)

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command that starts the server."""

    @abstractmethod
    def is_ready(self, server: subprocess.Popen[Any]) -> bool:
        """Whether it takes connections."""

    def start(self) -> None:
        """Start the server and wait until it takes connections; the port stays the same."""
        if self._server is not None:
            raise RuntimeError("the server is running already")
        server = self._server = self.run(self.command())
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready(server):
            if server.poll() is not None or time.monotonic() > deadline:
                self.stop_and_raise(f"{self.NAME} did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        if self._server is not None:
            self._server.send_signal(self.CRASH)
            self._server.wait()
            self._server = None

    def stop_cleanly(self) -> None:
        """End the server so that its files need no recovery."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End the server and remove its folder; may be called twice."""
        atexit.unregister(self.stop)
        self.kill()
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def run(self, command: Sequence[str | Path]) -> subprocess.Popen[Any]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **_credentials(self.user),
            )

    def stop_and_raise(self, reason: str) -> None:
        """End what has begun, and raise with the end of the log."""
        log = self.folder / "log"
        printed = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        self.stop()
        raise RuntimeError(f"{reason}: {printed}")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        self.hand_over(path)
        return path

    def hand_over(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _create_folder(self) -> Path:
        home = next(
            folder
            for folder in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
            if self.user is None or is_open_to_all(folder)
        )
        folder = Path(tempfile.mkdtemp(prefix=f"test-{self.NAME}-", dir=home))
        self.hand_over(folder)
        return folder


def is_open_to_all(folder: Path) -> bool:
    """Whether every user can reach a folder."""
    folder = folder.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def _unprivileged_user(name: str) -> pwd.struct_passwd | None:
    """The user to run as when this is root, since the servers refuse root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return pwd.getpwnam("nobody")


def _credentials(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The arguments of `subprocess.Popen` that run a program as this user."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
