"""A private Google Cloud Storage that checks who asks: an emulator behind a strict front."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time

from tests.until import PATIENCE

from .gcs_front import Front
from .gcs_identity import Identity
from .ports import free_port, listens
from .require import missing_packages

# Reads until the test process is gone, however it went, then ends the emulator.
GUARD = """
import subprocess, sys
command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--quiet",
           "--host", "127.0.0.1", "--port", sys.argv[1]]
server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
sys.stdin.read()
server.kill()
server.wait()
"""


def missing() -> str:
    """Return why the server cannot run here, or an empty string."""
    return missing_packages("gcp_storage_emulator", "google.cloud.storage", "cryptography")


class GoogleServer:
    """The emulator in a process that is gone when this one is gone, and its front.

    Raises:
        RuntimeError: The emulator does not start.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, str(self.port)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self.identity = Identity()
        self.owner = self.identity.account("owner")
        self.front = Front(("127.0.0.1", self.port), self.identity)
        self.endpoint = self.front.endpoint
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def make_bucket(self, name: str) -> None:
        """Make a bucket, past the front."""
        self._ask("POST", "/storage/v1/b?project=p", json.dumps({"name": name}))

    def names(self, bucket: str) -> list[str]:
        """List a bucket, past the front."""
        found = json.loads(self._ask("GET", f"/storage/v1/b/{bucket}/o"))
        return sorted(item["name"] for item in found["items"])

    def stop(self) -> None:
        """End the servers; may be called twice."""
        if self._guard.stdin and not self._guard.stdin.closed:
            self.front.stop()
            self._guard.stdin.close()
        self._guard.wait()

    def _ask(self, method: str, path: str, body: str = "") -> bytes:
        link = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {"Content-Type": "application/json"}
        link.request(method, path, body or None, headers if body else {})
        answer = link.getresponse()
        content = answer.read()
        link.close()
        assert answer.status == 200, content
        return content

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._guard.poll() is None:
            if listens(self.port):
                return
            time.sleep(0.02)
        raise RuntimeError("The emulator of Google Cloud Storage did not start")
