"""A private S3 server that checks signatures: OpenStack Swift with its s3api."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

from .guarded import Guarded
from .ports import free_port
from .require import missing_packages

STORES = ("account", "container", "object")
SERVERS = (*STORES, "proxy")
MODULES = {"object": "obj"}

STORE_CONFIG = """
[DEFAULT]
{common}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

PROXY_CONFIG = """
[DEFAULT]
{common}
[pipeline:main]
pipeline = catch_errors gatekeeper s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_test_owner = {secret} .admin
user_test_stranger = {secret}
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""

# The rings tell the proxy where accounts, containers and objects lie: all on one device.
MAKE_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), map(int, ports)):
    builder = RingBuilder(2, 1, 0)
    builder.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=port, device="d1", weight=1.0,
                         replication_ip="127.0.0.1", replication_port=port))
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""


def missing() -> str:
    """Return why the server cannot run here, or an empty string."""
    return missing_packages("swift", "pyeclib", "keystonemiddleware")


class SwiftServer:
    """Four processes of Swift on 127.0.0.1, gone when this process is gone."""

    region = "us-east-1"
    access_key = "test:owner"
    stranger_key = "test:stranger"
    secret_key = "swift-secret"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="test-swift-")
        folder = Path(self._folder.name)
        self._ports = {name: free_port() for name in SERVERS}
        self.endpoint = f"http://127.0.0.1:{self._ports['proxy']}"
        self._configure(folder)
        python = [sys.executable, "-m"]
        commands = [
            [*python, f"swift.{MODULES.get(name, name)}.server", f"{folder}/{name}.conf"]
            for name in SERVERS
        ]
        self._process = Guarded("Swift", commands, [*self._ports.values()], folder / "log")

    def start(self) -> None:
        """Start the processes after `kill` on the same ports, with what was stored."""
        self._process.start()

    def kill(self) -> None:
        """End the processes with SIGKILL; what was stored stays."""
        self._process.kill()

    def stop(self) -> None:
        """End the servers and remove their folder; may be called twice."""
        self.kill()
        self._folder.cleanup()

    def _configure(self, folder: Path) -> None:
        (folder / "devices" / "d1").mkdir(parents=True)
        (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
        for name, port in self._ports.items():
            user = pwd.getpwuid(os.geteuid()).pw_name
            common = (
                f"bind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {user}\n"
                f"swift_dir = {folder}\nlog_level = ERROR\nfallocate_reserve = 0\n"
                f"disable_fallocate = true\nlog_address = {folder}/no-syslog\n"
            )
            template = PROXY_CONFIG if name == "proxy" else STORE_CONFIG
            values = {"region": self.region, "secret": self.secret_key, "folder": folder}
            text = template.format(common=common, name=name, **values)
            (folder / f"{name}.conf").write_text(text)
        numbers = [str(self._ports[name]) for name in STORES]
        command = [sys.executable, "-c", MAKE_RINGS, str(folder), *numbers]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
