"""A private Azure Blob Storage: Azurite, Microsoft's emulator, which checks signatures."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import trustme

from .guarded import Guarded
from .ports import free_port

VERSION = "3.37.0"
INSTALL_SECONDS = 300
PROGRAM = "node_modules/azurite/dist/src/blob/main.js"


def missing() -> str:
    """Return why the server cannot run here, or an empty string; installs it if need be."""
    try:
        _command()
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def _command() -> list[str]:
    """Return the program: of this machine, or of a folder that npm fills once per user."""
    if found := shutil.which("azurite-blob"):
        return [found]
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        raise RuntimeError("no azurite-blob and no node on the PATH")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "chainlit-sqla-tests" / f"azurite-{VERSION}"
    if not (folder / PROGRAM).is_file():
        if npm is None:
            raise RuntimeError("no azurite-blob and no npm on the PATH")
        _install(npm, folder)
    return [node, str(folder / PROGRAM)]


def _install(npm: str, folder: Path) -> None:
    """Fill the folder at once, so that what is interrupted or done twice leaves no half."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / PROGRAM).is_file():
            return
        new = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
        try:
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(
                [*command, "--prefix", str(new), f"azurite@{VERSION}"],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS,
            )
            if done.returncode or not (new / PROGRAM).is_file():
                raise RuntimeError(f"npm cannot install azurite: {done.stderr.strip()[-500:]}")
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


class AzuriteServer:
    """A process on 127.0.0.1 with one account, gone when this process is gone.

    With `tls` it serves https with a certificate of `ca_file` and takes tokens, of which it
    checks issuer, audience and times, but not the signature.
    """

    account = "testaccount"

    def __init__(self, *, tls: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="test-azurite-")
        folder = Path(self._folder.name)
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.port = free_port()
        self.endpoint = f"http{'s' * tls}://127.0.0.1:{self.port}/{self.account}"
        self.ca_file = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        options = [
            *("--blobHost", "127.0.0.1", "--blobPort", str(self.port)),
            *("--location", str(folder / "data")),
            *("--skipApiVersionCheck", "--silent", "--disableTelemetry"),
        ]
        if tls:
            self._make_certificate()
            options += ["--oauth", "basic"]
            options += ["--cert", str(self.certificate), "--key", str(self.certificate)]
        access = f"{self.account}:{self.key}"
        command = [*_command(), *options]
        self._process = Guarded(
            "Azurite", [command], [self.port], folder / "log", AZURITE_ACCOUNTS=access
        )

    def stop(self) -> None:
        """End the server and remove its folder; may be called twice."""
        self._process.kill()
        self._folder.cleanup()

    def _make_certificate(self) -> None:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.ca_file)
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.certificate)
