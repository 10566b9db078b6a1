"""A private Google Cloud Storage that checks who asks: an emulator behind a strict front."""

from __future__ import annotations

import http.client
import json
import sys

from .gcs_front import Front
from .gcs_identity import Identity
from .guarded import Guarded
from .ports import free_port
from .require import missing_packages


def missing() -> str:
    """Return why the server cannot run here, or an empty string."""
    return missing_packages("gcp_storage_emulator", "google.cloud.storage", "cryptography")


class GoogleServer:
    """The emulator in a process that is gone when this one is gone, and its front."""

    def __init__(self) -> None:
        self.port = free_port()
        emulator = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--quiet"]
        command = [*emulator, "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = Guarded("The emulator of Google Cloud Storage", [command], [self.port])
        self.identity = Identity()
        self.owner = self.identity.account("owner")
        self.front = Front(("127.0.0.1", self.port), self.identity)
        self.endpoint = self.front.endpoint

    def make_bucket(self, name: str) -> None:
        self._ask("POST", "/storage/v1/b?project=p", json.dumps({"name": name}))

    def names(self, bucket: str) -> list[str]:
        found = json.loads(self._ask("GET", f"/storage/v1/b/{bucket}/o"))
        return sorted(item["name"] for item in found["items"])

    def stop(self) -> None:
        self.front.stop()
        self._process.kill()

    def _ask(self, method: str, path: str, body: str = "") -> bytes:
        link = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {"Content-Type": "application/json"}
        link.request(method, path, body or None, headers if body else {})
        answer = link.getresponse()
        content = answer.read()
        link.close()
        assert answer.status == 200, content
        return content
