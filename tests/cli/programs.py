"""Programs that the tests start: a command that ends, and a server."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.servers.ports import free_port
from tests.until import PATIENCE as SECONDS

ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """An environment with nothing of the tester's in it."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}


def run_program(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Result:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def on_a_terminal(folder: Path, answer: str, *arguments: str) -> tuple[str, int]:
    """What a command says on a terminal where somebody types an answer."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "chainlit_sqla", *arguments],
        cwd=folder,
        env=environment(folder, {}),
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.write(ours, answer.encode())
        said, _ = process.communicate(timeout=SECONDS)
    os.close(its)
    os.close(ours)
    return said, process.returncode


class App:
    """A Chainlit server started by a command of ours.

    Args:
        arguments: Of the command; a free ``--port`` is added, and ``--headless`` for Chainlit.
        folder: The current folder of the process.
        variables: Its environment.
        below: Its root path.
        module: The module to run: chainlit_sqla, chainlit or uvicorn.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        below: str = "",
        module: str = "chainlit_sqla",
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{below}"
        self.log = folder / f"server-{self.port}.log"
        command = [sys.executable, "-m", module, *arguments]
        headless = [] if module == "uvicorn" else ["--headless"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, *headless, "--port", str(self.port)],
                cwd=folder,
                env=environment(folder, variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_healthy()

    @property
    def said(self) -> str:
        """What it has printed until now."""
        return self.log.read_text()

    def wait_for(self, text: str, nudge: Callable[[], object] = bool) -> None:
        """Wait until it has printed something; what brings it about may be repeated."""
        deadline = time.monotonic() + SECONDS
        while text not in self.said:
            nudge()
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.said}"
            time.sleep(0.05)

    def log_in(self, name: str, password: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=SECONDS, trust_env=False)
        form = {"username": name, "password": password}
        client.post("/login", data=form).raise_for_status()
        return client

    def threads(self, client: httpx.Client) -> list[dict[str, Any]]:
        query = {"pagination": {"first": 35}, "filter": {}}
        answer = client.post("/project/threads", json=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def stop(self) -> int:
        """Stop it as Ctrl+C does; returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(SECONDS)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended: {self.said}")
            try:
                if httpx.get(f"{self.url}/health", trust_env=False, timeout=SECONDS).is_success:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, f"the server did not start: {self.said}"
            time.sleep(0.05)
