"""A Chainlit server in a process and a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.servers.ports import free_port
from tests.until import PATIENCE

APP = Path(__file__).parent / "app"
ROOT = Path(__file__).parents[2]
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
TROUBLE = re.compile(r"Traceback|was never retrieved|was never awaited| - (ERROR|CRITICAL) - ")
SUMMARY = re.compile(r"Not written: \d+ more; the log level DEBUG names each$")
REFUSAL = re.compile(r"Not written: (?!\d+ more;)")


class AppServer:
    """``chainlit run app.py`` with the data layer's settings in its environment."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        root_path: str = "",
        mounted: bool = False,
    ) -> None:
        shutil.copytree(APP, folder, dirs_exist_ok=True)
        self.folder = folder
        self.root_path = "/chat" if mounted else root_path
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "server.log"
        self._expected: list[str] = []
        self._has_refused = False
        self._checked = 0
        self._environment = {
            **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "CHAINLIT_AUTH_SECRET": "a secret of the tests only, long enough for HS256",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.command = self._uvicorn() if mounted else self._chainlit()
        self.start()

    @property
    def url(self) -> str:
        return self.origin + self.root_path

    @property
    def data(self) -> Path:
        """The folder in which the layer keeps its files."""
        return self.folder / ".chainlit_sqla"

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,  # Closes when this process ends; see app.py.
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"Chainlit did not start: {self.log()[-3000:]}")

    def stop(self) -> None:
        """End it as an operator does, with SIGTERM, and wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def expect(self, *patterns: str) -> None:
        """Allow lines of trouble in the log until the next check."""
        self._expected += patterns

    def check_log(self) -> None:
        """Check that it printed no trouble since the last check but what was expected."""
        text = self.log()[self._checked :]
        expected, self._expected = self._expected, []
        self._checked += len(text)
        trouble = [line for line in text.splitlines() if TROUBLE.search(line)]
        self._has_refused |= any(REFUSAL.search(line) for line in trouble)
        if self._has_refused:  # They are summed up half a minute later, perhaps in another test.
            trouble = [line for line in trouble if not SUMMARY.search(line)]
        unexpected = [line for line in trouble if not any(re.search(p, line) for p in expected)]
        assert not unexpected, f"{unexpected} in:\n{text[-6000:]}"
        missing = [p for p in expected if not any(re.search(p, line) for line in trouble)]
        assert not missing, f"{missing} not in:\n{text[-6000:]}"

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"not ended by {how!r}: {self.log()[-3000:]}") from None
        finally:
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None

    def _chainlit(self) -> Sequence[str]:
        command = [sys.executable, "-m", "chainlit", "run", "app.py", "--headless"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        return command + (["--root-path", self.root_path] if self.root_path else [])

    def _uvicorn(self) -> Sequence[str]:
        command = [sys.executable, "-m", "uvicorn", "mounted:app", "--log-level", "error"]
        return [*command, "--host", "127.0.0.1", "--port", str(self.port)]
