"""Run a command with a private Docker engine that has a PostgreSQL image made right here.

It needs no image registry: the image is a Debian with its own PostgreSQL packages. The
engine has its own data, socket and bridge, so one that runs on the machine is left alone.
Root only. The command finds the engine and the image in its environment::

    python -m tests.containers.engine pytest -m containers
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.until import PATIENCE

PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
    "ip": "iproute2",
}
ENTRYPOINT = Path(__file__).with_name("entrypoint.sh")
BINARIES = re.compile(r"\./usr/lib/postgresql/(\d+)/bin/postgres$")


def main(command: list[str]) -> int:
    if not command:
        return _refuse("usage: python -m tests.containers.engine COMMAND [ARGUMENT...]")
    if os.geteuid() != 0:
        return _refuse("a private Docker engine needs root; run this as root")
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        return _refuse(f"programs are missing; run: apt install {' '.join(missing)}")
    # An interrupted run cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="test-engine-")))
        stack.callback(_unmount, folder)
        bridge = stack.enter_context(_bridge())
        host = stack.enter_context(_engine(folder, bridge))
        image = _image(folder, host)
        environment = os.environ | {
            "DOCKER_HOST": host,
            "TEST_POSTGRES_IMAGE": image,
            # The reaper is one more image; this engine ends with everything in it anyway.
            "TESTCONTAINERS_RYUK_DISABLED": "true",
            # Inside a container testcontainers would look for the ports elsewhere.
            "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
        }
        return subprocess.run(command, env=environment).returncode


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


@contextmanager
def _bridge() -> Iterator[str]:
    """A network bridge of its own, on a subnet that nothing uses."""
    name = f"testbr{secrets.token_hex(3)}"
    used = _output("ip", "-4", "route")
    subnet = next(f"172.30.{n}" for n in range(1, 255) if f"172.30.{n}." not in used)
    _run("ip", "link", "add", name, "type", "bridge")
    try:
        _run("ip", "address", "add", f"{subnet}.1/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        yield name
    finally:
        _run("ip", "link", "delete", name)


@contextmanager
def _engine(folder: Path, bridge: str) -> Iterator[str]:
    """A Docker engine below `folder`; yields the URL of its socket."""
    socket = folder / "docker.sock"
    command = ["dockerd", f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}"]
    command += [f"--pidfile={folder / 'pid'}", f"--host=unix://{socket}", f"--bridge={bridge}"]
    command += ["--iptables=false", "--ip-forward=false", "--ip-masq=false", "--ip=127.0.0.1"]
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(f"unix://{socket}"):
            if daemon.poll() is not None or time.monotonic() > deadline:
                said = (folder / "dockerd.log").read_text(errors="replace")
                raise RuntimeError(f"dockerd did not start: {said[-3000:]}")
            time.sleep(0.1)
        yield f"unix://{socket}"
    finally:
        daemon.terminate()
        daemon.wait()


def _answers(host: str) -> bool:
    try:
        return bool(docker.DockerClient(base_url=host).ping())
    except DockerException:
        return False


def _image(folder: Path, host: str) -> str:
    archive = folder / "image.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=postgresql"]
    # Documentation and translations take time to unpack and nobody reads them here.
    command += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
    command += [f"--customize-hook=copy-in {ENTRYPOINT} /usr/local/bin"]
    _run(*command, _codename(), str(archive))
    with tarfile.open(archive) as tar:
        versions = {m[1] for name in tar.getnames() if (m := BINARIES.match(name))}
    version = versions.pop()
    changes = [
        f"ENV PATH=/usr/lib/postgresql/{version}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "EXPOSE 5432",
        f'ENTRYPOINT ["/usr/local/bin/{ENTRYPOINT.name}"]',
        'CMD ["postgres"]',
    ]
    client = docker.DockerClient(base_url=host)
    client.api.import_image(
        str(archive), repository="local/debian-postgresql", tag=version, changes=changes
    )
    archive.unlink()
    return f"local/debian-postgresql:{version}"


def _codename() -> str:
    """Return the Debian release to put into the image: this machine's, else bookworm."""
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    return found[1] if found and "ID=debian" in release.splitlines() else "bookworm"


def _unmount(folder: Path) -> None:
    """Unmount what the engine left mounted below its folder, the innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        _run("umount", "--lazy", mount)


def _run(*command: str) -> None:
    _output(*command)


def _output(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
