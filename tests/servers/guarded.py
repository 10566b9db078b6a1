"""Processes of servers that end with the test process, however it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.until import PATIENCE

from .ports import listens

# Reads until the test process is gone, then ends the servers.
GUARD = """
import json, subprocess, sys
log, commands = sys.argv[1], json.loads(sys.argv[2])
with open(log, "ab") as out:
    servers = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        for command in commands
    ]
sys.stdin.read()
for server in servers:
    server.kill()
for server in servers:
    server.wait()
"""


class Guarded:
    """Servers on 127.0.0.1, one a command, that write to one log; ready once all ports listen."""

    def __init__(
        self,
        name: str,
        commands: Sequence[Sequence[str]],
        ports: Sequence[int],
        log: Path = Path(os.devnull),
        **environment: str,
    ) -> None:
        self._name = name
        self._command = [sys.executable, "-c", GUARD, str(log), json.dumps(commands)]
        self._ports = ports
        self._log = log
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        """Start the servers; after `kill` on the same ports.

        Raises:
            RuntimeError: One does not start; carries what it printed.
        """
        self._guard = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, start_new_session=True, env=self._environment
        )
        deadline = time.monotonic() + PATIENCE
        while not all(map(listens, self._ports)):
            if time.monotonic() > deadline or self._guard.poll() is not None:
                self.kill()
                printed = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._name} did not start: {printed}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the servers with SIGKILL; may be called twice."""
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()
